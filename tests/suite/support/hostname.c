/* Preloaded into the tests' Sendmail. It sleeps for a minute at start where
 * the machine's name has no dot, and neither a setting nor an option changes
 * which name it asks for. A name space of its own would need rights that
 * containers and ordinary users do not have.
 *
 * mx2.example.test and so on are 127.0.0.2 and so on, from which Sendmails
 * connect, and 127.0.0.1, on which all of them listen. Name servers are not
 * asked. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

int gethostname(char *name, size_t size)
{
	strncpy(name, "mail.example.test", size);
	return 0;
}

static struct hostent *relay(int number)
{
	static struct hostent entry;
	static char name[64], *aliases[1];
	static unsigned char addresses[2][4];
	static char *list[3];
	memcpy(addresses[0], "\x7f\0\0\1", 4);
	memcpy(addresses[1], "\x7f\0\0", 3);
	addresses[1][3] = number;
	list[0] = (char *)addresses[0];
	list[1] = (char *)addresses[1];
	snprintf(name, sizeof name, "mx%d.example.test", number);
	entry.h_name = name;
	entry.h_aliases = aliases;
	entry.h_addrtype = AF_INET;
	entry.h_length = 4;
	entry.h_addr_list = list;
	return &entry;
}

struct hostent *gethostbyname2(const char *name, int family)
{
	static struct hostent *(*real)(const char *, int);
	int number, end = 0;
	if (sscanf(name, "mx%d.example.test%n", &number, &end) == 1 && name[end] == 0 && end > 0) {
		h_errno = NO_DATA;
		return family == AF_INET ? relay(number) : NULL;
	}
	if (real == NULL)
		real = dlsym(RTLD_NEXT, "gethostbyname2");
	return real(name, family);
}

struct hostent *gethostbyaddr(const void *address, socklen_t size, int family)
{
	static struct hostent *(*real)(const void *, socklen_t, int);
	const unsigned char *bytes = address;
	if (family == AF_INET && memcmp(bytes, "\x7f\0\0", 3) == 0 && bytes[3] > 1)
		return relay(bytes[3]);
	if (real == NULL)
		real = dlsym(RTLD_NEXT, "gethostbyaddr");
	return real(address, size, family);
}

/* Without resolv.h, where these are other names by macros. */
int res_search(const char *name, int class, int type, unsigned char *answer, int size)
{
	(void)name, (void)class, (void)type, (void)answer, (void)size;
	h_errno = NO_DATA;
	return -1;
}

int res_query(const char *name, int class, int type, unsigned char *answer, int size)
{
	return res_search(name, class, type, answer, size);
}

int res_querydomain(const char *name, const char *domain, int class, int type,
		    unsigned char *answer, int size)
{
	(void)domain;
	return res_search(name, class, type, answer, size);
}

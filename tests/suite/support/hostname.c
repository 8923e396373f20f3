/* Preloaded into the tests' Sendmail. It sleeps for a minute at start where
 * the machine's name has no dot, and neither a setting nor an option changes
 * which name it asks for. A name space of its own would need rights that
 * containers and ordinary users do not have. */
#include <string.h>

int gethostname(char *name, size_t size)
{
	strncpy(name, "mail.example.test", size);
	return 0;
}

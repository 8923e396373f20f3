/* Preloaded into programs that shall run at another time: the clock says CLOCK,
 * as 2031-03-01T00:00:00Z, when they start, and goes on from there, or stands
 * still with CLOCK_STOPS. What they fork and execute does so too. (libfaketime
 * leaves files in /dev/shm when its program is killed, and by them a later
 * program of the same number ends.) */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t shift, stopped;

__attribute__((constructor)) static void set_clock(void)
{
	const char *start = getenv("CLOCK");
	struct tm parts = {0};
	struct timespec now;
	if (start == NULL || strptime(start, "%Y-%m-%dT%H:%M:%SZ", &parts) == NULL)
		return;
	if (syscall(SYS_clock_gettime, CLOCK_REALTIME, &now) == 0)
		shift = timegm(&parts) - now.tv_sec;
	if (getenv("CLOCK_STOPS") != NULL)
		stopped = timegm(&parts);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = syscall(SYS_clock_gettime, clock, now);
	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec = stopped ? stopped : now->tv_sec + shift;
	return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;
	int result = clock_gettime(CLOCK_REALTIME, &precise);
	(void)zone;
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return result;
}

time_t time(time_t *now)
{
	struct timespec precise;
	clock_gettime(CLOCK_REALTIME, &precise);
	if (now != NULL)
		*now = precise.tv_sec;
	return precise.tv_sec;
}

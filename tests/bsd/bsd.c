/*
 * pledge(2) and cap_enter(2) for a program on Linux, as far as its own calls into libc tell: what
 * OpenBSD would end with SIGABRT ends so (and a little that it would let pass), what FreeBSD would
 * refuse is refused. With BSD_FAILS set neither can be had.
 */
#define _DEFAULT_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pledge.h"
#include "sys/capsicum.h"

#ifndef RTLD_NEXT
#define RTLD_NEXT ((void *)-1L)
#endif

enum { CAPABILITY_MODE = EPERM }; /* ECAPMODE, which Linux lacks */

static bool pledged, capability_mode;

int
pledge(const char *promises, const char *of_programs)
{
	if (strcmp(promises, "stdio inet") != 0 || of_programs != NULL)
		abort();
	errno = ENOSYS;
	pledged = getenv("BSD_FAILS") == NULL;
	return pledged ? 0 : -1;
}

int
cap_enter(void)
{
	errno = ENOSYS;
	capability_mode = getenv("BSD_FAILS") == NULL;
	return capability_mode ? 0 : -1;
}

static bool
is_allowed(bool promised, bool by_capability)
{
	if (pledged && !promised)
		abort();
	if (!capability_mode || by_capability)
		return true;
	errno = CAPABILITY_MODE;
	return false;
}

/* A call that returns -1 when it fails, and whether either would let it be. */
#define CALL(call, parameters, promised, by_capability, arguments)                                 \
	int call parameters                                                                        \
	{                                                                                          \
		int(*next) parameters;                                                             \
                                                                                                   \
		*(void **)&next = dlsym(RTLD_NEXT, #call);                                         \
		return is_allowed(promised, by_capability) ? next arguments : -1;                  \
	}

CALL(socket, (int family, int type, int protocol), family == AF_INET || family == AF_INET6, true,
    (family, type, protocol))
CALL(connect, (int fd, const struct sockaddr *address, socklen_t size),
    address->sa_family == AF_INET || address->sa_family == AF_INET6, false, (fd, address, size))
CALL(setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
    level == SOL_SOCKET || level == IPPROTO_TCP, true, (fd, level, name, value, size))
CALL(kill, (pid_t process, int number), process == getpid(), process == getpid(), (process, number))
CALL(fork, (void), false, true, ())

int
open(const char *path, int flags, ...)
{
	int (*next)(const char *, int, ...);

	*(void **)&next = dlsym(RTLD_NEXT, "open");
	return is_allowed(false, false) ? next(path, flags) : -1;
}

int
ioctl(int fd, unsigned long request, ...)
{
	int (*next)(int, unsigned long, ...);
	va_list arguments;
	void *last;

	va_start(arguments, request);
	last = va_arg(arguments, void *);
	va_end(arguments);
	*(void **)&next = dlsym(RTLD_NEXT, "ioctl");
	return is_allowed(request == FIONREAD || request == FIONBIO, true) ? next(fd, request, last)
									   : -1;
}

/*
 * fault.so, for LD_PRELOAD: makes calls into libc fall short, fail, stand still or be written down,
 * as SHORT, FAULT, PAUSE and TRACE say (tests/README.md). FAULT and TRACE stand in for strace(1)
 * where calls would count that valgrind makes.
 */
/* madvise(), syscall(); with _GNU_SOURCE bind() would have another type */
#define _DEFAULT_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef RTLD_NEXT
#define RTLD_NEXT ((void *)-1L)
#endif

extern char *program_invocation_short_name;

/* Calls of one name, by this process: a child counts from 1 again. */
struct count {
	pid_t process;
	unsigned long calls;
};

static const struct {
	const char *name;
	int number;
} errors[] = {
	{ "EAGAIN", EAGAIN },
	{ "ECONNABORTED", ECONNABORTED },
	{ "EINTR", EINTR },
	{ "EMFILE", EMFILE },
	{ "ENOMEM", ENOMEM },
	{ "ENOSPC", ENOSPC },
	{ "EPIPE", EPIPE },
};

/* Not by the calls that are watched here. */
static void
trace(const char *path, const char *call, long first, bool fails)
{
	char line[128];
	int length = snprintf(line, sizeof line, "%ld %s(%ld, ...)%s\n", (long)getpid(), call,
	    first, fails ? " (INJECTED)" : "");
	long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT, 0644);

	syscall(SYS_write, fd, line, (size_t)length);
	syscall(SYS_close, fd);
}

/* FAULT is CALL:N:ERROR, or CALL:N+:ERROR for all from the N-th on. */
static int
planned(const char *fault, const char *call, unsigned long number)
{
	size_t length = strlen(call), i;
	char *rest;
	unsigned long when;
	bool lasting;

	if (fault == NULL || strncmp(fault, call, length) != 0 || fault[length] != ':')
		return 0;
	when = strtoul(fault + length + 1, &rest, 10);
	lasting = *rest == '+';
	if (number != when && !(lasting && number > when))
		return 0;
	for (i = 0; i < sizeof errors / sizeof *errors; i++)
		if (strcmp(rest + lasting + 1, errors[i].name) == 0)
			return errors[i].number;
	abort();
}

/* Whether this call is to fail, by errno. Shells on the way have the same variables: not theirs. */
static bool
fails(const char *call, struct count *count, long first)
{
	const char *path = getenv("TRACE"), *fault = getenv("FAULT");
	int before = errno, error;

	if ((path == NULL && fault == NULL) ||
	    strcmp(program_invocation_short_name, "socks4-stdio") != 0)
		return false;
	if (count->process != getpid())
		*count = (struct count){ .process = getpid() };
	error = planned(fault, call, ++count->calls);
	if (path != NULL)
		trace(path, call, first, error != 0);
	errno = error != 0 ? error : before;
	return error != 0;
}

static size_t
most(int fd, size_t length)
{
	const char *text = getenv("SHORT");
	size_t limit = text != NULL ? strtoul(text, NULL, 10) : length;

	return fd != STDERR_FILENO && length > limit ? limit : length;
}

/* Wraps a call that returns -1 when it fails; for getaddrinfo() that is an error, too. */
#define WRAP(type, call, parameters, first, arguments)                                             \
	type call parameters                                                                       \
	{                                                                                          \
		static type(*next) parameters;                                                     \
		static struct count made;                                                          \
                                                                                                   \
		if (next == NULL)                                                                  \
			*(void **)&next = dlsym(RTLD_NEXT, #call);                                 \
		return fails(#call, &made, (long)(first)) ? (type)(intptr_t)-1 : next arguments;   \
	}

/* Likewise of one with a last argument that not every caller has. */
#define WRAP_VARIADIC(call, first_type, second_type, last_type)                                    \
	int call(first_type first, second_type second, ...)                                        \
	{                                                                                          \
		static int (*next)(first_type, second_type, ...);                                  \
		static struct count made;                                                          \
		va_list arguments;                                                                 \
		last_type last;                                                                    \
                                                                                                   \
		va_start(arguments, second);                                                       \
		last = va_arg(arguments, last_type);                                               \
		va_end(arguments);                                                                 \
		if (next == NULL)                                                                  \
			*(void **)&next = dlsym(RTLD_NEXT, #call);                                 \
		return fails(#call, &made, (long)(intptr_t)first) ? -1                             \
								  : next(first, second, last);     \
	}

WRAP(ssize_t, read, (int fd, void *to, size_t size), fd, (fd, to, most(fd, size)))
WRAP(ssize_t, recv, (int fd, void *to, size_t size, int flags), fd, (fd, to, most(fd, size), flags))
WRAP(ssize_t, write, (int fd, const void *from, size_t size), fd, (fd, from, most(fd, size)))
WRAP(ssize_t, send, (int fd, const void *from, size_t size, int flags), fd,
    (fd, from, most(fd, size), flags))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), fd, (fd, message, flags))
WRAP(int, socket, (int family, int type, int protocol), family, (family, type, protocol))
WRAP(int, bind, (int fd, const struct sockaddr *address, socklen_t size), fd, (fd, address, size))
WRAP(
    int, connect, (int fd, const struct sockaddr *address, socklen_t size), fd, (fd, address, size))
WRAP(int, listen, (int fd, int backlog), fd, (fd, backlog))
WRAP(int, accept, (int fd, struct sockaddr *address, socklen_t *size), fd, (fd, address, size))
WRAP(int, getpeername, (int fd, struct sockaddr *address, socklen_t *size), fd, (fd, address, size))
WRAP(int, getsockname, (int fd, struct sockaddr *address, socklen_t *size), fd, (fd, address, size))
WRAP(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *size), fd,
    (fd, level, name, value, size))
WRAP(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size), fd,
    (fd, level, name, value, size))
WRAP(int, getaddrinfo,
    (const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list),
    host, (host, service, hints, list))
WRAP(int, shutdown, (int fd, int how), fd, (fd, how))
WRAP(int, poll, (struct pollfd * polled, nfds_t size, int limit), size, (polled, size, limit))
WRAP(int, close, (int fd), fd, (fd))
WRAP(int, dup2, (int from, int to), from, (from, to))
WRAP(int, pipe, (int ends[2]), 0, (ends))
WRAP(pid_t, fork, (void), 0, ())
WRAP(pid_t, waitpid, (pid_t child, int *status, int options), child, (child, status, options))
WRAP(int, kill, (pid_t process, int number), process, (process, number))
WRAP(int, fstat, (int fd, struct stat *status), fd, (fd, status))
WRAP(void *, mmap, (void *address, size_t size, int protection, int flags, int fd, off_t offset),
    fd, (address, size, protection, flags, fd, offset))
WRAP(int, munmap, (void *address, size_t size), size, (address, size))
WRAP(int, madvise, (void *address, size_t size, int advice), size, (address, size, advice))
/* PAUSE is N: the program stands still for 1.2 s before it looks at the clock for the N-th time. */
int
clock_gettime(clockid_t clock, struct timespec *now)
{
	static int (*next)(clockid_t, struct timespec *);
	static unsigned long looks;
	const char *pause = getenv("PAUSE");

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
	if (pause != NULL && strcmp(program_invocation_short_name, "socks4-stdio") == 0 &&
	    ++looks == strtoul(pause, NULL, 10))
		nanosleep(&(struct timespec){ 1, 200000000 }, NULL);
	return next(clock, now);
}

WRAP_VARIADIC(fcntl, int, int, long)
WRAP_VARIADIC(ioctl, int, unsigned long, void *)
WRAP_VARIADIC(open, const char *, int, int)

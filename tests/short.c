/*
 * short.so, for LD_PRELOAD: lets no read or write move more than $SHORT bytes at a time, but on
 * standard error.
 */
#define _DEFAULT_SOURCE /* syscall() */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t
most(size_t length)
{
	const char *text = getenv("SHORT");
	size_t limit = text != NULL ? strtoul(text, NULL, 10) : length;

	return length < limit ? length : limit;
}

ssize_t
recv(int fd, void *bytes, size_t length, int flags)
{
	return recvfrom(fd, bytes, most(length), flags, NULL, NULL);
}

ssize_t
send(int fd, const void *bytes, size_t length, int flags)
{
	return sendto(fd, bytes, most(length), flags, NULL, 0);
}

ssize_t
read(int fd, void *bytes, size_t length)
{
	return syscall(SYS_read, fd, bytes, most(length));
}

ssize_t
write(int fd, const void *bytes, size_t length)
{
	return syscall(SYS_write, fd, bytes, fd == STDERR_FILENO ? length : most(length));
}

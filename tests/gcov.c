/*
 * Linked with the program in the builds of tests/coverage, where it stands in for two calls behind
 * which counts would be lost: the resolver's child is killed once it has answered, and a process
 * in the sandbox opens no file.
 */
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

void __gcov_dump(void);
ssize_t counted_write(int, const void *, size_t);
int counted_prctl(int, ...);

ssize_t
counted_write(int fd, const void *bytes, size_t length)
{
	__gcov_dump();
	return write(fd, bytes, length);
}

/* The limits are in force by then; root may lift them for the while. */
int
counted_prctl(int option, ...)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned long value[4];
	struct rlimit limit;
	va_list arguments;

	va_start(arguments, option);
	for (int i = 0; i < 4; i++)
		value[i] = va_arg(arguments, unsigned long);
	va_end(arguments);
	if (option == PR_SET_SECCOMP && getrlimit(RLIMIT_FSIZE, &limit) == 0) {
		(void)setrlimit(RLIMIT_FSIZE, &none);
		__gcov_dump();
		(void)setrlimit(RLIMIT_FSIZE, &limit);
	}
	return prctl(option, value[0], value[1], value[2], value[3]);
}

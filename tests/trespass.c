/*
 * trespass: the program with another sandbox_enter(), which enters the sandbox and then tries what
 * $SANDBOX_TEST names. Linked with the program's objects in the place of sandbox.o.
 */
#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define sandbox_enter enter
#include "lib/sandbox.c"
#undef sandbox_enter

#include "lib/sandbox.h"

#ifndef SYS_newfstatat
#define SYS_newfstatat SYS_fstatat64 /* 32 bits */
#endif

enum { UNEXPECTED = 98 }; /* exit status: what should have been answered was answered otherwise */

static const struct sockaddr elsewhere = { .sa_family = AF_UNIX, .sa_data = "/dev/log" };

static pid_t self;

static void
expect(bool as_expected)
{
	if (!as_expected)
		_exit(UNEXPECTED);
}

static void
try_open(void)
{
	(void)open("/dev/null", O_RDONLY);
}

/* Of a file that is none: what were executed instead of us would not get far in the sandbox. */
static void
try_execve(void)
{
	char name[] = "/";
	char *const arguments[] = { name, NULL };

	(void)execve(name, arguments, arguments + 1);
}

static void
try_fork(void)
{
	if (fork() == 0)
		_exit(0);
}

static void
try_ptrace(void)
{
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void
try_kill(void)
{
	(void)kill(1, 0);
}

static void
try_kill_self(void)
{
	(void)kill(self, SIGTERM);
}

static void
try_kill_group(void)
{
	(void)kill(0, SIGSTOP);
}

/* Allowed only if a stop has flags to restore. */
static void
try_stop(void)
{
	(void)kill(self, SIGSTOP);
}

static void
try_stat(void)
{
	struct stat status;

	(void)stat("/", &status);
}

static void
try_setrlimit(void)
{
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_NPROC, &none);
}

static void
try_dup(void)
{
	(void)fcntl(STDIN_FILENO, F_DUPFD, 0);
}

static void
try_setsockopt(void)
{
	const int on = 1;

	/* glibc's on i386 goes through socketcall(2), which hides the option. */
	(void)syscall(SYS_setsockopt, STDIN_FILENO, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

static void
try_tiocsti(void)
{
	(void)ioctl(STDIN_FILENO, TIOCSTI, "x");
}

static void
try_sendto(void)
{
	(void)sendto(STDIN_FILENO, "x", 1, MSG_DONTWAIT, &elsewhere, sizeof elsewhere);
}

static void
try_mmap(void)
{
	(void)mmap(
	    NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void
try_mprotect(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	expect(page != MAP_FAILED);
	(void)mprotect(page, 4096, PROT_READ);
}

/* The heap: no room is needed that is not known before. */
static void
try_brk(void)
{
	(void)sbrk(1 << 20);
}

static void
try_unknown(void)
{
	(void)syscall(UINT16_MAX - 1);
}

#ifdef __x86_64__
static void
try_x32(void)
{
	(void)syscall(0x40000000 + SYS_getpid);
}

static void
try_i386(void)
{
	long number = 20; /* getpid, as int 0x80 counts */

	__asm__ volatile("int $0x80" : "+a"(number) : : "memory");
}
#endif

static void
expect_socket(void)
{
	expect(socket(AF_UNIX, SOCK_DGRAM, 0) == -1 && errno == EPERM);
	expect(socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == EPERM);
}

static void
expect_connect(void)
{
	expect(connect(STDIN_FILENO, &elsewhere, sizeof elsewhere) == -1 && errno == EPERM);
}

static void
expect_no_call(void)
{
	expect(syscall(-1) == -1 && errno == ENOSYS);
#ifdef __aarch64__
	expect(syscall(UINT16_MAX) == -1 && errno == ENOSYS); /* strace's -1 */
#endif
}

/* A buffer, the clock where there is no vDSO, and what is left in a send queue. */
static void
expect_needs(void)
{
	struct timespec now;
	int bytes;
	char *memory =
	    mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	expect(memory != MAP_FAILED);
	memory[0] = 'x';
	expect(munmap(memory, 1 << 20) == 0);
	expect(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) == 0);
	expect(ioctl(STDIN_FILENO, TIOCOUTQ, &bytes) == 0);
}

static const struct {
	const char *name;
	void (*act)(void);
} attempts[] = {
	{ "open", try_open },
	{ "execve", try_execve },
	{ "fork", try_fork },
	{ "ptrace", try_ptrace },
	{ "kill", try_kill },
	{ "kill-self", try_kill_self },
	{ "kill-group", try_kill_group },
	{ "stop", try_stop },
	{ "stat", try_stat },
	{ "setrlimit", try_setrlimit },
	{ "dup", try_dup },
	{ "setsockopt", try_setsockopt },
	{ "tiocsti", try_tiocsti },
	{ "sendto", try_sendto },
	{ "mmap", try_mmap },
	{ "mprotect", try_mprotect },
	{ "brk", try_brk },
	{ "unknown", try_unknown },
#ifdef __x86_64__
	{ "x32", try_x32 },
	{ "i386", try_i386 },
#endif
	{ "socket", expect_socket },
	{ "connect", expect_connect },
	{ "no-call", expect_no_call },
	{ "needs", expect_needs },
};

bool
sandbox_enter(const struct standard_file *standard)
{
	const char *wanted = getenv("SANDBOX_TEST");
	bool entered, known = wanted == NULL;
	size_t i;

	self = getpid();
	entered = enter(standard);

	for (i = 0; !known && i < sizeof attempts / sizeof *attempts; i++)
		if (strcmp(attempts[i].name, wanted) == 0) {
			attempts[i].act();
			known = true;
		}
	expect(known);
	return entered;
}

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
static char scratch[4096];

static void
expect(bool as_expected)
{
	if (!as_expected)
		_exit(UNEXPECTED);
}

#ifdef __x86_64__
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
} acts[] = {
#ifdef __x86_64__
	{ "i386", try_i386 },
#endif
	{ "socket", expect_socket },
	{ "connect", expect_connect },
	{ "no-call", expect_no_call },
	{ "needs", expect_needs },
};

/* Makes a system call that ends the process. False if none has that name. */
static bool
try_call(const char *name)
{
	static char *const none[] = { NULL };
	static const int on = 1;
	const struct {
		const char *name;
		long number, arguments[6];
	} calls[] = {
		{ "open", SYS_openat, { AT_FDCWD, (long)"/dev/null", O_RDONLY } },
		{ "execve", SYS_execve, { (long)"/", (long)none, (long)none } },
		{ "fork", SYS_clone, { SIGCHLD } },
		{ "ptrace", SYS_ptrace, { PTRACE_TRACEME } },
		{ "kill", SYS_kill, { 1, 0 } },
		{ "kill-self", SYS_kill, { self, SIGTERM } },
		{ "kill-group", SYS_kill, { 0, SIGSTOP } },
		{ "stop", SYS_kill,
		    { self, SIGSTOP } }, /* allowed if a stop has flags to restore */
		{ "stat", SYS_newfstatat, { AT_FDCWD, (long)"/", (long)scratch, 0 } },
		{ "setrlimit", SYS_prlimit64, { 0, RLIMIT_NPROC, (long)scratch, 0 } },
		{ "dup", SYS_fcntl, { 0, F_DUPFD, 0 } },
		{ "flags", SYS_fcntl, { 0, F_GETFL } }, /* these two for what is no socket only */
		{ "read", SYS_read, { 0, (long)scratch, 1 } },
		{ "setsockopt", SYS_setsockopt,
		    { 0, SOL_SOCKET, SO_REUSEADDR, (long)&on, sizeof on } },
		{ "tiocsti", SYS_ioctl, { 0, TIOCSTI, (long)"x" } },
		{ "sendto", SYS_sendto,
		    { 0, (long)"x", 1, MSG_DONTWAIT, (long)&elsewhere, sizeof elsewhere } },
		{ "mmap", SYS_mmap,
		    { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 } },
		{ "mprotect", SYS_mprotect, { (long)scratch, 4096, PROT_READ } },
		{ "brk", SYS_brk,
		    { 0 } }, /* the heap: no room is needed that is not known before */
		{ "unknown", UINT16_MAX - 1, { 0 } },
#ifdef __x86_64__
		{ "x32", 0x40000000 + SYS_getpid, { 0 } },
#endif
	};

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		const long *a = calls[i].arguments;

		if (strcmp(calls[i].name, name) == 0) {
			(void)syscall(calls[i].number, a[0], a[1], a[2], a[3], a[4], a[5]);
			return true;
		}
	}
	return false;
}

bool
sandbox_enter(const struct standard_file *standard)
{
	const char *wanted = getenv("SANDBOX_TEST");
	bool entered, known = wanted == NULL;
	size_t i;

	self = getpid();
	entered = enter(standard);
	known = known || try_call(wanted);
	for (i = 0; !known && i < sizeof acts / sizeof *acts; i++)
		if (strcmp(acts[i].name, wanted) == 0) {
			acts[i].act();
			known = true;
		}
	expect(known);
	return entered;
}

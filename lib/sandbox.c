/* pledge(2), cap_enter(2) and prlimit(2) are hidden from a program that asks for POSIX only. */
#if defined __OpenBSD__ || defined __FreeBSD__
#undef _XOPEN_SOURCE
#elif defined __linux__
#define _GNU_SOURCE
#endif

#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "lib/sandbox.h"
#include "lib/standard.h"

#ifdef NO_SANDBOX

bool
sandbox_enter(const struct standard_file *standard)
{
	(void)standard;
	return false;
}

#else

#if defined __linux__ && (defined __i386__ || defined __LP64__)
#if defined __i386__ || defined __x86_64__ || defined __AARCH64EL__ || defined __riscv
#define HAVE_SECCOMP
#endif
#endif
#ifdef HAVE_SECCOMP
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#elif defined __FreeBSD__
#include <sys/capsicum.h>
#endif

#ifdef HAVE_SECCOMP

/* The kernel's interface: musl-gcc does not find linux/seccomp.h, filter.h and audit.h. */
enum { MODE_FILTER = 2 };				/* SECCOMP_MODE_FILTER */
enum { AT_NUMBER = 0, AT_ARCH = 4, AT_ARGUMENTS = 16 }; /* struct seccomp_data */

struct instruction {
	uint16_t code;
	uint8_t yes, no; /* instructions to skip */
	uint32_t operand;
};

/* clang-format off */

#define LOAD(offset) { 0x20, 0, 0, (offset) }
#define EQUAL(operand, yes, no) { 0x15, (yes), (no), (operand) }
#define ABOVE(operand, yes, no) { 0x25, (yes), (no), (operand) }
#define FROM(operand, yes, no) { 0x35, (yes), (no), (operand) }
#define ANY_BIT(operand, yes, no) { 0x45, (yes), (no), (operand) }
#define VERDICT(verdict) { 0x06, 0, 0, (verdict) }

/* In place of a number to skip: one of the verdicts at the end. Each is there once, since the kernel
 * compiles every instruction in every session. */
enum { ALLOW = 253, REFUSE, KILL };

/* The lower half of an argument's 64 bits; of an int, the kernel uses no more. */
#define ARGUMENT(n) LOAD(AT_ARGUMENTS + 8 * (n))

/* Each gives a verdict, or leaves the call's number to what follows. */
#define ALLOW_CALL(name) EQUAL(SYS_##name, ALLOW, 0)
#define REFUSE_CALL(name) EQUAL(SYS_##name, REFUSE, 0)
/* sendto(2) only with an address of no bytes, which is none: another one could reach other Unix sockets
 * and, with MSG_FASTOPEN, other hosts. socket(2) and connect(2) fail, as libc may try them and can do
 * without. */
#define SOCKET_CALLS \
	ALLOW_CALL(recvfrom), ALLOW_CALL(shutdown), \
	EQUAL(SYS_sendto, 0, 2), ARGUMENT(5), EQUAL(0, ALLOW, KILL), \
	EQUAL(SYS_setsockopt, 0, 4), ARGUMENT(1), EQUAL(SOL_SOCKET, 0, KILL), \
	ARGUMENT(2), EQUAL(SO_LINGER, ALLOW, KILL), \
	REFUSE_CALL(socket), REFUSE_CALL(connect)

/* What differs between machines. NO_CALL and above: the numbers that a tracer sets to skip a call. */
#if defined __x86_64__
#define AUDIT_ARCH 0xc000003eU
#define NO_CALL UINT32_MAX
#define OTHER ALLOW_CALL(poll), SOCKET_CALLS, ALLOW_CALL(alarm)
#elif defined __i386__
#define AUDIT_ARCH 0x40000003U
#define NO_CALL UINT32_MAX
/* glibc's SYS_SOCKET, CONNECT, SEND, RECV, SHUTDOWN and SETSOCKOPT, whose option cannot be seen */
#define OTHER \
	ALLOW_CALL(poll), SOCKET_CALLS, ALLOW_CALL(alarm), ALLOW_CALL(sigreturn), ALLOW_CALL(clock_gettime64), \
	EQUAL(SYS_socketcall, 0, 7), ARGUMENT(0), EQUAL(1, REFUSE, 0), EQUAL(3, REFUSE, 0), \
	EQUAL(9, ALLOW, 0), EQUAL(10, ALLOW, 0), EQUAL(13, ALLOW, 0), EQUAL(14, ALLOW, KILL)
#undef SYS_fcntl
#undef SYS_mmap
#define SYS_fcntl SYS_fcntl64
#define SYS_mmap SYS_mmap2
#else /* aarch64, and riscv64 with the same numbers */
#ifdef __riscv
#define AUDIT_ARCH 0xc00000f3U
#define NO_CALL UINT32_MAX
#else
#define AUDIT_ARCH 0xc00000b7U
#define NO_CALL UINT16_MAX /* -1 too; strace(1) writes its lower half only */
#endif
#define OTHER ALLOW_CALL(ppoll), SOCKET_CALLS
#endif

/* What pipes, terminals and files on fd 0 and 1 need besides: SIGTSTP and its like become a SIGSTOP
 * after their flags were restored (standard.h). */
#define FILE_CALLS(self) \
	ALLOW_CALL(read), \
	EQUAL(SYS_fcntl, 0, 3), ARGUMENT(1), FROM(F_GETFL, 0, KILL), ABOVE(F_SETFL, KILL, ALLOW), \
	EQUAL(SYS_kill, 0, 4), ARGUMENT(0), EQUAL((uint32_t)(self), 0, KILL), \
	ARGUMENT(1), EQUAL(SIGSTOP, ALLOW, KILL)

/* Turns a verdict into the number of instructions to skip. most: that to KILL, the last one. */
static void
aim(uint8_t *skip, size_t most)
{
	if (*skip >= ALLOW)
		*skip = (uint8_t)(most - (size_t)(KILL - *skip));
}

/* Allows what the relay and the closing log line may need, from glibc or musl. On entry the kernel
 * runs the filter for every number, to know the calls that it always allows, and gives up at a load
 * of an argument. That takes longer than a session's calls do: so an argument is loaded first. It
 * takes longer still to compile the filter: so FILE_CALLS are left out where they are not needed.
 * Entered by prctl(2), since systemd's @system-service lacks seccomp(2). */
static bool
confine(bool sockets)
{
	struct instruction filter[] = {
		ARGUMENT(0), LOAD(AT_ARCH), EQUAL(AUDIT_ARCH, 0, KILL), LOAD(AT_NUMBER), /* HEAD */
		FILE_CALLS(getpid()),
		/* moving bytes */
		OTHER, ALLOW_CALL(write),
		/* descriptors; SIOCOUTQ only: a terminal could be made to read commands (TIOCSTI) */
		ALLOW_CALL(close),
		EQUAL(SYS_ioctl, 0, 2), ARGUMENT(1), EQUAL(TIOCOUTQ, ALLOW, KILL),
		/* memory */
		EQUAL(SYS_mmap, 0, 2), ARGUMENT(2), ANY_BIT(PROT_EXEC, KILL, ALLOW),
		ALLOW_CALL(munmap), ALLOW_CALL(madvise),
		/* time; poll(2) after SIGSTOP and SIGCONT; the end */
		ALLOW_CALL(clock_gettime), /* when the vDSO has no clock to read */
		ALLOW_CALL(restart_syscall), ALLOW_CALL(exit_group),
		/* the signal that ends a session, and its repetition (musl's alarm() is setitimer) */
		ALLOW_CALL(rt_sigreturn), ALLOW_CALL(setitimer),
		FROM(NO_CALL, ALLOW, KILL),
		VERDICT(0x7fff0000U), VERDICT(0x00050000U | EPERM), /* ALLOW, REFUSE */
		VERDICT(0x80000000U), /* KILL; Linux before 4.14: the thread, our only one */
	};
	enum { LENGTH = sizeof filter / sizeof *filter, HEAD = 4 };
	const size_t start =
	    sockets ? sizeof (struct instruction[]){ FILE_CALLS(0) } / sizeof *filter : 0;
	const struct {
		unsigned short length;
		const struct instruction *instructions;
	} program = { (unsigned short)(LENGTH - start), filter + start };
	size_t i;

	memmove(filter + start, filter, HEAD * sizeof *filter);
	for (i = start; i < LENGTH; i++) {
		aim(&filter[i].yes, LENGTH - 2 - i);
		aim(&filter[i].no, LENGTH - 2 - i);
	}
	return prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) == 0 &&
	    prctl(PR_SET_SECCOMP, (unsigned long)MODE_FILTER, &program, 0UL, 0UL) == 0;
}

/* clang-format on */

#else

static bool
confine(bool sockets)
{
	(void)sockets;
#if defined __OpenBSD__
	/* inet for socket options alone: SO_LINGER decides whether an end is a reset */
	return pledge("stdio inet", NULL) == 0;
#elif defined __FreeBSD__
	return cap_enter() == 0;
#else
	return false;
#endif
}

#endif

enum { DESCRIPTORS_MOST = 16 };

/* Lowers a limit for good, which is always allowed. */
static void
limit(unsigned resource, rlim_t most)
{
	const struct rlimit both = { .rlim_cur = most, .rlim_max = most };

#ifdef __linux__
	(void)prlimit(0, resource, &both, NULL); /* musl's setrlimit() brings code for threads */
#else
	(void)setrlimit((int)resource, &both);
#endif
}

bool
sandbox_enter(const struct standard_file *standard)
{
	struct rlimit descriptors;

	limit(RLIMIT_CORE, 0);
#ifdef RLIMIT_NPROC
	limit(RLIMIT_NPROC, 0);
#endif
	if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0)
		limit(RLIMIT_NOFILE,
		    descriptors.rlim_cur < DESCRIPTORS_MOST ? descriptors.rlim_cur
							    : DESCRIPTORS_MOST);
	if (!standard[1].regular && !standard[2].regular)
		limit(RLIMIT_FSIZE, 0);
	return confine(standard[0].socket && standard[1].socket);
}

#endif

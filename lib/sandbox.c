/* pledge(2), cap_enter(2) and prlimit(2) are hidden from a program that asks for POSIX only. */
#if defined __OpenBSD__ || defined __FreeBSD__
#undef _XOPEN_SOURCE
#elif defined __linux__
#define _GNU_SOURCE
#endif

#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "lib/net.h"
#include "lib/sandbox.h"

#ifdef NO_SANDBOX

bool
sandbox_enter(const struct net_file *standard)
{
	(void)standard;
	return false;
}

#else

#if defined __linux__ && defined __LP64__ && (defined __x86_64__ || defined __AARCH64EL__)
#define HAVE_SECCOMP
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#elif defined __FreeBSD__
#include <sys/capsicum.h>
#endif

#ifdef HAVE_SECCOMP

/* The kernel's interface, since musl-gcc finds no linux/seccomp.h, filter.h and audit.h. */

/* NO_CALL and what is above it: what a tracer sets the number to, to have a call skipped. */
#ifdef __x86_64__
#define AUDIT_ARCH 0xc000003eU
#define NO_CALL UINT32_MAX
#else
#define AUDIT_ARCH 0xc00000b7U
#define NO_CALL UINT16_MAX /* -1 too; strace(1) writes its lower half only */
#endif

#define RETURN_KILL 0x80000000U /* the process; Linux before 4.14: the thread, our only one */
#define RETURN_EPERM (0x00050000U | EPERM)
#define RETURN_ALLOW 0x7fff0000U

enum { MODE_FILTER = 2 }; /* SECCOMP_MODE_FILTER */

enum {
	LOAD = 0x20,
	JUMP_EQUAL = 0x15,
	JUMP_OVER = 0x25,
	JUMP_FROM = 0x35,
	JUMP_SET = 0x45,
	RETURN = 0x06
};

enum { AT_NUMBER = 0, AT_ARCH = 4, AT_ARGUMENTS = 16 }; /* struct seccomp_data */

struct instruction {
	uint16_t code;
	uint8_t yes, no; /* instructions to skip */
	uint32_t operand;
};

/* Half as much again as is needed. No jump can be too far. */
enum { PROGRAM_MOST = 96, RUNS_MOST = 48 };

/* Written from its end to its start: jumps lead forwards only, and so their targets are known. */
struct program {
	struct instruction instructions[PROGRAM_MOST];
	uint32_t start;
};

struct loadable {
	unsigned short length;
	const struct instruction *instructions;
};

enum verdict {
	KILL,
	REFUSE, /* with EPERM */
	ALLOW,
	IF_DATA,
	IF_FLAGS,
	IF_LINGER,
	IF_NO_CALL, /* all numbers behind the table, where x32 has its own */
	IF_QUEUE,
	IF_TO_PEER,
	VERDICTS
};

/* What the relay and the closing log line may come to need, from glibc or musl. */
static const unsigned char verdicts[] = {
	/* moving bytes */
	[SYS_read] = ALLOW,
	[SYS_write] = ALLOW,
	[SYS_recvfrom] = ALLOW,
	[SYS_sendto] = IF_TO_PEER,
#ifdef SYS_poll
	[SYS_poll] = ALLOW,
#else
	[SYS_ppoll] = ALLOW,
#endif
	[SYS_restart_syscall] = ALLOW, /* poll(2) after SIGSTOP and SIGCONT */
	/* descriptors */
	[SYS_shutdown] = ALLOW,
	[SYS_close] = ALLOW,
	[SYS_setsockopt] = IF_LINGER,
	[SYS_ioctl] = IF_QUEUE,
	[SYS_fcntl] = IF_FLAGS,
	/* libc may ask the system something by a socket, and do without an answer */
	[SYS_socket] = REFUSE,
	[SYS_connect] = REFUSE,
	/* memory */
	[SYS_mmap] = IF_DATA,
	[SYS_munmap] = ALLOW,
	[SYS_madvise] = ALLOW,
	/* time; where the vDSO has no clock to read */
	[SYS_clock_gettime] = ALLOW,
	/* the signal that ends a session, and its repetition */
	[SYS_rt_sigreturn] = ALLOW,
#ifdef SYS_alarm
	[SYS_alarm] = ALLOW,
#endif
	[SYS_setitimer] = ALLOW, /* musl's alarm() */
	[SYS_exit_group] = ALLOW,
};

enum { NUMBERS = sizeof verdicts, KERNEL_NUMBERS = 480 }; /* about so many are there now */

/* What must hold of an argument. Of its 64 bits the lower half comes first; of those that are int
 * the kernel looks at no more. */
static const struct condition {
	enum verdict verdict;
	uint32_t offset, operand;
	uint16_t jump;
	bool kills; /* if it jumps */
} conditions[] = {
	{ IF_DATA, AT_ARGUMENTS + 2 * 8, PROT_EXEC, JUMP_SET, true },
	{ IF_FLAGS, AT_ARGUMENTS + 1 * 8, F_GETFL, JUMP_FROM, false },
	{ IF_FLAGS, AT_ARGUMENTS + 1 * 8, F_SETFL, JUMP_OVER, true },
	{ IF_LINGER, AT_ARGUMENTS + 1 * 8, SOL_SOCKET, JUMP_EQUAL, false },
	{ IF_LINGER, AT_ARGUMENTS + 2 * 8, SO_LINGER, JUMP_EQUAL, false },
	{ IF_NO_CALL, AT_NUMBER, NO_CALL, JUMP_FROM, false },
	/* SIOCOUTQ; a terminal could be made to read commands (TIOCSTI) */
	{ IF_QUEUE, AT_ARGUMENTS + 1 * 8, TIOCOUTQ, JUMP_EQUAL, false },
	/* an address could reach other Unix sockets, and by MSG_FASTOPEN other hosts */
	{ IF_TO_PEER, AT_ARGUMENTS + 4 * 8, 0, JUMP_EQUAL, false },
	{ IF_TO_PEER, AT_ARGUMENTS + 4 * 8 + 4, 0, JUMP_EQUAL, false },
};

/* Numbers from first to the next run's first, all with the same verdict. */
struct run {
	uint32_t first;
	unsigned char verdict;
};

/* Puts an instruction before the others and returns where it is. */
static uint32_t
put(struct program *program, uint16_t code, uint32_t operand, uint32_t yes, uint32_t no)
{
	uint32_t here = --program->start;
	struct instruction *instruction = &program->instructions[here];

	instruction->code = code;
	instruction->operand = operand;
	instruction->yes = (uint8_t)(yes - here - 1);
	instruction->no = (uint8_t)(no - here - 1);
	return here;
}

static uint32_t
put_plain(struct program *program, uint16_t code, uint32_t operand)
{
	return put(program, code, operand, program->start, program->start);
}

/* Puts the ends of the search: where each verdict is given. */
static void
put_verdicts(struct program *program, uint32_t at[VERDICTS])
{
	size_t i;

	at[KILL] = put_plain(program, RETURN, RETURN_KILL);
	at[REFUSE] = put_plain(program, RETURN, RETURN_EPERM);
	at[ALLOW] = put_plain(program, RETURN, RETURN_ALLOW);
	for (i = ALLOW + 1; i < VERDICTS; i++)
		at[i] = at[ALLOW];
	for (i = sizeof conditions / sizeof *conditions; i-- > 0;) {
		const struct condition *condition = &conditions[i];
		uint32_t passed = at[condition->verdict];

		put(program, condition->jump, condition->operand,
		    condition->kills ? at[KILL] : passed, condition->kills ? passed : at[KILL]);
		at[condition->verdict] = put_plain(program, LOAD, condition->offset);
	}
}

/* Puts a search for the number's run and returns its start. The kernel tries every number once to
 * learn which ones it may let pass unasked, and that, beside the program's length, is what entering
 * costs: so each jump halves the numbers, not the runs. */
static uint32_t
put_search(struct program *program, const struct run *runs, size_t count, uint32_t end,
    const uint32_t at[VERDICTS])
{
	size_t i, half = 1;
	uint32_t lower, upper;

	if (count == 1)
		return at[runs->verdict];
	for (i = 1; i < count; i++)
		if (runs[i].first - runs->first <= end - runs[i].first)
			half = i;
	upper = put_search(program, runs + half, count - half, end, at);
	lower = put_search(program, runs, half, runs[half].first, at);
	return put(program, JUMP_FROM, runs[half].first, upper, lower);
}

static size_t
find_runs(struct run runs[RUNS_MOST])
{
	size_t count = 0;
	uint32_t number;

	for (number = 0; number < NUMBERS; number++)
		if (count == 0 || verdicts[number] != runs[count - 1].verdict)
			runs[count++] = (struct run){ number, verdicts[number] };
	runs[count++] = (struct run){ NUMBERS, IF_NO_CALL };
	return count;
}

/* By prctl(2), since systemd's @system-service knows no seccomp(2). */
static bool
confine(void)
{
	struct program program;
	struct loadable loadable;
	struct run runs[RUNS_MOST];
	size_t count = find_runs(runs);
	uint32_t at[VERDICTS];

	program.start = PROGRAM_MOST;
	put_verdicts(&program, at);
	put_search(&program, runs, count, KERNEL_NUMBERS, at);
	put_plain(&program, LOAD, AT_NUMBER);
	/* Numbers of another architecture would mean other calls. */
	put(&program, JUMP_EQUAL, AUDIT_ARCH, program.start, at[KILL]);
	put_plain(&program, LOAD, AT_ARCH);
	loadable.length = (unsigned short)(PROGRAM_MOST - program.start);
	loadable.instructions = program.instructions + program.start;
	return prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) == 0 &&
	    prctl(PR_SET_SECCOMP, (unsigned long)MODE_FILTER, &loadable, 0UL, 0UL) == 0;
}

#else

static bool
confine(void)
{
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

/* Sets a limit for good; to lower one is always allowed. */
static void
limit(unsigned resource, rlim_t most)
{
	const struct rlimit both = { .rlim_cur = most, .rlim_max = most };

#ifdef __linux__
	(void)prlimit(0, resource, &both, NULL); /* musl's setrlimit() has all threads in mind */
#else
	(void)setrlimit((int)resource, &both);
#endif
}

bool
sandbox_enter(const struct net_file *standard)
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
	if (!standard[1].growing && !standard[2].growing)
		limit(RLIMIT_FSIZE, 0);
	return confine();
}

#endif

#ifdef __linux__
#define _GNU_SOURCE /* syscall(2) */
#endif

#include <sys/socket.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include "lib/address.h"
#include "lib/net.h"
#include "lib/standard.h"

/* Hidden from a program that asks for POSIX only. */
#if defined __OpenBSD__
int closefrom(int);
#elif defined __FreeBSD__
void closefrom(int);
#endif

enum { IN, OUT, ERRORS };

/* ---- descriptors ---- */

struct standard_file
standard_look(int fd)
{
	struct standard_file file = { .fd = fd };
	struct stat status;

	if (fstat(fd, &status) == -1)
		return file;
	file.open = true;
	file.socket = S_ISSOCK(status.st_mode);
	file.regular = S_ISREG(status.st_mode);
	file.device = status.st_dev;
	file.inode = status.st_ino;
	return file;
}

bool
standard_same(const struct standard_file *a, const struct standard_file *b)
{
	/* Some systems give sockets and pipes no inode number. */
	return a->open && b->open && a->socket == b->socket && a->device == b->device &&
	    a->inode == b->inode;
}

bool
standard_errors_shared(const struct standard_file *standard)
{
	return standard_same(&standard[ERRORS], &standard[IN]) ||
	    standard_same(&standard[ERRORS], &standard[OUT]);
}

int
standard_silence_errors(struct standard_file *errors)
{
	int ends[2], null = open("/dev/null", O_RDWR);

	if (null == -1 && pipe(ends) == 0) { /* in a chroot(2), say */
		close(ends[0]);
		null = ends[1];
	}
	if (null == -1)
		return -1;
	if (null != ERRORS) {
		if (dup2(null, ERRORS) == -1)
			return -1;
		close(null);
	}
	*errors = standard_look(ERRORS);
	return 0;
}

enum standard_peer
standard_peer(const struct standard_file *file, struct endpoint *peer)
{
	/* getpeername(2) may leave it alone if the peer has no name. */
	struct sockaddr_storage storage = { .ss_family = AF_UNSPEC };
	socklen_t length = sizeof(int);
	int value = 0;

	if (!file->socket)
		return PEER_LOCAL;
	/* Datagrams have no end of input, and may be truncated. */
	if (!file->tcp &&
	    (getsockopt(file->fd, SOL_SOCKET, SO_TYPE, &value, &length) == -1 ||
		value != SOCK_STREAM))
		return PEER_UNKNOWN;
	length = sizeof storage;
	if (getpeername(file->fd, (struct sockaddr *)&storage, &length) == -1) {
		/* After a reset there is no peer any more, but the error is still there. */
		length = sizeof value;
		value = 0;
		getsockopt(file->fd, SOL_SOCKET, SO_ERROR, &value, &length);
		return value != 0 ? PEER_GONE : PEER_UNKNOWN;
	}
	if (storage.ss_family == AF_UNIX)
		return PEER_LOCAL;
	return address_from_socket(&storage, peer) == 0 ? PEER_TCP : PEER_UNKNOWN;
}

enum { FIRST = 3, LAST_GUESSED = 255 };

#if !defined __OpenBSD__ && !defined __FreeBSD__

/* False if there is no such directory. */
static bool
close_named(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	long fd;

	if (directory == NULL)
		return false;
	while ((entry = readdir(directory)) != NULL) {
		fd = strtol(entry->d_name, NULL, 10); /* "." is 0 */
		if (fd >= FIRST && fd != dirfd(directory))
			close((int)fd);
	}
	closedir(directory);
	return true;
}

#endif

void
standard_close_others(void)
{
#if defined __OpenBSD__ || defined __FreeBSD__
	closefrom(FIRST);
#else
	int fd;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, (unsigned)FIRST, ~0U, 0U) == 0)
		return; /* fails before Linux 5.9 and under some containers' filters */
#endif
	if (close_named("/proc/self/fd") || close_named("/dev/fd"))
		return;
	for (fd = FIRST; fd <= LAST_GUESSED; fd++)
		close(fd);
#endif
}

/* ---- signals ---- */

static const int ending[] = { SIGALRM, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGINT, SIGQUIT };
static const int stopping[] = { SIGTSTP, SIGTTIN, SIGTTOU };

enum { ENDING = sizeof ending / sizeof *ending, STOPPING = sizeof stopping / sizeof *stopping };

static pid_t self;

/* For fd 0 and 1: the file status flags to restore, or -1; whether they are changed now. */
static volatile sig_atomic_t flags[2] = { -1, -1 }, changed[2];

void
standard_renew(int fd)
{
	if (changed[fd])
		(void)fcntl(fd, F_SETFL, flags[fd] | O_NONBLOCK);
}

/* Restores the flags that others expect, then stops as the signal would have. By SIGSTOP, since the
 * sandbox allows no other signal. */
static void
stop(int number)
{
	int error = errno;

	(void)number;
	for (int fd = IN; fd <= OUT; fd++)
		if (flags[fd] != -1)
			(void)fcntl(fd, F_SETFL, flags[fd]);
	(void)kill(self, SIGSTOP);
	standard_renew(IN);
	standard_renew(OUT);
	errno = error;
}

/* Handles a signal, but leaves it ignored if nohup(1) or a shell's & had it ignored. */
static void
handle(int number, const struct sigaction *action, bool even_ignored)
{
	struct sigaction before;

	if (sigaction(number, action, &before) == 0 && before.sa_handler == SIG_IGN &&
	    !even_ignored)
		(void)sigaction(number, &before, NULL);
}

void
standard_catch_signals(void)
{
	struct sigaction action = { .sa_handler = net_stop };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL); /* start with nothing blocked */
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ENDING; i++)
		handle(ending[i], &action,
		    ending[i] != SIGHUP && ending[i] != SIGINT && ending[i] != SIGQUIT);
	action.sa_handler = SIG_IGN; /* EPIPE and EFBIG will do */
	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGXFSZ, &action, NULL);
}

static void
catch_stops(void)
{
	struct sigaction action = { .sa_handler = stop, .sa_flags = SA_RESTART };

	/* No shell could continue a session leader's group. The system does not let these signals
	 * stop it, but SIGSTOP would. */
	if (getsid(0) == getpgrp())
		return;
	self = getpid();
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < STOPPING; i++)
		sigaddset(&action.sa_mask, stopping[i]);
	for (size_t i = 0; i < STOPPING; i++)
		handle(stopping[i], &action, false);
}

void
standard_forget_signals(void)
{
	struct sigaction action;

	for (size_t i = 0; i < ENDING + STOPPING; i++) {
		int number = i < ENDING ? ending[i] : stopping[i - ENDING];

		if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			(void)signal(number, SIG_DFL);
	}
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGXFSZ, SIG_DFL);
}

/* ---- the relay's local side ---- */

void
standard_prepare(struct standard_file *in, struct standard_file *out)
{
	in->tcp = in->socket && net_tune(in->fd);
	out->tcp = standard_same(in, out) ? in->tcp : out->socket && net_tune(out->fd);
	if (!in->socket || !out->socket)
		catch_stops();
}

void
standard_unblock(const struct standard_file *in, const struct standard_file *out)
{
	/* Read both before changing either: they may be the same open file. */
	flags[IN] = in->socket ? -1 : fcntl(IN, F_GETFL);
	flags[OUT] = out->socket ? -1 : fcntl(OUT, F_GETFL);
	for (int fd = IN; fd <= OUT; fd++) {
		changed[fd] = flags[fd] != -1;
		standard_renew(fd);
	}
}

void
standard_restore(int fd)
{
	if (flags[fd] == -1)
		return;
	changed[fd] = false; /* so that a stop cannot set O_NONBLOCK again */
	(void)fcntl(fd, F_SETFL, flags[fd]);
	flags[fd] = -1;
	standard_renew(fd == IN ? OUT : IN);
}

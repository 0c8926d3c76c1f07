/*
 * serve: listen, and start a program for each connection with it on fd 0 and 1, as inetd and
 * tcpserver do. tests/README.md has the options.
 */
#define _DEFAULT_SOURCE /* vfork(2) */
#define NAME "serve"
#include <sys/select.h>
#include <sys/wait.h>

#include "tests/net.h"

static struct options {
	const char *address, *path, *status_file;
	bool greeting;
	char **program;
} options = { .address = "127.0.0.1" };

static struct sessions {
	pid_t *pids;
	size_t running, room;
} sessions;

static const int handled[] = { SIGCHLD, SIGINT, SIGTERM, 0 };
static volatile sig_atomic_t stopping;
static sigset_t mask_while_waiting;
static int listener = -1; /* -1: closed again */

static void
on_signal(int number)
{
	if (number != SIGCHLD)
		stopping = 1;
}

static void
note_end(pid_t pid, int status)
{
	for (size_t i = 0; i < sessions.running; i++)
		if (sessions.pids[i] == pid) {
			sessions.pids[i] = sessions.pids[--sessions.running];
			break;
		}
	if (options.status_file) {
		FILE *file = fopen(options.status_file, "a");
		net_must(file != NULL, options.status_file);
		if (WIFSIGNALED(status))
			fprintf(file, "signal %d\n", WTERMSIG(status));
		else
			fprintf(file, "%d\n", WEXITSTATUS(status));
		net_must(fclose(file) == 0, options.status_file);
	}
}

static void
reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		note_end(pid, status);
}

/* The program gets the default SIGPIPE, as from inetd, and none of our blocked signals. Not by
 * posix_spawn(3): in glibc it looks every signal up, which takes longer than all the rest. Our
 * handler would set what vfork(2) lets the child share. */
static void
start(int connection)
{
	const struct sigaction action = { .sa_handler = SIG_DFL };
	volatile int problem = 0;
	pid_t pid = vfork();

	if (pid == 0) {
		sigaction(SIGPIPE, &action, NULL);
		for (const int *number = handled; *number != 0; number++)
			sigaction(*number, &action, NULL);
		sigprocmask(SIG_SETMASK, &mask_while_waiting, NULL);
		dup2(connection, 0);
		dup2(connection, 1);
		execvp(options.program[0], options.program);
		problem = errno;
		_exit(127);
	}
	if (pid == -1)
		problem = errno;
	if (problem != 0) {
		errno = problem;
		net_fail(options.program[0]);
	}

	if (sessions.running == sessions.room) {
		sessions.room = sessions.room ? 2 * sessions.room : 64;
		sessions.pids = realloc(sessions.pids, sessions.room * sizeof *sessions.pids);
		net_must(sessions.pids != NULL, "realloc");
	}
	sessions.pids[sessions.running++] = pid;
}

static void
accept_one(void)
{
	int connection = accept(listener, NULL, NULL);
	if (connection < 0) {
		if (errno == ECONNABORTED || errno == EINTR || errno == EAGAIN ||
		    errno == EWOULDBLOCK)
			return;
		net_fail("accept");
	}
	net_must(fcntl(connection, F_SETFD, FD_CLOEXEC) == 0, "fcntl");
	start(connection);
	close(connection);
}

/* Signals are let in only here, so none can slip between the look at what they changed and the
 * wait. */
static bool
wait_for_caller(const struct timespec *limit)
{
	fd_set readable;

	FD_ZERO(&readable);
	if (listener >= 0)
		FD_SET(listener, &readable);
	int ready = pselect(listener + 1, &readable, NULL, NULL, limit, &mask_while_waiting);
	if (ready < 0 && errno != EINTR)
		net_fail("pselect");
	return ready > 0;
}

static void
signal_sessions(int number)
{
	for (size_t i = 0; i < sessions.running; i++)
		kill(sessions.pids[i], number);
}

/* A session that does not heed SIGTERM while three seconds pass is killed. */
static void
end_sessions(void)
{
	const struct timespec patience = { .tv_sec = 3 };

	signal_sessions(SIGTERM);
	while (sessions.running > 0) {
		size_t before = sessions.running;
		wait_for_caller(&patience);
		reap();
		if (sessions.running == before)
			signal_sessions(SIGKILL);
	}
}

static void
serve(void)
{
	while (!stopping) {
		if (wait_for_caller(NULL))
			accept_one();
		reap();
	}
	close(listener);
	listener = -1;
	if (options.path)
		unlink(options.path);
	end_sessions();
}

static int
listen_at(const char *port)
{
	const char *where = options.path ? options.path : options.address;
	struct net_address address = options.path ? net_local(where) : net_numeric(where, port);
	int fd;

	if (address.length == 0 && !options.path) {
		fprintf(stderr, "serve: not an address: %s port %s\n", where, port);
		exit(2);
	}
	fd = net_listener(&address, 128);
	if (fd < 0)
		net_fail(where);
	address = net_end(fd, getsockname);
	if (options.path)
		puts(where);
	else if (options.greeting)
		printf("serving on %s:%u until Ctrl-C\n"
		       "try: curl --socks4a %s:%u http://example.org/\n",
		    where, net_port(&address), where, net_port(&address));
	else
		printf("%u\n", net_port(&address));
	return fd;
}

int
main(int argc, char **argv)
{
	const struct net_option letters[] = { { 'a', .text = &options.address },
		{ 's', .text = &options.status_file }, { 't', .flag = &options.greeting },
		{ 'u', .text = &options.path }, { 0 } };
	char **words = net_options(argc, argv, letters, 2,
	    "serve [-t] [-a address] [-s file] [-u path] port program [argument ...]");

	options.program = words + 1;
	/* Nothing but 0, 1 and 2 may reach the program; fd 3 upwards is what our own starter left
	 * open. */
	for (int fd = 3; fd < 256; fd++)
		close(fd);
	mask_while_waiting = net_catch(handled, on_signal);
	listener = listen_at(words[0]);
	if (listener <= 2 || listener >= FD_SETSIZE || fcntl(listener, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(listener, F_SETFL, O_NONBLOCK) < 0 || fflush(stdout) != 0)
		net_fail("listener");
	serve();
	return 0;
}

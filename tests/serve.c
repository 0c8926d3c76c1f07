/*
 * serve: listen, and start a program for each connection with it on fd 0 and 1, as inetd and
 * tcpserver do. tests/README.md has the options.
 */
#define _DEFAULT_SOURCE /* vfork(2) */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct options {
	const char *address, *path, *status_file;
	bool standard_error, greeting;
	unsigned long sessions; /* 0: no end */
	char **program;
} options = { .address = "127.0.0.1" };

static struct sessions {
	pid_t *pids;
	size_t running, room;
	unsigned long accepted;
	pid_t last;
	int last_status; /* as a shell has it: 128 + n for signal n */
} sessions;

static const int handled[] = { SIGCHLD, SIGINT, SIGTERM };
enum { HANDLED = sizeof handled / sizeof *handled };
static volatile sig_atomic_t stopping;
static sigset_t mask_while_waiting;
static int listener = -1; /* -1: closed again */

static void
fail(const char *what)
{
	fprintf(stderr, "serve: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
usage(void)
{
	fputs("usage: serve [-6et] [-a address] [-n count] [-s file] [-u path] port program "
	      "[argument ...]\n",
	    stderr);
	exit(2);
}

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
	if (pid == sessions.last)
		sessions.last_status =
		    WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (options.status_file) {
		FILE *file = fopen(options.status_file, "a");
		if (!file)
			fail(options.status_file);
		if (WIFSIGNALED(status))
			fprintf(file, "signal %d\n", WTERMSIG(status));
		else
			fprintf(file, "%d\n", WEXITSTATUS(status));
		if (fclose(file) != 0)
			fail(options.status_file);
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
	const int highest = options.standard_error ? 2 : 1;
	volatile int problem = 0;

	sessions.last = vfork();
	if (sessions.last == 0) {
		sigaction(SIGPIPE, &action, NULL);
		for (size_t i = 0; i < HANDLED; i++)
			sigaction(handled[i], &action, NULL);
		sigprocmask(SIG_SETMASK, &mask_while_waiting, NULL);
		for (int fd = 0; fd <= highest; fd++)
			dup2(connection, fd);
		execvp(options.program[0], options.program);
		problem = errno;
		_exit(127);
	}
	if (sessions.last == -1)
		problem = errno;
	if (problem != 0) {
		errno = problem;
		fail(options.program[0]);
	}

	if (sessions.running == sessions.room) {
		sessions.room = sessions.room ? 2 * sessions.room : 64;
		sessions.pids = realloc(sessions.pids, sessions.room * sizeof *sessions.pids);
		if (!sessions.pids)
			fail("realloc");
	}
	sessions.pids[sessions.running++] = sessions.last;
}

static void
stop_listening(void)
{
	if (listener >= 0)
		close(listener);
	listener = -1;
	if (options.path)
		unlink(options.path);
}

static void
accept_one(void)
{
	int connection = accept(listener, NULL, NULL);
	if (connection < 0) {
		if (errno == ECONNABORTED || errno == EINTR || errno == EAGAIN ||
		    errno == EWOULDBLOCK)
			return;
		fail("accept");
	}
	if (fcntl(connection, F_SETFD, FD_CLOEXEC) < 0)
		fail("fcntl");
	/* Nobody may get through once the last session has been seen to begin. */
	if (++sessions.accepted == options.sessions)
		stop_listening();
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
		fail("pselect");
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

static int
serve(void)
{
	while (!stopping && (listener >= 0 || sessions.running > 0)) {
		if (wait_for_caller(NULL))
			accept_one();
		reap();
	}
	stop_listening();
	if (!stopping)
		return sessions.last_status;
	end_sessions();
	return 0;
}

static int
listen_unix(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (strlen(options.path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		fail(options.path);
	}
	memcpy(address.sun_path, options.path, strlen(options.path) + 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    listen(fd, 128) < 0)
		fail(options.path);
	printf("%s\n", options.path);
	return fd;
}

static int
listen_tcp(const char *port)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	struct sockaddr_storage bound;
	socklen_t length = sizeof bound;
	char service[6];
	int on = 1;

	int problem = getaddrinfo(options.address, port, &hints, &found);
	if (problem != 0) {
		fprintf(stderr, "serve: %s port %s: %s\n", options.address, port,
		    gai_strerror(problem));
		exit(2);
	}
	int fd = socket(found->ai_family, SOCK_STREAM, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 128) < 0 ||
	    getsockname(fd, (struct sockaddr *)&bound, &length) < 0 ||
	    getnameinfo((struct sockaddr *)&bound, length, NULL, 0, service, sizeof service,
		NI_NUMERICSERV) != 0)
		fail(options.address);
	freeaddrinfo(found);
	if (options.greeting)
		printf("serving on %s:%s until Ctrl-C\n"
		       "try: curl --socks4a %s:%s http://example.org/\n",
		    options.address, service, options.address, service);
	else
		printf("%s\n", service);
	return fd;
}

static void
prepare_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < HANDLED; i++) {
		sigaction(handled[i], &action, NULL);
		sigaddset(&blocked, handled[i]);
	}
	sigprocmask(SIG_BLOCK, &blocked, &mask_while_waiting);
	/* A shell starts background jobs with SIGINT ignored; a mask that blocks ours would leave
	 * them for ever. */
	for (size_t i = 0; i < HANDLED; i++)
		sigdelset(&mask_while_waiting, handled[i]);
}

int
main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "+6a:en:s:tu:")) != -1)
		switch (option) {
		case '6':
			options.address = "::1";
			break;
		case 'a':
			options.address = optarg;
			break;
		case 'e':
			options.standard_error = true;
			break;
		case 'n':
			options.sessions = strtoul(optarg, NULL, 10);
			break;
		case 's':
			options.status_file = optarg;
			break;
		case 't':
			options.greeting = true;
			break;
		case 'u':
			options.path = optarg;
			break;
		default:
			usage();
		}
	if (argc - optind < 2)
		usage();
	options.program = argv + optind + 1;

	/* Nothing but 0, 1 and 2 may reach the program; fd 3 upwards is what our own starter left
	 * open. */
	for (int fd = 3; fd < 256; fd++)
		close(fd);
	prepare_signals();
	listener = options.path ? listen_unix() : listen_tcp(argv[optind]);
	if (listener <= 2 || listener >= FD_SETSIZE || fcntl(listener, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(listener, F_SETFL, O_NONBLOCK) < 0 || fflush(stdout) != 0)
		fail("listener");
	return serve();
}

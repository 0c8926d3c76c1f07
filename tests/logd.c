/*
 * logd: a syslog that writes down each datagram, or what comes up to a NUL, as one line.
 * tests/README.md has the details.
 */
#define NAME "logd"
#include <sys/stat.h>

#include "tests/net.h"

static void
write_line(FILE *file, const unsigned char *bytes, size_t length)
{
	/* musl's syslog() ends each message with a newline, glibc's does not */
	if (length > 0 && bytes[length - 1] == '\n')
		length--;
	for (size_t i = 0; i < length; i++)
		if (bytes[i] == '\n')
			fputs("\\n", file);
		else if (bytes[i] < 32 || bytes[i] > 126)
			fprintf(file, "\\x%02x", bytes[i]);
		else
			putc(bytes[i], file);
	putc('\n', file);
	net_must(fflush(file) == 0, "write");
}

static void
take_stream(int fd, FILE *file)
{
	static unsigned char record[65536];
	size_t length = 0;

	while (length < sizeof record && recv(fd, &record[length], 1, 0) == 1)
		if (record[length++] == '\0') {
			write_line(file, record, length - 1);
			length = 0;
		}
	if (length > 0)
		write_line(file, record, length);
}

/* A process for each connection. */
static void
accept_streams(int listener, FILE *file)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		net_must(fd >= 0, "accept");
		pid_t child = fork();
		net_must(child >= 0, "fork");
		if (child == 0) {
			take_stream(fd, file);
			exit(0);
		}
		close(fd);
	}
}

static void
take_datagrams(int fd, FILE *file)
{
	static unsigned char datagram[65536];

	for (;;) {
		ssize_t length = recv(fd, datagram, sizeof datagram, 0);
		net_must(length >= 0, "recv");
		write_line(file, datagram, (size_t)length);
	}
}

int
main(int argc, char **argv)
{
	const char *path = "/dev/log";
	bool streams = false;
	const struct net_option letters[] = { { 'p', .text = &path }, { 's', .flag = &streams },
		{ 0 } };

	argv = net_options(argc, argv, letters, 1, "logd [-s] [-p path] file");
	FILE *file = fopen(argv[0], "a");
	net_must(file != NULL, argv[0]);
	struct net_address address = net_local(path);
	int fd = net_bound(&address, streams ? SOCK_STREAM : SOCK_DGRAM);
	/* everybody may log, as with a real one */
	net_must(fd >= 0 && chmod(path, 0666) == 0, path);
	net_must(!streams || listen(fd, 1) == 0, "listen");
	printf("%s\n", path);
	fflush(stdout);
	if (streams)
		accept_streams(fd, file);
	take_datagrams(fd, file);
	fclose(file);
}

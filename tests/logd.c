/*
 * logd: a syslog that writes down each datagram, or what comes up to a NUL, as one line.
 * tests/README.md has the details.
 */
#define _GNU_SOURCE /* ppoll(2) */
#define NAME "logd"
#include <sys/stat.h>

#include "tests/net.h"

static volatile sig_atomic_t stopping;

static void
on_signal(int number)
{
	stopping = number;
}

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

/* One connection after another, so that the lines are in the order of the connections. */
static void
take_streams(int listener, FILE *file)
{
	static unsigned char record[65536];

	for (;;) {
		size_t length = 0;
		int fd = accept(listener, NULL, NULL);
		net_must(fd >= 0, "accept");
		while (length < sizeof record && recv(fd, &record[length], 1, 0) == 1)
			if (record[length++] == '\0') {
				write_line(file, record, length - 1);
				length = 0;
			}
		if (length > 0)
			write_line(file, record, length);
		close(fd);
	}
}

/* What had arrived when SIGTERM came is written down first: its sender may be gone by now. */
static void
take_datagrams(int fd, FILE *file, const sigset_t *mask_while_waiting)
{
	static unsigned char datagram[65536];
	ssize_t length;

	for (;;) {
		while ((length = recv(fd, datagram, sizeof datagram, MSG_DONTWAIT)) >= 0)
			write_line(file, datagram, (size_t)length);
		net_must(errno == EAGAIN, "recv");
		if (stopping)
			return;
		ppoll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, NULL, mask_while_waiting);
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
	const int signals[] = { streams ? 0 : SIGTERM, 0 };
	sigset_t mask = net_catch(signals, on_signal);
	printf("%s\n", path);
	fflush(stdout);
	if (streams)
		take_streams(fd, file);
	take_datagrams(fd, file, &mask);
	fclose(file);
}

/*
 * logd: a syslog that writes down each datagram as one line. tests/README.md has the details.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void
fail(const char *what)
{
	fprintf(stderr, "logd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int
open_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (strlen(path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		fail(path);
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	/* everybody may log, as with a real one */
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    chmod(path, 0666) < 0)
		fail(path);
	return fd;
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
	if (fflush(file) != 0)
		fail("write");
}

int
main(int argc, char **argv)
{
	static unsigned char datagram[65536];
	const char *path = "/dev/log";
	int option;

	while ((option = getopt(argc, argv, "p:")) != -1)
		if (option == 'p')
			path = optarg;
		else
			optind = argc;
	if (argc - optind != 1) {
		fputs("usage: logd [-p path] file\n", stderr);
		return 2;
	}

	FILE *file = fopen(argv[optind], "a");
	if (!file)
		fail(argv[optind]);
	int fd = open_socket(path);
	printf("%s\n", path);
	fflush(stdout);
	for (;;) {
		ssize_t length = recv(fd, datagram, sizeof datagram, 0);
		if (length < 0)
			fail("recv");
		write_line(file, datagram, (size_t)length);
	}
}

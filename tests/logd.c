/*
 * logd: a syslog that writes down each datagram as one line. tests/README.md has the details.
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

int
main(int argc, char **argv)
{
	static unsigned char datagram[65536];
	const char *path = "/dev/log";
	const struct net_option letters[] = { { 'p', .text = &path }, { 0 } };

	argv = net_options(argc, argv, letters, 1, "logd [-p path] file");
	FILE *file = fopen(argv[0], "a");
	net_must(file != NULL, argv[0]);
	struct net_address address = net_local(path);
	int fd = net_bound(&address, SOCK_DGRAM);
	/* everybody may log, as with a real one */
	net_must(fd >= 0 && chmod(path, 0666) == 0, path);
	printf("%s\n", path);
	fflush(stdout);
	for (;;) {
		ssize_t length = recv(fd, datagram, sizeof datagram, 0);
		net_must(length >= 0, "recv");
		write_line(file, datagram, (size_t)length);
	}
}

/* What a session costs if nothing is done but the session: reads a SOCKS4 CONNECT request on fd 0
 * in one read, connects, replies and exits; with an argument, relays until both ends have passed
 * before it exits. No list, no log, no limit: the mark that sessions a second are held against,
 * never a proxy to be used. Built with musl-gcc -static. */
#define _POSIX_C_SOURCE 200809L

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
relay(int remote)
{
	struct pollfd ends[2] = { { 0, POLLIN, 0 }, { remote, POLLIN, 0 } };
	char bytes[1024];
	int open = 2, i;

	while (open > 0 && poll(ends, 2, -1) > 0)
		for (i = 0; i < 2; i++) {
			ssize_t got;

			if (ends[i].revents == 0)
				continue;
			got = read(ends[i].fd, bytes, sizeof bytes);
			if (got > 0 && write(i == 0 ? remote : 1, bytes, (size_t)got) == got)
				continue;
			shutdown(i == 0 ? remote : 1, SHUT_WR);
			ends[i].fd = -1;
			open--;
		}
}

int
main(int argc, char **argv)
{
	static const unsigned char granted[8] = { 0, 90 };
	unsigned char request[512];
	struct sockaddr_in to;
	int fd;

	(void)argv;
	if (read(0, request, sizeof request) < 9 || request[0] != 4 || request[1] != 1)
		return 1;
	memset(&to, 0, sizeof to);
	to.sin_family = AF_INET;
	memcpy(&to.sin_port, request + 2, 2);
	memcpy(&to.sin_addr, request + 4, 4);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		return 1;
	if (write(1, granted, sizeof granted) != (ssize_t)sizeof granted)
		return 1;
	if (argc > 1)
		relay(fd);
	return 0;
}

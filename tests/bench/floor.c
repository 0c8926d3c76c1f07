/* What a session costs if nothing is done but the session: reads a SOCKS4 CONNECT request on fd 0
 * in one read, connects, replies and exits. No list, no log, no limit, no relay: the mark that
 * sessions a second are held against, never a proxy to be used. Built with musl-gcc -static. */
#define _POSIX_C_SOURCE 200809L

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
main(void)
{
	static const unsigned char granted[8] = { 0, 90 };
	unsigned char request[512];
	struct sockaddr_in to;
	int fd;

	if (read(0, request, sizeof request) < 9 || request[0] != 4 || request[1] != 1)
		return 1;
	memset(&to, 0, sizeof to);
	to.sin_family = AF_INET;
	memcpy(&to.sin_port, request + 2, 2);
	memcpy(&to.sin_addr, request + 4, 4);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		return 1;
	return write(1, granted, sizeof granted) != (ssize_t)sizeof granted;
}

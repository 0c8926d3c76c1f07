/* Starts a program with a socket on fd 0 and 1 that no launcher would hand over:
 * oddfd listening|unconnected|datagram program [argument ...] */

#include <sys/socket.h>

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	struct sockaddr_in here;
	int fd;

	if (argc < 3)
		return 125;
	fd = socket(AF_INET, strcmp(argv[1], "datagram") == 0 ? SOCK_DGRAM : SOCK_STREAM, 0);
	memset(&here, 0, sizeof here);
	here.sin_family = AF_INET;
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	here.sin_port = htons(9);
	if (strcmp(argv[1], "datagram") == 0 &&
	    connect(fd, (struct sockaddr *)&here, sizeof here) == -1)
		return 125;
	if (strcmp(argv[1], "listening") == 0 && listen(fd, 1) == -1)
		return 125;
	if (dup2(fd, STDIN_FILENO) == -1 || dup2(fd, STDOUT_FILENO) == -1)
		return 125;
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 125;
}

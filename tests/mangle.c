/*
 * mangle FILE: takes a frozen list, changes each byte of it in turn to 0, to 255 and by one bit,
 * cuts it at each length, and has every such file loaded and asked. Built with the sanitizers: what
 * it finds ends it. Prints how many of them were still lists.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acl.h"
#include "lib/address.h"
#include "lib/socks4.h"

static unsigned complaints;
static bool whole;
static char path[64];
static int fd;

static bool
complain(const char *format, ...)
{
	complaints += format[0] != '\0';
	return true;
}

static void
ask(struct acl *list, unsigned char command, const char *name, const unsigned char *octets)
{
	static const unsigned char source[] = { 192, 0, 2, 7 };
	struct address from, to;
	struct acl_request request = {
		.command = command, .source = &from, .userid = "alice", .name = name, .port = 443
	};
	struct acl_decision decision;

	address_set(&from, AF_INET, source);
	if (octets != NULL) {
		address_set(&to, AF_INET, octets);
		request.address = &to;
	}
	decision = acl_judge(list, &request);
	if (decision.verdict != ACL_BROKEN && acl_text(list, &decision) != NULL)
		complaints += strlen(acl_text(list, &decision)) == SIZE_MAX;
}

/* True if it is still a list. */
static bool
try(const unsigned char *bytes, size_t size)
{
	static const unsigned char outside[] = { 198, 51, 100, 9 }, denied[] = { 203, 0, 113, 9 };
	char window[512];
	struct acl *list;

	if (ftruncate(fd, 0) == -1 || pwrite(fd, bytes, size, 0) != (ssize_t)size)
		exit(2);
	complaints = 0;
	list = acl_load(
	    path, &(struct acl_memory){ window, sizeof window, sizeof window }, NULL, complain);
	if (list == NULL)
		return complaints == 0 ? exit(3), false : false;
	ask(list, SOCKS4_CONNECT, NULL, outside);
	ask(list, SOCKS4_CONNECT, "x.bad.example", denied);
	ask(list, SOCKS4_BIND, "www.example.org", NULL);
	whole = acl_is_whole(list);
	acl_free(list);
	return true;
}

int
main(int argc, char **argv)
{
	static unsigned char bytes[1 << 16], changed[1 << 16];
	char name[] = "/tmp/mangle-XXXXXX";
	unsigned long lists = 0, files = 0;
	int file = argc == 2 ? open(argv[1], O_RDONLY) : -1;
	ssize_t size = file != -1 ? read(file, bytes, sizeof bytes) : -1, i;
	int change;

	if (size <= 0 || (fd = mkstemp(name)) == -1 || unlink(name) == -1)
		return 2;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (!try(bytes, (size_t)size) || !whole)
		return 1;
	for (i = 0; i < size; i++) {
		for (change = 0; change < 10; change++) {
			memcpy(changed, bytes, (size_t)size);
			changed[i] = change == 0 ? 0
			    : change == 1	 ? 255
						 : (unsigned char)(bytes[i] ^ 1 << (change - 2));
			whole = false;
			lists += try(changed, (size_t)size);
			files++;
			if (whole && changed[i] != bytes[i])
				return 4;
		}
		whole = false;
		lists += try(bytes, (size_t)i);
		files++;
		if (whole && i > 0) /* an empty file is a right list */
			return 4;
	}
	printf("%lu files, of which %lu were lists\n", files, lists);
	return 0;
}

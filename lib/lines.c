#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "lib/lines.h"
#include "lib/net.h"

void *
lines_map(size_t size)
{
	void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return block != MAP_FAILED ? block : NULL;
}

void
lines_free(struct lines *lines)
{
	if (lines->mapped)
		(void)munmap(lines->bytes, lines->size);
}

/* Makes room for more of a line that does not fit. 0, or -1 with errno. */
static int
widen(struct lines *lines)
{
	size_t length = lines->end - lines->start, size = 2 * lines->size + 4096;
	char *larger;

	if (length < lines->size) {
		memmove(lines->bytes, lines->bytes + lines->start, length);
	} else {
		larger = lines_map(size);
		if (larger == NULL)
			return -1;
		memcpy(larger, lines->bytes, length);
		lines_free(lines);
		lines->bytes = larger;
		lines->size = size;
		lines->mapped = true;
	}
	lines->start = 0;
	lines->end = length;
	return 0;
}

int
lines_read(struct lines *lines)
{
	ssize_t got;

	if (lines->end == lines->size && widen(lines) == -1)
		return -1;
	do
		got = read(lines->fd, lines->bytes + lines->end, lines->size - lines->end);
	while (got == -1 && (errno == EINTR || errno == EAGAIN) &&
	    net_wait(lines->fd, POLLIN, NET_FOREVER) == 0);
	if (got == -1)
		return -1;
	if (got == 0)
		lines->fd = -1;
	lines->end += (size_t)got;
	lines->total += (size_t)got;
	if (lines->total <= lines->most)
		return 0;
	errno = EFBIG;
	return -1;
}

int
lines_next(struct lines *lines, char **line, size_t *length)
{
	char *newline = NULL;
	size_t looked = 0;

	for (;;) {
		*line = lines->bytes + lines->start;
		*length = lines->end - lines->start;
		if (*length > looked)
			newline = memchr(*line + looked, '\n', *length - looked);
		if (newline != NULL || lines->fd == -1)
			break;
		looked = *length;
		if (lines_read(lines) == -1)
			return -1;
	}
	lines->number++;
	if (newline == NULL) {
		*line = NULL;
		return 0;
	}
	*length = (size_t)(newline - *line);
	lines->start += *length + 1;
	return 0;
}

bool
lines_unchanged(int fd, const struct stat *before)
{
	struct stat now;

	return fstat(fd, &now) == 0 && now.st_size == before->st_size &&
	    now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

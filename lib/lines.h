/* A file read line by line: the access list, and the questions of a dry run. */

#ifndef LINES_H
#define LINES_H

#include <stdbool.h>
#include <stddef.h>

struct stat;

struct lines {
	int fd;	     /* not closed here; -1: nothing more is to come */
	char *bytes; /* the caller's buffer, until a line does not fit into it, */
	size_t size; /* at least one byte */
	size_t most; /* bytes of the whole file */
	bool mapped;
	size_t start, end; /* of what was read and is not taken yet */
	size_t total;
	unsigned number; /* of the line returned last */
};

/* Reads what comes next into the buffer; for a caller who looks at the file's first bytes. 0, also
 * at the end of the file; or -1 with errno: EFBIG if the file is too large, EINTR if net_stop() was
 * called. */
int lines_read(struct lines *lines);

/* The next line, without its newline and with a byte to write to after it; valid until the next
 * call. *line is NULL at the end; a last line without a newline is then left between start and end.
 * 0, or -1 as lines_read(). */
int lines_next(struct lines *lines, char **line, size_t *length);

void lines_free(struct lines *lines);

/* True if the file has the same size and modification time as before. */
bool lines_unchanged(int fd, const struct stat *before);

/* Zeroed memory from the system, of which munmap(2) leaves nothing in the heap; NULL with errno. */
void *lines_map(size_t size);

#endif

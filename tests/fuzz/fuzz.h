/* What the fuzz targets share. A property that does not hold aborts, which libFuzzer reports. */

#ifndef FUZZ_H
#define FUZZ_H

#undef NDEBUG
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A heap copy of exactly size bytes, so that one read behind them is noticed. */
static inline unsigned char *
fuzz_copy(const uint8_t *data, size_t size)
{
	unsigned char *copy = malloc(size != 0 ? size : 1);

	assert(copy != NULL);
	memcpy(copy, data, size);
	return copy;
}

/* A file that has no name any more, and a path that opens it. */
static inline int
nameless_file(char *path, size_t size)
{
	char name[] = "/dev/shm/fuzz-XXXXXX";
	int fd = mkstemp(name);

	assert(fd != -1 && unlink(name) == 0);
	snprintf(path, size, "/proc/self/fd/%d", fd);
	return fd;
}

#endif

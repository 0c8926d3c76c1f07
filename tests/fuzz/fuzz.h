/* What the fuzz targets share. A property that does not hold aborts, which libFuzzer reports. */

#ifndef FUZZ_H
#define FUZZ_H

#undef NDEBUG
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

#endif

/* A PROXY header as it comes in: the verdict falls at one byte, and no later byte changes it. */

#include "fuzz.h"

#include <sys/socket.h>

#include "lib/proxyheader.h"

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

static void
check_endpoint(const struct endpoint *endpoint)
{
	int family = endpoint->address.family;

	assert(family == AF_UNSPEC || family == AF_INET || family == AF_INET6);
	assert(endpoint->port <= 65535);
	if (family == AF_UNSPEC)
		assert(endpoint->port == 0);
	if (family == AF_INET6)
		assert(memcmp(endpoint->address.octets, mapped, sizeof mapped) != 0);
}

static void
check(const struct proxyheader *header, enum reason status, size_t used)
{
	check_endpoint(&header->source);
	check_endpoint(&header->destination);
	assert((header->source.address.family == AF_UNSPEC) ==
	    (header->destination.address.family == AF_UNSPEC));
	if (status == REASON_NONE)
		assert(used > 0 && used <= PROXY_V2_MOST);
	else
		assert(header->source.address.family == AF_UNSPEC);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum reason status, earlier = REASON_MORE;
	size_t length, used;

	/* Every length near the interesting places, then in strides: checksums cost time. */
	for (length = 0; length <= size; length += length < 160 || length + 16 > size ? 1 : 16) {
		unsigned char *bytes = fuzz_copy(data, length);
		struct proxyheader header;

		used = 0;
		status = proxyheader_decode(bytes, length, &header, &used);
		check(&header, status, used);
		if (earlier != REASON_MORE)
			assert(status == earlier);
		if (status == REASON_NONE)
			assert(used <= length);
		earlier = status;
		free(bytes);
		if (status != REASON_MORE && length > 160 && length + 17 < size)
			length = size - 17;
	}
	assert(earlier != REASON_MORE || size < PROXY_V2_MOST);
	return 0;
}

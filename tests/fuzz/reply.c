/* A reply, as the client mode reads it: eight bytes there and back. */

#include "fuzz.h"

#include "lib/socks4.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *bytes, again[SOCKS4_REPLY];
	struct socks4_reply reply;

	if (size < SOCKS4_REPLY)
		return 0;
	bytes = fuzz_copy(data, SOCKS4_REPLY);
	socks4_decode_reply(bytes, &reply);
	assert(reply.port <= 65535);
	socks4_encode_reply(&reply, again);
	assert(memcmp(bytes, again, SOCKS4_REPLY) == 0);
	free(bytes);
	return 0;
}

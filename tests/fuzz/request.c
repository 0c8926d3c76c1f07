/* A SOCKS4 request as it comes in: the verdict falls at one byte, and no later byte changes it, but
 * that what began like HTTP may turn out not to be. */

#include "fuzz.h"

#include "lib/socks4.h"

static void
check_whole(const struct socks4_request *request, const unsigned char *bytes, size_t used)
{
	unsigned char again[SOCKS4_REQUEST];

	assert(used <= SOCKS4_REQUEST);
	assert(request->command == SOCKS4_CONNECT || request->command == SOCKS4_BIND);
	assert(strlen(request->userid) <= SOCKS4_FIELD);
	assert((request->name != NULL) ==
	    (memcmp(request->dstip, "\0\0\0", 3) == 0 && request->dstip[3] != 0));
	if (request->name != NULL)
		assert(strlen(request->name) >= 1 && strlen(request->name) <= SOCKS4_FIELD);
	assert(socks4_encode_request(request, again) == used);
	assert(memcmp(again, bytes, used) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum reason status, earlier = REASON_MORE;
	size_t length, used, earlier_used = 0;

	if (size > SOCKS4_REQUEST + 2)
		size = SOCKS4_REQUEST + 2;
	for (length = 0; length <= size; length++) {
		unsigned char *bytes = fuzz_copy(data, length);
		struct socks4_request request;

		used = 0;
		status = socks4_decode_request(bytes, length, &request, &used);
		if (earlier == REASON_IS_HTTP && status == REASON_BAD_VERSION)
			assert(used == 0);
		else if (earlier != REASON_MORE)
			assert(status == earlier && used == earlier_used);
		else if (status == REASON_NONE)
			assert(used == length);
		if (status == REASON_NONE)
			check_whole(&request, bytes, used);
		earlier = status;
		earlier_used = used;
		free(bytes);
	}
	assert(earlier != REASON_MORE || size < SOCKS4_REQUEST);
	return 0;
}

#include <string.h>

#include "lib/socks4.h"

/* Both packets start alike: version, code, port, address. */
enum { AT_VERSION = 0, AT_CODE = 1, AT_PORT = 2, AT_DSTIP = 4, AT_FIELDS = 8 };

/* Reads the NUL-terminated field at offset and moves offset past it. */
static enum reason
field(const unsigned char *bytes, size_t length, size_t *offset, const char **text)
{
	size_t room = length - *offset;
	const unsigned char *start = bytes + *offset;
	const unsigned char *end =
	    memchr(start, '\0', room <= SOCKS4_FIELD ? room : SOCKS4_FIELD + 1);

	if (end == NULL)
		return room > SOCKS4_FIELD ? REASON_TOO_LONG : REASON_MORE;
	*text = (const char *)start;
	*offset += (size_t)(end - start) + 1;
	return REASON_NONE;
}

/* Guesses what a client speaks if its first byte is not SOCKS4's. The beginning of a method is
 * enough for HTTP, so there is no need to wait for more. */
static enum reason
other_protocol(const unsigned char *bytes, size_t length)
{
	static const char methods[][9] = { "GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ",
		"OPTIONS ", "TRACE ", "PATCH " };
	size_t i, most;

	if (bytes[AT_VERSION] == 5)
		return REASON_IS_SOCKS5;
	if (bytes[AT_VERSION] == 0x16) /* a handshake record, RFC 8446 section 5.1 */
		return REASON_IS_TLS;
	for (i = 0; i < sizeof methods / sizeof *methods; i++) {
		most = strlen(methods[i]);
		if (memcmp(bytes, methods[i], length < most ? length : most) == 0)
			return REASON_IS_HTTP;
	}
	return REASON_BAD_VERSION;
}

enum reason
socks4_decode_request(
    const unsigned char *bytes, size_t length, struct socks4_request *request, size_t *used)
{
	enum reason status;
	size_t offset = AT_FIELDS;

	memset(request, 0, sizeof *request);
	if (length > AT_VERSION && bytes[AT_VERSION] != SOCKS4_VERSION)
		return other_protocol(bytes, length);
	if (length > AT_CODE) {
		if (bytes[AT_CODE] != SOCKS4_CONNECT && bytes[AT_CODE] != SOCKS4_BIND)
			return REASON_BAD_COMMAND;
		request->command = bytes[AT_CODE];
	}
	if (length < AT_FIELDS)
		return REASON_MORE;
	request->port = (unsigned)(bytes[AT_PORT] << 8 | bytes[AT_PORT + 1]);
	memcpy(request->dstip, bytes + AT_DSTIP, sizeof request->dstip);
	request->addressed = true;
	status = field(bytes, length, &offset, &request->userid);
	if (status != REASON_NONE)
		return status;
	/* 0.0.0.0 itself is plain SOCKS4: what follows is the application's. */
	if (memcmp(request->dstip, "\0\0\0", 3) == 0 && request->dstip[3] != 0) {
		status = field(bytes, length, &offset, &request->name);
		if (status != REASON_NONE)
			return status;
		if (*request->name == '\0')
			return REASON_BAD_NAME;
	}
	*used = offset;
	return REASON_NONE;
}

static void
put_head(unsigned char *bytes, unsigned char version, unsigned char code, unsigned port,
    const unsigned char *dstip)
{
	bytes[AT_VERSION] = version;
	bytes[AT_CODE] = code;
	bytes[AT_PORT] = (unsigned char)(port >> 8 & 0xff);
	bytes[AT_PORT + 1] = (unsigned char)(port & 0xff);
	memcpy(bytes + AT_DSTIP, dstip, 4);
}

size_t
socks4_encode_request(const struct socks4_request *request, unsigned char *bytes)
{
	size_t length = strlen(request->userid) + 1;
	size_t offset = AT_FIELDS + length;

	put_head(bytes, SOCKS4_VERSION, request->command, request->port, request->dstip);
	memcpy(bytes + AT_FIELDS, request->userid, length);
	if (request->name != NULL) {
		length = strlen(request->name) + 1;
		memcpy(bytes + offset, request->name, length);
		offset += length;
	}
	return offset;
}

void
socks4_encode_reply(const struct socks4_reply *reply, unsigned char bytes[SOCKS4_REPLY])
{
	put_head(bytes, reply->version, reply->code, reply->port, reply->dstip);
}

void
socks4_decode_reply(const unsigned char bytes[SOCKS4_REPLY], struct socks4_reply *reply)
{
	reply->version = bytes[AT_VERSION];
	reply->code = bytes[AT_CODE];
	reply->port = (unsigned)(bytes[AT_PORT] << 8 | bytes[AT_PORT + 1]);
	memcpy(reply->dstip, bytes + AT_DSTIP, sizeof reply->dstip);
}

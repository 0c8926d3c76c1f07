#include <sys/socket.h>

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "lib/address.h"
#include "lib/proxyheader.h"

static const char v1_start[] = "PROXY ";
static const unsigned char v2_start[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Version 2: offsets and the values allowed there. */
enum { AT_COMMAND = 12, AT_FAMILY = 13, AT_LENGTH = 14, AT_BLOCK = PROXY_V2_HEAD };
enum { LOCAL = 0x20, PROXY = 0x21 };
enum { UNSPEC = 0x00, TCP4 = 0x11, TCP6 = 0x21 };
enum { TLV_HEAD = 3, TLV_CRC32C = 0x03, CRC_LENGTH = 4 };

/* ---- version 1: one line of text ---- */

/* The part of what has arrived that has not been read yet, and what was found out. */
struct line {
	const unsigned char *next, *end;
	enum reason status;
};

/* Reads a field into text, and the delimiter after it. Fails as soon as a byte is not in allowed or
 * the field is longer than most; or, with status REASON_MORE, if more bytes are needed. */
static bool
field(struct line *line, const char *allowed, char delimiter, size_t most, char *text)
{
	const unsigned char *at = line->next;

	for (; at < line->end && *at != (unsigned char)delimiter; at++) {
		if ((size_t)(at - line->next) == most ||
		    memchr(allowed, *at, strlen(allowed)) == NULL)
			return false;
		*text++ = (char)*at;
	}
	*text = '\0';
	if (at == line->end) {
		line->status = REASON_MORE;
		return false;
	}
	line->next = at + 1;
	return true;
}

static bool
v1_address(struct line *line, int family, struct address *address)
{
	unsigned char octets[16];
	char text[INET6_ADDRSTRLEN];
	bool four = family == AF_INET;

	if (!field(line, four ? "0123456789." : "0123456789abcdefABCDEF:.", ' ',
		four ? 15 : sizeof text - 1, text) ||
	    inet_pton(family, text, octets) != 1)
		return false;
	address_set(address, family, octets);
	return true;
}

static bool
v1_port(struct line *line, char delimiter, unsigned *port)
{
	char text[6];

	return field(line, "0123456789", delimiter, 5, text) &&
	    (text[0] != '0' || text[1] == '\0') && address_parse_port(text, 0, port) == 0;
}

static void
v1_pair(struct line *line, int family, struct proxyheader *header)
{
	if (!v1_address(line, family, &header->source.address) ||
	    !v1_address(line, family, &header->destination.address) ||
	    !v1_port(line, ' ', &header->source.port) ||
	    !v1_port(line, '\r', &header->destination.port))
		return;
	if (line->next == line->end)
		line->status = REASON_MORE;
	else if (*line->next++ == '\n')
		line->status = REASON_NONE;
}

/* Ignores what follows UNKNOWN up to CR LF (proxy-protocol.txt section 2.1). */
static enum reason
v1_rest(struct line *line)
{
	if (line->next < line->end && *line->next != ' ' && *line->next != '\r')
		return REASON_BAD_PROXY_HEADER;
	for (; line->end - line->next >= 2; line->next++)
		if (memcmp(line->next, "\r\n", 2) == 0) {
			line->next += 2;
			return REASON_NONE;
		}
	return REASON_MORE;
}

/* Reads a word. Returns true if what has arrived is the word or the beginning of it. */
static bool
starts(struct line *line, const char *word)
{
	size_t room = (size_t)(line->end - line->next), size = strlen(word);

	if (size > room)
		size = room;
	if (memcmp(line->next, word, size) != 0)
		return false;
	line->next += size;
	return true;
}

static enum reason
v1_decode(const unsigned char *bytes, size_t length, struct proxyheader *header, size_t *used)
{
	bool whole = length >= PROXY_V1_MOST;
	struct line line = { bytes, bytes + (whole ? PROXY_V1_MOST : length),
		REASON_BAD_PROXY_HEADER };

	if (!starts(&line, v1_start))
		return line.status;
	if (starts(&line, "TCP4 "))
		v1_pair(&line, AF_INET, header);
	else if (starts(&line, "TCP6 "))
		v1_pair(&line, AF_INET6, header);
	else if (starts(&line, "UNKNOWN"))
		line.status = v1_rest(&line);
	*used = (size_t)(line.next - bytes);
	return line.status == REASON_MORE && whole ? REASON_BAD_PROXY_HEADER : line.status;
}

/* ---- version 2: binary ---- */

/* True if CRC32c (RFC 3720, reflected 0x82f63b78) of the bytes, with its own four taken as zero, is
 * the one at checksum. */
static bool
crc_is_right(const unsigned char *bytes, size_t length, size_t checksum)
{
	const unsigned char *at = bytes + checksum;
	uint32_t crc = 0xffffffff;
	size_t i;
	int bit;

	for (i = 0; i < length; i++) {
		if (i < checksum || i >= checksum + CRC_LENGTH)
			crc ^= bytes[i];
		for (bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc ==
	    ((uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3]);
}

/* Checks the TLVs from offset, as far as they have arrived, in a header of total bytes. */
static enum reason
v2_extras(const unsigned char *bytes, size_t length, size_t offset, size_t total)
{
	size_t size, checksum = 0;

	for (; offset < total; offset += size) {
		if (total - offset < TLV_HEAD)
			return REASON_BAD_PROXY_HEADER;
		if (length < offset + TLV_HEAD)
			return REASON_MORE;
		size = (size_t)(bytes[offset + 1] << 8 | bytes[offset + 2]) + TLV_HEAD;
		if (size > total - offset)
			return REASON_BAD_PROXY_HEADER;
		if (bytes[offset] == TLV_CRC32C) {
			/* There can be only one: each would cover the other. */
			if (size != TLV_HEAD + CRC_LENGTH || checksum != 0)
				return REASON_BAD_PROXY_HEADER;
			checksum = offset + TLV_HEAD;
		}
	}
	if (length < total)
		return REASON_MORE;
	return checksum == 0 || crc_is_right(bytes, total, checksum) ? REASON_NONE
								     : REASON_BAD_PROXY_HEADER;
}

static enum reason
v2_addresses(const unsigned char *bytes, size_t length, size_t total, struct proxyheader *header)
{
	int family = bytes[AT_FAMILY] == TCP4 ? AF_INET : AF_INET6;
	size_t size = family == AF_INET ? 4 : 16;
	const unsigned char *ports = bytes + AT_BLOCK + 2 * size;
	size_t end = AT_BLOCK + 2 * size + 4;

	if (total < end)
		return REASON_BAD_PROXY_HEADER;
	if (length < end)
		return REASON_MORE;
	address_set(&header->source.address, family, bytes + AT_BLOCK);
	address_set(&header->destination.address, family, bytes + AT_BLOCK + size);
	header->source.port = (unsigned)(ports[0] << 8 | ports[1]);
	header->destination.port = (unsigned)(ports[2] << 8 | ports[3]);
	return v2_extras(bytes, length, end, total);
}

static enum reason
v2_decode(const unsigned char *bytes, size_t length, struct proxyheader *header, size_t *used)
{
	bool local = length > AT_COMMAND && bytes[AT_COMMAND] == LOCAL;
	unsigned char family = length > AT_FAMILY ? bytes[AT_FAMILY] : UNSPEC;

	if (memcmp(bytes, v2_start, length < sizeof v2_start ? length : sizeof v2_start) != 0)
		return REASON_BAD_PROXY_HEADER;
	if (length > AT_COMMAND && !local && bytes[AT_COMMAND] != PROXY)
		return REASON_BAD_PROXY_HEADER;
	if (!local && family != UNSPEC && family != TCP4 && family != TCP6)
		return REASON_BAD_PROXY_HEADER;
	/* The high byte alone may already be too large. */
	if (length > AT_LENGTH && bytes[AT_LENGTH] << 8 > PROXY_V2_MOST - PROXY_V2_HEAD)
		return REASON_BAD_PROXY_HEADER;
	if (length < PROXY_V2_HEAD)
		return REASON_MORE;
	*used = (size_t)(bytes[AT_LENGTH] << 8 | bytes[AT_LENGTH + 1]) + PROXY_V2_HEAD;
	if (*used > PROXY_V2_MOST)
		return REASON_BAD_PROXY_HEADER;
	if (local) /* a health check, say: discard its block unread */
		return length < *used ? REASON_MORE : REASON_NONE;
	if (family == UNSPEC)
		return v2_extras(bytes, length, AT_BLOCK, *used);
	return v2_addresses(bytes, length, *used, header);
}

enum reason
proxyheader_decode(
    const unsigned char *bytes, size_t length, struct proxyheader *header, size_t *used)
{
	enum reason status;

	memset(header, 0, sizeof *header);
	if (length == 0)
		return REASON_MORE;
	status = bytes[0] == v2_start[0] ? v2_decode(bytes, length, header, used)
					 : v1_decode(bytes, length, header, used);
	if (status != REASON_NONE)
		memset(header, 0, sizeof *header); /* do not leave half a header to be used */
	return status;
}

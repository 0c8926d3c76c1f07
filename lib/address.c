#include <sys/socket.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "lib/address.h"
#include "lib/text.h"

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

void
address_set(struct address *address, int family, const void *octets)
{
	memset(address, 0, sizeof *address);
	if (family == AF_INET6 && memcmp(octets, mapped, sizeof mapped) == 0) {
		family = AF_INET;
		octets = (const unsigned char *)octets + sizeof mapped;
	}
	address->family = family;
	memcpy(address->octets, octets, family == AF_INET ? 4 : 16);
}

/* Parses an IPv4 address as inet_pton(3) does, but where it stands, without a copy that ends in a
 * NUL: long lists are full of them. Returns its end, or NULL. */
static const char *
parse_four(const char *text, struct address *address)
{
	unsigned char octets[4];
	const char *start;
	unsigned i, value;

	for (i = 0; i < sizeof octets; i++) {
		value = 0;
		for (start = text; *text >= '0' && *text <= '9' && text < start + 3; text++)
			value = value * 10 + (unsigned)(*text - '0');
		if (text == start || value > 255 || (*start == '0' && text > start + 1))
			return NULL;
		octets[i] = (unsigned char)value;
		if (i < 3 && *text++ != '.')
			return NULL;
	}
	address_set(address, AF_INET, octets);
	return text;
}

/* Parses an IPv6 address without a scope. Returns its end, or NULL. */
static const char *
parse_six(const char *text, struct address *address)
{
	size_t length = strcspn(text, "%/");
	unsigned char octets[16];
	char bare[INET6_ADDRSTRLEN];

	if (length >= sizeof bare)
		return NULL;
	memcpy(bare, text, length);
	bare[length] = '\0';
	if (inet_pton(AF_INET6, bare, octets) != 1)
		return NULL;
	address_set(address, AF_INET6, octets);
	return text + length;
}

int
address_parse(const char *text, struct address *address)
{
	const char *end = parse_four(text, address);

	if (end == NULL)
		end = parse_six(text, address);
	if (end != NULL && *end == '%' && address->family == AF_INET6) {
		address->scope = if_nametoindex(end + 1);
		return address->scope != 0 ? 0 : -1;
	}
	return end != NULL && *end == '\0' ? 0 : -1;
}

int
address_parse_port(const char *text, unsigned minimum, unsigned *port)
{
	unsigned value = 0;
	const char *p;

	for (p = text; *p >= '0' && *p <= '9' && value <= 65535; p++)
		value = value * 10 + (unsigned)(*p - '0');
	if (p == text || *p != '\0' || value < minimum || value > 65535)
		return -1;
	*port = value;
	return 0;
}

/* True if every bit of the address after the first length ones is zero. */
static bool
host_bits_clear(const struct address *address, unsigned length)
{
	unsigned i = length / 8, size = address->family == AF_INET ? 4 : 16;
	unsigned bits = i < size ? address->octets[i] & 0xffU >> length % 8 : 0;

	while (++i < size)
		bits |= address->octets[i];
	return bits == 0;
}

const char *
address_parse_prefix(const char *text, struct prefix *prefix)
{
	const char *end = parse_four(text, &prefix->address);
	bool six = end == NULL;
	unsigned bits = six ? 128 : 32;

	if (six)
		end = parse_six(text, &prefix->address);
	if (end == NULL || (*end != '/' && *end != '\0'))
		return strchr(text, '%') == NULL
		    ? "is not an address"
		    : "has a zone: leave it out, a prefix covers every interface";
	prefix->length = bits;
	if (*end == '/' &&
	    (address_parse_port(end + 1, 0, &prefix->length) == -1 || prefix->length > bits))
		return "has no valid prefix length";
	if (six && prefix->address.family == AF_INET) {
		if (prefix->length >= 96) {
			prefix->length -= 96;
		} else { /* wider than the mapped range: an IPv6 prefix after all */
			prefix->address.family = AF_INET6;
			memcpy(prefix->address.octets + 12, prefix->address.octets, 4);
			memcpy(prefix->address.octets, mapped, sizeof mapped);
		}
	}
	if (!host_bits_clear(&prefix->address, prefix->length))
		return "has host bits set after the prefix length";
	return NULL;
}

/* Returns where the first longest run of two or more zero groups starts, or 8 if there is none. */
static int
find_zeros(const unsigned char *octets, int *length)
{
	int i, run = 0, start = 8;

	*length = 1;
	for (i = 0; i < 8; i++) {
		run = (octets[2 * i] | octets[2 * i + 1]) == 0 ? run + 1 : 0;
		if (run > *length) {
			*length = run;
			start = i + 1 - run;
		}
	}
	return start;
}

/* RFC 5952 section 4. inet_ntop(3) would pull all of printf(3) into a musl build. */
static void
put_six(struct text *text, const unsigned char *octets)
{
	int i, length, start = find_zeros(octets, &length);

	for (i = 0; i < 8; i++) {
		if (i == start) {
			text_put(text, "::");
			i += length - 1;
			continue;
		}
		text_put(text, "%s%x", i > 0 && i != start + length ? ":" : "",
		    (unsigned)(octets[2 * i] << 8 | octets[2 * i + 1]));
	}
}

/* Returns the interface's name or NULL. Asks the system once, before the sandbox forbids it. */
static const char *
interface_name(unsigned scope)
{
	static struct {
		unsigned scope; /* 0: free */
		char name[IF_NAMESIZE];
	} known[2]; /* a session has two ends */
	size_t i = 0;

	while (
	    known[i].scope != scope && known[i].scope != 0 && i + 1 < sizeof known / sizeof *known)
		i++;
	if (known[i].scope != scope) {
		known[i].scope = 0;
		if (if_indextoname(scope, known[i].name) == NULL)
			return NULL;
		known[i].scope = scope;
	}
	return known[i].name;
}

const char *
address_print(const struct address *address, char *text)
{
	const char *interface = address->scope != 0 ? interface_name(address->scope) : NULL;
	const unsigned char *octets = address->octets;
	struct text whole = { .bytes = text, .size = ADDRESS_TEXT };

	if (address->family == AF_INET6)
		put_six(&whole, octets);
	else
		text_put(&whole, "%u.%u.%u.%u", octets[0], octets[1], octets[2], octets[3]);
	if (interface != NULL)
		text_put(&whole, "%c%s", '%', interface);
	return text;
}

const char *
address_print_endpoint(const struct endpoint *endpoint, char *text)
{
	char bare[ADDRESS_TEXT];
	bool six = endpoint->address.family == AF_INET6;
	struct text whole = { .bytes = text, .size = ADDRESS_TEXT };

	text_put(&whole, six ? "[%s]:%u" : "%s:%u", address_print(&endpoint->address, bare),
	    endpoint->port);
	return text;
}

int
address_from_socket(const struct sockaddr_storage *from, struct endpoint *endpoint)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (from->ss_family == AF_INET) {
		memcpy(&in, from, sizeof in);
		address_set(&endpoint->address, AF_INET, &in.sin_addr);
		endpoint->port = ntohs(in.sin_port);
		return 0;
	}
	if (from->ss_family == AF_INET6) {
		memcpy(&in6, from, sizeof in6);
		address_set(&endpoint->address, AF_INET6, &in6.sin6_addr);
		if (endpoint->address.family == AF_INET6)
			endpoint->address.scope = in6.sin6_scope_id;
		endpoint->port = ntohs(in6.sin6_port);
		return 0;
	}
	return -1;
}

size_t
address_to_socket(const struct endpoint *endpoint, struct sockaddr_storage *to)
{
	in_port_t port = htons((uint16_t)endpoint->port);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = port };
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6, .sin6_port = port, .sin6_scope_id = endpoint->address.scope
	};

	memset(to, 0, sizeof *to);
	if (endpoint->address.family == AF_INET) {
		memcpy(&in.sin_addr, endpoint->address.octets, 4);
		memcpy(to, &in, sizeof in);
		return sizeof in;
	}
	memcpy(&in6.sin6_addr, endpoint->address.octets, 16);
	memcpy(to, &in6, sizeof in6);
	return sizeof in6;
}

bool
address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family &&
	    memcmp(a->octets, b->octets, a->family == AF_INET ? 4 : 16) == 0;
}

bool
address_in_prefix(const struct address *address, const struct prefix *prefix)
{
	const unsigned char *a = address->octets, *b = prefix->address.octets;
	unsigned whole = prefix->length / 8, rest = prefix->length % 8;

	return address->family == prefix->address.family && memcmp(a, b, whole) == 0 &&
	    (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

bool
address_is_unspecified(const struct address *address)
{
	static const unsigned char zero[16];

	return memcmp(address->octets, zero, address->family == AF_INET ? 4 : 16) == 0;
}

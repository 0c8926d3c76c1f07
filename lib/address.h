/* IPv4 and IPv6 addresses and prefixes: parse, print, compare, convert. */

#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

struct sockaddr_storage;

/* An IPv4 or IPv6 address; ::ffff:a.b.c.d is always held as a.b.c.d. AF_UNSPEC: none. */
struct address {
	int family;
	unsigned char octets[16];
	unsigned scope; /* interface index of a link-local IPv6 address, else 0 */
};

struct endpoint {
	struct address address;
	unsigned port; /* host byte order */
};

struct prefix {
	struct address address;
	unsigned length; /* bits */
};

/* Longest text of an endpoint, "[v6%scope]:port", with its NUL. */
enum { ADDRESS_TEXT = 80 };

/* Parses a numeric address, IPv6 with an optional %scope. Returns 0, or -1 if it is not one. */
int address_parse(const char *text, struct address *address);

/* Parses "address" or "address/length"; mapped prefixes of 96 and more become IPv4. Returns NULL,
 * or a static message that says what is wrong. */
const char *address_parse_prefix(const char *text, struct prefix *prefix);

/* Parses a decimal port from minimum to 65535, digits only. Returns 0 or -1. */
int address_parse_port(const char *text, unsigned minimum, unsigned *port);

/* Both write at most ADDRESS_TEXT bytes, NUL included, and return text: "192.0.2.1", "2001:db8::1"
 * (RFC 5952); with the port "192.0.2.1:80", "[2001:db8::1]:80". */
const char *address_print(const struct address *address, char *text);
const char *address_print_endpoint(const struct endpoint *endpoint, char *text);

/* Sets address from octets in network order, mapped ones as IPv4; family is AF_INET or AF_INET6. */
void address_set(struct address *address, int family, const void *octets);

/* From and to the socket layer. The first returns 0, or -1 for another family; the second returns
 * the length of what it wrote. */
int address_from_socket(const struct sockaddr_storage *from, struct endpoint *endpoint);
size_t address_to_socket(const struct endpoint *endpoint, struct sockaddr_storage *to);

/* Neither compares scopes. */
bool address_equal(const struct address *a, const struct address *b);
bool address_in_prefix(const struct address *address, const struct prefix *prefix);

/* True for 0.0.0.0 and ::, which a host may take for itself. */
bool address_is_unspecified(const struct address *address);

#endif

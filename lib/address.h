/* Addresses and prefixes, IPv4 and IPv6: in texts, sockets and prefixes. */

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

/* Reads a numeric address, IPv6 with an optional %scope. 0, or -1 if it is none. */
int address_parse(const char *text, struct address *address);

/* Reads "address" or "address/length"; mapped prefixes of 96 and more become IPv4. NULL if
 * it is right, else a message that says what is wrong. Text is not kept. */
const char *address_parse_prefix(const char *text, struct prefix *prefix);

/* Reads a decimal port from minimum to 65535, digits only. 0 or -1. */
int address_parse_port(const char *text, unsigned minimum, unsigned *port);

/* Both write at most ADDRESS_TEXT bytes and return text: "192.0.2.1", "2001:db8::1"; with the
 * port "192.0.2.1:80", "[2001:db8::1]:80". */
const char *address_print(const struct address *address, char *text);
const char *address_print_endpoint(const struct endpoint *endpoint, char *text);

/* Fills address from octets in network order; family AF_INET or AF_INET6. */
void address_set(struct address *address, int family, const void *octets);

/* From and to the socket layer. The first gives 0, or -1 for another family; the second gives
 * the length of what it wrote. */
int address_from_socket(const struct sockaddr_storage *from, struct endpoint *endpoint);
size_t address_to_socket(const struct endpoint *endpoint, struct sockaddr_storage *to);

bool address_equal(const struct address *a, const struct address *b);
bool address_in_prefix(const struct address *address, const struct prefix *prefix);

/* 0.0.0.0 and ::, which a host may take for itself. */
bool address_is_unspecified(const struct address *address);

#endif

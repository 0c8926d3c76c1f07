#include <sys/socket.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/internal.h"
#include "lib/net.h"

#ifdef __linux__
/* The kernel's interface, rtnetlink(7): musl-gcc does not find linux/rtnetlink.h. */
enum { NLMSG_ERROR = 2, RTM_NEWROUTE = 24, RTM_GETROUTE = 26, NLM_F_REQUEST = 1 };
enum { RTA_DST = 1, RTN_LOCAL = 2, RTN_BROADCAST = 3, RTN_ANYCAST = 4 };

struct route {
	uint32_t length;
	uint16_t message, flags;
	uint32_t sequence, port;
	unsigned char family, bits, source_bits, tos, table, protocol, scope, type;
	uint32_t route_flags;
	uint16_t attribute_length, attribute;
	unsigned char destination[16];
};

static int
ask_route(struct route *route)
{
	int fd = socket(AF_NETLINK, SOCK_RAW, 0), result = -1;

	if (fd == -1)
		return -1;
	/* The kernel has answered by the time send(2) returns. */
	if (send(fd, route, route->length, 0) != -1 &&
	    recv(fd, route, sizeof *route, MSG_DONTWAIT) >=
		(ssize_t)offsetof(struct route, attribute_length))
		result = 0;
	close(fd);
	return result;
}

/* Asks for the route to the address. It is local however the address was configured: secondary
 * addresses and whole ranges (ip route add local) too. Returns 1, 0, or -1 if that does not tell.
 */
static int
has_local_route(const struct address *address)
{
	uint16_t size = address->family == AF_INET ? 4 : 16;
	struct route route = { .message = RTM_GETROUTE,
		.flags = NLM_F_REQUEST,
		.family = (unsigned char)address->family,
		.bits = (unsigned char)(8 * size),
		.attribute_length = (uint16_t)(4 + size),
		.attribute = RTA_DST };
	int32_t error;

	route.length = (uint32_t)offsetof(struct route, destination) + size;
	memcpy(route.destination, address->octets, size);
	if (ask_route(&route) == -1)
		return -1;
	if (route.message == RTM_NEWROUTE)
		return route.type == RTN_LOCAL || route.type == RTN_BROADCAST ||
		    route.type == RTN_ANYCAST;
	memcpy(&error, &route.family, sizeof error); /* NLMSG_ERROR has it there */
	/* EINVAL does not count: a black hole route gives it, but so does a malformed request. */
	return route.message == NLMSG_ERROR &&
		(error == -ENETUNREACH || error == -EHOSTUNREACH || error == -EACCES)
	    ? 0
	    : -1;
}
#else
static int
has_local_route(const struct address *address)
{
	(void)address;
	return -1;
}
#endif

/* Returns 0 or the error of binding a socket to the address. */
static int
bind_error(const struct address *address)
{
	int fd = socket(address->family, SOCK_DGRAM, 0), error;

	if (fd == -1)
		return errno;
	error = net_bind(fd, address, 0) == 0 ? 0 : errno;
	close(fd);
	return error;
}

/* Returns whether the address is this host's own, or -1 if the system does not tell: it answers no
 * question about routes, and bind(2) fails or accepts any address (Linux: ip_nonlocal_bind). */
static int
is_own(const struct address *address)
{
	static const struct address reserved4 = { .family = AF_INET, .octets = { 240, 0, 0, 1 } };
	static const struct address reserved6 = { .family = AF_INET6, .octets = { 1, [15] = 1 } };
	int answer = has_local_route(address), error;

	if (answer != -1)
		return answer;
	error = bind_error(address);
	if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT)
		return 0;
	if (error == 0)
		error = bind_error(address->family == AF_INET ? &reserved4 : &reserved6);
	return error == EADDRNOTAVAIL ? 1 : -1;
}

bool
internal_covers(const struct prefix *prefix)
{
	static const struct prefix ranges[] = {
		{ { AF_INET, { 0 }, 0 }, 8 },
		{ { AF_INET, { 10 }, 0 }, 8 },
		{ { AF_INET, { 100, 64 }, 0 }, 10 },
		{ { AF_INET, { 127 }, 0 }, 8 },
		{ { AF_INET, { 169, 254 }, 0 }, 16 },
		{ { AF_INET, { 172, 16 }, 0 }, 12 },
		{ { AF_INET, { 192, 0, 0 }, 0 }, 24 },
		{ { AF_INET, { 192, 168 }, 0 }, 16 },
		{ { AF_INET, { 198, 18 }, 0 }, 15 },
		{ { AF_INET, { 224 }, 0 }, 3 },
		{ { AF_INET6, { 0 }, 0 }, 128 },
		{ { AF_INET6, { [15] = 1 }, 0 }, 128 },
		{ { AF_INET6, { 0xfc }, 0 }, 7 },
		{ { AF_INET6, { 0xfe, 0x80 }, 0 }, 10 },
		{ { AF_INET6, { 0xfe, 0xc0 }, 0 }, 10 },
		{ { AF_INET6, { 0xff }, 0 }, 8 },
		{ { AF_INET6, { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 0 }, 48 },
	};
	size_t i;

	for (i = 0; i < sizeof ranges / sizeof *ranges; i++)
		if (ranges[i].length <= prefix->length &&
		    address_in_prefix(&prefix->address, &ranges[i]))
			return true;
	return false;
}

int
internal_has(const struct address *address)
{
	/* IPv6 that embeds IPv4: compatible, mapped, translated, NAT64 and 6to4. */
	static const struct {
		struct prefix range;
		size_t offset;
	} hiding[] = {
		{ { { AF_INET6, { 0 }, 0 }, 96 }, 12 },
		{ { { AF_INET6, { [10] = 0xff, [11] = 0xff }, 0 }, 96 }, 12 },
		{ { { AF_INET6, { [8] = 0xff, [9] = 0xff }, 0 }, 96 }, 12 },
		{ { { AF_INET6, { 0x00, 0x64, 0xff, 0x9b }, 0 }, 96 }, 12 },
		{ { { AF_INET6, { 0x20, 0x02 }, 0 }, 16 }, 2 },
	};
	const struct prefix whole = { *address, address->family == AF_INET ? 32 : 128 };
	struct address hidden;
	size_t i;
	int answer;

	if (internal_covers(&whole))
		return 1;
	for (i = 0; i < sizeof hiding / sizeof *hiding; i++) {
		if (!address_in_prefix(address, &hiding[i].range))
			continue;
		address_set(&hidden, AF_INET, address->octets + hiding[i].offset);
		answer = internal_has(&hidden);
		if (answer != 0)
			return answer;
	}
	return is_own(address);
}

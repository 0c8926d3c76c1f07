#include <sys/socket.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/internal.h"
#include "lib/net.h"

/* Why the kernel would not connect to an address that may be anybody's but its own. */
static bool
means_foreign(int error)
{
	static const int errors[] = { ENETUNREACH, EHOSTUNREACH, ENETDOWN, EADDRNOTAVAIL, EACCES,
		EINVAL, EPERM };
	size_t i;

	for (i = 0; i < sizeof errors / sizeof *errors; i++)
		if (error == errors[i])
			return true;
	return false;
}

/* Whether the system binds to addresses that are not its own (Linux: ip_nonlocal_bind), such as a
 * reserved one of that family. */
static bool
can_bind_any(int family)
{
	static const struct address reserved4 = { .family = AF_INET, .octets = { 240, 0, 0, 1 } };
	static const struct address reserved6 = { .family = AF_INET6, .octets = { 1, [15] = 1 } };
	int fd = socket(family, SOCK_DGRAM, 0);
	bool can = fd == -1 || net_bind(fd, family == AF_INET ? &reserved4 : &reserved6, 0) == 0;

	if (fd != -1)
		close(fd);
	return can;
}

/* One of this host's own? One that can be bound to is; where that says nothing, one that a datagram
 * socket connected to it gets as its own. (A connection to a secondary address has the primary one
 * as its source.) An embedded or scoped form is the same. 1, 0, or -1 where the system does not
 * tell. */
static int
is_own(const struct address *address)
{
	int fd = socket(address->family, SOCK_DGRAM, 0);
	struct address source;
	bool bound;

	if (fd == -1)
		return errno == EAFNOSUPPORT ? 0 : -1;
	bound = net_bind(fd, address, 0) == 0;
	close(fd);
	if (bound && !can_bind_any(address->family))
		return 1;
	if (net_facing(address, &source) == -1)
		return means_foreign(errno) ? 0 : -1;
	return address_equal(&source, address);
}

struct range {
	unsigned char octets[16];
	unsigned length;
};

/* Ranges of the address's own family. */
static bool
in_ranges(const struct address *address, const struct range *ranges, size_t count)
{
	struct prefix prefix = { .address.family = address->family };
	size_t i;

	for (i = 0; i < count; i++) {
		memcpy(prefix.address.octets, ranges[i].octets, sizeof ranges[i].octets);
		prefix.length = ranges[i].length;
		if (address_in_prefix(address, &prefix))
			return true;
	}
	return false;
}

static int
is_internal4(const unsigned char *octets)
{
	static const struct range ranges[] = {
		{ { 0 }, 8 },
		{ { 10 }, 8 },
		{ { 100, 64 }, 10 },
		{ { 127 }, 8 },
		{ { 169, 254 }, 16 },
		{ { 172, 16 }, 12 },
		{ { 192, 0, 0 }, 24 },
		{ { 192, 168 }, 16 },
		{ { 198, 18 }, 15 },
		{ { 224 }, 3 },
	};
	struct address address;

	address_set(&address, AF_INET, octets);
	if (in_ranges(&address, ranges, sizeof ranges / sizeof *ranges))
		return 1;
	return is_own(&address);
}

int
internal_has(const struct address *address)
{
	static const struct range ranges[] = {
		{ { 0 }, 128 },
		{ { [15] = 1 }, 128 },
		{ { 0xfc }, 7 },
		{ { 0xfe, 0x80 }, 10 },
		{ { 0xfe, 0xc0 }, 10 },
		{ { 0xff }, 8 },
		{ { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48 },
	};
	/* Where IPv4 hides: compatible, mapped, translated, NAT64 and 6to4 addresses. */
	static const struct {
		struct range range;
		size_t offset;
	} hiding[] = {
		{ { { 0 }, 96 }, 12 },
		{ { { [10] = 0xff, [11] = 0xff }, 96 }, 12 },
		{ { { [8] = 0xff, [9] = 0xff }, 96 }, 12 },
		{ { { 0x00, 0x64, 0xff, 0x9b }, 96 }, 12 },
		{ { { 0x20, 0x02 }, 16 }, 2 },
	};
	size_t i;
	int answer;

	if (address->family == AF_INET)
		return is_internal4(address->octets);
	if (in_ranges(address, ranges, sizeof ranges / sizeof *ranges))
		return 1;
	for (i = 0; i < sizeof hiding / sizeof *hiding; i++) {
		if (!in_ranges(address, &hiding[i].range, 1))
			continue;
		answer = is_internal4(address->octets + hiding[i].offset);
		if (answer != 0)
			return answer;
	}
	return is_own(address);
}

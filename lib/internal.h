/* What the word internal of an access list covers (DESIGN.md section 4). */

#ifndef INTERNAL_H
#define INTERNAL_H

#include <stdbool.h>

struct address;
struct prefix;

/* Special-purpose ranges (RFC 6890), IPv4 of these hidden in IPv6, and every address of this host.
 * 1, 0, or -1 if the system does not tell. Nothing leaves this host. */
int internal_has(const struct address *address);

/* True if all of the prefix lies in one of the special-purpose ranges; asks the system nothing. */
bool internal_covers(const struct prefix *prefix);

#endif

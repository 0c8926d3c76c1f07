/* The addresses that "internal" means in an access list (DESIGN.md section 4). */

#ifndef INTERNAL_H
#define INTERNAL_H

#include <stdbool.h>

struct address;
struct prefix;

/* Returns 1 for an address in the special-purpose ranges (RFC 6890), for IPv4 of these inside IPv6,
 * and for every address of this host; 0 for others; -1 if the system does not tell. Sends nothing.
 */
int internal_has(const struct address *address);

/* True if the whole prefix lies in one special-purpose range. Does not ask the system. */
bool internal_covers(const struct prefix *prefix);

#endif

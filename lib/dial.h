/* The first of many addresses that answers (RFC 8305). */

#ifndef DIAL_H
#define DIAL_H

#include <stddef.h>
#include <stdint.h>

struct address;
struct endpoint;

enum { DIAL_MOST = 16 }; /* candidates; no more are tried */

/* A TCP connection to the first of the candidates that stands, raced as RFC 8305 does: families
 * alternate, 250 ms apart or at once after a failure. From sources[0] (IPv4) or sources[1]
 * (IPv6) where their family is set. The first DIAL_MOST are tried. watch: the socket of a client
 * whose reset or full close ends it (ECANCELED), or -1. Returns a non-blocking close-on-exec fd
 * that the caller owns, with *winner the candidate's index; or -1 with errno of the last attempt,
 * ETIMEDOUT at the deadline (then *winner names the candidate that failed last). */
int dial_race(const struct endpoint *candidates, size_t count, const struct address *sources,
    int64_t deadline, int watch, size_t *winner);

#endif

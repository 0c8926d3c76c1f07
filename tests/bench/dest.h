/* The destination: what the sessions under test connect to. */
#ifndef BENCH_DEST_H
#define BENCH_DEST_H

#include <stdint.h>

/* A job is one letter and a length, big endian; a connection carries any number of them.
 *   u  the client sends that many bytes of the pattern, the answer is DEST_DONE
 *   d  the answer is that many bytes of the pattern
 *   b  both at once, then DEST_DONE
 *   e  that many single bytes come back one by one
 *   i  the answer is DEST_DONE and the connection stays idle, at no cost to the destination
 * A connection that ends without a job is closed in turn: that is what a session is for
 * `load sessions`. */
enum { DEST_JOB = 9, DEST_DONE = 'k' };

void dest_encode(unsigned char job[DEST_JOB], char letter, uint64_t length);

/* Listens on 127.0.0.1:port (0 = any), prints the port on stdout and serves until killed. */
void dest_run(uint16_t port);

#endif

/* A deterministic byte stream, sent and verified, with everything that can go wrong being fatal. */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include <stddef.h>
#include <stdint.h>

/* The two directions carry different bytes, so that one cannot be taken for the other. */
enum stream_direction { STREAM_UP, STREAM_DOWN };

/* Prints `load: message` on stderr and exits 1. */
__attribute__((noreturn)) void stream_die(const char *message);

/* Fills the pattern; to be called once, before any other function and before any fork. */
void stream_init(void);

/* Send and receive exactly length bytes of anything. receive returns 0, or -1 if the stream
 * ended before its first byte; an end anywhere else is fatal. */
void stream_put(int fd, const void *bytes, size_t length);
int stream_get(int fd, void *bytes, size_t length);

/* Send, or receive and compare, length bytes of the direction's pattern. */
void stream_send(int fd, enum stream_direction direction, uint64_t length);
void stream_verify(int fd, enum stream_direction direction, uint64_t length);

/* Both at once: send length bytes of `out` while verifying length bytes of the other direction. */
void stream_duplex(int fd, enum stream_direction out, uint64_t length);

#endif

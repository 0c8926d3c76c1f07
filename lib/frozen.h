/* A frozen access list (DESIGN.md section 4): the records of a text's rules in a file, and an index
 * by which a request finds the few that can match it, with pread(2) of a few pieces. Whatever the
 * file holds, nothing in it leads outside of it, round in a circle, or to more reads than its size
 * allows. */

#ifndef FROZEN_H
#define FROZEN_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "lib/rules.h"

struct address;

/* What a rule is filed under. Of a prefix the length belongs to the key. MAYBE: a permit rule that
 * a name could match by its address, by the source of the request; one represents all that differ
 * in the destination only. */
enum frozen_key {
	FROZEN_FROM4,
	FROZEN_FROM6,
	FROZEN_TO4,
	FROZEN_TO6,
	FROZEN_MAYBE4,
	FROZEN_MAYBE6,
	FROZEN_PREFIXES, /* so many kinds are prefixes */
	FROZEN_NAME = FROZEN_PREFIXES,
	FROZEN_DOMAIN,
	FROZEN_USER
};

enum { FROZEN_VERSION = 1, FROZEN_ORDER = 0x01020304, FROZEN_NEAR = 16 };

#define FROZEN_MAGIC "socks4-stdio frozen list"

/* The file: this, label and path (each with its NUL), the records, the slots, the lists. Offsets
 * from the start of the file, multiples of 8. */
struct frozen_header {
	char magic[24];
	uint32_t version, order, word; /* word: bytes of a size_t */
	uint32_t internal;	       /* the rules' bits, all together */
	uint64_t records, slots, lists, size;
	uint64_t rules;		/* how many */
	uint32_t always, maybe; /* lists: rules without a key, and those without one for a name */
	uint32_t label, path;	/* lengths with NUL */
	int64_t made;		/* when, seconds of the epoch */
	uint64_t text_size;	/* of the text; the times are its modification */
	int64_t text_seconds, text_nanoseconds;
	uint32_t lengths[FROZEN_PREFIXES][5]; /* bits: the prefix lengths that occur */
};

/* A key's rules: its hash is found at most FROZEN_NEAR slots after its home, which is the slot
 * hash * slots / 2^32. */
struct frozen_slot {
	uint32_t hash;
	uint32_t rules; /* a record's number, or with FROZEN_LIST a list's */
};

/* A record's number is its offset from the first one, in eighths. A list's is that of its first
 * word, which has the length; then come records' numbers, ascending. */
#define FROZEN_LIST 0x80000000U
#define FROZEN_EMPTY UINT32_MAX

struct frozen;

enum { FROZEN_SIZE = 65536 }; /* bytes of a struct frozen, most of which is seldom touched */

/* True for the first bytes of a frozen list, of whatever version or machine. */
bool frozen_begins(const char *bytes, size_t length);

/* Takes an open file, whose first bytes are given; fd is the list's then. NULL, or what is wrong.
 * The memory, FROZEN_SIZE bytes of zeros, is the caller's. */
const char *frozen_open(struct frozen *frozen, int fd, const char *bytes, size_t length);

/* The same for an image in memory, which must be right and stay. */
void frozen_use(struct frozen *frozen, const void *image);

void frozen_close(struct frozen *frozen);

const struct frozen_header *frozen_header(const struct frozen *frozen);

/* Copies label and path, each with its NUL, one after the other. False if that cannot be read. */
bool frozen_strings(struct frozen *frozen, char *strings, size_t size);

/* A search: begin, name the keys in any order, then take the rules that are filed under one of them
 * or under none, in their order. Names are as a request has them. */
void frozen_begin(struct frozen *frozen, bool maybe);
void frozen_by_prefix(
    struct frozen *frozen, enum frozen_key key, const unsigned char *octets, unsigned length);
void frozen_by_name(struct frozen *frozen, const char *name, size_t length, bool domain);
void frozen_by_user(struct frozen *frozen, const char *userid, size_t length);
const struct rule *frozen_next(struct frozen *frozen);

/* The rule at that offset, which frozen_at() gave for the last one. NULL if it cannot be read.
 * Valid until the next call. */
const struct rule *frozen_rule(struct frozen *frozen, uint64_t at);
uint64_t frozen_at(const struct frozen *frozen);

/* True once something in the file was wrong, or if it has been changed since it was opened. */
bool frozen_is_broken(struct frozen *frozen);

/* The hash of a key; of names the case does not count. */
uint32_t frozen_hash(enum frozen_key key, unsigned length, const void *bytes, size_t size);

/* Keeps the first length bits of an address of so many octets. */
void frozen_mask(unsigned char *octets, size_t size, unsigned length);

#endif

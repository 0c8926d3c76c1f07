/* A frozen access list (DESIGN.md section 4): the records of a text's rules in a file, and an index
 * by which a request finds the few that can match it, with pread(2) of a few pieces. Whatever the
 * file holds, nothing in it leads outside of it, round in a circle, or to more reads than its size
 * allows. */

#ifndef FROZEN_H
#define FROZEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
	FROZEN_USER,
	FROZEN_ALWAYS, /* rules without a key: one key without a value */
	FROZEN_MAYBE   /* the same for a name */
};

enum { FROZEN_VERSION = 1, FROZEN_ORDER = 0x01020304 };

#define FROZEN_MAGIC "socks4-stdio frozen list"

/* The file: this, the records, the entries, the buckets, label and path (each with its NUL), and
 * frozen_mix(0) of all that as a uint64_t. Offsets from the start of the file. */
struct frozen_header {
	char magic[24];
	uint32_t version, order, word; /* word: bytes of a size_t */
	uint32_t internal;	       /* the rules' bits, all together */
	uint64_t entries, buckets, strings, size;
	uint64_t rules;	      /* how many */
	uint32_t label, path; /* lengths with NUL */
	int64_t made;	      /* when, seconds of the epoch */
	uint64_t text_size;   /* of the text; the times are its modification */
	int64_t text_seconds, text_nanoseconds;
	uint32_t lengths[FROZEN_PREFIXES][5]; /* bits: the prefix lengths that occur */
};

/* A rule under a key, by the key's hash and the record's offset from the first one, in eighths.
 * Sorted by both. A bucket is the number of the first entry whose hash * buckets / 2^32 is as large
 * as the bucket's own number; one more bucket ends the last. */
struct frozen_entry {
	uint32_t hash, number;
};

struct frozen;

enum { FROZEN_SIZE = 65536 }; /* bytes of a struct frozen, most of which is seldom touched */

/* True for the first bytes of a frozen list, of whatever version or machine. */
bool frozen_begins(const char *bytes, size_t length);

/* Takes an open file, whose first bytes are given; fd is the list's then. NULL, or what is wrong.
 * The memory, FROZEN_SIZE bytes of zeros, is the caller's. */
const char *frozen_open(struct frozen *frozen, int fd, const char *bytes, size_t length);

/* The same for an image in memory, which is trusted and must outlive the search. */
void frozen_use(struct frozen *frozen, const void *image);

void frozen_close(struct frozen *frozen);

const struct frozen_header *frozen_header(const struct frozen *frozen);

/* Copies label and path, each with its NUL, one after the other. False if that cannot be read. */
bool frozen_strings(struct frozen *frozen, char *strings, size_t size);

/* A search: begin, give each key once, in any order, then take the rules that are filed under one
 * of them or under none, in the order of their lines, and the offset of each. Names are as in a
 * request. */
void frozen_begin(struct frozen *frozen, bool maybe);
void frozen_by_prefix(
    struct frozen *frozen, enum frozen_key key, const unsigned char *octets, unsigned length);
void frozen_by_name(struct frozen *frozen, const char *name, size_t length, bool domain);
void frozen_by_user(struct frozen *frozen, const char *userid, size_t length);
const struct rule *frozen_next(struct frozen *frozen, uint64_t *at);

/* The rule at that offset, which frozen_next() gave for it. NULL if it cannot be read.
 * Valid until the next call. */
const struct rule *frozen_rule(struct frozen *frozen, uint64_t at);

/* True once something in the file was wrong, or if it has been changed since it was opened. */
bool frozen_is_broken(struct frozen *frozen);

/* Reads the whole file. True if every byte is as it was written. */
bool frozen_is_whole(struct frozen *frozen);

/* The kind of key that an item is, or -1: it matches what no key can find. */
int frozen_key_of(const struct item *item);

/* Returns the bytes of an item and their number: octets, a name or ports. */
const void *frozen_bytes(const struct rule *rule, const struct item *item, size_t *size);

/* FNV-1a that goes on from a hash, and the hash of a key, of whose names the case does not count.
 */
uint64_t frozen_mix(uint64_t hash, const void *bytes, size_t size);
uint32_t frozen_hash(enum frozen_key key, unsigned length, const void *bytes, size_t size);

#endif

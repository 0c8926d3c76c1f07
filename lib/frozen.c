#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/frozen.h"
#include "lib/lines.h"

enum {
	AHEAD = 8,     /* entries that are read at once */
	RECORD = 1024, /* bytes of records that are read at once */
	RUNS = 700     /* more than any search has keys */
};

/* The entries of one key that are not used yet. */
struct run {
	uint32_t hash, at; /* at: the first entry that is not read yet */
	uint32_t used, have;
	struct frozen_entry ahead[AHEAD];
};

struct frozen {
	int fd;
	const unsigned char *image; /* in place of the file */
	struct frozen_header header;
	struct stat opened;
	bool broken;
	uint64_t next;	  /* the first number after the last rule */
	uint64_t read_at; /* what record holds */
	size_t read_length;
	void *large; /* a record that is larger, mapped */
	size_t large_size;
	uint64_t record[RECORD / sizeof(uint64_t)];
	size_t run_count;
	struct run runs[RUNS];
};

typedef char frozen_fits[sizeof(struct frozen) <= FROZEN_SIZE ? 1 : -1];

/* Reads exactly that many bytes; a short read breaks the list. */
static bool
read_at(struct frozen *frozen, void *bytes, size_t size, uint64_t at)
{
	ssize_t got;

	if (frozen->broken || at > frozen->header.size || size > frozen->header.size - at) {
		frozen->broken = true;
		return false;
	}
	if (frozen->image != NULL) {
		memcpy(bytes, frozen->image + at, size);
		return true;
	}
	do
		got = pread(frozen->fd, bytes, size, (off_t)at);
	while (got == -1 && errno == EINTR);
	frozen->broken = got != (ssize_t)size;
	return !frozen->broken;
}

/* ---- opening ---- */

bool
frozen_begins(const char *bytes, size_t length)
{
	return length >= sizeof FROZEN_MAGIC - 1 &&
	    memcmp(bytes, FROZEN_MAGIC, sizeof FROZEN_MAGIC - 1) == 0;
}

/* Each part begins where the previous one ends, and the last one ends the file. */
static bool
is_sound(const struct frozen_header *header)
{
	return header->entries >= sizeof *header && header->buckets >= header->entries &&
	    header->strings >= header->buckets &&
	    header->strings - header->buckets >= 2 * sizeof(uint32_t) &&
	    header->size >= header->strings && header->label > 0 && header->path > 0 &&
	    header->size - header->strings ==
	    (uint64_t)header->label + header->path + sizeof(uint64_t);
}

const char *
frozen_open(struct frozen *frozen, int fd, const char *bytes, size_t length)
{
	struct frozen_header *header = &frozen->header;

	frozen->fd = fd;
	if (fstat(fd, &frozen->opened) == -1 || !S_ISREG(frozen->opened.st_mode))
		return "a frozen list must be a file";
	header->size = (uint64_t)frozen->opened.st_size;
	if (length >= sizeof *header)
		memcpy(header, bytes, sizeof *header);
	else if (!read_at(frozen, header, sizeof *header, 0))
		return "a frozen list that was cut: freeze the text again";
	if (header->version != FROZEN_VERSION || header->order != FROZEN_ORDER ||
	    header->word != sizeof(size_t))
		return "frozen by another version or kind of machine: freeze the text again";
	if (header->size != (uint64_t)frozen->opened.st_size || !is_sound(header))
		return "a frozen list that was cut or damaged: freeze the text again";
	return NULL;
}

void
frozen_use(struct frozen *frozen, const void *image)
{
	frozen->fd = -1;
	frozen->image = image;
	memcpy(&frozen->header, image, sizeof frozen->header);
}

static void
drop_large(struct frozen *frozen)
{
	if (frozen->large != NULL)
		(void)munmap(frozen->large, frozen->large_size);
	frozen->large = NULL;
}

void
frozen_close(struct frozen *frozen)
{
	drop_large(frozen);
	if (frozen->fd != -1)
		close(frozen->fd);
}

const struct frozen_header *
frozen_header(const struct frozen *frozen)
{
	return &frozen->header;
}

bool
frozen_strings(struct frozen *frozen, char *strings, size_t size)
{
	const struct frozen_header *header = &frozen->header;
	size_t length = (size_t)header->label + header->path;

	if (length > size || !read_at(frozen, strings, length, header->strings) ||
	    strings[header->label - 1] != '\0' || strings[length - 1] != '\0')
		frozen->broken = true;
	return !frozen->broken;
}

bool
frozen_is_broken(struct frozen *frozen)
{
	if (!frozen->broken && frozen->fd != -1)
		frozen->broken = !lines_unchanged(frozen->fd, &frozen->opened);
	return frozen->broken;
}

/* ---- keys ---- */

int
frozen_key_of(const struct item *item)
{
	if (item->kind == ITEM_PREFIX4 || item->kind == ITEM_PREFIX6)
		return (item->criterion == RULE_FROM ? FROZEN_FROM4 : FROZEN_TO4) +
		    (item->kind == ITEM_PREFIX6);
	if (item->kind >= ITEM_NAME && item->kind <= ITEM_USER)
		return FROZEN_NAME + item->kind - ITEM_NAME;
	return -1;
}

const void *
frozen_bytes(const struct rule *rule, const struct item *item, size_t *size)
{
	if (frozen_key_of(item) >= FROZEN_NAME) {
		*size = item->length;
		return rules_name(rule, item);
	}
	*size = item->kind == ITEM_PREFIX6 ? 16 : 4;
	return item->kind == ITEM_PREFIX6 ? rules_octets(item) : item->is.four;
}

uint64_t
frozen_mix(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *octets = bytes;
	size_t i;

	for (i = 0; i < size; i++)
		hash = (hash ^ octets[i]) * 1099511628211U;
	return hash;
}

uint32_t
frozen_hash(enum frozen_key key, unsigned length, const void *bytes, size_t size)
{
	uint64_t hash = 14695981039346656037U + key + 256 * length;
	const char *name = bytes;
	unsigned char small;
	size_t i;

	if (key != FROZEN_NAME && key != FROZEN_DOMAIN)
		hash = frozen_mix(hash, bytes, size);
	else
		for (i = 0; i < size; i++) {
			small = (unsigned char)(name[i] + (name[i] >= 'A' && name[i] <= 'Z') * 32);
			hash = frozen_mix(hash, &small, 1);
		}
	return (uint32_t)((hash ^ hash >> 32) * 0x9e3779b97f4a7c15U >> 32);
}

bool
frozen_is_whole(struct frozen *frozen)
{
	uint64_t at, left, sum = 0, written;
	size_t size;

	frozen->read_length = 0; /* record[] is used for other pieces */
	for (at = 0; (left = frozen->header.size - sizeof written - at) > 0; at += size) {
		size = left < RECORD ? (size_t)left : RECORD;
		if (!read_at(frozen, frozen->record, size, at))
			return false;
		sum = frozen_mix(sum, frozen->record, size);
	}
	return read_at(frozen, &written, sizeof written, at) && written == sum &&
	    !frozen_is_broken(frozen);
}

/* ---- searching ---- */

/* Reads the next entries of a run. Returns false if there are none. */
static bool
refill(struct frozen *frozen, struct run *run)
{
	const struct frozen_header *header = &frozen->header;
	uint64_t count = (header->buckets - header->entries) / sizeof *run->ahead;

	if (run->at >= count)
		return false;
	run->used = 0;
	run->have = count - run->at < AHEAD ? (uint32_t)(count - run->at) : AHEAD;
	run->at += run->have;
	return read_at(frozen, run->ahead, run->have * sizeof *run->ahead,
	    header->entries + (uint64_t)(run->at - run->have) * sizeof *run->ahead);
}

/* Advances to the first rule after the last one found, so that none is read twice. Returns false if
 * the key has none left. */
static bool
advance(struct frozen *frozen, struct run *run)
{
	for (;; run->used++) {
		if (run->used == run->have && !refill(frozen, run))
			return false;
		if (run->ahead[run->used].hash != run->hash)
			return false;
		if (run->ahead[run->used].number >= frozen->next)
			return true;
	}
}

static void
look_up(struct frozen *frozen, uint32_t hash)
{
	const struct frozen_header *header = &frozen->header;
	uint64_t buckets = (header->strings - header->buckets) / sizeof(uint32_t) - 1;
	uint32_t bucket[2], middle;
	struct frozen_entry entry;
	bool found = false;

	if (!read_at(frozen, bucket, sizeof bucket,
		header->buckets + (hash * buckets >> 32) * sizeof *bucket))
		return;
	while (bucket[0] < bucket[1]) {
		middle = bucket[0] + (bucket[1] - bucket[0]) / 2;
		if (!read_at(frozen, &entry, sizeof entry,
			header->entries + (uint64_t)middle * sizeof entry))
			return;
		found |= entry.hash == hash;
		bucket[entry.hash < hash ? 0 : 1] = middle + (entry.hash < hash);
	}
	if (found)
		frozen->runs[frozen->run_count++] = (struct run){ .hash = hash, .at = bucket[0] };
}

void
frozen_begin(struct frozen *frozen, bool maybe)
{
	frozen->run_count = 0;
	frozen->next = 0;
	look_up(frozen, frozen_hash(FROZEN_ALWAYS, 0, NULL, 0));
	if (maybe)
		look_up(frozen, frozen_hash(FROZEN_MAYBE, 0, NULL, 0));
}

void
frozen_by_prefix(
    struct frozen *frozen, enum frozen_key key, const unsigned char *octets, unsigned length)
{
	const uint32_t *lengths = frozen->header.lengths[key];
	unsigned size = key == FROZEN_FROM4 || key == FROZEN_TO4 || key == FROZEN_MAYBE4 ? 4 : 16;
	unsigned char masked[16] = { 0 }; /* the first i bits of the octets */
	unsigned i;

	for (i = 0; i <= length; i++) {
		if (lengths[i / 32] >> i % 32 & 1) {
			memcpy(masked, octets, i / 8);
			if (i % 8 != 0)
				masked[i / 8] = octets[i / 8] & (unsigned char)~(0xffU >> i % 8);
			look_up(frozen, frozen_hash(key, i, masked, size));
		}
	}
}

void
frozen_by_name(struct frozen *frozen, const char *name, size_t length, bool domain)
{
	const char *dot;

	if (!domain)
		look_up(frozen, frozen_hash(FROZEN_NAME, 0, name, length));
	for (;;) {
		look_up(frozen, frozen_hash(FROZEN_DOMAIN, 0, name, length));
		dot = memchr(name, '.', length);
		if (dot == NULL)
			break;
		length -= (size_t)(dot + 1 - name);
		name = dot + 1;
	}
}

void
frozen_by_user(struct frozen *frozen, const char *userid, size_t length)
{
	look_up(frozen, frozen_hash(FROZEN_USER, 0, userid, length));
}

const struct rule *
frozen_next(struct frozen *frozen, uint64_t *at)
{
	uint32_t smallest = UINT32_MAX, number;
	const struct rule *rule;
	size_t i = 0;

	while (i < frozen->run_count) {
		if (!advance(frozen, &frozen->runs[i])) {
			frozen->runs[i] = frozen->runs[--frozen->run_count];
			continue;
		}
		number = frozen->runs[i].ahead[frozen->runs[i].used].number;
		smallest = number < smallest ? number : smallest;
		i++;
	}
	if (frozen->run_count == 0)
		return NULL;
	*at = sizeof frozen->header + (uint64_t)smallest * 8;
	rule = frozen_rule(frozen, *at);
	if (rule == NULL)
		frozen->broken = true;
	else
		frozen->next = smallest + (rule->size + UINT64_C(7)) / 8;
	return rule;
}

/* Returns that many bytes of records, read now if need be; NULL if that fails. */
static const struct rule *
record_at(struct frozen *frozen, uint64_t at, size_t size)
{
	uint64_t most = frozen->header.entries - at;

	if (size > most)
		return NULL;
	if (size > RECORD) {
		drop_large(frozen);
		frozen->large = lines_map(size);
		frozen->large_size = size;
		return frozen->large != NULL && read_at(frozen, frozen->large, size, at)
		    ? frozen->large
		    : NULL;
	}
	if (at < frozen->read_at || at + size > frozen->read_at + frozen->read_length) {
		frozen->read_at = at;
		frozen->read_length = most < RECORD ? (size_t)most : RECORD;
		if (!read_at(frozen, frozen->record, frozen->read_length, at))
			return NULL;
	}
	return (const void *)((const char *)frozen->record + (at - frozen->read_at));
}

const struct rule *
frozen_rule(struct frozen *frozen, uint64_t at)
{
	const struct rule *rule;
	size_t size;

	if (frozen->image != NULL)
		return (const void *)(frozen->image + at);
	rule = at < frozen->header.entries ? record_at(frozen, at, sizeof *rule) : NULL;
	if (rule == NULL)
		return NULL;
	size = rule->size;
	rule = record_at(frozen, at, size);
	return rule != NULL && rules_is_sound(rule, size) ? rule : NULL;
}

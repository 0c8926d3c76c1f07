#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/frozen.h"

enum {
	AHEAD = 8,     /* numbers of a list that are read at once */
	RECORD = 1024, /* bytes of records that are read at once */
	RUNS = 1024    /* more than any search has keys */
};

/* The rules under one key: numbers of their records, ascending. */
struct run {
	uint32_t at, left; /* words of its list that are not read yet */
	uint32_t used, have;
	uint32_t numbers[AHEAD];
};

struct frozen {
	int fd;
	const unsigned char *image; /* in place of the file */
	struct frozen_header header;
	struct stat opened;
	bool broken;
	uint64_t words;	  /* of lists that may still be read: no more than there are */
	uint64_t at, end; /* of the last rule: the next may not begin before its end */
	uint64_t read_at; /* what record holds */
	size_t read_length;
	void *large; /* a record that is larger, mapped */
	size_t large_size;
	uint64_t record[RECORD / sizeof(uint64_t)];
	size_t run_count;
	struct run runs[RUNS];
};

typedef char frozen_fits[sizeof(struct frozen) <= FROZEN_SIZE ? 1 : -1];

/* Reads exactly so many bytes; what cannot be read breaks the list. */
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

/* Each part begins where the one before may end, and ends with the file. */
static bool
is_sound(const struct frozen_header *header)
{
	return header->records % 8 == 0 && header->slots % 8 == 0 && header->lists % 8 == 0 &&
	    header->size % 4 == 0 && header->records >= sizeof *header &&
	    header->records - sizeof *header >= (uint64_t)header->label + header->path &&
	    header->label > 0 && header->path > 0 && header->slots >= header->records &&
	    header->lists > header->slots && header->size >= header->lists &&
	    (header->lists - header->slots) / sizeof(struct frozen_slot) > FROZEN_NEAR;
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

	if (length > size || !read_at(frozen, strings, length, sizeof *header) ||
	    strings[header->label - 1] != '\0' || strings[length - 1] != '\0')
		frozen->broken = true;
	return !frozen->broken;
}

bool
frozen_is_broken(struct frozen *frozen)
{
	struct stat now;

	if (!frozen->broken && frozen->fd != -1)
		frozen->broken = fstat(frozen->fd, &now) == -1 ||
		    now.st_size != frozen->opened.st_size ||
		    now.st_mtim.tv_sec != frozen->opened.st_mtim.tv_sec ||
		    now.st_mtim.tv_nsec != frozen->opened.st_mtim.tv_nsec;
	return frozen->broken;
}

/* ---- keys ---- */

uint32_t
frozen_hash(enum frozen_key key, unsigned length, const void *bytes, size_t size)
{
	const unsigned char *octets = bytes;
	bool is_name = key == FROZEN_NAME || key == FROZEN_DOMAIN;
	uint32_t hash = 2166136261U; /* FNV-1a, and the last step of MurmurHash3 */
	unsigned octet;
	size_t i;

	hash = (hash ^ (uint32_t)key) * 16777619U;
	hash = (hash ^ length) * 16777619U;
	for (i = 0; i < size; i++) {
		octet = octets[i];
		if (is_name && octet >= 'A' && octet <= 'Z')
			octet += 'a' - 'A';
		hash = (hash ^ octet) * 16777619U;
	}
	hash = (hash ^ hash >> 16) * 0x85ebca6bU;
	hash = (hash ^ hash >> 13) * 0xc2b2ae35U;
	return hash ^ hash >> 16;
}

void
frozen_mask(unsigned char *octets, size_t size, unsigned length)
{
	size_t i;

	for (i = length / 8; i < size; i++)
		octets[i] &= (unsigned char)(i == length / 8 ? ~(0xffU >> length % 8) : 0);
}

/* ---- searching ---- */

/* Reads more numbers of a run that has used up what it had. */
static void
refill(struct frozen *frozen, struct run *run)
{
	run->used = 0;
	run->have = run->left < AHEAD ? run->left : AHEAD;
	if (run->have > 0 &&
	    !read_at(frozen, run->numbers, run->have * sizeof *run->numbers,
		frozen->header.lists + (uint64_t)run->at * sizeof(uint32_t)))
		run->have = 0;
	run->at += run->have;
	run->left -= run->have;
}

static void
add_list(struct frozen *frozen, uint32_t list)
{
	uint64_t at = frozen->header.lists + (uint64_t)list * sizeof(uint32_t);
	struct run *run = &frozen->runs[frozen->run_count];
	uint32_t length;

	if (!read_at(frozen, &length, sizeof length, at) || frozen->run_count == RUNS ||
	    length > frozen->words) {
		frozen->broken = true;
		return;
	}
	frozen->words -= length;
	run->at = list + 1;
	run->left = length;
	refill(frozen, run);
	frozen->run_count += run->have > 0;
}

static void
add_rules(struct frozen *frozen, uint32_t rules)
{
	struct run *run = &frozen->runs[frozen->run_count];

	if (rules & FROZEN_LIST) {
		add_list(frozen, rules & ~FROZEN_LIST);
	} else if (frozen->run_count == RUNS) {
		frozen->broken = true;
	} else {
		*run = (struct run){ .have = 1, .numbers = { rules } };
		frozen->run_count++;
	}
}

static void
look_up(struct frozen *frozen, uint32_t hash)
{
	const struct frozen_header *header = &frozen->header;
	struct frozen_slot slots[FROZEN_NEAR];
	uint64_t homes = (header->lists - header->slots) / sizeof *slots - FROZEN_NEAR;
	uint64_t home = hash * homes >> 32;
	size_t i;

	if (!read_at(frozen, slots, sizeof slots, header->slots + home * sizeof *slots))
		return;
	/* No slot between a key's home and its own is empty. */
	for (i = 0; i < FROZEN_NEAR && slots[i].rules != FROZEN_EMPTY; i++)
		if (slots[i].hash == hash) {
			add_rules(frozen, slots[i].rules);
			return;
		}
}

void
frozen_begin(struct frozen *frozen, bool maybe)
{
	const struct frozen_header *header = &frozen->header;

	frozen->run_count = 0;
	frozen->end = header->records;
	frozen->words = (header->size - header->lists) / sizeof(uint32_t);
	add_list(frozen, header->always);
	if (maybe)
		add_list(frozen, header->maybe);
}

void
frozen_by_prefix(
    struct frozen *frozen, enum frozen_key key, const unsigned char *octets, unsigned length)
{
	const uint32_t *lengths = frozen->header.lengths[key];
	size_t size = key == FROZEN_FROM4 || key == FROZEN_TO4 || key == FROZEN_MAYBE4 ? 4 : 16;
	unsigned char masked[16];
	unsigned i;

	for (i = 0; i <= length; i++) {
		if (!(lengths[i / 32] >> i % 32 & 1))
			continue;
		memcpy(masked, octets, size);
		frozen_mask(masked, size, i);
		look_up(frozen, frozen_hash(key, i, masked, size));
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

/* The smallest number that a run has next, which is taken from all of them. */
static uint32_t
take_smallest(struct frozen *frozen)
{
	uint32_t smallest = FROZEN_EMPTY;
	struct run *run;
	size_t i;

	for (i = 0; i < frozen->run_count; i++) {
		run = &frozen->runs[i];
		if (run->numbers[run->used] < smallest)
			smallest = run->numbers[run->used];
	}
	for (i = 0; i < frozen->run_count; i++) {
		run = &frozen->runs[i];
		if (run->numbers[run->used] != smallest)
			continue;
		if (++run->used == run->have)
			refill(frozen, run);
		if (run->have == 0)
			*run = frozen->runs[--frozen->run_count], i--;
	}
	return smallest;
}

const struct rule *
frozen_next(struct frozen *frozen)
{
	const struct rule *rule;
	uint32_t number;

	if (frozen->run_count == 0 || frozen->broken)
		return NULL;
	number = take_smallest(frozen);
	if (frozen->broken)
		return NULL;
	frozen->at = frozen->header.records + (uint64_t)number * 8;
	/* Records that overlap could have any of them read over and over. */
	rule = frozen->at >= frozen->end ? frozen_rule(frozen, frozen->at) : NULL;
	if (rule == NULL)
		frozen->broken = true;
	else
		frozen->end = frozen->at + rule->size;
	return rule;
}

uint64_t
frozen_at(const struct frozen *frozen)
{
	return frozen->at;
}

/* A record that does not fit where the others go. */
static const struct rule *
large_rule(struct frozen *frozen, uint64_t at, size_t size)
{
	drop_large(frozen);
	frozen->large_size = size;
	frozen->large =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (frozen->large == MAP_FAILED) {
		frozen->large = NULL;
		return NULL;
	}
	return read_at(frozen, frozen->large, size, at) ? frozen->large : NULL;
}

const struct rule *
frozen_rule(struct frozen *frozen, uint64_t at)
{
	const struct frozen_header *header = &frozen->header;
	const struct rule *rule;
	uint64_t most = header->slots - at;

	if (at < header->records || at >= header->slots || most < sizeof *rule)
		return NULL;
	if (at < frozen->read_at || at + sizeof *rule > frozen->read_at + frozen->read_length ||
	    at +
		    ((const struct rule *)(const void *)((char *)frozen->record +
			 (at - frozen->read_at)))
			->size >
		frozen->read_at + frozen->read_length) {
		frozen->read_at = at;
		frozen->read_length = most < RECORD ? (size_t)most : RECORD;
		if (!read_at(frozen, frozen->record, frozen->read_length, at))
			return NULL;
	}
	rule = (const struct rule *)(const void *)((char *)frozen->record + (at - frozen->read_at));
	if (rule->size > most)
		return NULL;
	most = rule->size;
	if (most > frozen->read_at + frozen->read_length - at)
		rule = large_rule(frozen, at, (size_t)most);
	return rule != NULL && rules_is_sound(rule, (size_t)most) ? rule : NULL;
}

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h> /* rename(2) */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/freeze.h"
#include "lib/frozen.h"
#include "lib/net.h"
#include "lib/rules.h"

/* A rule under a key. */
struct entry {
	uint32_t hash, number;
};

/* Numbers of rules, or words of lists. */
struct words {
	uint32_t *words;
	size_t count, room;
};

/* A set of hashes, each with how often it was counted; a power of two of places, half of them free.
 */
struct counts {
	struct {
		uint64_t hash;
		uint32_t count; /* 0: free */
	} * places;
	size_t mask;
};

struct freezer {
	const struct rule *records;
	size_t bytes, items;
	struct frozen_header header;
	struct counts keys, classes;
	struct entry *entries;
	size_t entry_count;
	struct words always, maybe, lists;
	struct frozen_slot *slots;
	size_t slot_count;
	bool failed; /* out of memory */
};

static const struct rule *
rule_after(const struct freezer *freezer, const struct rule *rule)
{
	const char *end = (const char *)freezer->records + freezer->bytes;
	const char *next =
	    rule != NULL ? (const char *)rule + rule->size : (const char *)freezer->records;

	return next < end ? (const struct rule *)(const void *)next : NULL;
}

static uint32_t
number_of(const struct freezer *freezer, const struct rule *rule)
{
	return (uint32_t)(((const char *)rule - (const char *)freezer->records) / 8);
}

static void
push(struct freezer *freezer, struct words *words, uint32_t word)
{
	size_t room = words->room == 0 ? 1024 : 2 * words->room;
	uint32_t *larger;

	if (words->count == words->room) {
		larger = realloc(words->words, room * sizeof *larger);
		if (larger == NULL) {
			freezer->failed = true;
			return;
		}
		words->words = larger;
		words->room = room;
	}
	words->words[words->count++] = word;
}

/* Counts a hash and returns how often it has been by now; with add 0, how often it was. */
static uint32_t
count(struct counts *counts, uint64_t hash, uint32_t add)
{
	size_t i;

	for (i = (size_t)hash & counts->mask; counts->places[i].count != 0;
	     i = (i + 1) & counts->mask)
		if (counts->places[i].hash == hash)
			break;
	counts->places[i].hash = hash;
	return counts->places[i].count += add;
}

static bool
make_counts(struct counts *counts, size_t most)
{
	size_t places = 64;

	while (places < 2 * most)
		places *= 2;
	counts->mask = places - 1;
	counts->places = calloc(places, sizeof *counts->places);
	return counts->places != NULL;
}

/* ---- keys ---- */

/* The kind of key that an item is, or -1: it matches what no key can find. */
static int
key_of(const struct item *item)
{
	switch (item->kind) {
	case ITEM_PREFIX4:
		return item->criterion == RULE_FROM ? FROZEN_FROM4 : FROZEN_TO4;
	case ITEM_PREFIX6:
		return item->criterion == RULE_FROM ? FROZEN_FROM6 : FROZEN_TO6;
	case ITEM_NAME:
		return FROZEN_NAME;
	case ITEM_DOMAIN:
		return FROZEN_DOMAIN;
	case ITEM_USER:
		return FROZEN_USER;
	default:
		return -1;
	}
}

static uint32_t
hash_of(const struct rule *rule, const struct item *item, int key)
{
	if (key < FROZEN_PREFIXES)
		return frozen_hash((enum frozen_key)key, item->length, rules_octets(item),
		    item->kind == ITEM_PREFIX4 ? 4 : 16);
	return frozen_hash((enum frozen_key)key, 0, rules_name(rule, item), item->length);
}

/* How many rules have the keys of this criterion, together; 0 if no key can find the rule by it. */
static uint64_t
crowd(struct freezer *freezer, const struct rule *rule, enum rule_criterion criterion)
{
	const struct item *item;
	uint64_t sum = 0;

	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item)) {
		if (item->criterion != criterion)
			continue;
		if (key_of(item) == -1)
			return 0;
		sum += count(&freezer->keys, hash_of(rule, item, key_of(item)), 0);
	}
	return sum;
}

/* The criterion whose keys set the rule apart best, or -1. */
static int
best_criterion(struct freezer *freezer, const struct rule *rule)
{
	static const enum rule_criterion order[] = { RULE_TO, RULE_FROM, RULE_USER };
	uint64_t sum, least = UINT64_MAX;
	int best = -1;
	size_t i;

	for (i = 0; i < sizeof order / sizeof *order; i++) {
		sum = crowd(freezer, rule, order[i]);
		if (sum > 0 && sum < least) {
			least = sum;
			best = (int)order[i];
		}
	}
	return best;
}

static void
file(struct freezer *freezer, const struct rule *rule, const struct item *item, int key)
{
	struct entry *entry = &freezer->entries[freezer->entry_count++];

	entry->hash = hash_of(rule, item, key);
	entry->number = number_of(freezer, rule);
	if (key < FROZEN_PREFIXES)
		freezer->header.lengths[key][item->length / 32] |= 1U << item->length % 32;
}

static uint64_t
mix(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *octets = bytes;
	size_t i;

	for (i = 0; i < size; i++)
		hash = (hash ^ octets[i]) * 1099511628211U; /* FNV-1a */
	return hash;
}

static uint64_t
mix_item(uint64_t hash, const struct rule *rule, const struct item *item)
{
	hash = mix(hash, item, offsetof(struct item, is));
	if (item->kind == ITEM_USER)
		return mix(hash, rules_name(rule, item), item->length);
	if (item->kind == ITEM_PREFIX6)
		return mix(hash, rules_octets(item), 16);
	return mix(hash, &item->is, sizeof item->is);
}

/* All that decides whether a name could be permitted by the rule for an address that it may have.
 */
static uint64_t
class_of(const struct rule *rule)
{
	uint64_t hash = mix(14695981039346656037U, &rule->command, 1);
	unsigned char families = 0; /* BIND's names have IPv4 addresses only */
	const struct item *item;

	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item))
		if (item->criterion != RULE_TO)
			hash = mix_item(hash, rule, item);
		else if (!rules_is_unspecified(item))
			families |= item->kind == ITEM_PREFIX4 ? 1
			    : item->kind == ITEM_PREFIX6       ? 2
							       : 0;
	return mix(hash, &families, 1);
}

/* A rule that is filed under the prefixes of its destination cannot be found by a request whose
 * name is not looked up yet: one rule of its class can. */
static void
file_for_names(struct freezer *freezer, const struct rule *rule)
{
	const struct item *item;
	bool has_prefix = false;

	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item))
		has_prefix |= item->criterion == RULE_TO &&
		    (item->kind == ITEM_PREFIX4 || item->kind == ITEM_PREFIX6);
	if (!rule->permit || !has_prefix || count(&freezer->classes, class_of(rule), 1) > 1)
		return;
	if (crowd(freezer, rule, RULE_FROM) == 0) {
		push(freezer, &freezer->maybe, number_of(freezer, rule));
		return;
	}
	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item))
		if (item->criterion == RULE_FROM)
			file(freezer, rule, item,
			    item->kind == ITEM_PREFIX4 ? FROZEN_MAYBE4 : FROZEN_MAYBE6);
}

static void
file_rule(struct freezer *freezer, const struct rule *rule)
{
	int criterion = best_criterion(freezer, rule);
	const struct item *item;

	freezer->header.rules++;
	freezer->header.internal |= rule->internal;
	if (criterion == -1)
		push(freezer, &freezer->always, number_of(freezer, rule));
	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item))
		if (item->criterion == criterion)
			file(freezer, rule, item, key_of(item));
	if (criterion == RULE_TO)
		file_for_names(freezer, rule);
}

/* Counts each key, then files each rule under those of its keys that are rarest. */
static bool
file_rules(struct freezer *freezer)
{
	const struct rule *rule;
	const struct item *item;

	for (rule = rule_after(freezer, NULL); rule != NULL; rule = rule_after(freezer, rule))
		for (item = rules_first(rule); item != NULL; item = rules_next(rule, item))
			freezer->items += key_of(item) != -1;
	freezer->entries = malloc((2 * freezer->items + 1) * sizeof *freezer->entries);
	if (freezer->entries == NULL || !make_counts(&freezer->keys, freezer->items) ||
	    !make_counts(&freezer->classes, freezer->items))
		return false;
	for (rule = rule_after(freezer, NULL); rule != NULL; rule = rule_after(freezer, rule))
		for (item = rules_first(rule); item != NULL; item = rules_next(rule, item))
			if (key_of(item) != -1)
				(void)count(&freezer->keys, hash_of(rule, item, key_of(item)), 1);
	for (rule = rule_after(freezer, NULL); rule != NULL; rule = rule_after(freezer, rule))
		file_rule(freezer, rule);
	return !freezer->failed;
}

/* ---- the index ---- */

static int
compare_entries(const void *one, const void *other)
{
	const struct entry *a = one, *b = other;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

/* Drops what is there twice: a key that one rule names twice. */
static void
sort_entries(struct freezer *freezer)
{
	struct entry *entries = freezer->entries;
	size_t i, kept = 0;

	qsort(entries, freezer->entry_count, sizeof *entries, compare_entries);
	for (i = 0; i < freezer->entry_count; i++)
		if (kept == 0 || compare_entries(&entries[kept - 1], &entries[i]) != 0)
			entries[kept++] = entries[i];
	freezer->entry_count = kept;
}

static uint32_t
add_list(struct freezer *freezer, const struct words *numbers)
{
	uint32_t at = (uint32_t)freezer->lists.count;
	size_t i;

	push(freezer, &freezer->lists, (uint32_t)numbers->count);
	for (i = 0; i < numbers->count; i++)
		push(freezer, &freezer->lists, numbers->words[i]);
	return at;
}

/* What the slot of the hash of entries[first] holds; *after is the first entry of the next hash. */
static uint32_t
rules_of(struct freezer *freezer, size_t first, size_t *after)
{
	const struct entry *entries = freezer->entries;
	uint32_t at = (uint32_t)freezer->lists.count;
	size_t i;

	for (*after = first;
	     *after < freezer->entry_count && entries[*after].hash == entries[first].hash; ++*after)
		;
	if (*after - first == 1)
		return entries[first].number;
	push(freezer, &freezer->lists, (uint32_t)(*after - first));
	for (i = first; i < *after; i++)
		push(freezer, &freezer->lists, entries[i].number);
	return at | FROZEN_LIST;
}

/* Hashes come in the order of their homes, so each takes the first slot from there that is free.
 * False if one would be too far. */
static bool
place(struct freezer *freezer, const struct frozen_slot *keys, size_t key_count, uint64_t homes)
{
	uint64_t next = 0, home;
	size_t i;

	memset(freezer->slots, 0xff, freezer->slot_count * sizeof *freezer->slots);
	for (i = 0; i < key_count; i++) {
		home = keys[i].hash * homes >> 32;
		next = next > home ? next : home;
		if (next - home >= FROZEN_NEAR)
			return false;
		freezer->slots[next++] = keys[i];
	}
	return true;
}

static bool
make_slots(struct freezer *freezer)
{
	struct frozen_slot *keys = malloc((freezer->entry_count + 1) * sizeof *keys);
	size_t key_count = 0, i, after;
	uint64_t homes;
	bool placed = false;

	if (keys == NULL)
		return false;
	for (i = 0; i < freezer->entry_count; i = after) {
		keys[key_count].hash = freezer->entries[i].hash;
		keys[key_count++].rules = rules_of(freezer, i, &after);
	}
	for (homes = 2 * key_count + 1; !placed; homes += homes / 2 + 1) {
		free(freezer->slots);
		freezer->slot_count = (size_t)homes + FROZEN_NEAR;
		freezer->slots = malloc(freezer->slot_count * sizeof *freezer->slots);
		if (freezer->slots == NULL)
			break;
		placed = place(freezer, keys, key_count, homes);
	}
	free(keys);
	return placed && !freezer->failed;
}

/* ---- the file ---- */

static void
fill_header(struct freezer *freezer, const struct freeze_source *source)
{
	struct frozen_header *header = &freezer->header;
	const struct stat *text = &source->text;
	uint64_t strings;

	memcpy(header->magic, FROZEN_MAGIC, sizeof header->magic);
	header->version = FROZEN_VERSION;
	header->order = FROZEN_ORDER;
	header->word = sizeof(size_t);
	header->label = (uint32_t)strlen(source->label) + 1;
	header->path = (uint32_t)strlen(source->path) + 1;
	header->made = (int64_t)source->made;
	/* Of what was no file, such as a pipe, nobody can tell whether it has changed. */
	header->text_size = S_ISREG(text->st_mode) ? (uint64_t)text->st_size : UINT64_MAX;
	header->text_seconds = (int64_t)text->st_mtim.tv_sec;
	header->text_nanoseconds = (int64_t)text->st_mtim.tv_nsec;
	strings = sizeof *header + header->label + header->path;
	header->records = (strings + 7) / 8 * 8;
	header->slots = header->records + freezer->bytes;
	header->lists = header->slots + freezer->slot_count * sizeof *freezer->slots;
	header->size = header->lists + freezer->lists.count * sizeof *freezer->lists.words;
}

static unsigned char *
assemble(const struct freezer *freezer, const struct freeze_source *source)
{
	const struct frozen_header *header = &freezer->header;
	unsigned char *image = calloc(1, (size_t)header->size);

	if (image == NULL)
		return NULL;
	memcpy(image, header, sizeof *header);
	memcpy(image + sizeof *header, source->label, header->label);
	memcpy(image + sizeof *header + header->label, source->path, header->path);
	if (freezer->bytes > 0)
		memcpy(image + header->records, freezer->records, freezer->bytes);
	memcpy(image + header->slots, freezer->slots, freezer->slot_count * sizeof *freezer->slots);
	memcpy(image + header->lists, freezer->lists.words,
	    freezer->lists.count * sizeof *freezer->lists.words);
	return image;
}

void *
freeze_image(
    const struct rule *records, size_t bytes, const struct freeze_source *source, size_t *size)
{
	struct freezer freezer = { .records = records, .bytes = bytes };
	unsigned char *image = NULL;

	if (file_rules(&freezer)) {
		sort_entries(&freezer);
		freezer.header.always = add_list(&freezer, &freezer.always);
		freezer.header.maybe = add_list(&freezer, &freezer.maybe);
		if (make_slots(&freezer)) {
			fill_header(&freezer, source);
			image = assemble(&freezer, source);
			*size = (size_t)freezer.header.size;
		}
	}
	free(freezer.keys.places);
	free(freezer.classes.places);
	free(freezer.entries);
	free(freezer.always.words);
	free(freezer.maybe.words);
	free(freezer.lists.words);
	free(freezer.slots);
	return image;
}

/* NULL if target may be replaced: it is absent, empty or a frozen list. */
static const char *
look_at_target(const char *target, const struct stat *text)
{
	char start[sizeof FROZEN_MAGIC];
	struct stat status;
	ssize_t got;
	int fd;

	if (lstat(target, &status) == -1)
		return errno == ENOENT ? NULL : strerror(errno);
	if (!S_ISREG(status.st_mode))
		return "is not a file: only a file that is empty or a frozen list is replaced";
	if (status.st_dev == text->st_dev && status.st_ino == text->st_ino)
		return "is the text itself";
	if (status.st_size == 0)
		return NULL;
	fd = open(target, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		return strerror(errno);
	got = read(fd, start, sizeof start - 1);
	close(fd);
	if (got == -1)
		return strerror(errno);
	return frozen_begins(start, (size_t)got)
	    ? NULL
	    : "is not a frozen list: only one, or an empty file, is replaced";
}

static int
write_all(int fd, const unsigned char *bytes, size_t size)
{
	enum { PIECE = 1 << 20 };
	ssize_t put;

	while (size > 0) {
		if (net_stopped()) {
			errno = EINTR;
			return -1;
		}
		put = write(fd, bytes, size < PIECE ? size : PIECE);
		if (put == -1 && errno != EINTR)
			return -1;
		bytes += put > 0 ? put : 0;
		size -= put > 0 ? (size_t)put : 0;
	}
	return 0;
}

static int
fill_file(int fd, const void *image, size_t size, const struct stat *text)
{
	if (write_all(fd, image, size) == -1)
		return -1;
	(void)!fchown(fd, (uid_t)-1, text->st_gid); /* if it is permitted */
	if (S_ISREG(text->st_mode) && fchmod(fd, text->st_mode & 0777) == -1)
		return -1;
	return fsync(fd);
}

const char *
freeze_write(const char *target, const void *image, size_t size, const struct stat *text)
{
	const char *problem = look_at_target(target, text);
	char temporary[4096 + 8];
	size_t length = strlen(target);
	int fd, result;

	if (problem != NULL)
		return problem;
	if (length + sizeof ".XXXXXX" > sizeof temporary)
		return strerror(ENAMETOOLONG);
	memcpy(temporary, target, length);
	memcpy(temporary + length, ".XXXXXX", sizeof ".XXXXXX");
	fd = mkstemp(temporary); /* with O_EXCL */
	if (fd == -1)
		return strerror(errno);
	result = fill_file(fd, image, size, text);
	if (close(fd) == -1 || result == -1 || rename(temporary, target) == -1) {
		problem = strerror(errno);
		(void)unlink(temporary);
	}
	return problem;
}

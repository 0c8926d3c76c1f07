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
#include "lib/text.h"

/* How often a hash was counted; 0 marks a free place. */
struct count {
	uint64_t hash;
	uint32_t count;
};

struct freezer {
	const struct rule *records;
	size_t bytes, keys;
	struct frozen_header header;
	struct count *counts; /* a power of two of places, at least half of them free */
	size_t mask;
	struct frozen_entry *entries;
	size_t entry_count;
};

static void
walk(struct freezer *freezer, void (*visit)(struct freezer *, const struct rule *))
{
	const char *at = (const char *)freezer->records, *end = at + freezer->bytes;

	for (; at < end; at += ((const struct rule *)(const void *)at)->size)
		visit(freezer, (const struct rule *)(const void *)at);
}

/* Adds to the count of a hash and returns it; add 0 only asks. */
static uint32_t
count(struct freezer *freezer, uint64_t hash, uint32_t add)
{
	struct count *counts = freezer->counts;
	size_t i;

	for (i = (size_t)hash & freezer->mask; counts[i].count != 0 && counts[i].hash != hash;
	     i = (i + 1) & freezer->mask)
		;
	counts[i].hash = hash;
	return counts[i].count += add;
}

/* ---- keys ---- */

static uint32_t
hash_of(int key, const struct rule *rule, const struct item *item)
{
	size_t size;
	const void *bytes = frozen_bytes(rule, item, &size);

	return frozen_hash(
	    (enum frozen_key)key, key < FROZEN_PREFIXES ? item->length : 0, bytes, size);
}

static void
measure(struct freezer *freezer, const struct rule *rule)
{
	const struct item *item;

	freezer->header.rules++;
	freezer->header.internal |= rule->internal;
	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item))
		freezer->keys += frozen_key_of(item) != -1;
}

static void
count_keys(struct freezer *freezer, const struct rule *rule)
{
	const struct item *item;

	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item))
		if (frozen_key_of(item) != -1)
			(void)count(freezer, hash_of(frozen_key_of(item), rule, item), 1);
}

/* Returns how many rules share the keys of this criterion, in sum; 0 if no key can find the rule.
 */
static uint64_t
crowd(struct freezer *freezer, const struct rule *rule, enum rule_criterion criterion)
{
	const struct item *item;
	uint64_t sum = 0;

	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item)) {
		if (item->criterion != criterion)
			continue;
		if (frozen_key_of(item) == -1)
			return 0;
		sum += count(freezer, hash_of(frozen_key_of(item), rule, item), 0);
	}
	return sum;
}

/* Returns the criterion whose keys are rarest, or -1. */
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
file(struct freezer *freezer, const struct rule *rule, uint32_t hash)
{
	size_t offset = (size_t)((const char *)rule - (const char *)freezer->records);

	freezer->entries[freezer->entry_count++] =
	    (struct frozen_entry){ hash, (uint32_t)(offset / 8) };
}

/* Files the rule under each of its keys of a criterion; if that is -1, under the key of rules that
 * have none. further: how many kinds after their own the keys of prefixes are. */
static void
file_under(struct freezer *freezer, const struct rule *rule, int criterion, int further)
{
	const struct item *item;
	int key;

	if (criterion == -1)
		file(freezer, rule,
		    frozen_hash(further == 0 ? FROZEN_ALWAYS : FROZEN_MAYBE, 0, NULL, 0));
	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item)) {
		if (item->criterion != criterion)
			continue;
		key = frozen_key_of(item) + further;
		if (key < FROZEN_PREFIXES)
			freezer->header.lengths[key][item->length / 32] |= 1U << item->length % 32;
		file(freezer, rule, hash_of(key, rule, item));
	}
}

/* Hashes all that decides whether the rule could permit a name by its address. Returns false if its
 * destination has no prefix. The highest bit distinguishes these hashes from those of keys. */
static bool
class_of(const struct rule *rule, uint64_t *class)
{
	uint64_t hash = frozen_mix(14695981039346656037U, &rule->command, 1);
	unsigned char families = 0; /* BIND's names have IPv4 addresses only */
	const struct item *item;
	bool has_prefix = false;
	const void *bytes;
	size_t size;
	int key;

	for (item = rules_first(rule); item != NULL; item = rules_next(rule, item)) {
		key = frozen_key_of(item);
		if (item->criterion != RULE_TO) {
			bytes = frozen_bytes(rule, item, &size);
			hash = frozen_mix(hash, item, offsetof(struct item, is));
			hash = frozen_mix(hash, bytes, size);
		} else if (key == FROZEN_TO4 || key == FROZEN_TO6) {
			has_prefix = true;
			if (!rules_is_unspecified(item))
				families |= key == FROZEN_TO4 ? 1 : 2;
		}
	}
	*class = frozen_mix(hash, &families, 1) | UINT64_C(1) << 63;
	return has_prefix;
}

/* A rule that is filed under the prefixes of its destination cannot be found by a request whose
 * name is not looked up yet: one rule of its class can. */
static void
file_rule(struct freezer *freezer, const struct rule *rule)
{
	int criterion = best_criterion(freezer, rule);
	uint64_t class;

	file_under(freezer, rule, criterion, 0);
	if (criterion == RULE_TO && rule->permit && class_of(rule, &class) &&
	    count(freezer, class, 1) == 1)
		file_under(freezer, rule, crowd(freezer, rule, RULE_FROM) == 0 ? -1 : RULE_FROM,
		    FROZEN_MAYBE4 - FROZEN_FROM4);
}

/* Counts each key, then files each rule under those of its keys that are rarest. */
static bool
file_rules(struct freezer *freezer)
{
	size_t places = 64;

	walk(freezer, measure);
	while (places < 4 * freezer->keys) /* a key and a class for each */
		places *= 2;
	freezer->mask = places - 1;
	freezer->counts = calloc(places, sizeof *freezer->counts);
	freezer->entries = malloc(
	    (freezer->keys + 2 * (size_t)freezer->header.rules + 1) * sizeof *freezer->entries);
	if (freezer->counts == NULL || freezer->entries == NULL)
		return false;
	walk(freezer, count_keys);
	walk(freezer, file_rule);
	return true;
}

/* ---- the file ---- */

static int
compare_entries(const void *one, const void *other)
{
	const struct frozen_entry *a = one, *b = other;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

/* Two buckets for each entry: most keys that no rule has hit an empty one. */
static void
fill_header(struct freezer *freezer, const struct freeze_source *source)
{
	struct frozen_header *header = &freezer->header;
	const struct stat *text = &source->text;

	memcpy(header->magic, FROZEN_MAGIC, sizeof header->magic);
	header->version = FROZEN_VERSION;
	header->order = FROZEN_ORDER;
	header->word = sizeof(size_t);
	header->label = (uint32_t)strlen(source->label) + 1;
	header->path = (uint32_t)strlen(source->path) + 1;
	header->made = (int64_t)source->made;
	/* A pipe, say, cannot be checked for changes later. */
	header->text_size = S_ISREG(text->st_mode) ? (uint64_t)text->st_size : UINT64_MAX;
	header->text_seconds = (int64_t)text->st_mtim.tv_sec;
	header->text_nanoseconds = (int64_t)text->st_mtim.tv_nsec;
	header->entries = sizeof *header + freezer->bytes;
	header->buckets = header->entries + freezer->entry_count * sizeof *freezer->entries;
	header->strings = header->buckets + (2 * freezer->entry_count + 2) * sizeof(uint32_t);
	header->size = header->strings + header->label + header->path + sizeof(uint64_t);
}

static void
fill_buckets(const struct freezer *freezer, unsigned char *image)
{
	uint64_t buckets = 2 * freezer->entry_count + 1, i;
	uint32_t first = 0;

	for (i = 0; i <= buckets; i++) {
		while (first < freezer->entry_count &&
		    freezer->entries[first].hash * buckets >> 32 < i)
			first++;
		memcpy(image + i * sizeof first, &first, sizeof first);
	}
}

static unsigned char *
assemble(const struct freezer *freezer, const struct freeze_source *source)
{
	const struct frozen_header *header = &freezer->header;
	size_t end = (size_t)header->size - sizeof(uint64_t);
	unsigned char *image = malloc((size_t)header->size);
	uint64_t sum;

	if (image == NULL)
		return NULL;
	memcpy(image, header, sizeof *header);
	if (freezer->bytes > 0)
		memcpy(image + sizeof *header, freezer->records, freezer->bytes);
	memcpy(image + header->entries, freezer->entries,
	    freezer->entry_count * sizeof *freezer->entries);
	fill_buckets(freezer, image + header->buckets);
	memcpy(image + header->strings, source->label, header->label);
	memcpy(image + header->strings + header->label, source->path, header->path);
	sum = frozen_mix(0, image, end);
	memcpy(image + end, &sum, sizeof sum);
	return image;
}

void *
freeze_image(
    const struct rule *records, size_t bytes, const struct freeze_source *source, size_t *size)
{
	struct freezer freezer = { .records = records, .bytes = bytes };
	unsigned char *image = NULL;

	if (file_rules(&freezer)) {
		qsort(
		    freezer.entries, freezer.entry_count, sizeof *freezer.entries, compare_entries);
		fill_header(&freezer, source);
		image = assemble(&freezer, source);
		*size = (size_t)freezer.header.size;
	}
	free(freezer.counts);
	free(freezer.entries);
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
		return "is the text itself: name another file";
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
fill_file(int fd, const void *image, size_t size, const struct stat *text)
{
	if (net_write(fd, image, size, NET_FOREVER) == -1)
		return -1;
	(void)!fchown(fd, (uid_t)-1, text->st_gid); /* only if permitted */
	if (S_ISREG(text->st_mode) && fchmod(fd, text->st_mode & 0777) == -1)
		return -1;
	return fsync(fd);
}

const char *
freeze_write(const char *target, const void *image, size_t size, const struct stat *text)
{
	const char *problem = look_at_target(target, text);
	char temporary[4096 + 8];
	struct text name = TEXT(temporary);
	int fd, result;

	if (problem != NULL)
		return problem;
	text_put(&name, "%s.XXXXXX", target);
	if (name.cut)
		return strerror(ENAMETOOLONG);
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

#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acl.h"
#include "lib/address.h"
#include "lib/aclrule.h"
#include "lib/internal.h"
#include "lib/socks4.h"
#include "lib/text.h"

enum { LARGEST = 16 * 1024 * 1024 }; /* bytes, room for half a million rules */

static const char builtin[] = "permit from 127.0.0.0/8,::1";

void *
acl_map(size_t size)
{
	void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return block != MAP_FAILED ? block : NULL;
}

static void
unmap(void *block, size_t mapped)
{
	if (mapped > 0)
		(void)munmap(block, mapped);
}

/* Moves the text to a mapping of that size. 0, or -1 with errno. */
static int
move_text(struct acl *acl, size_t size)
{
	char *text = acl_map(size);

	if (text == NULL)
		return -1;
	memcpy(text, acl->text, acl->length);
	unmap(acl->text, acl->text_mapped);
	acl->text = text;
	acl->text_mapped = size;
	return 0;
}

/* Reads all of fd, with a NUL behind it: mostly in one read, and a second one finds the end. 0, or
 * -1 with errno. */
static int
read_all(int fd, struct acl *acl)
{
	struct stat status;
	size_t size = ACLRULE_ROOM - sizeof *acl;
	ssize_t got;

	for (;;) {
		do {
			got = read(fd, acl->text + acl->length, size - 1 - acl->length);
			acl->length += got > 0 ? (size_t)got : 0;
		} while (got == -1 ? errno == EINTR : got > 0 && acl->length + 1 < size);
		if (got != -1 && acl->length > LARGEST)
			errno = EFBIG;
		if (got == -1 || acl->length > LARGEST)
			return -1;
		if (got == 0)
			break;
		size *= 2;
		if (fstat(fd, &status) == 0 && status.st_size <= LARGEST &&
		    (size_t)status.st_size + 2 > size)
			size = (size_t)status.st_size + 2;
		if (move_text(acl, size) == -1)
			return -1;
	}
	acl->text[acl->length] = '\0';
	return 0;
}

static int
read_file(const char *path, struct acl *acl)
{
	int fd = open(path, O_RDONLY | O_NOCTTY), result, error;

	if (fd == -1)
		return -1;
	result = read_all(fd, acl);
	error = errno;
	close(fd);
	errno = error;
	return result;
}

static int
copy_builtin(struct acl *acl)
{
	acl->length = sizeof builtin - 1;
	memcpy(acl->text, builtin, sizeof builtin);
	return 0;
}

static void
complain_of_file(const char *path, void (*complain)(const char *message))
{
	char bytes[4352];
	struct text message;

	text_start(&message, bytes, sizeof bytes);
	text_put(&message, path);
	text_put(&message, ": ");
	text_put(&message, strerror(errno));
	complain(bytes);
}

struct acl *
acl_load(const char *path, void (*complain)(const char *message))
{
	const char *name = path != NULL ? path : "built-in";
	struct acl *acl = acl_map(ACLRULE_ROOM);

	if (acl == NULL) {
		complain_of_file(name, complain);
		return NULL;
	}
	acl->text = (char *)(acl + 1);
	if ((path != NULL ? read_file(path, acl) : copy_builtin(acl)) == -1)
		complain_of_file(name, complain);
	else if (aclparse_text(acl, name, complain))
		return acl;
	acl_free(acl);
	return NULL;
}

void
acl_free(struct acl *acl)
{
	if (acl == NULL)
		return;
	unmap(acl->text, acl->text_mapped);
	unmap(acl->rules, acl->tables_mapped);
	unmap(acl, ACLRULE_ROOM);
}

/* Whether a request's addresses are internal, found out at most once. MAYBE: not known yet. */
struct internals {
	enum match source, destination;
};

/* Where the system does not tell, the answer is the one that permits nothing. */
static bool
is_internal(const struct address *address, enum match *known, bool permit)
{
	int answer;

	if (*known == MAYBE) {
		answer = internal_has(address);
		if (answer == -1)
			return !permit;
		*known = answer == 1 ? YES : NO;
	}
	return *known == YES;
}

/* The best that any item of one list gives. */
static enum match
match_list(const struct acl *acl, const struct rule *rule, int criterion,
    const struct acl_request *request)
{
	unsigned i, count = rule->lists[criterion].count;
	enum match match, best = count == 0 ? YES : NO;

	for (i = 0; i < count && best != YES; i++) {
		match = aclitem_match(
		    criterion, &acl->items[rule->lists[criterion].first + i], request);
		if (match > best)
			best = match;
	}
	return best;
}

/* "Any caller" (BIND to 0.0.0.0) is permitted by name only. */
static bool
permits_unspecified(const struct acl *acl, const struct rule *rule, const struct address *address)
{
	const struct item *item;
	unsigned i;

	for (i = 0; i < rule->lists[RULE_TO].count; i++) {
		item = &acl->items[rule->lists[RULE_TO].first + i];
		if (aclitem_is_unspecified(item) && address_in_prefix(address, &item->is.prefix))
			return true;
	}
	return false;
}

static enum match
match_rule(const struct acl *acl, const struct rule *rule, const struct acl_request *request,
    struct internals *internals)
{
	enum match from, to;

	if ((rule->command != 0 && rule->command != request->command) ||
	    match_list(acl, rule, RULE_PORT, request) == NO ||
	    match_list(acl, rule, RULE_USER, request) == NO)
		return NO;
	from = match_list(acl, rule, RULE_FROM, request);
	to = match_list(acl, rule, RULE_TO, request);
	if (from == NO || to == NO)
		return NO;
	if (rule->permit && request->address != NULL && address_is_unspecified(request->address) &&
	    !permits_unspecified(acl, rule, request->address))
		return NO;
	if (from == INTERNAL && !is_internal(request->source, &internals->source, rule->permit))
		return NO;
	if (to != INTERNAL)
		return to;
	return is_internal(request->address, &internals->destination, rule->permit) ? YES : NO;
}

struct acl_decision
acl_judge(const struct acl *acl, const struct acl_request *request)
{
	struct internals internals = { MAYBE, MAYBE };
	struct acl_decision decision = { ACL_DENY, 0, ACL_IDENT_DEFAULT };
	size_t i;

	for (i = 0; i < acl->rule_count; i++) {
		const struct rule *rule = &acl->rules[i];
		enum match match = match_rule(acl, rule, request, &internals);

		if (match == YES || (match == MAYBE && rule->permit)) {
			if (rule->permit)
				decision.verdict =
				    request->address != NULL ? ACL_PERMIT : ACL_LOOKUP;
			decision.line = rule->line;
			decision.ident = rule->ident;
			break;
		}
	}
	return decision;
}

size_t
acl_text(const struct acl *acl, unsigned line, char *text, size_t size)
{
	struct word rest, word;
	struct text copy;
	size_t i, length = 0;

	text_start(&copy, text, size);
	for (i = 0; i < acl->rule_count && acl->rules[i].line != line; i++)
		;
	if (i == acl->rule_count)
		return 0;
	for (rest = acl->rules[i].text; aclparse_word(&rest, &word);) {
		text_put(&copy, length > 0 ? " " : "");
		text_put_bytes(&copy, word.text, word.length);
		length += (length > 0) + word.length;
	}
	return length;
}

struct prefix *
acl_prefixes(const char *list, size_t *count, const char **message)
{
	struct prefix *prefixes;
	char element[64];
	size_t length, commas = 0;
	const char *p;

	for (p = list; *p != '\0'; p++)
		commas += *p == ',';
	prefixes = calloc(commas + 1, sizeof *prefixes);
	*message = prefixes == NULL ? strerror(errno) : NULL;
	for (*count = 0; *message == NULL && *count <= commas; list += length + 1) {
		length = strcspn(list, ",");
		if (length == 0) {
			*message = "has an empty element";
		} else if (length >= sizeof element) {
			*message = "is not an address";
		} else {
			memcpy(element, list, length);
			element[length] = '\0';
			*message = address_parse_prefix(element, &prefixes[(*count)++]);
		}
	}
	if (*message == NULL)
		return prefixes;
	free(prefixes);
	return NULL;
}

bool
acl_canonical_name(const char *name, char *canonical)
{
	size_t length = strlen(name);

	if (length > 0 && name[length - 1] == '.')
		length--;
	/* glibc looks b\097d up as bad, which no rule that names it would match. */
	if (length == 0 || length > SOCKS4_FIELD || name[length - 1] == '.' ||
	    strchr(name, '\\') != NULL)
		return false;
	memcpy(canonical, name, length);
	canonical[length] = '\0';
	return true;
}

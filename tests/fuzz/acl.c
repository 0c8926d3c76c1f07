/* An access list, and one request judged by it. The list's own text of its rules, read again, has
 * to say the same, and so has its frozen form. Input: list NUL USERID NUL name NUL command, source,
 * address, port. */

#include "fuzz.h"

#include <sys/socket.h>

#include <stdio.h>
#include <unistd.h>

#include "acl.h"
#include "lib/address.h"
#include "lib/freeze.h"
#include "lib/socks4.h"
#include "lib/warnings.h"

enum { LONGEST = 16384 };

struct input {
	const uint8_t *at, *end;
};

static unsigned complaints;

static bool
complain(const char *format, ...)
{
	assert(format[0] != '\0');
	complaints++;
	return true;
}

static unsigned
take_byte(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static char *
take_text(struct input *input)
{
	size_t room = (size_t)(input->end - input->at);
	const uint8_t *nul = memchr(input->at, '\0', room);
	size_t length = nul != NULL ? (size_t)(nul - input->at) : room;
	char *text = malloc(length + 1);

	assert(text != NULL);
	memcpy(text, input->at, length);
	text[length] = '\0';
	input->at += nul != NULL ? length + 1 : length;
	return text;
}

static const struct rule *
after(const struct rule *rule)
{
	return (const struct rule *)(const void *)((const char *)rule + rule->size);
}

static void
take_address(struct input *input, struct address *address)
{
	unsigned char octets[16];
	unsigned kind = take_byte(input) % 3;
	size_t i;

	for (i = 0; kind != 0 && i < (kind == 1 ? 4 : 16); i++)
		octets[i] = (unsigned char)take_byte(input);
	memset(address, 0, sizeof *address);
	address->family = AF_UNSPEC;
	if (kind != 0)
		address_set(address, kind == 1 ? AF_INET : AF_INET6, octets);
}

/* acl_load() takes a path: that of a file which has no name any more. */
static struct acl *
load(const void *bytes, size_t length)
{
	static char path[32];
	static uint64_t rooms[3][128]; /* three lists live at a time */
	static unsigned turn;
	const size_t window = 32 + length % 60 * 8;
	static int fd = -1;
	struct acl *acl;

	if (fd == -1)
		fd = nameless_file(path, sizeof path);
	assert(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, length, 0) == (ssize_t)length);
	complaints = 0;
	acl = acl_load(path,
	    &(struct acl_memory){
		(char *)rooms[turn++ % 3], length % 2 == 0 ? sizeof *rooms : window, window },
	    NULL, complain);
	assert((acl == NULL) == (complaints > 0));
	return acl;
}

/* The list as its rules' texts, each in its line. */
static char *
print_rules(const struct acl *acl, size_t size)
{
	char *text = malloc(size + 1);
	const struct rule *rule;
	size_t length = 0, left;
	unsigned line = 1;

	assert(text != NULL);
	for (rule = acl_records(acl, &left); left > 0; rule = after(rule)) {
		assert(rule->size <= left && rules_is_sound(rule, rule->size));
		for (; line < rule->line; line++)
			text[length++] = '\n';
		length += (size_t)sprintf(text + length, "%s", rules_text(rule));
		assert(length < size);
		left -= rule->size;
	}
	text[length] = '\n';
	text[length + 1] = '\0';
	return text;
}

static void
tell(unsigned line, const char *warning)
{
	assert(line < LONGEST && warning[0] != '\0');
}

/* The frozen form of it. */
static struct acl *
freeze(const struct acl *acl)
{
	struct freeze_source source = { .label = "label", .path = "/nonexistent/label" };
	struct acl *frozen;
	size_t bytes, size;
	const struct rule *records = acl_records(acl, &bytes);
	void *image = freeze_image(records, bytes, &source, &size);

	assert(image != NULL && warnings_find(records, bytes, image, tell));
	frozen = load(image, size);
	assert(frozen != NULL && acl_frozen(frozen) != NULL);
	free(image);
	return frozen;
}

/* Both lists say the same. */
static struct acl_decision
decide(struct acl *acl, struct acl *other, const struct acl_request *request)
{
	struct acl_decision one = acl_judge(acl, request), two = acl_judge(other, request);

	assert(one.verdict != (request->address != NULL ? ACL_LOOKUP : ACL_PERMIT));
	assert(one.verdict == ACL_DENY || one.line != 0);
	assert(one.verdict == two.verdict);
	if (one.verdict != ACL_LOOKUP) {
		assert(one.line == two.line && one.ident == two.ident);
		assert(strcmp(acl_text(acl, &one), acl_text(other, &two)) == 0);
	}
	return one;
}

/* Judges with and without the address: a name whose look-up cannot help has no address that
 * would be permitted. */
static void
judge(struct acl *acl, struct acl *other, struct acl_request *request)
{
	const struct address *address = request->address;
	struct acl_decision known = decide(acl, other, request), open;

	request->address = NULL;
	open = decide(acl, other, request);
	if (open.verdict == ACL_DENY && !address_is_unspecified(address) &&
	    (request->command == SOCKS4_CONNECT || address->family == AF_INET))
		assert(known.verdict == ACL_DENY);
	request->address = address;
}

static void
check_list(struct acl *acl, const char *text, struct acl_request *request)
{
	char *printed = print_rules(acl, strlen(text) + 1);
	struct acl *again = load(printed, strlen(printed)), *frozen = freeze(acl);

	assert(again != NULL);
	if (request->address->family != AF_UNSPEC) {
		judge(acl, again, request);
		judge(acl, frozen, request);
	}
	acl_free(again);
	acl_free(frozen);
	free(printed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	struct address source, address;
	struct acl_request request = { .source = &source, .address = &address };
	char *text, *userid, *name, canonical[256];
	struct acl *acl;

	if (size > LONGEST)
		return 0;
	text = take_text(&input);
	userid = take_text(&input);
	name = take_text(&input);
	request.command = take_byte(&input) % 2 ? SOCKS4_BIND : SOCKS4_CONNECT;
	take_address(&input, &source);
	take_address(&input, &address);
	request.port = take_byte(&input) << 8;
	request.port |= take_byte(&input);
	request.userid = userid;
	if (strlen(name) <= SOCKS4_FIELD && acl_canonical_name(name, canonical))
		request.name = canonical;
	acl = load(text, strlen(text));
	if (acl != NULL)
		check_list(acl, text, &request);
	acl_free(acl);
	free(text);
	free(userid);
	free(name);
	return 0;
}

/* An access list, and one request judged by it. The list's own text of its rules, read again, has
 * to say the same. Input: list NUL USERID NUL name NUL command, source, address, port. */

#include "fuzz.h"

#include <sys/socket.h>

#include <stdio.h>
#include <unistd.h>

#include "acl.h"
#include "lib/address.h"
#include "lib/socks4.h"

enum { LONGEST = 16384 };

struct input {
	const uint8_t *at, *end;
};

static unsigned complaints;

static void
complain(const char *message)
{
	assert(message[0] != '\0');
	complaints++;
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
load(const char *text, size_t length)
{
	static char path[32], window[512];
	static int fd = -1;
	struct acl *acl;

	if (fd == -1) {
		char name[] = "/dev/shm/fuzz-acl-XXXXXX";

		fd = mkstemp(name);
		assert(fd != -1 && unlink(name) == 0);
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	}
	assert(ftruncate(fd, 0) == 0 && pwrite(fd, text, length, 0) == (ssize_t)length);
	complaints = 0;
	acl = acl_load(path, (struct acl_window){ window, 1 + length % sizeof window }, complain);
	assert((acl == NULL) == (complaints > 0));
	return acl;
}

/* The list as its rules' texts, each in its line. */
static char *
print_rules(const struct acl *acl, size_t size)
{
	char *text = malloc(size + 1);
	const struct rule *rule;
	unsigned line = 1;
	size_t length = 0;

	assert(text != NULL);
	for (rule = acl_next(acl, NULL); rule != NULL; rule = acl_next(acl, rule)) {
		assert(rules_is_sound(rule, rule->size));
		while (line < rule->line) {
			text[length++] = '\n';
			line++;
		}
		length += (size_t)sprintf(text + length, "%s", rules_text(rule));
		assert(length < size);
	}
	text[length] = '\n';
	text[length + 1] = '\0';
	return text;
}

static void
check_decision(const struct acl_request *request, struct acl_decision decision)
{
	assert(decision.verdict != (request->address != NULL ? ACL_LOOKUP : ACL_PERMIT));
	assert(decision.verdict == ACL_DENY || decision.line != 0 || request->address == NULL);
	assert(decision.line == 0 || decision.rule->line == decision.line);
}

/* Judges with and without the address: a name whose look-up cannot help has no address that
 * would be permitted. */
static void
judge(const struct acl *acl, const struct acl *again, struct acl_request *request)
{
	const struct address *address = request->address;
	struct acl_decision known = acl_judge(acl, request), other = acl_judge(again, request),
			    open;

	check_decision(request, known);
	assert(known.verdict == other.verdict && known.line == other.line &&
	    known.ident == other.ident);
	request->address = NULL;
	open = acl_judge(acl, request);
	check_decision(request, open);
	if (open.verdict == ACL_DENY && !address_is_unspecified(address) &&
	    (request->command == SOCKS4_CONNECT || address->family == AF_INET))
		assert(known.verdict == ACL_DENY);
}

static void
check_list(struct acl *acl, const char *text, struct acl_request *request)
{
	char *printed = print_rules(acl, strlen(text) + 1);
	struct acl *again;

	again = load(printed, strlen(printed));
	assert(again != NULL);
	if (request->address->family != AF_UNSPEC)
		judge(acl, again, request);
	acl_free(again);
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

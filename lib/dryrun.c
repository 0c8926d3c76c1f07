#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/dryrun.h"
#include "lib/candidates.h"
#include "lib/log.h"
#include "lib/net.h"
#include "lib/options.h"
#include "lib/reason.h"
#include "lib/text.h"

enum { COMMAND, USER, SOURCE, DESTINATION, PORT };

enum { REST_MOST = 512 }; /* of a line that has no rule in it: a name and an address at most */

struct question {
	struct address source;
	struct socks4_request request;
};

static int
fail(const char *problem)
{
	char bytes[128];
	struct text message;

	text_start(&message, bytes, sizeof bytes);
	text_put_all(&message, "socks4-stdio: ", problem);
	log_error(bytes);
	return 2;
}

/* Fills the request as it would come over the wire. NULL, or what is wrong. */
static const char *
read_question(char **operands, struct question *question)
{
	struct socks4_request *request = &question->request;
	struct address address;

	memset(question, 0, sizeof *question);
	if (strcmp(operands[COMMAND], "connect") == 0)
		request->command = SOCKS4_CONNECT;
	else if (strcmp(operands[COMMAND], "bind") == 0)
		request->command = SOCKS4_BIND;
	else
		return "the command is connect or bind";
	if (strlen(operands[USER]) > SOCKS4_FIELD)
		return "the user is longer than 255 bytes";
	if (strcmp(operands[SOURCE], "local") != 0 &&
	    address_parse(operands[SOURCE], &question->source) == -1)
		return "the source is an address or local";
	if (*operands[DESTINATION] == '\0' || strlen(operands[DESTINATION]) > SOCKS4_FIELD)
		return "the destination is an address or a name of 1 to 255 bytes";
	if (options_port(operands[PORT], 0, &request->port) == -1)
		return "the port is a number or a service name";
	request->userid = operands[USER];
	if (address_parse(operands[DESTINATION], &address) == 0 && address.family == AF_INET) {
		memcpy(request->dstip, address.octets, sizeof request->dstip);
	} else {
		request->dstip[3] = 1;
		request->name = operands[DESTINATION];
	}
	return NULL;
}

/* Prints "permit example.org 198.51.100.9 443 by path:line: text of the rule", then the policy in
 * place of what the rule leaves open. 0, or -1 with errno. */
static int
print_decision(const struct candidates_list *list, const struct candidates *candidates,
    const struct acl_decision *decision, const char *address, unsigned port, const char *policy)
{
	bool both = candidates->named && *address != '\0';
	const char *rule = decision->rule != NULL ? rules_text(decision->rule) : "";
	size_t room = REST_MOST + strlen(list->label) + strlen(rule);
	char *bytes = malloc(room);
	struct text line;
	int result;

	if (bytes == NULL)
		return -1;
	text_start(&line, bytes, room);
	text_put_all(&line, decision->verdict == ACL_PERMIT ? "permit " : "deny ",
	    candidates->named ? candidates->name : "", both ? " " : "", address, " ");
	text_put_number(&line, port, 1);
	if (decision->line == 0) {
		text_put(&line, " by default");
	} else {
		text_put_all(&line, " by ", list->label, ":");
		text_put_number(&line, decision->line, 1);
		text_put_all(&line, ": ", rule);
	}
	text_put_all(&line, policy, "\n");
	result = net_write(STDOUT_FILENO, bytes, line.length, NET_FOREVER);
	free(bytes);
	return result;
}

static int
print_candidate(const struct candidates_list *list, const struct candidates *candidates,
    const struct candidate *candidate, unsigned port)
{
	static const char *const policies[] = {
		[RULE_IDENT_ASK] = " ident ask", [RULE_IDENT_REQUIRE] = " ident require"
	};
	const struct acl_decision *decision = &candidate->decision;
	bool asks = decision->verdict == ACL_PERMIT && candidate->by_policy &&
	    decision->ident >= RULE_IDENT_ASK;
	char text[ADDRESS_TEXT];

	return print_decision(list, candidates, decision, address_print(&candidate->address, text),
	    port, asks ? policies[decision->ident] : "");
}

static int
print_refusal(const struct socks4_request *request, const char *reason)
{
	char bytes[REST_MOST], text[ADDRESS_TEXT];
	struct address asked;
	struct text line;

	address_set(&asked, AF_INET, request->dstip);
	text_start(&line, bytes, sizeof bytes);
	text_put_all(&line, "deny ",
	    request->name != NULL ? request->name : address_print(&asked, text), " ");
	text_put_number(&line, request->port, 1);
	text_put_all(&line, ": ", reason, "\n");
	return net_write(STDOUT_FILENO, bytes, line.length, NET_FOREVER);
}

/* Returns the exit status. */
static int
answer(const struct candidates_list *list, const struct options *options, struct question *question)
{
	struct socks4_request *request = &question->request;
	unsigned limit =
	    request->command == SOCKS4_BIND ? options->limits.bind : options->limits.connect;
	const struct candidates_question ask = { list, options, &question->source, request,
		net_deadline(limit), NULL };
	struct candidates candidates;
	enum reason reason = candidates_judge(&ask, &candidates);
	int written = 0;
	size_t i;

	if (reason != REASON_NONE && reason != REASON_DENIED) {
		candidates.count = 0;
		written = print_refusal(request, reason_word(reason));
	} else if (candidates.count == 0) {
		written = print_decision(
		    list, &candidates, &candidates.each[0].decision, "", request->port, "");
	}
	for (i = 0; i < candidates.count && written == 0; i++)
		written = print_candidate(list, &candidates, &candidates.each[i], request->port);
	if (written == -1)
		return fail("cannot write the answer");
	return reason == REASON_NONE ? 0 : 1;
}

int
dryrun_run(const struct options *options)
{
	char window[2048];
	struct candidates_list list = { .window = { window, sizeof window } };
	struct question question;
	const char *problem;
	int status = 0;

	if (options->operand_count != 0) {
		problem = read_question(options->operands, &question);
		if (problem != NULL)
			return fail(problem);
	}
	if (candidates_load(options, log_error, &list) == -1)
		return 2;
	if (options->operand_count != 0)
		status = answer(&list, options, &question);
	acl_free(list.acl);
	return status;
}

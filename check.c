#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "judge.h"
#include "net.h"
#include "options.h"

enum { COMMAND, USER, SOURCE, DESTINATION, PORT };

struct question {
	struct address source;
	struct socks4_request request;
};

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

static void
print(const char *verdict, const struct judgement *judgement, const char *address, unsigned port)
{
	bool both = judgement->named && *address != '\0';

	printf("%s %s%s%s %u", verdict, judgement->named ? judgement->name : "", both ? " " : "",
	    address, port);
}

/* " by path:line: text of the rule". */
static void
print_rule(const struct judge_list *list, unsigned line)
{
	char nothing[1], *text;
	size_t room;

	if (line == 0) {
		printf(" by default");
		return;
	}
	room = acl_text(list->acl, line, nothing, sizeof nothing) + 1;
	text = malloc(room);
	if (text != NULL)
		acl_text(list->acl, line, text, room);
	printf(" by %s:%u: %s", list->label, line, text != NULL ? text : strerror(errno));
	free(text);
}

static void
print_candidate(const struct judge_list *list, const struct judgement *judgement,
    const struct judge_candidate *candidate, unsigned port)
{
	static const char *const policies[] = {
		[ACL_IDENT_ASK] = " ident ask", [ACL_IDENT_REQUIRE] = " ident require"
	};
	bool permitted = candidate->decision.verdict == ACL_PERMIT;
	char text[ADDRESS_TEXT];

	print(permitted ? "permit" : "deny", judgement, address_print(&candidate->address, text),
	    port);
	print_rule(list, candidate->decision.line);
	puts(permitted && candidate->by_policy && candidate->decision.ident >= ACL_IDENT_ASK
		? policies[candidate->decision.ident]
		: "");
}

static int
answer(const struct judge_list *list, const struct options *options, struct question *question)
{
	static const char *const reasons[] = {
		[JUDGE_BAD_ADDRESS] = "bad-address",
		[JUDGE_BAD_PORT] = "bad-port",
		[JUDGE_BAD_NAME] = "bad-name",
		[JUDGE_NAMES_REFUSED] = "names-refused",
		[JUDGE_RESOLVE_FAILED] = "resolve-failed",
		[JUDGE_RESOLVE_TIMEOUT] = "resolve-timeout",
		[JUDGE_LEFT] = "client-left",
		[JUDGE_SYSTEM] = "system",
	};
	struct socks4_request *request = &question->request;
	unsigned limit =
	    request->command == SOCKS4_BIND ? options->limits.bind : options->limits.connect;
	struct judgement judgement;
	struct address asked;
	char text[ADDRESS_TEXT];
	enum judge_status status = judge_request(
	    list, options, &question->source, request, net_deadline(limit), NULL, &judgement);
	size_t i;

	if (status != JUDGE_OK && status != JUDGE_DENIED) {
		if (request->name == NULL) {
			address_set(&asked, AF_INET, request->dstip);
			address_print(&asked, text);
		}
		printf("deny %s %u: %s\n", request->name != NULL ? request->name : text,
		    request->port, reasons[status]);
		return 1;
	}
	if (judgement.count == 0) {
		print("deny", &judgement, "", request->port);
		print_rule(list, judgement.decision.line);
		putchar('\n');
	}
	for (i = 0; i < judgement.count; i++)
		print_candidate(list, &judgement, &judgement.candidates[i], request->port);
	return status == JUDGE_OK ? 0 : 1;
}

int
check_run(const struct options *options)
{
	struct judge_list list;
	struct question question;
	const char *problem;
	int status = 0;

	if (options->operand_count != 0) {
		problem = read_question(options->operands, &question);
		if (problem != NULL) {
			fprintf(stderr, "socks4-stdio: %s\n", problem);
			return 2;
		}
	}
	if (judge_load(options, log_error, &list) == -1)
		return 2;
	if (options->operand_count != 0)
		status = answer(&list, options, &question);
	acl_free(list.acl);
	if (fflush(stdout) == EOF) {
		fprintf(stderr, "socks4-stdio: cannot write the answer\n");
		return 2;
	}
	return status;
}

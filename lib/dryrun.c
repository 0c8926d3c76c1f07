#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/candidates.h"
#include "lib/dryrun.h"
#include "lib/freeze.h"
#include "lib/frozen.h"
#include "lib/lines.h"
#include "lib/log.h"
#include "lib/net.h"
#include "lib/options.h"
#include "lib/reason.h"
#include "lib/text.h"
#include "lib/warnings.h"

enum { COMMAND, USER, SOURCE, DESTINATION, PORT, OPERANDS };

enum { REST_MOST = 512 }; /* of an answer, without the rule: a name, an address and words */

struct question {
	struct address source;
	struct socks4_request request;
};

/* Makes the request that a client would send. Returns NULL, or what is wrong. */
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
		return "the destination must be an address or a name of 1 to 255 bytes";
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

/* Prints "permit example.org 198.51.100.9 443 by path:line: text of the rule", then the
 * identity mode that -i or -I adds; without an address if the name was not looked up. Returns 0, or
 * -1 with errno. */
static int
print_candidate(const struct candidates_list *list, const struct candidates *candidates,
    const struct candidate *candidate, unsigned port)
{
	static const char *const policies[] = { "", "", " ident ask", " ident require" };
	const struct acl_decision *decision = &candidate->decision;
	const char *rule = acl_text(list->acl, decision);
	size_t room = REST_MOST + strlen(list->label) + (rule != NULL ? strlen(rule) : 0);
	char *bytes = rule != NULL ? malloc(room) : NULL, text[ADDRESS_TEXT];
	struct text line = { .bytes = bytes, .size = room };
	int result;

	if (bytes == NULL)
		return -1;
	text_put(&line, decision->verdict == ACL_PERMIT ? "permit" : "deny");
	if (candidates->named)
		text_put(&line, " %s", candidates->name);
	if (candidates->count > 0)
		text_put(&line, " %s", address_print(&candidate->address, text));
	text_put(&line, " %u by ", port);
	if (decision->line == 0)
		text_put(&line, "default");
	else
		text_put(&line, "%s:%u: %s", list->label, decision->line, rule);
	text_put(&line, "%s\n", candidate->by_policy ? policies[decision->ident] : "");
	result = net_write(STDOUT_FILENO, bytes, line.length, NET_FOREVER);
	free(bytes);
	return result;
}

static int
print_refusal(
    const struct candidates *candidates, const struct socks4_request *request, const char *reason)
{
	const char *name = candidates->named ? candidates->name : request->name;
	char bytes[REST_MOST], text[ADDRESS_TEXT];
	struct address asked;
	struct text line = TEXT(bytes);

	address_set(&asked, AF_INET, request->dstip);
	text_put(&line, "deny %s %u: %s\n", name != NULL ? name : address_print(&asked, text),
	    request->port, reason);
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
	size_t i = 0;
	int written;

	if (reason == REASON_BROKEN_LIST)
		return log_failure(
		    2, "the frozen list is damaged, or was changed while it was asked");
	if (reason != REASON_NONE && reason != REASON_DENIED)
		written = print_refusal(&candidates, request, reason_word(reason));
	else
		do
			written =
			    print_candidate(list, &candidates, &candidates.each[i], request->port);
		while (written == 0 && ++i < candidates.count);
	if (written == -1)
		return log_failure(2, "cannot write the answer");
	return reason == REASON_NONE ? 0 : 1;
}

/* ---- questions on standard input ---- */

/* Splits the line at blanks; '' is an empty word. Returns the count, at most OPERANDS + 1. */
static int
split(char *line, char **words)
{
	int count = 0;

	for (line = strtok(line, " \t"); line != NULL && count <= OPERANDS;
	     line = strtok(NULL, " \t"))
		words[count++] =
		    strcmp(line, "''") == 0 || strcmp(line, "\"\"") == 0 ? line + 2 : line;
	return count;
}

/* Answers one line. 0; 1 after a message that it is no question; 2 after any other message, which
 * ends the run. */
static int
answer_line(
    const struct candidates_list *list, const struct options *options, char *line, unsigned number)
{
	char *words[OPERANDS + 1];
	struct question question;
	const char *problem = "a question is command, user, source, destination and port";
	int count = split(line, words);

	if (count == 0 || *words[0] == '#')
		return 0;
	if (count == OPERANDS)
		problem = read_question(words, &question);
	if (problem == NULL)
		return answer(list, options, &question) == 2 ? 2 : 0;
	return log_failure(1, "line %u: %s", number, problem);
}

/* A last line may lack its newline. */
static int
answer_lines(const struct candidates_list *list, const struct options *options)
{
	char window[2048], *line;
	struct lines lines = {
		.fd = STDIN_FILENO, .bytes = window, .size = sizeof window, .most = SIZE_MAX
	};
	size_t length = 0;
	int status = 0, result = 0;

	while (result != 2 && lines_next(&lines, &line, &length) == 0) {
		if (line == NULL && length == 0) {
			lines_free(&lines);
			return status;
		}
		if (line == NULL) {
			line = lines.bytes + lines.start;
			lines.start = lines.end;
		}
		line[length] = '\0';
		result = strlen(line) != length
		    ? log_failure(1, "line %u: contains a NUL byte", lines.number)
		    : answer_line(list, options, line, lines.number);
		if (result != 0)
			status = 2;
	}
	lines_free(&lines);
	return result == 2 ? 2 : log_failure(2, "cannot read standard input: %s", strerror(errno));
}

/* ---- the list itself ---- */

static const char *warned_path;

static void
warn(unsigned line, const char *warning)
{
	if (line != 0)
		log_error("%s:%u: warning: %s", warned_path, line, warning);
	else
		log_error("%s: warning: %s", warned_path, warning);
}

/* "2026-11-24 22:00:00 UTC" */
static void
put_time(struct text *text, time_t when)
{
	struct tm broken_down;

	if (gmtime_r(&when, &broken_down) == NULL)
		return;
	text_put(text, "%04u-%02u-%02u %02u:%02u:%02u UTC", (unsigned)broken_down.tm_year + 1900,
	    (unsigned)broken_down.tm_mon + 1, (unsigned)broken_down.tm_mday,
	    (unsigned)broken_down.tm_hour, (unsigned)broken_down.tm_min,
	    (unsigned)broken_down.tm_sec);
}

/* With -v: "frozen, 1000000 rules, made of /etc/list at ...", or "text, 12 rules". */
static int
print_kind(const struct candidates_list *list)
{
	const struct acl_frozen *frozen = acl_frozen(list->acl);
	unsigned long long rules = frozen != NULL ? frozen->rules : 0;
	const char *at, *end;
	char bytes[4096 + 128];
	struct text text = TEXT(bytes);
	size_t size;

	at = (const char *)acl_records(list->acl, &size);
	for (end = at != NULL ? at + size : NULL; at != end; rules++)
		at += ((const struct rule *)(const void *)at)->size;
	text_put(&text, "%s, %llu %s", frozen != NULL ? "frozen" : "text", rules,
	    rules == 1 ? "rule" : "rules");
	if (frozen != NULL) {
		text_put(&text, ", made of %s at ", frozen->path);
		put_time(&text, (time_t)frozen->made);
	}
	text_put(&text, "\n");
	return net_write(STDOUT_FILENO, bytes, text.length, NET_FOREVER);
}

/* Writes the absolute path to path. Returns false if it does not fit. */
static bool
make_absolute(const char *given, char *path, size_t size)
{
	struct text text = { .bytes = path, .size = size };

	if (*given != '/') {
		if (getcwd(path, size) == NULL)
			return false;
		text.length = strlen(path);
		text_put(&text, "/");
	}
	text_put(&text, "%s", given);
	return !text.cut;
}

/* Warns, and writes the frozen form for -o. */
static int
check_text(
    const struct candidates_list *list, const struct options *options, const struct stat *text)
{
	char path[4096];
	struct freeze_source source = { list->label, path, *text, time(NULL) };
	const char *problem = NULL;
	const struct rule *records;
	size_t bytes, size;
	void *image;

	if (!make_absolute(list->label, path, sizeof path))
		return log_failure(2, "the path of the list is too long");
	records = acl_records(list->acl, &bytes);
	image = freeze_image(records, bytes, &source, &size);
	warned_path = list->label;
	if (image == NULL || !warnings_find(records, bytes, image, warn))
		problem = strerror(errno);
	else if (net_stopped()) /* some warnings were not said */
		problem = strerror(EINTR);
	else if (options->frozen_path != NULL)
		problem = freeze_write(options->frozen_path, image, size, text);
	free(image);
	if (problem == NULL)
		return 0;
	return log_failure(2, "%s: %s",
	    options->frozen_path != NULL ? options->frozen_path : list->label, problem);
}

static int
check_list(
    const struct candidates_list *list, const struct options *options, const struct stat *text)
{
	const struct acl_frozen *frozen = acl_frozen(list->acl);

	if (!acl_is_whole(list->acl))
		return log_failure(2, "%s: a frozen list that was damaged: freeze the text again",
		    candidates_path(options));
	if (options->verbose && print_kind(list) == -1)
		return log_failure(2, "cannot write the answer");
	if (frozen != NULL && options->frozen_path != NULL)
		return log_failure(
		    2, "%s: is frozen already: freeze the text", candidates_path(options));
	if (frozen != NULL)
		return frozen->stale ? 1 : 0;
	if (candidates_path(options) != NULL)
		return check_text(list, options, text);
	if (options->frozen_path != NULL)
		return log_failure(2, "there is no list to freeze: name one with -a");
	log_error("no list: the built-in one is in force, permit from 127.0.0.0/8,::1");
	return 0;
}

int
dryrun_run(const struct options *options)
{
	char window[2048];
	struct candidates_list list = { .memory = { window, sizeof window, sizeof window } };
	bool alone = options->operand_count == 0;
	struct question question;
	const char *problem;
	struct stat text;
	int status;

	if (options->operand_count == OPERANDS) {
		problem = read_question(options->operands, &question);
		if (problem != NULL)
			return log_failure(2, "%s", problem);
	}
	if (candidates_load(options, alone ? &text : NULL, log_error, &list) == -1)
		return 2;
	if (alone)
		status = check_list(&list, options, &text);
	else if (options->operand_count == OPERANDS)
		status = answer(&list, options, &question);
	else
		status = answer_lines(&list, options);
	acl_free(list.acl);
	return status;
}

/*
 * dnsd: a DNS server that says what it is told, for a network namespace of its own. tests/README.md
 * has the records.
 */
#define NAME "dnsd"
#include <strings.h>

#include "tests/net.h"

enum {
	TYPE_A = 1,
	TYPE_AAAA = 28,
	RECORDS = 256,
	WAITING = 64,
	HEADER = 12,
	NAME_LENGTH = 256,
	MESSAGE = 4096,
	SERVFAIL = 2,
	NXDOMAIN = 3
};

struct record {
	char name[NAME_LENGTH];
	enum { ADDRESS, REFUSAL, SILENT, DELAY } kind;
	int type; /* of an ADDRESS */
	unsigned char data[16];
	int rcode;  /* of a REFUSAL */
	long delay; /* milliseconds */
};

struct answer {
	unsigned char message[MESSAGE];
	size_t length;
	struct net_address to;
	int64_t due;
};

static struct record records[RECORDS];
static size_t record_count;
static struct answer waiting[WAITING];
static size_t waiting_count;

static bool
set_record(struct record *record, const char *type, const char *value)
{
	if (strcmp(type, "A") == 0 || strcmp(type, "AAAA") == 0) {
		record->type = type[1] ? TYPE_AAAA : TYPE_A;
		return inet_pton(type[1] ? AF_INET6 : AF_INET, value, record->data) == 1;
	}
	if (strcmp(type, "DELAY") == 0) {
		record->kind = DELAY;
		record->delay = strtol(value, NULL, 10);
		return record->delay > 0;
	}
	if (strcmp(type, "SILENT") == 0)
		record->kind = SILENT;
	else {
		record->kind = REFUSAL;
		record->rcode = strcmp(type, "SERVFAIL") == 0 ? SERVFAIL : NXDOMAIN;
		if (record->rcode == NXDOMAIN && strcmp(type, "NXDOMAIN") != 0)
			return false;
	}
	return *value == '\0';
}

static void
add_record(const char *line)
{
	struct record *record = &records[record_count++];
	char type[16], value[64] = "", rest[2];
	int fields = sscanf(line, "%255s %15s %63s %1s", record->name, type, value, rest);

	if (record_count == RECORDS || fields < 2 || fields > 3 ||
	    !set_record(record, type, value)) {
		fprintf(stderr, "dnsd: not a record: %s\n", line);
		exit(2);
	}
}

/* The question's name as text; returns the number of bytes of the message it took, 0 if it is no
 * good. */
static size_t
question_name(const unsigned char *message, size_t length, char *name)
{
	size_t at = HEADER, out = 0;

	while (at < length && message[at] != 0) {
		size_t label = message[at++];
		if (label > 63 || at + label >= length || out + label + 2 > NAME_LENGTH)
			return 0;
		memcpy(name + out, message + at, label);
		at += label;
		out += label;
		name[out++] = '.';
	}
	name[out ? out - 1 : 0] = '\0';
	return at + 5 <= length ? at + 1 - HEADER : 0;
}

static void
log_question(const char *path, const char *name, int type)
{
	FILE *file = fopen(path, "a");

	if (!file)
		net_fail(path);
	if (type == TYPE_A || type == TYPE_AAAA)
		fprintf(file, "%s %s\n", name, type == TYPE_A ? "A" : "AAAA");
	else
		fprintf(file, "%s %d\n", name, type);
	if (fclose(file) != 0)
		net_fail(path);
}

static void
add_address(struct answer *answer, const struct record *record)
{
	size_t size = record->type == TYPE_A ? 4 : 16;
	/* the name as a pointer to the question's; type, class IN, a time to live of 0, the length
	 */
	const unsigned char head[12] = { 0xc0, HEADER, 0, (unsigned char)record->type, 0, 1, 0, 0,
		0, 0, 0, (unsigned char)size };

	if (answer->length + sizeof head + size > sizeof answer->message)
		return;
	memcpy(answer->message + answer->length, head, sizeof head);
	memcpy(answer->message + answer->length + sizeof head, record->data, size);
	answer->length += sizeof head + size;
	answer->message[7]++;
}

/* Turns the question in answer->message into the answer; false if none is to be given. */
static bool
make_answer(struct answer *answer, const char *log)
{
	char name[NAME_LENGTH];
	unsigned char *message = answer->message;
	int rcode = NXDOMAIN;
	long delay = 0;
	size_t taken = question_name(message, answer->length, name);

	if (taken == 0 || (message[2] & 0x80) != 0)
		return false;
	int type = message[HEADER + taken] << 8 | message[HEADER + taken + 1];
	if (log)
		log_question(log, name, type);
	answer->length = HEADER + taken + 4;
	memcpy(message + 4, "\0\1\0\0\0\0\0\0", 8);
	for (size_t i = 0; i < record_count; i++) {
		const struct record *record = &records[i];
		if (strcasecmp(record->name, name) != 0)
			continue;
		if (record->kind == SILENT)
			return false;
		if (record->kind == DELAY)
			delay = record->delay;
		else
			rcode = record->kind == REFUSAL ? record->rcode : 0;
		if (record->kind == ADDRESS && record->type == type)
			add_address(answer, record);
	}
	message[2] = (unsigned char)(0x84 |
	    (message[2] & 1)); /* answer, authoritative, recursion desired as asked */
	message[3] = (unsigned char)(0x80 | rcode); /* recursion available */
	answer->due = net_milliseconds() + delay;
	return true;
}

static void
receive(int fd, const char *log)
{
	struct answer *answer = &waiting[waiting_count];

	answer->to.length = sizeof answer->to.of;
	ssize_t got = recvfrom(
	    fd, answer->message, sizeof answer->message, 0, &answer->to.of.any, &answer->to.length);
	if (got < HEADER)
		return;
	answer->length = (size_t)got;
	/* When all places are taken, the last one serves for looking only and the question goes
	 * without an answer. */
	if (make_answer(answer, log) && waiting_count < WAITING - 1)
		waiting_count++;
}

/* Sends what is due and returns the milliseconds until the next, -1 if there is none. */
static int
send_due(int fd)
{
	int64_t now = net_milliseconds(), next = -1;

	for (size_t i = 0; i < waiting_count;) {
		struct answer *answer = &waiting[i];
		if (answer->due > now) {
			if (next < 0 || answer->due - now < next)
				next = answer->due - now;
			i++;
			continue;
		}
		/* the resolver may have gone away meanwhile: its loss */
		sendto(
		    fd, answer->message, answer->length, 0, &answer->to.of.any, answer->to.length);
		*answer = waiting[--waiting_count];
	}
	return (int)next;
}

int
main(int argc, char **argv)
{
	const char *log = NULL;
	const struct net_option letters[] = { { 'l', .text = &log }, { 0 } };
	struct net_address address = net_loopback(53);

	argv = net_options(argc, argv, letters, 0, "dnsd [-l file] [record ...]");
	for (; *argv; argv++)
		add_record(*argv);

	struct pollfd fd = { .fd = net_bound(&address, SOCK_DGRAM), .events = POLLIN };
	net_must(fd.fd >= 0, "port 53");
	puts("53");
	fflush(stdout);
	for (;;)
		if (poll(&fd, 1, send_due(fd.fd)) > 0)
			receive(fd.fd, log);
}

/* The command line (DESIGN.md section 2). */

#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/address.h"
#include "lib/log.h"
#include "lib/rules.h"

/* The only copy of the version: -V prints it, and make dist reads it from here. */
#define OPTIONS_VERSION "socks4-stdio 1.1"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define OPTIONS_DEFAULT_LIST SYSCONFDIR "/socks4-stdio.acl" /* -a */

enum options_mode { MODE_SERVER, MODE_CLIENT, MODE_TEST, MODE_VERSION, MODE_HELP };

/* The limits of -w in seconds; 0: no limit. */
struct limits {
	unsigned request, ident, connect, bind, idle;
};

struct options {
	enum options_mode mode;
	int family; /* -4, -6: AF_INET or AF_INET6; AF_UNSPEC: both */
	const char *acl_path;
	const char *frozen_path;   /* -o */
	struct address advertise;  /* -A, AF_UNSPEC: none */
	struct address sources[2]; /* -b: IPv4, IPv6; AF_UNSPEC: none */
	bool bind;		   /* -B */
	bool pass_descriptor;	   /* -F */
	enum rule_ident ident;
	enum log_place log;
	bool no_names;
	struct prefix *senders; /* -P; allocated, kept until exit */
	size_t senders_count;
	bool quiet, verbose;
	unsigned port_low, port_high; /* -r; both 0: any port */
	const char *userid;	      /* -u; NULL: the login name */
	struct limits limits;
	char proxy_host[256];	   /* -c; begins with / if it is a Unix socket */
	unsigned proxy_port, port; /* port: of the client's destination */
	char **operands;
	int operand_count;
};

/* The usage: the forms of the command line, and one line for each option. */
extern const char options_synopsis[], options_help[];

/* Reads the command line up to the first operand; the result points into argv. Returns NULL, or a
 * message (in a static buffer) that says what is wrong; options->mode then tells only what was read
 * before the error. */
const char *options_read(int argc, char **argv, struct options *options);

/* Reads a port: a number from minimum to 65535 or the name of a TCP service. Returns 0, or -1 if it
 * is neither. */
int options_port(const char *text, unsigned minimum, unsigned *port);

#endif

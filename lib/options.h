/* The command line (DESIGN.md section 2). */

#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/address.h"
#include "lib/log.h"
#include "lib/rules.h"

/* The only place where the version is written: what -V prints, and what make dist puts into the
 * name. */
#define OPTIONS_VERSION "socks4-stdio 1.1"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define OPTIONS_DEFAULT_LIST SYSCONFDIR "/socks4-stdio.acl" /* -a */

enum options_mode { MODE_SERVER, MODE_CLIENT, MODE_TEST, MODE_VERSION, MODE_HELP };

/* The limits of -w, seconds; 0: none. */
struct limits {
	unsigned request, ident, connect, bind, idle;
};

struct options {
	enum options_mode mode;
	int family; /* of a name's addresses: AF_INET, AF_INET6 or AF_UNSPEC */
	const char *acl_path;
	const char *frozen_path;   /* -o */
	struct address advertise;  /* -A, AF_UNSPEC: none */
	struct address sources[2]; /* -b: IPv4, IPv6; AF_UNSPEC: none */
	bool bind;		   /* -B */
	bool pass_descriptor;	   /* -F */
	enum rule_ident ident;
	enum log_place log;
	bool no_names;
	struct prefix *senders; /* -P */
	size_t senders_count;
	bool quiet, verbose;
	unsigned port_low, port_high; /* -r; 0: any */
	const char *userid;	      /* -u; NULL: the login name */
	struct limits limits;
	char proxy_host[256];	   /* -c; begins with / if it is a Unix socket */
	unsigned proxy_port, port; /* port: of the host that the client wants */
	char **operands;
	int operand_count;
};

/* The forms of the command line, and a line for each option. */
extern const char options_synopsis[], options_help[];

/* Reads the command line. NULL, or a message (static buffer) that says what is wrong; mode is set
 * as far as it was seen. Options end at the first operand. */
const char *options_read(int argc, char **argv, struct options *options);

/* Reads a port as a number from minimum up or a TCP service name. 0 or -1. */
int options_port(const char *text, unsigned minimum, unsigned *port);

#endif

/* What the access list says of a request: the addresses behind it, each judged by itself. Both the
 * session and the dry run (-t) ask here, so that they cannot differ. */

#ifndef CANDIDATES_H
#define CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acl.h"
#include "lib/address.h"
#include "lib/resolve.h"
#include "lib/socks4.h"

struct options;
struct pollfd;

/* The list in force. */
struct judge_list {
	struct acl_window window; /* set by the caller, for acl_load() */
	struct acl *acl;
	const char *label; /* its path, or "built-in" */
};

/* Loads the list that -a names, else the default file, else the built-in list. 0, or -1 after
 * complaints as acl_load() makes them. The caller frees list->acl. */
int judge_load(
    const struct options *options, void (*complain)(const char *message), struct judge_list *list);

struct judge_candidate {
	struct address address;
	struct acl_decision decision;
	bool by_policy; /* its identity mode is that of -i or -I, the rule has none */
};

struct judgement {
	bool named; /* asked for by a name that is no address */
	char name[SOCKS4_FIELD + 1];
	struct judge_candidate candidates[RESOLVE_MOST];
	size_t count;		      /* 0: the name was not looked up, or to no avail */
	struct acl_decision decision; /* of a name that was not looked up */
	int64_t ms_resolve;	      /* -1: no look-up */
};

/* Judges a request of a source. REASON_NONE: some candidate is permitted; REASON_DENIED: none is,
 * or there was no need to look the name up; or what else is wrong with it. Looks a name up at most
 * once, until the deadline; watch: as resolve_name(). */
enum reason judge_request(const struct judge_list *list, const struct options *options,
    const struct address *source, const struct socks4_request *request, int64_t deadline,
    const struct pollfd *watch, struct judgement *judgement);

#endif

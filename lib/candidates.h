/* What the access list says about a request: its addresses, each judged by itself. The session and
 * the dry run (-t) both ask here, so their answers cannot differ. */

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
struct stat;

/* The list in force. */
struct candidates_list {
	struct acl_memory memory; /* set by the caller, for acl_load() */
	struct acl *acl;
	const char *label; /* its path, or "built-in" */
};

/* Returns the path of the list in force: that of -a, else the default file if there is one, else
 * NULL (the built-in list). */
const char *candidates_path(const struct options *options);

/* Loads that list; text and complain are acl_load()'s. Returns 0, and the caller frees list->acl;
 * or -1 after acl_load() has complained. It also complains about a frozen list that is stale. */
int candidates_load(const struct options *options, struct stat *text, acl_complain complain,
    struct candidates_list *list);

struct candidates_question {
	const struct candidates_list *list;
	const struct options *options;
	const struct address *source;
	const struct socks4_request *request;
	int64_t deadline;	    /* for looking a name up */
	const struct pollfd *watch; /* as in struct resolve_query */
};

struct candidate {
	struct address address;
	struct acl_decision decision; /* each[0]: the name's own, if it was not looked up */
	bool by_policy;		      /* the rule names no identity mode: it is that of -i or -I */
};

struct candidates {
	bool named; /* asked for by a name, not a literal address */
	char name[SOCKS4_FIELD + 1];
	struct candidate each[RESOLVE_MOST];
	size_t count;	    /* 0: the name was not looked up, or has no address */
	int64_t ms_resolve; /* -1: no look-up */
};

/* Judges a request; looks a name up at most once. Returns REASON_NONE if some candidate is
 * permitted, REASON_DENIED if none is or no rule could permit the name, or what else is wrong. */
enum reason candidates_judge(
    const struct candidates_question *question, struct candidates *candidates);

#endif

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
struct stat;

/* The list in force. */
struct candidates_list {
	struct acl_window window; /* set by the caller, for acl_load() */
	struct acl *acl;
	const char *label; /* its path, or "built-in" */
};

/* The path of the list in force: what -a names, else the default file, else NULL (the built-in
 * list). */
const char *candidates_path(const struct options *options);

/* Loads that list. 0, or -1 after complaints as acl_load() makes them; a frozen list that is stale
 * is complained of, too. text: as acl_load(). The caller frees list->acl. */
int candidates_load(const struct options *options, struct stat *text, acl_complain complain,
    struct candidates_list *list);

struct candidates_question {
	const struct candidates_list *list;
	const struct options *options;
	const struct address *source;
	const struct socks4_request *request;
	int64_t deadline;	    /* of looking a name up */
	const struct pollfd *watch; /* as in struct resolve_query */
};

struct candidate {
	struct address address;
	struct acl_decision decision; /* of the first also that of a name not looked up */
	bool by_policy;		      /* its identity mode is that of -i or -I, the rule has none */
};

struct candidates {
	bool named; /* asked for by a name that is no address */
	char name[SOCKS4_FIELD + 1];
	struct candidate each[RESOLVE_MOST];
	size_t count;	    /* 0: the name was not looked up, or to no avail */
	int64_t ms_resolve; /* -1: no look-up */
};

/* Judges a request. Looks a name up at most once. REASON_NONE: some candidate is permitted;
 * REASON_DENIED: none is, or there was no need to look the name up; or what else is wrong. */
enum reason candidates_judge(
    const struct candidates_question *question, struct candidates *candidates);

#endif

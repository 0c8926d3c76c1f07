/* The access list (socks4-stdio.acl(5), DESIGN.md section 4): load and judge. */

#ifndef ACL_H
#define ACL_H

#include <stdbool.h>
#include <stddef.h>

struct acl;
struct address;
struct prefix;

enum acl_ident { ACL_IDENT_DEFAULT, ACL_IDENT_OFF, ACL_IDENT_ASK, ACL_IDENT_REQUIRE };

/* What a rule is held against. */
struct acl_request {
	unsigned char command;	      /* SOCKS4_CONNECT or SOCKS4_BIND */
	const struct address *source; /* family AF_UNSPEC: local */
	const char *userid;
	const char *name;	       /* what a SOCKS4A client asked for, or NULL */
	const struct address *address; /* NULL: a name that is not looked up yet */
	unsigned port;
};

enum acl_verdict {
	ACL_DENY,
	ACL_PERMIT,
	ACL_LOOKUP /* only with address NULL: a permit rule could match, depending on the address */
};

/* line 0: no line matched, or (address NULL) it cannot be said which would. */
struct acl_decision {
	enum acl_verdict verdict;
	unsigned line;
	enum acl_ident ident;
};

/* Loads path, or the built-in list where path is NULL. Every wrong line, and a file that cannot
 * be read, is given to complain as "path:line: message" (no line where it is not about one).
 * The list, which the caller frees; or NULL after at least one complaint. */
struct acl *acl_load(const char *path, void (*complain)(const char *message));
void acl_free(struct acl *acl);

/* First match decides; no match denies. */
struct acl_decision acl_judge(const struct acl *acl, const struct acl_request *request);

/* Copies the text of the rule in that line, single-spaced and without comment, into text
 * (cut at size), and returns text. */
const char *acl_text(const struct acl *acl, unsigned line, char *text, size_t size);

/* Reads a comma list of prefixes (for -P). The array, which the caller frees, and *count; or
 * NULL with *message (static text, or ENOMEM's). */
struct prefix *acl_prefixes(const char *list, size_t *count, const char **message);

/* A request's name as it is matched and looked up: without its trailing dot, into canonical (256
 * bytes). False where nothing or an empty last label would be left, and with a backslash, by which
 * a resolver may take it for another name. */
bool acl_canonical_name(const char *name, char *canonical);

#endif

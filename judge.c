#include <sys/socket.h>
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "judge.h"
#include "net.h"
#include "options.h"

#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#define DEFAULT_LIST SYSCONFDIR "/socks4-stdio.acl"

int
judge_load(
    const struct options *options, void (*complain)(const char *message), struct judge_list *list)
{
	const char *path = options->acl_path;
	struct stat status;

	list->label = path != NULL ? path : DEFAULT_LIST;
	/* A link to a list that is not there is a list that cannot be read, not none. */
	if (path == NULL && (lstat(DEFAULT_LIST, &status) == 0 || errno != ENOENT))
		path = DEFAULT_LIST;
	if (path == NULL) {
		list->label = "built-in";
		log_info("no " DEFAULT_LIST ": built-in list, permit from 127.0.0.0/8,::1");
	}
	list->acl = acl_load(path, complain);
	return list->acl != NULL ? 0 : -1;
}

/* The families that a name may resolve to: BIND is IPv4, -4 and -6 narrow, and so does a -b of
 * one family. -1 where none is left. */
static int
usable_family(const struct options *options, unsigned char command)
{
	bool four = options->family != AF_INET6, six = options->family != AF_INET;

	if (options->sources[0].family != AF_UNSPEC || options->sources[1].family != AF_UNSPEC) {
		four = four && options->sources[0].family != AF_UNSPEC;
		six = six && options->sources[1].family != AF_UNSPEC;
	}
	if (command == SOCKS4_BIND)
		six = false;
	if (four && six)
		return AF_UNSPEC;
	return four ? AF_INET : six ? AF_INET6 : -1;
}

/* Finds what the request is for: one address, or a name in its canonical form. */
static enum judge_status
find_destination(const struct options *options, const struct socks4_request *request,
    struct judgement *judgement)
{
	struct address *first = &judgement->candidates[0].address;
	bool connecting = request->command == SOCKS4_CONNECT;

	if (request->name == NULL) {
		address_set(first, AF_INET, request->dstip);
		judgement->count = 1;
	}
	if (connecting && request->port == 0)
		return JUDGE_BAD_PORT;
	if (request->name == NULL)
		return connecting && address_is_unspecified(first) ? JUDGE_BAD_ADDRESS : JUDGE_OK;
	if (options->no_names)
		return JUDGE_NAMES_REFUSED;
	if (!acl_canonical_name(request->name, judgement->name))
		return JUDGE_BAD_NAME;
	if (address_parse(judgement->name, first) == -1) {
		judgement->named = true;
		return JUDGE_OK;
	}
	if (address_is_unspecified(first))
		return JUDGE_BAD_ADDRESS;
	judgement->count = 1;
	return connecting || first->family == AF_INET ? JUDGE_OK : JUDGE_RESOLVE_FAILED;
}

static enum judge_status
look_up(const struct options *options, unsigned char command, int64_t deadline,
    const struct pollfd *watch, struct judgement *judgement)
{
	static const enum judge_status statuses[] = {
		[RESOLVE_OK] = JUDGE_OK,
		[RESOLVE_NONE] = JUDGE_RESOLVE_FAILED,
		[RESOLVE_TIMEOUT] = JUDGE_RESOLVE_TIMEOUT,
		[RESOLVE_LEFT] = JUDGE_LEFT,
		[RESOLVE_STOPPED] = JUDGE_SYSTEM,
		[RESOLVE_SYSTEM] = JUDGE_SYSTEM,
	};
	char name[sizeof judgement->name]; /* in lower case, for resolvers that mind */
	struct address addresses[RESOLVE_MOST];
	int family = usable_family(options, command);
	int64_t start = net_now();
	enum resolve_status status;
	size_t i, count = 0;

	/* Old glibc takes what stands in front of a blank for an address. */
	if (family == -1 || strpbrk(judgement->name, " \t\n\v\f\r") != NULL)
		return JUDGE_RESOLVE_FAILED;
	for (i = 0; i < sizeof name; i++)
		name[i] = (char)tolower((unsigned char)judgement->name[i]);
	status = resolve_name(name, family, deadline, watch, addresses, &count);
	judgement->ms_resolve = net_now() - start;
	if (status != RESOLVE_OK)
		return statuses[status];
	for (i = 0; i < count; i++)
		judgement->candidates[i].address = addresses[i];
	judgement->count = count;
	return JUDGE_OK;
}

enum judge_status
judge_request(const struct judge_list *list, const struct options *options,
    const struct address *source, const struct socks4_request *request, int64_t deadline,
    const struct pollfd *watch, struct judgement *judgement)
{
	struct acl_request ask = { request->command, source, request->userid, NULL, NULL,
		request->port };
	enum judge_status status;
	bool permitted = false;
	size_t i;

	memset(judgement, 0, sizeof *judgement);
	judgement->ms_resolve = -1;
	status = find_destination(options, request, judgement);
	if (status != JUDGE_OK)
		return status;
	if (judgement->named) {
		ask.name = judgement->name;
		judgement->decision = acl_judge(list->acl, &ask);
		if (judgement->decision.verdict == ACL_DENY)
			return JUDGE_DENIED;
		status = look_up(options, request->command, deadline, watch, judgement);
		if (status != JUDGE_OK)
			return status;
	}
	for (i = 0; i < judgement->count; i++) {
		struct judge_candidate *candidate = &judgement->candidates[i];

		ask.address = &candidate->address;
		candidate->decision = acl_judge(list->acl, &ask);
		if (candidate->decision.verdict == ACL_PERMIT) {
			permitted = true;
			candidate->by_policy = candidate->decision.ident == ACL_IDENT_DEFAULT;
			if (candidate->by_policy)
				candidate->decision.ident = options->ident;
		}
	}
	return permitted ? JUDGE_OK : JUDGE_DENIED;
}

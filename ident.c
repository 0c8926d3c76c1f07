#define _GNU_SOURCE /* struct ucred */

#include <sys/socket.h>
#include <sys/types.h>

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/dial.h"
#include "ident.h"
#include "lib/net.h"
#include "lib/reason.h"
#include "lib/resolve.h"
#include "lib/text.h"
#include "lib/standard.h"

enum { IDENT_PORT = 113 };

/* ---- the reply, RFC 1413 section 4 and the formal grammar in section 6 ---- */

/* The part of the line that has not been read yet. */
struct rest {
	const char *at, *end;
};

static void
skip_blanks(struct rest *rest)
{
	while (rest->at < rest->end && (*rest->at == ' ' || *rest->at == '\t'))
		rest->at++;
}

static bool
take(struct rest *rest, char separator)
{
	skip_blanks(rest);
	if (rest->at == rest->end || *rest->at != separator)
		return false;
	rest->at++;
	return true;
}

/* Reads a port of at most five digits. Returns true if it is the expected one. */
static bool
take_port(struct rest *rest, unsigned port)
{
	unsigned value = 0;
	int digits;

	skip_blanks(rest);
	for (digits = 0; rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9'; digits++) {
		if (digits == 5)
			return false;
		value = value * 10 + (unsigned)(*rest->at++ - '0');
	}
	return digits > 0 && value == port;
}

/* Reads up to the next colon (or comma, if comma_ends), which it leaves, and strips blanks around
 * the token. Returns false if the token is empty or no separator follows. */
static bool
take_token(struct rest *rest, bool comma_ends, struct rest *token)
{
	skip_blanks(rest);
	token->at = rest->at;
	while (rest->at < rest->end && *rest->at != ':' && !(comma_ends && *rest->at == ','))
		rest->at++;
	token->end = rest->at;
	while (token->end > token->at && (token->end[-1] == ' ' || token->end[-1] == '\t'))
		token->end--;
	return token->end > token->at && rest->at < rest->end;
}

static bool
is_word(const struct rest *token, const char *word)
{
	size_t length = (size_t)(token->end - token->at);

	return length == strlen(word) && strncasecmp(token->at, word, length) == 0;
}

/* Reads the part of a USERID reply before the user: "UNIX", or "UNIX, US-ASCII". Returns false for
 * OTHER, too: what follows it is not a user name (section 5.1, opsys). */
static bool
take_system(struct rest *rest)
{
	struct rest opsys, charset;

	if (!take_token(rest, true, &opsys) || is_word(&opsys, "OTHER"))
		return false;
	return !take(rest, ',') || take_token(rest, false, &charset);
}

int
ident_parse_reply(const char *line, size_t length, unsigned port_there, unsigned port_here,
    char user[IDENT_USER + 1])
{
	struct rest rest = { line, line + length }, type;

	user[0] = '\0';
	if (length > IDENT_LINE || memchr(line, '\0', length) != NULL ||
	    memchr(line, '\r', length) != NULL)
		return -1;
	if (!take_port(&rest, port_there) || !take(&rest, ',') || !take_port(&rest, port_here) ||
	    !take(&rest, ':'))
		return -1;
	/* The only other reply type is ERROR: no identity. */
	if (!take_token(&rest, false, &type) || !is_word(&type, "USERID") || !take(&rest, ':'))
		return -1;
	if (!take_system(&rest) || !take(&rest, ':'))
		return -1;
	skip_blanks(&rest);
	length = (size_t)(rest.end - rest.at);
	if (length == 0 || length > IDENT_USER)
		return -1;
	memcpy(user, rest.at, length); /* trailing blanks are part of it */
	user[length] = '\0';
	return 0;
}

/* ---- the query ---- */

/* Reads a line. Returns its length without LF or CR LF, or -1 if it is too long, cut short or not
 * complete by the deadline. */
static ssize_t
read_line(int fd, char *line, size_t size, int64_t deadline)
{
	size_t length = 0;

	while (length < size) {
		ssize_t got = net_read(fd, line + length, size - length, deadline);
		const char *end;

		if (got <= 0)
			return -1;
		end = memchr(line + length, '\n', (size_t)got);
		length += (size_t)got;
		if (end != NULL) {
			if (end > line && end[-1] == '\r')
				end--;
			return end - line;
		}
		/* net_read() checks the deadline only when it has to wait. */
		if (net_now() >= deadline)
			return -1;
	}
	return -1;
}

static int
ask(int fd, unsigned port_there, unsigned port_here, int64_t deadline, char *user)
{
	char line[IDENT_LINE + 2]; /* CR LF */
	struct text query = TEXT(line);
	ssize_t length;

	text_put(&query, "%u, %u\r\n", port_there, port_here);
	if (net_write(fd, line, query.length, deadline) == -1)
		return -1;
	length = read_line(fd, line, sizeof line, deadline);
	if (length == -1)
		return -1;
	return ident_parse_reply(line, (size_t)length, port_there, port_here, user);
}

int
ident_query(const struct endpoint *source, const struct endpoint *here, int64_t deadline,
    char user[IDENT_USER + 1])
{
	struct address sources[2] = { { 0 }, { 0 } };
	const struct dial_plan plan = { &source->address, 1, IDENT_PORT, sources, net_now(),
		deadline, -1 };
	size_t winner;
	int fd, result;

	user[0] = '\0';
	/* Only a PROXY header can name such addresses. We would ask ourselves, or ask from an
	 * address that the client never saw. */
	if (source->address.family != here->address.family ||
	    address_is_unspecified(&source->address) || address_is_unspecified(&here->address))
		return -1;
	/* identd finds a connection by both addresses, so ask from the one the client reached. */
	sources[here->address.family == AF_INET6] = here->address;
	fd = dial_race(&plan, &winner);
	if (fd == -1)
		return -1;
	result = ask(fd, source->port, here->port, deadline, user);
	close(fd);
	return result;
}

/* ---- without a network ---- */

#if defined __linux__ && defined SO_PEERCRED
static int
peer_uid(int fd, uid_t *uid)
{
	struct ucred credentials;
	socklen_t length = sizeof credentials;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == -1)
		return -1;
	*uid = credentials.uid;
	return 0;
}
#elif defined __APPLE__ || defined __FreeBSD__ || defined __NetBSD__ || defined __OpenBSD__ ||     \
    defined __DragonFly__
int getpeereid(int, uid_t *, gid_t *); /* hidden by _XOPEN_SOURCE */

static int
peer_uid(int fd, uid_t *uid)
{
	gid_t gid;

	return getpeereid(fd, uid, &gid);
}
#else
static int
peer_uid(int fd, uid_t *uid)
{
	(void)fd;
	(void)uid;
	return -1;
}
#endif

/* In a user namespace Linux maps every unknown uid to one uid, which has a name of its own. */
static bool
is_ambiguous(uid_t uid)
{
#ifdef __linux__
	static const char everybody[] = "         0          0 4294967295\n";
	char map[sizeof everybody];
	int fd;
	ssize_t length;

	if (uid != 65534) /* the default of /proc/sys/kernel/overflowuid */
		return false;
	fd = open("/proc/self/uid_map", O_RDONLY);
	if (fd == -1)
		return true;
	length = read(fd, map, sizeof map);
	close(fd);
	return length != sizeof map - 1 || memcmp(map, everybody, sizeof map - 1) != 0;
#else
	(void)uid;
	return false;
#endif
}

int
ident_local(const struct standard_file *file, int64_t deadline, char user[IDENT_USER + 1])
{
	uid_t uid = getuid();

	user[0] = '\0';
	if ((file->socket && peer_uid(file->fd, &uid) == -1) || is_ambiguous(uid))
		return -1;
	return resolve_login(uid, deadline, user) == REASON_NONE ? 0 : -1;
}

/* What the launcher handed over: fd 0, 1 and 2, and signal handling. */

#ifndef STANDARD_H
#define STANDARD_H

#include <stdbool.h>
#include <sys/types.h>

struct endpoint;

/* What a descriptor refers to, found out once. */
struct standard_file {
	int fd;
	bool open;
	bool socket;
	bool tcp;     /* valid after standard_prepare() */
	bool regular; /* a file, which could grow */
	dev_t device;
	ino_t inode;
};

/* Looks at fd. If it is closed, all but fd is zero. */
struct standard_file standard_look(int fd);

/* True if both descriptors are open on the same file, for instance after dup(2). */
bool standard_same(const struct standard_file *a, const struct standard_file *b);

/* True if fd 2 is the same file as fd 0 or 1. standard: fd 0 to 2. */
bool standard_errors_shared(const struct standard_file *standard);

/* Closes every descriptor above 2 that the launcher left open; only those below 256 if the system
 * can neither close them all nor list them. */
void standard_close_others(void);

/* Makes fd 2 /dev/null, or a pipe that nobody reads if there is none. Returns 0 and updates errors,
 * or -1. */
int standard_silence_errors(struct standard_file *errors);

/* Prepares fd 0 and 1 for the relay: calls net_tune() on sockets and sets tcp. If either is not a
 * socket, also catches the signals that stop the process. */
void standard_prepare(struct standard_file *in, struct standard_file *out);

/* Finds the peer of a prepared file; sets *peer for PEER_TCP only. PEER_LOCAL: a Unix socket, or
 * not a socket; PEER_GONE: it has already reset; PEER_UNKNOWN: cannot be told. */
enum standard_peer { PEER_TCP, PEER_LOCAL, PEER_GONE, PEER_UNKNOWN };
enum standard_peer standard_peer(const struct standard_file *file, struct endpoint *peer);

/* Makes fd 0 and 1 non-blocking unless they are sockets. Other processes share their file status
 * flags, so they are restored by standard_restore(), called before fd is closed, and for as long as
 * the process is stopped. */
void standard_unblock(const struct standard_file *in, const struct standard_file *out);
void standard_restore(int fd);

/* Makes fd 0 or 1 non-blocking again before it is read or written: another session may have
 * restored the flags of the file that both share. */
void standard_renew(int fd);

/* Makes every signal that could end the process call net_stop(), and ignores SIGPIPE. SIGHUP,
 * SIGINT and SIGQUIT stay ignored if they were. */
void standard_catch_signals(void);

/* In a child: sets every signal that we catch back to its default. */
void standard_forget_signals(void);

#endif

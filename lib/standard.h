/* What a launcher left us: fd 0, 1 and 2, and the signals. */

#ifndef STANDARD_H
#define STANDARD_H

#include <stdbool.h>
#include <sys/types.h>

struct endpoint;

/* What is behind a descriptor, found out once. */
struct standard_file {
	int fd;
	bool open;
	bool socket;
	bool tcp;     /* valid after standard_prepare() */
	bool growing; /* a regular file that is open for writing */
	dev_t device;
	ino_t inode;
};

struct standard_file standard_look(int fd);

/* True if both descriptors are the same open file (a dup or an inherited twin). */
bool standard_same(const struct standard_file *a, const struct standard_file *b);

/* True if fd 2 is the same file as fd 0 or 1. standard: all three. */
bool standard_errors_shared(const struct standard_file *standard);

/* Closes every descriptor above 2 that a launcher left open. If the system can neither do that nor
 * say which there are: those below 256. */
void standard_close_others(void);

/* Puts /dev/null on fd 2. 0 or -1. */
int standard_silence_errors(struct standard_file *errors);

/* Gets what is on fd 0 and 1 ready to be relayed: the options of net_tune() on sockets; sets tcp.
 * If either is no socket, signals that stop the process are caught from here on. */
void standard_prepare(struct standard_file *in, struct standard_file *out);

/* Where the peer of a prepared file is. PEER_LOCAL: a Unix socket, or no socket; PEER_GONE: it has
 * reset already. */
enum standard_peer { PEER_TCP, PEER_LOCAL, PEER_GONE, PEER_UNKNOWN };
enum standard_peer standard_peer(const struct standard_file *file, struct endpoint *peer);

/* Makes what is no socket on fd 0 and 1 non-blocking. Its file status flags are shared with others:
 * standard_restore() gives them back, before fd is closed, and so does a stop while it lasts. */
void standard_unblock(const struct standard_file *in, const struct standard_file *out);
void standard_restore(int fd);

/* From here on every signal that could end the process calls net_stop(), and SIGPIPE is ignored. */
void standard_catch_signals(void);

/* Gives a child the default for every signal that we catch. */
void standard_forget_signals(void);

#endif

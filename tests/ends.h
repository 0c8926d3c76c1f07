/* The two ends of a session under test, as trial and the fuzzer's session play them. */

#ifndef TESTS_ENDS_H
#define TESTS_ENDS_H

#include "tests/net.h"

enum { END_ROOM = 65536 };

struct end {
	int in, out;	       /* -1: none, or closed */
	bool shut;	       /* we have ended our output */
	bool ended, was_reset; /* we have seen the end of input, which was a reset */
	size_t sent_length, got_length;
	unsigned char sent[END_ROOM], got[END_ROOM];
};

static inline void
end_attach(struct end *end, int in, int out)
{
	net_must(in >= 0 && fcntl(in, F_SETFL, O_NONBLOCK) == 0, "attach");
	net_must(out >= 0 && fcntl(out, F_SETFL, O_NONBLOCK) == 0, "attach");
	end->in = in;
	end->out = out;
}

/* Makes the connection whose other end, which is returned, the program gets as fd 0 and 1. */
static inline int
end_connected(struct end *end)
{
	struct net_address any = net_loopback(0);
	int listener = net_listener(&any, 1), theirs;

	net_must(listener >= 0, "listen");
	any = net_end(listener, getsockname);
	end->in = net_connect(net_port(&any));
	end_attach(end, end->in, end->in);
	theirs = accept(listener, NULL, NULL);
	net_must(theirs >= 0, "accept");
	close(listener);
	return theirs;
}

/* Takes what has come; a room that is full says that more came than was sent. */
static inline void
end_receive(struct end *end)
{
	ssize_t got;

	while (end->in >= 0 && !end->ended && end->got_length < END_ROOM) {
		got = read(end->in, end->got + end->got_length, END_ROOM - end->got_length);
		if (got < 0 && errno == EAGAIN)
			return;
		net_must(got >= 0 || errno == ECONNRESET, "receive");
		end->ended = got <= 0;
		end->was_reset = got < 0;
		end->got_length += got > 0 ? (size_t)got : 0;
	}
}

static inline void
end_output(struct end *end)
{
	if (end->out < 0 || end->shut)
		return;
	end->shut = true;
	if (end->out == end->in) {
		shutdown(end->out, SHUT_WR);
		return;
	}
	close(end->out);
	end->out = -1;
}

static inline bool
end_is_start(const unsigned char *part, size_t length, const unsigned char *whole, size_t all)
{
	return length <= all && memcmp(part, whole, length) == 0;
}

#endif

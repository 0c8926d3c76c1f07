/* An identd's reply line. */

#include "fuzz.h"

#include "ident.h"

enum { THERE = 6193, HERE = 23 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = (char *)fuzz_copy(data, size), user[IDENT_USER + 1];
	size_t length;

	memset(user, 'x', sizeof user);
	if (ident_parse_reply(line, size, THERE, HERE, user) == -1) {
		assert(user[0] == '\0');
	} else {
		/* The user is what the line ends with, and begins with no blank. */
		length = strlen(user);
		assert(length >= 1 && length <= IDENT_USER && length < size && size <= IDENT_LINE);
		assert(memcmp(user, line + size - length, length) == 0);
		assert(user[0] != ' ' && user[0] != '\t' && strchr(user, '\r') == NULL);
		/* Each port is looked at. */
		assert(ident_parse_reply(line, size, HERE, THERE, user) == -1 && user[0] == '\0');
		assert(ident_parse_reply(line, size, THERE, HERE + 1, user) == -1);
	}
	free(line);
	return 0;
}

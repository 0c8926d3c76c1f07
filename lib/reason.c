#include <stddef.h>

#include "lib/reason.h"

#define REASON_WORD(name, word) word,

const char *
reason_word(enum reason reason)
{
	static const char *const words[] = { NULL, NULL, REASONS(REASON_WORD) };

	return words[reason];
}

/* Text built piece by piece, where snprintf(3) would cost more memory than the session has. */

#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* A buffer that always ends in NUL; what does not fit is left out. */
struct text {
	char *bytes;
	size_t size, length;
	bool cut; /* something was left out */
};

/* Starts an empty text in that buffer, of at least one byte. */
void text_start(struct text *text, char *bytes, size_t size);

void text_put_bytes(struct text *text, const char *bytes, size_t length);
void text_put(struct text *text, const char *string);

/* Puts strings one behind the other: text_put_all(text, "a", b, "c"). */
#define text_put_all(text, ...) text_put_strings((text), (const char *const[]){ __VA_ARGS__, NULL })
void text_put_strings(struct text *text, const char *const *strings);

/* Puts a number, in decimal or hexadecimal, with zeros before it up to that many digits. */
void text_put_number(struct text *text, unsigned long long number, size_t digits);
void text_put_hex(struct text *text, unsigned number, size_t digits);

#endif

/* Text built piece by piece: smaller and cheaper than snprintf(3). */

#ifndef TEXT_H
#define TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Lets the compiler check a call: which is the number of the format among the parameters, from that
 * of its first argument, or 0 for a va_list. */
#ifdef __GNUC__
#define TEXT_FORMAT(which, from) __attribute__((format(printf, which, from)))
#else
#define TEXT_FORMAT(which, from)
#endif

/* A text in a buffer of size bytes, NUL-terminated after the first put. What does not fit is left
 * out. */
struct text {
	char *bytes;
	size_t size, length;
	bool cut; /* something was left out */
};

/* The initializer of an empty text in array. */
#define TEXT(array)                                                                                \
	{                                                                                          \
		.bytes = (array), .size = sizeof(array)                                            \
	}

/* Append as printf(3) does, but know only %c, %s, %u, %llu and %x, and for numbers zero padding
 * with one digit: %03llu. */
void text_put(struct text *text, const char *format, ...) TEXT_FORMAT(2, 3);
void text_put_list(struct text *text, const char *format, va_list arguments) TEXT_FORMAT(2, 0);

/* Appends length bytes. */
void text_put_bytes(struct text *text, const char *bytes, size_t length);

#endif

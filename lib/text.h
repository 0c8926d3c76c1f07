/* Text built piece by piece, since snprintf(3) would cost more memory than the session has. */

#ifndef TEXT_H
#define TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* The compiler checks the arguments, from that number on, against the one that is the format. */
#ifdef __GNUC__
#define TEXT_FORMAT(which, from) __attribute__((format(printf, which, from)))
#else
#define TEXT_FORMAT(which, from)
#endif

/* A buffer that ends in NUL once something was put; what does not fit is left out. */
struct text {
	char *bytes;
	size_t size, length;
	bool cut; /* something was left out */
};

/* The initializer of an empty text in that array. */
#define TEXT(array)                                                                                \
	{                                                                                          \
		.bytes = (array), .size = sizeof(array)                                            \
	}

/* As printf(3), of which it knows %c, %s, %u, %llu and %x, numbers also with zeros: %03llu. */
void text_put(struct text *text, const char *format, ...) TEXT_FORMAT(2, 3);
void text_put_list(struct text *text, const char *format, va_list arguments) TEXT_FORMAT(2, 0);
void text_put_bytes(struct text *text, const char *bytes, size_t length);

#endif

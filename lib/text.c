#include <string.h>

#include "lib/text.h"

void
text_put_bytes(struct text *text, const char *bytes, size_t length)
{
	size_t room = text->size - 1 - text->length;

	if (length > room) {
		length = room;
		text->cut = true;
	}
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = '\0';
}

static void
put_number(struct text *text, unsigned long long number, unsigned base, size_t least)
{
	char digits[24];
	size_t start;

	for (start = sizeof digits; number > 0 || sizeof digits - start < least; number /= base)
		digits[--start] = "0123456789abcdef"[number % base];
	text_put_bytes(text, digits + start, sizeof digits - start);
}

void
text_put_list(struct text *text, const char *format, va_list arguments)
{
	const char *string;
	size_t least;
	bool wide;

	for (;; format++) {
		size_t plain = strcspn(format, "%");

		text_put_bytes(text, format, plain);
		format += plain;
		if (*format++ == '\0')
			return;
		least = 1;
		if (*format == '0') {
			least = (size_t)(format[1] - '0');
			format += 2;
		}
		wide = *format == 'l';
		format += wide ? 2 : 0;
		if (*format == 'c') {
			text_put_bytes(text, &(char){ (char)va_arg(arguments, int) }, 1);
		} else if (*format == 's') {
			string = va_arg(arguments, const char *);
			text_put_bytes(text, string, strlen(string));
		} else {
			put_number(text,
			    wide ? va_arg(arguments, unsigned long long)
				 : va_arg(arguments, unsigned),
			    *format == 'x' ? 16 : 10, least);
		}
	}
}

void
text_put(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_put_list(text, format, arguments);
	va_end(arguments);
}

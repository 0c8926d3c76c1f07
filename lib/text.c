#include <string.h>

#include "lib/text.h"

void
text_start(struct text *text, char *bytes, size_t size)
{
	text->bytes = bytes;
	text->size = size;
	text->length = 0;
	text->cut = false;
	bytes[0] = '\0';
}

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

void
text_put(struct text *text, const char *string)
{
	text_put_bytes(text, string, strlen(string));
}

void
text_put_strings(struct text *text, const char *const *strings)
{
	for (; *strings != NULL; strings++)
		text_put(text, *strings);
}

static void
put_number(struct text *text, unsigned long long number, unsigned base, size_t least)
{
	static const char values[] = "0123456789abcdef";
	char digits[24];
	size_t start;

	for (start = sizeof digits; number > 0 || sizeof digits - start < least; number /= base)
		digits[--start] = values[number % base];
	text_put_bytes(text, digits + start, sizeof digits - start);
}

void
text_put_number(struct text *text, unsigned long long number, size_t digits)
{
	put_number(text, number, 10, digits);
}

void
text_put_hex(struct text *text, unsigned number, size_t digits)
{
	put_number(text, number, 16, digits);
}

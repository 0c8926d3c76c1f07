#include <string.h>

#include "text.h"

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
text_put_number(struct text *text, unsigned long long number, size_t digits)
{
	char decimal[24];
	size_t start = sizeof decimal;

	while (start > 0 && (number > 0 || sizeof decimal - start < digits)) {
		decimal[--start] = (char)('0' + number % 10);
		number /= 10;
	}
	text_put_bytes(text, decimal + start, sizeof decimal - start);
}

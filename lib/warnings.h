/* What is right in a list but surely not meant (DESIGN.md section 4), for -t. */

#ifndef WARNINGS_H
#define WARNINGS_H

#include <stdbool.h>
#include <stddef.h>

struct rule;

/* Gives each warning to tell: the line, 0 if it is about the whole list, and a sentence. The
 * records of a list, so many bytes one after another, and the image that freeze_image() made of
 * them. Some are left out once net_stopped() is true. False with errno if there is no memory. */
bool warnings_find(const struct rule *records, size_t bytes, const void *image,
    void (*tell)(unsigned line, const char *warning));

#endif

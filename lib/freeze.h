/* Writing the frozen form of a list: the index that lib/frozen.h asks (DESIGN.md section 4). */

#ifndef FREEZE_H
#define FREEZE_H

#include <sys/stat.h>

#include <stddef.h>
#include <time.h>

struct rule;

/* What goes into the file beside the rules. */
struct freeze_source {
	const char *label; /* the text's path as it was given */
	const char *path;  /* and absolute */
	struct stat text;  /* of the text when it was read */
	time_t made;
};

/* Makes the whole file in memory, of the records, `bytes` in all, and their index. Returns the
 * image, which the caller frees, and sets *size; or NULL with errno. */
void *freeze_image(
    const struct rule *records, size_t bytes, const struct freeze_source *source, size_t *size);

/* Replaces target, which must be absent, empty or a frozen list, through a temporary file beside
 * it, with the mode and, if permitted, the group of the text. Returns NULL; or what is wrong, and
 * then leaves nothing behind. */
const char *freeze_write(
    const char *target, const void *image, size_t size, const struct stat *text);

#endif

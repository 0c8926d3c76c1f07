/* A frozen list that was damaged: loaded, if it still can be, and asked. Input: a text NUL changes,
 * each an offset of two bytes, the value of a byte, and how the file's length changes. */

#include "fuzz.h"

#include <sys/socket.h>

#include "acl.h"
#include "lib/address.h"
#include "lib/freeze.h"
#include "lib/socks4.h"

enum { LONGEST = 16384 };

static bool
complain(const char *format, ...)
{
	assert(format[0] != '\0');
	return true;
}

static struct acl *
load(const void *bytes, size_t length)
{
	static char path[32], window[512];
	const size_t size = 32 + length % (sizeof window - 32);
	static int fd = -1;

	if (fd == -1)
		fd = nameless_file(path, sizeof path);
	assert(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, length, 0) == (ssize_t)length);
	return acl_load(path, &(struct acl_memory){ window, size, size }, NULL, complain);
}

/* Changes the image as the input has it, and returns its new length. */
static size_t
damage(unsigned char *image, size_t size, const uint8_t *data, size_t length)
{
	size_t at;

	for (; length >= 4; data += 4, length -= 4) {
		at = (size_t)data[0] << 8 | data[1];
		image[at % size] = data[2];
		if (data[3] != 0 && size > data[3])
			size -= data[3];
	}
	return size;
}

static void
ask(struct acl *list, unsigned char command, const char *name, const unsigned char *octets)
{
	static const unsigned char outside[] = { 192, 0, 2, 7 };
	struct address source, address;
	struct acl_request request = {
		.command = command, .source = &source, .userid = "alice", .name = name, .port = 443
	};
	struct acl_decision decision;
	const char *text;

	address_set(&source, AF_INET, outside);
	if (octets != NULL) {
		address_set(&address, AF_INET, octets);
		request.address = &address;
	}
	decision = acl_judge(list, &request);
	text = acl_text(list, &decision);
	assert(text == NULL || strlen(text) < LONGEST);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned char destination[] = { 198, 51, 100, 9 };
	struct freeze_source source = { .label = "label", .path = "/nonexistent/label" };
	const uint8_t *nul = memchr(data, '\0', size);
	const struct rule *records;
	unsigned char *image;
	size_t bytes, length;
	struct acl *list;

	if (size > LONGEST || nul == NULL)
		return 0;
	list = load(data, (size_t)(nul - data));
	if (list == NULL)
		return 0;
	records = acl_records(list, &bytes);
	image = records != NULL ? freeze_image(records, bytes, &source, &length) : NULL;
	acl_free(list);
	if (image == NULL)
		return 0;
	length = damage(image, length, nul + 1, size - (size_t)(nul + 1 - data));
	list = load(image, length);
	if (list != NULL) {
		ask(list, SOCKS4_CONNECT, NULL, destination);
		ask(list, SOCKS4_CONNECT, "www.example.org", destination);
		ask(list, SOCKS4_BIND, "www.example.org", NULL);
		(void)acl_is_whole(list);
		acl_free(list);
	}
	free(image);
	return 0;
}

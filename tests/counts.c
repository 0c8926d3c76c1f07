/*
 * Linked with the program in the build of tests/coverage. The counters are a file that all its
 * processes share: so also what a killed, a confined or a forked one has done counts, and none
 * writes anything when it ends.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef COUNTS
#define COUNTS "counts" /* an absolute path, from tests/coverage */
#endif

/* Of LLVM's profile runtime. That its first name is here keeps it from writing by itself. */
int __llvm_profile_runtime;
extern intptr_t __llvm_profile_counter_bias;
char *__llvm_profile_begin_counters(void);
char *__llvm_profile_end_counters(void);
void __llvm_profile_set_filename(const char *);
int __llvm_profile_write_file(void);

/* With WRITE_COUNTS the program does nothing but turn the file into COUNTS.profraw. */
__attribute__((constructor)) static void
share(void)
{
	char *own = __llvm_profile_begin_counters(), *shared;
	size_t size = (size_t)(__llvm_profile_end_counters() - own);
	int fd = open(COUNTS, O_RDWR);

	if (fd == -1)
		return;
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared == MAP_FAILED)
		return;
	if (getenv("WRITE_COUNTS") != NULL) {
		memcpy(own, shared, size);
		__llvm_profile_set_filename(COUNTS ".profraw");
		_exit(__llvm_profile_write_file() != 0);
	}
	__llvm_profile_counter_bias = shared - own;
}

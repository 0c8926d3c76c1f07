/* What the process gives up once it is set up: nothing is left but to relay and to log. */

#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>

struct standard_file;

/* Call once all descriptors are open and log_ready() is done, before the relay. True if system
 * calls are confined (pledge, Capsicum or seccomp) besides the resource limits; false if the
 * platform, the kernel or the build (-DNO_SANDBOX) has no such thing, with the session unharmed.
 * standard: fd 0 to 2; if 1 or 2 is a regular file, it must stay able to grow. */
bool sandbox_enter(const struct standard_file *standard);

#endif

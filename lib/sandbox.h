/* What the process gives up once only relaying and logging are left to do. */

#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>

struct standard_file;

/* Lowers the resource limits and confines system calls (pledge, Capsicum or seccomp). Call it
 * before the relay, after all descriptors are open and log_ready() is done. Returns false if the
 * platform, the kernel or the build (-DNO_SANDBOX) cannot confine; the session may go on. standard:
 * fd 0 to 2; regular files on 1 and 2 can still grow. */
bool sandbox_enter(const struct standard_file *standard);

#endif

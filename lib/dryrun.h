/* The dry run, -t: what the access list says, on stdout. */

#ifndef DRYRUN_H
#define DRYRUN_H

struct options;

/* Checks the list, or one request against it, and prints what would happen, one line an address.
 * Returns the exit status: 0 right or some address permitted, 1 denied or not resolvable, 2 bad
 * usage (message on stderr) or a broken list. */
int dryrun_run(const struct options *options);

#endif

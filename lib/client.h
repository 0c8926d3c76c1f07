/* ProxyCommand mode, -c: the client of one SOCKS4 session. */

#ifndef CLIENT_H
#define CLIENT_H

struct standard_file;
struct options;

/* Asks the proxy for a connection and relays it to fd 0 and 1, or passes it over fd 1 (-F). Returns
 * the exit status: 0; 1 if the proxy is unreachable, lost, not SOCKS4, or a limit passed; or 91,
 * 92, 93 as the proxy refused. standard: fd 0 to 2. */
int client_run(const struct options *options, struct standard_file *standard);

#endif

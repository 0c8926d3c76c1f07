/* ProxyCommand mode, -c: the client of one SOCKS4 session. */

#ifndef CLIENT_H
#define CLIENT_H

struct standard_file;
struct options;

/* Asks the proxy for a connection and relays it to stdin and stdout, or passes it on (-F). Returns
 * the exit status: 0; 1 = proxy unreachable, lost, not SOCKS4, or a limit passed;
 * 91, 92, 93 = the proxy's refusal. standard: fd 0 to 2. */
int client_run(const struct options *options, struct standard_file *standard);

#endif

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/options.h"
#include "lib/socks4.h"
#include "lib/text.h"

/* Without the '+', glibc's getopt() also takes options after the first operand. */
#ifdef __GLIBC__
#define LETTERS "+:46a:A:b:Bc:Fhil:no:P:qr:tu:vVw:I"
#else
#define LETTERS ":46a:A:b:Bc:Fhil:no:P:qr:tu:vVw:I"
#endif

enum { LONG_WORD = 256 }; /* not a letter: an unknown word that begins with -- */

const char options_synopsis[] =
    "usage: socks4-stdio [-46inqvI] [-aAblPrw value]\n"
    "       socks4-stdio -c proxy[:port] [-46BFnqv] [-bluw value] [--] host port\n"
    "       socks4-stdio -t [-46invI] [-abow value] [--]\n"
    "           [- | command user source destination port]\n"
    "       socks4-stdio -h | -V\n";

const char options_help[] =
    "  -4, -6         use only IPv4, only IPv6 addresses of a name\n"
    "  -a file        access list; default " OPTIONS_DEFAULT_LIST "\n"
    "  -A address     IPv4 address to advertise in the first reply to BIND\n"
    "  -b address     local address of outgoing connections and BIND listeners\n"
    "  -B             with -c: send BIND instead of CONNECT\n"
    "  -c proxy       be the client of this proxy: host[:port], [v6][:port] or /path\n"
    "  -F             with -c: pass the connection over standard output and exit\n"
    "  -h, --help     print this\n"
    "  -i, -I         identity policy of rules that name none: ask, require\n"
    "  -l dest        log to syslog, stderr or none\n"
    "  -n             refuse names; with -c: look the host up here\n"
    "  -o file        with -t: write the list in its frozen form\n"
    "  -P senders     prefixes whose peers send a PROXY protocol header first\n"
    "  -q, -v         log errors only; log the time of each phase too\n"
    "  -r low-high    ports that BIND may listen on\n"
    "  -t             check the access list, or one request against it\n"
    "  -u userid      with -c: USERID to send; default the login name\n"
    "  -V, --version  print name and version\n"
    "  -w limits      seconds, 0 is no limit; default\n"
    "                 request=30,ident=15,connect=120,bind=120,idle=7440\n";

static char message[192];

static const char *wrong(const char *format, ...) TEXT_FORMAT(1, 2);

static const char *
wrong(const char *format, ...)
{
	struct text text = TEXT(message);
	va_list arguments;

	va_start(arguments, format);
	text_put_list(&text, format, arguments);
	va_end(arguments);
	return message;
}

int
options_port(const char *text, unsigned minimum, unsigned *port)
{
	const struct servent *service;

	if (address_parse_port(text, minimum, port) == 0)
		return 0;
	if (*text >= '0' && *text <= '9')
		return -1;
	service = getservbyname(text, "tcp");
	if (service == NULL)
		return -1;
	*port = ntohs((uint16_t)service->s_port);
	return 0;
}

static const char *
read_source(const char *text, struct address *sources)
{
	struct address address;
	size_t i;

	if (address_parse(text, &address) == -1)
		return wrong("-b needs a numeric address: %s", text);
	i = address.family == AF_INET6;
	if (sources[i].family != AF_UNSPEC)
		return wrong("-b is given twice for one family: %s", text);
	sources[i] = address;
	return NULL;
}

static const char *
read_log(const char *text, enum log_place *place)
{
	if (strcmp(text, "syslog") == 0)
		*place = LOG_TO_SYSLOG;
	else if (strcmp(text, "stderr") == 0)
		*place = LOG_TO_STDERR;
	else if (strcmp(text, "none") == 0)
		*place = LOG_TO_NONE;
	else
		return wrong("-l takes syslog, stderr or none, not: %s", text);
	return NULL;
}

static const char *
read_range(const char *text, unsigned *low, unsigned *high)
{
	char first[8];
	const char *dash = strchr(text, '-');
	size_t length = dash != NULL ? (size_t)(dash - text) : strlen(text);

	if (length < sizeof first) {
		memcpy(first, text, length);
		first[length] = '\0';
		if (address_parse_port(first, 1, low) == 0 &&
		    address_parse_port(dash != NULL ? dash + 1 : first, 1, high) == 0 &&
		    *low <= *high)
			return NULL;
	}
	return wrong("-r needs ports as low-high: %s", text);
}

static const char *
read_limits(char *text, struct limits *limits)
{
	static char names[][8] = { "request", "ident", "connect", "bind", "idle" };
	char *const tokens[] = { names[0], names[1], names[2], names[3], names[4], NULL };
	unsigned *fields[] = { &limits->request, &limits->ident, &limits->connect, &limits->bind,
		&limits->idle };
	char *value = NULL; /* glibc leaves it alone if text is empty */
	unsigned long seconds;
	size_t digits;
	int which;

	do {
		which = getsubopt(&text, tokens, &value);
		if (which == -1)
			return wrong("-w takes request, ident, connect, bind and idle, not: %s",
			    value != NULL ? value : "");
		/* Counted, since strtoul(3) also takes a sign and blanks. */
		digits = value != NULL ? strspn(value, "0123456789") : 0;
		seconds = digits > 0 ? strtoul(value, NULL, 10) : 0;
		if (digits == 0 || value[digits] != '\0' || seconds > 1000000000)
			return wrong("-w needs seconds, at most 1000000000, for: %s", names[which]);
		*fields[which] = (unsigned)seconds;
	} while (*text != '\0');
	return NULL;
}

/* proxy, proxy:port, [v6], [v6]:port, a bare IPv6 address, or the path of a Unix socket. */
static const char *
read_proxy(const char *text, struct options *options)
{
	const char *start = text, *end = text + strlen(text), *port = NULL;
	const char *colon = strchr(text, ':');
	size_t length;

	if (*text == '[') {
		start++;
		end = strchr(start, ']');
		if (end == NULL || *start == '/' || (end[1] != '\0' && end[1] != ':'))
			return wrong("-c needs proxy[:port]: %s", text);
		port = end[1] == ':' ? end + 2 : NULL;
	} else if (*text == '/') {
		if (strlen(text) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
			return wrong("-c has a path that is too long: %s", text);
	} else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
		end = colon;
		port = colon + 1;
	}
	length = (size_t)(end - start);
	if (length == 0 || length >= sizeof options->proxy_host)
		return wrong("-c needs proxy[:port]: %s", text);
	memcpy(options->proxy_host, start, length);
	options->proxy_host[length] = '\0';
	options->proxy_port = 1080;
	if (port != NULL && options_port(port, 1, &options->proxy_port) == -1)
		return wrong("-c has no valid port: %s", text);
	options->mode = MODE_CLIENT;
	return NULL;
}

static const char *
read_senders(const char *text, struct options *options)
{
	char element[64];
	const char *problem;
	size_t length, most = 1, i;

	for (i = 0; text[i] != '\0'; i++)
		most += text[i] == ',';
	free(options->senders);
	options->senders = calloc(most, sizeof *options->senders);
	options->senders_count = 0;
	if (options->senders == NULL)
		return wrong("-P: %s", strerror(errno));
	for (; options->senders_count < most; text += length + 1) {
		length = strcspn(text, ",");
		if (length == 0)
			return wrong("-P has an empty element: %s", text);
		if (length >= sizeof element)
			return wrong("-P is not an address: %s", text);
		memcpy(element, text, length);
		element[length] = '\0';
		problem =
		    address_parse_prefix(element, &options->senders[options->senders_count++]);
		if (problem != NULL)
			return wrong("-P %s: %s", problem, element);
	}
	return NULL;
}

/* Reads an option that takes no value. Of -B, -F, -n, -q and -v, options_read() only wants to know
 * whether they were given. */
static const char *
read_letter(int letter, struct options *options)
{
	int family = letter == '4' ? AF_INET : AF_INET6;

	switch (letter) {
	case '4':
	case '6':
		if (options->family != AF_UNSPEC && options->family != family)
			return "-4 and -6 are mutually exclusive";
		options->family = family;
		return NULL;
	case 'h':
		options->mode = MODE_HELP;
		return NULL;
	case 'i':
		options->ident = RULE_IDENT_ASK;
		return NULL;
	case 'I':
		options->ident = RULE_IDENT_REQUIRE;
		return NULL;
	case 't':
		options->mode = MODE_TEST;
		return NULL;
	case 'V':
		options->mode = MODE_VERSION;
		return NULL;
	case '?':
		return wrong("no such option: -%c", optopt);
	default:
		return NULL;
	}
}

static const char *
read_option(int letter, char *value, struct options *options)
{
	switch (letter) {
	case 'a':
		options->acl_path = value;
		return NULL;
	case 'A':
		if (address_parse(value, &options->advertise) == 0 &&
		    options->advertise.family == AF_INET)
			return NULL;
		return wrong("-A needs an IPv4 address: %s", value);
	case 'b':
		return read_source(value, options->sources);
	case 'c':
		return read_proxy(value, options);
	case 'l':
		return read_log(value, &options->log);
	case 'o':
		options->frozen_path = value;
		return NULL;
	case 'P':
		return read_senders(value, options);
	case 'r':
		return read_range(value, &options->port_low, &options->port_high);
	case 'u':
		options->userid = value;
		return strlen(value) <= SOCKS4_FIELD
		    ? NULL
		    : wrong("-u is longer than 255 bytes: %s", value);
	case 'w':
		return read_limits(value, &options->limits);
	case LONG_WORD:
		return wrong("no such option: %s", value);
	case ':':
		return wrong("-%c needs a value", optopt);
	default:
		return read_letter(letter, options);
	}
}

/* Checks the client's host and port: not every one fits into a SOCKS4 request. */
static const char *
check_destination(struct options *options)
{
	const char *host = options->operands[0], *port = options->operands[1];
	struct address address;
	bool four = address_parse(host, &address) == 0 && address.family == AF_INET;

	if (*host == '\0' || strlen(host) > SOCKS4_FIELD)
		return "the host must be an address or a name of 1 to 255 bytes";
	if (options_port(port, options->bind ? 0 : 1, &options->port) == -1)
		return wrong("no such port: %s", port);
	if (options->no_names && !four && strchr(host, ':') != NULL)
		return wrong("SOCKS4 cannot carry an IPv6 address, and -n forbids names: %s", host);
	/* 0.0.0.x announces a SOCKS4A name; only BIND may ask for 0.0.0.0 itself. */
	if (four && memcmp(address.octets, "\0\0\0", 3) == 0 &&
	    (address.octets[3] != 0 || !options->bind))
		return wrong("SOCKS4 cannot ask for: %s", host);
	return NULL;
}

/* Checks for options of another mode and for the number of operands. seen: the letters given. */
static const char *
check_use(const char *seen, struct options *options)
{
	const char *foreign = options->mode == MODE_CLIENT ? "aAiIoPrt" : "BFu";
	const char *letter = strpbrk(seen, foreign);

	if (options->mode == MODE_TEST && strchr(seen, 'c') != NULL)
		return "-c and -t are mutually exclusive";
	if (letter != NULL)
		return wrong("-%c is not an option of the %s", *letter,
		    options->mode == MODE_CLIENT ? "client" : "server");
	if (options->mode == MODE_CLIENT && options->operand_count != 2)
		return "-c needs a host and a port";
	if (options->mode == MODE_TEST && options->frozen_path != NULL &&
	    options->operand_count != 0)
		return "-o writes the whole list and takes no operands";
	if (options->mode == MODE_TEST && options->operand_count != 0 &&
	    options->operand_count != 5 &&
	    (options->operand_count != 1 || strcmp(options->operands[0], "-") != 0))
		return "-t takes no operands, or -, or command user source destination port";
	if (options->mode != MODE_TEST && options->frozen_path != NULL)
		return "-o needs -t";
	if (options->mode == MODE_SERVER && options->operand_count != 0)
		return wrong("unexpected operand: %s", options->operands[0]);
	if (strchr(seen, 'b') != NULL && options->family != AF_UNSPEC &&
	    options->sources[options->family == AF_INET6].family == AF_UNSPEC)
		return "-b needs an address of the family that -4 or -6 selects";
	if (*options->proxy_host == '/' && strpbrk(seen, "46b") != NULL)
		return "-4, -6 and -b do not apply to a proxy on a Unix socket";
	return options->mode == MODE_CLIENT ? check_destination(options) : NULL;
}

/* Returns the next option as getopt(3) does, and sets its value. A word that begins with -- is kept
 * whole, since getopt(3) would read it as single letters. */
static int
next_option(int argc, char **argv, char **value)
{
	char *word = optind < argc ? argv[optind] : NULL;
	int letter;

	if (word == NULL || strncmp(word, "--", 2) != 0 || word[2] == '\0') {
		letter = getopt(argc, argv, LETTERS);
		*value = optarg;
		return letter;
	}
	*value = word;
	return strcmp(word, "--help") == 0 ? 'h' : strcmp(word, "--version") == 0 ? 'V' : LONG_WORD;
}

const char *
options_read(int argc, char **argv, struct options *options)
{
	char seen[sizeof LETTERS] = ""; /* each letter once */
	size_t seen_count = 0;
	const char *problem = NULL;
	char *value;
	int letter;

	*options = (struct options){
		.family = AF_UNSPEC, .ident = RULE_IDENT_OFF, .limits = { 30, 15, 120, 120, 7440 }
	};
	opterr = 0;
	while (options->mode < MODE_VERSION && problem == NULL &&
	    (letter = next_option(argc, argv, &value)) != -1) {
		problem = read_option(letter, value, options);
		if (strchr(seen, letter) == NULL)
			seen[seen_count++] = (char)letter;
	}
	if (problem != NULL || options->mode >= MODE_VERSION)
		return problem;
	options->bind = strchr(seen, 'B') != NULL;
	options->pass_descriptor = strchr(seen, 'F') != NULL;
	options->no_names = strchr(seen, 'n') != NULL;
	options->quiet = strchr(seen, 'q') != NULL;
	options->verbose = strchr(seen, 'v') != NULL;
	options->operands = argv + optind;
	options->operand_count = argc - optind;
	return check_use(seen, options);
}

# examples/systemd, in a systemd that is booted for each test.

load launch

setup() {
	require_root
}

socket_up() {
	systemctl start socks4-stdio.socket
	wait_for listening gateway '*:1080'
}

# journal_has PRIORITY PATTERN: an entry of exactly this priority, come by the journal's stream on fd 2, matches
journal_has() {
	journalctl --no-pager -o cat SYSLOG_IDENTIFIER=socks4-stdio _TRANSPORT=stdout PRIORITY="$1" | grep -Eq -- "$2"
}

no_session_left() {
	[ -z "$(systemctl list-units --all --plain --no-legend 'socks4-stdio*@*')" ]
}

# all_well: no session is left, and no unit has failed
all_well() {
	wait_for no_session_left
	[ -z "$(systemctl list-units --failed --plain --no-legend)" ]
}

@test "systemd-analyze verify has nothing to say about the units" {
	DROP_IN='' in_boot || return "$status"
	cd /etc/systemd/system
	systemd-analyze verify --man=no ./socks4-stdio.socket ./socks4-stdio@.service ./socks4-stdio-local.socket \
		./socks4-stdio-local@.service >"$SCRATCH/said" 2>&1
	[ ! -s "$SCRATCH/said" ]
}

@test "systemd-analyze security finds an exposure of 1.1 at most" {
	DROP_IN='' in_boot || return "$status"
	systemd-analyze security --offline=yes --no-pager --threshold=11 /etc/systemd/system/socks4-stdio@.service >"$SCRATCH/said"
	grep -q 'Overall exposure level' "$SCRATCH/said"
}

@test "a session is served and logged with its priority, and its unit is gone afterwards" {
	in_boot || return "$status"
	socket_up
	[ "$(fetch)" = hello ]
	[ "$(URL=http://www.example.org/ fetch --proxy socks4a://alice@10.1.0.1:1080)" = hello ]
	wait_for journal_has 6 '^open cmd=connect src=10.1.0.2:[0-9]+ user="" dst=203.0.113.80:80 rule=/etc/socks4-stdio.acl:[0-9]+( sandbox=none)?$'
	wait_for journal_has 6 '^open .* user=alice .*name=www.example.org'
	wait_for journal_has 6 '^close .* reason=eof$'
	all_well
}

@test "a refusal is a notice and leaves no failed unit" {
	in_boot || return "$status"
	socket_up
	[ "$(URL=http://203.0.113.80:25/ refusal)" = 91 ]
	wait_for journal_has 5 '^refuse .*code=91 reason=denied$'
	all_well
}

@test "the sandbox lets BIND, IDENT and names from DNS work" {
	in_boot || return "$status"
	rm -f /etc/resolv.conf
	printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >/etc/resolv.conf
	printf 'passwd: files systemd\ngroup: files\nhosts: files dns\nservices: files\n' >/etc/nsswitch.conf
	"$TOOLS/dnsd" 'in-dns.example.org A 203.0.113.80' >/dev/null &
	identd_up alice
	printf '%s\n' 'deny to internal' 'permit connect from internal to .example.org port http ident require' \
		'permit bind from internal' >/etc/socks4-stdio.acl
	socket_up
	[ "$(URL=http://in-dns.example.org/ fetch --proxy socks4a://alice@10.1.0.1:1080)" = hello ]
	wait_for journal_has 6 '^open .* ident=alice .*name=in-dns.example.org'
	[ "$(bind_and_call)" = 'called back' ]
	all_well
}

@test "internal holds on a machine that lets sockets be bound to any address" {
	in_boot || return "$status"
	ip address add 203.0.113.2/24 dev server
	serve_on server 203.0.113.81 80 web 2>/dev/null
	serve_on gateway 203.0.113.2 80 web 2>/dev/null
	printf 'deny to internal\npermit from any\n' >/etc/socks4-stdio.acl
	mount -o remount,bind,rw /proc/sys
	echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind
	socket_up
	[ "$(URL=http://203.0.113.81/ fetch)" = hello ]
	[ "$(URL=http://203.0.113.2/ refusal)" = 91 ]
	wait_for journal_has 5 '^refuse .*dst=203.0.113.2:80 rule=/etc/socks4-stdio.acl:1 code=91 reason=denied$'
}

@test "MaxConnectionsPerSource holds for one source, and only for it" {
	in_boot || return "$status"
	socket_up
	hold 17
	[ "$(held)" = $'1 -\n16 90' ]
	printf 'permit from 198.51.100.7\n' >>/etc/socks4-stdio.acl
	[ "$(fetch --interface 198.51.100.7 --proxy socks4://198.51.100.1:1080)" = hello ]
	release
	wait_for no_session_left
	[ "$(fetch)" = hello ]
	all_well
}

@test "a broken list fails its sessions, but their units are collected" {
	in_boot || return "$status"
	echo 'permit everything' >/etc/socks4-stdio.acl
	socket_up
	[ "$(refusal)" = 91 ]
	wait_for journal_has 3 'socks4-stdio.acl:1: '
	all_well
	cp "$EXAMPLES/socks4-stdio.acl" /etc/
	[ "$(fetch)" = hello ]
}

local_up() {
	systemctl start socks4-stdio-local.socket
	wait_for test -S /run/socks4-stdio/socket
}

# as USER COMMAND...
as() {
	setpriv --reuid="$1" --regid=nogroup --clear-groups -- "${@:2}"
}

# local_request CALLER USERID PORT: the code of the reply
local_request() {
	rm -f /tmp/reply
	as "$1" /run/peer connect unix:/run/socks4-stdio/socket send "\x04\x01\0\x$(printf %02x "$3")\xcb\0\x71\x50$2\0" \
		read-to /tmp/reply >/dev/null
	od -An -tu1 -j 1 -N 1 /tmp/reply | tr -d ' '
}

@test "over the Unix socket the kernel names the caller" {
	in_boot || return "$status"
	sed -i /^alice:/d /etc/passwd /etc/shadow /etc/group /etc/gshadow
	useradd -M -N -s /bin/false alice
	local_up
	[ "$(stat -c '%a %U %F' /run/socks4-stdio /run/socks4-stdio/socket | tr '\n' ' ')" = '755 root directory 666 root socket ' ]
	[ "$(as alice curl -sS --max-time 30 --proxy 'socks4://alice@localhost/run/socks4-stdio/socket' http://203.0.113.80/)" = hello ]
	wait_for journal_has 6 '^open cmd=connect src=local user=alice ident=alice dst=203.0.113.80:80 rule=/etc/socks4-stdio-local.acl:[0-9]+( sandbox=none)?$'
	wait_for journal_has 6 '^close .* reason=eof$'
	[ "$(printf 'GET / HTTP/1.0\r\n\r\n' | as alice /usr/local/sbin/socks4-stdio -c /run/socks4-stdio/socket 203.0.113.80 80 | tail -n 1)" = hello ]
	# The repository may be closed to all but root.
	install -m 755 "$TOOLS/peer" /run/peer
	[ "$(local_request alice root 80)" = 93 ]
	[ "$(local_request daemon alice 80)" = 93 ]
	[ "$(local_request alice '' 80)" = 93 ]
	[ "$(local_request alice alice 25)" = 91 ]
	wait_for journal_has 5 '^refuse .* user=alice ident=daemon .* code=93 reason=ident-mismatch$'
	# Nobody but root can take its place, or the proxy's.
	refute as alice rm -f /run/socks4-stdio/socket 2>"$SCRATCH/rm"
	refute as alice touch /run/socks4-stdio/other 2>>"$SCRATCH/rm"
	all_well
	systemctl stop socks4-stdio-local.socket
	[ ! -e /run/socks4-stdio/socket ]
}

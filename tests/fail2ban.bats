# examples/fail2ban: the filter, on the program's own lines, and whom a real fail2ban bans for them.

load launch

setup() {
	require fail2ban-regex fail2ban-server rsyslogd
}

# ask SOURCE BYTES: a request that is refused
ask() {
	on client "$TOOLS/peer" bind "$1:0" connect "10.1.0.1:${PORT:-1080}" send "$2" shutdown discard >/dev/null
}

# For each refusal that shows probing a source of its own, 10.1.0.101 and on, and for each other one 10.1.0.201 and on; USERIDs
# name 192.0.2.1, which must not be banned for it.
refusals() {
	local n connect='\x04\x01\0\x50' server='\xcb\0\x71\x50' lie='x src=192.0.2.1:5 reason=denied'
	for n in {101..113} {201..203}; do
		on client ip address add "10.1.0.$n/24" dev gateway
	done
	on client ip address add fd00:1::7/64 dev gateway nodad
	ip address add fd00:1::1/64 dev client nodad
	identd_up mallory # at 10.1.0.2
	printf '%s\n' 'deny to 203.0.113.81' 'permit from 10.1.0.2 ident ask' 'permit from any' >/etc/socks4-stdio.acl
	# Whom it would hit if `local` were looked up.
	echo '192.0.2.4 local' >>/etc/hosts
	gateway_up 10.1.0.1 1080
	gateway_up 10.1.0.1 1081 -n
	gateway_up fd00:1::1 1080

	ask 10.1.0.101 "$connect\xcb\0\x71\x51$lie\0"                # denied
	ask 10.1.0.102 "$connect\xcb\0\x71\x51x\\\" $lie\0"          # denied, with a quote
	ask 10.1.0.103 "\x04\x09\0\x50$server$lie\0"                 # bad-command
	ask 10.1.0.104 "\x04\x01\0\0$server$lie\0"                   # bad-port
	ask 10.1.0.105 "$connect\0\0\0\0$lie\0"                      # bad-address
	ask 10.1.0.2 "$connect${server}alice\0"                      # ident-mismatch
	ask 10.1.0.107 "$connect\0\0\0\x01$lie\0bad\\\\name\0"        # bad-name
	ask 10.1.0.108 "$connect$server$(printf 'x%.0s' {1..300})\0" # too-long
	ask 10.1.0.109 "$connect\0\0\0\x01$lie"                      # short-request
	ask 10.1.0.110 '\x05\x01\0'                                  # is-socks5
	ask 10.1.0.111 'GET / HTTP/1.0\r\n\r\n'                      # is-http
	ask 10.1.0.112 '\x16\x03\x01\0'                              # is-tls
	ask 10.1.0.106 '\xff'                                        # bad-version
	PORT=1081 ask 10.1.0.113 "$connect\0\0\0\x01$lie\0www.example.org\0" # names-refused
	on client "$TOOLS/peer" connect '[fd00:1::1]:1080' send "$connect\xcb\0\x71\x51\0" shutdown discard >/dev/null

	ask 10.1.0.201 "\x04\x01\0\x51$server\0"                     # connect-refused
	ask 10.1.0.202 "$connect\0\0\0\x01$lie\0nowhere.example.org\0" # resolve-failed
	on client "$TOOLS/peer" bind 10.1.0.203:0 connect 10.1.0.1:1080 expect '\0\x5b\0\0\0\0\0\0' >/dev/null # request-timeout
	"$TOOLS/peer" exec-pipes send "$connect\xcb\0\x71\x51$lie\0" shutdown discard -- \
		/usr/local/sbin/socks4-stdio -a /etc/socks4-stdio.acl -l "${DESTINATION:-syslog}" >/dev/null # local, denied
}

# gateway_up ADDRESS PORT [OPTION...]
gateway_up() {
	serve_on gateway "$1" "$2" /usr/local/sbin/socks4-stdio -w request=1 -a /etc/socks4-stdio.acl "${@:3}"
}

files_up() {
	install_files fail2ban/filter.d/socks4-stdio.conf=/etc/fail2ban/filter.d/socks4-stdio.conf \
		fail2ban/jail.d/socks4-stdio.conf=/etc/fail2ban/jail.d/socks4-stdio.conf \
		log/rsyslog.conf=/etc/rsyslog.d/30-socks4-stdio.conf
	sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf
}

# All 19 refusals are in FILE.
all_refused() {
	[ "$(grep -c 'refuse ' "$1")" = 19 ]
}

# whom LOG: for whose lines there the filter would count against somebody, in order
whom() {
	fail2ban-regex -o ip "$1" "${2:-socks4-stdio}" | sort -V
}

probing() {
	printf '%s\n' 10.1.0.2 10.1.0.{101..113} fd00:1::7
}

@test "the filter finds those who probe, and no one else, in the lines of syslog" {
	in_lab || return "$status"
	files_up
	rsyslog_up
	refusals
	wait_for all_refused /var/log/socks4-stdio.log
	cat /var/log/socks4-stdio.log
	diff <(probing) <(whom /var/log/socks4-stdio.log)
	# The old format of the time; and from standard error, under a supervisor.
	sed -E 's/^[0-9]+-[0-9]+-[0-9]+T([0-9:]{8})[^ ]*/Nov  3 \1/' /var/log/socks4-stdio.log >"$SCRATCH/old"
	diff <(probing) <(whom "$SCRATCH/old")
	sed -E 's/^(.{15}) [^ ]+ [^ ]+: /\1 /' "$SCRATCH/old" >"$SCRATCH/plain"
	grep -q '^Nov  3 [0-9:]* refuse' "$SCRATCH/plain"
	diff <(probing) <(whom "$SCRATCH/plain")
	# Another program's line with the same words.
	logger -t other 'refuse src=192.0.2.3:1 code=91 reason=denied'
	logger -t other 'socks4-stdio[1]: refuse src=192.0.2.3:1 code=91 reason=denied'
	wait_for grep -q other.*192.0.2.3.*denied /var/log/syslog
	[ -z "$(whom /var/log/syslog)" ]
}

in_journal() {
	journalctl --no-pager -t socks4-stdio -o short-iso >"$SCRATCH/journal"
	all_refused "$SCRATCH/journal"
}

other_in_journal() {
	journalctl --no-pager -t other | grep -q 192.0.2.3
}

@test "the filter finds them in the journal, and in what journalctl prints" {
	/usr/bin/python3 -c 'import systemd.journal' || require python3-systemd
	in_boot || return "$status"
	cp "$EXAMPLES/fail2ban/filter.d/socks4-stdio.conf" /etc/fail2ban/filter.d/
	sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf
	refusals
	wait_for in_journal
	logger -t other 'refuse src=192.0.2.3:1 code=91 reason=denied'
	wait_for other_in_journal
	diff <(probing) <(whom "$SCRATCH/journal")
	diff <(probing) <(whom systemd-journal)
}

# knock N ADDRESS BYTES: N refused requests from there
knock() {
	local n
	for ((n = 0; n < $1; n++)); do
		on client "$TOOLS/peer" bind "$2:0" connect 10.1.0.1:1080 send "$3" shutdown discard >/dev/null
	done
}

@test "a real fail2ban bans who goes on, and neither this host nor a balancer" {
	in_lab || return "$status"
	local denied='\x04\x01\0\x19\xcb\0\x71\x50x src=192.0.2.1:5\0' n
	files_up
	cp "$EXAMPLES/socks4-stdio.acl" /etc/
	mount -t tmpfs tmpfs /var/lib/fail2ban
	rm -f /etc/fail2ban/jail.d/defaults-debian.conf
	# 198.51.100.7 is a balancer.
	sed -i 's/^ignoreip.*/& 198.51.100.7/' /etc/fail2ban/jail.d/socks4-stdio.conf
	printf '[DEFAULT]\nbanaction = note\n' >/etc/fail2ban/jail.local
	printf '[Definition]\nactionban = echo <ip> >>%s\nactionunban =\n' "$SCRATCH/banned" >/etc/fail2ban/action.d/note.conf
	on client ip address add 10.1.0.3/24 dev gateway
	on client ip address add 10.1.0.4/24 dev gateway
	rsyslog_up
	touch "$SCRATCH/banned"
	# As in the README: fail2ban wants the file to be there.
	logger -t socks4-stdio 'the log begins'
	wait_for test -e /var/log/socks4-stdio.log
	fail2ban-client -t 2>"$SCRATCH/fail2ban"
	fail2ban-client start 2>>"$SCRATCH/fail2ban"
	"$TOOLS/serve" -a 0.0.0.0 1080 /usr/local/sbin/socks4-stdio -P 198.51.100.7 -a /etc/socks4-stdio.acl >/dev/null &
	wait_for listening gateway '*:1080'
	# Denied by line 2 of the list, and what the balancer is refused for.
	knock 19 10.1.0.3 "$denied"
	knock 25 198.51.100.7 '\x04'
	for ((n = 0; n < 25; n++)); do
		"$TOOLS/peer" connect 127.0.0.1:1080 send '\x04\x09' shutdown discard >/dev/null
	done
	knock 20 10.1.0.2 "$denied"
	wait_for grep -qx 10.1.0.2 "$SCRATCH/banned"
	[ "$(cat "$SCRATCH/banned")" = 10.1.0.2 ]
	# A client behind the balancer is banned by itself, for what that is worth there.
	knock 20 198.51.100.7 "PROXY TCP4 10.1.0.4 198.51.100.1 5 1080\r\n$denied"
	wait_for grep -qx 10.1.0.4 "$SCRATCH/banned"
	knock 1 10.1.0.3 "$denied"
	wait_for grep -qx 10.1.0.3 "$SCRATCH/banned"
	[ "$(wc -l <"$SCRATCH/banned")" = 3 ]
	fail2ban-client stop
}

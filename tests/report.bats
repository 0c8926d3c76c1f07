# examples/log: the report, on the program's own lines; rsyslog's and logrotate's files, read by the real ones.

load launch

setup() {
	REPORT=$EXAMPLES/log/socks4-report
	cd "$SCRATCH" || return 1
}

# on_awks FILE...: the report, the same by each awk that is here, and by two at least
on_awks() {
	local name count=0
	mkdir -p awks
	for name in mawk 'busybox awk' original-awk 'gawk --posix'; do
		command -v "${name%% *}" >/dev/null || continue
		printf '#!/bin/sh\nexec %s "$@"\n' "$name" >awks/awk
		chmod 755 awks/awk
		count=$((count + 1))
		PATH=$PWD/awks:$PATH "$REPORT" "$@" <"${INPUT:-/dev/null}" >"report-$count" || return
		cmp report-1 "report-$count" || return
	done
	[ "$count" -ge 2 ]
	cat report-1
}

# section NAME FILE: the lines of that table, blanks made one, without its head
section() {
	awk -v name="$1" '
		/^$/ { on = 0; next }
		on { $1 = $1; print }
		$NF == name || $0 == name { on = 1 }' "$2"
}

# logged_sessions: what a gateway without special rights is asked, by way of the network of launch.bash
logged_sessions() {
	on client "$TOOLS/peer" bind 10.1.0.2:0 connect 10.1.0.1:1080 send '\x04\x01\0\x50\xcb\0\x71\x50alice\0' \
		expect '\0\x5a\0\0\0\0\0\0' send 'GET /\r\n\r\n' discard >/dev/null
	# The name of a user that looks like keys, with a quote of its own.
	on client "$TOOLS/peer" bind 10.1.0.2:0 connect 10.1.0.1:1080 \
		send '\x04\x01\0\x50\0\0\0\x01x" src=1.2.3.4 up=9 reason=eof\0www.example.org\0' \
		expect '\0\x5a\0\0\0\0\0\0' send 'GET /\r\nX: y\r\n\r\n' discard >/dev/null
	on client "$TOOLS/peer" bind 10.1.0.2:0 connect 10.1.0.1:1080 send '\x04\x01\0\x19\xcb\0\x71\x50bob src=1.2.3.4:5 reason=idle\0' \
		expect '\0\x5b\0\0\0\0\0\0' expect-eof >/dev/null
	on client "$TOOLS/peer" bind 198.51.100.7:0 connect 10.1.0.1:1080 send '\x04\x01\0\x50\xcb\0\x71\x50\0' \
		expect '\0\x5b\0\0\0\0\0\0' expect-eof >/dev/null
	on client "$TOOLS/peer" bind 198.51.100.7:0 connect 10.1.0.1:1080 send '\x04\x09\0\x50\xcb\0\x71\x50\0' \
		expect '\0\x5b\0\0\0\0\0\0' expect-eof >/dev/null
}

all_logged() {
	[ "$(grep -c 'close cmd=\|refuse ' "$1")" = 5 ]
}

in_journal() {
	journalctl --no-pager -t socks4-stdio -o short-iso >"$SCRATCH/log"
	all_logged "$SCRATCH/log"
}

gateway_up() {
	install_files socks4-stdio.acl=/etc/socks4-stdio.acl "$@"
}

# rotate: logrotate takes the file away; until it is told, rsyslogd goes on writing into it
rotate() {
	logrotate -s /run/logrotate.status -f /etc/logrotate.d/socks4-stdio
	wait_for let_go
}

let_go() {
	[ -z "$(find "/proc/$(pgrep -x rsyslogd)/fd" -lname '*/socks4-stdio.log.1')" ]
}

# told FILE: the report on logged_sessions() is this
told() {
	[ "$(sed -n '/^Sessions/p; /^Bytes/p; /^Lines/p' "$1")" = 'Sessions opened: 2, closed: 2; requests refused: 3
Bytes up: 24, down: 88, sum: 112' ]
	[ "$(section user "$1")" = '1 15 44 59 "x\x22 src=1.2.3.4 up=9 reason=eof"
1 9 44 53 alice' ]
	[ "$(section destination "$1")" = '1 15 44 59 www.example.org 80
1 9 44 53 203.0.113.80 80' ]
	[ "$(section source "$1")" = '2 24 88 112 10.1.0.2
2 198.51.100.7
1 10.1.0.2' ]
	[ "$(section reason "$1")" = '2 denied
1 bad-command' ]
	[ "$(awk '/^Largest/ { on = 1 } on && / from /' "$1" | sed 's/^ *[0-9.]* *//' | cut -c 1-2)" = $'59\n53' ]
}

@test "the lines of rsyslog, in a file of its own, which logrotate takes away" {
	require rsyslogd logrotate
	in_lab || return "$status"
	local log=/var/log/socks4-stdio.log
	gateway_up log/rsyslog.conf=/etc/rsyslog.d/30-socks4-stdio.conf log/logrotate=/etc/logrotate.d/socks4-stdio
	rsyslog_up
	serve_on gateway 10.1.0.1 1080 /usr/local/sbin/socks4-stdio -a /etc/socks4-stdio.acl
	logged_sessions
	wait_for all_logged "$log"
	[ "$(stat -c '%a %U %G' "$log")" = '640 root adm' ]
	logger -t other 'open cmd=connect src=192.0.2.1:1 dst=192.0.2.2:2'
	wait_for grep -q other /var/log/syslog
	refute grep socks4-stdio /var/log/syslog
	cp "$log" "$SCRATCH/log"
	# logrotate wants nobody else to be able to write there.
	chmod 644 /etc/logrotate.d/socks4-stdio
	rotate
	cmp "$log.1" "$SCRATCH/log"
	logged_sessions
	wait_for all_logged "$log"
	rotate
	gzip -cd "$log.2.gz" | cmp - "$SCRATCH/log"
	on_awks -b log >report
	cat report
	told report
	[[ $(head -n 1 report) =~ ^From\ 20[0-9-]*\ [0-9:]*\ to\ 20[0-9-]*\ [0-9:]*$ ]]
	[ "$(grep -c '^      [0-9][0-9] ' report)" = 24 ]
	# The old format of syslog's times, and none at all.
	sed -E 's/^[0-9]+-[0-9]+-[0-9]+T([0-9:]{8})[^ ]*/Nov  3 \1/' log >old
	on_awks -b old >report
	told report
	[[ $(head -n 1 report) =~ ^From\ 11-03\ [0-9:]*\ to\ 11-03\ [0-9:]*$ ]]
}

@test "the lines of the journal, also when they go on to rsyslog" {
	require rsyslogd logrotate
	in_boot || return "$status"
	local log=/var/log/socks4-stdio.log
	mkdir -p /etc/rsyslog.d
	cp "$EXAMPLES/log/rsyslog.conf" /etc/rsyslog.d/30-socks4-stdio.conf
	sed -i /imklog/d /etc/rsyslog.conf
	systemctl --quiet enable rsyslog.service
	systemctl start rsyslog.service socks4-stdio.socket
	wait_for listening gateway '*:1080'
	logged_sessions
	wait_for in_journal
	wait_for all_logged "$log"
	cp "$log" "$SCRATCH/forwarded"
	cp "$EXAMPLES/log/logrotate" /etc/logrotate.d/socks4-stdio
	rotate
	logged_sessions
	wait_for all_logged "$log"
	for file in log forwarded; do
		on_awks -b "$file" >report
		cat report
		told report
	done
}

@test "plain lines, as supervisors' loggers keep them" {
	in_lab || return "$status"
	gateway_up
	serve_on gateway 10.1.0.1 1080 /usr/local/sbin/socks4-stdio -l stderr -a /etc/socks4-stdio.acl 2>"$SCRATCH/log"
	logged_sessions
	wait_for all_logged "$SCRATCH/log"
	on_awks -b log >report
	cat report
	told report
	[ "$(head -n 1 report)" = 'Sessions opened: 2, closed: 2; requests refused: 3' ]
	run -1 grep -E 'hour' report
	# svlogd -tt, tai64nlocal
	for time in 2026-11-24_09:59:07.12345 '2026-11-24 09:59:07.123456789'; do
		sed "s/^/$time /" log >stamped
		on_awks -b stamped >report
		told report
		[ "$(head -n 1 report)" = 'From 2026-11-24 09:59 to 2026-11-24 09:59' ]
		[ "$(sed -n 's/^ *09 *2  *#*$/&/p' report)" = '      09        2  ##################################################' ]
	done
}

# Lines as DESIGN.md has them, for what the sessions above do not bring about.
close_line() {
	echo "2026-11-24T10:00:00+00:00 gw socks4-stdio[1]: close cmd=connect src=$1 user=$2 dst=192.0.2.1:80 rule=list:1 up=$3 down=$4 secs=$5 reason=eof"
}

@test "what other programs log, and what is cut, is not counted" {
	{
		close_line 10.0.0.1:1 alice 1 2 3.000
		echo '2026-11-24T10:00:00+00:00 gw sshd[1]: close cmd=connect src=10.0.0.2:1 user=eve dst=192.0.2.1:80 up=1 down=1 secs=1.000 reason=eof'
		echo '2026-11-24T10:00:00+00:00 gw sshd[1]: Invalid user socks4-stdio[1]: refuse src=10.0.0.2:1 code=91 reason=denied'
		echo '2026-11-24T10:00:00+00:00 gw socks4-stdio[1]: list:1: close cmd=connect'
		close_line 10.0.0.1:1 '"alice' 1 2 3.000 | cut -d ' ' -f 1-8
		close_line 10.0.0.1:1 alice 1 2 3.000 | sed 's/ reason.*//'
		close_line 10.0.0.1:1 alice 1 2 3.000 | sed 's/down=.*/down=/'
		close_line 10.0.0.1:1 alice 1 2 3.000 | sed 's/ user/ src=10.0.0.3:1&/'
		close_line 10.0.0.1:1 'alice x' 1 2 3.000
		close_line 10.0.0.1:1 alice 1 2 3.000 | sed 's/src=[^ ]* //'
		close_line 10.0.0.1:1 $'a\033[1mb' 1 2 3.000
	} >log
	on_awks -b log >report
	cat report
	[ "$(sed -n 2,4p report)" = 'Sessions opened: 0, closed: 1; requests refused: 0
Bytes up: 1, down: 2, sum: 3
Lines not counted, since they are cut or garbled: 7' ]
	[ "$(section user report)" = '1 1 2 3 alice' ]
	run -1 grep eve report
}

@test "IPv6, local, ssh, BIND, and the times of each phase" {
	{
		close_line '[2001:db8::7]:51234' '""' 1 0 1.000
		close_line local bob 2 0 1.000
		close_line 'local via="192.0.2.9 51234 192.0.2.1 22"' carol 3 0 1.000
		close_line 10.0.0.1:1 dave 4 0 1.000 | sed 's/cmd=connect/cmd=bind/; s/ rule/ name=ftp.example.org&/; s/reason/ms_request=1 &/'
		echo 'refuse cmd=bind src=[2001:db8::8]:1 user="" name=x.example port=21 code=91 reason=is-http'
	} >log
	on_awks -b log >report
	cat report
	[ "$(section source report)" = '1 4 0 4 10.0.0.1
1 3 0 3 local via 192.0.2.9
1 2 0 2 local
1 1 0 1 2001:db8::7
1 2001:db8::8' ]
	[ "$(section destination report)" = '3 6 0 6 192.0.2.1 80
1 4 0 4 ftp.example.org (bind)' ]
}

@test "large numbers, long tables, several files, units" {
	for n in 1 2 3 4 5 6 7 8 9; do
		close_line "10.0.0.$n:1" "u$n" "$((n * 5000000000000))" 0 "$n.5"
	done >'a=b'
	INPUT='a=b' on_awks -b -n 2 'a=b' - "$PWD/a=b" >report
	cat report
	[ "$(section user report)" = '3 135000000000000 0 135000000000000 u9
3 120000000000000 0 120000000000000 u8
21 420000000000000 0 420000000000000 (7 more)' ]
	[ "$(awk '/^Longest/ { on = 1 } /^$/ { on = 0 } on && / from / { print $1 }' report | tr '\n' ' ')" = '9.5 9.5 9.5 8.5 8.5 ' ]
	close_line 10.0.0.1:1 a 1023 1024 1.000 >log
	close_line 10.0.0.1:1 b 1048575 1099511627776 1.000 >>log
	on_awks log >report
	[ "$(section user report)" = '1 1.0M 1.0T 1.0T b
1 1023 1.0K 2.0K a' ]
}

@test "what cannot be read or understood is said" {
	run -2 "$REPORT" nowhere
	[ "$output" = 'socks4-report: cannot read nowhere' ]
	run -1 "$REPORT" /dev/null
	[ "$output" = 'socks4-report: no line of socks4-stdio found' ]
	for options in '-n 0' '-n x' -x; do
		# shellcheck disable=SC2086
		run -2 "$REPORT" $options
		[ "${lines[-1]}" = 'usage: socks4-report [-b] [-n rows] [file ...]' ]
	done
}

@test "the README shows a report as the program and the script make it" {
	require rsyslogd
	require_root
	sed -n 's/^    //p' "$EXAMPLES/log/README.md" >readme
	"$TESTS/report-day" 20000 20 >day
	on_awks day >report
	heads() {
		grep -E '^(sessions|refusals|    hour|Longest|Largest| +seconds) ?' "$1"
	}
	diff <(heads readme) <(heads report)
	grep -qx 'Sessions opened: 300, closed: 300; requests refused: [0-9]*' readme
	grep -q '^Sessions opened: 20, closed: 20;' report
}

# shellcheck shell=bash
# Shared by the launchers' tests. Tests run on a machine of their own (`in_lab`, `in_boot`), to which this
# file gives a network, the installed program with the example's files, and clients.
#
#     client 10.1.0.2, 198.51.100.7 -- gateway 10.1.0.1, 198.51.100.1, 203.0.113.1 -- server 203.0.113.80, 203.0.113.81
#
# The client has an internal address and one that is not; the server's are not internal, so lists that deny `internal` let them be.

# shellcheck source=tests/helper.bash
. "$(dirname "${BASH_SOURCE[0]}")/helper.bash"
# shellcheck source=tests/hosts.bash
. "$TESTS/hosts.bash"
EXAMPLES=$TESTS/../examples
LIMIT=$((256 / SLOW)) # of sessions in all, in the examples: slow builds are large, too
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # where root looks, however it came to be root
export PATH
LAB_FIRST=network_up
export EXAMPLES LIMIT LAB_FIRST

# daemon PACKAGE PROGRAM: set DAEMON to the program's path. Packages that exclude each other, or that nobody wants to have
# installed, are unpacked into a cache instead; what is missing there is fetched from the distribution.
daemon() {
	local cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/socks4-stdio-tests
	export DAEMON
	DAEMON=$(command -v "${2##*/}") && return
	DAEMON=$cache/$1/$2
	[ -x "$DAEMON" ] || unpacked "$cache/$1" "$1" >&2 || lack "${2##*/} is missing, and the package $1 cannot be fetched"
}

# unpacked DIRECTORY PACKAGE: it is there now
unpacked() {
	mkdir -p "$1" && (cd "$1" && apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=0 -o Acquire::http::Timeout=10 \
		download "$2" && dpkg -x ./*.deb . && rm ./*.deb) && [ -x "$DAEMON" ]
}

# in_boot: like in_lab, on a machine that systemd has booted, with the units of examples/systemd; $DROP_IN, where set, is a
# file that loosens the service for a build that needs more
in_boot() {
	require_root
	{ declare -p TESTS TOOLS SLOW GRANTED REJECTED EXAMPLES LIMIT; inside; } >"$SCRATCH/inside" # it hands no variables over
	export status=0
	BOOT_LIMIT=${BOOT_LIMIT:-$((60 * SLOW))} "$TESTS/boot-systemd" -b "$BIN=/usr/local/sbin/socks4-stdio" \
		-b "$EXAMPLES/socks4-stdio.acl=/etc/socks4-stdio.acl" \
		-b "$EXAMPLES/systemd/socks4-stdio.socket=/etc/systemd/system/socks4-stdio.socket" \
		-b "$EXAMPLES/systemd/socks4-stdio@.service=/etc/systemd/system/socks4-stdio@.service" \
		-b "$EXAMPLES/systemd/socks4-stdio-local.acl=/etc/socks4-stdio-local.acl" \
		-b "$EXAMPLES/systemd/socks4-stdio-local.socket=/etc/systemd/system/socks4-stdio-local.socket" \
		-b "$EXAMPLES/systemd/socks4-stdio@.service=/etc/systemd/system/socks4-stdio-local@.service" \
		-b "$EXAMPLES/systemd/local.conf=/etc/systemd/system/socks4-stdio-local@.service.d/local.conf" \
		${DROP_IN:+-b "$DROP_IN=/etc/systemd/system/socks4-stdio@.service.d/test.conf"} \
		${DROP_IN:+-b "$DROP_IN=/etc/systemd/system/socks4-stdio-local@.service.d/test.conf"} \
		bash "$SCRATCH/inside" 3>&- || status=$?
	return 1
}

# --- on the machine ---

# install_files [FILE=TARGET]...: what `make install` and the example's README put there
install_files() {
	local pair
	mount -t tmpfs -o mode=755 tmpfs /usr/local/sbin
	cp "$BIN" /usr/local/sbin/socks4-stdio
	chmod 755 /usr/local/sbin/socks4-stdio
	for pair in "$@"; do
		mkdir -p "$(dirname "${pair#*=}")"
		cp "$EXAMPLES/${pair%%=*}" "${pair#*=}"
		chmod a+rX "${pair#*=}"
	done
}

network_up() {
	local host
	mkdir -p /run/netns
	for host in client server; do
		ip netns add "$host"
		ip link add "$host" type veth peer name gateway netns "$host"
		ip link set "$host" up
		on "$host" ip link set lo up
		on "$host" ip link set gateway up
	done
	ip address add 10.1.0.1/24 dev client
	ip address add 198.51.100.1/24 dev client
	ip address add 203.0.113.1/24 dev server
	on client ip address add 10.1.0.2/24 dev gateway
	on client ip address add 198.51.100.7/24 dev gateway
	on server ip address add 203.0.113.80/24 dev gateway
	on server ip address add 203.0.113.81/24 dev gateway
	echo '203.0.113.80 www.example.org' >>/etc/hosts
	serve_on server 203.0.113.80 80 web 2>/dev/null
	serve_on server 203.0.113.80 25 web 2>/dev/null
}

on() {
	local host=$1
	shift
	if [ "$host" = gateway ]; then
		"$@"
	else
		nsenter --net="/run/netns/$host" -- "$@"
	fi
}

# serve_on HOST ADDRESS PORT COMMAND...: for each connection there; the command may be a function
serve_on() {
	local command=("${@:4}")
	[ "$(type -t "$4")" != function ] || command=(bash -c "$(declare -f "$4"); ${*:4}")
	on "$1" "$TOOLS/serve" -a "$2" "$3" "${command[@]}" >/dev/null &
	wait_for listening "$1" "${2/*:*/[$2]}:$3"
}

# A page that says who asked for it, at the far end of a real connection.
web() {
	local line
	while read -r line && [ "$line" != $'\r' ]; do :; done
	printf 'HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n'
}

listening() {
	[ -n "$(on "$1" ss -Hltn "src $2")" ]
}

# `! command` would not end a scenario that runs under set -e.
refute() {
	if "$@"; then
		echo "did not fail: $*" >&2
		return 1
	fi
}

# serves_and_refuses [CURL OPTION...]: a session of 10.1.0.2 and alice to port 80, none to port 25, and what $LOG says of them
serves_and_refuses() {
	[ "$(fetch --proxy socks4://alice@10.1.0.1:1080 "$@")" = hello ]
	wait_for log_has 'open cmd=connect src=10.1.0.2:[0-9]+ user=alice dst=203.0.113.80:80 rule=/etc/socks4-stdio.acl:[0-9]+( sandbox=none)?$'
	wait_for log_has 'close cmd=connect .* reason=eof$'
	[ "$(URL=http://203.0.113.80:25/ refusal "$@")" = 91 ]
	wait_for log_has 'refuse cmd=connect .* code=91 reason=denied$'
}

# xinetd_up [SERVER-ARGUMENT...]: examples/xinetd, with $DAEMON; its process is $LAUNCHER
xinetd_up() {
	install_files socks4-stdio.acl=/etc/socks4-stdio.acl xinetd/socks4=/etc/xinetd.d/socks4
	sed -i "s|^\tserver_args .*|& $*|; s|^\(\tinstances .*\) 256$|\1 $LIMIT|" /etc/xinetd.d/socks4
	printf 'defaults\n{\n}\nincludedir /etc/xinetd.d\n' >/etc/xinetd.conf
	syslog_up
	"$DAEMON" -dontfork -f /etc/xinetd.conf &
	export LAUNCHER=$!
	wait_for listening gateway '*:1080'
}

# log_has PATTERN: an extended regular expression, some line of $LOG
log_has() {
	grep -Eq -- "$1" "$LOG"
}

# rsyslog_up: a real rsyslogd, as Debian sets it up but without the messages of the kernel, writes below an empty /var/log
rsyslog_up() {
	local top=${TESTS%/*} fd
	exec {fd}<"$top"
	mount -t tmpfs -o mode=755 tmpfs /var/log
	# The project may be below.
	[ -d "$top" ] || { mkdir -p "$top" && mount --no-canonicalize --bind "/proc/self/fd/$fd" "$top"; }
	exec {fd}<&-
	mount -t tmpfs -o mode=700 tmpfs /var/spool/rsyslog
	sed -i "/imklog/d" /etc/rsyslog.conf
	rsyslogd -N1 2>"$SCRATCH/rsyslogd" || { cat "$SCRATCH/rsyslogd" >&2; return 1; }
	rsyslogd
	wait_for test -S /dev/log
}

syslog_up() {
	LOG=$SCRATCH/syslog
	"$TOOLS/logd" "$LOG" >/dev/null &
	wait_for test -S /dev/log
	touch "$LOG"
}

# fetch [CURL OPTION...]: the page (or $URL), through the gateway, as the client
fetch() {
	on client curl -sS --max-time 30 --interface 10.1.0.2 --socks4 10.1.0.1:1080 "$@" "${URL:-http://203.0.113.80/}"
}

# The code of the refusal, as curl tells it, or "none".
refusal() {
	local text
	if text=$(fetch -v "$@" 2>&1); then
		echo none
	elif [[ $text =~ \((9[0-9])\), ]]; then
		echo "${BASH_REMATCH[1]}"
	else
		echo "other: $text"
	fi
}

# hold COUNT: open so many sessions at once from the client, which stay open until `release`; `held` prints how many got
# which reply, `-` for a connection closed without one.
hold() {
	on client bash -c "$(declare -f hold_sessions wait_for fail); hold_sessions $1" \
		>"$SCRATCH/held" 2>"$SCRATCH/held.err" &
	HOLDER=$!
	until [ -e "$SCRATCH/holding" ]; do
		kill -0 "$HOLDER"
		read -r -t 0.02 <> <(:) || :
	done
}

held() {
	sort "$SCRATCH/held" | uniq -c | awk '{ print $1, $2 }'
}

hold_sessions() {
	local fd fds=() code n
	for ((n = 0; n < $1; n++)); do
		exec {fd}<>/dev/tcp/10.1.0.1/1080
		fds+=("$fd")
		printf '\x04\x01\x00\x50\xcb\x00\x71\x50\x00' >&"$fd" || :
		# A reply is a NUL, the code, and six NULs.
		if read -r -t $((5 * SLOW)) -d '' -u "$fd" _ && read -r -t $((5 * SLOW)) -d '' -u "$fd" code; then
			printf '%d\n' "'$code"
		else
			echo -
		fi
	done
	touch "$SCRATCH/holding"
	wait_for test -e "$SCRATCH/release"
}

release() {
	touch "$SCRATCH/release"
	wait "$HOLDER"
	rm -f "$SCRATCH/release" "$SCRATCH/holding"
}

# bind_and_call: BIND for a caller from the server, which sends a line; print the line as the client gets it
bind_and_call() {
	on client "$TOOLS/peer" -t $((10 * SLOW)) connect 10.1.0.1:1080 send '\x04\x02\0\0\xcb\0\x71\x50\0' \
		expect '\0\x5a\c3\?\?\?\?' print '\d3\n' expect '\0\x5a\?\?\xcb\0\x71\x50' read-to "$SCRATCH/bound" >"$SCRATCH/bind-port" &
	local client=$!
	wait_for test -s "$SCRATCH/bind-port"
	on server bash -c "echo called back >/dev/tcp/203.0.113.1/$(cat "$SCRATCH/bind-port")"
	wait "$client"
	cat "$SCRATCH/bound"
}

# identd_up USER: answer so for every connection of the client
identd_up() {
	serve_on client 10.1.0.2 113 identd "$1"
}

identd() {
	local ports
	read -r ports
	printf '%s : USERID : UNIX : %s\r\n' "${ports%$'\r'}" "$1"
}

# ident.c through the program: who is behind fd 0 (DESIGN.md section 3), and what a rule makes of it. identd's port is 113, so
# that all but the local kinds run on a lab machine.

load helper

setup() {
	cd "$SCRATCH" || return 1
	echo 'permit from any ident ask' >ask
	echo 'permit from any ident require' >require
	echo 'permit from any ident off' >off
}

# session LIST USERID CODE WORD...: a session from 127.0.0.1 to 127.0.0.1, endpoints 2 and 4 listen as identd and destination.
# What the log says of it: ident=$ident (not given: the USERID; empty: nothing) and rule=LIST:$rule.
session() {
	local list=$1 user=$2 code=$3 end=(4:accept shutdown 4:expect-eof 4:close) seen=" ident=${ident-$2}" pattern
	shift 3
	[ "$code" = 90 ] || end=()
	[ -n "${ident-x}" ] || seen=
	rm -f log
	"$TOOLS/peer" -2 log 2:listen "${IDENTD:-127.0.0.1:113}" 4:listen 127.0.0.1:0 ${FROM:+bind "$FROM"} exec "${CLIENT:-tcp}" same \
		send "${HEADER-}$(request 4 1 @4 127.0.0.1 "$user")" "$@" expect "$(printf '\\0\\x%02x\\0\\0\\0\\0\\0\\0' "$code")" "${end[@]}" \
		expect-eof close expect-exit 0 -- "$BIN" -a "$list" -l stderr -w ident=1 ${OPTION:+"$OPTION"} ${SENDERS:+-P "$SENDERS"} >ports ||
		fail "in: $*" "$(cat log)"
	case $code in
	90) pattern="^open .* user=$user$seen dst=.* rule=$list:${rule-1}\\( \\|$\\)" ;;
	91) pattern="^refuse .* user=$user dst=.* rule=$list:${rule-1} code=91 reason=denied$" ;;
	92) pattern="^refuse .* user=$user .*rule=$list:${rule-1} code=92 reason=ident-none$" ;;
	93) pattern="^refuse .* user=$user .*rule=$list:${rule-1} code=93 reason=ident-mismatch$" ;;
	esac
	grep -q "$pattern" log || fail "expected $pattern" "after: $*" "$(cat log)"
}

# asked WORD...: the words behind the query of this session
asked() {
	words=(2:accept 2:expect '\d1, \D1\r\n' "$@" 2:close)
}

# verdict CODE REPLY: what alice gets from `ident require` for that reply line
verdict() {
	local words
	asked 2:send "$2"
	session require alice "$1" "${words[@]}"
}

@test "every shape of a reply that names a user" {
	in_lab || return "$status"
	verdict 90 '\d1, \D1 : USERID : UNIX : alice\r\n'
	verdict 90 '\d1,\D1:USERID:UNIX:alice\r\n'
	verdict 90 '\d1,\D1:userid:Unix:alice\n' # a bare LF
	verdict 90 '\t \d1 \t,\t \D1\t :\tUserId \t: \tUNIX\t : \talice\r\n'
	verdict 90 '\d1, \D1 : USERID : UNIX, US-ASCII : alice\r\n'
	verdict 90 '\d1, \D1 : USERID : MSDOS ,ISO-8859-1,x: alice\r\n'
	verdict 90 '\d1, \D1 : USERID : OTHERS : alice\r\n'
	verdict 90 '\d1, \D1 : USERID : UNIX : alice\r\nmore\r\n'
	verdict 93 '\d1, \D1 : USERID : UNIX : Alice\r\n'
	verdict 93 '\d1, \D1 : USERID : UNIX : alice \r\n' # blanks at the end are part of it
	verdict 93 '\d1, \D1 : USERID : UNIX : alice : x\r\n'
	verdict 93 '\d1, \D1 : USERID : UNIX : alic\r\n'
	verdict 93 '\d1, \D1 : USERID : UNIX : bob\xc3\xb6 "\\\r\n'
	verdict 93 "\\d1, \\D1 : USERID : UNIX : $(printf '%0512d' 0)\\r\\n"
}

@test "every shape of a reply that names nobody" {
	in_lab || return "$status"
	for error in INVALID-PORT NO-USER HIDDEN-USER UNKNOWN-ERROR XTRA ''; do
		verdict 92 '\d1, \D1 : ERROR : '"$error"'\r\n'
	done
	verdict 92 '\d1, \D1 : error:no-user\n'
	for system in OTHER other 'OTHER , US-ASCII' '' ' , US-ASCII' 'UNIX,'; do
		verdict 92 '\d1, \D1 : USERID : '"$system"' : alice\r\n'
	done
	for ports in '\D1, \d1' '\d1, \d1' '\D1, \D1' '\d1 \D1' '\d1' '' ',' '-\d1, \D1' '\d1, \D1, 1' '\d1 0, \D1' '99999\d1, \D1' \
		'0\d1, \D1' '\d1x, \D1'; do
		verdict 92 "$ports"' : USERID : UNIX : alice\r\n'
	done
	for rest in '' ' : ' ' : USERID' ' : USERID : ' ' : USERID : UNIX' ' : USERID : UNIX : ' ' : USERID : UNIX : \t' ' : UNIX : alice' \
		' : : UNIX : alice' ' : USERIDS : UNIX : alice' ' : USER ID : UNIX : alice' ' USERID : UNIX : alice' \
		' : USERID : UNIX : alice\0' ' : USERID : UNIX : alice\0x' ' : USERID : UNIX : alice\r' ' : USERID : UNIX : al\rice'; do
		verdict 92 '\d1, \D1'"$rest"'\r\n'
	done
	verdict 92 '\n'
	verdict 92 '\r\n\d1, \D1 : USERID : UNIX : alice\r\n'
	verdict 92 'HTTP/1.1 400 Bad Request\r\n'
	verdict 92 '\xff\xfe\0\x80\r\n'
}

@test "a reply ends with its line or is none: end of stream, reset, refusal" {
	in_lab || return "$status"
	local words
	asked 2:send '\d1, \D1 : USERID : UNIX : alice'
	session require alice 92 "${words[@]}"
	asked
	session require alice 92 "${words[@]}"
	asked 2:send '\d1, \D1 : USERID : UNIX : alice' 2:reset
	session require alice 92 "${words[@]:0:${#words[@]}-1}"
	session require alice 92 2:accept 2:reset
	IDENTD=127.0.0.2:113 session require alice 92 # nobody at 127.0.0.1:113
	# Where an answer is whole, the rest does not matter.
	asked 2:send '\d1, \D1 : USERID : UNIX : alice\nX' 2:reset
	session require alice 90 "${words[@]:0:${#words[@]}-1}"
}

@test "a reply in segments, of a thousand bytes, of more" {
	in_lab || return "$status"
	local words blanks
	asked 2:trickle 2 '\d1, \D1 : USERID : UNIX : alice\r\n'
	session require alice 90 "${words[@]}"
	asked 2:send '\d1, \D1 : USERID : UNIX : alice\r' 2:pause 50 2:send '\n'
	session require alice 90 "${words[@]}"
	# Ephemeral ports have five digits, so this is 29 bytes and blanks.
	blanks=$(printf '%971s' '')
	asked 2:send '\d1,\D1:USERID:'"$blanks"'UNIX:alice\r\n'
	session require alice 90 "${words[@]}"
	asked 2:send '\d1,\D1:USERID: '"$blanks"'UNIX:alice\r\n'
	session require alice 92 "${words[@]}"
	asked 2:send '\d1,\D1:USERID: '"$blanks"'UNIX:alice\n'
	session require alice 92 "${words[@]}"
	asked 2:send "\\d1, \\D1 : USERID : UNIX : $(printf '%0513d' 0)\\r\\n"
	session require alice 92 "${words[@]}"
	asked 2:send "$(printf '%05000d' 0)"
	session require alice 92 "${words[@]}"
}

# silent MODE CODE: identd takes the query, and what it then does is over by the limit of a second
silent() {
	IDENTD=127.0.0.2:113 ident='""' lasts 900 1900 session "$1" alice "$2"
}

@test "an identd that stays silent or trickles, or that nobody can reach: never more than the limit" {
	in_lab || return "$status"
	start identd "$TOOLS/serve" -a 127.0.0.1 113 "$TOOLS/peer" use-fds 0 1 read-to /dev/null
	port_of identd
	silent require 92
	silent ask 90
	stop identd
	# Before it is over, this would be a right answer; each byte comes well within the limit.
	start identd "$TOOLS/serve" -a 127.0.0.1 113 "$TOOLS/peer" use-fds 0 1 trickle 100 "$(printf '%0900d' 0)"
	port_of identd
	silent require 92
	silent ask 90
	stop identd
	start identd "$TOOLS/peer" 2:listen-deaf 127.0.0.1:113 wait-file "$SCRATCH/over"
	port_of identd
	silent require 92
	silent ask 90
}

@test "ask lets pass whom nobody names, and refuses whom somebody names otherwise" {
	in_lab || return "$status"
	local words
	asked 2:send '\d1, \D1 : ERROR : NO-USER\r\n'
	ident='""' session ask alice 90 "${words[@]}"
	asked 2:send '\d1, \D1 : USERID : UNIX : bob\r\n'
	session ask alice 93 "${words[@]}"
	asked 2:send '\d1, \D1 : USERID : UNIX : alice\r\n'
	session ask alice 90 "${words[@]}"
}

@test "identity is asked once, and only if the rule that permits asks" {
	in_lab || return "$status"
	local words never=(2:expect-no-caller 20)
	printf '%s\n' 'deny from 127.0.0.1 user eve' 'permit from any user carol ident off' 'permit from any user dave' \
		'permit from any ident require' >list
	rule=1 session list eve 91 "${never[@]}"
	rule=2 ident='' session list carol 90 "${never[@]}"
	rule=3 ident='' session list dave 90 "${never[@]}"
	asked 2:send '\d1, \D1 : USERID : UNIX : alice\r\n'
	rule=4 session list alice 90 "${words[@]}" "${never[@]}"
	# Two addresses of one name, each by a rule that asks; localhost is in the lab's hosts file.
	asked 2:send '\d1, \D1 : USERID : UNIX : alice\r\n'
	printf '%s\n' 'permit from any to ::1 ident require' 'permit from any to 127.0.0.1 ident require' >list
	"$TOOLS/peer" 2:listen 127.0.0.1:113 4:listen 127.0.0.1:0 exec-tcp send "$(request 4 1 @4 0.0.0.1 alice localhost)" \
		"${words[@]}" "${never[@]}" expect '\0\x5a\0\0\0\0\0\0' 4:accept 4:close shutdown expect-eof -- \
		"$BIN" -a list -l none >ports
}

@test "-i and -I say what rules mean that do not" {
	in_lab || return "$status"
	local words
	echo 'permit from any' >list
	asked 2:send '\d1, \D1 : ERROR : HIDDEN-USER\r\n'
	OPTION=-i ident='""' session list alice 90 "${words[@]}"
	OPTION=-I session list alice 92 "${words[@]}"
	asked 2:send '\d1, \D1 : USERID : UNIX : alice\r\n'
	OPTION=-i session list alice 90 "${words[@]}"
	OPTION=-I session list alice 90 "${words[@]}"
	OPTION=-I ident='' session off alice 90 2:expect-no-caller 20
}

# An identd for `serve` that writes down who asks it.
note_caller() {
	read -r ports
	ss -Htn "sport = :113" >seen
	printf '%s : USERID : UNIX : alice\r\n' "${ports%?}"
}

@test "the query comes from the address that the client reached, IPv4 and IPv6" {
	in_lab || return "$status"
	local words
	start identd "$TOOLS/serve" -a 127.0.0.1 113 bash -c "$(declare -f note_caller); note_caller"
	port_of identd
	IDENTD=127.0.0.2:113 CLIENT=tcp=127.0.0.7 session require alice 90
	grep -q '127.0.0.1:113 *127.0.0.7:' seen || fail "$(cat seen)"
	stop identd
	asked 2:send '\d1, \D1 : USERID : UNIX : alice\r\n'
	IDENTD='[::1]:113' CLIENT='tcp=[::1]' session require alice 90 "${words[@]}"
	grep -q 'src=\[::1]:' log
	CLIENT='tcp=[::ffff:127.0.0.1]' session require alice 90 "${words[@]}"
	grep -q 'src=127.0.0.1:' log
}

@test "behind a balancer the header's pair is asked about, from its address" {
	in_lab || return "$status"
	local destination
	export SENDERS=127.0.0.3 FROM=127.0.0.3:0 HEADER
	HEADER='PROXY TCP4 127.0.0.1 127.0.0.9 5001 1080\r\n'
	session require alice 90 2:accept 2:expect '5001, 1080\r\n' 2:send '5001,1080:USERID:UNIX:alice\n'
	session require alice 92 2:accept 2:expect '5001, 1080\r\n' 2:send '1080,5001:USERID:UNIX:alice\n'
	# Not this machine's, or no machine's.
	for destination in 192.0.2.9 0.0.0.0; do
		HEADER="PROXY TCP4 127.0.0.1 $destination 5001 1080\\r\\n"
		session require alice 92 2:expect-no-caller 20
		ident='""' session ask alice 90 2:expect-no-caller 20
	done
	# Nobody has both ends of that.
	HEADER='PROXY TCP6 ::ffff:127.0.0.1 ::1 5001 1080\r\n'
	session require alice 92 2:expect-no-caller 20
	HEADER='PROXY TCP4 0.0.0.0 127.0.0.9 5001 1080\r\n'
	session require alice 92 2:expect-no-caller 20
}

# web: a page for `serve`
web() {
	while read -r line && [ "${#line}" -gt 1 ]; do :; done
	printf 'HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhi\n'
}

# fetch USERID: by the local user carol; prints the page, or the code that curl tells
fetch() {
	local text
	text=$(setpriv --reuid 4242 --regid 4242 --clear-groups curl -sSv --max-time 10 \
		--proxy "socks4://$1@127.0.0.1:1080" "http://127.0.0.1:$page/" 2>"$SCRATCH/curl") ||
		text=$(sed -n 's/^curl: .*(\(9[0-9]\)), request.*/\1/p' "$SCRATCH/curl")
	echo "$text"
}

@test "a real oidentd answers for a real local user's curl" {
	require oidentd curl setpriv
	in_lab || return "$status"
	echo 'carol:x:4242:4242::/:/bin/sh' >>/etc/passwd
	echo 'carol:x:4242:' >>/etc/group
	start web "$TOOLS/serve" 0 bash -c "$(declare -f web); web"
	page=$(port_of web)
	start oidentd "$(command -v oidentd)" -i -a 127.0.0.1
	wait_for "$TOOLS/peer" -t 1 connect 127.0.0.1:113
	start strict "$TOOLS/serve" 1080 "$BIN" -a require -l stderr -w ident=2
	port_of strict
	[ "$(fetch carol)" = hi ]
	wait_for grep -q '^open .* user=carol ident=carol ' strict.err
	[ "$(fetch root)" = 93 ]
	wait_for grep -q '^refuse .* user=root .*code=93 reason=ident-mismatch$' strict.err
	stop oidentd
	[ "$(fetch carol)" = 92 ]
	wait_for grep -q '^refuse .* user=carol .*code=92 reason=ident-none$' strict.err
	stop strict
	start lenient "$TOOLS/serve" 1080 "$BIN" -a ask -l stderr -w ident=2
	port_of lenient
	[ "$(fetch carol)" = hi ]
	wait_for grep -q '^open .* user=carol ident="" ' lenient.err
}

# as USER COMMAND...: USER, whose name or number it is, may look into directories that are ours alone, as homes are
as() {
	setpriv --reuid "$1" --clear-groups --inh-caps +dac_override --ambient-caps +dac_override "${@:2}"
}

# stranger: a number that no user has
stranger() {
	local uid=54321
	while getent passwd "$uid" >/dev/null; do uid=$((uid + 1)); done
	echo "$uid"
}

# local_verdict CODE USERID KIND PREFIX...: by pipes or a Unix socket, under `from local ident require`
local_verdict() {
	local code=$1 user=$2 kind=$3 end=(2:accept 2:close)
	[ "$code" = 90 ] || end=()
	echo 'permit from local ident require' >require
	rm -f log
	"${@:4}" "$TOOLS/peer" -2 log 2:listen 127.0.0.1:0 "$kind" send "$(request 4 1 @2 127.0.0.1 "$user")" \
		expect '\0\x'"$(printf %02x "$code")"'\0\0\0\0\0\0' "${end[@]}" shutdown expect-eof -- \
		"$BIN" -a require -l stderr >ports || fail "$*" "$(cat log)"
}

@test "pipes and Unix sockets: the login name, without any identd" {
	local login
	require setpriv
	require_root
	login=$(id -un)
	for kind in exec-pipes exec-unix; do
		local_verdict 90 "$login" "$kind"
		grep -q "^open cmd=connect src=local user=$login ident=$login " log
		local_verdict 93 alice "$kind"
		grep -q 'code=93 reason=ident-mismatch$' log
		local_verdict 93 '' "$kind"
		local_verdict 90 nobody "$kind" as nobody
		local_verdict 93 "$login" "$kind" as nobody
		local_verdict 92 alice "$kind" as "$(stranger)"
		grep -q 'code=92 reason=ident-none$' log
	done
}

@test "a Unix socket: the peer's name, not our own" {
	local words
	require setpriv
	require_root
	echo 'permit from local ident require' >require
	start server "$TOOLS/serve" -u socket 0 "$BIN" -a require -l stderr
	port_of server
	chmod 777 socket
	for words in nobody:5a root:5d; do
		as nobody "$TOOLS/peer" 2:listen 127.0.0.1:0 connect "unix:socket" \
			send "$(request 4 1 @2 127.0.0.1 "${words%:*}")" expect '\0\x'"${words#*:}"'\0\0\0\0\0\0' close
	done
	wait_for grep -q '^open .*user=nobody ident=nobody ' server.err
	wait_for grep -q '^refuse .*user=root .*code=93 ' server.err
}

@test "a Unix socket: users that our user namespace does not know are nobody, not the user nobody" {
	require setpriv
	require_root
	echo 'permit from local user nobody ident require' >require
	start server unshare --user --map-root-user "$TOOLS/serve" -u socket 0 "$BIN" -a require -l stderr
	port_of server
	chmod 777 socket
	for user in nobody "$(stranger)"; do
		as "$user" "$TOOLS/peer" connect "unix:socket" \
			send "$(request 4 1 80 127.0.0.1 nobody)" expect '\0\x5c\0\0\0\0\0\0' close
	done
	wait_for grep -q '^refuse .*user=nobody ident="" .*code=92 reason=ident-none$' server.err
}

@test "a Unix socket stays one when the system does not tell its address" {
	require setpriv strace
	require_root
	echo 'permit from local ident require' >require
	export ASAN_OPTIONS=detect_leaks=0
	start server "$TOOLS/serve" -u socket 0 strace -qq -o trace -e inject=getsockname:error=ENOBUFS \
		"$BIN" -a require -l stderr
	port_of server
	chmod 777 socket
	as nobody "$TOOLS/peer" connect "unix:socket" \
		send "$(request 4 1 80 127.0.0.1 root)" expect '\0\x5d\0\0\0\0\0\0' close
}

# Nobody writes to the user database: who looks a uid up hangs, be it in glibc or in musl.
@test "a user database that hangs: never more than the limit, and a signal ends it" {
	in_lab || return "$status"
	rm /etc/passwd
	mkfifo /etc/passwd
	CLIENT=unix silent require 92
	CLIENT=unix silent ask 90
	start session "$TOOLS/peer" -t $((5 * SLOW)) -2 log exec unix same send "$(request 4 1 80 127.0.0.1 alice)" \
		wait-file asked kill TERM expect '\0\x5b\0\0\0\0\0\0' expect-eof expect-exit 1 -- "$BIN" -a require -l stderr -w ident=0
	wait_for pgrep -P "${PIDS[session]}"
	wait_for pgrep -P "$(pgrep -P "${PIDS[session]}")" # the child that looks up
	touch asked
	status_of session || fail "$(cat "$SCRATCH/session.err" log)"
	grep -q '^refuse .* ident="" .*code=91 reason=system$' log
}

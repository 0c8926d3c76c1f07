# Client mode against scripted proxies, our server and Dante; ssh is in client-ssh.bats.
# shellcheck disable=SC2086 # words are wanted

load helper

# What a test has stopped, and left so, no SIGTERM would end.
teardown() {
	local process
	for process in ${client-} ${stopped-}; do
		gone "$process" || kill -KILL "$process"
	done
	stop_all
}

# dialogue STATUS MESSAGE OPTIONS WORD...: the program as client of endpoint 2, its user's side as endpoint 1
dialogue() {
	local status=$1 message=$2 options=$3
	shift 3
	rm -f "$SCRATCH/log"
	"$TOOLS/peer" -t $((5 * SLOW)) -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec-pipes 2:accept "$@" expect-exit "$status" \
		-- "$BIN" -c 127.0.0.1:@2 $options >/dev/null || fail "$(cat "$SCRATCH/log")" || return 1
	if [ -n "$message" ]; then
		grep -qF -- "$message" "$SCRATCH/log" || fail "$message: $(cat "$SCRATCH/log")" || return 1
		[ "$(wc -l <"$SCRATCH/log")" = 1 ]
	else
		[ ! -s "$SCRATCH/log" ] || fail "$(cat "$SCRATCH/log")"
	fi
}

@test "an address goes as SOCKS4, a name and IPv6 as SOCKS4A" {
	dialogue 0 '' '-u alice 192.0.2.1 80' 2:expect "$(request 4 1 80 192.0.2.1 alice)" 2:send "$GRANTED" \
		2:send down 2:close expect down expect-eof shutdown
	dialogue 0 '' '-u alice example.org 443' 2:expect "$(request 4 1 443 0.0.0.1 alice example.org)" \
		2:send "$GRANTED" 2:close expect-eof shutdown
	dialogue 0 '' '-u alice 2001:db8::1 443' 2:expect "$(request 4 1 443 0.0.0.1 alice 2001:db8::1)" \
		2:send "$GRANTED" 2:close expect-eof shutdown
	dialogue 0 '' '-u alice ::ffff:192.0.2.1 80' 2:expect "$(request 4 1 80 192.0.2.1 alice)" 2:send "$GRANTED" \
		2:close expect-eof shutdown
	dialogue 0 '' '-u alice -n localhost 80' 2:expect "$(request 4 1 80 127.0.0.1 alice)" 2:send "$GRANTED" \
		2:close expect-eof shutdown
	dialogue 0 '' "192.0.2.1 http" 2:expect "$(request 4 1 80 192.0.2.1 "$(id -un)")" 2:send "$GRANTED" \
		2:close expect-eof shutdown
}

@test "a client whose reader leaves ends, on a pipe that another client has made blocking again" {
	mkfifo "$SCRATCH/in" "$SCRATCH/reader"
	for name in first second; do
		start "proxy-$name" "$TOOLS/peer" listen 127.0.0.1:0 accept skip 9 send "$GRANTED" expect-reset
		port_of "proxy-$name" >"$SCRATCH/$name"
	done
	exec {shared}<>"$SCRATCH/in" {reader}<>"$SCRATCH/reader"
	for name in first second; do
		start "$name" bash -c 'exec "$@" <&'"$shared"' >"$0" '"$reader>&-" "$SCRATCH/reader" \
			"$BIN" -v -c "127.0.0.1:$(<"$SCRATCH/$name")" -u '' 192.0.2.1 80
		wait_for grep '^open' "$SCRATCH/$name.err"
	done
	stop first
	exec {reader}>&-
	wait_for grep '^close .* reason=reset$' "$SCRATCH/second.err"
	local status=0
	status_of second || status=$?
	[ "$status" = 1 ]
	status_of proxy-second
}

@test "a proxy with an IPv6 address, in brackets with its port, and a link-local one; -u '' sends no USERID" {
	require ip
	in_lab || return "$status"
	dialogue6() {
		"$TOOLS/peer" -2 "$SCRATCH/log" 2:listen "$1" exec-pipes 2:accept 2:expect "$(request 4 1 80 192.0.2.1 '')" 2:send "$GRANTED" \
			2:close expect-eof shutdown -- "$BIN" -v "${@:3}" -c "$2" -u '' 192.0.2.1 80
	}
	dialogue6 '[::1]:0' '[::1]:@2'
	ip link add left type veth peer right
	ip link set left up
	ip link set right up
	ip address add fe80::1/64 dev left nodad
	ip address add fe80::2/64 dev right nodad
	dialogue6 '[fe80::1%left]:1080' '[fe80::1%right]'
	dialogue6 '[fe80::1%left]:1080' '[fe80::1%right]' -b 'fe80::2%right'
	run ! "$BIN" -c '[fe80::1%right]:1081' 192.0.2.1 80 </dev/null
	[[ $output == *'proxy [fe80::1%right]:1081 cannot be reached: Connection refused'* ]]
}

@test "bytes glued to the reply reach stdout first, a reply in pieces is one" {
	dialogue 0 '' '-u alice 192.0.2.1 80' 2:skip 14 2:send "${GRANTED}banner" 2:send more 2:close expect bannermore expect-eof shutdown
	dialogue 0 '' '-u alice 192.0.2.1 80' 2:skip 14 2:trickle 5 "${GRANTED}banner" 2:close expect banner expect-eof shutdown
}

@test "stdin ends first; stdout closes first" {
	dialogue 0 '' '-u alice 192.0.2.1 80' 2:skip 14 2:send "$GRANTED" send last shutdown 2:expect last 2:expect-eof \
		2:send-random 1M 3 2:close expect-random 1M 3 expect-eof
	"$TOOLS/peer" listen 127.0.0.1:0 accept send "$GRANTED" skip 9 fill 1 100 expect-closed \
		>"$SCRATCH/port" 2>"$SCRATCH/peer" 3>&- &
	wait_for test -s "$SCRATCH/port"
	mkfifo "$SCRATCH/quiet" # opened both ways, it neither gives a byte nor ends
	run -0 bash -c '{ "$0" -c 127.0.0.1:"$1" -u "" 192.0.2.1 80 <>"$3"; echo "$?" >"$2"; } | head -c 3 | wc -c' \
		"$BIN" "$(head -n 1 "$SCRATCH/port")" "$SCRATCH/status" "$SCRATCH/quiet"
	[ "$output" = 3 ]
	[ "$(cat "$SCRATCH/status")" = 1 ]
}

@test "every refusal has its message and its exit status" {
	dialogue 91 'refused: rejected or failed (91)' '192.0.2.1 80' 2:send '\0\x5b\0\0\0\0\0\0'
	dialogue 91 'refused: rejected or failed (91); a proxy that does not read SOCKS4A wants -n' 'host.test 80' \
		2:send '\0\x5b\0\0\0\0\0\0'
	dialogue 92 'refused: it cannot reach identd here (92)' '192.0.2.1 80' 2:send '\0\x5c\0\0\0\0\0\0'
	dialogue 93 'refused: its identd check found a different user (93)' '192.0.2.1 80' 2:send '\0\x5d\0\0\0\0\0\0'
	grep -q '^socks4-stdio: proxy 127.0.0.1:[0-9]* refused' "$SCRATCH/log"
}

@test "a malformed reply is an error that names what came" {
	dialogue 1 'unknown reply code, 94 (00 5e 00 00 00 00 00 00)' '192.0.2.1 80' 2:send '\0\x5e\0\0\0\0\0\0'
	dialogue 1 'does not speak SOCKS4: its reply starts with 72 (48 54 54 50' '192.0.2.1 80' 2:send 'HTTP/1.0 400 Bad Request\r\n'
	dialogue 1 'closed after 0 of 8 bytes of a reply' '192.0.2.1 80' 2:shutdown
	dialogue 1 'closed after 2 of 8 bytes of a reply (05 01)' '192.0.2.1 80' 2:send '\x05\x01' 2:shutdown
	dialogue 1 'speaks SOCKS5 only (05 ff)' '192.0.2.1 80' 2:send '\x05\xff'
	dialogue 1 'lost: Connection reset by peer' '192.0.2.1 80' 2:send '\0\x5a' pause 50 2:reset
	dialogue 1 'did not answer in time' '-w connect=1 192.0.2.1 80' 2:send '\0\x5a\0'
}

@test "version 4 in a reply is taken, with a warning under -v" {
	dialogue 0 '' '-u alice 192.0.2.1 80' 2:skip 14 2:send '\x04\x5a\0\0\0\0\0\0' 2:close expect-eof shutdown
	rm -f "$SCRATCH/log"
	"$TOOLS/peer" -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec-pipes 2:accept 2:skip 9 2:send '\x04\x5a\0\0\0\0\0\0' \
		shutdown 2:expect-eof 2:close expect-eof -- "$BIN" -v -c 127.0.0.1:@2 -u '' 192.0.2.1 80
	grep -q 'warning: .*version 4' "$SCRATCH/log"
	grep -q '^open cmd=connect .*dst=192.0.2.1:80' "$SCRATCH/log"
	grep -q '^close cmd=connect .*reason=eof$' "$SCRATCH/log"
}

@test "a proxy that cannot be reached, by address and by name" {
	run -1 "$BIN" -c 127.0.0.1:1 192.0.2.1 80 </dev/null
	[[ $output == *'proxy 127.0.0.1:1 cannot be reached: Connection refused'* ]]
	run -1 "$BIN" -c no-such-proxy.invalid 192.0.2.1 80 </dev/null
	[[ $output == *'proxy no-such-proxy.invalid:1080: '* ]]
}

@test "what SOCKS4 cannot ask for is bad usage" {
	for destination in 'cannot ask for: 0.0.0.0|0.0.0.0 80' 'cannot ask for: 0.0.0.7|0.0.0.7 80' 'name of 1 to 255| 80' \
		'cannot carry an IPv6 address, and -n forbids names: 2001:db8::1|-n 2001:db8::1 80' 'no such port: 0|host 0' \
		'no such port: 70000|host 70000' 'no such port: nothing|host nothing'; do
		IFS=' ' read -ra operands <<<"${destination#*|}"
		[ "${#operands[@]}" -gt 1 ] || operands=('' 80)
		run -2 "$BIN" -l none -c 127.0.0.1 "${operands[@]}" </dev/null
		[[ $output == *"${destination%|*}"* ]]
		[[ $output == *usage:* ]]
	done
}

@test "-n takes an IPv4 address in its mapped form" {
	"$TOOLS/peer" 2:listen 127.0.0.1:0 exec-pipes 2:accept 2:expect "$(request 4 1 80 192.0.2.1 '')" 2:close expect-eof expect-exit 1 -- \
		"$BIN" -l none -n -u '' -c 127.0.0.1:@2 ::ffff:192.0.2.1 80
}

@test "-n with a name whose address would announce a name is not asked for" {
	run -1 "$BIN" -n -u u -c 127.0.0.1:1 0.5 80
	[ "$output" = 'socks4-stdio: SOCKS4 cannot ask for: 0.5' ] || fail "$output"
}

@test "-n with a name that has only IPv6 says so" {
	in_lab || return "$status"
	echo '2001:db8::1 six.test' >>/etc/hosts
	run -1 "$BIN" -c 127.0.0.1 -n six.test 80 </dev/null
	[[ $output == *'six.test has only IPv6 addresses'* ]]
}

@test "names that give nothing, too late, or are waited for when a signal comes" {
	in_lab || return "$status"
	client() {
		status=0
		"$BIN" -w connect=1 "$@" 80 </dev/null 2>"$SCRATCH/err" || status=$?
		[ "$status" = 1 ]
	}
	start dnsd "$TOOLS/dnsd" -l "$SCRATCH/questions" 'mute.test SILENT'
	[ "$(port_of dnsd)" = 53 ]
	printf 'nameserver 127.0.0.1\noptions timeout:30 attempts:3\n' >/etc/resolv.conf
	client -c mute.test 192.0.2.1
	grep -qx 'socks4-stdio: proxy mute.test:1080: looking it up took too long' "$SCRATCH/err"
	client -c 127.0.0.1 -n mute.test
	grep -qx 'socks4-stdio: mute.test: looking it up took too long' "$SCRATCH/err"
	client -c 127.0.0.1 -n none.test
	grep -qx 'socks4-stdio: none.test: no address found' "$SCRATCH/err"
	rm "$SCRATCH/questions"
	start client "$BIN" -c mute.test 192.0.2.1 80
	wait_for test -s "$SCRATCH/questions"
	kill "${PIDS[client]}"
	status_of client || status=$?
	[ "$status" = 1 ]
	[ ! -s "$SCRATCH/client.err" ]
}

@test "a user database that hangs: never more than the limit, and a signal ends it" {
	in_lab || return "$status"
	rm /etc/passwd
	mkfifo /etc/passwd
	status=0
	timeout $((5 * SLOW)) "$BIN" -w connect=1 -c 127.0.0.1 192.0.2.1 80 </dev/null 2>"$SCRATCH/err" || status=$?
	[ "$status" = 1 ]
	grep -qx 'socks4-stdio: login name: looking it up took too long; set the USERID with -u' "$SCRATCH/err"
	start client "$BIN" -w connect=0 -c 127.0.0.1 192.0.2.1 80
	wait_for pgrep -P "${PIDS[client]}"
	kill "${PIDS[client]}"
	status=0
	status_of client || status=$?
	[ "$status" = 1 ]
	[ ! -s "$SCRATCH/client.err" ]
}

@test "a signal needs no words, wherever it comes" {
	dialogue 1 '' '-u alice 192.0.2.1 80' 2:skip 14 kill TERM 2:expect-closed expect-eof
	dialogue 1 '' '-u alice 192.0.2.1 80' 2:skip 14 2:send "$GRANTED" send up 2:expect up kill TERM 2:expect-reset expect-eof
	dialogue 1 '' '-B -u alice 192.0.2.1 80' 2:skip 14 kill HUP 2:expect-closed expect-eof
}

@test "a reset in mid-session is told, and so is the idle limit" {
	dialogue 1 'socks4-stdio: connection reset' '-u alice 192.0.2.1 80' 2:skip 14 2:send "$GRANTED" 2:send down expect down 2:reset \
		expect-eof
	dialogue 1 'socks4-stdio: connection reset' '-u alice 192.0.2.1 80' 2:skip 14 2:send "$GRANTED" shutdown 2:expect-eof \
		2:send down expect down 2:reset expect-eof
	dialogue 1 'nothing moved for 1 seconds' '-w idle=1 192.0.2.1 80' 2:send "$GRANTED" 2:expect "$(request 4 1 80 192.0.2.1 "$(id -un)")" \
		2:expect-closed
}

SOCKET=/proc/self/cwd/socket # for users who may not go through the directories above

# on_unix WORD...: like dialogue, with a proxy that listens on a Unix socket
on_unix() {
	rm -f socket log
	"$TOOLS/peer" -t $((5 * SLOW)) -2 log "$@" >/dev/null || fail "$(cat log)"
}

@test "a proxy on a Unix socket: it knows who calls" {
	local user as=()
	user=$(id -un)
	if [ "$user" = root ]; then # another one, if we may
		require setpriv
		user=nobody as=(setpriv --reuid nobody --clear-groups)
	fi
	cd "$SCRATCH"
	echo 'permit from local ident require' >list
	start proxy "$TOOLS/serve" -u socket 0 "$BIN" -a list -l stderr
	port_of proxy
	chmod 777 . socket
	"$TOOLS/peer" 2:listen 127.0.0.1:0 exec-pipes 2:accept send up 2:expect up 2:send down expect down 2:close expect-eof shutdown \
		-- "${as[@]}" "$BIN" -c "$SOCKET" 127.0.0.1 @2
	wait_for grep -q "^open .*src=local user=$user ident=$user " proxy.err
	run -93 "${as[@]}" "$BIN" -c "$SOCKET" -u root 127.0.0.1 1 </dev/null
	[[ $output == "socks4-stdio: proxy $SOCKET refused: "* ]]
	run -1 "$BIN" -c "$SOCKET.none" 127.0.0.1 1 </dev/null
	[ "$output" = "socks4-stdio: proxy $SOCKET.none cannot be reached: No such file or directory" ]
}

@test "a proxy on a Unix socket: a full backlog is waited for, until the connect limit" {
	cd "$SCRATCH"
	on_unix 2:listen-deaf unix:socket exec-pipes pause 100 2:accept 2:close 2:accept 2:skip 10 2:send "$GRANTED" 2:close expect-eof shutdown \
		expect-exit 0 -- "$BIN" -c "$SOCKET" -u u 192.0.2.1 80
	[ ! -s log ]
	on_unix 2:listen-deaf unix:socket exec-pipes expect-eof expect-exit 1 -- "$BIN" -w connect=1 -c "$SOCKET" -u u 192.0.2.1 80
	grep -qxE "socks4-stdio: proxy $SOCKET cannot be reached: (Connection|Operation) timed out" log
}

@test "a proxy on a Unix socket: -B prints 0.0.0.0 as it is" {
	cd "$SCRATCH"
	on_unix 2:listen unix:socket exec-pipes 2:accept 2:skip 10 2:send '\0\x5a\x12\x34\0\0\0\0' 2:send "$GRANTED" 2:close expect-eof shutdown \
		-- "$BIN" -c "$SOCKET" -B -u u 192.0.2.1 21
	grep -qx 'listening on 0.0.0.0:4660' log
}

@test "the proxy's addresses are raced" {
	in_lab || return "$status"
	start dnsd "$TOOLS/dnsd" 'proxy.test A 127.0.0.2' 'proxy.test A 127.0.0.3' 'proxy.test A 127.0.0.4'
	start deaf "$TOOLS/peer" listen-deaf 127.0.0.3:1080 wait-file "$SCRATCH/done"
	port_of dnsd
	port_of deaf
	"$TOOLS/peer" -t $((2 * SLOW)) 2:listen 127.0.0.4:1080 exec-pipes 2:accept 2:skip 9 2:send "$GRANTED" 2:close expect-eof \
		shutdown -- "$BIN" -c proxy.test -u '' 192.0.2.1 80
}

@test "-B tells where the proxy listens, waits and relays" {
	dialogue 0 'listening on 198.51.100.9:4660' '-B -u alice 192.0.2.1 21' 2:expect "$(request 4 2 21 192.0.2.1 alice)" \
		2:send '\0\x5a\x12\x34\xc6\x33\x64\x09' pause 20 2:send '\0\x5a\0\x15\xc0\0\x02\x01listing' 2:close expect listing \
		expect-eof shutdown
	dialogue 0 'listening on 127.0.0.1:4660' '-B -u alice 192.0.2.1 21' 2:skip 14 2:send '\0\x5a\x12\x34\0\0\0\0' \
		2:send "$GRANTED" 2:close expect-eof shutdown
	rm -f "$SCRATCH/log"
	"$TOOLS/peer" -t $((5 * SLOW)) -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec-pipes 2:accept 2:skip 9 2:send '\0\x5a\x12\x34\0\0\0\0' \
		2:send '\0\x5b\0\0\0\0\0\0' expect-exit 91 -- "$BIN" -c 127.0.0.1:@2 -B -u '' 192.0.2.1 21
	grep -q 'rejected or failed (91)' "$SCRATCH/log"
}

@test "-B where stderr takes nothing: the log says so, and the session goes on" {
	in_lab || return "$status"
	start logd "$TOOLS/logd" "$SCRATCH/syslog"
	port_of logd
	"$TOOLS/peer" -2 /dev/full 2:listen 127.0.0.1:0 exec-pipes 2:accept 2:skip 9 2:send '\0\x5a\x12\x34\0\0\0\0' \
		2:send '\0\x5a\0\0\0\0\0\0' 2:close expect-eof shutdown -- "$BIN" -l syslog -c 127.0.0.1:@2 -B -u '' 192.0.2.1 21
	wait_for grep -q 'socks4-stdio: cannot print the listening address$' "$SCRATCH/syslog"
}

# file_both_ways PORT: 3 MB each way between the client with -B, at the proxy on that port, and who calls where it says
file_both_ways() {
	head -c 3000000 /dev/urandom >"$SCRATCH/file"
	start client bash -c 'exec "$@" <"$0"' "$SCRATCH/file" "$BIN" -c "127.0.0.1:$1" -B 127.0.0.1 21
	wait_for grep -q '^listening on 127.0.0.1:[0-9]*$' "$SCRATCH/client.err"
	"$TOOLS/peer" connect "$(sed 's/listening on //' "$SCRATCH/client.err")" sendfile "$SCRATCH/file" shutdown \
		read-to "$SCRATCH/back"
	status_of client
	cmp "$SCRATCH/file" "$SCRATCH/back"
	cmp "$SCRATCH/file" "$SCRATCH/client.out"
}

@test "-B against our server: a file each way" {
	echo 'permit from 127.0.0.1' >"$SCRATCH/list"
	start proxy "$TOOLS/serve" 0 "$BIN" -a "$SCRATCH/list" -l none
	file_both_ways "$(port_of proxy)"
}

@test "-B against Dante: a file each way" {
	require danted
	in_lab || return "$status"
	start danted danted -f "$TESTS/danted.conf"
	wait_for bash -c ': </dev/tcp/127.0.0.1/1080'
	file_both_ways 1080
}

# on_pipes COMMAND...: the client in the background on pipes that we share with it, fd 5 and 6, started by COMMAND, with a
# session at whose end the proxy expects to be closed. $client is the command's process, $before the pipes' flags.
on_pipes() {
	rm -f "$SCRATCH"/{in,out,port}
	mkfifo "$SCRATCH/in" "$SCRATCH/out"
	exec 5<>"$SCRATCH/in" 6<>"$SCRATCH/out"
	before=$(flags $$ 5 6)
	start proxy "$TOOLS/peer" listen 127.0.0.1:0 accept skip 9 send "$GRANTED" expect hello expect-closed
	"$@" "$BIN" -c "127.0.0.1:$(port_of proxy)" -u '' 192.0.2.1 80 <&5 >&6 3>&- &
	client=$!
	printf hello >&5
}

# flags PROCESS FD...
flags() {
	(cd "/proc/$1/fdinfo" && sed -n 's/^flags://p' "${@:2}")
}

non_blocking() {
	[ "$(flags "$1" 0 1 | grep -c '4...$')" -eq 2 ]
}

in_state() {
	grep -q "^State:.$2" "/proc/$1/status"
}

@test "a pipe is never left non-blocking by a signal that ends the session" {
	for signal in TERM INT HUP QUIT USR1 USR2 ALRM; do
		on_pipes env --default-signal
		wait_for non_blocking "$client"
		kill -"$signal" "$client"
		status=0
		wait "$client" || status=$?
		[ "$status" = 1 ]
		[ "$(flags $$ 5 6)" = "$before" ]
		status_of proxy
	done
}

# group FILE COMMAND...: in the background in a group of its own, in a session that another one leads; FILE gets its process number
group() {
	setsid bash -c 'set -m; "$@" & echo $! >"$0"' "$@"
}

@test "a pipe is blocking while the client is stopped, and not after" {
	for signal in TSTP TTIN TTOU; do
		rm -f "$SCRATCH/pid"
		on_pipes group "$SCRATCH/pid" env --default-signal
		wait_for test -s "$SCRATCH/pid"
		stopped=$(cat "$SCRATCH/pid")
		for _ in 1 2; do
			wait_for non_blocking "$stopped"
			kill -"$signal" "$stopped"
			wait_for in_state "$stopped" T
			[ "$(flags $$ 5 6)" = "$before" ]
			kill -CONT "$stopped"
		done
		wait_for non_blocking "$stopped"
		kill -TERM "$stopped"
		wait_for gone "$stopped"
		[ "$(flags $$ 5 6)" = "$before" ]
		status_of proxy
	done
}

@test "what is ignored, or nobody could continue, does not stop" {
	for launcher in 'env --ignore-signal=TSTP,TTIN,TTOU' 'setsid env --default-signal'; do
		on_pipes $launcher
		wait_for non_blocking "$client"
		for signal in TSTP TTIN TTOU; do
			kill -"$signal" "$client"
		done
		[ "$(flags $$ 5 6)" != "$before" ]
		kill -TERM "$client" # which would not end what has been stopped
		wait_for gone "$client"
		status_of proxy
	done
}

@test "descriptors above 2 are closed" {
	start peer "$TOOLS/peer" 2:listen 127.0.0.1:0 exec-pipes 2:accept 2:skip 9 2:send "$GRANTED" 2:send x expect x \
		touch "$SCRATCH/reached" wait-file "$SCRATCH/go" shutdown 2:expect-eof 2:close expect-eof expect-exit 0 -- \
		bash -c 'exec "$@" 7</dev/zero' bash "$BIN" -c 127.0.0.1:@2 -u '' 192.0.2.1 80
	wait_for test -e "$SCRATCH/reached"
	left=$(find "/proc/$(pgrep -P "${PIDS[peer]}")/fd" -lname /dev/zero)
	touch "$SCRATCH/go"
	status_of peer
	[ -z "$left" ] || fail "open: $left"
}

@test "-F passes the connection and is gone" {
	run -1 "$BIN" -c 127.0.0.1:1 -F 192.0.2.1 80 </dev/null
	for output in exec-pipes exec-tcp; do # Linux drops a descriptor sent over TCP, and sends the byte
		"$TOOLS/peer" 2:listen 127.0.0.1:0 "$output" 2:accept 2:skip 9 2:send "$GRANTED" expect-eof 2:expect-closed \
			expect-exit 1 -- "$BIN" -l none -F -c 127.0.0.1:@2 -u '' 192.0.2.1 80
	done
	"$TOOLS/peer" -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec-tcp 2:accept 2:skip 9 2:send "$GRANTED" \
		expect-exit 1 -- "$BIN" -F -c 127.0.0.1:@2 -u '' 192.0.2.1 80
	[ "$(cat "$SCRATCH/log")" = 'socks4-stdio: cannot pass the connection: standard output is not a Unix socket' ]
}

@test "-F: a stuck reader of the connection costs no more than the connect limit" {
	# shellcheck disable=SC2016 # the inner shell expands
	"$TOOLS/peer" -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec-unix 2:accept 2:skip 9 2:send "$GRANTED" expect-exit 1 -- \
		sh -c 'dd if=/dev/zero oflag=nonblock bs=4096 status=none 2>/dev/null; exec "$@"' sh "$BIN" -F -w connect=1 -c 127.0.0.1:@2 -u '' 192.0.2.1 80
	grep -q 'over standard output: nobody took it in time$' "$SCRATCH/log"
}

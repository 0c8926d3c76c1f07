# Bad networks: loss, delay, doubled and overtaking packets, and hosts that vanish without a word.
# client == gateway == server, where each == is a line that tests/lossy.c makes.

load helper
load hosts

setup() {
	local host
	require_root
	if ! [ -c /dev/net/tun ] || ! (: <>/dev/net/tun) 2>/dev/null; then
		lack '/dev/net/tun is missing'
	fi
	for host in client gateway server; do
		hosts_up "$host"
	done
	echo 'permit from 10.1.0.0/24 to 10.2.0.2' >"$SCRATCH/acl"
	bound='\0\x5a\c3\x0a\x02\0\x01'
}

# lines [OPTION...]: both lines, with these options of lossy
lines() {
	line client gateway 1 "$@"
	line gateway server 2 "$@"
}

# line LEFT RIGHT NUMBER [OPTION...]; as `line-RIGHT`
line() {
	start "line-$2" "$TOOLS/lossy" -s "$3" "${@:4}" "/run/netns/$HOSTS_PREFIX-$1" "$2" "/run/netns/$HOSTS_PREFIX-$2" "$1"
	[ "$(port_of "line-$2")" = ready ] || fail "$(cat "$SCRATCH/line-$2.err")" || return 1
	host_address "$1" "$2" "$3" 1
	host_address "$2" "$1" "$3" 2
}

# cut client|server: that host vanishes
cut_off() {
	local line="line-$1"
	[ "$1" = server ] || line="line-gateway"
	kill -USR1 "${PIDS[$line]}"
}

# gateway_up LIMITS: the program on the gateway; its log is $SCRATCH/gateway.err
gateway_up() {
	start gateway on gateway "$TOOLS/serve" -s "$SCRATCH/statuses" -a 10.1.0.2 0 "$BIN" -l stderr -a "$SCRATCH/acl" -w "$1"
	PORT=$(port_of gateway)
}

# play NAME HOST WORD...: a peer there that has a minute for each word
play() {
	start "$1" on "$2" "$TOOLS/peer" -t 60 "${@:3}"
}

# played NAME...: they have all done as they were told
played() {
	local name pid
	for name; do
		pid=${PIDS[$name]}
		unset "PIDS[$name]"
		wait "$pid" || fail "$name: $(cat "$SCRATCH/$name.err")" || return 1
	done
}

# printed NAME: its first line, which may take a while on such lines
printed() {
	local end=$((SECONDS + 60))
	until [ -s "$SCRATCH/$1.out" ]; do
		if gone "${PIDS[$1]}" || [ "$SECONDS" -gt "$end" ]; then
			fail "$1 printed nothing: $(cat "$SCRATCH/$1.err")" || return 1
		fi
		sleep 0.01
	done
	cat "$SCRATCH/$1.out"
}

# reached NAME...: each has got to its `touch`
reached() {
	local name
	for name; do
		wait_for test -e "$SCRATCH/$name.reached" || fail "$(cat "$SCRATCH/$name.err")" || return 1
	done
}

# session NAME WORD... -- WORD...: a CONNECT of user NAME; what the client does, then what the server does, once it stands
session() {
	local name=$1 host
	local -a words=()
	shift
	while [ "$1" != -- ]; do
		words+=("$1")
		shift
	done
	shift
	play "$name-server" server listen 10.2.0.2:0 accept touch "$SCRATCH/$name-server.reached" "$@"
	host=$(port_of "$name-server")
	play "$name" client connect "10.1.0.2:$PORT" send "$(request 4 1 "$host" 10.2.0.2 "$name")" expect "$GRANTED" \
		touch "$SCRATCH/$name.reached" "${words[@]}"
}

# ended NAME REASON LOW HIGH: its last line says that reason, and it took so many seconds (of a refusal none are told)
ended() {
	wait_for grep -Eq "^(close|refuse) .* user=$1 .* reason=$2\$" "$SCRATCH/gateway.err" ||
		fail "no $2 of $1: $(cat "$SCRATCH/gateway.err")" || return 1
	[ $# -eq 2 ] || grep "^close .* user=$1 " "$SCRATCH/gateway.err" | awk -v low="$3" -v high="$4" '
		match($0, / secs=[0-9.]+/) { secs = substr($0, RSTART + 6, RLENGTH - 6) + 0; exit }
		END { print secs; exit secs < low || secs > high }'
}

sessions_done() {
	[ "$(wc -l <"$SCRATCH/statuses")" = "$1" ]
}

# no_session COUNT: so many have ended, all with status 0, and no connection is left that a vanished host would keep
no_session() {
	wait_for sessions_done "$1" || fail "$(cat "$SCRATCH/gateway.err")" || return 1
	[ "$(sort -u "$SCRATCH/statuses")" = 0 ]
	run -1 pgrep -P "${PIDS[gateway]}"
	[ -z "$(on gateway ss -Htn state established)" ]
}

# The gateway has asked for a connection, and has had no answer.
dialling() {
	[ -n "$(on gateway ss -Htn state syn-sent)" ]
}

# bad NAME: the line did drop, double and reorder
bad() {
	stop "$1"
	tail -n 1 "$SCRATCH/$1.out"
	tail -n 1 "$SCRATCH/$1.out" |
		grep -Eq '^passed=[1-9][0-9]* dropped=[1-9][0-9]* doubled=[1-9][0-9]* reordered=[1-9][0-9]*$'
}

@test "5 % lost, 200 ms, doubled and overtaken: up, down, both, BIND, and the client mode arrive whole" {
	lines
	gateway_up request=60,connect=60,bind=60,idle=60
	session up send-random 48K 1 shutdown expect-random 2K 2 expect-eof close -- \
		expect-random 48K 1 expect-eof send-random 2K 2 shutdown
	session down shutdown expect-random 48K 3 expect-eof close -- expect-eof send-random 48K 3 shutdown
	session both duplex 40K 4 5 0 shutdown expect-eof close -- duplex 40K 5 4 0 shutdown expect-eof
	play bind client connect "10.1.0.2:$PORT" send "$(request 4 2 21 10.2.0.2 bind)early" expect "$bound" print '\d3\n' \
		expect '\0\x5a\c4\x0a\x02\0\x02' duplex 24K 6 7 0 shutdown expect-eof close
	play ours-server server listen 10.2.0.2:0 accept duplex 24K 8 9 0 expect-eof shutdown
	start ours on client "$TOOLS/peer" -t 60 exec-pipes duplex 24K 9 8 0 shutdown expect-eof expect-exit 0 -- \
		"$BIN" -c "10.1.0.2:$PORT" -u ours 10.2.0.2 "$(port_of ours-server)"
	play caller server connect "10.2.0.1:$(printed bind)" expect early duplex 24K 7 6 0 shutdown expect-eof
	played up up-server down down-server both both-server bind caller ours ours-server
	for name in up down both bind ours; do
		ended "$name" eof
	done
	grep -q 'user=up .* up=49152 down=2048 ' "$SCRATCH/gateway.err"
	no_session 5
	bad line-gateway
	bad line-server
}

@test "the destination vanishes: idle, connect and bind limits hold" {
	lines -l 0 -2 0 -r 0 -d 5
	gateway_up connect=1,bind=1,idle=2
	session silent expect-reset -- expect-silence 50000
	session loaded wait-file "$SCRATCH/go" fill 1 300 expect-reset -- expect-silence 50000
	reached silent silent-server loaded loaded-server
	cut_off server
	touch "$SCRATCH/go"
	play late client connect "10.1.0.2:$PORT" send "$(request 4 1 80 10.2.0.2 late)" expect "$REJECTED" expect-eof close
	play bind client connect "10.1.0.2:$PORT" send "$(request 4 2 80 10.2.0.2 bind)" expect "$bound" \
		expect "$REJECTED" expect-eof close
	played silent loaded late bind
	ended silent idle 2 5
	ended loaded idle 2 5
	ended late connect-timeout
	ended bind bind-timeout
	no_session 4
}

@test "the destination vanishes while the client goes on: it hears of it when TCP gives up" {
	lines -l 0 -2 0 -r 0 -d 5
	on gateway sh -c 'echo 3 >/proc/sys/net/ipv4/tcp_retries2'
	gateway_up idle=2
	session talking wait-file "$SCRATCH/go" send a expect-reset -- expect-silence 50000
	session chatting wait-file "$SCRATCH/go" trickle 100 "$(printf '%090d' 0)" expect-reset -- expect-silence 50000
	reached talking talking-server chatting chatting-server
	cut_off server
	touch "$SCRATCH/go"
	status_of chatting || status=$?
	[ "${status-0}" != 0 ] # some of its bytes it could not send any more
	grep -q 'trickle: cannot send\|got a reset' "$SCRATCH/chatting.err" || fail "$(cat "$SCRATCH/chatting.err")"
	ended chatting reset 2 9
	played talking
	ended talking '(idle|reset)' 2 5
	no_session 2
}

@test "the client vanishes: request, bind and idle limits hold, and its server is told" {
	lines -l 0 -2 0 -r 0 -d 5
	gateway_up request=1,bind=1,idle=2
	session silent expect-silence 50000 -- expect-reset
	session loaded expect-silence 50000 -- wait-file "$SCRATCH/go" fill 1 300 expect-reset
	session left expect-silence 50000 -- wait-file "$SCRATCH/go" send-random 2K 1 pause 100 reset
	play slow client connect "10.1.0.2:$PORT" send '\x04\x01' touch "$SCRATCH/slow.reached" expect-silence 50000
	play bind client connect "10.1.0.2:$PORT" send "$(request 4 2 80 10.2.0.2 bind)" expect "$bound" \
		touch "$SCRATCH/bind.reached" expect-silence 50000
	reached silent silent-server loaded loaded-server left left-server slow bind
	cut_off client
	touch "$SCRATCH/go"
	played silent-server loaded-server left-server
	ended silent idle 2 5
	ended loaded idle 2 5
	ended left reset 2 5 # for its bytes are waited for within the idle limit
	ended bind bind-timeout
	wait_for grep -q '^refuse .* reason=request-timeout$' "$SCRATCH/gateway.err"
	no_session 5
}

@test "both vanish: nothing is waited for longer than the limits" {
	lines -l 0 -2 0 -r 0 -d 5
	gateway_up connect=3,idle=2
	session silent expect-silence 50000 -- expect-silence 50000
	session loaded wait-file "$SCRATCH/go" fill 1 300 touch "$SCRATCH/filled" expect-silence 50000 -- expect-silence 50000
	reached silent silent-server loaded loaded-server
	cut_off server
	touch "$SCRATCH/go"
	wait_for test -e "$SCRATCH/filled"
	play late client connect "10.1.0.2:$PORT" send "$(request 4 1 80 10.2.0.2 late)" expect-silence 50000
	wait_for dialling
	cut_off client
	ended silent idle 2 5
	ended loaded idle 2 5
	ended late connect-timeout
	no_session 3
}

# The tools of the suite themselves: they do what the other tests rely on, and they notice when it is not so.

# shellcheck disable=SC2154 # bats sets stderr
load helper
load hosts

setup() {
	peer=$TOOLS/peer
	cd "$SCRATCH" || return 1
}

# peer_fails MESSAGE word...: status 1, and one line on stderr with the message
peer_fails() {
	local message=$1
	shift
	run --separate-stderr "$peer" -t 1 "$@"
	printf 'status %s, %s\n' "$status" "$stderr"
	[ "$status" -eq 1 ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == *"$message"* ]]
}

# ---- peer ----

@test "peer: a program on TCP, a Unix socket, pipes and mixtures echoes" {
	for kind in "tcp same" "unix same" "pipe pipe" "tcp pipe" "pipe tcp" "tcp tcp" "tcp=[::1] same"; do
		# shellcheck disable=SC2086 # two words
		"$peer" exec $kind send 'a\x00\n' expect 'a\0\x0a' shutdown expect-eof -- cat
	done
}

@test "peer: the program has 0, 1 and 2 and no other descriptor" {
	"$peer" -2 fds exec-pipes expect-eof 3</dev/null 7</dev/null -- sh -c 'cd /proc/$$/fd && echo * >&2'
	[ "$(cat fds)" = "0 1 2 3" ] # 3 is the directory that the shell reads
	"$peer" -e exec-tcp expect 'on 2\n' -- sh -c 'echo on 2 >&2'
}

# What has SIGPIPE, the thirteenth signal, at its default.
sigpipe_is_default='^SigIgn:.*[02468ace][0-9a-f]{3}$'

@test "peer: SIGPIPE is at its default in the program" {
	"$peer" exec-pipes close expect-exit 0 -- grep -qE "$sigpipe_is_default" /proc/self/status
}

@test "peer: one script holds both ends, with ports in bytes, digits, addresses and arguments" {
	"$peer" 2:listen 127.0.0.1:0 exec-tcp expect '\d2 \d2\n' \
		3:connect 127.0.0.1:@2 2:accept 3:send '\p2\a' 2:expect '\p2\x7f\0\0\x01' \
		2:send '\d3 \P2' 3:expect '\D2 \p3' -- sh -c 'echo @2 "$1"' sh @2 >ports
	[ "$(wc -l <ports)" -eq 1 ]
}

@test "peer: a captured port can be called, any byte is any byte" {
	run "$peer" 2:listen 127.0.0.1:0 connect 127.0.0.1:@2 2:accept 2:send '\0\x5a\p2zz' expect '\0\x5a\c4\?\?' \
		4:connect 127.0.0.1:@4 4:send hello 2:accept 2:expect hello print '\p4 ok'
	[ "$status" -eq 0 ]
	[[ ${lines[1]} == *" ok" ]]
}

@test "peer: wrong, missing and late bytes are noticed" {
	peer_fails 'expected "b", got "a"' exec-tcp send a expect b -- cat
	peer_fails 'expected 2 bytes, got end of input after "a"' exec-tcp send a shutdown expect ab -- cat
	peer_fails 'got nothing in time after "a"' -t 0.3 exec-tcp send a expect ab -- cat
	peer_fails 'expected end of input, got "x"' exec-tcp send x expect-eof -- cat
	peer_fails 'expected silence, got "x"' exec-tcp send x expect-silence 500 -- cat
	peer_fails 'expected silence, got end of input' exec-tcp shutdown expect-silence 500 -- cat
	"$peer" exec-tcp expect-silence 20 send x expect x -- cat
}

@test "peer: a reset and an end are told apart, data before either is not" {
	local pair=(2:listen 127.0.0.1:0 connect 127.0.0.1:@2 2:accept 2:send ab)
	"$peer" "${pair[@]}" 2:reset expect ab expect-reset
	"$peer" "${pair[@]}" 2:close expect ab expect-eof
	"$peer" "${pair[@]}" 2:close expect ab expect-closed
	peer_fails 'expected a reset, got end of input' "${pair[@]}" 2:close expect ab expect-reset
	peer_fails 'expected end of input, got a reset' "${pair[@]}" 2:reset expect ab expect-eof
	peer_fails 'expected end of input or a reset, got "b"' "${pair[@]}" 2:reset expect a expect-closed
}

@test "peer: random bytes are the same for a seed and every byte is compared" {
	"$peer" exec-tcp send-random 10001 7 expect-random 10000 7 expect-random 0 1 skip 1 -- cat
	peer_fails 'wrong byte at 0 of 9' exec-tcp send-random 9 7 expect-random 9 8 -- cat
	peer_fails 'wrong byte at 1000 of 2000' exec-tcp send-random 1000 7 send-random 1000 7 expect-random 2000 7 -- cat
	peer_fails 'got end of input after 9' exec-tcp send-random 9 7 shutdown expect-random 10 7 -- cat
	peer_fails 'receiving stands at 9 of 10' -t 0.3 exec-tcp send-random 9 7 expect-random 10 7 -- cat
}

@test "peer: more than the sockets hold goes both ways, with a pause" {
	lasts 300 10000 "$peer" exec-tcp duplex 16M 1 1 300 shutdown expect-eof -- cat
	"$peer" 2:listen 127.0.0.1:0 connect 127.0.0.1:@2 2:accept pump 1 2 8M 1 pump-duplex 1 2 8M 1 2 50
	peer_fails 'wrong byte at 0' exec-tcp duplex 64K 1 2 0 -- cat
}

@test "peer: fill stops where nobody reads, and what it sent can be verified" {
	run "$peer" 2:listen 127.0.0.1:0 connect 127.0.0.1:@2 2:accept fill 5 50 2:expect-filled 1 5 2:expect-silence 20
	[ "$status" -eq 0 ]
	[ "${lines[1]}" -gt 65536 ]
	[ "${lines[1]}" -lt 67108864 ]
}

@test "peer: paced reading takes its time and gets all" {
	lasts 25 10000 run -0 "$peer" exec-pipes sendfile "$TESTS/helper.bats" shutdown pace 1000 5 discard -- head -c 10000
	[ "$output" -gt 5000 ]
	"$peer" exec-pipes trickle 1 abc shutdown read-to copy -- cat
	[ "$(cat copy)" = abc ]
}

@test "peer: urgent data and half-closes" {
	"$peer" 2:listen 127.0.0.1:0 connect 127.0.0.1:@2 2:accept send a urgent '!' send b 2:expect ab \
		shutdown 2:expect-eof 2:send c expect c 2:shutdown expect-eof
}

@test "peer: exit status and signals of the program" {
	"$peer" exec-tcp expect-exit 7 -- sh -c 'exit 7'
	"$peer" exec-tcp kill KILL expect-exit 137 -- cat
	"$peer" exec-tcp kill 15 expect-exit 143 -- cat
	peer_fails 'ended with 7, expected 0' exec-tcp expect-eof -- sh -c 'exit 7'
	peer_fails 'ended with 0, expected 1' exec-tcp close expect-exit 1 -- cat
	peer_fails 'still runs, expected its exit with 0' -t 0.3 exec-tcp expect-exit 0 -- cat
	peer_fails 'ended with 127' -2 /dev/null exec-tcp expect-exit 0 -- ./no-such-program
	peer_fails 'never started' pause 1 -- cat
}

@test "peer: a program is gone after a script that failed" {
	peer_fails 'got end of input' -2 pid exec-tcp shutdown expect x -- sh -c 'echo $$ >&2; exec cat; exec sleep 60'
	peer_fails 'got nothing in time' -t 0.3 -2 pid exec-tcp expect x -- sh -c 'echo $$ >&2; exec sleep 60'
	run ! kill -0 "$(tail -n 1 pid)"
}

@test "peer: callers that are refused, that wait for ever, that do not come" {
	"$peer" 2:listen 127.0.0.1:0 2:expect-no-caller 20 2:close-listener expect-refused 127.0.0.1:@2
	peer_fails 'expected a refusal, got a connection' 2:listen 127.0.0.1:0 expect-refused 127.0.0.1:@2
	peer_fails 'somebody called' 2:listen 127.0.0.1:0 connect 127.0.0.1:@2 2:expect-no-caller 20
	peer_fails 'nobody called' -t 0.3 2:listen 127.0.0.1:0 2:accept
	peer_fails 'Connection timed out' -t 0.3 2:listen-deaf 127.0.0.1:0 connect 127.0.0.1:@2
}

@test "peer: bad scripts are refused" {
	peer_fails 'no such word' expct x
	peer_fails 'needs 1 arguments' send
	peer_fails 'not connected' send x
	peer_fails 'not a number: 1x' pause 1x
	peer_fails 'unknown escape' exec-tcp send '\q' -- cat
	peer_fails 'for expect only' exec-tcp send '\?' -- cat
	run -2 "$peer"
}

@test "peer: keeps in step with the shell through files" {
	start waiting "$peer" wait-file go touch went
	run ! test -e went
	touch go
	status_of waiting
	test -e went
	peer_fails 'has not appeared' -t 0.3 wait-file never
}

@test "peer: serves as the program of another, on inherited descriptors" {
	"$peer" exec-unix send ping expect pong expect-eof -- "$peer" use-fds 0 1 expect ping send pong
	"$peer" exec-pipes send ping expect pong expect-eof -- "$peer" use-fds 0 1 expect ping send pong
}

# ---- serve ----

@test "serve: one program a connection, on TCP, IPv6 and a Unix socket" {
	run -2 timeout 10 "$TOOLS/serve" 65537 cat
	start four "$TOOLS/serve" 0 cat
	start six "$TOOLS/serve" -a ::1 0 cat
	start local "$TOOLS/serve" -u "$SCRATCH/socket" 0 cat
	"$peer" connect "127.0.0.1:$(port_of four)" 2:connect "127.0.0.1:$(port_of four)" send a 2:send b expect a 2:expect b
	"$peer" connect "[::1]:$(port_of six)" send a expect a
	[ "$(port_of local)" = "$SCRATCH/socket" ]
	"$peer" connect "unix:$SCRATCH/socket" send a expect a
	stop local
	[ ! -e socket ]
}

@test "serve: the program has 0, 1 and 2 and default signals" {
	start serve env - sh -c 'trap "" PIPE; exec "$@"' sh "$TOOLS/serve" 0 \
		sh -c 'cd /proc/$$/fd && echo *; grep -E "Sig(Blk|Ign)" /proc/self/status'
	"$peer" 7</dev/null connect "127.0.0.1:$(port_of serve)" read-to answer
	grep -qx '0 1 2 3' answer # 3 is the directory that the shell reads
	grep -qx 'SigBlk:.0*' answer
	grep -qE "$sigpipe_is_default" answer
}

@test "serve: each session's exit status is written down" {
	start serve "$TOOLS/serve" -s "$SCRATCH/statuses" 0 sh -c 'read -r n; exit "$n"'
	"$peer" connect "127.0.0.1:$(port_of serve)" send '3\n' expect-eof
	wait_for test -s statuses
	"$peer" connect "127.0.0.1:$(port_of serve)" send '5\n' expect-eof
	wait_for grep -qx 5 statuses
	[ "$(paste -sd ' ' statuses)" = "3 5" ]
}

@test "serve: SIGTERM ends the sessions too" {
	start serve "$TOOLS/serve" -s "$SCRATCH/statuses" 0 cat
	start client "$peer" connect "127.0.0.1:$(port_of serve)" send a expect a touch there expect-closed
	wait_for test -e there
	kill "${PIDS[serve]}"
	status_of serve
	status_of client
	[ "$(cat statuses)" = "signal 15" ]
}

# ---- helper ----

@test "helper: requests in bytes" {
	[ "$(request 4 1 80 127.0.0.1 me)" = '\x04\x01\x00\x50\x7f\x00\x00\x01\x6d\x65\x00' ]
	[ "$(request 4 2 @3 0.0.0.1 '' a.b)" = '\x04\x02\p3\x00\x00\x00\x01\x00\x61\x2e\x62\x00' ]
	[ "$(request 4 1 65535 255.0.0.1 $'\xff')" = '\x04\x01\xff\xff\xff\x00\x00\x01\xff\x00' ]
}

@test "helper: what has been started is waited for, reported and stopped" {
	start good sh -c 'echo 4711; exit 3'
	[ "$(port_of good)" = 4711 ]
	status_of good || status=$?
	[ "$status" -eq 3 ]
	start mute sh -c 'echo broken >&2'
	run port_of mute
	[ "$status" -eq 1 ]
	[[ $output == *broken* ]]
	start sleeper sleep 60
	local pid=${PIDS[sleeper]}
	stop_all
	run ! kill -0 "$pid"
}

@test "helper: a missing program is a failure in strict mode only" {
	STRICT=1 run require sh no-such-program
	[ "$status" -eq 1 ]
	[ "$output" = "no-such-program is missing" ]
	STRICT=1 require sh cat
}

@test "helper: three hosts in a row, IPv4 and IPv6, each seeing only its neighbours" {
	require ip
	hosts_up client gateway server
	start relay on gateway "$TOOLS/serve" -a 10.1.0.2 0 cat
	start relay6 on gateway "$TOOLS/serve" -a fd00:2::1 0 cat
	on client "$peer" connect "10.1.0.2:$(port_of relay)" send a expect a
	on server "$peer" connect "[fd00:2::1]:$(port_of relay6)" send a expect a
	on server ip address add 10.2.0.3/24 dev gateway
	on gateway "$peer" 2:listen 10.2.0.1:0 expect-refused 10.2.0.3:9
	run ! on client "$peer" connect "10.2.0.1:$(port_of relay)"
	hosts_down
	run ip netns list
	[[ $output != *"$HOSTS_PREFIX"* ]]
}

# ---- lab, dnsd, logd ----

@test "lab: the exit status is the command's, its input and arguments arrive" {
	require_root
	run "$TESTS/lab" sh -c 'cat; echo "$1"; exit 7' sh 'a  b' <<<input
	[ "$status" -eq 7 ]
	[ "${lines[0]}" = input ]
	[ "${lines[1]}" = 'a  b' ]
}

@test "lab: network, processes, host name, /etc and /dev are its own" {
	require_root
	cat >inside <<-'EOS'
		set -e
		[ "$(ip -o link | wc -l)" -eq 1 ]
		[ "$(hostname)" = lab ]
		[ "$(ls -d /proc/[0-9]* | wc -l)" -lt 6 ]
		echo >/etc/socks4-stdio-lab-test
		echo >/dev/log
		echo >/run/lab-test
		echo >/dev/null
		head -c 1 /dev/urandom | wc -c
		grep -q 'nameserver 127.0.0.1' /etc/resolv.conf
		[ -c /dev/ptmx ] && [ -c /dev/net/tun ] && [ -d /dev/shm ]
		echo result >"$SCRATCH/result"
	EOS
	local name
	name=$(uname -n)
	run "$TESTS/lab" sh inside
	[ "$output" = 1 ]
	[ "$status" -eq 0 ]
	[ "$(cat result)" = result ]
	[ ! -e /etc/socks4-stdio-lab-test ]
	[ ! -e /run/lab-test ]
	[ "$(uname -n)" = "$name" ]
	[ -c /dev/null ]
}

@test "lab: nothing survives it, neither its end nor SIGTERM" {
	require_root
	mkfifo held
	start reader cat held # ends when no writer is left
	lab sh -c 'exec 9>held; sleep 60 & exit 0'
	status_of reader
	start reader cat held
	start lab "$TESTS/lab" sh -c 'exec 9>held; echo up; sleep 60; echo survived'
	port_of lab
	stop lab
	status_of reader
	[ "$(cat lab.out)" = up ]
}

@test "dnsd: what a resolver gets to see, glibc" {
	in_lab || return "$status"
	start dnsd "$TOOLS/dnsd" -l questions 'a.test A 192.0.2.1' 'a.test A 192.0.2.2' 'a.test AAAA 2001:db8::1' \
		'no.test NXDOMAIN' 'bad.test SERVFAIL' 'mute.test SILENT' 'late.test A 192.0.2.9' 'late.test DELAY 200'
	[ "$(port_of dnsd)" = 53 ]
	start late getent ahosts late.test
	{
		getent ahosts A.test | awk '/STREAM/ { print $1 }' | sort | paste -sd ' '
		for name in no.test bad.test mute.test other.test; do
			status=0
			getent ahosts "$name" >/dev/null || status=$?
			echo "$name $status"
		done
		for name in bad none; do # SERVFAIL, NXDOMAIN
			exec 8<>/dev/udp/127.0.0.1/53
			printf %b "\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0\\x$(printf %02x ${#name})$name\\x04test\\0\\0\\x01\\0\\x01" >&8
			timeout 5 dd bs=512 count=1 <&8 2>/dev/null | head -c 4 | od -An -tx1
		done
		status_of late && awk '/STREAM/ { print $1 }' "$SCRATCH/late.out"
	} >seen
	diff - seen <<-'END'
		192.0.2.1 192.0.2.2 2001:db8::1
		no.test 2
		bad.test 2
		mute.test 2
		other.test 2
		 12 34 85 82
		 12 34 85 83
		192.0.2.9
	END
	grep -qx 'A.test AAAA' questions
	grep -qx 'mute.test A' questions
}

@test "dnsd: bad records are refused" {
	run -2 "$TOOLS/dnsd" 'a.test A 192.0.2'
	run -2 "$TOOLS/dnsd" 'a.test WRONG'
	run -2 "$TOOLS/dnsd" 'a.test A 192.0.2.1 192.0.2.2'
}

@test "logd: each message is one line, whatever is in it" {
	require logger
	start logd "$TOOLS/logd" -p "$SCRATCH/log" messages
	port_of logd
	logger -u "$SCRATCH/log" -t tag one
	logger -u "$SCRATCH/log" -t tag $'two\nlines\x01'
	wait_for grep -q 'lines' messages
	grep -q 'tag: one$' messages
	[ "$(wc -l <messages)" -eq 2 ]
}

# ---- fault.so ----

@test "fault.so: calls of socks4-stdio alone fall short, fail, and are written down" {
	ln -s "$(command -v head)" socks4-stdio
	export LD_PRELOAD=$TOOLS/fault.so
	[ "$(printf hello | TRACE=$PWD/whole ./socks4-stdio -c 5)" = hello ]
	[ "$(grep -c ' read(0' whole)" -eq 1 ]
	[ "$(printf hello | SHORT=2 TRACE=$PWD/short ./socks4-stdio -c 5)" = hello ]
	[ "$(grep -c ' read(0' short)" -eq 3 ]
	[ "$(printf hello | SHORT=2 FAULT=read:3:EPIPE TRACE=$PWD/third ./socks4-stdio -c 5 2>error)" = hell ]
	grep -q 'Broken pipe' error
	[ "$(grep -c ' read(0.*(INJECTED)$' third)" -eq 1 ]
	[ "$(printf hello | FAULT=read:1+:ENOMEM ./socks4-stdio -c 5 2>error)" = '' ]
	grep -q 'Cannot allocate memory' error
	[ "$(printf hello | SHORT=2 FAULT=read:1:ENOMEM TRACE=$PWD/other head -c 5)" = hello ]
	[ ! -e other ]
}

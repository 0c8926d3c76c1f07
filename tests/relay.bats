# The relay: half-close, resets, limits, back-pressure, and every kind of fd 0 and 1.
# shellcheck disable=SC2086 # words are wanted

load helper

setup() {
	echo 'permit from any' >"$SCRATCH/acl"
	idle_limit 20
}

idle_limit() {
	PROGRAM=("$BIN" -l stderr -a "$SCRATCH/acl" -w "idle=$1")
}

# session IN OUT WORD...: a peer that has started the program so, and is its destination too (endpoint 2)
session() {
	rm -f "$SCRATCH/log"
	"$TOOLS/peer" -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec "$1" "$2" \
		send "$(request 4 1 @2 127.0.0.1 '')" expect "$GRANTED" 2:accept "${@:3}" -- "${PROGRAM[@]}" >"$SCRATCH/out"
}

# session_beside IN OUT WORD...: the same in the background, as `peer`. Where the words say `touch reached
# wait-file go`, the test has its turn between `reached` and `go`; the program is then $PROGRAM_PID.
session_beside() {
	local -a words=("${@:3}")
	rm -f "$SCRATCH"/{log,reached,go}
	words=("${words[@]/#reached/$SCRATCH/reached}")
	words=("${words[@]/#go/$SCRATCH/go}")
	start peer "$TOOLS/peer" -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec "$1" "$2" \
		send "$(request 4 1 @2 127.0.0.1 '')" expect "$GRANTED" 2:accept "${words[@]}" -- "${PROGRAM[@]}"
}

reached() {
	wait_for reached_or_gone || return 1
	[ -e "$SCRATCH/reached" ] || fail "$(cat "$SCRATCH/peer.err")" || return 1
	PROGRAM_PID=$(pgrep -P "${PIDS[peer]}")
}

reached_or_gone() {
	[ -e "$SCRATCH/reached" ] || gone "${PIDS[peer]}"
}

go() {
	touch "$SCRATCH/go"
	status_of peer || fail "$(cat "$SCRATCH/peer.err")"
}

# closed PATTERN: what the close line says of bytes and reason
closed() {
	sed -n 's/^close .*\(up=[0-9]* down=[0-9]*\) secs=[0-9.]* \(reason=[a-z]*\)$/\1 \2/p' "$SCRATCH/log" >"$SCRATCH/close"
	grep -Eqx -- "$1" "$SCRATCH/close" || fail "no '$1': $(cat "$SCRATCH/log")"
}

# Runs the program and notes the file status flags of its fd 0 and 1, before and after, in the file $0.
FLAGS_AND_RUN='exec 4>&1
	flags() { sed -n "s/^flags:[[:space:]]*//p" "/proc/$$/fdinfo/0" "/proc/$$/fdinfo/4"; }
	flags >"$0"; "$@" 4>&-; status=$?; flags >>"$0"; exit "$status"'

# on_pipes SERVER-WORD...: `program` on two pipes with a session to `server`, which is sent `hello`. The test holds
# the one end, fd $in, `reader` the other. Nothing here can block for ever on a pipe that nobody else opens.
on_pipes() {
	local port
	mkfifo "$SCRATCH/to" "$SCRATCH/from"
	start server "$TOOLS/peer" listen 127.0.0.1:0 accept "$@"
	port=$(port_of server)
	start reader cat "$SCRATCH/from"
	start program bash -c 'exec <"$0" >"$1"; exec "${@:2}"' "$SCRATCH/to" "$SCRATCH/from" \
		bash -c "$FLAGS_AND_RUN" "$SCRATCH/flags" "${PROGRAM[@]}"
	exec {in}<>"$SCRATCH/to"
	printf %b "$(request 4 1 "$port" 127.0.0.1 '')hello" >&"$in"
	wait_for test -s "$SCRATCH/reader.out" # both have opened it
	rm "$SCRATCH/from"
}

# ---- both directions, each on its own ----

@test "8 MiB up, half-close, 8 MiB down, and the other way round, over every kind of fd 0 and 1" {
	while read -r input output; do
		session "$input" "$output" pump 1 2 8M 1 shutdown 2:expect-eof pump 2 1 8M 2 2:close expect-eof
		closed 'up=8388608 down=8388608 reason=eof'
		session "$input" "$output" pump 2 1 8M 1 2:shutdown expect-eof pump 1 2 8M 2 shutdown 2:expect-eof
		closed 'up=8388608 down=8388608 reason=eof'
	done <<-'END'
		tcp same
		tcp=[::1] same
		unix same
		pipe pipe
		tcp tcp
		unix unix
		pipe tcp
		tcp pipe
	END
}

@test "64 MiB both ways at once with readers that pause" {
	for channel in 'tcp same' 'unix same' 'pipe pipe'; do
		session $channel pump-duplex 1 2 64M 1 2 200 shutdown 2:expect-eof 2:close expect-eof
		closed 'up=67108864 down=67108864 reason=eof'
	done
}

@test "bytes that come with the request are the first to arrive, and counted" {
	"$TOOLS/peer" -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec-tcp send "$(request 4 1 @2 127.0.0.1 '')early, " \
		expect "$GRANTED" 2:accept 2:expect 'early, ' send late 2:expect late shutdown 2:expect-eof 2:close \
		expect-eof -- "${PROGRAM[@]}"
	closed 'up=11 down=0 reason=eof'
}

@test "a slow reader stalls only its own direction" {
	session tcp same fill 1 100 pump 2 1 16M 2 2:expect-filled 1 1 \
		2:fill 3 100 pump 1 2 16M 4 expect-filled 2 3 shutdown 2:expect-eof 2:close expect-eof
	session pipe pipe fill 1 100 pump 2 1 16M 2 2:expect-filled 1 1 \
		2:fill 3 100 pump 1 2 16M 4 expect-filled 2 3 shutdown 2:expect-eof 2:close expect-eof
}

@test "urgent data arrive inline, none lost" {
	session tcp same send ab urgent c send de urgent f urgent g 2:expect abcdefg \
		2:send ab 2:urgent c 2:send de 2:urgent f 2:urgent g expect abcdefg \
		send-random 300K 1 urgent x send y 2:expect-random 300K 1 2:expect xy \
		shutdown 2:expect-eof 2:close expect-eof
}

# Linux has had MSG_OOB on Unix sockets since 5.15.
@test "urgent data of a client on a Unix socket arrive inline, none lost" {
	session unix same send ab urgent c send de urgent f urgent g 2:expect abcdefg \
		2:send ab 2:urgent c 2:send de 2:urgent f expect abcdef \
		send-random 300K 1 urgent x send y 2:expect-random 300K 1 2:expect xy \
		shutdown 2:expect-eof 2:close expect-eof
	session unix tcp send ab urgent c shutdown 2:expect abc 2:expect-eof 2:close expect-eof
	session tcp unix send ab urgent c shutdown 2:expect abc 2:expect-eof 2:close expect-eof
}

@test "after a clean end, what was queued still arrives" {
	session tcp same shutdown 2:expect-eof 2:send-random 1M 5 2:close expect-exit 0 expect-random 1M 5 expect-eof
	session tcp same 2:shutdown expect-eof send-random 1M 5 close expect-exit 0 2:expect-random 1M 5 2:expect-eof
}

# ---- what a launcher leaves open ----

# left_open COMMAND...: sets $LEFT to the paths of descriptors 3, 77, 254 and 300 as far as a session still has them
# that COMMAND, the program itself in the end, was started with
left_open() {
	PROGRAM=(bash -c 'exec "$@" 3</dev/zero 77</dev/zero 254</dev/zero 300</dev/zero' bash "$@" -l stderr -a "$SCRATCH/acl")
	session_beside tcp same send x 2:expect x touch reached wait-file go shutdown 2:expect-eof 2:close expect-eof
	reached
	LEFT=$(cd "/proc/$PROGRAM_PID/fd" && find . -lname /dev/zero | sort | paste -sd ' ')
	go
}

@test "descriptors above 2 are closed" {
	left_open "$BIN"
	[ -z "$LEFT" ] || fail "open: $LEFT"
}

# bats test_tags=no-valgrind,native
@test "descriptors above 2 are closed where close_range(2) is refused, or there is no /proc either" {
	require strace
	export ASAN_OPTIONS=detect_leaks=0
	left_open strace -D -qq -o "$SCRATCH/trace" -e trace=close_range,/^open -e inject=close_range:error=ENOSYS "$BIN"
	[ -z "$LEFT" ] || fail "open: $LEFT"
	grep -q INJECTED "$SCRATCH/trace"
	call=$(sed -n 's|(.*"/proc/self/fd".*||p' "$SCRATCH/trace") # open or openat
	first=$(grep "^$call(" "$SCRATCH/trace" | grep -n '"/proc/self/fd"' | cut -d : -f 1)
	left_open strace -D -qq -o "$SCRATCH/trace" -e inject=close_range:error=EPERM \
		-e "inject=$call:error=ENOENT:when=$first..$((first + 1))" "$BIN"
	[ "$(grep -cE '^open.*"/(proc/self|dev)/fd".*INJECTED' "$SCRATCH/trace")" = 2 ]
	[ "$LEFT" = ./300 ] || fail "open: $LEFT" # nobody says that there is a 300
}

# ---- resets ----

@test "a reset of an idle session is passed on" {
	session tcp same 2:reset expect-reset
	closed 'up=0 down=0 reason=reset'
	session tcp same reset 2:expect-reset
	session tcp same shutdown 2:expect-eof 2:reset expect-reset
	session tcp same 2:shutdown expect-eof reset 2:expect-reset
	session tcp tcp 2:reset expect-reset
}

# acknowledged: the program's kernel has all that endpoint sent whose address stands in peer.out
acknowledged() {
	local own
	own=$(grep '^127' "$SCRATCH/peer.out") || return 1
	ss -Htn src "$own" | awk '$3 != 0 { left = 1 } END { exit NR == 0 || left }'
}

# reset_behind FROM TO WORD...: 4 MiB on their way when FROM resets; the words are said before. All of it
# is in the program or its kernel by then: what is still in the sender's is lost by its reset, rightly.
reset_behind() {
	session_beside tcp same "${@:3}" "$1:send-random" 4M 5 "$1:local" touch reached wait-file go "$1:reset" \
		"$2:expect-random" 4M 5 "$2:expect-reset"
	reached
	wait_for acknowledged
	go
	closed "$([ "$1" = 1 ] && echo 'up=4194304 down=.*' || echo 'up=.* down=4194304') reason=reset"
}

@test "4 MiB in flight when one side resets: delivered, then the reset" {
	reset_behind 2 1
	reset_behind 1 2
	# after a half-close of the other side
	reset_behind 2 1 shutdown 2:expect-eof
	reset_behind 1 2 2:shutdown expect-eof
	# as much waits the other way
	reset_behind 2 1 fill 1 100
	reset_behind 1 2 2:fill 1 100
	# the other side reads slowly
	reset_behind 2 1 pace 262144 20
	reset_behind 1 2 2:pace 262144 20
}

@test "the reset waits for a reader who sends first" {
	session_beside tcp same send-random 1M 1 local touch reached wait-file go reset 2:send-random 32M 2 \
		2:expect-random 1M 1 2:expect-reset
	reached
	wait_for acknowledged
	go
}

@test "a reset of a side whose reader is stalled is passed on once all is read" {
	session tcp same fill 1 100 2:fill 2 100 reset 2:skip 1M 2:reset expect-exit 0
	closed '.* reason=reset'
}

@test "writing to a side that has closed is a reset to the writer" {
	# endpoint 2 has heard the end already; what it then sends has no reader
	"$TOOLS/peer" -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec-unix send "$(request 4 1 @2 127.0.0.1 '')" \
		expect "$GRANTED" 2:accept send last close 2:expect last 2:expect-eof 2:send more expect-exit 0 \
		-- "${PROGRAM[@]}"
	closed 'up=4 down=0 reason=reset'
}

@test "a reset told on a pipe or Unix socket is exit status 1" {
	for channel in 'unix same' 'pipe pipe' 'unix unix' 'tcp pipe'; do
		session $channel 2:send data expect data 2:reset expect-eof expect-exit 1
		closed 'up=0 down=4 reason=reset'
	done
	session pipe tcp 2:send data expect data 2:reset expect-reset expect-exit 0
	session tcp same 2:send data expect data 2:reset expect-reset expect-exit 0
}

# bats test_tags=no-valgrind,native
@test "an error that a router sent is a reset, behind the data" {
	require strace
	for error in EACCES EHOSTDOWN EPROTO; do
		PROGRAM=(strace -qq -o "$SCRATCH/trace" -e "inject=recvfrom:error=$error:when=3+" "$BIN" -l stderr -a "$SCRATCH/acl")
		ASAN_OPTIONS=detect_leaks=0 session tcp same 2:send hello expect hello 2:send x expect-reset expect-exit 0
		closed 'up=0 down=5 reason=reset'
	done
	for error in EAGAIN ENOMEM; do # those are our own
		PROGRAM=(strace -qq -o "$SCRATCH/trace" -e "inject=shutdown:error=$error" "$BIN" -l stderr -a "$SCRATCH/acl")
		ASAN_OPTIONS=detect_leaks=0 session tcp same 2:shutdown expect-reset expect-exit 1
		closed 'up=0 down=0 reason=error'
	done
}

@test "the data before a reset are delivered to pipes and Unix sockets too" {
	for channel in 'unix same' 'pipe pipe'; do
		session_beside $channel 2:send-random 128K 5 2:local touch reached wait-file go 2:reset \
			expect-random 128K 5 expect-eof expect-exit 1
		reached
		wait_for acknowledged
		go
	done
}

@test "a pipe without its reader is a reset, seen while idle, behind the data" {
	session pipe pipe send hello close 2:expect hello 2:expect-reset
	closed 'up=5 down=0 reason=reset'
	on_pipes expect hello touch "$SCRATCH/reached" expect-reset
	wait_for test -e "$SCRATCH/reached"
	stop reader # and fd 0 stays open, with a writer who has nothing to say
	status_of program
	status_of server
	exec {in}>&-
}

# ---- abnormal ends ----

@test "SIGKILL in mid-transfer: both ends see a reset, no clean end" {
	run ! session tcp same send-random 1M 1 2:expect-random 512K 1 kill KILL expect-reset expect-exit 137 2:discard
	[[ $output == *'2:discard: expected end of input, got a reset'* ]]
	run ! session tcp same 2:send-random 1M 1 expect-random 512K 1 kill KILL 2:expect-reset expect-exit 137 discard
	[[ $output == *'discard: expected end of input, got a reset'* ]]
}

@test "a signal ends the session by resets" {
	for name in TERM INT HUP QUIT USR1 USR2; do
		session tcp same send a 2:expect a kill "$name" expect-reset 2:expect-reset expect-exit 0
		closed 'up=1 down=0 reason=signal'
	done
	session pipe pipe send a 2:expect a kill TERM expect-eof 2:expect-reset expect-exit 1
	session unix same send a 2:expect a kill TERM expect-eof 2:expect-reset expect-exit 1
}

@test "a signal in mid-transfer ends it at once" {
	session tcp same fill 1 100 2:fill 2 100 kill TERM expect-exit 0
	closed '.* reason=signal'
	start server "$TOOLS/peer" listen 127.0.0.1:0 accept discard
	port=$(port_of server)
	run ! "$TOOLS/peer" -2 "$SCRATCH/log" exec-tcp send "$(request 4 1 "$port" 127.0.0.1 '')" expect "$GRANTED" \
		send-random 64M 1 kill TERM send-random 1024M 1 -- "${PROGRAM[@]}"
	[[ $output == *'cannot send after'* ]]
	local status=0
	status_of server || status=$?
	[ "$status" != 0 ]
	grep -q 'got a reset' "$SCRATCH/server.err"
}

@test "a signal ends the wait for a reader who does not read" {
	session tcp same fill 1 100 reset kill TERM expect-exit 0
	closed '.* reason=signal'
}

@test "the idle limit resets both sides; on a pipe it is exit status 1" {
	idle_limit 1
	session tcp same send a 2:expect a expect-reset 2:expect-reset
	closed 'up=1 down=0 reason=idle'
	session pipe pipe expect-eof 2:expect-reset expect-exit 1
	closed 'up=0 down=0 reason=idle'
}

@test "traffic in one direction, the other one stalled, is not idle" {
	idle_limit 1
	session tcp same fill 1 100 2:trickle 250 abcdef expect abcdef 2:expect-filled 1 1 shutdown 2:expect-eof \
		2:close expect-eof
}

@test "the idle limit ends the wait before a reset" {
	idle_limit 1
	# endpoint 2 never reads and goes on sending: that is no progress. The shell is what the peer kills when it cannot send:
	# the program has yet to write its line.
	PROGRAM=(sh -c '"$@"; exit $?' sh "${PROGRAM[@]}")
	run ! session tcp same fill 1 100 reset 2:trickle 100 0123456789abcdefghijklmnop
	[[ $output == *'2:trickle: cannot send'* ]]
	wait_for grep -q '^close' "$SCRATCH/log" # the peer has not waited for the end
	closed '.* reason=reset'
}

# ---- what it costs ----

anonymous() {
	awk '/^RssAnon:/ { print $2 }' "/proc/$PROGRAM_PID/status"
}

anonymous_below() {
	[ "$(anonymous)" -lt "$1" ]
}

# bats test_tags=no-valgrind
@test "at most 4 MiB is held a direction, and given back when traffic pauses" {
	session_beside tcp same touch reached wait-file go shutdown 2:close
	reached
	idle=$(anonymous)
	go
	session_beside tcp same pump 1 2 64M 1 fill 2 100 touch reached wait-file go 2:expect-filled 1 2 \
		shutdown 2:expect-eof 2:close expect-eof
	reached
	anonymous_below "$((idle + 4096 + 256))"
	go
	session_beside tcp same pump-duplex 1 2 64M 1 2 0 touch reached wait-file go shutdown 2:expect-eof 2:close expect-eof
	reached
	SECONDS=0
	wait_for anonymous_below "$((idle + 64))"
	[ "$SECONDS" -le 2 ]
	go
}

ticks() {
	awk '{ print $14 + $15 }' "/proc/$PROGRAM_PID/stat"
}

# quiet IN OUT WORD...: in the state that the words lead to, the program sleeps
quiet() {
	session_beside "$@"
	reached
	local before
	before=$(ticks)
	sleep 0.3 # what is measured
	[ "$(($(ticks) - before))" -lt 10 ] || fail "busy: $*"
	go
}

@test "no state is a busy loop" {
	local halt=(touch reached wait-file go)
	quiet unix same send a close 2:expect a 2:expect-eof "${halt[@]}" 2:close
	quiet unix same fill 1 100 close "${halt[@]}" 2:expect-filled 1 1 2:expect-eof 2:close
	quiet pipe pipe fill 1 100 shutdown "${halt[@]}" 2:expect-filled 1 1 2:expect-eof 2:send x 2:close expect x expect-eof
	quiet tcp same 2:shutdown expect-eof send-random 5M 1 shutdown "${halt[@]}" 2:expect-random 5M 1 2:expect-eof
	quiet tcp same shutdown 2:expect-eof 2:send-random 5M 1 2:shutdown "${halt[@]}" expect-random 5M 1 expect-eof
	quiet tcp same fill 1 100 reset "${halt[@]}" 2:reset
	quiet tcp same send-random 100K 1 reset "${halt[@]}" 2:reset
}

# ---- inherited descriptors ----

# flags_restored STATUS SERVER-WORD...
flags_restored() {
	local status=0
	on_pipes "${@:2}"
	status_of server
	exec {in}>&-
	status_of program || status=$?
	status_of reader
	[ "$status" -eq "$1" ]
	rm "$SCRATCH/to"
	[ "$(wc -l <"$SCRATCH/flags")" -eq 4 ]
	[ "$(sed -n 1,2p "$SCRATCH/flags")" = "$(sed -n 3,4p "$SCRATCH/flags")" ] || fail "$(cat "$SCRATCH/flags")"
}

@test "the flags of an inherited pipe are as they were, however the session ends" {
	flags_restored 0 expect hello send goodbye
	[ "$(tail -c 7 "$SCRATCH/reader.out")" = goodbye ]
	flags_restored 1 expect hello send goodbye reset
	idle_limit 1
	flags_restored 1 expect hello expect-reset
}

# on_shared NAME PEER: a session to PEER, whose standard output is the pipe $shared
on_shared() {
	printf %b "$(request 4 1 "$(port_of "$2")" 127.0.0.1 '')" >"$SCRATCH/$1.in"
	# shellcheck disable=SC2016 # the inner shell expands
	start "$1" bash -c 'exec "$@" <"$0" >&'"$shared" "$SCRATCH/$1.in" "${PROGRAM[@]}"
	wait_for test -e "$SCRATCH/$2"
}

@test "the idle limit holds on a pipe that another session has made blocking again" {
	mkfifo "$SCRATCH/fifo"
	exec {shared}<>"$SCRATCH/fifo"
	start short "$TOOLS/peer" listen 127.0.0.1:0 accept touch "$SCRATCH/short" wait-file "$SCRATCH/go" close
	start long "$TOOLS/peer" listen 127.0.0.1:0 accept touch "$SCRATCH/long" wait-file "$SCRATCH/gone" fill 1 100
	on_shared first short
	idle_limit 1
	on_shared second long
	touch "$SCRATCH/go"
	status_of first
	touch "$SCRATCH/gone"
	local status=0
	status_of second || status=$?
	[ "$status" = 1 ]
	grep -q '^close .* reason=idle$' "$SCRATCH/second.err"
	status_of long
}

# What a session costs, against tests/bounds: system calls, instructions, memory, the size of the binary. Nothing here depends on
# how busy the machine is. The builds are the static and the default one, whatever BIN is.

load helper

STATIC=${STATIC:-${TESTS%/*}/build/static/socks4-stdio}
DEFAULT=${DEFAULT:-${TESTS%/*}/socks4-stdio}
NOSANDBOX=${NOSANDBOX:-${TESTS%/*}/build/nosandbox/socks4-stdio}

setup() {
	require "$STATIC" "$NOSANDBOX"
	LIST=$SCRATCH/list
	export STATIC DEFAULT NOSANDBOX
	list 10
}

# list LINES: of which the last permits, so that each is read and judged
list() {
	awk -v n="$1" 'BEGIN {
		for (i = 1; i < n; i++)
			printf "deny connect from 198.51.%d.%d to .site%d.example port 25,80\n", int(i / 250) % 250, i % 250, i
		print "permit from 127.0.0.0/8"
	}' >"$LIST"
}

# within NAME MEASURED: at most what tests/bounds says, of this version of gcc if it says so of that
within() {
	local most
	most=$(awk -v name="$1" -v special="$1/gcc-$(gcc -dumpversion)" '
		$1 == name && most == "" || $1 == special { most = $2 } END { print most }' "$TESTS/bounds")
	echo "$1: $2 of $most"
	[ -n "$most" ]
	[ "$2" -gt 0 ]
	[ "$2" -le "$most" ]
}

# session MIB COMMAND...: a CONNECT, a byte each way, MIB down, both ends; without an environment, whose size varies
session() {
	local mib=$1
	shift
	"$TOOLS/peer" -t 60 2:listen 127.0.0.1:0 exec-tcp send "$(request 4 1 @2 127.0.0.1 '')" expect '\0\x5a\0\0\0\0\0\0' \
		2:accept send x 2:expect x 2:send y expect y pump 2 1 "${mib}M" 7 shutdown 2:expect-eof 2:close expect-eof -- \
		env -i "$@"
}

# calls BUILD TRACE: of a session; standard error is as under a launcher
calls() {
	session 0 strace -o "$2" "$1" -a "$LIST" -l syslog
	sed -i '/^[-+]/d' "$2" # signals and the exit status
}

@test "system calls of a session, and no read a byte" {
	require strace
	in_lab || return "$status"
	local build
	start logd "$TOOLS/logd" "$SCRATCH/log"
	port_of logd
	for build in static default; do
		if [ $build = static ]; then
			calls "$STATIC" "$SCRATCH/trace"
		else
			calls "$DEFAULT" "$SCRATCH/trace"
		fi
		within $build-calls-reply "$(sed '/^sendto(1, "\\0Z/q' "$SCRATCH/trace" | wc -l)"
		within $build-calls "$(wc -l <"$SCRATCH/trace")"
		# the list in two reads, the request in one
		[ "$(sed '/^sendto(1, "\\0Z/q' "$SCRATCH/trace" | grep -c '^recvfrom(0, ')" -eq 1 ]
		[ "$(grep -c '^read(.*"deny connect' "$SCRATCH/trace")" -eq 1 ]
		[ "$(grep -A 9 '^open.*/list"' "$SCRATCH/trace" | grep -c '^read(')" -eq 2 ]
	done
	[ "$(grep -c 'close .* up=1 down=1 .* reason=eof$' "$SCRATCH/log")" -eq 2 ]
}

# instructions MIB: that a session takes, of the program itself
instructions() {
	rm -f "$SCRATCH/callgrind"
	session "$1" valgrind -q --tool=callgrind --callgrind-out-file="$SCRATCH/callgrind" "$NOSANDBOX" -a "$LIST" -l none >/dev/null
	sed -n 's/^summary: //p' "$SCRATCH/callgrind"
}

@test "instructions of a session, of a line of the list, of a MiB" {
	require valgrind
	whole=$(instructions 0)
	within instructions "$whole"
	within instructions-mib $((($(instructions 32) - whole) / 32))
	list 1010
	within instructions-line $((($(instructions 0) - whole) / 1000))
}

# pss PROCESS...: their sum in KiB
pss() {
	local process
	for process; do
		sed -n 's/^Pss: *\([0-9]*\) kB$/\1/p' "/proc/$process/smaps_rollup"
	done | awk '{ sum += $1 } END { print sum }'
}

# launch PROGRAM...: behind every session; port and there: where sessions are asked for, and what for
launch() {
	start destination "$TOOLS/serve" 0 "$@"
	start launcher env -i "$TOOLS/serve" 0 "$STATIC" -a "$LIST" -l none
	there=$(port_of destination)
	port=$(port_of launcher)
}

# open_session: its descriptor is fd
open_session() {
	local reply
	exec {fd}<>"/dev/tcp/127.0.0.1/$port"
	printf %b "$(request 4 1 "$there" 127.0.0.1 '')" >&"$fd"
	reply=$(head -c 8 <&"$fd" | od -An -v -tx1)
	[ "$reply" = ' 00 5a 00 00 00 00 00 00' ]
}

# hold COUNT: idle sessions, each of which has carried a byte each way; SESSIONS are their processes
hold() {
	local count
	launch cat
	for ((count = 0; count < $1; count++)); do
		open_session
		printf x >&"$fd"
		[ "$(head -c 1 <&"$fd")" = x ]
	done
	mapfile -t SESSIONS < <(pgrep -P "${PIDS[launcher]}")
	[ ${#SESSIONS[@]} -eq "$1" ]
}

@test "memory of an idle session, alone and among twenty" {
	hold 1
	within idle-one "$(pss "${SESSIONS[@]}")"
	stop_all
	hold 20
	within idle-twenty $(($(pss "${SESSIONS[@]}") / 20))
}

@test "memory at its peak" {
	launch head -c 268435456 /dev/zero
	open_session
	[ "$(wc -c <&"$fd")" -eq 268435456 ]
	within peak "$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB$/\1/p' "/proc/$(pgrep -P "${PIDS[launcher]}")/status")"
}

@test "size of the static build" {
	within size "$(stat -c %s "$STATIC")"
}

@test "the large buffer comes in huge pages" {
	require strace
	session 64 strace -e trace=madvise -o "$SCRATCH/trace" "$STATIC" -a "$LIST" -l none
	grep -q '^madvise(0x[0-9a-f]*, 4194304, MADV_HUGEPAGE) ' "$SCRATCH/trace" || fail "$(cat "$SCRATCH/trace")"
}

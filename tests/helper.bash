# What the bats files share; tests/README.md has the list. Sourced, at the top level of a file, by `load helper`.
# shellcheck shell=bash

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOOLS=$TESTS/bin
BIN=$(realpath -m "${BIN:-${TESTS%/*}/socks4-stdio}")
SCRATCH=${BATS_TEST_TMPDIR:-${BATS_FILE_TMPDIR:-${SCRATCH-}}}
# How many times longer than by itself a session may take: tests/memcheck says more.
SLOW=${SLOW:-1}
GRANTED='\0\x5a\0\0\0\0\0\0' REJECTED='\0\x5b\0\0\0\0\0\0'
export TESTS TOOLS BIN SCRATCH SLOW GRANTED REJECTED
umask 022

! declare -F bats_require_minimum_version >/dev/null || bats_require_minimum_version 1.5.0

# For a file that does not define its own.
teardown() {
	stop_all
}

declare -gA PIDS=() # of what `start` has started, by name; memory, so that a lab's process numbers never mix with ours

fail() {
	printf '%s\n' "$*" >&2
	return 1
}

start() {
	local name=$1
	shift
	[ "$1" != on ] || set -- ip netns exec "$HOSTS_PREFIX-$2" "${@:3}"
	rm -f "$SCRATCH/$name.out"
	{
		trap - ERR EXIT
		exec "$@" </dev/null >"$SCRATCH/$name.out" 2>"$SCRATCH/$name.err" 3>&-
	} &
	PIDS[$name]=$!
	# A job that is stopped before its traps are gone would play the end of the test that bats has set as a trap.
	until [ -e "$SCRATCH/$name.out" ] || gone "${PIDS[$name]}"; do :; done
}

wait_for() {
	local end=$((SECONDS + 30 * SLOW))
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || fail "gave up waiting for: $*" || return 1
		sleep 0.01
	done
}

# lasts LEAST MOST COMMAND...: so many milliseconds; MOST is for a session by itself, and multiplied by $SLOW
lasts() {
	local began=${EPOCHREALTIME/[.,]/} took
	"${@:3}"
	took=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
	[[ $took -ge $1 && $took -lt $(($2 * SLOW)) ]] || fail "took $took ms: ${*:3}"
}

gone() {
	! kill -0 "$1" 2>/dev/null
}

line_or_gone() {
	[ "$(wc -l <"$SCRATCH/$1.out")" -gt 0 ] || gone "${PIDS[$1]}"
}

port_of() {
	local line
	wait_for line_or_gone "$1" || return 1
	read -r line <"$SCRATCH/$1.out" || fail "$1 ended without a word: $(cat "$SCRATCH/$1.err")" || return 1
	printf '%s\n' "$line"
}

status_of() {
	local pid=${PIDS[$1]}
	wait_for gone "$pid" || return 1
	unset "PIDS[$1]"
	wait "$pid"
}

# stop NAME: SIGTERM, and SIGKILL for what does not heed it
stop() {
	local pid=${PIDS[$1]} tries=300
	unset "PIDS[$1]"
	kill "$pid" 2>/dev/null || return 0
	until gone "$pid"; do
		[ "$((tries--))" -gt 0 ] || kill -KILL "$pid"
		sleep 0.01
	done
	wait "$pid" 2>/dev/null || return 0
}

stop_all() {
	local name
	for name in "${!PIDS[@]}"; do
		stop "$name"
	done
}

# request VN CD PORT A.B.C.D USERID [NAME]: a request as \xHH for peer and printf %b. PORT @2 is \p2, for peer alone.
request() {
	local text="\\p${3#@}"
	[[ $3 == @* ]] || text=$(printf '\\x%02x\\x%02x' $(($3 >> 8)) $(($3 & 255)))
	# shellcheck disable=SC2046,SC2086 # one word a byte is wanted
	printf '\\x%02x\\x%02x%s\\x%02x\\x%02x\\x%02x\\x%02x%s\\x00' "$1" "$2" "$text" ${4//./ } "$(hex "$5")"
	[ $# -lt 6 ] || printf '%s\\x00' "$(hex "$6")"
	printf '\n'
}

hex() {
	printf %s "$1" | od -An -v -tx1 | tr -d '\n' | sed 's/ /\\x/g'
}

require() {
	local program
	for program; do
		command -v "$program" >/dev/null || lack "$program is missing" || return 1
	done
}

require_root() {
	unshare --mount true 2>/dev/null || lack 'needs root, for namespaces of its own'
}

# lack REASON
lack() {
	[ "${STRICT:-0}" != 1 ] || fail "$1" || return 1
	skip "$1"
}

lab() {
	require_root && "$TESTS/lab" "$@" 3>&-
}

# in_lab: `in_lab || return "$status"` has the rest of a test run on a lab machine; $status is then how that ended
in_lab() {
	inside >"$SCRATCH/inside"
	export status=0
	lab bash "$SCRATCH/inside" || status=$?
	return 1
}

# inside: a script that begins the test anew there, with its setup, and with all functions and exported variables; $LAB_FIRST comes
# before
inside() {
	declare -f
	cat <<-END
		declare -A PIDS=()
		in_lab() { :; }
		in_boot() { :; }
		bats_test_begin() { :; } # with which bats begins each test
		skip() { echo "skipped: \$*" >&2; exit 1; } # which has been seen to before
		set -eE
		trap 'echo "failed: \$BASH_COMMAND, in \${FUNCNAME[*]}" >&2' ERR
		${LAB_FIRST-}
		setup
		$BATS_TEST_NAME
	END
}

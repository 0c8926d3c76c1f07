# The command line, exit statuses, and what stands on fd 0, 1 and 2 at the start.

load helper

setup() {
	ACL=$SCRATCH/acl
	echo 'permit from any' >"$ACL"
}

# bad_usage WORD ARGUMENT...: exit 2, the word in the message, nothing on stdout
bad_usage() {
	local word=$1
	shift
	run -2 --separate-stderr "$BIN" "$@"
	[ -z "$output" ] || fail "$*: wrote $output" || return 1
	# shellcheck disable=SC2154
	case $stderr in *"$word"*) ;; *) fail "$*: $stderr" ;; esac
}

@test "bad usage: exit 2, a message, nothing on stdout" {
	local long
	long=$(printf 'u%.0s' {1..256})
	bad_usage '-Z' -Z
	bad_usage '-a needs' -a
	bad_usage '-4 and -6' -4 -6
	bad_usage '-A needs' -A ::1
	bad_usage '-A needs' -A nowhere
	bad_usage '-b needs' -b localhost
	bad_usage 'twice' -b 127.0.0.1 -b 127.0.0.2
	bad_usage '-b needs an address of the family' -6 -b 127.0.0.1
	bad_usage '-b needs an address of the family' -4 -b ::1
	bad_usage '-l takes' -l file
	bad_usage '-P' -P 10.0.0.1/8
	bad_usage '-P has no valid prefix length: 10.0.0.0/33' -P 192.0.2.1,10.0.0.0/33
	bad_usage '-P has a zone: leave it out, a prefix covers every interface: fe80::1%lo' -P fe80::1%lo
	bad_usage '-r needs' -r 5-4
	bad_usage '-r needs' -r 0-9
	bad_usage '-r needs' -r 1-65536
	bad_usage '-r needs' -r 00001024-1025
	bad_usage '-P' -P "$long"
	bad_usage '-w takes' -w lunch=1
	bad_usage '-w takes' -w ''
	bad_usage '-w needs' -w idle
	bad_usage '-w needs' -w idle=
	bad_usage '-w needs' -w idle=-1
	bad_usage '-w needs' -w idle=+1
	bad_usage '-w needs' -w idle=1x
	bad_usage '-w needs' -w idle=x
	bad_usage '-w needs' -w idle=1000000001
	bad_usage 'operand' surplus
	bad_usage 'of the server' -B
	bad_usage 'of the server' -F
	bad_usage 'of the server' -u alice
	bad_usage 'of the client' -c proxy -a list host 1
	bad_usage 'of the client' -c proxy -P 10.0.0.0/8 host 1
	bad_usage 'host and a port' -c proxy host
	bad_usage 'host and a port' -c proxy host 1 -4
	bad_usage 'of the client' -t -c proxy
	bad_usage 'mutually exclusive' -c proxy -t
	bad_usage '-u is longer' -c proxy -u "$long" host 1
	bad_usage '1 to 255 bytes' -c proxy "$long" 1
	bad_usage '-c needs' -c '[::1' host 1
	bad_usage '-c needs' -c '[::1]1' host 1
	bad_usage '-c needs' -c '' host 1
	bad_usage '-c needs' -c "$long" host 1
	bad_usage '-c has' -c proxy:0 host 1
	bad_usage '-c has a path that is too long' -c "/$long" host 1
	bad_usage '-c has a path that is too long' -c "/${long:0:107}" host 1
	bad_usage '-c needs proxy[:port]' -c "[/${long:0:200}]" host 1
	bad_usage '-c needs proxy[:port]' -c '[/run/proxy]:1080' host 1
	for option in -4 -6 '-b127.0.0.1'; do
		bad_usage 'do not apply to a proxy on a Unix socket' -c /socket "$option" host 1
	done
	bad_usage 'no operands' -t connect
	bad_usage 'connect or bind' -t fly alice local host 1
	bad_usage 'longer than 255' -t connect "$long" local host 1
	bad_usage '1 to 255 bytes' -t connect alice local '' 1
	bad_usage '1 to 255 bytes' -t connect alice local "$long" 1
	bad_usage 'address or local' -t connect alice host host 1
	bad_usage 'port is' -t connect alice local host 65536
}

@test "no limit, and the longest one" {
	for limit in 0 1000000000; do
		"$TOOLS/peer" -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec-tcp trickle 10 "$(request 4 1 @2 127.0.0.1 '')" \
			expect '\0\x5a\0\0\0\0\0\0' 2:accept pause 50 send up 2:expect up 2:close expect-eof -- \
			"$BIN" -l stderr -a "$ACL" -i -w "request=$limit,ident=$limit,connect=$limit,bind=$limit,idle=$limit"
		grep -q 'reason=eof$' "$SCRATCH/log"
		rm "$SCRATCH/log"
	done
}

@test "an answer of -t that cannot be written: exit 2" {
	run -2 sh -c '"$0" -t -a "$1" connect alice local 192.0.2.1 80 >/dev/full' "$BIN" "$ACL"
	[ "$output" = 'socks4-stdio: cannot write the answer' ]
	run -2 sh -c 'yes "connect alice local 192.0.2.1 80" | head -n 1000 | "$0" -t -a "$1" - >/dev/full' "$BIN" "$ACL"
	[ "$output" = 'socks4-stdio: cannot write the answer' ] # once
}

@test "-V and --version print name and version" {
	for option in -V --version -qV; do
		run -0 --separate-stderr "$BIN" "$option"
		[[ $output =~ ^socks4-stdio\ [0-9.]+$ ]]
		[ -z "$stderr" ]
	done
	run -1 sh -c '"$0" -V >/dev/full' "$BIN"
}

@test "-h and --help print a line for each option" {
	for option in -h --help; do
		run -0 --separate-stderr "$BIN" "$option" -Z
		[ -z "$stderr" ]
		[[ ${lines[0]} == usage:* ]]
		for letter in 4 6 a A b B c F h i I l n o P q r t u v V w; do
			grep -Eq "^  (-., )?-${letter}[ ,]" <<<"$output" || fail "no line for -$letter"
		done
	done
	run -1 sh -c '"$0" -h >/dev/full' "$BIN"
}

@test "a wrong long word is named whole" {
	bad_usage 'no such option: --verbose' --verbose
	bad_usage 'no such option: --help=all' -q --help=all
	bad_usage 'no such option: -Z' -qZ
	bad_usage 'no such option: --' -q-
	run -2 "$BIN" -t -a --help
	[[ $output == *'--help: No such file'* ]]
	bad_usage 'unexpected operand: --help' -- --help
}

@test "started by hand, on a terminal, the server explains itself" {
	require script
	for options in '' '-l stderr' '-l none -n'; do
		run -2 script -qec "'$BIN' $options" /dev/null </dev/null
		[[ ${lines[0]} == *'standard input is a terminal'*'-t checks'*'-c is the client'*'socks4-stdio(8)'* ]]
	done
	run -2 script -qec "'$BIN' 2>'$SCRATCH/errors'" /dev/null </dev/null
	[ -z "$output" ]
	grep -q 'standard input is a terminal' "$SCRATCH/errors"
	run -0 script -qec "'$BIN' -V" /dev/null </dev/null
	run -0 script -qec "'$BIN' -t -a '$ACL'" /dev/null </dev/null
	run -1 script -qec "'$BIN' -c 127.0.0.1:1 192.0.2.1 80" /dev/null </dev/null
	[[ $output == *'cannot be reached'* ]]
}

@test "options end at the first operand" {
	run -2 --separate-stderr "$BIN" surplus -V
	[ -z "$output" ]
	run -0 "$BIN" -t -a "$ACL" -- connect alice local 192.0.2.1 80
	[ "$output" = "permit 192.0.2.1 80 by $ACL:1: permit from any" ]
}

# bats test_tags=no-valgrind
@test "fd 0 or 1 closed: exit 1 and not a word" {
	run -1 sh -c '"$0" -l none <&-' "$BIN"
	[ -z "$output" ]
	run -1 sh -c '"$0" -a "$1" </dev/null >&-' "$BIN" "$ACL"
	[ -z "$output" ]
}

# bats test_tags=no-valgrind
@test "fd 2 closed: the session goes on, and no later descriptor takes its place" {
	"$TOOLS/peer" 2:listen 127.0.0.1:0 exec-tcp send "$(request 4 1 @2 127.0.0.1 '')" expect '\0\x5a\0\0\0\0\0\0' \
		2:accept 2:close expect-eof -- sh -c 'exec 2>&-; exec "$0" -a "$1"' "$BIN" "$ACL"
	run -2 sh -c '"$0" -l stderr </dev/null 2>&-' "$BIN"
	[ -z "$output" ]
}

@test "fd 2 is the client's: not a word on it, -l stderr is bad usage" {
	"$TOOLS/peer" -e exec-tcp expect-closed expect-exit 2 -- "$BIN" -l stderr
	"$TOOLS/peer" -e exec-unix expect-closed expect-exit 2 -- "$BIN" -Z
}

@test "fd 2 is the client's where there is no /dev/null, as in a chroot" {
	require_root
	"$TOOLS/peer" -e exec-tcp send "$(request 4 1 80 0.0.0.0 '')" expect "$REJECTED" expect-eof -- \
		unshare --mount --propagation private sh -c 'mount -t tmpfs none /dev && exec "$@"' sh "$BIN" -a "$ACL"
}

@test "a listening, an unconnected and a datagram socket on fd 0: system, exit 1" {
	for kind in listening unconnected datagram; do
		run -0 --separate-stderr "$TOOLS/peer" exec "$kind" same expect-exit 1 -- "$BIN" -l stderr -a "$ACL"
		[[ $stderr == 'refuse code=91 reason=system' ]]
	done
}

@test "a client that has reset before the start is no failure of ours" {
	# The kernel lists a connection until its reset has come.
	"$TOOLS/peer" -2 "$SCRATCH/log" exec-tcp reset wait-file "$SCRATCH/log" expect-exit 0 -- \
		sh -c 'inode=$(stat -L -c %i /dev/fd/0)
			while grep -q " $inode " /proc/net/tcp; do :; done
			exec "$0" -l stderr -a "$1"' "$BIN" "$ACL"
	grep -q 'reason=client-left$' "$SCRATCH/log"
}

@test "a file as input, a regular one as output" {
	"$TOOLS/peer" listen 127.0.0.1:0 accept expect hello send world shutdown expect-eof >"$SCRATCH/port" 3>&- &
	wait_for test -s "$SCRATCH/port"
	printf '%b' "$(request 4 1 "$(cat "$SCRATCH/port")" 127.0.0.1 '')hello" >"$SCRATCH/in"
	"$BIN" -l none -a "$ACL" <"$SCRATCH/in" >"$SCRATCH/result"
	wait $!
	[ "$(od -An -tx1 "$SCRATCH/result" | tr -d ' \n')" = 005a000000000000776f726c64 ]
}

@test "a broken or missing list: every line reported, 91, exit 2" {
	printf 'permit\nfly from any\npermit from any\ndeny to 10.0.0.1/8\n' >"$ACL"
	"$TOOLS/peer" -2 "$SCRATCH/log" exec-tcp expect "$REJECTED" expect-eof expect-exit 2 -- "$BIN" -l stderr -a "$ACL"
	grep -q "^$ACL:1: " "$SCRATCH/log"
	grep -q "^$ACL:2: " "$SCRATCH/log"
	grep -q "^$ACL:4: " "$SCRATCH/log"
	run -1 grep -q "^$ACL:3: " "$SCRATCH/log"
	grep -q '^refuse src=127.0.0.1:[0-9]* code=91 reason=broken-list$' "$SCRATCH/log"
	"$TOOLS/peer" -2 "$SCRATCH/log" exec-tcp expect "$REJECTED" expect-eof expect-exit 2 -- "$BIN" -l stderr -a "$SCRATCH/none"
	grep -q '/none: No such file or directory' "$SCRATCH/log"
}

@test "a signal before the grant: 91, system, exit 1" {
	# BIND tells when it waits; env: whatever the launcher has blocked
	for launcher in env 'env --block-signal=TERM,ALRM'; do
		rm -f "$SCRATCH/log"
		# shellcheck disable=SC2086
		"$TOOLS/peer" -2 "$SCRATCH/log" exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\?\?\?\?\?\?' \
			kill TERM expect "$REJECTED" expect-eof expect-exit 1 -- $launcher "$BIN" -l stderr -a "$ACL"
		grep -q 'code=91 reason=system$' "$SCRATCH/log"
	done
}

@test "SIGHUP, SIGINT and SIGQUIT stay ignored, as under nohup" {
	for ignored in HUP INT QUIT; do
		"$TOOLS/peer" exec-tcp 2:listen 127.0.0.1:0 send "$(request 4 1 @2 127.0.0.1 '')" expect '\0\x5a\0\0\0\0\0\0' \
			2:accept kill "$ignored" pause 50 send up 2:expect up 2:send down expect down shutdown 2:expect-eof \
			2:close expect-eof -- sh -c 'trap "" "$0"; exec "$@"' "$ignored" "$BIN" -l none -a "$ACL"
	done
}

@test "bad usage of a server and a reader of its messages who is stuck: exit 2 after a second" {
	"$TOOLS/peer" -2 deaf:pipe exec-tcp expect-eof close expect-exit 2 -- "$BIN" --bogus
}

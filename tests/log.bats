# The log line (DESIGN.md section 6): keys, order, escapes, priorities; syslog, the journal, stderr, none.

load helper

setup() {
	LIST=$SCRATCH/list
	LOG=$SCRATCH/log
	box='( sandbox=none)?' # a build, or a kernel, without one says so
	secs='[0-9]+\.[0-9]{3}'
	echo 'permit from any to 127.0.0.1,::1,localhost port 1024-65535' >"$LIST"
}

# session USERID [OPTION...]: five bytes up, seven down; prints the destination's port
session() {
	"$TOOLS/peer" -2 "$LOG" exec-tcp 2:listen 127.0.0.1:0 send "$(request 4 1 @2 127.0.0.1 "$1")" \
		expect '\0\x5a\0\0\0\0\0\0' 2:accept send hello shutdown 2:expect hello 2:expect-eof \
		2:send goodbye 2:close expect goodbye expect-eof -- "$BIN" -a "$LIST" "${@:2}"
}

# told WORD...: what the program says on standard error to such a client is in $LOG
told() {
	rm -f "$LOG"
	"$TOOLS/peer" -2 "$LOG" "$@" -- "$BIN" -a "$LIST" -l stderr ${OPTION:+"$OPTION"}
}

# denied USERID NAME [OPTION...]: a request that the list refuses
denied() {
	"$TOOLS/peer" -2 "$LOG" exec-tcp send "$(request 4 1 80 0.0.0.1 "$1" "$2")" expect "$REJECTED" \
		expect-eof -- "$BIN" -a "$LIST" "${@:3}"
}

# broken [OPTION...]: a session whose list is not right
broken() {
	printf 'permit\nallow from any\n' >"$SCRATCH/broken"
	"$TOOLS/peer" -2 "$LOG" exec-tcp expect "$REJECTED" expect-eof close expect-exit 2 -- \
		"$BIN" -a "$SCRATCH/broken" "$@"
}

# logged PATTERN...: the log is these lines, extended regular expressions, and no others
logged() {
	local pattern number=0
	for pattern; do
		number=$((number + 1))
		sed -n "${number}p" "$LOG" | grep -Exq -- "$pattern" ||
			fail "line $number is not ${pattern:0:200}: $(cut -c1-300 "$LOG")" || return 1
	done
	[ "$(wc -l <"$LOG")" -eq $# ] || fail "not $# lines: $(cat "$LOG")"
}

# syslog_up [-s]: what it gets is in $SCRATCH/syslog
syslog_up() {
	start logd "$TOOLS/logd" "$@" "$SCRATCH/syslog"
	[ "$(port_of logd)" = /dev/log ]
}

# all_in_syslog: the lines of `session alice`, `denied alice example.org` and `broken`, each with its priority
all_in_syslog() {
	wait_for grep -q 'reason=broken-list' "$SCRATCH/syslog"
	sed -E 's/^(<[0-9]+>)socks4-stdio\[[0-9]+\]: /\1/' "$SCRATCH/syslog" >"$LOG"
	logged '<30>open cmd=connect .*' '<30>close cmd=connect .* reason=eof' '<29>refuse cmd=connect .* reason=denied' \
		"<27>$SCRATCH/broken:1: .*" "<27>$SCRATCH/broken:2: .*" '<27>refuse src=.* code=91 reason=broken-list'
}

# journal_is_log: what is said to the journal is in $LOG
journal_is_log() {
	touch "$LOG"
	JOURNAL_STREAM=$(stat -c %d:%i "$LOG")
	export JOURNAL_STREAM
}

@test "a syslogd that is stuck costs the lines, not the session" {
	in_lab || return "$status"
	syslog_up
	kill -STOP "${PIDS[logd]}"
	while timeout "$SLOW" logger -d -u /dev/log fill 2>/dev/null; do :; done
	session alice -l syslog
	denied alice example.org -l syslog
	kill -CONT "${PIDS[logd]}"
	wait_for grep -q fill "$SCRATCH/syslog"
	stop logd # which reads to the end
	run -1 grep -q socks4-stdio "$SCRATCH/syslog"
}

@test "stderr: open and close, each key in its place" {
	port=$(session alice -l stderr)
	rule=$LIST:1
	logged "open cmd=connect src=127\.0\.0\.1:[0-9]+ user=alice dst=127\.0\.0\.1:$port rule=$rule$box" \
		"close cmd=connect src=127\.0\.0\.1:[0-9]+ user=alice dst=127\.0\.0\.1:$port rule=$rule up=5 down=7 secs=$secs reason=eof"
	[ "$(grep -o 'src=[^ ]*' "$LOG" | sort -u | wc -l)" = 1 ]
}

@test "stderr: a refusal, with the keys that are known, an empty USERID too" {
	denied alice example.org -l stderr
	logged 'refuse cmd=connect src=127\.0\.0\.1:[0-9]+ user=alice name=example\.org port=80 rule=default code=91 reason=denied'
	told exec-tcp send '\x04\x02' shutdown expect "$REJECTED" expect-eof
	logged 'refuse cmd=bind src=127\.0\.0\.1:[0-9]+ code=91 reason=short-request'
	told exec-tcp send '\x05' expect '\x05\xff' expect-eof
	logged 'refuse src=127\.0\.0\.1:[0-9]+ code=255 reason=is-socks5'
	told exec-tcp send '\x04\x01\0\x50\0\0\0\x01\0nam' shutdown expect "$REJECTED" expect-eof
	logged 'refuse cmd=connect src=127\.0\.0\.1:[0-9]+ user="" port=80 code=91 reason=short-request'
}

@test "port= of a request whose destination is not known, after name= or in its place" {
	while read -r line; do
		IFS='|' read -r bytes text <<<"$line"
		# A whole request may be answered, and the connection be gone, before it could be shut down.
		ends=()
		[[ $text != *short-request ]] || ends=(shutdown)
		told exec-tcp send "$bytes" "${ends[@]}" expect "$REJECTED" expect-eof
		logged "refuse cmd=[a-z]* src=127\.0\.0\.1:[0-9]+ $text"
	done <<-'EOT'
		\x04\x01\0|code=91 reason=short-request
		\x04\x01\x01\xbb\0\0\0\x01|port=443 code=91 reason=short-request
		\x04\x01\x01\xbb\0\0\0\x01al|port=443 code=91 reason=short-request
		\x04\x01\x01\xbb\0\0\0\x01al\0na|user=al port=443 code=91 reason=short-request
		\x04\x01\x01\xbb\0\0\0\x01al\0a.test\0|user=al name=a\.test port=443 rule=default code=91 reason=denied
		\x04\x02\x01\xbb\0\0\0\x01al\0a.test\0|user=al name=a\.test port=443 rule=default code=91 reason=denied
		\x04\x01\x01\xbb\0\0\0\0al\0|user=al dst=0\.0\.0\.0:443 code=91 reason=bad-address
		\x04\x01\x01\xbb\xc0\0\x02\x01al\0|user=al dst=192\.0\.2\.1:443 rule=default code=91 reason=denied
	EOT
}

@test "stderr: IPv6 addresses stand in brackets, a mapped source is an IPv4 address" {
	port=$(told exec 'tcp=[::1]' same 2:listen '[::1]:0' send "$(request 4 1 @2 0.0.0.1 '' ::1)" \
		expect '\0\x5a\0\0\0\0\0\0' 2:accept 2:close expect-eof)
	logged "open cmd=connect src=\\[::1\\]:[0-9]+ user=\"\" dst=\\[::1\\]:$port rule=$LIST:1$box" 'close .* reason=eof'
	told exec 'tcp=[::ffff:127.0.0.1]' same send "$(request 4 1 80 192.0.2.1 '')" expect "$REJECTED" expect-eof
	logged 'refuse cmd=connect src=127\.0\.0\.1:[0-9]+ user="" dst=192\.0\.2\.1:80 rule=default code=91 reason=denied'
}

@test "stderr: local sources, and via= of an ssh connection" {
	export SSH_CONNECTION='192.0.2.7 51234 192.0.2.1 22'
	told exec-pipes send "$(request 4 1 80 192.0.2.1 bob)" expect "$REJECTED" expect-eof
	logged 'refuse cmd=connect src=local via="192\.0\.2\.7 51234 192\.0\.2\.1 22" user=bob dst=192\.0\.2\.1:80 rule=default code=91 reason=denied'
	rm "$LOG"
	denied bob example.org -l stderr
	[ "$(grep -c via= "$LOG")" = 0 ]
}

@test "a hostile USERID or name stays one line, escaped" {
	while IFS='|' read -r bytes text; do
		value=$(printf '%b.' "$bytes")
		value=${value%.}
		rm -f "$LOG"
		denied "$value" a -l stderr
		[[ $(cat "$LOG") == *" user=$text name=a port=80 rule=default code=91 reason=denied" ]] ||
			fail "$bytes as USERID: $(cat "$LOG")"
		[ "$(wc -l <"$LOG")" = 1 ]
		[ -n "$value" ] || continue
		rm "$LOG"
		denied u "$value" -l stderr
		verdict='port=80 rule=default code=91 reason=denied'
		[[ $value != *\\* ]] || verdict='port=80 code=91 reason=bad-name'
		[[ $(cat "$LOG") == *" user=u name=$text $verdict" ]] ||
			fail "$bytes as name: $(cat "$LOG")"
		[ "$(wc -l <"$LOG")" = 1 ]
	done <<-'EOT'
		|""
		alice|alice
		[]AZaz09._:/@%+,*-|[]AZaz09._:/@%+,*-
		a b|"a b"
		a=b|"a=b"
		a b=c reason\075eof|"a b=c reason=eof"
		~!#$&();<>?^`{}|"~!#$&();<>?^`{}"
		it's|"it's"
		a\0042|"a\x22"
		a\0042 user=root|"a\x22 user=root"
		a\0134x41|"a\x5cx41"
		a\0012open cmd=connect|"a\x0aopen cmd=connect"
		\0015\0012|"\x0d\x0a"
		\0033[2J|"\x1b[2J"
		\0001\0037\0177|"\x01\x1f\x7f"
		\0200\0237\0240\0377|"\x80\x9f\xa0\xff"
		gr\0303\0274n|"gr\xc3\xbcn"
		%s%n%1000d|%s%n%1000d
	EOT
}

@test "the longest values, every byte escaped, leave the end of the line" {
	long=$(printf '\x01%.0s' {1..255})
	denied "$long" "${long//?/$'\xff'}" -l stderr
	one=$(printf '\\\\x01%.0s' {1..255})
	other=$(printf '\\\\xff%.0s' {1..255})
	logged "refuse cmd=connect src=127\.0\.0\.1:[0-9]+ user=\"$one\" name=\"$other\" port=80 rule=default code=91 reason=denied"
}

@test "a long path of a list is shown whole" {
	deep=$SCRATCH/$(printf 'directory-%d/' {1..20})
	mkdir -p "$deep"
	cp "$LIST" "${deep}list"
	session alice -a "${deep}list" -l stderr
	logged "open .* rule=${deep}list:1$box" "close .* rule=${deep}list:1 up=5 down=7 secs=$secs reason=eof"
}

@test "a reader of standard error that is stuck costs the lines, short ones and long ones, not the session" {
	deep=$SCRATCH/$(printf 'directory-%d/' {1..250})
	mkdir -p "$deep"
	cp "$LIST" "${deep}list"
	LOG=$SCRATCH/fifo
	mkfifo "$LOG"
	exec 7<>"$LOG"
	head -c 61440 /dev/zero >&7 # there is room for 4096 bytes, and the line is longer
	session "$(printf '\001%.0s' {1..255})" -a "${deep}list" -l stderr -w idle=1
	session alice -l stderr # now it is full
	exec 7>&-
}

# deaf NAME: standard error for `-2 $SCRATCH/NAME`, a pipe that is full and stays so; fd 7 reads it
deaf() {
	mkfifo "$SCRATCH/$1"
	exec 7<>"$SCRATCH/$1"
	fill "$1"
}

# all_end N...: these sessions
all_end() {
	local i
	for i; do
		status_of "session$i" || fail "session $i: $(cat "$SCRATCH/session$i.err")"
	done
}

fill() {
	! dd if=/dev/zero of="$SCRATCH/$1" oflag=nonblock conv=notrunc bs=4096 status=none 2>&1
}

@test "sessions that share a full pipe: none waits longer than a second when a reader takes a little and stops" {
	local i long
	deaf fifo
	long=$(printf '\001%.0s' {1..255})
	for i in {1..40}; do
		start "session$i" "$TOOLS/peer" -t $((30 * SLOW)) -2 "$SCRATCH/fifo" exec-tcp wait-file "$SCRATCH/go" send "$(request 4 1 80 0.0.0.1 "$long" "$long")" \
			expect "$REJECTED" touch "$SCRATCH/told$i" expect-eof close -- "$BIN" -a "$LIST" -l stderr
	done
	touch "$SCRATCH/go"
	for i in {1..40}; do
		wait_for test -e "$SCRATCH/told$i"
	done
	head -c 20480 <&7 >"$SCRATCH/taken"
	lasts 0 4000 all_end {1..40}
	exec 7>&-
}

# bats test_tags=no-valgrind
@test "a pause at any moment does not make a stuck log wait for ever" {
	local i fd long fifos=()
	long=$(printf '\001%.0s' {1..255})
	export SSH_CONNECTION=$long$long
	: >"$LIST"
	for i in {1..20}; do
		mkfifo "$SCRATCH/fifo$i"
		exec {fd}<>"$SCRATCH/fifo$i"
		fifos+=("$fd")
		# poll(2) finds room, and write(2) too little
		dd if=/dev/zero of="$SCRATCH/fifo$i" oflag=nonblock conv=notrunc bs=4096 count=15 status=none
		start "session$i" env ASAN_OPTIONS=verify_asan_link_order=0 "$TOOLS/peer" -2 "$SCRATCH/fifo$i" exec-pipes \
			send "$(request 4 1 80 0.0.0.1 "$long" "$long")" expect "$REJECTED" close expect-exit 0 -- \
			env PAUSE="$i" LD_PRELOAD="$TOOLS/fault.so" "$BIN" -a "$LIST" -l stderr
	done
	lasts 0 8000 all_end {1..20}
	for fd in "${fifos[@]}"; do exec {fd}>&-; done
}

# valgrind's own log could not grow
# bats test_tags=no-valgrind
@test "a limit of the size of files costs the line and not the session" {
	"$TOOLS/peer" -2 "$LOG" exec-tcp 2:listen 127.0.0.1:0 send "$(request 4 1 @2 127.0.0.1 '')" \
		expect '\0\x5a\0\0\0\0\0\0' 2:accept send hello shutdown 2:expect hello 2:expect-eof 2:close expect-eof expect-exit 0 -- \
		bash -c 'ulimit -f 0; exec "$@"' bash "$BIN" -a "$LIST" -l stderr
	[ ! -s "$LOG" ]
}

@test "twenty wrong lines, or a million, and a stuck log: the refusal comes after one second" {
	local lines
	deaf fifo
	for lines in 20 2000 1000000; do
		yes permit | head -n "$lines" >"$SCRATCH/broken"
		lasts 0 2500 "$TOOLS/peer" -2 "$SCRATCH/fifo" exec-tcp expect "$REJECTED" expect-eof close expect-exit 2 -- "$BIN" -a "$SCRATCH/broken" -l stderr
	done
	exec 7>&-
}

@test "a terminal, a socket, a pipe that nobody reads: one second, whatever standard error is" {
	local kind
	for kind in terminal unix pipe; do
		lasts 0 2500 "$TOOLS/peer" -2 "deaf:$kind" exec-tcp send "$(request 4 1 80 192.0.2.1 bob)" expect "$REJECTED" expect-eof close \
			expect-exit 0 -- "$BIN" -a "$LIST" -l stderr
	done
}

@test "a dry run waits for its reader, however long, but not when a signal ends it" {
	deaf fifo
	yes permit | head -n 20 >"$SCRATCH/broken"
	start waiting bash -c 'exec "$@" 2>"$0"' "$SCRATCH/fifo" "$BIN" -t -a "$SCRATCH/broken"
	sleep 1.5 # longer than a session would wait
	start reader cat "$SCRATCH/fifo"
	status_of waiting || status=$?
	[ "$status" = 2 ]
	wait_for eval "[ \"\$(grep -ac 'broken:[0-9]*: ' '$SCRATCH/reader.out')\" = 20 ]"
	stop reader
	fill fifo
	yes deny | head -n 20 >"$SCRATCH/warned"
	for list in broken warned; do
		start stuck bash -c 'exec "$@" 2>"$0"' "$SCRATCH/fifo" "$BIN" -t -a "$SCRATCH/$list"
		wait_for grep -q '^socks4-stdio' "/proc/${PIDS[stuck]}/comm"
		wait_for grep -q '^State:.S' "/proc/${PIDS[stuck]}/status"
		kill -TERM "${PIDS[stuck]}"
		lasts 0 2500 wait_for gone "${PIDS[stuck]}"
		status=0
		status_of stuck || status=$?
		[ "$status" = 2 ] # not all was said
	done
	exec 7>&-
}

@test "a poll(2) that fails costs no session and no line" {
	[ -z "${FAULTS-}" ] || skip 'no preloaded library here'
	yes permit | head -n 3 >"$SCRATCH/broken"
	ASAN_OPTIONS=verify_asan_link_order=0 "$TOOLS/peer" -2 "$LOG" exec-tcp expect "$REJECTED" close expect-exit 2 -- \
		env LD_PRELOAD="$TOOLS/fault.so" FAULT=poll:1+:ENOMEM "$BIN" -a "$SCRATCH/broken" -l stderr
	logged "$SCRATCH/broken:1: .*" "$SCRATCH/broken:2: .*" "$SCRATCH/broken:3: .*" 'refuse .* reason=broken-list'
}

@test "each line is one write" {
	require strace
	# LeakSanitizer and strace exclude each other
	ASAN_OPTIONS=detect_leaks=0 strace -f -qq -e trace=write -e signal=none -o "$SCRATCH/trace" \
		"$TOOLS/peer" -2 "$LOG" exec-tcp send "$(request 4 1 80 192.0.2.1 bob)" expect "$REJECTED" expect-eof -- \
		"$BIN" -a "$LIST" -l stderr
	[ "$(grep -c 'write(2, ' "$SCRATCH/trace")" = 1 ]
	grep -q 'write(2, "refuse .* = [0-9]*$' "$SCRATCH/trace"
}

@test "secs has milliseconds" {
	told exec-tcp 2:listen 127.0.0.1:0 send "$(request 4 1 @2 127.0.0.1 a)" \
		expect '\0\x5a\0\0\0\0\0\0' 2:accept pause 1100 2:close expect-eof
	spent=$(sed -n 's/^close .* secs=\([0-9]*\)\.\([0-9]\{3\}\) .*/\1\2/p' "$LOG")
	[ "$((10#$spent))" -ge 1100 ]
	[ "$((10#$spent))" -lt 9000 ]
}

@test "-v: the time of each phase, last on open and before the reason elsewhere" {
	user=$(id -un)
	"$TOOLS/peer" -2 "$LOG" exec-unix 2:listen 127.0.0.1:0 send "$(request 4 1 @2 0.0.0.1 "$user" localhost)" \
		expect '\0\x5a\0\0\0\0\0\0' 2:accept 2:close expect-eof -- "$BIN" -a "$LIST" -l stderr -v -i -4
	ms='ms_request=[0-9]+ ms_ident=[0-9]+ ms_resolve=[0-9]+ ms_connect=[0-9]+'
	key="src=local user=$user ident=$user dst=127\.0\.0\.1:[0-9]+ name=localhost rule=$LIST:1"
	logged "open cmd=connect $key$box $ms" "close cmd=connect $key up=0 down=0 secs=$secs $ms reason=eof"
	rm "$LOG"
	denied bob example.org -v -l stderr
	logged 'refuse .* rule=default code=91 ms_request=[0-9]+ reason=denied'
	OPTION=-v told exec-tcp 2:listen 127.0.0.1:0 2:close-listener send "$(request 4 1 @2 127.0.0.1 a)" \
		expect "$REJECTED" expect-eof
	logged 'refuse .* code=91 ms_request=[0-9]+ ms_connect=[0-9]+ reason=connect-refused'
}

# bats test_tags=no-valgrind
@test "ms_request is the time that the request took" {
	OPTION=-v told exec-tcp pause 300 send "$(request 4 1 80 192.0.2.1 bob)" expect "$REJECTED" expect-eof
	spent=$(sed -n 's/.* ms_request=\([0-9]*\) .*/\1/p' "$LOG")
	[ "$spent" -ge 100 ]
	[ "$spent" -lt 9000 ]
}

@test "-q: nothing but errors" {
	session alice -q -l stderr
	denied alice example.org -q -l stderr
	[ ! -s "$LOG" ]
	broken -q -l stderr
	logged "$SCRATCH/broken:1: .*" "$SCRATCH/broken:2: .*" \
		'refuse src=127\.0\.0\.1:[0-9]+ code=91 reason=broken-list'
}

@test "an error's text stays one line, escaped" {
	"$TOOLS/peer" -2 "$LOG" exec-tcp expect "$REJECTED" expect-eof close expect-exit 2 -- \
		"$BIN" -a "$SCRATCH/"$'no\nsuch\x1b\xff' -l stderr
	logged ".*/no\\\\x0asuch\\\\x1b\\\\xff.*" 'refuse .* reason=broken-list'
}

@test "none: nothing anywhere" {
	in_lab || return "$status"
	syslog_up
	journal_is_log
	session alice -l none
	denied alice example.org -l none
	broken -l none
	[ ! -s "$LOG" ]
	[ ! -s "$SCRATCH/syslog" ]
	denied alice example.org -l syslog
	wait_for grep -q reason=denied "$SCRATCH/syslog" # it does listen
}

@test "the journal: lines on its stream, each with its priority; but plain ones for -l stderr" {
	journal_is_log
	session alice
	denied alice example.org
	broken
	logged '<6>open cmd=connect .*' '<6>close cmd=connect .* reason=eof' '<5>refuse cmd=connect .* reason=denied' \
		"<3>$SCRATCH/broken:1: .*" "<3>$SCRATCH/broken:2: .*" '<3>refuse src=.* code=91 reason=broken-list'
	rm "$LOG"
	journal_is_log
	denied alice example.org -l stderr
	logged 'refuse cmd=connect .* reason=denied'
}

@test "the journal: a stream that is a pipe" {
	# the inner shell has the pipe
	JOURNAL_STREAM='' "$TOOLS/peer" exec-tcp send "$(request 4 1 80 192.0.2.1 bob)" expect "$REJECTED" expect-eof -- \
		bash -c 'JOURNAL_STREAM=$(stat -L -c %d:%i /dev/fd/2) exec "$@"' bash "$BIN" -a "$LIST" 2>&1 | cat >"$LOG"
	logged '<5>refuse cmd=connect .* reason=denied'
}

@test "syslog is the default, with pid, facility daemon and priorities" {
	in_lab || return "$status"
	syslog_up
	touch "$LOG"
	session alice
	denied alice example.org
	broken
	wait_for grep -q 'reason=broken-list' "$SCRATCH/syslog"
	[ ! -s "$LOG" ]
	[ "$(grep -o 'socks4-stdio\[[0-9]*\]' "$SCRATCH/syslog" | uniq | wc -l)" = 3 ]
	all_in_syslog
}

@test "syslog: in place of a journal stream that is not ours, or when asked for" {
	in_lab || return "$status"
	local device inode stream count=0
	syslog_up
	touch "$LOG"
	device=$(stat -c %d "$LOG")
	inode=$(stat -c %i "$LOG")
	for stream in '' : x "$device" "$device:" ":$inode" "$device:$((inode + 1))" "$((device + 1)):$inode" \
		"$device:${inode}x" "$device:$inode:" "$device $inode"; do
		JOURNAL_STREAM=$stream denied alice example.org
		count=$((count + 1))
		wait_for eval "[ \"\$(grep -c 'reason=denied' '$SCRATCH/syslog')\" = $count ]"
		[ ! -s "$LOG" ] || fail "taken for the journal: $stream"
	done
	JOURNAL_STREAM=$device:$inode denied alice example.org -l syslog
	wait_for eval "[ \"\$(grep -c 'reason=denied' '$SCRATCH/syslog')\" = $((count + 1)) ]"
	[ ! -s "$LOG" ]
}

@test "syslog: the reason is there behind the longest values, whatever libc cuts" {
	in_lab || return "$status"
	local long
	syslog_up
	long=$(printf '\x01%.0s' {1..255})
	denied "$long" "${long//?/$'\xff'}" -v
	wait_for test -s "$SCRATCH/syslog"
	grep -Eq 'user="(\\x01){64,255}(\.\.\.)?" name="(\\xff){64,255}(\.\.\.)?" port=80 rule=default code=91 ms_request=[0-9]+ reason=denied$' \
		"$SCRATCH/syslog" || fail "$(cat "$SCRATCH/syslog")"
}

@test "syslog: hostile values stay one datagram and one line" {
	in_lab || return "$status"
	syslog_up
	denied $'a\n<0>open \xff%s%n"\\' $'\x1b]0;x\x07'
	wait_for test -s "$SCRATCH/syslog"
	# the file shows what is raw in a datagram as logd's own escapes; ours has none raw
	grep -Eq 'user="a\\x0a<0>open \\xff%s%n\\x22\\x5c" name="\\x1b]0;x\\x07" port=80 rule=default code=91 reason=denied$' \
		"$SCRATCH/syslog" || fail "$(cat "$SCRATCH/syslog")"
	[ "$(wc -l <"$SCRATCH/syslog")" = 1 ]
}

@test "syslog: none there is no harm, and nothing goes elsewhere" {
	in_lab || return "$status"
	touch "$LOG"
	session alice
	denied alice example.org
	[ ! -s "$LOG" ]
}

@test "syslog: a stream socket where there are no datagrams, NUL after each line" {
	in_lab || return "$status"
	syslog_up -s
	session alice
	denied alice example.org
	broken
	all_in_syslog
}

@test "syslog: a stream in pieces, and one that breaks off in the middle of a line" {
	in_lab || return "$status"
	[ -z "${FAULTS-}" ] || return 0
	local whole="<29>socks4-stdio\[[0-9]+\]: refuse cmd=connect .* reason=denied"
	syslog_up -s
	export ASAN_OPTIONS=verify_asan_link_order=0
	for fault in '' write:3:EPIPE write:4:EAGAIN write:2:EINTR; do
		: >"$SCRATCH/syslog"
		"$TOOLS/peer" exec-tcp send "$(request 4 1 80 0.0.0.1 alice example.org)" expect "$REJECTED" expect-eof -- \
			env LD_PRELOAD="$TOOLS/fault.so" SHORT=8 FAULT="$fault" "$BIN" -a "$LIST" -l syslog
		wait_for grep -Eq 'reason=denied$' "$SCRATCH/syslog"
		echo "$fault: $(cat "$SCRATCH/syslog")"
		[ "$(grep -Ec "^$whole$" "$SCRATCH/syslog")" = 1 ]
		[ "$fault" = write:3:EPIPE ] || [ "$(wc -l <"$SCRATCH/syslog")" = 1 ]
	done
}

@test "syslog: a stream whose reader is stuck costs the lines, not the session" {
	in_lab || return "$status"
	syslog_up -s
	kill -STOP "${PIDS[logd]}"
	four() {
		for _ in {1..4}; do # until nobody more can connect
			session alice
		done
	}
	lasts 0 8000 four
	kill -CONT "${PIDS[logd]}"
	wait_for grep -q 'open .*user=alice' "$SCRATCH/syslog"
}

@test "syslog takes the line when fd 2 is the client's" {
	in_lab || return "$status"
	syslog_up
	"$TOOLS/peer" -e exec-tcp send "$(request 4 1 80 192.0.2.1 bob)" expect "$REJECTED" expect-eof -- "$BIN" -a "$LIST"
	wait_for grep -q 'user=bob .* reason=denied$' "$SCRATCH/syslog"
	printf 'allow\n' >"$SCRATCH/broken"
	"$TOOLS/peer" -e exec-tcp expect "$REJECTED" expect-eof close expect-exit 2 -- "$BIN" -a "$SCRATCH/broken"
	wait_for grep -q 'reason=broken-list$' "$SCRATCH/syslog"
	grep -q "$SCRATCH/broken:1: " "$SCRATCH/syslog"
}

@test "the built-in list is told of, and is the rule" {
	in_lab || return "$status"
	rm -f /etc/socks4-stdio.acl
	"$TOOLS/peer" -2 "$LOG" exec-tcp 2:listen 127.0.0.1:0 send "$(request 4 1 @2 127.0.0.1 alice)" \
		expect '\0\x5a\0\0\0\0\0\0' 2:accept 2:close expect-eof -- "$BIN" -l stderr
	logged '.*built-in.*' 'open .* rule=built-in:1.*' 'close .* rule=built-in:1 .*'
}

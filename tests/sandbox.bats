# sandbox.c through the program: what a session cannot do once its relay runs, and that the relay and the log still can. The
# builds under test are the default and the static one, whatever BIN is: those of sanitizers and the like have no sandbox.
# shellcheck disable=SC2317 # functions for the lab

load helper

setup() {
	LIST=$SCRATCH/list
	export BUILDS
	echo 'permit from any' >"$LIST"
	goodbye=(shutdown 2:expect-eof 2:close expect-eof)
	[ -x "$TOOLS/trespass" ]
}

STATIC=${TESTS%/*}/build/static/socks4-stdio # without musl-gcc there is none
[ -x "$STATIC" ] || [ "${STRICT:-0}" = 1 ] || STATIC=
BUILDS=${BUILDS:-"${TESTS%/*}/socks4-stdio $STATIC"}

# each_build FUNCTION: with PROGRAM as its command line
each_build() {
	local build
	for build in $BUILDS; do
		echo "build: $build"
		[ -x "$build" ]
		PROGRAM=("$build" -a "$LIST")
		"$@"
	done
}

# everywhere FUNCTION: and with the BSDs' sandboxes, as far as tests/bsd knows them
everywhere() {
	BUILDS="$BUILDS $TOOLS/openbsd $TOOLS/freebsd" each_build "$@"
}

# session OPTIONS WORD...: a CONNECT to endpoint 2; what it logs to stderr is appended to $SCRATCH/log
session() {
	# shellcheck disable=SC2086 # words are wanted
	"$TOOLS/peer" -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec-tcp send "$(request 4 1 @2 127.0.0.1 '')" \
		expect "$GRANTED" 2:accept "${@:2}" -- "${PROGRAM[@]}" $1 >/dev/null
}

# held [OPTION...]: a session in the background whose relay has moved a byte; it goes on after `go`. fd 2 is no regular file.
held() {
	rm -f "$SCRATCH/up" "$SCRATCH/go"
	start client bash -c 'exec "$@" 2>/dev/null' bash "$TOOLS/peer" 2:listen 127.0.0.1:0 exec-tcp \
		send "$(request 4 1 @2 127.0.0.1 '')" expect "$GRANTED" 2:accept send x 2:expect x touch "$SCRATCH/up" \
		wait-file "$SCRATCH/go" send y 2:expect y 2:send z expect z "${goodbye[@]}" -- "${PROGRAM[@]}" "$@"
	wait_for test -e "$SCRATCH/up"
	PROCESS=$(pgrep -P "${PIDS[client]}")
}

go() {
	touch "$SCRATCH/go"
	status_of client
}

# limit_of PROCESS NAME: its soft and hard limit
limit_of() {
	sed -n "s/^Max $2  *\([^ ]*\)  *\([^ ]*\)  *.*/\1 \2/p" "/proc/$1/limits"
}

limited() {
	[ "$(limit_of "$1" processes)" = '0 0' ]
	[ "$(limit_of "$1" 'core file size')" = '0 0' ]
	[ "$(limit_of "$1" 'file size')" = '0 0' ]
	[ "$(limit_of "$1" 'open files')" = '16 16' ]
}

# state PROCESS FIELD VALUE: of /proc/PROCESS/status
state() {
	grep -Eq "^$2:[[:space:]]+$3" "/proc/$1/status"
}

descriptors() {
	find "/proc/$1/fd" -type l | wc -l
}

# syslog_up NAME: what it gets is in $SCRATCH/NAME
syslog_up() {
	: >"$SCRATCH/$1"
	start logd "$TOOLS/logd" "$SCRATCH/$1"
	[ "$(port_of logd)" = /dev/log ]
}

syslog_down() {
	stop logd
	rm /dev/log
}

@test "whatever is not the job is the end of the process, and of both connections by a reset" {
	local attempts=(open execve fork ptrace kill kill-self kill-group stop stat setrlimit dup flags read setsockopt tiocsti sendto mmap mprotect brk unknown)
	# what a 64-bit program can call of others; byte 4 of a program says which it is
	[ "$(uname -m)" != x86_64 ] || [ "$(od -An -tu1 -j4 -N1 "$TOOLS/trespass")" -eq 1 ] || attempts+=(x32 i386)
	PROGRAM=("$TOOLS/trespass" -a "$LIST")
	for SANDBOX_TEST in "${attempts[@]}"; do
		export SANDBOX_TEST
		echo "$SANDBOX_TEST"
		session '-l none' expect-reset 2:expect-reset expect-exit 159 # 128 + SIGSYS
	done
}

@test "socket and connect get EPERM, a call that a tracer takes away ENOSYS, memory and time are there" {
	PROGRAM=("$TOOLS/trespass" -a "$LIST")
	for SANDBOX_TEST in socket connect no-call needs; do
		export SANDBOX_TEST
		echo "$SANDBOX_TEST"
		session '-l none' send x 2:expect x "${goodbye[@]}" expect-exit 0
	done
}

@test "the client is confined as well, on pipes too" {
	PROGRAM=("$TOOLS/trespass")
	for SANDBOX_TEST in socket open kill kill-self kill-group dup; do
		export SANDBOX_TEST
		local end=(send x 2:expect x shutdown 2:expect-eof 2:close expect-eof expect-exit 0)
		[ "$SANDBOX_TEST" = socket ] || end=(2:expect-reset expect-exit 159)
		"$TOOLS/peer" 2:listen 127.0.0.1:0 exec-pipes 2:accept 2:expect "$(request 4 1 80 192.0.2.1 me)" \
			2:send "$GRANTED" "${end[@]}" -- "${PROGRAM[@]}" -l none -u me -c 127.0.0.1:@2 192.0.2.1 80 >/dev/null
	done
}

@test "limits, no new privileges, a filter, and five descriptors while syslog is open" {
	in_lab || return "$status"
	confined() {
		syslog_up log
		held -l syslog
		limited "$PROCESS"
		state "$PROCESS" Seccomp 2
		state "$PROCESS" NoNewPrivs 1
		[ "$(descriptors "$PROCESS")" -eq 5 ]
		go
		syslog_down
		grep -q 'open cmd=connect' "$SCRATCH/log"
		grep -q 'close cmd=connect .* up=2 down=1 .* reason=eof$' "$SCRATCH/log"
		[ "$(grep -c sandbox= "$SCRATCH/log")" -eq 0 ]
	}
	each_build confined
}

@test "a limit of open files that is lower stays" {
	lower() {
		(
			ulimit -S -n 10
			held -l none
			[ "$(limit_of "$PROCESS" 'open files')" = '10 10' ]
			go
		)
	}
	each_build lower
}

# files IN OUT ERRORS LIMIT: each `fifo`, `file` or `null`; the limit of file size during the session
files() {
	local in='' fd
	rm -f "$SCRATCH"/{in,out,errors,up,go}
	[ "$1" = file ] || mkfifo "$SCRATCH/in"
	[ "$2" = file ] || mkfifo "$SCRATCH/out"
	[ "$3" = file ] || ln -s /dev/null "$SCRATCH/errors"
	start server "$TOOLS/peer" listen 127.0.0.1:0 accept send hello touch "$SCRATCH/up" wait-file "$SCRATCH/go" \
		send world close
	in=$(request 4 1 "$(port_of server)" 127.0.0.1 '')
	[ "$1" = fifo ] || printf %b "$in" >"$SCRATCH/in"
	start program bash -c 'exec "$@" <"$0/in" >"$0/out" 2>"$0/errors"' "$SCRATCH" "${PROGRAM[@]}" -l stderr
	if [ "$1" = fifo ]; then
		exec {fd}>"$SCRATCH/in"
		printf %b "$in" >&"$fd"
	fi
	wait_for test -e "$SCRATCH/out"
	start reader cat "$SCRATCH/out" # of a file as far as it has come
	wait_for test -e "$SCRATCH/up"
	wait_for state "${PIDS[program]}" Seccomp 2
	[ "$(limit_of "${PIDS[program]}" 'file size')" = "$4 $4" ]
	touch "$SCRATCH/go"
	[ "$1" = file ] || exec {fd}>&-
	status_of program
	status_of server
	status_of reader
	[ "$2" = fifo ] || cp "$SCRATCH/out" "$SCRATCH/reader.out"
	printf %b "${GRANTED}helloworld" | cmp - "$SCRATCH/reader.out"
	[ "$3" != file ] || grep -q '^close .* down=10 .* reason=eof$' "$SCRATCH/errors"
}

@test "no file can grow, unless fd 1 or 2 is one" {
	growth() {
		files fifo fifo null 0
		files file fifo null 0
		files fifo file null unlimited
		files fifo fifo file unlimited
	}
	each_build growth
}

@test "a restarted syslogd costs a line and not the session" {
	in_lab || return "$status"
	restarted() {
		syslog_up before
		held -l syslog
		syslog_down
		syslog_up after
		go
		held -l syslog
		go
		syslog_down
		[ "$(grep -c 'open cmd=connect' "$SCRATCH/before")" -eq 1 ]
		[ "$(wc -l <"$SCRATCH/before")" -eq 1 ]
		# its own end is what went missing; the next session is there whole
		[ "$(wc -l <"$SCRATCH/after")" -eq 2 ]
		[[ $(head -n 1 "$SCRATCH/after") == *'open cmd=connect'* ]]
		[[ $(tail -n 1 "$SCRATCH/after") == *'close cmd=connect'*reason=eof ]]
	}
	everywhere restarted
}

@test "without a sandbox a restarted syslogd is reached anew" {
	in_lab || return "$status"
	reached() {
		syslog_up before
		held -l syslog
		syslog_down
		syslog_up after
		go
		syslog_down
		[[ $(cat "$SCRATCH/before") == *'open cmd=connect'*sandbox=none ]]
		[ "$(wc -l <"$SCRATCH/after")" -eq 1 ]
		[[ $(cat "$SCRATCH/after") == *'close cmd=connect'*reason=eof ]]
	}
	BUILDS="$TOOLS/openbsd $TOOLS/freebsd"
	BSD_FAILS=1 each_build reached
}

@test "the name of a link-local address's interface is in the lines of a confined session" {
	in_lab || return "$status"
	scoped() {
		rm -f "$SCRATCH/log"
		"$TOOLS/peer" -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 exec 'tcp=[fe80::1%lo]' same \
			send "$(request 4 1 @2 127.0.0.1 '')" expect "$GRANTED" 2:accept "${goodbye[@]}" \
			-- "${PROGRAM[@]}" -l stderr >/dev/null
		grep -q '^open cmd=connect src=\[fe80::1%lo\]:' "$SCRATCH/log"
		grep -q '^close cmd=connect src=\[fe80::1%lo\]:.* reason=eof$' "$SCRATCH/log"
	}
	ip address add fe80::1/64 dev lo nodad
	everywhere scoped
}

@test "a session without a syslogd goes on, also when one comes up" {
	in_lab || return "$status"
	absent() {
		held -l syslog
		syslog_up log
		go
		syslog_down
		[ ! -s "$SCRATCH/log" ]
	}
	everywhere absent
}

@test "a kernel without seccomp: the open line says so, the limits hold, the session is unharmed" {
	require strace
	without() {
		local call child
		for call in 1 2; do # of prctl(2): no new privileges, then the filter
			PROGRAM=(strace -qq -o /dev/null -e trace=prctl -e "inject=prctl:error=EINVAL:when=$call"
				"${PROGRAM[@]: -3}")
			rm -f "$SCRATCH/log"
			session '-l stderr' send x 2:expect x "${goodbye[@]}"
			grep -Eq '^open cmd=connect .* rule=[^ ]* sandbox=none$' "$SCRATCH/log"
			[ "$(grep -c sandbox= "$SCRATCH/log")" -eq 1 ]
			held -l none
			child=$(pgrep -P "$PROCESS")
			limited "$child"
			state "$child" Seccomp 0
			go
		done
	}
	each_build without
}

@test "without pledge(2) and without Capsicum the open line says so, and the session is unharmed" {
	BUILDS="$TOOLS/openbsd $TOOLS/freebsd"
	without() {
		rm -f "$SCRATCH/log"
		session '-l stderr' send x 2:expect x "${goodbye[@]}"
		grep -Eq '^open cmd=connect .* rule=[^ ]* sandbox=none$' "$SCRATCH/log"
	}
	BSD_FAILS=1 each_build without
}

@test "with a sandbox no line says anything of it" {
	silent() {
		rm -f "$SCRATCH/log"
		session '-l stderr -v' send x 2:expect x "${goodbye[@]}"
		[ "$(wc -l <"$SCRATCH/log")" -eq 2 ]
		[ "$(grep -c sandbox "$SCRATCH/log")" -eq 0 ]
	}
	everywhere silent
}

@test "a tracer may take calls away during the relay" {
	require strace
	traced() {
		PROGRAM=(strace -qq -o "$SCRATCH/trace" -e 'trace=prctl,poll,ppoll'
			-e 'inject=poll,ppoll:error=EINTR:when=2+2' "${PROGRAM[@]}")
		session '-l none' pump 1 2 1M 1 pump 2 1 1M 2 "${goodbye[@]}"
		sed '0,/PR_SET_SECCOMP/d' "$SCRATCH/trace" | grep -q 'INJECTED'
	}
	each_build traced
}

@test "a session that was stopped goes on" {
	stopped() {
		held -l none
		wait_for state "$PROCESS" State S
		kill -STOP "$PROCESS"
		wait_for state "$PROCESS" State T
		kill -CONT "$PROCESS"
		wait_for state "$PROCESS" State S
		go
	}
	each_build stopped
}

@test "both ways at once, a half-close, and the log" {
	duplex() {
		rm -f "$SCRATCH/log"
		session '-l stderr' pump-duplex 1 2 16M 1 2 0 shutdown 2:expect-eof 2:send rest expect rest 2:close expect-eof
		grep -q '^close .* up=16777216 down=16777220 secs=[^ ]* reason=eof$' "$SCRATCH/log"
	}
	everywhere duplex
}

@test "a reset, a signal and the idle limit" {
	abnormal() {
		rm -f "$SCRATCH/log"
		session '-l stderr' 2:send x expect x 2:reset expect-reset
		session '-l stderr' send x 2:expect x kill TERM expect-reset 2:expect-reset expect-exit 0
		session '-l stderr -w idle=1' send x 2:expect x expect-reset 2:expect-reset expect-exit 0
		[ "$(sed -n 's/^close .* reason=//p' "$SCRATCH/log" | tr '\n' ' ')" = 'reset signal idle ' ]
	}
	everywhere abnormal
}

# Whatever system call fails: a session of which one call was made to fail is over soon and ends in a way that the contract knows,
# as tests/trial.c judges it: served with every byte; refused with a code, a reason and an exit status that belong together; or cut
# off with a reset (where there is none: exit status 1). The calls are counted in a session without a fault.

load helper

setup() {
	LIST=$SCRATCH/list
	echo 'permit from any' >"$LIST"
	echo 'deny from any' >"$LIST.deny"
	SERVER=("$BIN" -l stderr -a "$LIST")
	export ASAN_OPTIONS=verify_asan_link_order=0
	PRELOAD=()
	if [ -z "${FAULTS-}" ]; then
		require strace
		ASAN_OPTIONS+=:detect_leaks=0 # under strace none can be looked for
		PRELOAD=(LD_PRELOAD="$TOOLS/fault.so")
	fi
}

# errors_of CALL: those of ENOMEM, EMFILE, EINTR, ECONNABORTED, EPIPE, ENOSPC, EAGAIN and the like that it may come to
errors_of() {
	case $1 in
	accept | accept4) echo EAGAIN ECONNABORTED EINTR EMFILE ENOMEM ;;
	close) echo EINTR ENOSPC ;;
	connect) echo EAGAIN ECONNABORTED EINTR ENOMEM ;;
	clone | clone3 | fork | vfork) echo EAGAIN ENOMEM ;;
	poll | ppoll) echo EAGAIN EINTR ENOMEM ;;
	open | openat | pipe | pipe2 | dup | dup2 | dup3 | socket) echo EINTR EMFILE ENOMEM ;;
	read | pread64 | recv | recvfrom | recvmsg) echo EAGAIN ECONNABORTED EINTR ENOMEM EPIPE ;;
	write | writev | send | sendto | sendmsg | sendmmsg) echo EAGAIN ECONNABORTED EINTR ENOMEM ENOSPC EPIPE ;;
	bind | listen | ioctl | shutdown) echo EAGAIN ENOMEM ;;
	fcntl | fstat | newfstatat | statx | access | faccessat* | getpeername | getsockname | getsockopt | setsockopt) echo ENOMEM ;;
	brk | mmap | mprotect | mremap | munmap | madvise | prctl | prlimit64 | setrlimit | getrlimit) echo ENOMEM ;;
	getaddrinfo | getcwd) echo ENOMEM ;;
	fchmod | fchown | fsync | rename) echo ENOSPC ;;
	kill | getrandom | uname | lseek) echo EAGAIN ;;
	wait4 | waitid | waitpid) echo EINTR ;;
	esac
}

# calls TRACE: `CALL N` for each call from the program's first own one on, which looks at fd 0, and for those of its children that
# do not fall together with one of the loader's; N counts from the process's start, as strace does
calls() {
	awk '
		/ resumed>/ || !/^[0-9]+ +[a-z]/ { next }
		{ call = $2; sub(/\(.*/, "", call); number = ++n[$1, call] }
		/stat(at|x)?\(0,/ { began = 1 }
		!began { loading[call, number] = 1; next }
		!loading[call, number] && !told[call, number]++ { print call, number }' "$1"
}

# strayed TRACE: whether the fault fell on what comes before the program's first own call: how many calls the loader and the sanitizers
# make differs a little with the addresses that they get
strayed() {
	sed -E '/stat(at|x)?\(0,/,$d' "$1" | grep -q INJECTED
}

# excuses KIND CALL ERROR: options of trial for what cannot but be the consequence
excuses() {
	[[ $2 != *stat* ]] || printf "%s " -b # a descriptor seems closed
	[[ $1 != pipes || $2 != @(read|write) || $3 != @(EPIPE|ECONNABORTED) ]] || printf "%s " -g # the client seems gone
	[[ $2 != @(write|send|sendto) || $3 = EINTR ]] || printf "%s " -l -r # a line of the log or a refusal was in it
}

# traced TRACE [CALL NUMBER ERROR]: what starts the program so that its calls are written down, and the N-th of that name fails: strace, or
# under $FAULTS fault.so, which $BIN brings along. Then calls into libc count, not the system's.
traced() {
	if [ -n "${FAULTS-}" ]; then
		echo "env TRACE=$1 ${2:+FAULT=$2:$3:$4}"
	else
		echo "strace -f -qq -o $1${2:+ -e trace=$2,%fstat -e inject=$2:error=$4:when=$3}"
	fi
}

# sweep KIND COMMAND...: CALLS and ONLY, where set, are extended regular expressions of the calls and errors that are meant; LASTING=+ makes all calls
# from the N-th on fail
sweep() {
	local kind=$1 call number error label
	shift
	mkdir "$SCRATCH/traces"
	# shellcheck disable=SC2046 # words
	"$TOOLS/trial" -n whole -t $((5 * SLOW)) "$kind" $(traced "$SCRATCH/whole") "$@" >"$SCRATCH/expected" ||
		fail "$(cat "$SCRATCH/expected")"
	calls "$SCRATCH/whole" | while read -r call number; do
		[[ $call =~ ^(${CALLS:-.*})$ ]] || continue
		for error in $(errors_of "$call"); do
			[[ $error =~ ^(${ONLY:-.*})$ ]] || continue
			label=$call-$number-$error
			echo "$(excuses "$kind" "$call" "$error") -n $label -t $((5 * SLOW)) $kind" \
				"$(traced "$SCRATCH/traces/$label" "$call" "$number${LASTING-}" "$error") $*"
		done
	done >"$SCRATCH/sessions"
	xargs -P 4 -L 1 "$TOOLS/trial" <"$SCRATCH/sessions" >"$SCRATCH/verdicts" ||
		sed -n 's/: WRONG: .*//p' "$SCRATCH/verdicts" | while read -r label; do
			strayed "$SCRATCH/traces/$label" || fail "$(grep -A 4 "^$label: WRONG" "$SCRATCH/verdicts")"
		done
	[ "$(grep -Ec '^[a-z0-9_]+-[0-9]+\+?-E[A-Z]+: ' "$SCRATCH/verdicts")" -eq "$(wc -l <"$SCRATCH/sessions")" ]
	# how the bytes are cut up differs a little from session to session, and so may the last calls
	[ "$(grep -rl INJECTED "$SCRATCH/traces" | wc -l)" -ge "$(($(wc -l <"$SCRATCH/sessions") * 3 / 4))" ]
}

@test "CONNECT by address" {
	sweep connect "${SERVER[@]}"
	grep -q 'granted, eof$' "$SCRATCH/verdicts"
	grep -q 'refused system$' "$SCRATCH/verdicts"
	grep -q 'granted, error, cut$' "$SCRATCH/verdicts"
	grep -Eqx 'send(to)?-1-ENOMEM: refused system' "$SCRATCH/verdicts" # the reply
	grep -Eqx 'send(to)?-1-EPIPE: refused client-left' "$SCRATCH/verdicts"
}

@test "CONNECT by name, with an identity to be asked for" {
	in_lab || return "$status"
	start dnsd "$TOOLS/dnsd" 'trial.test A 127.0.0.1' 'trial.test AAAA ::1'
	port_of dnsd
	sweep name "${SERVER[@]}" -i
	stop dnsd
	grep -q 'granted, eof$' "$SCRATCH/verdicts"
	grep -q 'refused resolve-failed$' "$SCRATCH/verdicts"
}

@test "BIND" {
	sweep bind "${SERVER[@]}"
	grep -q 'granted, eof$' "$SCRATCH/verdicts"
	grep -q 'refused bind-failed$' "$SCRATCH/verdicts"
	grep -Eqx 'socket-1-EMFILE: refused system' "$SCRATCH/verdicts"
	grep -Eqx 'accept4?-1-EMFILE: refused system' "$SCRATCH/verdicts"
}

@test "a refusal" {
	sweep connect "${SERVER[@]}" -a "$LIST.deny"
	grep -q 'refused denied$' "$SCRATCH/verdicts"
	grep -q 'refused broken-list$' "$SCRATCH/verdicts"
	[ "$(grep -c granted "$SCRATCH/verdicts")" -eq 0 ]
}

@test "CONNECT on pipes, as under ssh" {
	sweep pipes "${SERVER[@]}"
	grep -q 'granted, eof$' "$SCRATCH/verdicts"
}

@test "the client" {
	sweep client "$BIN" -l stderr -v -c 127.0.0.1:@ -u me 203.0.113.5 4660
	grep -q 'served$' "$SCRATCH/verdicts"
	grep -q 'failed$' "$SCRATCH/verdicts"
}

@test "a shortage that lasts" {
	CALLS='accept4?|connect|fcntl|mmap|recv(from)?|send(to)?|socket' LASTING=+ ONLY='EMFILE|ENOMEM' sweep bind "${SERVER[@]}"
	grep -Eqx 'accept4?-1-EMFILE: refused system' "$SCRATCH/verdicts"
	rm -r "$SCRATCH/traces"
	CALLS='connect|fcntl|mmap|recv(from)?|send(to)?|socket' LASTING=+ ONLY='EMFILE|ENOMEM' sweep connect "${SERVER[@]}"
	grep -q 'refused system$' "$SCRATCH/verdicts"
}

@test "a log that goes to syslog" {
	in_lab || return "$status"
	start logd "$TOOLS/logd" "$SCRATCH/log"
	port_of logd
	CALLS='socket|connect|send(to)?|write|poll|close|fcntl|open(at)?' sweep silent "$BIN" -l syslog -a "$LIST"
	stop logd
	grep -q 'granted, unsaid$' "$SCRATCH/verdicts"
}

@test "short reads and writes" {
	local kind
	for kind in connect bind pipes; do
		for SHORT in 1 8 4095; do
			"$TOOLS/trial" -n "$kind" -t $((5 * SLOW)) "$kind" env SHORT="$SHORT" "${PRELOAD[@]}" "${SERVER[@]}" >"$SCRATCH/verdict"
			[ "$(cat "$SCRATCH/verdict")" = "$kind: granted, eof" ]
			"$TOOLS/trial" -n client -t $((5 * SLOW)) client env SHORT="$SHORT" "${PRELOAD[@]}" \
				"$BIN" -l stderr -c 127.0.0.1:@ -u me 203.0.113.5 4660 >"$SCRATCH/verdict"
			[ "$(cat "$SCRATCH/verdict")" = 'client: served' ]
		done
	done
}

# each_fault CALLS COMMAND...: a run of the command for each of these calls and errors, in a line NUMBER CALL ERROR; before each run and after
# it the function before and after, which gets the exit status. It reads the file input; what it prints is in out and said.
each_fault() {
	local wanted=$1 call number error status
	shift
	before
	$(traced whole) "$@" <input >out 2>said
	calls whole >all
	while read -r call number; do
		[[ $call =~ ^($wanted)$ ]] || continue
		for error in $(errors_of "$call"); do
			rm -f trace
			before
			status=0
			$(traced trace "$call" "$number" "$error") "$@" <input >out 2>said || status=$?
			grep -q INJECTED trace || continue
			! strayed trace || continue
			[[ $status != 1 ]] || ! grep -Eq 'stat[a-z]*\([01],.*INJECTED' trace || continue # a descriptor seems closed
			! grep -q 'Sanitizer: .*out of memory\|Sanitizer failed to' said || continue # its memory, not the program's
			after "$status" || fail "$call $number $error: status $status, $(cat out said)"
			echo "$status" >>statuses
		done
	done <all
}

@test "freezing a list: the new one and exit status 0, or the old one and 2, and nothing beside it" {
	cd "$SCRATCH"
	printf 'permit from local to any\ndeny to any\n' >text
	"$BIN" -t -a text -o old
	echo 'deny to 198.51.100.1' >text
	: >input
	before() {
		cp old frozen
	}
	after() {
		[ -z "$(find . -name 'frozen.*')" ] || return
		case $1 in
		0) "$BIN" -t -v -a frozen | grep -q '^frozen, 1 rule,' ;;
		2) cmp frozen old && [ ! -s out ] ;;
		*) false ;;
		esac
	}
	each_fault 'f?open(at)?|read|.*stat.*|mmap|write|fchmod|fsync|close|rename|getcwd' "$BIN" -t -a text -o frozen
	grep -q 2 statuses
}

@test "questions: the right answers, or exit status 2" {
	local list
	cd "$SCRATCH"
	{
		echo 'permit from 192.0.2.0/24 user bob to 198.51.100.0/24'
		printf 'deny to host0.example%s\n' "$(printf ',host%d.example' {1..500})"
		echo 'permit from any to any'
	} >text
	"$BIN" -t -a text -o frozen
	printf 'connect %s 192.0.2.7 198.51.100.1 80\nbind u local 192.0.2.1 80\n' bob carol >input
	"$BIN" -t -a text - <input >expected
	before() { :; }
	after() {
		case $1 in
		0) cmp out expected ;;
		2) ! grep -qvxFf expected out && { [ -s said ] || grep -q '^[0-9]* *write(' trace; } ;;
		*) false ;;
		esac
	}
	for list in text frozen; do
		each_fault 'open(at)?|read|pread64|.*stat.*|mmap|write' "$BIN" -t -a "$list" -
	done
	grep -q 0 statuses
	grep -q 2 statuses
}

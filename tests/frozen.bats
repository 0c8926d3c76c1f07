# The frozen list: written, asked, stale, damaged, replaced; and that it says what its text says.

# shellcheck disable=SC2086,SC2154 # bats sets stderr; words are wanted
bats_require_minimum_version 1.5.0
load helper

setup() {
	cd "$SCRATCH" || return 1
	printf '%s\n' '# a comment' 'deny to internal' 'deny to .bad.example,203.0.113.0/24,2001:db8:bad::/48' \
		'permit connect from 192.0.2.0/24 user alice to .example.org,198.51.100.0/24 port 443 ident require' \
		'permit from local,::1,10.0.0.0/8' >list
}

teardown() {
	stop_all
}

freeze() {
	run --separate-stderr -0 "$BIN" -t -a "${1:-list}" -o "${2:-frozen}"
	[ -z "$output" ]
}

# refused TARGET MESSAGE: freezing ends with 2 and this word, and the target is as it was
refused() {
	local before
	before=$(stat -c "%i %F %s %Y %a" "$1")
	run --separate-stderr -2 "$BIN" -t -a list -o "$1"
	[ -z "$output" ]
	[[ $stderr == *"$2"* ]] || fail "$stderr"
	[ "$(stat -c "%i %F %s %Y %a" "$1")" = "$before" ]
	leftovers
}

leftovers() {
	[ -z "$(find . -name '*.??????' ! -name list)" ]
}

@test "written: with the text's mode, whole, and nothing beside it" {
	umask 077
	chmod 640 list
	[ "$(id -u)" != 0 ] || chgrp 1 list
	freeze
	[ "$(stat -c '%a %g' frozen)" = "$(stat -c '%a %g' list)" ]
	leftovers
	inode=$(stat -c %i frozen)
	freeze
	[ "$(stat -c %i frozen)" != "$inode" ]
	: >empty
	freeze list empty
	cmp <(tail -c +400 empty | head -c -8) <(tail -c +400 frozen | head -c -8) # between header and sum, which have the time
}

@test "a target that is anything else is refused" {
	cp list copy
	mkdir directory
	ln -s frozen link
	mkfifo pipe
	refused copy 'is not a frozen list'
	refused list 'is the text itself: name another file'
	refused directory 'is not a file'
	refused link 'is not a file'
	refused pipe 'is not a file'
	refused /dev/null 'is not a file'
	run -2 "$BIN" -t -a list -o missing/frozen
	[[ $output == *'No such file'* ]]
	[ ! -e frozen ]
	freeze
	run -2 "$BIN" -t -a frozen -o other
	[[ $output == *'frozen already: freeze the text' ]]
	[ ! -e other ]
	run -2 "$BIN" -a list -o other
	run -2 "$BIN" -t -a list -o other connect u 192.0.2.7 8.8.8.8 80
	echo deny nothing >wrong
	run -2 "$BIN" -t -a wrong -o other
	[ ! -e other ]
}

@test "a full disk, no permission and a killed freezer leave the old file whole" {
	in_lab || return "$status"
	freeze
	mkdir /run/small
	mount -t tmpfs -o size=64k tmpfs /run/small
	cp frozen /run/small/
	seq -f "deny to host%g.example" 20000 >long
	status=0
	"$BIN" -t -a long -o /run/small/frozen 2>said || status=$?
	[ "$status" = 2 ]
	grep -q "No space left" said
	cmp frozen /run/small/frozen
	[ "$(ls /run/small)" = frozen ]
	mkdir -m 755 shut
	cp frozen shut/
	chmod 755 .
	run -2 setpriv --reuid 65534 --regid 65534 --clear-groups "$BIN" -t -a /etc/passwd -o shut/frozen
	seq -f 'deny to host%g.example' 200000 >long
	for delay in 0.05 0.1 0.15 0.2; do
		timeout -s KILL "$delay" "$BIN" -t -a long -o shut/frozen 2>said || :
		"$BIN" -t -v -a shut/frozen | grep -qE '^frozen, (4|200000) rules'
	done
}

@test "a limit of the size of files leaves nothing behind" {
	seq -f 'deny to host%g.example' 1000 >list
	run --separate-stderr -2 bash -c 'ulimit -f 4; exec "$1" -t -a list -o frozen' bash "$BIN"
	[[ $stderr == *'File too large' ]]
	[ ! -e frozen ]
	leftovers
}

@test "known by its first bytes; -t and sessions give the lines and texts of the text" {
	freeze
	while read -r question; do
		run "$BIN" -t -a list $question
		text=$output status_of_text=$status
		run "$BIN" -t -a frozen $question
		[ "$status $output" = "$status_of_text $text" ]
	done <<-'END'
		connect alice 192.0.2.7 198.51.100.9 443
		connect bob 192.0.2.7 198.51.100.9 443
		connect alice 192.0.2.7 198.51.100.9 80
		connect alice 192.0.2.7 203.0.113.9 443
		connect alice 192.0.2.7 10.0.0.9 443
		connect alice local 8.8.8.8 1
		bind alice local 0.0.0.0 1
		connect alice ::1 2001:db8:bad::1 1
		connect alice ::1 2001:db8:bae::1 1
		connect alice 192.0.2.7 x.bad.example 443
	END
	run -0 "$BIN" -t -v -a frozen
	[[ $output == "frozen, 4 rules, made of $PWD/list at 20"* ]]
	run -0 "$BIN" -t -v -a list
	[ "$output" = 'text, 4 rules' ]
	cp list two
	printf 'permit from any to 127.0.0.1\n' >two
	freeze two frozen
	"$TOOLS/peer" -2 log 2:listen 127.0.0.1:0 exec-tcp send '\x04\x01\p2\a\0' expect '\0\x5a\0\0\0\0\0\0' 2:accept 2:close \
		expect-eof close expect-exit 0 -- "$BIN" -a frozen -l stderr
	grep -q '^close .* rule=two:1 ' log
}

@test "a rule of ten thousand bytes" {
	for octet in {0..255}; do printf '8.1.1.%d,8.1.2.%d,8.1.3.%d,' "$octet" "$octet" "$octet"; done >addresses
	printf 'deny to %s8.1.4.0\npermit from any to any\n' "$(cat addresses)" >list
	freeze
	for address in 8.1.1.0 8.1.3.255 8.1.4.0; do
		run -1 "$BIN" -t -a frozen connect u local $address 80
		[ "$output" = "deny $address 80 by list:1: $(head -n 1 list)" ]
	done
	run -0 "$BIN" -t -a frozen connect u local 8.1.4.1 80
	[ "$output" = 'permit 8.1.4.1 80 by list:2: permit from any to any' ]
}

@test "stale: said once by a session, exit status 1 of -t, the question's own" {
	mkdir elsewhere
	freeze list elsewhere/frozen
	touch -d '1 hour ago' list
	run --separate-stderr -1 "$BIN" -t -a elsewhere/frozen
	[ "$stderr" = "elsewhere/frozen: stale: $PWD/list was changed after it was frozen: freeze it again" ]
	run --separate-stderr -0 "$BIN" -t -a elsewhere/frozen connect u local 8.8.8.8 80
	[[ $stderr == *': stale: '* ]]
	list=$PWD/elsewhere/frozen
	status=0
	(cd / && printf '%b' "$(request 4 1 80 203.0.113.1 u)" | "$BIN" -a "$list" -l stderr >"$SCRATCH/reply" 2>"$SCRATCH/log") || status=$?
	[ "$status" = 0 ]
	[ "$(grep -c 'stale' log)" = 1 ]
	grep -q '^refuse .* rule=list:3 code=91 reason=denied$' log
	mv list gone
	"$BIN" -t -a elsewhere/frozen
	"$BIN" -t -a /dev/stdin -o frozen < <(cat gone)
	sleep 0.01
	"$BIN" -t -a frozen
}

@test "cut, of another version or machine, or changed in place: broken-list" {
	freeze
	for change in 'truncate -s -8 broken' 'truncate -s 100 broken' 'truncate -s +8 broken' \
		'printf "\x02" | dd of=broken bs=1 seek=24 conv=notrunc status=none' \
		'printf "\x02" | dd of=broken bs=1 seek=31 conv=notrunc status=none'; do
		cp frozen broken
		eval "$change"
		run --separate-stderr -2 "$BIN" -t -a broken
		[[ $stderr == 'broken: '*'freeze the text again' ]] || fail "$change: $stderr"
		status=0
		printf '%b' "$(request 4 1 80 203.0.113.1 u)" | "$BIN" -a broken -l stderr >reply 2>log || status=$?
		[ "$status" = 2 ]
		grep -q 'reason=broken-list$' log
	done
}

@test "a text that changes while it is frozen is not" {
	seq -f 'deny to host%g.example' 20000 >list
	while [ ! -e over ]; do touch list; done &
	changing=$!
	for _ in {1..50}; do
		status=0
		"$BIN" -t -a list -o frozen 2>said || status=$?
		[ "$status" = 0 ] || break
	done
	touch over
	wait "$changing"
	[ "$status" = 2 ]
	[ "$(cat said)" = 'list: was changed while it was read' ]
	leftovers
}

@test "questions to a list that is written over end with exit status 2; one that is no file is not asked" {
	local to from
	freeze
	mkfifo questions answers
	start asked sh -c 'exec "$1" -t -a frozen - <questions >answers' sh "$BIN"
	exec {to}>questions {from}<answers
	echo 'connect u local 8.8.8.8 80' >&"$to"
	read -r -t 10 said <&"$from"
	[ "$said" = 'permit 8.8.8.8 80 by list:5: permit from local,::1,10.0.0.0/8' ]
	touch -d '1 hour ago' frozen
	echo 'connect u local 8.8.8.8 80' >&"$to"
	exec {to}>&-
	status=0
	status_of asked || status=$?
	[ "$status" = 2 ]
	[ "$(cat asked.err)" = 'socks4-stdio: the frozen list is damaged, or was changed while it was asked' ]
	exec {from}<&-
	run --separate-stderr -2 "$BIN" -t -a <(cat frozen)
	[[ $stderr == *': a frozen list must be a file' ]]
}

@test "written over while a session waits for its request: broken-list" {
	freeze
	start session "$TOOLS/peer" -2 "$SCRATCH/log" exec-tcp send '\x04' wait-file "$SCRATCH/go" \
		send '\x01\0\x50\xcb\0\x71\x09\0' expect '\0\x5b\0\0\0\0\0\0' close expect-exit 2 -- "$BIN" -a frozen -l stderr
	wait_for opened
	touch frozen
	touch go
	status_of session
	grep -q 'reason=broken-list$' log
}

# The session has the list open.
opened() {
	[[ "$(readlink "/proc/$(pgrep -P "${PIDS[session]}")/fd/"*)" == *"$PWD/frozen"* ]]
}

@test "an item that is no item of its criterion: broken-list" {
	local kind at
	echo 'deny from 192.0.2.7 user bob to .example.org,198.51.100.1 port 80' >list
	echo 'permit from any' >>list
	freeze
	[ "$("$BIN" -t -a frozen connect bob 192.0.2.7 198.51.100.1 80)" = "deny 198.51.100.1 80 by list:1: $(head -n 1 list)" ]
	for item in 'x03\x00\x20\x00' 'x07\x01\x03\x00' 'x06\x02\x0b\x00' 'x03\x02\x20\x00' 'x08\x03\x00\x00'; do
		at=$(LC_ALL=C grep -obaP "\\$item" frozen | head -n 1 | cut -d : -f 1)
		[ -n "$at" ]
		for kind in {0..9}; do
			[ "$kind" -ne $((16#${item:1:2})) ] || continue
			cp frozen broken
			# with an offset or octets that lead far away
			printf %b "\\x0$kind" | dd of=broken bs=1 seek="$at" conv=notrunc status=none
			printf '\xf0\xff\xff\x7f' | dd of=broken bs=1 seek=$((at + 4)) conv=notrunc status=none
			run --separate-stderr "$BIN" -t -a broken connect bob 192.0.2.7 198.51.100.1 80
			echo "$item $kind: $status $output $stderr"
			[ "$status" -lt 3 ]
			[[ $status != 2 ]] || [[ $stderr == *'is damaged'* ]]
		done
	done
}

@test "-t notices damage that no question meets" {
	freeze
	printf Z | dd of=frozen bs=1 seek=$(($(stat -c %s frozen) - 20)) conv=notrunc status=none # in the path of the text
	run -1 --separate-stderr "$BIN" -t -a frozen connect u 192.0.2.7 203.0.113.1 80
	run -2 --separate-stderr "$BIN" -t -v -a frozen
	[ "$output $stderr" = ' socks4-stdio: frozen: a frozen list that was damaged: freeze the text again' ]
}

@test "whatever byte is changed, and wherever it is cut: no crash, under the sanitizers, and -t would notice" {
	BIN=${TESTS%/*}/socks4-stdio freeze # of mangle's word size
	"${MANGLE:-$TOOLS/mangle}" frozen
}

@test "a thousand sessions while the list is replaced a hundred times: each by one list or the other" {
	printf 'permit from any to 127.0.0.1\n' >one
	printf 'deny to 127.0.0.1\n' >two
	"$BIN" -t -a one -o a 2>said
	"$BIN" -t -a two -o b 2>said
	cp a frozen
	start server "$TOOLS/serve" -s statuses 0 "$BIN" -l stderr -a frozen
	port=$(port_of server)
	start web "$TOOLS/serve" 0 true
	ask=$(request 4 1 "$(port_of web)" 127.0.0.1 '')
	{
		for _ in {1..50}; do
			cp a c && mv c frozen
			cp b c && mv c frozen
		done
		touch replaced
	} &
	replacing=$!
	sessions=$((1000 / SLOW))
	for ((i = 0; i < sessions; i++)); do
		exec {fd}<>"/dev/tcp/127.0.0.1/$port"
		printf %b "$ask" >&"$fd"
		head -c 2 <&"$fd" | od -An -tu1 >>codes
		exec {fd}>&-
	done
	wait "$replacing"
	wait_for ended "$sessions"
	[ "$(sort -u codes | tr -d ' \n')" = 090091 ] || [ "$(sort -u codes | wc -l)" = 1 ]
	[ "$(sort -u statuses)" = 0 ]
	run -1 grep -vE '^(open|close|refuse) .*rule=(one|two):1( |$)' server.err
}

ended() {
	[ "$(wc -l <statuses)" = "$1" ]
}

# bats test_tags=no-valgrind
@test "a list of a hundred thousand: frozen in seconds, asked by a few reads" {
	awk 'BEGIN {
		print "deny to internal"
		for (i = 0; i < 60000; i++) printf "deny to .host%d.example%d.org\n", i, i % 100
		for (i = 0; i < 40000; i++) printf "deny to %d.%d.%d.0/24\n", 11 + i % 80, int(i / 80) % 250, i % 250
		print "permit from any port 80,443"
	}' >long
	before=$SECONDS
	freeze long
	[ $((SECONDS - before)) -le $((10 * SLOW)) ]
	[ "$(stat -c %s frozen)" -le $((6 * $(stat -c %s long))) ]
	require strace
	ASAN_OPTIONS=detect_leaks=0 strace -o trace -e trace=pread64 "$BIN" -t -a frozen connect u 192.0.2.7 8.8.8.8 443 >said
	[ "$(wc -l <trace)" -le 40 ]
	grep -q "^permit 8.8.8.8 443 by long:100002: permit from any port 80,443$" said
}

# relay COMMAND...: a relaying session of COMMAND, under a launcher; SESSION is its process
relay() {
	start destination "$TOOLS/serve" 0 cat
	start launcher env -i "$TOOLS/serve" 0 "$@"
	exec {fd}<>"/dev/tcp/127.0.0.1/$(port_of launcher)"
	printf %b "$(request 4 1 "$(port_of destination)" 127.0.0.1 '')x" >&"$fd"
	[ "$(head -c 9 <&"$fd" | od -An -v -tx1)" = ' 00 5a 00 00 00 00 00 00 78' ]
	SESSION=$(pgrep -P "${PIDS[launcher]}")
}

# KiB in memory, the pages of the program that it shares with other sessions too
resident() {
	sed -n 's/^Rss: *\([0-9]*\) kB$/\1/p' "/proc/$SESSION/smaps_rollup"
}

@test "a relaying session has closed the list, and holds no more than with a short text" {
	static=${STATIC:-${TESTS%/*}/build/static/socks4-stdio}
	require "$static"
	seq -f 'deny to host%g.example' 20000 >long
	echo 'permit from 127.0.0.0/8' | tee short >>long
	BIN=$static freeze long
	# setarch: the stack begins at the same place of a page each time
	relay setarch -R "$static" -a "$PWD/short" -l none
	most=$(($(resident) + 4))
	stop_all
	exec {fd}>&-
	relay setarch -R "$static" -a "$PWD/frozen" -l none
	[ "$(resident)" -le "$most" ]
	[[ "$(readlink "/proc/$SESSION/fd/"*)" != *frozen* ]]
}

@test "in a chroot that holds the static build and the list, and nothing else" {
	static=${STATIC:-${TESTS%/*}/build/static/socks4-stdio}
	require_root
	require "$static"
	echo 'permit from 127.0.0.0/8' >list
	BIN=$static freeze
	mkdir root
	cp "$static" frozen root/
	relay "$(command -v chroot)" "$PWD/root" /socks4-stdio -a /frozen -l none
	[ "$(readlink "/proc/$SESSION/root")" = "$PWD/root" ]
}

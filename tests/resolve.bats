# Names: lookup within its limit, the judging of what comes back, and the race (DESIGN.md sections 4 and 5).
# shellcheck disable=SC2086 # words are wanted

load helper

setup() {
	LIST=$SCRATCH/list
	LOG=$SCRATCH/log
	QUESTIONS=$SCRATCH/questions
	echo 'permit from any to any' >"$LIST"
}

# names_up RECORD...: a DNS server; the resolver itself would wait for it for minutes
names_up() {
	printf 'nameserver 127.0.0.1\noptions timeout:30 attempts:3\n' >/etc/resolv.conf
	rm -f "$QUESTIONS"
	start dnsd "$TOOLS/dnsd" -l "$QUESTIONS" "$@"
	[ "$(port_of dnsd)" = 53 ]
}

# refused CD PORT NAME [OPTION...]: a request that gets 91
refused() {
	rm -f "$LOG"
	"$TOOLS/peer" -2 "$LOG" exec-tcp send "$(request 4 "$1" "$2" 0.0.0.1 alice "$3")" expect "$REJECTED" expect-eof -- \
		"$BIN" -a "$LIST" -l stderr "${@:4}"
}

# to_works NAME WORD...: CONNECT to port 8080 of the name ends at endpoint 2, after what the words have set up
to_works() {
	rm -f "$LOG"
	"$TOOLS/peer" -2 "$LOG" "${@:2}" exec-tcp send "$(request 4 1 8080 0.0.0.1 alice "$1")" expect "$GRANTED" 2:accept \
		send ping 2:expect ping 2:send pong expect pong 2:close expect-eof -- "$BIN" -a "$LIST" -l stderr -v >/dev/null
}

# reason TEXT [PATTERN]: the one line of the log ends with that reason, and has the pattern before it
reason() {
	[ "$(wc -l <"$LOG")" = 1 ] || fail "not one line: $(cat "$LOG")" || return 1
	grep -Eq "${2-} (.* )?reason=$1\$" "$LOG" || fail "not ${2-} $1: $(cat "$LOG")"
}

# phase KEY: milliseconds of that phase, as -v has them on the open line
phase() {
	sed -n "s/^open .* ms_$1=\([0-9]*\).*/\1/p" "$LOG"
}

# nobody_left: neither the program nor its child is there
nobody_left() {
	! pgrep '^socks4-stdio' >/dev/null
}

# --- the race ---

@test "four addresses: one refuses, one never answers, one is denied, one works" {
	in_lab || return "$status"
	names_up 'four.test A 127.0.0.2' 'four.test A 127.0.0.3' 'four.test A 127.0.0.4' 'four.test A 127.0.0.5'
	printf 'deny to 127.0.0.4\npermit from any to any\n' >"$LIST"
	to_works four.test 2:listen 127.0.0.5:8080 3:listen-deaf 127.0.0.3:8080 4:listen 127.0.0.4:8080
	[ "$(phase connect)" -lt 1000 ] || fail "$(cat "$LOG")"
	[ "$(phase connect)" -ge 240 ] || fail "no head start: $(cat "$LOG")"
	grep -q "^open .* dst=127.0.0.5:8080 name=four.test rule=$LIST:2" "$LOG"
}

@test "the denied address is not called, whatever else fails" {
	in_lab || return "$status"
	names_up 'two.test A 127.0.0.2' 'two.test A 127.0.0.4'
	printf 'deny to 127.0.0.4\npermit from any to any\n' >"$LIST"
	"$TOOLS/peer" -2 "$LOG" 2:listen 127.0.0.4:8080 exec-tcp send "$(request 4 1 8080 0.0.0.1 alice two.test)" \
		expect "$REJECTED" expect-eof close expect-exit 0 2:expect-no-caller 100 -- "$BIN" -a "$LIST" -l stderr >/dev/null
	reason connect-refused "dst=127\.0\.0\.2:8080 name=two\.test rule=$LIST:2 code=91"
}

@test "after a failure the next address is tried at once, though another is under way" {
	in_lab || return "$status"
	local records=() i
	for i in {2..15}; do
		records+=("refusing.test A 127.0.1.$i")
	done
	names_up 'refusing.test A 127.0.0.2' "${records[@]}" 'refusing.test A 127.0.9.5'
	to_works refusing.test 2:listen 127.0.9.5:8080 3:listen-deaf 127.0.0.2:8080
	[ "$(phase connect)" -ge 240 ] || fail "no head start: $(cat "$LOG")"
	[ "$(phase connect)" -lt 1000 ] || fail "$(cat "$LOG")"
}

@test "a connection that meets itself is a refused one" {
	in_lab || return "$status"
	names_up
	echo '40000 40003' >/proc/sys/net/ipv4/ip_local_port_range
	for _ in {1..20}; do
		rm -f "$LOG"
		"$TOOLS/peer" -2 "$LOG" exec-pipes send "$(request 4 1 40002 127.0.0.1 alice)" expect "$REJECTED" expect-eof -- \
			"$BIN" -a "$LIST" -l stderr
		reason connect-refused 'dst=127\.0\.0\.1:40002'
	done
}

@test "families take turns" {
	in_lab || return "$status"
	names_up 'both.test AAAA 2001:db8::1' 'both.test AAAA 2001:db8::2' 'both.test AAAA 2001:db8::3' \
		'both.test AAAA 2001:db8::4' 'both.test AAAA 2001:db8::5' 'both.test A 127.0.0.5'
	local i
	for i in {1..5}; do
		ip address add "2001:db8::$i/128" dev lo nodad
	done
	to_works both.test 2:listen 127.0.0.5:8080 3:listen-deaf '[2001:db8::1]:8080' 4:listen-deaf '[2001:db8::2]:8080' \
		5:listen-deaf '[2001:db8::3]:8080' 6:listen-deaf '[2001:db8::4]:8080' 7:listen-deaf '[2001:db8::5]:8080'
	[ "$(phase connect)" -ge 240 ] || fail "IPv6 was not first: $(cat "$LOG")"
	[ "$(phase connect)" -lt 1000 ] || fail "no turns: $(cat "$LOG")"
}

@test "nobody answers: 91 within the limit, though it is shorter than the race" {
	in_lab || return "$status"
	names_up 'deaf.test A 127.0.0.2' 'deaf.test A 127.0.0.3'
	lasts 1000 3000 "$TOOLS/peer" -2 "$LOG" 2:listen-deaf 127.0.0.2:8080 3:listen-deaf 127.0.0.3:8080 exec-tcp \
		send "$(request 4 1 8080 0.0.0.1 alice deaf.test)" expect "$REJECTED" expect-eof -- \
		"$BIN" -a "$LIST" -l stderr -w connect=1 >/dev/null
	reason connect-timeout 'name=deaf\.test .* code=91'
}

@test "-4, -6 and -b narrow the families of a name" {
	in_lab || return "$status"
	names_up 'both.test A 127.0.0.5' 'both.test AAAA ::1' 'four.test A 127.0.0.5'
	port='2:listen 127.0.0.5:8080 3:listen [::1]:8080'
	while IFS='|' read -r options end dst; do
		rm -f "$LOG"
		"$TOOLS/peer" -2 "$LOG" $port exec-tcp send "$(request 4 1 8080 0.0.0.1 alice both.test)" expect "$GRANTED" \
			"$end:accept" "$end:close" expect-eof -- "$BIN" -a "$LIST" -l stderr $options >/dev/null
		grep -q "^open .* dst=$dst:8080 " "$LOG"
	done <<-'END'
		-4|2|127.0.0.5
		-b 127.0.0.9|2|127.0.0.5
		-6|3|\[::1\]
		-b ::1|3|\[::1\]
	END
	refused 1 8080 four.test -6
	reason resolve-failed 'name=four\.test'
	rm "$LOG"
	"$TOOLS/peer" -2 "$LOG" 2:listen '[::1]:8080' exec-tcp send "$(request 4 1 8080 0.0.0.1 alice ::1)" expect "$REJECTED" \
		expect-eof 2:expect-no-caller 50 -- "$BIN" -a "$LIST" -l stderr -b 127.0.0.9 >/dev/null
	reason connect-unreachable 'dst=\[::1\]:8080'
}

# --- the lookup ---

@test "a resolver that never answers: 91 and the log line within the limit, nothing left behind" {
	in_lab || return "$status"
	names_up 'mute.test SILENT'
	local command limit
	for command in '1 connect' '2 bind'; do
		limit=${command#* }
		lasts 1000 3000 refused "${command% *}" 8080 mute.test -w "connect=60,bind=60,$limit=1"
		reason resolve-timeout 'name=mute\.test port=8080 code=91'
		nobody_left
	done
	[ -s "$QUESTIONS" ]
}

@test "a client that ends its input while a name is looked up has left a BIND" {
	in_lab || return "$status"
	names_up 'mute.test SILENT'
	"$TOOLS/peer" -t $((3 * SLOW)) -2 "$LOG" exec-tcp send "$(request 4 2 8080 0.0.0.1 alice mute.test)" \
		wait-file "$QUESTIONS" shutdown expect "$REJECTED" expect-eof expect-exit 0 -- "$BIN" -a "$LIST" -l stderr
	reason client-left 'cmd=bind .*name=mute\.test port=8080 code=91'
	nobody_left
}

@test "a name is looked up in lower case" {
	in_lab || return "$status"
	names_up 'lower.test A 127.0.0.4'
	to_works LOWER.Test 2:listen 127.0.0.4:8080
	grep -q ' name=LOWER.Test ' "$LOG"
	grep -q '^lower.test A' "$QUESTIONS"
	run -1 grep -qv '^lower.test ' "$QUESTIONS"
}

@test "names that give nothing: resolve-failed" {
	in_lab || return "$status"
	names_up 'no.test NXDOMAIN' 'bad.test SERVFAIL' 'six.test AAAA 2001:db8::1'
	printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >/etc/resolv.conf # musl asks again after SERVFAIL
	local name
	for name in no.test bad.test other.test a..b $'\x01\xff' "$(printf 'a%.0s' {1..255})"; do
		refused 1 8080 "$name"
		reason resolve-failed 'code=91'
	done
	refused 2 8080 six.test # BIND is IPv4
	reason resolve-failed 'cmd=bind .* code=91'
	stop dnsd
	refused 1 8080 no.test -w connect=2
	reason 'resolve-(failed|timeout)' 'code=91'
}

@test "a slow answer within the limit is waited for, by a client that has ended its input too" {
	in_lab || return "$status"
	names_up 'late.test A 127.0.0.5' 'late.test DELAY 300'
	"$TOOLS/peer" -2 "$LOG" 2:listen 127.0.0.5:8080 exec-tcp send "$(request 4 1 8080 0.0.0.1 alice late.test)early" \
		shutdown expect "$GRANTED" 2:accept 2:expect early 2:expect-eof 2:send late 2:close expect late expect-eof -- \
		"$BIN" -a "$LIST" -l stderr -v >/dev/null
	[ "$(phase resolve)" -ge 290 ]
}

@test "a client that resets ends the lookup and the race, and so does a signal, after which the client gets its 91" {
	in_lab || return "$status"
	names_up 'mute.test SILENT' 'deaf.test A 127.0.0.2'
	local name
	for name in mute.test deaf.test; do
		rm -f "$LOG" "$QUESTIONS"
		lasts 0 3000 "$TOOLS/peer" -2 "$LOG" 2:listen-deaf 127.0.0.2:8080 exec-tcp send "$(request 4 1 8080 0.0.0.1 alice "$name")" \
			wait-file "$QUESTIONS" pause 100 reset expect-exit 0 -- "$BIN" -a "$LIST" -l stderr >/dev/null
		reason client-left "name=${name/./\\.}"
		nobody_left
		rm "$QUESTIONS"
		lasts 0 3000 "$TOOLS/peer" 2:listen-deaf 127.0.0.2:8080 exec-tcp send "$(request 4 1 8080 0.0.0.1 alice "$name")" \
			wait-file "$QUESTIONS" pause 100 kill TERM expect "$REJECTED" expect-eof close expect-exit 1 -- "$BIN" -a "$LIST" -l none >/dev/null
		nobody_left
	done
}

@test "killed while it looks up: the client's connection ends at once, the child soon" {
	in_lab || return "$status"
	names_up 'mute.test SILENT'
	# The child's own alarm comes after seven seconds.
	"$TOOLS/peer" -t $((4 * SLOW)) exec-tcp send "$(request 4 1 8080 0.0.0.1 alice mute.test)" wait-file "$QUESTIONS" pause 100 \
		kill KILL expect-closed expect-exit 137 -- "$BIN" -a "$LIST" -l none -w connect=5
	wait_for nobody_left
}

@test "no lookup for what no rule could permit" {
	in_lab || return "$status"
	local rule
	names_up 'a.test A 127.0.0.5' 'sub.a.test A 127.0.0.5'
	for rule in 'permit from 192.0.2.0/24' 'permit from local' 'permit from any user bob' 'permit from any port 80' \
		'permit bind from any' 'permit from any to b.test' 'permit from any to .b.test' 'deny to a.test' 'deny to .test' \
		'deny from 127.0.0.0/8' 'deny user alice' 'deny port 8080' 'deny connect'; do
		printf '%s\npermit from 192.0.2.1\n' "$rule" >"$LIST"
		case $rule in deny*) printf '%s\npermit from any\n' "$rule" >"$LIST" ;; esac
		refused 1 8080 a.test
		reason denied 'name=a\.test port=8080 rule=[^ ]* code=91'
		[ ! -s "$QUESTIONS" ] || fail "looked up for: $rule"
	done
	echo 'permit from any' >"$LIST"
	refused 1 8080 a.test -n
	reason names-refused 'name=a\.test port=8080 code=91'
	refused 1 0 a.test
	reason bad-port
	[ ! -s "$QUESTIONS" ] || fail "looked up: $(cat "$QUESTIONS")"
	refused 1 8080 a.test # it would have shown
	reason connect-refused
	[ -s "$QUESTIONS" ]
}

@test "a name is looked up once" {
	in_lab || return "$status"
	names_up 'a.test A 127.0.0.5' 'a.test AAAA 2001:db8::1'
	printf 'deny to 127.0.0.4\npermit from any to 127.0.0.5 user bob\npermit from any to 127.0.0.5,b.test\n' >"$LIST"
	to_works a.test 2:listen 127.0.0.5:8080
	[ "$(sort "$QUESTIONS" | paste -sd ' ')" = 'a.test A a.test AAAA' ]
	rm "$QUESTIONS"
	refused 1 8080 a.test -4
	[ "$(cat "$QUESTIONS")" = 'a.test A' ]
	rm "$QUESTIONS"
	refused 1 8080 A.Test. -4 # as it is matched: without the trailing dot
	[ "$(tr '[:upper:]' '[:lower:]' <"$QUESTIONS")" = 'a.test a' ]
}

@test "of a name's addresses sixteen are judged, each once" {
	in_lab || return "$status"
	local records=() i
	for i in {1..40}; do
		records+=("many.test A 192.0.2.$i")
	done
	names_up "${records[@]}" 'twice.test A 192.0.2.1' 'twice.test AAAA ::ffff:192.0.2.1' 'twice.test A 192.0.2.1'
	"$BIN" -t -a "$LIST" connect alice local many.test 80 >"$SCRATCH/out"
	[ "$(grep -c '^permit many.test 192\.0\.2\.[0-9]* 80 by ' "$SCRATCH/out")" = 16 ]
	[ "$(wc -l <"$SCRATCH/out")" = 16 ]
	"$BIN" -t -a "$LIST" connect alice local twice.test 80 >"$SCRATCH/out"
	[ "$(wc -l <"$SCRATCH/out")" = 1 ]
}

# --- what comes back ---

@test "names that give 0.0.0.0, :: and mapped forms of it" {
	in_lab || return "$status"
	names_up 'zero.test A 0.0.0.0' 'null.test AAAA ::' 'mapped.test AAAA ::ffff:0.0.0.0' 'all.test A 0.0.0.0' \
		'all.test AAAA ::' 'all.test AAAA ::ffff:0.0.0.0' 'some.test A 0.0.0.0' 'some.test A 127.0.0.5' 'some.test AAAA ::'
	printf 'permit from any to 0.0.0.0/0,::/0,0.0.0.0\npermit from any\n' >"$LIST"
	start everywhere "$TOOLS/peer" -t 100 listen '[::]:8081' expect-no-caller 60000
	[ "$(port_of everywhere)" = 8081 ]
	local name command
	for command in 1 2; do
		for name in zero.test null.test mapped.test all.test 0 0x0 00.0 0.0; do
			refused "$command" 8081 "$name"
			reason '(resolve-failed|bad-name)' 'user=alice .* code=91'
		done
		for name in 0.0.0.0 :: ::0 ::ffff:0.0.0.0 ::ffff:0:0; do
			refused "$command" 8081 "$name"
			reason bad-address 'user=alice .* code=91'
		done
	done
	kill -0 "${PIDS[everywhere]}" || fail 'somebody called'
	to_works some.test 2:listen 127.0.0.5:8080
	grep -q '^open .* dst=127.0.0.5:8080 name=some.test' "$LOG"
}

@test "a mapped address is judged, called and logged as IPv4" {
	in_lab || return "$status"
	names_up 'm.test AAAA ::ffff:127.0.0.5'
	printf 'permit from any to 127.0.0.5\n' >"$LIST"
	to_works m.test 2:listen 127.0.0.5:8080
	grep -q '^open .* dst=127.0.0.5:8080 name=m.test' "$LOG"
	printf 'deny to 127.0.0.5\npermit from any\n' >"$LIST"
	refused 1 8080 m.test
	reason denied "dst=127\.0\.0\.5:8080 name=m\.test rule=$LIST:1 code=91"
	refused 1 8080 m.test -6
	reason resolve-failed 'name=m\.test'
}

@test "names that lead inside, and to this host's own public addresses" {
	in_lab || return "$status"
	local address name=0 records=()
	local -a addresses=(127.0.0.1 127.255.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 ::1 fd00::1 fe80::1
		::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::a00:1 2002:7f00:1:: 224.0.0.1 255.255.255.255 ff02::1
		203.0.113.9 2001:db8:9::9 64:ff9b::cb00:7109)
	ip address add 203.0.113.9/32 dev lo # public, but this host's
	ip address add 2001:db8:9::9/128 dev lo nodad
	printf 'deny to internal\npermit from any\n' >"$LIST"
	for address in "${addresses[@]}"; do
		name=$((name + 1))
		case $address in
		*:*) records+=("n$name.test AAAA $address") ;;
		*) records+=("n$name.test A $address") ;;
		esac
	done
	names_up "${records[@]}" 'outside.test A 203.0.113.10' 'outside.test A 127.0.0.1'
	name=0
	for address in "${addresses[@]}"; do
		name=$((name + 1))
		refused 1 8080 "n$name.test"
		reason denied "dst=[^ ]*:8080 name=n$name\.test rule=$LIST:1 code=91" || fail "for $address" || return 1
	done
	refused 1 8080 outside.test # not ours: nothing but the way there is missing
	reason connect-unreachable "dst=203\.0\.113\.10:8080 name=outside\.test rule=$LIST:2 code=91"
}

@test "numbers that only a resolver takes for addresses are judged as such" {
	in_lab || return "$status"
	names_up
	printf 'deny to internal\npermit from any\n' >"$LIST"
	local name
	for name in 127.1 2130706433 0x7f000001 0177.0.0.1 127.0.1; do
		refused 1 8080 "$name"
		reason '(denied|bad-name|resolve-failed)' 'code=91'
		! grep -q 'dst=' "$LOG" || reason denied "dst=127\.0\.0\.1:8080 .*rule=$LIST:1" || return 1
	done
}

@test "the environment steers no look-up of the server and of -t, but the client's" {
	in_lab || return "$status"
	names_up 'inside.test A 127.0.0.5'
	echo 'alias inside.test' >"$SCRATCH/aliases"
	export HOSTALIASES=$SCRATCH/aliases LOCALDOMAIN=test
	local name
	for name in alias inside; do
		refused 1 8080 "$name"
		reason resolve-failed "name=$name"
		[ "$("$BIN" -t -a "$LIST" connect u 192.0.2.7 "$name" 80)" = "deny $name 80: resolve-failed" ]
	done
	RES_OPTIONS=use-vc to_works inside.test 2:listen 127.0.0.5:8080 # dnsd knows no TCP
	ldd "$BIN" >/dev/null 2>&1 || return 0 # musl looks at none of them
	for name in alias inside; do
		"$TOOLS/peer" 2:listen 127.0.0.1:0 exec-pipes 2:accept 2:expect "$(request 4 1 80 127.0.0.5 u)" 2:close \
			expect-exit 1 -- "$BIN" -l none -n -u u -c 127.0.0.1:@2 "$name" 80 >/dev/null
	done
}

@test "name and address rules are judged together" {
	in_lab || return "$status"
	names_up 'good.test A 127.0.0.5' 'evil.test A 127.0.0.5' 'mixed.test A 127.0.0.4' 'mixed.test A 127.0.0.5'
	printf 'permit from any to good.test\ndeny to 127.0.0.5\npermit from any\n' >"$LIST"
	to_works good.test 2:listen 127.0.0.5:8080
	grep -q "^open .* rule=$LIST:1" "$LOG"
	refused 1 8080 evil.test
	reason denied "dst=127\.0\.0\.5:8080 name=evil\.test rule=$LIST:2"
	to_works mixed.test 2:listen 127.0.0.4:8080
	grep -q "^open .* dst=127.0.0.4:8080 name=mixed.test rule=$LIST:3" "$LOG"
}

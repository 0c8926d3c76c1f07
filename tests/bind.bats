# BIND: both replies, the one caller, its check, and that no listener remains.

load helper
load hosts

setup() {
	ACL=$SCRATCH/acl
	echo 'permit from any to 0.0.0.0,127.0.0.0/8' >"$ACL"
}

# bind_script WORD...: a peer as the client; endpoint 2 is for the caller; the program has $OPTIONS, too
bind_script() {
	# shellcheck disable=SC2086 # words are wanted
	"$TOOLS/peer" -2 "$SCRATCH/log" "$@" -- "$BIN" -l stderr -a "$ACL" ${OPTIONS-} >/dev/null
}

@test "both replies, then both directions" {
	bind_script exec-tcp send "$(request 4 2 21 127.0.0.1 alice)" expect '\0\x5a\c3\x7f\0\0\x01' \
		2:connect 127.0.0.1:@3 expect '\0\x5a\p2\x7f\0\0\x01' 2:send banner expect banner send up shutdown \
		2:expect up 2:expect-eof 2:close expect-eof
	grep -q '^open cmd=bind src=127.0.0.1:[0-9]* user=alice dst=127.0.0.1:[0-9]* rule=.*:1' "$SCRATCH/log"
	grep -q '^close cmd=bind .* up=2 down=6 secs=.* reason=eof$' "$SCRATCH/log"
}

@test "early bytes of the client are kept, in order, more than we hold too" {
	bind_script exec-tcp send "$(request 4 2 21 127.0.0.1 '')one" expect '\0\x5a\c3\x7f\0\0\x01' send two pause 20 \
		send-random 3K 9 pause 20 2:connect 127.0.0.1:@3 expect '\0\x5a\p2\x7f\0\0\x01' 2:expect onetwo \
		2:expect-random 3K 9 shutdown 2:expect-eof 2:close expect-eof
	bind_script exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\x7f\0\0\x01' send-random 100K 5 \
		2:connect 127.0.0.1:@3 expect '\0\x5a\p2\x7f\0\0\x01' 2:expect-random 100K 5 shutdown 2:expect-eof \
		2:close expect-eof
}

@test "the listener takes one caller and is gone" {
	bind_script exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\x7f\0\0\x01' \
		2:connect 127.0.0.1:@3 expect '\0\x5a\p2\x7f\0\0\x01' 4:expect-refused 127.0.0.1:@3 2:close \
		expect-eof close
}

@test "a wrong caller: 91, both connections closed" {
	bind_script exec-tcp send "$(request 4 2 21 127.0.0.9 '')" expect '\0\x5a\c3\?\?\?\?' 2:connect 127.0.0.1:@3 \
		expect "$REJECTED" expect-eof 2:expect-closed
	grep -q ' code=91 reason=bind-wrong-caller$' "$SCRATCH/log"
	grep -q '^refuse cmd=bind .* dst=127.0.0.1:' "$SCRATCH/log"
}

@test "the client that leaves ends it at once and frees the port, behind unread bytes too" {
	for leave in close reset shutdown; do
		rm -f "$SCRATCH/log"
		bind_script -t $((3 * SLOW)) exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\x7f\0\0\x01' "$leave" \
			expect-exit 0 4:expect-refused 127.0.0.1:@3
		grep -q ' code=91 reason=client-left$' "$SCRATCH/log"
	done
	rm "$SCRATCH/log"
	bind_script -t $((3 * SLOW)) exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\x7f\0\0\x01' \
		send-random 20K 5 close expect-exit 0
	grep -q ' code=91 reason=client-left$' "$SCRATCH/log"
}

@test "a signal that ends the wait is told by 91, on a pipe too" {
	for kind in exec-tcp exec-pipes; do
		bind_script $kind send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\x7f\0\0\x01' kill TERM expect "$REJECTED" \
			expect-eof close expect-exit 1
	done
}

@test "a pipe that nobody reads any more is a client that left" {
	mkfifo "$SCRATCH/in" "$SCRATCH/out"
	"$BIN" -l stderr -a "$ACL" <"$SCRATCH/in" >"$SCRATCH/out" 2>"$SCRATCH/log" 3>&- &
	exec 7>"$SCRATCH/in" 8<"$SCRATCH/out"
	printf %b "$(request 4 2 21 127.0.0.1 '')" >&7
	[ "$(head -c 2 <&8 | xxd -p)" = 005a ]
	exec 8<&-
	wait_for grep -q ' code=91 reason=client-left$' "$SCRATCH/log"
	exec 7>&-
	wait $!
}

@test "nobody calls: 91 at the limit, no listener remains" {
	OPTIONS='-w bind=1' bind_script -t $((3 * SLOW)) exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\x7f\0\0\x01' \
		expect "$REJECTED" expect-eof expect-exit 0 4:expect-refused 127.0.0.1:@3
	grep -q ' code=91 reason=bind-timeout$' "$SCRATCH/log"
}

@test "no descriptor is left for the caller: 91 at once, exit 1" {
	# nor one to look for leaks with
	start client env ASAN_OPTIONS=detect_leaks=0 "$TOOLS/peer" -2 "$SCRATCH/log" exec-tcp \
		send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\x7f\0\0\x01' print '\d3\n' expect "$REJECTED" \
		expect-eof expect-exit 1 -- \
		"$BIN" -l stderr -a "$ACL" -w bind=5
	port=$(port_of client)
	prlimit --pid "$(pgrep -P "${PIDS[client]}")" --nofile=3:3
	run bash -c ": <>/dev/tcp/127.0.0.1/$port" # may be through before it is reset, or not
	status_of client || fail "$(cat "$SCRATCH/client.err")"
	grep -q ' code=91 reason=system$' "$SCRATCH/log"
}

@test "a caller that may not be accepted: 91 at once, exit 1" {
	require strace
	bind_script() { # under strace no leak can be looked for
		ASAN_OPTIONS=detect_leaks=0 "$TOOLS/peer" -2 "$SCRATCH/log" -t 5 "$@" -- strace -qq -o "$SCRATCH/trace" \
			-e inject=accept,accept4:error=EPERM "$BIN" -l stderr -a "$ACL" >/dev/null
	}
	bind_script exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\x7f\0\0\x01' \
		2:connect 127.0.0.1:@3 expect "$REJECTED" expect-eof expect-exit 1
	grep -q ' code=91 reason=system$' "$SCRATCH/log"
}

@test "-r gives the port; exhausted: 91 bind-failed" {
	"$TOOLS/peer" listen 127.0.0.1:0 wait-file "$SCRATCH/done" >"$SCRATCH/port" 3>&- &
	wait_for test -s "$SCRATCH/port"
	taken=$(cat "$SCRATCH/port")
	OPTIONS="-r $taken-$taken" bind_script exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect "$REJECTED" expect-eof
	grep -q ' code=91 reason=bind-failed$' "$SCRATCH/log"
	touch "$SCRATCH/done"
	wait $!
	for _ in 1 2 3; do # the port of a session that has just ended serves the next one
		OPTIONS="-r $taken-$taken" bind_script exec-tcp send "$(request 4 2 21 127.0.0.1 '')" \
			expect "\\0\\x5a$(printf '\\x%02x\\x%02x' $((taken >> 8)) $((taken & 255)))\\x7f\\0\\0\\x01" \
			2:connect "127.0.0.1:$taken" expect '\0\x5a\p2\x7f\0\0\x01' shutdown 2:expect-eof 2:close expect-eof
	done
}

@test "-r: ports that this user may not have are passed over" {
	require setpriv
	hosts_up gateway
	on gateway sysctl -qw net.ipv4.ip_unprivileged_port_start=1024
	for _ in 1 2 3 4; do # the search starts anywhere: at the one free port once in 25 times
		on gateway setpriv --inh-caps=-net_bind_service --bounding-set=-net_bind_service \
			"$TOOLS/peer" -2 "$SCRATCH/log" exec-tcp send "$(request 4 2 21 127.0.0.1 '')" \
			expect '\0\x5a\x04\0\x7f\0\0\x01' close -- "$BIN" -l stderr -a "$ACL" -r 1000-1024
		on gateway setpriv --inh-caps=-net_bind_service --bounding-set=-net_bind_service \
			"$TOOLS/peer" -2 "$SCRATCH/log" exec-tcp send "$(request 4 2 21 127.0.0.1 '')" \
			expect "$REJECTED" expect-eof -- "$BIN" -l stderr -a "$ACL" -r 1000-1023
		grep -q ' code=91 reason=bind-failed$' "$SCRATCH/log"
	done
}

@test "-r: ports that SocketBindDeny keeps from us are passed over" {
	require strace
	hosts_up gateway
	ASAN_OPTIONS=detect_leaks=0 on gateway "$TOOLS/peer" -2 "$SCRATCH/log" exec-tcp \
		send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\x7f\0\0\x01' close -- \
		strace -qq -o "$SCRATCH/trace" -e inject=bind:error=EPERM:when=1..3 "$BIN" -l stderr -a "$ACL" -r 2000-2003
	grep -c INJECTED "$SCRATCH/trace" | grep -qx 3
}

@test "-A is advertised, -b is listened on; IPv6 alone leaves nothing to listen on: 91 bind-failed" {
	OPTIONS='-A 198.51.100.9 -b 127.0.0.5' bind_script exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\xc6\x33\x64\x09' \
		2:connect 127.0.0.5:@3 expect '\0\x5a\p2\x7f\0\0\x01' 2:close expect-eof close
	OPTIONS='-b 127.0.0.5' bind_script exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\x7f\0\0\x05' \
		4:expect-refused 127.0.0.1:@3 close
	OPTIONS='-b ::1' bind_script exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect "$REJECTED" expect-eof
	grep -q ' code=91 reason=bind-failed$' "$SCRATCH/log"
	OPTIONS='-b ::1 -b 127.0.0.5' bind_script exec-tcp send "$(request 4 2 21 127.0.0.1 '')" expect '\0\x5a\c3\x7f\0\0\x05' close
}

@test "DSTIP 0.0.0.0: any caller, only by a rule that names it" {
	bind_script exec-tcp send "$(request 4 2 0 0.0.0.0 '')" expect '\0\x5a\c3\0\0\0\0' \
		2:bind 127.0.0.7:0 2:connect 127.0.0.1:@3 expect '\0\x5a\p2\x7f\0\0\x07' 2:close expect-eof close
	for list in 'permit from any' 'permit from any to any' 'permit from any to 0.0.0.0/8' \
		'deny to internal\npermit from any to 0.0.0.0'; do
		printf '%b\n' "$list" >"$ACL"
		bind_script exec-tcp send "$(request 4 2 0 0.0.0.0 '')" expect "$REJECTED" expect-eof
	done
	[ "$(grep -c ' code=91 reason=denied$' "$SCRATCH/log")" = 4 ]
}

@test "a name: any of its permitted IPv4 addresses may call, the others not" {
	in_lab || return "$status"
	printf '%s\n' '127.0.0.11 many.test' '127.0.0.12 many.test' '127.0.0.13 many.test' '2001:db8::6 six.test' >>/etc/hosts
	printf '%s\n' 'deny to 127.0.0.13' 'permit from any to .test' >"$ACL"
	for last in 11 12; do
		bind_script exec-tcp send "$(request 4 2 21 0.0.0.1 '' many.test)" expect '\0\x5a\c3\?\?\?\?' \
			2:bind "127.0.0.$last:0" 2:connect 127.0.0.1:@3 expect '\0\x5a\p2\x7f\0\0\?' 2:close expect-eof close
	done
	bind_script exec-tcp send "$(request 4 2 21 0.0.0.1 '' many.test)" expect '\0\x5a\c3\?\?\?\?' \
		2:bind 127.0.0.13:0 2:connect 127.0.0.1:@3 expect "$REJECTED" expect-eof
	bind_script exec-tcp send "$(request 4 2 21 0.0.0.1 '' six.test)" expect "$REJECTED" expect-eof
	grep -q '^open cmd=bind .* name=many.test rule=.*:2' "$SCRATCH/log"
	grep -q 'name=many.test .*reason=bind-wrong-caller$' "$SCRATCH/log"
	grep -q 'name=six.test port=[0-9]* code=91 reason=resolve-failed$' "$SCRATCH/log"
}

@test "three hosts: the right caller, a wrong one, nobody, the client leaving" {
	hosts_up client gateway server
	on server ip address add 10.2.0.3/24 dev gateway
	echo 'permit from 10.1.0.0/24 to 10.2.0.2' >"$ACL"
	start gateway on gateway "$TOOLS/serve" -a 10.1.0.2 0 "$BIN" -l stderr -a "$ACL" -w bind=1
	port=$(port_of gateway)

	start client on client "$TOOLS/peer" connect "10.1.0.2:$port" send "$(request 4 2 21 10.2.0.2 '')" \
		expect '\0\x5a\c3\x0a\x02\0\x01' print '\d3\n' expect '\0\x5a\c4\x0a\x02\0\x02' expect hello shutdown expect-eof
	on server "$TOOLS/peer" bind 10.2.0.2:0 connect "10.2.0.1:$(port_of client)" send hello expect-eof close
	status_of client

	start client on client "$TOOLS/peer" connect "10.1.0.2:$port" send "$(request 4 2 21 10.2.0.2 '')" \
		expect '\0\x5a\c3\x0a\x02\0\x01' print '\d3\n' expect "$REJECTED" expect-eof
	on server "$TOOLS/peer" bind 10.2.0.3:0 connect "10.2.0.1:$(port_of client)" expect-closed
	status_of client

	on client "$TOOLS/peer" connect "10.1.0.2:$port" send "$(request 4 2 21 10.2.0.2 '')" \
		expect '\0\x5a\c3\x0a\x02\0\x01' expect "$REJECTED" expect-eof
	on client "$TOOLS/peer" connect "10.1.0.2:$port" send "$(request 4 2 21 10.2.0.2 '')" \
		expect '\0\x5a\c3\x0a\x02\0\x01' close
	for reason in bind-wrong-caller bind-timeout client-left; do
		wait_for grep -q "reason=$reason\$" "$SCRATCH/gateway.err"
	done
	grep -q 'cmd=bind .* dst=10.2.0.2:.* reason=eof$' "$SCRATCH/gateway.err"
	[ "$(on gateway ss -Hltn | wc -l)" = 1 ] # the launcher's own
}

# The main job as a user has it: a super-server, real clients, a large file, a login, and `make run`.

load helper

setup() {
	echo 'permit from 127.0.0.1' >"$SCRATCH/list" # whatever list this machine has
}

# A web server of one page, which is file $1.
web_up() {
	start web "$TOOLS/serve" 0 bash -c 'while read -r line && [ "$line" != $'"'\\r'"' ]; do :; done
		printf "HTTP/1.0 200 OK\r\nContent-Length: %s\r\n\r\n" "$(stat -c %s "$0")"; exec cat "$0"' "$1"
	WEB=$(port_of web)
}

# systemd's own small super-server; it cannot be asked for port 0, so a port that is free now is taken.
proxy_up() {
	local tries=20
	while [ "$tries" -gt 0 ]; do
		tries=$((tries - 1))
		PROXY=$((20000 + RANDOM % 10000))
		start proxy systemd-socket-activate --accept --inetd -l "127.0.0.1:$PROXY" "$BIN" -a "$SCRATCH/list" -l none
		if wait_for grep -q -e 'Listening on' -e 'Failed' "$SCRATCH/proxy.err" &&
			grep -q 'Listening on' "$SCRATCH/proxy.err"; then
			return
		fi
	done
	fail 'no port is free'
}

@test "curl (--socks4 and --socks4a) and netcat fetch 100 MiB byte for byte" {
	require curl nc systemd-socket-activate
	head -c 100M /dev/urandom >"$SCRATCH/file"
	web_up "$SCRATCH/file"
	proxy_up
	for kind in --socks4 --socks4a; do
		curl -sS --max-time 60 "$kind" "127.0.0.1:$PROXY" -o "$SCRATCH/got" "http://localhost:$WEB/"
		cmp "$SCRATCH/file" "$SCRATCH/got"
	done
	printf 'GET / HTTP/1.0\r\n\r\n' |
		timeout 60 nc -N -X 4 -x "127.0.0.1:$PROXY" 127.0.0.1 "$WEB" | tail -c 100M >"$SCRATCH/got"
	cmp "$SCRATCH/file" "$SCRATCH/got"
}

@test "ssh logs in through ProxyCommand nc -X 4" {
	require nc ssh sshd
	in_lab || return "$status"
	# shellcheck source=tests/ssh-scene
	. "$TESTS/ssh-scene" none :
	systemd-socket-activate --accept --inetd -l 127.0.0.1:1080 "$BIN" -l none 2>/dev/null &
	wait_for answers 1080
	[ "$(timeout 20 ssh -o 'ProxyCommand=nc -X 4 -x 127.0.0.1:1080 %h %p' 127.0.0.1 echo logged in)" = 'logged in' ]
}

two_ended() {
	[ "$(wc -l <"$SCRATCH/statuses")" = 2 ]
}

@test "the process is gone after its session, a refused one too" {
	start proxy "$TOOLS/serve" -s "$SCRATCH/statuses" 0 "$BIN" -a "$SCRATCH/list" -l none
	port=$(port_of proxy)
	"$TOOLS/peer" 2:listen 127.0.0.1:0 connect "127.0.0.1:$port" send "$(request 4 1 @2 127.0.0.1 '')" \
		expect '\0\x5a\0\0\0\0\0\0' 2:accept 2:close expect-eof close
	"$TOOLS/peer" connect "127.0.0.1:$port" send x expect '\0\x5b\0\0\0\0\0\0' expect-eof close
	wait_for two_ended
	[ "$(sort -u "$SCRATCH/statuses")" = 0 ]
}

@test "make run serves by the built-in list until it is interrupted, and tells the curl line" {
	require curl make
	echo hello >"$SCRATCH/file"
	in_lab || return "$status"
	echo deny >/etc/socks4-stdio.acl
	busybox httpd -p 127.0.0.1:8080 -h "$SCRATCH"
	# As a terminal does it: Ctrl-C goes to the whole group, and its default is not ignored.
	setsid env --default-signal=INT make -C "$TESTS/.." run PORT=1090 >"$SCRATCH/run.out" 2>"$SCRATCH/run.err" &
	wait_for bash -c ': </dev/tcp/127.0.0.1/1090'
	grep -qx 'serving on 127.0.0.1:1090 until Ctrl-C' "$SCRATCH/run.out"
	grep -q 'curl --socks4a 127.0.0.1:1090 http' "$SCRATCH/run.out"
	[ "$(curl -sS --max-time 10 --socks4a 127.0.0.1:1090 http://localhost:8080/file)" = hello ]
	wait_for grep -q '^close cmd=connect .* name=localhost rule=built-in:1 .* reason=eof$' "$SCRATCH/run.err"
	kill -INT -- "-$!"
	wait_for gone "$!"
	run ! bash -c ': </dev/tcp/127.0.0.1/1090'
}

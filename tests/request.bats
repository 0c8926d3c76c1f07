# The request on the wire: segmentation, limits, every refusal with its reply and its reason.

load helper

setup() {
	ACL=$SCRATCH/acl
	echo 'permit from any' >"$ACL"
}

# script WORD...: a peer on a TCP connection to the program, with a destination behind endpoint 2
script() {
	"$TOOLS/peer" -2 "$SCRATCH/log" 2:listen 127.0.0.1:0 "$@" -- "$BIN" -l stderr -a "$ACL" -w request=1 >/dev/null
}

# cut_everywhere BYTES: as \xHH or \p2 (two bytes, never cut within the word)
cut_everywhere() {
	local -a bytes
	local i
	mapfile -t bytes < <(grep -oE '\\x[0-9a-f]{2}|\\p2' <<<"$1")
	[ "${#bytes[@]}" -gt 8 ]
	for ((i = 1; i < ${#bytes[@]}; i++)); do
		script exec-tcp send "$(printf %s "${bytes[@]:0:i}")" pause 3 \
			send "$(printf %s "${bytes[@]:i}")" expect "$GRANTED" 2:accept \
			send hello 2:expect hello shutdown 2:expect-eof 2:close expect-eof || return 1
	done
}

@test "a request cut at every byte: SOCKS4, SOCKS4A" {
	cut_everywhere "$(request 4 1 @2 127.0.0.1 alice)"
	cut_everywhere "$(request 4 1 @2 0.0.0.1 bob 127.0.0.1)"
}

@test "a request cut within the port" {
	"$TOOLS/peer" listen 127.0.0.1:0 accept pause 100 close >"$SCRATCH/port" 3>&- &
	wait_for test -s "$SCRATCH/port"
	port=$(cat "$SCRATCH/port")
	whole=$(request 4 1 "$port" 127.0.0.1 alice)
	"$TOOLS/peer" exec-tcp send "${whole:0:12}" pause 5 send "${whole:12}" expect "$GRANTED" \
		expect-eof -- "$BIN" -l none -a "$ACL"
	wait $!
}

@test "a request one byte at a time" {
	script exec-tcp trickle 2 "$(request 4 1 @2 0.0.0.255 alice localhost)" expect "$GRANTED" 2:accept \
		2:send x expect x 2:close expect-eof
}

@test "DSTIP 0.0.0.x with x zero has no name: what follows is not read as one" {
	echo 'permit from any to 0.0.0.0' >"$ACL"
	script exec-tcp send "$(request 4 1 80 0.0.0.0 alice localhost)" expect "$REJECTED" expect-eof
	grep -q 'code=91 reason=bad-address$' "$SCRATCH/log"
	run -1 grep -q name= "$SCRATCH/log"
}

@test "one byte short: 91 at the end of input" {
	for whole in "$(request 4 1 @2 127.0.0.1 alice)" "$(request 4 1 @2 0.0.0.1 alice localhost)"; do
		rm -f "$SCRATCH/log"
		script exec-tcp send "${whole%\\x00}" shutdown expect "$REJECTED" expect-eof
		grep -q '^refuse cmd=connect src=127.0.0.1:.* code=91 reason=short-request$' "$SCRATCH/log"
		[ "$(wc -l <"$SCRATCH/log")" = 1 ]
	done
}

@test "one byte short: 91 at the limit, which is one on the whole request" {
	whole=$(request 4 1 @2 127.0.0.1 alice)
	script exec-tcp send "${whole%\\x00}" expect "$REJECTED" expect-eof
	grep -q '^refuse cmd=connect src=127.0.0.1:.* code=91 reason=request-timeout$' "$SCRATCH/log"
	rm "$SCRATCH/log"
	script exec-tcp trickle 250 "\x04\x01\x00\x50" expect "$REJECTED" expect-eof
	grep -q 'reason=request-timeout$' "$SCRATCH/log"
}

@test "no byte at all: 91 at the end of input and at the limit" {
	script exec-tcp shutdown expect "$REJECTED" expect-eof
	script exec-tcp expect "$REJECTED" expect-eof
	grep -q '^refuse src=127.0.0.1:[0-9]* code=91 reason=short-request$' "$SCRATCH/log"
	grep -q '^refuse src=127.0.0.1:[0-9]* code=91 reason=request-timeout$' "$SCRATCH/log"
}

# refused REASON REPLY BYTES: the reply and nothing else comes, then the end; exit status 0
refused() {
	rm -f "$SCRATCH/log"
	script exec-tcp send "$3" expect "$2" expect-eof expect-exit 0 ||
		fail "$1: $(cat "$SCRATCH/log")" || return 1
	grep -q " reason=$1\$" "$SCRATCH/log" || fail "$1: $(cat "$SCRATCH/log")" || return 1
	[ "$(wc -l <"$SCRATCH/log")" = 1 ]
}

@test "every refusal of a request has its reply and its reason" {
	long=$(printf 'u%.0s' {1..256})
	refused is-socks5 '\x05\xff' '\x05\x01\x00'
	grep -q ' code=255 ' "$SCRATCH/log"
	refused is-tls "$REJECTED" '\x16\x03\x01\x02\x00'
	for method in G GET 'GET ' HEAD POST P PU PUT DELETE CONNECT OPTIONS TRACE PATCH; do
		refused is-http "$REJECTED" "$method"
	done
	for method in GETS PROXY get Q; do
		refused bad-version "$REJECTED" "$method"
	done
	refused is-http "$REJECTED" 'GET / HTTP/1.0\r\n\r\n'
	refused is-http "$REJECTED" 'CONNECT example.org:443 HTTP/1.1\r\n\r\n'
	refused bad-version "$REJECTED" '\x00'
	refused bad-command "$REJECTED" '\x04\x00'
	refused bad-command "$REJECTED" '\x04\x03\x00\x50\x7f\x00\x00\x01\x00'
	refused bad-command "$REJECTED" '\x04\xff'
	refused too-long "$REJECTED" "$(request 4 1 80 127.0.0.1 "$long")"
	refused too-long "$REJECTED" "$(request 4 1 80 0.0.0.1 alice "$long")"
	refused bad-name "$REJECTED" "$(request 4 1 80 0.0.0.1 alice '')"
	refused bad-name "$REJECTED" "$(request 4 1 80 0.0.0.1 alice .)"
	refused bad-name "$REJECTED" "$(request 4 1 80 0.0.0.1 alice localhost..)"
	refused bad-name "$REJECTED" "$(request 4 1 80 0.0.0.1 alice 'loc\097lhost')"
	refused resolve-failed "$REJECTED" "$(request 4 1 80 0.0.0.1 alice '127.0.0.1 .example.org')"
	refused bad-address "$REJECTED" "$(request 4 1 80 0.0.0.0 alice)"
	refused bad-port "$REJECTED" "$(request 4 1 0 127.0.0.1 alice)"
	grep -q ' dst=127.0.0.1:0 ' "$SCRATCH/log"
	refused bad-port "$REJECTED" "$(request 4 1 0 0.0.0.1 alice localhost)"
	refused connect-refused "$REJECTED" "$(request 4 1 1 127.0.0.1 alice)"
	echo 'deny from any' >"$ACL"
	refused denied "$REJECTED" "$(request 4 1 @2 127.0.0.1 alice)"
}

@test "a USERID and a name of 255 bytes are taken" {
	long=$(printf 'u%.0s' {1..255})
	script exec-tcp send "$(request 4 1 @2 127.0.0.1 "$long")" expect "$GRANTED" 2:accept 2:close expect-eof
	rm "$SCRATCH/log"
	refused resolve-failed "$REJECTED" "$(request 4 1 80 0.0.0.1 "$long" "$long")"
	grep -q "user=$long name=$long port=[0-9]* code=91" "$SCRATCH/log"
}

@test "-n takes addresses" {
	"$TOOLS/peer" 2:listen 127.0.0.1:0 exec-tcp send "$(request 4 1 @2 127.0.0.1 '')" expect "$GRANTED" \
		2:accept 2:close expect-eof -- "$BIN" -l none -a "$ACL" -n
}

@test "a mapped address as a name is IPv4" {
	refused connect-refused "$REJECTED" "$(request 4 1 1 0.0.0.1 '' ::ffff:127.0.0.1)"
	grep -q ' dst=127.0.0.1:1 ' "$SCRATCH/log"
}

@test "the refusal survives bytes that the client still sends" {
	echo 'deny from any' >"$ACL"
	script exec-tcp send "$(request 4 1 80 127.0.0.1 '')" send-random 32K 1 expect "$REJECTED" expect-eof
}

@test "a refused client that goes on sending is not listened to for long" {
	echo 'deny from any' >"$ACL"
	run -1 script exec-tcp send "$(request 4 1 80 127.0.0.1 '')" expect "$REJECTED" expect-eof send-random 16M 1
	[[ $output == *'send-random: '*@(reset|Broken)* ]]
}

@test "a client that ends its input during CONNECT has only finished sending" {
	script exec-tcp send "$(request 4 1 @2 127.0.0.1 '')bye" shutdown expect "$GRANTED" 2:accept 2:expect bye \
		2:expect-eof 2:send answer 2:close expect answer expect-eof
}

@test "a client that resets while CONNECT is under way is noticed at once" {
	"$TOOLS/peer" -t $((3 * SLOW)) -2 "$SCRATCH/log" 2:listen-deaf 127.0.0.1:0 exec-tcp send "$(request 4 1 @2 127.0.0.1 '')" \
		pause 200 reset expect-exit 0 -- "$BIN" -l stderr -a "$ACL" >/dev/null
	grep -q ' code=91 reason=client-left$' "$SCRATCH/log"
}

@test "where no route leads, or one that refuses" {
	in_lab || return "$status"
	ip route add unreachable 192.0.2.0/24
	ip route add prohibit 198.51.100.0/24
	for way in '203.0.113.1 connect-unreachable' '192.0.2.1 connect-unreachable' '198.51.100.1 connect-failed'; do
		"$TOOLS/peer" -2 "$SCRATCH/log" exec-tcp send "$(request 4 1 80 "${way% *}" '')" expect '\0\x5b\0\0\0\0\0\0' expect-eof \
			expect-exit 0 -- "$BIN" -l stderr -a "$SCRATCH/acl"
		grep -q " dst=${way% *}:80 .*code=91 reason=${way#* }$" "$SCRATCH/log"
	done
}

@test "a destination that never answers: 91 at the connect limit" {
	"$TOOLS/peer" -t $((3 * SLOW)) -2 "$SCRATCH/log" 2:listen-deaf 127.0.0.1:0 exec-tcp send "$(request 4 1 @2 127.0.0.1 '')" \
		expect "$REJECTED" expect-eof -- "$BIN" -l stderr -a "$ACL" -w connect=1 >/dev/null
	grep -q ' code=91 reason=connect-timeout$' "$SCRATCH/log"
}

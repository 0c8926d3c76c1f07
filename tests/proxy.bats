# proxy.c through the program: the PROXY header in front of a session, -P (DESIGN.md section 7).

load helper

SIGNATURE='\r\n\r\n\0\r\nQUIT\n'

setup() {
	cd "$SCRATCH" || return 1
	cat >list <<-'EOS'
		permit connect from 192.0.2.1,2001:db8::1,127.0.0.1 to 127.0.0.1
	EOS
}

# session WORD...: a session with the listed peer 127.0.0.1; endpoint 2 listens as the destination, the log goes to ./log
session() {
	rm -f log
	"$TOOLS/peer" -2 log 2:listen 127.0.0.1:0 exec-tcp "$@" -- \
		"$BIN" -P "${SENDERS-127.0.0.1}" -a list -l stderr "${OPTIONS[@]}" >ports ||
		fail "in: $*" "$(cat log)"
}

# granted HEADER SOURCE WORD...: the header lets the session through, with that source in the log
granted() {
	session send "$1" send "$(request 4 1 @2 127.0.0.1 alice)early" "${@:3}" \
		expect '\0\x5a\0\0\0\0\0\0' 2:accept 2:expect early shutdown 2:expect-eof 2:close expect-eof
	grep -q "^open cmd=connect src=$2 user=alice dst=127.0.0.1:[0-9]* rule=list:1\( \|$\)" log || fail "$1" "$(cat log)"
}

# refused REASON BYTES WORD...: 91 for the bytes, which are less than a whole header, at once; the limit of a request is 30 s
refused() {
	local before=$SECONDS
	session send "$2" "${@:3}" expect '\0\x5b\0\0\0\0\0\0' expect-eof close expect-exit 0
	grep -q "^refuse .*code=91 reason=$1\$" log || fail "$2" "$(cat log)"
	[ $((SECONDS - before)) -lt $((5 * SLOW)) ] || fail "waited after $2"
}

# v2 COMMAND FAMILY LENGTH: the start of a header
v2() {
	printf '%s\\x%02x\\x%02x\\x%02x\\x%02x' "$SIGNATURE" "$1" "$2" $(($3 >> 8)) $(($3 & 255))
}

# From 192.0.2.1:51234 to 198.51.100.2:1080, and 2001:db8::1 to 2001:db8::2.
PAIR4='\xc0\x00\x02\x01\xc6\x33\x64\x02\xc8\x22\x04\x38'
ZEROS8='\0\0\0\0\0\0\0\0'
PAIR6='\x20\x01\x0d\xb8'"$ZEROS8"'\0\0\0\x01\x20\x01\x0d\xb8'"$ZEROS8"'\0\0\0\x02\xc8\x22\x04\x38'
MAPPED='\0\0\0\0\0\0\0\0\0\0\xff\xff'

@test "version 1: IPv4, IPv6, mapped, with all ports and the longest line" {
	granted 'PROXY TCP4 192.0.2.1 198.51.100.2 51234 1080\r\n' 192.0.2.1:51234
	granted 'PROXY TCP4 192.0.2.1 198.51.100.2 0 65535\r\n' 192.0.2.1:0
	granted 'PROXY TCP6 2001:db8::1 2001:db8::2 51234 1080\r\n' '\[2001:db8::1]:51234'
	granted 'PROXY TCP6 2001:0DB8:0000:0000:0000:0000:0000:0001 2001:0db8:0000:0000:0000:0000:0000:0002 65535 65535\r\n' \
		'\[2001:db8::1]:65535'
	granted 'PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6402 51234 1080\r\n' 192.0.2.1:51234
	granted 'PROXY TCP6 0000:0000:0000:0000:0000:ffff:192.0.2.1 0000:0000:0000:0000:0000:ffff:198.51.100.200 5123 108\r\n' \
		192.0.2.1:5123
}

@test "version 1: UNKNOWN, which is a word, keeps the peer's own address, whatever follows" {
	granted 'PROXY UNKNOWN\r\n' '127.0.0.1:[0-9]*'
	granted 'PROXY UNKNOWN 192.0.2.1 198.51.100.2 51234 1080\r\n' '127.0.0.1:[0-9]*'
	granted 'PROXY UNKNOWN \r \n\0 \x04\x01\r\n' '127.0.0.1:[0-9]*'
	granted "PROXY UNKNOWN $(printf '%091d' 0)"'\r\n' '127.0.0.1:[0-9]*'
	refused bad-proxy-header 'PROXY UNKNOWNX'
	refused bad-proxy-header 'PROXY UNKNOWN\n'
}

@test "version 1: what is not exactly so is refused at the first wrong byte" {
	local wrong=(
		X PX 'proxy' 'PROXY\t' 'PROXY  ' 'PROXY T4' 'PROXY tcp' 'PROXY TCP5' 'PROXY TCP4\t' 'PROXY UDP4' 'PROXY UNKNOWM'
		'PROXY TCP4  ' 'PROXY TCP4 ::' 'PROXY TCP4 192.0.2.a' 'PROXY TCP4 192.0.2.256 ' 'PROXY TCP4 192.0.2 ' 'PROXY TCP4 192.0.2.1.1 '
		'PROXY TCP4 192.0.2.1\0' 'PROXY TCP4 192.0.2.1  ' 'PROXY TCP4 192.0.2.01 ' 'PROXY TCP4 1921921921921922'
		'PROXY TCP4 192.0.2.1 198.51.100.2  ' 'PROXY TCP4 192.0.2.1 198.51.100.2 -' 'PROXY TCP4 192.0.2.1 198.51.100.2 0512 '
		'PROXY TCP4 192.0.2.1 198.51.100.2 00 ' 'PROXY TCP4 192.0.2.1 198.51.100.2 65536 ' 'PROXY TCP4 192.0.2.1 198.51.100.2 512345'
		'PROXY TCP4 192.0.2.1 198.51.100.2 51234 1080 ' 'PROXY TCP4 192.0.2.1 198.51.100.2 51234 1080\n'
		'PROXY TCP4 192.0.2.1 198.51.100.2 51234 1080\rx' 'PROXY TCP4 192.0.2.1 198.51.100.2 51234 \r\n'
		'PROXY TCP4 192.0.2.1 198.51.100.2 51234 65536\r\n' 'PROXY TCP4 192.0.2.1 198.51.100.2\r'
		'PROXY TCP6 192.0.2.1 ' 'PROXY TCP6 2001:db8::g' 'PROXY TCP6 2001:db8::1%' 'PROXY TCP6 2001::db8::1 ' 'PROXY TCP6 :1 '
		'PROXY TCP6 00000:0000:0000:0000:0000:ffff:192.168.100.1000'
		"PROXY UNKNOWN $(printf '%093d' 0)"
		'PROXY TCP6 0000:0000:0000:0000:0000:ffff:192.168.100.100 0000:0000:0000:0000:0000:ffff:192.168.100.100 5123'
	)
	for bytes in "${wrong[@]}"; do
		refused bad-proxy-header "$bytes"
	done
}

@test "version 2: IPv4, IPv6, mapped" {
	granted "$(v2 0x21 0x11 12)$PAIR4" 192.0.2.1:51234
	granted "$(v2 0x21 0x21 36)$PAIR6" '\[2001:db8::1]:51234'
	granted "$(v2 0x21 0x21 36)$MAPPED"'\xc0\x00\x02\x01'"$MAPPED"'\x7f\0\0\x01\0\x50\x04\x38' 192.0.2.1:80
}

@test "version 2: LOCAL and UNSPEC keep the peer's own address" {
	granted "$(v2 0x20 0x00 0)" '127.0.0.1:[0-9]*'
	granted "$(v2 0x20 0x11 12)$PAIR4" '127.0.0.1:[0-9]*'
	granted "$(v2 0x20 0xff 3)xyz" '127.0.0.1:[0-9]*' # to be discarded unread
	granted "$(v2 0x21 0x00 0)" '127.0.0.1:[0-9]*'
	granted "$(v2 0x21 0x00 5)"'\x04\0\x02ab' '127.0.0.1:[0-9]*'
}

@test "version 2: TLVs are passed over, up to the longest header" {
	granted "$(v2 0x21 0x11 15)$PAIR4"'\x04\0\0' 192.0.2.1:51234
	granted "$(v2 0x21 0x11 24)$PAIR4"'\x01\0\x02h2\x04\0\0\xea\0\x01z' 192.0.2.1:51234
	granted "$(v2 0x21 0x11 2048)$PAIR4"'\x04\x07\xf1'"$(printf '%02033d' 0)" 192.0.2.1:51234
	granted "$(v2 0x20 0x00 2048)$(printf '%02048d' 0)" '127.0.0.1:[0-9]*'
}

@test "version 2: a checksum is verified, over all of the header but itself" {
	# The sums were worked out with the CRC32 instruction of SSE 4.2.
	local sum='\xea\x92\x50\x72' pair='\xc0\x00\x02\x01\xc6\x33\x64\x02\x00\x50\x04\x38'
	granted "$(v2 0x21 0x11 23)$pair"'\x04\0\x01z\x03\0\x04'"$sum" 192.0.2.1:80
	granted "$(v2 0x21 0x11 23)$pair"'\x03\0\x04\x43\x8d\x5f\x8f\x04\0\x01z' 192.0.2.1:80
	refused bad-proxy-header "$(v2 0x21 0x11 23)$pair"'\x04\0\x01z\x03\0\x04\xea\x92\x50\x73'
	refused bad-proxy-header "$(v2 0x21 0x11 23)$pair"'\x03\0\x04\x43\x8d\x5f\x8f\x04\0\x01y'
	refused bad-proxy-header "$(v2 0x21 0x11 26)$pair"'\x03\0\x04\0\0\0\0\x03\0\x04\x7d\xe6\xc9\x95' # the second is right alone
	refused bad-proxy-header "$(v2 0x21 0x11 23)$pair"'\x04\0\x01y\x03\0\x04'"$sum"
	refused bad-proxy-header "$(v2 0x21 0x11 23)"'\xc1\x00\x02\x01\xc6\x33\x64\x02\x00\x50\x04\x38\x04\0\x01z\x03\0\x04'"$sum"
	refused bad-proxy-header "$(v2 0x21 0x11 15)$pair"'\x03\0\0'
	refused bad-proxy-header "$(v2 0x21 0x11 18)$pair"'\x03\0\x03abc'
	refused bad-proxy-header "$(v2 0x21 0x11 20)$pair"'\x03\0\x05\x8c\x6a\x9b\xa0x' # right, but too long
	refused bad-proxy-header "$(v2 0x21 0x00 7)"'\x03\0\x04abcd'
	granted "$(v2 0x20 0x00 7)"'\x03\0\x04abcd' '127.0.0.1:[0-9]*' # under LOCAL nobody looks
}

@test "version 2: what is not exactly so is refused at the first wrong byte" {
	refused bad-proxy-header '\rX'
	refused bad-proxy-header '\r\n\r\n\0\r\nQUIT\r'
	refused bad-proxy-header "$SIGNATURE"'\x11'
	refused bad-proxy-header "$SIGNATURE"'\x22'
	for family in 01 10 12 13 22 31 32 ff; do
		refused bad-proxy-header "$SIGNATURE"'\x21\x'"$family"
	done
	refused bad-proxy-header "$(v2 0x21 0x11 11)"
	refused bad-proxy-header "$(v2 0x21 0x21 35)"
	refused bad-proxy-header "$(v2 0x21 0x11 2049)"
	refused bad-proxy-header "$(v2 0x20 0x00 2049)"
	refused bad-proxy-header "$SIGNATURE"'\x21\x11\x09'
	refused bad-proxy-header "$(v2 0x21 0x11 13)$PAIR4"
	refused bad-proxy-header "$(v2 0x21 0x11 14)$PAIR4"'\x04'
	refused bad-proxy-header "$(v2 0x21 0x11 16)$PAIR4"'\x04\0\x02'
	refused bad-proxy-header "$(v2 0x21 0x00 2)"'\x04\0'
}

@test "a header and its request, cut at every byte and byte by byte" {
	local header cut source
	for header in 'PROXY TCP4 192.0.2.1 127.0.0.1 5 1080\r\n' "$(v2 0x21 0x11 16)$PAIR4"'\x04\0\x01z' "$(v2 0x20 0x00 2)xy"; do
		# In pieces that printf and peer both read as one byte each.
		mapfile -t bytes < <(printf '%b' "$header" | od -An -v -w1 -tx1 | sed 's/ */\\x/')
		case $header in
		P*) source=192.0.2.1:5 ;;
		*xy) source='127.0.0.1:[0-9]*' ;;
		*) source=192.0.2.1:51234 ;;
		esac
		for ((cut = 1; cut <= ${#bytes[@]}; cut++)); do
			header=$(printf %s "${bytes[@]:cut}")
			session send "$(printf %s "${bytes[@]:0:cut}")" pause 4 send "$header$(request 4 1 @2 127.0.0.1 alice)" \
				expect '\0\x5a\0\0\0\0\0\0' 2:accept shutdown 2:expect-eof 2:close expect-eof
			grep -q "^open cmd=connect src=$source " log || fail "cut at $cut" "$(cat log)"
		done
		session trickle 1 "$(printf %s "${bytes[@]}")$(request 4 1 @2 127.0.0.1 alice)early" \
			expect '\0\x5a\0\0\0\0\0\0' 2:accept 2:expect early shutdown 2:expect-eof 2:close expect-eof
	done
}

@test "a listed peer that sends no header, or ends or stops within it" {
	refused bad-proxy-header '\x04'
	refused bad-proxy-header "$(request 4 1 @2 127.0.0.1 alice)"
	refused bad-proxy-header '\x05\x01\0'
	refused bad-proxy-header '' shutdown
	refused bad-proxy-header 'PROXY TCP4 192.0.2.1' shutdown
	refused bad-proxy-header "$(v2 0x21 0x11 12)" shutdown
	OPTIONS=(-w request=1)
	refused request-timeout 'PROXY TCP4 192.0.2.1'
}

@test "only one header is taken" {
	refused bad-version 'PROXY TCP4 192.0.2.1 198.51.100.2 5 1080\r\nPROXY TCP4 192.0.2.1 198.51.100.2 5 1080\r\n'
	refused bad-version "$(v2 0x20 0x00 0)$(v2 0x20 0x00 0)"
}

@test "from an unlisted peer a header is a bad request" {
	SENDERS=192.0.2.0/24,::1,10.0.0.0/8
	refused bad-version 'PROXY TCP4 192.0.2.1 198.51.100.2 5 1080\r\n'
	refused bad-version "$(v2 0x21 0x11 12)$PAIR4"
	session send "$(request 4 1 @2 127.0.0.1 alice)" expect '\0\x5a\0\0\0\0\0\0' 2:accept 2:close expect-eof
	# Nor does a pipe or a Unix socket speak it.
	SENDERS=0.0.0.0/0,::/0
	for kind in exec-pipes exec-unix; do
		"$TOOLS/peer" -2 log "$kind" send PR expect '\0\x5b\0\0\0\0\0\0' expect-eof close expect-exit 0 -- \
			"$BIN" -P "$SENDERS" -a list -l stderr
		grep -q '^refuse src=local code=91 reason=bad-version$' log
	done
}

@test "the list judges the header's source, not the balancer" {
	echo 'permit from 192.0.2.0/25' >list
	granted 'PROXY TCP4 192.0.2.127 198.51.100.2 5 1080\r\n' 192.0.2.127:5
	refused denied 'PROXY TCP4 192.0.2.128 198.51.100.2 5 1080\r\n'"$(request 4 1 9 127.0.0.1 alice)"
	grep -q '^refuse cmd=connect src=192.0.2.128:5 user=alice ' log
	refused denied 'PROXY UNKNOWN\r\n'"$(request 4 1 9 127.0.0.1 alice)"
	refused denied "$(v2 0x20 0x00 0)$(request 4 1 9 127.0.0.1 alice)"
	# Mapped here and there is the same.
	SENDERS=::ffff:127.0.0.0/104
	granted 'PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 5 1080\r\n' 192.0.2.1:5
}

@test "a list of senders that is wrong is bad usage" {
	for senders in '' 192.0.2.1,,192.0.2.2 192.0.2.1/24 any 192.0.2.0/33 '192.0.2.1 192.0.2.2'; do
		run -2 "$BIN" -l stderr -P "$senders" </dev/null
	done
}

# Hostile clients in numbers, against examples/xinetd and examples/systemd: floods of one address and of many, requests that
# never end, BINDs that nobody calls. Meanwhile honest sessions go on, and nothing remains afterwards. Where sessions are slow
# they are large too (tests/memcheck): what the examples let in, and the crowds that would fill it, are smaller then by as much.

load launch

setup() {
	renice -n 10 "$BASHPID" >/dev/null # two hundred processes that start at once hold up whatever runs beside them
}

# The crowds' addresses are 10.1.1.1 to 10.1.1.40.
crowds_up() {
	local n
	declare -gA PIDS=()
	for n in {1..40}; do
		echo "address add 10.1.1.$n/32 dev gateway"
	done | on client ip -batch -
	ip route add 10.1.1.0/24 dev client
}

# start NAME HOST COMMAND...: in the background, what it prints in $SCRATCH/NAME; `ended NAME` waits, and fails as it does
start() {
	: >"$SCRATCH/$1"
	nsenter --net="/run/netns/$2" -- "${@:3}" >"$SCRATCH/$1" &
	PIDS[$1]=$!
}

ended() {
	wait "${PIDS[$1]}"
}

# crowd NAME [OPTION...] slow|bind FIRST-ADDRESS: returns once all of it have called
crowd() {
	start "$1" client "$TOOLS/crowd" "${@:2}" 10.1.0.1 1080
	wait_for grep -q called "$SCRATCH/$1"
}

# leave NAME: that crowd goes
leave() {
	kill "${PIDS[$1]}"
	ended "$1"
}

# honest NAME [MOMENT...]: a session of 10.1.0.2 that carries a megabyte each way, every byte checked, and one more at each
# moment, which is when $SCRATCH/MOMENT appears; $SCRATCH/NAME-MOMENT says that it has. `honestly_done NAME` waits for its end.
honest() {
	local name=$1 moment here=() there=() port
	shift
	for moment in "$@"; do
		here+=(touch "$SCRATCH/$name-ready" wait-file "$SCRATCH/$moment" duplex 1M 3 4 0 touch "$SCRATCH/$name-$moment")
		there+=(duplex 1M 4 3 0)
	done
	start "$name-server" server "$TOOLS/peer" -t $((100 * SLOW)) listen 203.0.113.80:0 accept duplex 1M 2 1 0 "${there[@]}" \
		expect-eof shutdown
	wait_for test -s "$SCRATCH/$name-server"
	port=$(cat "$SCRATCH/$name-server")
	start "$name" client "$TOOLS/peer" -t $((100 * SLOW)) connect 10.1.0.1:1080 \
		send "$(printf '\\x04\\x01\\x%02x\\x%02x\\xcb\\0\\x71\\x50\\0' $((port >> 8)) $((port & 255)))" \
		expect '\0\x5a\0\0\0\0\0\0' duplex 1M 1 2 0 "${here[@]}" shutdown expect-eof
}

honestly_done() {
	ended "$1"
	ended "$1-server"
}

# connections COUNT: the gateway has so many of clients
connections_are() {
	[ "$(ss -Htn state established state syn-recv 'sport = :1080' | wc -l)" = "$1" ]
}

listeners() {
	ss -Htln | wc -l
}

listeners_are() {
	[ "$(listeners)" = "$1" ]
}

processes() {
	pgrep -c '^socks4-stdio' || :
}

# sessions_are COUNT: so many, and no other process, connection, listener or unit than before
sessions_are() {
	[ "$(processes)" = "$1" ] && connections_are "$1" && listeners_are "$listening" || return 1
	[ "$LAUNCHER" != 1 ] || [ "$(systemctl list-units --all --plain --no-legend 'socks4-stdio@*' | wc -l)" = "$1" ]
}

# resident KiB of the launcher
memory() {
	awk '/^VmRSS:/ { print $2 }' "/proc/$LAUNCHER/status"
}

# siege AGAIN KIB: three crowds, which the limits of the examples keep small: 16 sessions of one address, 256 in all. Who is
# turned away from the first calls again after AGAIN ms. The launcher may grow by so many KiB.
siege() {
	local before listening all=$((1000 / SLOW)) many=$(((LIMIT - 1) / 2 / 16)) requests binds
	requests=$((many * 16)) binds=$((LIMIT - 1 - requests))
	listening=$(listeners)
	before=$(memory)
	honest long siege relief
	wait_for test -e "$SCRATCH/long-ready"

	# One address, which calls again and again: others do not notice.
	crowd flood -n 400 -r "$1" bind 10.1.1.40
	wait_for listeners_are $((listening + 16))
	[ "$(fetch)" = hello ]
	honest short
	honestly_done short
	[ "$(fetch)" = hello ]
	listeners_are $((listening + 16))
	leave flood
	grep -x '16 granted' "$SCRATCH/flood"
	wait_for sessions_are 1

	# Many addresses: the limit for all is reached, and those in before are served.
	crowd slow -n "$all" -a "$many" slow 10.1.1.1
	wait_for connections_are $((1 + requests))
	crowd bind -n "$all" -a 20 bind 10.1.1.11
	wait_for connections_are "$LIMIT"
	touch "$SCRATCH/siege"
	wait_for test -e "$SCRATCH/long-siege"
	wait_for listeners_are $((listening + binds))
	[ "$(processes)" -le "$LIMIT" ]
	leave slow
	leave bind
	grep -x "$((all - requests)) away" "$SCRATCH/slow"
	grep -x "$((all - binds)) away" "$SCRATCH/bind"
	grep -x "$binds granted" "$SCRATCH/bind"

	wait_for sessions_are 1
	honest short
	honestly_done short
	touch "$SCRATCH/relief"
	honestly_done long
	wait_for sessions_are 0
	echo "launcher: $before KiB, then $(memory)"
	[ "$(memory)" -le $((before + $2)) ]
}

@test "xinetd: floods past its limits turn nobody else away, and nothing remains of them" {
	daemon xinetd usr/sbin/xinetd
	in_lab || return "$status"
	xinetd_up
	crowds_up
	crowd strangers -n 200 -r 100 bind 198.51.100.7
	[ "$(fetch)" = hello ]
	leave strangers
	siege 100 512
	[ -z "$(pgrep -P "$LAUNCHER")" ]
}

# Here the limits of time, which the example has by default, are a second, or it would take minutes.
@test "xinetd: 1000 slow requests and 1000 BINDs that nobody calls get their 91, and nothing remains of them" {
	daemon xinetd usr/sbin/xinetd
	in_lab || return "$status"
	local before listening all=$((1000 / SLOW))
	xinetd_up -w request=1,bind=1
	crowds_up
	listening=$(listeners)
	before=$(memory)
	honest long siege relief
	wait_for test -e "$SCRATCH/long-ready"
	start slow client "$TOOLS/crowd" -n "$all" -j $(((LIMIT - 16) / 2)) -a 20 -r 200 slow 10.1.1.1 10.1.0.1 1080
	start bind client "$TOOLS/crowd" -n "$all" -j $(((LIMIT - 16) / 2)) -a 20 -r 200 bind 10.1.1.21 10.1.0.1 1080
	touch "$SCRATCH/siege"
	[ "$(fetch)" = hello ]
	wait_for grep -x "$all rejected" "$SCRATCH/slow"
	wait_for grep -x "$all granted-rejected" "$SCRATCH/bind"
	ended slow
	ended bind
	wait_for test -e "$SCRATCH/long-siege"
	touch "$SCRATCH/relief"
	honestly_done long
	wait_for sessions_are 0
	[ "$(grep -c ' reason=request-timeout$' "$LOG")" = "$all" ]
	[ "$(grep -c ' reason=bind-timeout$' "$LOG")" = "$all" ]
	[ "$(memory)" -le $((before + 512)) ]
	[ -z "$(pgrep -P "$LAUNCHER")" ]
}

@test "systemd: floods past its limits turn nobody else away, and nothing remains of them" {
	BOOT_LIMIT=$((110 * SLOW)) in_boot || return "$status"
	sed -i "s/^MaxConnections=256$/MaxConnections=$LIMIT/" /etc/systemd/system/socks4-stdio.socket
	systemctl daemon-reload
	systemctl start socks4-stdio.socket
	wait_for listening gateway '*:1080'
	LAUNCHER=1
	crowds_up
	siege 2000 16384
	[ -z "$(systemctl list-units --failed --plain --no-legend)" ]
}

# examples/tcpserver/run with each of the servers it knows.

load launch

run_up() {
	install_files socks4-stdio.acl=/etc/socks4-stdio.acl tcpserver/run=/run/service/run
	LOG=$SCRATCH/log
	(cd /run/service && exec env PATH="${DAEMON:+${DAEMON%/*}:}$PATH" SERVER="$1" ./run) >"$LOG" &
	wait_for listening gateway '*:1080'
}

session() {
	run_up "$1"
	serves_and_refuses
	hold 17
	[ "$(stat -c %U "/proc/$(pgrep -n '^socks4-stdio')")" = nobody ]
}

@test "tcpserver of ucspi-tcp serves sessions" {
	require tcpserver
	in_lab || return "$status"
	session tcpserver
	[ "$(held)" = '17 90' ]
}

@test "tcpsvd of ipsvd serves sessions, 16 of one client" {
	daemon ipsvd usr/bin/tcpsvd
	in_lab || return "$status"
	session tcpsvd
	[ "$(held)" = $'1 -\n16 90' ]
}

@test "run takes a server by itself, and refuses one that it does not know" {
	require tcpserver
	in_lab || return "$status"
	install_files socks4-stdio.acl=/etc/socks4-stdio.acl tcpserver/run=/run/service/run
	PORT=1081 /run/service/run >"$SCRATCH/log" &
	wait_for listening gateway '*:1081'
	[ "$(fetch --socks4 10.1.0.1:1081)" = hello ]
	refute env SERVER=other /run/service/run >"$SCRATCH/other"
	[ "$(cat "$SCRATCH/other")" = 'run: no such server: other' ]
}

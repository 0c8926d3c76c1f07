#!/usr/bin/env bats
# examples/xinetd/socks4 under a real xinetd.

load launch

setup() {
	daemon xinetd usr/sbin/xinetd
}

xinetd_up() {
	install_files socks4-stdio.acl=/etc/socks4-stdio.acl xinetd/socks4=/etc/xinetd.d/socks4
	printf 'defaults\n{\n}\nincludedir /etc/xinetd.d\n' >/etc/xinetd.conf
	syslog_up
	"$DAEMON" -dontfork -f /etc/xinetd.conf &
	wait_for listening gateway '*:1080'
}

@test "xinetd serves a session" {
	in_lab || return "$status"
	xinetd_up
	[ "$(fetch --proxy socks4://alice@10.1.0.1:1080)" = hello ]
	wait_for log_has 'open cmd=connect src=10.1.0.2:[0-9]+ user=alice dst=203.0.113.80:80 rule=/etc/socks4-stdio.acl:[0-9]+( sandbox=none)?$'
	wait_for log_has 'close cmd=connect .* reason=eof$'
	[ "$(URL=http://203.0.113.80:25/ refusal)" = 91 ]
	wait_for log_has 'refuse cmd=connect .* code=91 reason=denied$'
}

@test "only_from turns strangers away before the program starts, list or no list" {
	in_lab || return "$status"
	xinetd_up
	echo 'permit from any' >/etc/socks4-stdio.acl
	[ "$(fetch)" = hello ]
	[[ "$(refusal --interface 198.51.100.7 --proxy socks4://198.51.100.1:1080)" == other:* ]]
	refute log_has 'src=198\.51\.100\.7'
}

@test "per_source holds" {
	in_lab || return "$status"
	xinetd_up
	hold 17
	[ "$(held)" = $'1 -\n16 90' ]
}

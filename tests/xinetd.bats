# examples/xinetd/socks4 under a real xinetd.

load launch
export LAB_FIRST='network_up; xinetd_up'

setup() {
	daemon xinetd usr/sbin/xinetd
}

@test "xinetd serves a session" {
	in_lab || return "$status"
	serves_and_refuses
}

@test "only_from turns strangers away before the program starts, list or no list" {
	in_lab || return "$status"
	echo 'permit from any' >/etc/socks4-stdio.acl
	[ "$(fetch)" = hello ]
	[[ "$(refusal --interface 198.51.100.7 --proxy socks4://198.51.100.1:1080)" == other:* ]]
	refute log_has 'src=198\.51\.100\.7'
}

@test "per_source holds" {
	in_lab || return "$status"
	hold 17
	[ "$(held)" = $'1 -\n16 90' ]
}

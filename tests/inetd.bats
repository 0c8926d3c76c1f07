# examples/inetd.conf under both inetd families, and the form of the launchd file.

load launch

session() {
	install_files socks4-stdio.acl=/etc/socks4-stdio.acl inetd.conf=/etc/inetd.conf
	syslog_up
	"$@" &
	wait_for listening gateway '*:1080'
	serves_and_refuses
	[ "$(refusal --interface 198.51.100.7)" = 91 ]
	# The default limit of sessions a minute would have taken the service away. valgrind has no memory for so many.
	hold $((260 / SLOW))
	[ "$(held)" = "$((260 / SLOW)) 90" ]
}

@test "openbsd-inetd serves sessions by examples/inetd.conf" {
	daemon openbsd-inetd usr/sbin/inetd
	in_lab || return "$status"
	session "$DAEMON" -i /etc/inetd.conf
}

@test "inetutils-inetd serves sessions by examples/inetd.conf" {
	require inetutils-inetd
	in_lab || return "$status"
	session inetutils-inetd /etc/inetd.conf
}

@test "the launchd file is well-formed and names the program and its list" {
	require xmllint
	plist=$EXAMPLES/launchd/org.socks4-stdio.plist
	xmllint --nonet --noout "$plist"
	value() {
		xmllint --nonet --xpath "string(/plist/dict/key[.='$1']/following-sibling::*[1]$2)" "$plist"
	}
	[ "$(value ProgramArguments '/string[1]')" = /usr/local/sbin/socks4-stdio ]
	[ "$(value ProgramArguments '/string[2]')" = -a ]
	[ "$(value ProgramArguments '/string[3]')" = /etc/socks4-stdio.acl ]
	[ "$(value inetdCompatibility "/key[.='Wait']/following-sibling::*[1]/self::false/..")" ]
	[ "$(value Sockets "/dict/key[.='SockServiceName']/following-sibling::*[1]")" = 1080 ]
}

# examples/haproxy: a real haproxy on the balancer, three gateways with a network of their own each.

load launch
export LAB_FIRST='network_up; gateways_up'

setup() {
	require haproxy
	daemon ipsvd usr/bin/tcpsvd
}

# The balancer and the gateways share 192.0.2.0/24; each gateway has an own way to the server.
gateways_up() {
	install_files haproxy/socks4-stdio.acl=/etc/socks4-stdio.acl tcpserver/run=/run/service/run.tcpserver \
		haproxy/env=/run/service/env haproxy/haproxy.cfg=/etc/haproxy/haproxy.cfg
	syslog_up
	PATH=${DAEMON%/*}:$PATH
	ip link add lan type bridge
	ip link set lan up
	ip address add 192.0.2.10/24 dev lan
	on server ip link add out type bridge
	on server ip link set out up
	on server ip link set gateway master out
	on server ip address flush dev gateway
	on server ip address add 203.0.113.80/24 dev out
	local n
	for n in 1 2 3; do
		ip netns add "gateway$n"
		ip link add "lan$n" type veth peer name lan netns "gateway$n"
		ip link set "lan$n" master lan up
		on server ip link add "out$n" type veth peer name out netns "gateway$n"
		on server ip link set "out$n" master out up
		on "gateway$n" ip link set lo up
		on "gateway$n" ip link set lan up
		on "gateway$n" ip link set out up
		on "gateway$n" ip address add "192.0.2.1$n/24" dev lan
		on "gateway$n" ip address add "203.0.113.1$n/24" dev out
		gateway_up "$n"
	done
	haproxy -f /etc/haproxy/haproxy.cfg -c -q
	haproxy -f /etc/haproxy/haproxy.cfg -db 2>"$SCRATCH/haproxy" &
	wait_for listening gateway '*:1080'
}

# What examples/haproxy/README.md puts into the service's run file.
gateway_up() {
	nsenter --net="/run/netns/gateway$1" -- sh -c 'cd /run/service && . ./env && exec ./run.tcpserver' >>"$SCRATCH/gateway$1.log" &
	eval "GATEWAY$1=$!"
	wait_for listening "gateway$1" '*:1080'
}

# Gateways that served a session of the client, by number.
served() {
	grep -l 'open cmd=connect src=10\.1\.0\.2:' "$SCRATCH"/gateway?.log | sed 's/.*gateway\(.\)\.log/\1/' | tr -d '\n'
}

@test "sessions are spread over the gateways, which see the client's own address" {
	in_lab || return "$status"
	# Held, so that the one with the least sessions is always another.
	hold 6
	[ "$(held)" = '6 90' ]
	[ "$(served)" = 123 ]
	release
	[ "$(URL=http://203.0.113.80:25/ refusal)" = 91 ]
	wait_for grep -Eqs 'refuse cmd=connect src=10.1.0.2:[0-9]+ .*code=91 reason=denied$' "$SCRATCH"/gateway?.log
	# The list sees it too: 198.51.100.7 is not internal, the balancer may only make its check.
	[ "$(refusal --interface 198.51.100.7 --proxy socks4://198.51.100.1:1080)" = 91 ]
	wait_for grep -Eqs 'refuse cmd=connect src=198.51.100.7:' "$SCRATCH"/gateway?.log
	wait_for grep -Eqs 'open cmd=connect src=192.0.2.10:[0-9]+ .*dst=203.0.113.80:80' "$SCRATCH/gateway1.log"
}

@test "a gateway dies: new sessions carry on, and it is taken back" {
	in_lab || return "$status"
	kill "$GATEWAY2"
	wait "$GATEWAY2" || :
	local n
	for n in 1 2 3 4 5 6; do
		[ "$(fetch)" = hello ]
	done
	[ "$(served)" = 13 ]
	wait_for log_has 'Server gateways/gateway2 is DOWN'
	for n in 1 2 3 4 5 6; do
		[ "$(fetch)" = hello ]
	done
	gateway_up 2
	wait_for log_has 'Server gateways/gateway2 is UP'
	hold 6
	[ "$(served)" = 123 ]
}

@test "a gateway whose list is broken is not healthy" {
	in_lab || return "$status"
	echo 'permit everything' >/etc/socks4-stdio.acl
	wait_for log_has 'Server gateways/gateway1 is DOWN'
	cp "$EXAMPLES/haproxy/socks4-stdio.acl" /etc/
	wait_for log_has 'Server gateways/gateway1 is UP'
}

@test "the balancer limits the sessions of one client" {
	in_lab || return "$status"
	hold 17
	[ "$(held)" = $'1 -\n16 90' ]
	# Another client is not affected: it gets as far as the list, which has its refusal for it.
	[ "$(refusal --interface 198.51.100.7 --proxy socks4://198.51.100.1:1080)" = 91 ]
}

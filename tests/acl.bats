# The access list, asked over -t: what each kind of rule matches, the words of the answer, every kind of wrong line.

load helper

setup() {
	cd "$SCRATCH" || return 1
}

# answers STATUS OPERAND...: -t of the list `acl` must end so, and print what comes on standard input
answers() {
	local expected got status=0
	expected=$(cat)
	got=$("$BIN" -t -a acl "${@:2}" 2>&1) || status=$?
	[ "$status $got" = "$1 $expected" ] && return
	printf '%s\nwanted %s %s\n   got %s %s\n' "${*:2}" "$1" "$expected" "$status" "$got" >&2
	return 1
}

# passes: the list `acl` is right, whatever it is warned of
passes() {
	run --separate-stderr -0 "$BIN" -t -a acl
	[ -z "$output" ]
	[ -z "$(sed '/^acl:\([0-9]*:\)\{0,1\} warning: /d' <<<"$stderr")" ]
}

# table: asks the list `acl` once for each row on standard input, which is
#     COMMAND USER SOURCE DESTINATION PORT VERDICT LINE [how the destination is printed, when not as it was given]
# with a LINE of the list or `default`, and `-` for no USERID.
table() {
	local command user source destination port verdict line printed rules status rows=0 wrong=0
	mapfile -t rules <acl
	while read -r command user source destination port verdict line printed; do
		rows=$((rows + 1))
		case $verdict in permit) status=0 ;; *) status=1 ;; esac
		case $line in default) ;; *) line="acl:$line: ${rules[line - 1]}" ;; esac
		answers "$status" "$command" "${user#-}" "$source" "$destination" "$port" \
			<<<"$verdict ${printed:-$destination} $port by $line" || wrong=$((wrong + 1))
	done
	[ "$rows" -gt 0 ] && [ "$wrong" -eq 0 ]
}

# names RECORD...: in the lab, names are these
names() {
	start dnsd "$TOOLS/dnsd" -l questions "$@"
	port_of dnsd
}

@test "from: addresses, prefixes, both families, mapped ones" {
	cat >acl <<-'END'
		deny from 192.0.2.66
		permit from 192.0.2.0/24,203.0.113.8/29
		permit from 2001:db8:1::/48,2001:db8:2::7
		permit from ::ffff:198.51.100.0/120,::ffff:10.9.8.7
		deny from ::/0
		permit from 0.0.0.0/1
	END
	table <<-'END'
		connect u 192.0.2.0 8.8.8.8 80 permit 2
		connect u 192.0.2.255 8.8.8.8 80 permit 2
		connect u 192.0.2.66 8.8.8.8 80 deny 1
		connect u ::ffff:192.0.2.66 8.8.8.8 80 deny 1
		connect u ::ffff:192.0.2.67 8.8.8.8 80 permit 2
		connect u ::ffff:c000:244 8.8.8.8 80 permit 2
		connect u 203.0.113.7 8.8.8.8 80 deny default
		connect u 203.0.113.8 8.8.8.8 80 permit 2
		connect u 203.0.113.15 8.8.8.8 80 permit 2
		connect u 203.0.113.16 8.8.8.8 80 deny default
		connect u 2001:db8:1:ffff::1 8.8.8.8 80 permit 3
		connect u 2001:db8:2::7 8.8.8.8 80 permit 3
		connect u 2001:0DB8:2:0::07 8.8.8.8 80 permit 3
		connect u 2001:db8:2::8 8.8.8.8 80 deny 5
		connect u ::192.0.2.67 8.8.8.8 80 deny 5
		connect u 198.51.100.200 8.8.8.8 80 permit 4
		connect u ::ffff:198.51.100.200 8.8.8.8 80 permit 4
		connect u 10.9.8.7 8.8.8.8 80 permit 4
		connect u 10.9.8.6 8.8.8.8 80 permit 6
		connect u 127.255.255.255 8.8.8.8 80 permit 6
		connect u 128.0.0.0 8.8.8.8 80 deny default
		connect u local 8.8.8.8 80 deny default
	END
}

@test "from: a mapped prefix shorter than 96 stays IPv6 and matches no IPv4 source" {
	printf '%s\n' 'deny from ::/95' 'permit from any' >acl
	table <<-'END'
		connect u 192.0.2.7 8.8.8.8 80 permit 2
		connect u ::ffff:192.0.2.7 8.8.8.8 80 permit 2
		connect u ::1 8.8.8.8 80 deny 1
	END
}

@test "from: any has local in it, local is nothing else, internal never is local" {
	cat >acl <<-'END'
		permit from internal to 8.8.8.1
		permit from local to 8.8.8.2
		permit from any to 8.8.8.3
		permit from 0.0.0.0/0,::/0 to 8.8.8.4
		deny to 8.8.8.5
		permit from internal,local,192.0.2.7 to 8.8.8.6
		deny from local to 8.8.8.7
		permit from any to 8.8.8.5,8.8.8.7
	END
	table <<-'END'
		connect u local 8.8.8.1 80 deny default
		connect u 10.1.2.3 8.8.8.1 80 permit 1
		connect u ::ffff:10.1.2.3 8.8.8.1 80 permit 1
		connect u fd00::1 8.8.8.1 80 permit 1
		connect u 2002:a01:203::1 8.8.8.1 80 permit 1
		connect u 203.0.113.9 8.8.8.1 80 deny default
		connect u local 8.8.8.2 80 permit 2
		connect u 127.0.0.1 8.8.8.2 80 deny default
		connect u ::1 8.8.8.2 80 deny default
		connect u local 8.8.8.3 80 permit 3
		connect u 203.0.113.9 8.8.8.3 80 permit 3
		connect u 2001:db8::1 8.8.8.3 80 permit 3
		connect u local 8.8.8.4 80 deny default
		connect u 2001:db8::1 8.8.8.4 80 permit 4
		connect u local 8.8.8.5 80 deny 5
		connect u 203.0.113.9 8.8.8.5 80 deny 5
		connect u local 8.8.8.6 80 permit 6
		connect u 127.0.0.9 8.8.8.6 80 permit 6
		connect u 192.0.2.7 8.8.8.6 80 permit 6
		connect u 192.0.2.8 8.8.8.6 80 deny default
		connect u local 8.8.8.7 80 deny 7
		connect u 127.0.0.1 8.8.8.7 80 permit 8
	END
}

@test "to: addresses and prefixes of both families, literals in every notation" {
	cat >acl <<-'END'
		deny to 198.51.100.9,2001:db8:bad::/48
		permit from any to 198.51.100.0/24
		permit from any to 2001:db8::/32
		permit from any to ::ffff:203.0.113.0/124
		deny from 192.0.2.7 to any
		permit from any to any
	END
	table <<-'END'
		connect u 192.0.2.7 198.51.100.9 80 deny 1
		connect u 192.0.2.7 198.51.100.10 80 permit 2
		connect u 192.0.2.7 ::ffff:198.51.100.9 80 deny 1 198.51.100.9
		connect u 192.0.2.7 ::FFFF:C633:6409 80 deny 1 198.51.100.9
		connect u 192.0.2.7 198.51.100.9. 80 deny 1 198.51.100.9
		connect u 192.0.2.7 2001:db8:bad::1 80 deny 1
		connect u 192.0.2.7 2001:0db8:0bad:0:0:0:0:1 80 deny 1 2001:db8:bad::1
		connect u 192.0.2.7 2001:db8:bae::1 80 permit 3
		connect u 192.0.2.7 203.0.113.15 80 permit 4
		connect u 192.0.2.7 203.0.113.16 80 deny 5
		connect u 192.0.2.7 2001:db9::1 80 deny 5
		connect u 192.0.2.8 203.0.113.16 80 permit 6
		connect u 192.0.2.8 2001:db9::1 80 permit 6
	END
}

@test "connect and bind, users, ports by number, range and name" {
	cat >acl <<-'END'
		deny connect from any port 25
		permit bind from any to 198.51.100.1
		permit connect from any to 198.51.100.2
		permit from any user alice,bob to 198.51.100.3
		permit from any to 198.51.100.4 port 22,8000-8999,http,65535
		permit from any user port to 198.51.100.5 port 1
		deny user root
		permit user alice from any port https to 198.51.100.6
	END
	table <<-'END'
		connect u 192.0.2.7 198.51.100.2 25 deny 1
		connect u 192.0.2.7 198.51.100.2 24 permit 3
		bind u 192.0.2.7 198.51.100.1 25 permit 2
		bind u 192.0.2.7 198.51.100.1 0 permit 2
		connect u 192.0.2.7 198.51.100.1 80 deny default
		bind u 192.0.2.7 198.51.100.2 80 deny default
		connect alice 192.0.2.7 198.51.100.3 80 permit 4
		bind bob 192.0.2.7 198.51.100.3 80 permit 4
		connect Alice 192.0.2.7 198.51.100.3 80 deny default
		connect alic 192.0.2.7 198.51.100.3 80 deny default
		connect alicea 192.0.2.7 198.51.100.3 80 deny default
		connect - 192.0.2.7 198.51.100.3 80 deny default
		connect u 192.0.2.7 198.51.100.4 21 deny default
		connect u 192.0.2.7 198.51.100.4 22 permit 5
		connect u 192.0.2.7 198.51.100.4 23 deny default
		connect u 192.0.2.7 198.51.100.4 7999 deny default
		connect u 192.0.2.7 198.51.100.4 8000 permit 5
		connect u 192.0.2.7 198.51.100.4 8999 permit 5
		connect u 192.0.2.7 198.51.100.4 9000 deny default
		connect u 192.0.2.7 198.51.100.4 80 permit 5
		connect u 192.0.2.7 198.51.100.4 65535 permit 5
		connect port 192.0.2.7 198.51.100.5 1 permit 6
		connect root 192.0.2.7 198.51.100.6 443 deny 7
		connect alice 192.0.2.7 198.51.100.6 443 permit 8
		connect alice 192.0.2.7 198.51.100.6 444 deny default
	END
	answers 0 connect u 192.0.2.7 198.51.100.4 http <<-'END'
		permit 198.51.100.4 80 by acl:5: permit from any to 198.51.100.4 port 22,8000-8999,http,65535
	END
}

@test "the first match decides, no match denies, an empty list denies all" {
	printf '%s\n' 'permit from 192.0.2.7 port 80' 'deny port 80' 'permit from any port 80' 'permit from any port 81' >acl
	table <<-'END'
		connect u 192.0.2.7 8.8.8.8 80 permit 1
		connect u 192.0.2.8 8.8.8.8 80 deny 2
		connect u 192.0.2.8 8.8.8.8 81 permit 4
		connect u 192.0.2.8 8.8.8.8 82 deny default
	END
	: >acl
	table <<<'connect u 127.0.0.1 8.8.8.8 80 deny default'
	printf '# nothing but this\n' >acl
	table <<<'connect u local 8.8.8.8 80 deny default'
	echo deny >acl
	table <<<'connect u local 8.8.8.8 80 deny 1'
}

# verdicts EXPECTED ADDRESS...: how each is judged and by which line; addresses print in more than one way
verdicts() {
	local address got
	for address in "${@:2}"; do
		got=$("$BIN" -t -a acl connect u 192.0.2.7 "$address" 443) || [ $? -eq 1 ]
		[[ $got == ${1% by *}" "*" 443 by acl:${1#* by }:"* ]] || fail "$address: wanted $1, got $got"
	done
}

@test "internal: the first and last address of every range, and their neighbours outside; IPv4 hidden in IPv6" {
	printf '%s\n' 'deny to internal' 'permit from any' >acl
	verdicts 'deny by 1' 0.0.0.1 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.0 127.255.255.255 \
		169.254.0.0 169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.255 192.168.0.0 192.168.255.255 \
		198.18.0.0 198.19.255.255 224.0.0.0 240.0.0.1 255.255.255.255 \
		::1 fc00:: fdff:ffff::1 fe80::1 febf::1 fec0::1 feff::1 ff00:: ff02::1 ffff:: 64:ff9b:1:: 64:ff9b:1:ffff::1
	verdicts 'permit by 2' 1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 \
		169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.2.1 192.167.255.255 192.169.0.0 198.17.255.255 \
		198.20.0.0 198.51.100.1 203.0.113.1 223.255.255.255 \
		2001:db8::1 fbff::1 fe00::1 fe7f::1 64:ff9b:2::1 64:ff9a::1 2001::1 2003::1
	verdicts 'deny by 1' ::10.0.0.1 ::127.0.0.1 ::ffff:10.0.0.1 ::ffff:7f00:1 0:0:0:0:0:ffff:192.168.0.1 ::ffff:0:10.0.0.1 \
		::ffff:0:169.254.169.254 64:ff9b::10.0.0.1 64:ff9b::7f00:1 2002:a00:1:: 2002:7f00:1::1 2002:c0a8:101:ffff::1 2002:e000::1
	verdicts 'permit by 2' ::8.8.8.8 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1 2002:808:808::10.0.0.1 \
		64:ff9b::1:10.0.0.1 ::1:10.0.0.1 ::fffe:10.0.0.1
}

@test "internal: the addresses of this host, as they are and hidden in IPv6" {
	in_lab || return "$status"
	ip address add 198.51.100.77/32 dev lo
	ip address add 2001:db8:77::1/128 dev lo nodad
	printf "%s\n" "deny to internal" "deny from internal" "permit from any" >acl
	table <<-END
		connect u 203.0.113.1 198.51.100.77 80 deny 1
		connect u 203.0.113.1 198.51.100.78 80 permit 3
		connect u 203.0.113.1 ::ffff:198.51.100.77 80 deny 1 198.51.100.77
		connect u 203.0.113.1 64:ff9b::c633:644d 80 deny 1
		connect u 203.0.113.1 64:ff9b::c633:644e 80 permit 3
		connect u 203.0.113.1 2002:c633:644d::1 80 deny 1
		connect u 203.0.113.1 2001:db8:77::1 80 deny 1
		connect u 203.0.113.1 2001:db8:77::2 80 permit 3
		connect u 198.51.100.77 203.0.113.1 80 deny 2
		connect u 2001:db8:77::1 203.0.113.1 80 deny 2
		connect u 198.51.100.78 203.0.113.1 80 permit 3
	END
}

# two_addresses: the lab becomes a host with a primary and a secondary address in each family, and with a range that was routed to it
two_addresses() {
	ip link add wire type veth peer name far
	ip link set far up
	ip link set wire up
	ip address add 198.51.100.77/24 dev wire
	echo 1 >/proc/sys/net/ipv6/conf/all/forwarding # a router has an anycast address in each of its networks (RFC 4291)
	ip address add 198.51.100.78/24 dev wire
	ip address add 2001:db8:77::1/64 dev wire nodad
	ip address add 2001:db8:77::2/64 dev wire nodad
	ip route add default via 198.51.100.1
	ip route add local 198.51.99.0/28 dev lo
	ip -6 route add local 2001:db8:99::/64 dev lo
	printf "%s\n" "deny to internal" "permit from any" >acl
}

may_bind_to_any() {
	echo "$1" >/proc/sys/net/ipv4/ip_nonlocal_bind
	echo "$1" >/proc/sys/net/ipv6/ip_nonlocal_bind
}

@test "internal: secondary addresses and routed ranges of this host, and what it may bind to without having it" {
	in_lab || return "$status"
	two_addresses
	for nonlocal in 0 1; do
		may_bind_to_any "$nonlocal"
		table <<-END
			connect u 203.0.113.1 198.51.100.77 80 deny 1
			connect u 203.0.113.1 198.51.100.78 80 deny 1
			connect u 203.0.113.1 64:ff9b::198.51.100.78 80 deny 1 64:ff9b::c633:644e
			connect u 203.0.113.1 2002:c633:644e::1 80 deny 1
			connect u 203.0.113.1 ::198.51.100.78 80 deny 1 ::c633:644e
			connect u 203.0.113.1 198.51.100.255 80 deny 1
			connect u 203.0.113.1 198.51.99.9 80 deny 1
			connect u 203.0.113.1 198.51.99.16 80 permit 2
			connect u 203.0.113.1 198.51.100.79 80 permit 2
			connect u 203.0.113.1 203.0.113.9 80 permit 2
			connect u 203.0.113.1 2001:db8:77::2 80 deny 1
			connect u 203.0.113.1 2001:db8:77:: 80 deny 1
			connect u 203.0.113.1 2001:db8:77::3 80 permit 2
			connect u 203.0.113.1 2001:db8:99::5 80 deny 1
			connect u 203.0.113.1 2001:db8:9a::5 80 permit 2
		END
	done
}

# bats test_tags=no-valgrind,native
@test "internal: without routes to ask for, bind tells; if it cannot, everything is internal to deny and nothing to permit" {
	require strace
	in_lab || return "$status"
	two_addresses
	program=$BIN BIN=$PWD/traced
	failing() {
		printf "#!/bin/sh\nexec strace -f -qq -o calls %s %s \"\$@\"\n" "$*" "$program" >traced
		chmod +x traced
	}
	export ASAN_OPTIONS=detect_leaks=0

	failing -e inject=socket:error=EAFNOSUPPORT:when=1
	table <<-END
		connect u 203.0.113.1 198.51.100.78 80 deny 1
		connect u 203.0.113.1 198.51.100.79 80 permit 2
		connect u 203.0.113.1 2001:db8:77::2 80 deny 1
		connect u 203.0.113.1 2001:db8:77::3 80 permit 2
	END
	grep -q "AF_NETLINK.*INJECTED" calls

	failing -e inject=bind:error=EPERM
	table <<-END
		connect u 203.0.113.1 198.51.100.78 80 deny 1
		connect u 203.0.113.1 198.51.100.79 80 permit 2
	END

	printf "%s\n" "deny to internal" "permit from any to 198.51.100.0/24" >acl
	neither() {
		table <<-END
			connect u 203.0.113.1 198.51.100.78 80 deny 1
			connect u 203.0.113.1 198.51.100.79 80 deny 1
		END
		cp acl denies
		echo "permit from any to internal" >acl
		table <<-END
			connect u 203.0.113.1 198.51.100.78 80 deny default
			connect u 203.0.113.1 198.51.100.79 80 deny default
		END
		mv denies acl
	}
	failing -e inject=socket:error=EAFNOSUPPORT:when=1 -e inject=bind:error=EPERM
	neither
	may_bind_to_any 1
	failing -e inject=socket:error=EAFNOSUPPORT:when=1
	neither
	failing -e inject=recvfrom:error=EAGAIN
	neither
}

@test "names: exact, domains, without case and trailing dot, on label boundaries" {
	in_lab || return "$status"
	names "www.example.org A 198.51.100.9" "example.org A 198.51.100.9" "a.b.example.org A 198.51.100.9" \
		"badexample.org A 198.51.100.9" "one.test A 198.51.100.9" "x.one.test A 198.51.100.9" \
		"two.test A 198.51.100.9" "onextest A 198.51.100.9" "_x.srv.test A 198.51.100.9" "any.test A 198.51.100.9"
	printf "%s\n" "permit from any to .eXample.org." "permit from any to one.TEST,two.test." \
		"permit from any to .Srv.test" "permit from any to 203.0.113.9" >acl
	table <<-END
		connect u 192.0.2.7 www.example.org 80 permit 1 www.example.org 198.51.100.9
		connect u 192.0.2.7 example.org 80 permit 1 example.org 198.51.100.9
		connect u 192.0.2.7 a.b.example.org 80 permit 1 a.b.example.org 198.51.100.9
		connect u 192.0.2.7 WWW.Example.ORG 80 permit 1 WWW.Example.ORG 198.51.100.9
		connect u 192.0.2.7 www.example.org. 80 permit 1 www.example.org 198.51.100.9
		connect u 192.0.2.7 badexample.org 80 deny default badexample.org 198.51.100.9
		connect u 192.0.2.7 One.Test 80 permit 2 One.Test 198.51.100.9
		connect u 192.0.2.7 two.test 80 permit 2 two.test 198.51.100.9
		connect u 192.0.2.7 two.test. 80 permit 2 two.test 198.51.100.9
		connect u 192.0.2.7 x.one.test 80 deny default x.one.test 198.51.100.9
		connect u 192.0.2.7 onextest 80 deny default onextest 198.51.100.9
		connect u 192.0.2.7 _x.srv.test 80 permit 3 _x.srv.test 198.51.100.9
		connect u 192.0.2.7 198.51.100.9 80 deny default
	END
}

@test "names: each address is judged together with the name" {
	in_lab || return "$status"
	names "example.org A 198.51.100.9" "example.org A 10.0.0.9" "example.org A 203.0.113.5" "example.org AAAA 2001:db8::9" \
		"inner.test A 10.0.0.9" "six.test AAAA 2001:db8::9" "zero.test A 0.0.0.0" "mapped.test AAAA ::ffff:10.0.0.9"
	cat >acl <<-END
		deny to internal
		deny to www.example.org
		deny to 203.0.113.0/24
		# a comment, so that the next line is number five
		permit	from 192.0.2.0/24  to .example.org port 443 # the website
		permit from any to six.test,zero.test
		permit from any to 10.0.0.9
	END
	answers 0 -4 connect alice 192.0.2.7 example.org 443 <<-END
		permit example.org 198.51.100.9 443 by acl:5: permit from 192.0.2.0/24 to .example.org port 443
		deny example.org 10.0.0.9 443 by acl:1: deny to internal
		deny example.org 203.0.113.5 443 by acl:3: deny to 203.0.113.0/24
	END
	answers 0 -6 connect alice 192.0.2.7 example.org 443 <<-END
		permit example.org 2001:db8::9 443 by acl:5: permit from 192.0.2.0/24 to .example.org port 443
	END
	answers 1 connect alice 192.0.2.7 inner.test 443 <<<"deny inner.test 10.0.0.9 443 by acl:1: deny to internal"
	answers 0 connect alice 203.0.113.9 six.test 1 <<-END
		permit six.test 2001:db8::9 1 by acl:6: permit from any to six.test,zero.test
	END
	answers 1 connect alice 203.0.113.9 zero.test 1 <<<"deny zero.test 1: resolve-failed"
	answers 1 bind alice 203.0.113.9 six.test 1 <<<"deny six.test 1: resolve-failed"
	answers 1 connect alice 203.0.113.9 mapped.test 1 <<<"deny mapped.test 10.0.0.9 1 by acl:1: deny to internal"
	answers 1 connect alice 203.0.113.9 missing.test 1 <<<"deny missing.test 1: resolve-failed"
	answers 1 connect alice 203.0.113.9 Missing.test. 1 <<<"deny Missing.test 1: resolve-failed"
}

@test "names: nothing is looked up that no permit rule could match" {
	in_lab || return "$status"
	names "asked.test A 198.51.100.9"
	cat >acl <<-END
		deny to .denied.test
		deny to internal
		deny user mallory
		permit connect from 192.0.2.0/24 user alice port 80
		permit from 192.0.2.0/24 to named.test port 81
		permit bind from any to 2001:db8::/32 port 82
		permit bind from any to 0.0.0.0 port 83
		deny port 84
		permit from 192.0.2.0/24 to 203.0.113.0/24 port 84
	END
	table <<-END
		connect alice 192.0.2.7 denied.test 80 deny 1
		connect alice 192.0.2.7 a.Denied.test 80 deny 1
		connect mallory 192.0.2.7 q.test 80 deny 3
		connect bob 192.0.2.7 q.test 80 deny default
		connect alice 192.0.3.7 q.test 80 deny default
		connect alice local q.test 80 deny default
		connect alice 2001:db8::1 q.test 80 deny default
		bind alice 192.0.2.7 q.test 80 deny default
		connect alice 192.0.2.7 q.test 79 deny default
		connect alice 192.0.2.7 q.test 81 deny default
		connect alice 192.0.2.7 notnamed.test 81 deny default
		bind alice 192.0.2.7 q.test 82 deny default
		bind alice 192.0.2.7 q.test 83 deny default
		connect alice 192.0.2.7 q.test 84 deny 8
	END
	[ ! -s questions ]
	table <<<"connect alice 192.0.2.7 asked.test 80 permit 4 asked.test 198.51.100.9"
	grep -q "^asked.test A" questions
}

@test "BIND from any caller is permitted by exactly 0.0.0.0 alone, and denied as all else is" {
	cat >acl <<-'END'
		deny bind from 192.0.2.66
		permit bind from 192.0.2.1 to 0.0.0.0
		permit bind from 192.0.2.2 to 198.51.100.0/24,0.0.0.0/32
		permit from 192.0.2.3,0.0.0.0 to 0.0.0.0/0,0.0.0.0/8,::,any,internal
		permit from 192.0.2.4
		permit from 192.0.2.5 to ::/128,::/0
		deny to internal
		permit from any to 0.0.0.0
	END
	table <<-'END'
		bind u 192.0.2.66 0.0.0.0 0 deny 1
		bind u 192.0.2.1 0.0.0.0 0 permit 2
		bind u 192.0.2.1 0.0.0.0 21 permit 2
		bind u 192.0.2.2 0.0.0.0 0 permit 3
		bind u 192.0.2.2 198.51.100.1 0 permit 3
		bind u 192.0.2.2 0.0.0.5 0 deny 7
		bind u 192.0.2.3 0.0.0.0 0 deny 7
		bind u 192.0.2.3 0.0.0.1 0 permit 4
		bind u 192.0.2.3 198.51.100.1 0 permit 4
		bind u 192.0.2.4 0.0.0.0 0 deny 7
		bind u 192.0.2.4 198.51.100.1 0 permit 5
		bind u 192.0.2.5 0.0.0.0 0 deny 7
	END
	sed -i 7d acl
	table <<-'END'
		bind u 192.0.2.3 0.0.0.0 0 permit 7
		bind u local 0.0.0.0 0 permit 7
	END
}

@test "0.0.0.0 and port 0 are refused for CONNECT, whatever the list says" {
	printf 'permit from any to 0.0.0.0,::,any\n' >acl
	answers 1 connect u 192.0.2.7 0.0.0.0 80 <<<'deny 0.0.0.0 80: bad-address'
	answers 1 connect u 192.0.2.7 :: 80 <<<'deny :: 80: bad-address'
	answers 1 connect u 192.0.2.7 ::ffff:0.0.0.0 80 <<<'deny 0.0.0.0 80: bad-address'
	answers 1 connect u 192.0.2.7 198.51.100.1 0 <<<'deny 198.51.100.1 0: bad-port'
}

@test "every kind of wrong line is reported with its number, its word and what is wrong" {
	local rule message long line=0
	long=$(printf 'a%.0s' {1..256})
	while IFS='|' read -r rule message; do
		printf 'permit from any # line %s is right\n%b\n' $((line + 1)) "${rule//LONG/$long}" >>acl
		line=$((line + 2))
		printf 'acl:%s: %s\n' "$line" "$message" >>expected
	done <<-'END'
		allow from any|allow is neither permit nor deny: write permit
		Permit from any|Permit is neither permit nor deny: write permit
		permitfrom any|permitfrom is neither permit nor deny
		from any|from is neither permit nor deny
		\xef\xbb\xbfpermit from any|line starts with a byte order mark: save the file without one
		permit|permit needs a from (from any, if everybody is meant)
		permit connect to any port 22|permit needs a from (from any, if everybody is meant)
		permit # from any|permit needs a from (from any, if everybody is meant)
		permit frm any|frm is not a known word
		permit from any 80|80 is not a known word
		permit from any, ::1|any, has a blank after a comma: write any,::1
		permit from any port 80, 443, 22|80, has a blank after a comma: write 80,443,22
		permit from any port 1, 2, 3, 4, 5, 6, 7, 8|1, has a blank after a comma: write 1,2,3,4,5,6,7,8
		permit from any port 1, 2, 3, 4, 5, 6, 7, 8, 9|1, has a blank after a comma
		permit from any to 64:ff9b:1::/48, 2001:db8:1:1:1:1:1:0/112, 2001:db8:1:1:1:1:2:0/112, 2001:db8:1:1:1:1:3:0/112, 2001:db8:1:1:1:1:4:0/112, 2001:db8:1:1:1:1:5:0/112, 2001:db8:1:1:1:1:6:0/112, xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.example|64:ff9b:1::/48, has a blank after a comma
		permit from any port 1, 2,|1, has a blank after a comma
		permit from any port 1, to any|1, has an empty element
		permit from any port 1, 2, to any|1, has a blank after a comma
		permit from any port 1, , 2|1, has a blank after a comma
		permit from any port 1, 2 , 3|1, has a blank after a comma
		permit from any port 1, 2 ,3|1, has a blank after a comma
		permit from any ,::1|,::1 has a blank before a comma: lists are written without blanks
		permit from any FROM any|FROM is not a known word: write from
		permit from any from local|from is given twice
		deny port 1 to any port 2|port is given twice
		deny to any to any|to is given twice
		deny user a user a|user is given twice
		permit from any ident off ident off|ident is given twice
		permit from|from has no value
		permit from # any|from has no value
		deny to port 22|to has no value
		permit from any ident|ident has no value
		permit from any user|user has no value
		deny port|port has no value
		deny ident off|ident belongs in permit rules only
		permit from any ident none|none is not an ident mode (off, ask or require)
		permit from any ident Ask|Ask is not an ident mode (off, ask or require)
		permit from any connect|connect is in the wrong place: it follows permit or deny
		permit connect bind from any|bind is in the wrong place: it follows permit or deny
		permit connect,bind from any|connect,bind is not a known word
		permit from 192.0.2.1/24|192.0.2.1/24 has host bits set after the prefix length
		permit from 2001:db8::1/64|2001:db8::1/64 has host bits set after the prefix length
		permit from ::ffff:192.0.2.1/120|::ffff:192.0.2.1/120 has host bits set after the prefix length
		permit from ::ffff:0:0/95|::ffff:0:0/95 has host bits set after the prefix length
		deny to 10.1.0.0/8|10.1.0.0/8 has host bits set after the prefix length
		permit from 10.0.0.0/33|10.0.0.0/33 has no valid prefix length
		permit from 10.0.0.0/|10.0.0.0/ has no valid prefix length
		permit from 10.0.0.0/-1|10.0.0.0/-1 has no valid prefix length
		permit from 10.0.0.0/255.0.0.0|10.0.0.0/255.0.0.0 has a netmask in place of a length: write 10.0.0.0/8
		permit from 192.0.2.0/255.255.255.0|192.0.2.0/255.255.255.0 has a netmask in place of a length: write 192.0.2.0/24
		deny to fc00::/255.0.0.0|fc00::/255.0.0.0 has a netmask in place of a length: write fc00::/8
		permit from 10.0.0.0/255.0.255.0|10.0.0.0/255.0.255.0 has no valid prefix length
		permit from ::/129|::/129 has no valid prefix length
		permit from 10.0.0|10.0.0 is not an address
		permit from 010.0.0.256|010.0.0.256 is not an address
		permit from example.org|example.org is not an address: sources are addresses, never names
		permit from Any|Any is in the wrong case: write any
		permit from !any|!any is not an address
		permit from fe80::1%lo|fe80::1%lo has a zone: leave it out, a prefix covers every interface
		permit from [::1]|[::1] is not an address
		deny to 2001:db8::g|2001:db8::g is not an address
		deny to example.org/24|example.org/24 is not an address
		deny to 10.0.0.1:80|10.0.0.1:80 has a port in it: write 10.0.0.1 port 80
		permit from 10.1.2.3/255.0.0.0|10.1.2.3/255.0.0.0 has host bits set after the prefix length
		deny to example.org/255.0.0.0|example.org/255.0.0.0 is not an address
		deny to :443|:443 is not an address
		deny to 10.0.0.1:|10.0.0.1: is not an address
		deny to *.example.org:443|*.example.org:443 is not an address
		deny to example.org:99999|example.org:99999 is not an address
		deny to example.org:80/tcp|example.org:80/tcp is not an address
		deny to 10.0.0.0/255.0.0.0:80|10.0.0.0/255.0.0.0:80 has no valid prefix length
		deny to host:1/255.0.0.0|host:1/255.0.0.0 is not an address
		deny to 1:2/0.0.0.0|1:2/0.0.0.0 is not an address
		deny to example.org:443|example.org:443 has a port in it: write example.org port 443
		permit from any to www.example.org:https|www.example.org:https has a port in it: write www.example.org port https
		permit 192.0.2.0/24|192.0.2.0/24 has neither from nor to before it: write from 192.0.2.0/24 or to 192.0.2.0/24
		permit any|any has neither from nor to before it: write from any or to any
		permit local|local has neither from nor to before it: write from local
		permit from any ports 80|ports is not a known word: write port
		deny dst 10.0.0.0/8|dst is not a known word: write to
		block to any|block is neither permit nor deny: write deny
		permit from ,any|,any has an empty element
		permit from 10.0.0.0/8,,::1|10.0.0.0/8,,::1 has an empty element
		permit from any,|any, has an empty element
		deny port 22,|22, has an empty element
		deny user a,,b|a,,b has an empty element
		deny to ,|, has an empty element
		deny port 0|0 is not a port from 1 to 65535, nor low-high
		deny port 65536|65536 is not a port from 1 to 65535, nor low-high
		deny port 99999999999999999999|99999999999999999999 is not a port from 1 to 65535, nor low-high
		deny port 0-10|0-10 is not a port from 1 to 65535, nor low-high
		deny port 80-|80- is not a port from 1 to 65535, nor low-high
		deny port -80|-80 is not a port from 1 to 65535, nor low-high
		deny port 1-2-3|1-2-3 is not a port from 1 to 65535, nor low-high
		deny port 9000-8000|9000-8000 is a reversed range
		deny port nosuchservice|nosuchservice is not a known service
		deny port 22/tcp|22/tcp is not a known service
		deny port any|any is no port: leave port out, and the rule matches every port
		deny to 10.0.0.300|10.0.0.300 ends in a number, as no name does, and is not an address
		deny to 1.2.3|1.2.3 ends in a number, as no name does, and is not an address
		deny to 10.0.0.1.|10.0.0.1. ends in a number, as no name does, and is not an address
		deny to host.300|host.300 ends in a number, as no name does, and is not an address
		deny to .0x7F|.0x7F ends in a number, as no name does, and is not an address
		deny to 2130706433|2130706433 ends in a number, as no name does, and is not an address
		deny to a..example.org|a..example.org has an empty label
		deny to ..example.org|..example.org has an empty label
		deny to example.org..|example.org.. has an empty label
		deny to .|. has an empty label
		deny to *.example.org|*.example.org is not how a domain is written: write .example.org
		deny to *.|*. is neither an address nor a name
		deny to *.*.org|*.*.org is neither an address nor a name
		deny to exam\xc3\xa9ple.org|exam??ple.org is neither an address nor a name
		deny to -x!|-x! is neither an address nor a name
		deny to Internal|Internal is a keyword in the wrong case or place (a host of that name: add a dot)
		deny to local|local is a keyword in the wrong case or place (a host of that name: add a dot)
		deny to any,port|port is a keyword in the wrong case or place (a host of that name: add a dot)
		deny to LONG|aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa... is longer than 255 bytes
		deny user LONG|aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa... is longer than 255 bytes
		permit from any\r|line contains a carriage return
		# a comment\r|line contains a carriage return
		\r|line contains a carriage return
		permit\x00 from any|line contains a NUL byte
		\x1b[2Jdeny|?[2Jdeny is neither permit nor deny
	END
	answers 2 <expected
	answers 2 connect u 127.0.0.1 8.8.8.8 80 <expected
}

@test "a file that was cut in its last line is wrong, in a comment or blank line too" {
	local cut
	for cut in 'permit from any' '# a comm' ' ' 'permit from any port 44'; do
		printf 'deny to internal\n%s' "$cut" >acl
		answers 2 <<<'acl:2: the last line does not end: was the file cut?'
		echo >>acl
		passes
	done
	printf 'permt from any\npermit from any' >acl
	answers 2 <<-'END'
		acl:1: permt is neither permit nor deny
		acl:2: the last line does not end: was the file cut?
	END
}

@test "what is right passes: blanks, tabs, comments, any order, any last line" {
	cat >acl <<-'END'

		# a comment
		   	# one after blanks
		permit from any#at once
		  	permit 	from	any,local,internal,::/0,0.0.0.0/0  	
		permit bind port 1-65535,22,ssh to any,internal,.org,_x.y-z.org.,xn--bcher-kva.example user a,b ident ask from ::
		deny
		deny connect
		deny to internal.,local.,a,1a,1.org,3com.0xg,0-0
		deny user port,to,from,user#,not,these
		deny user !"$%&'()*+-./:;<=>?@[\]^_`{|}~
		permit from any ident off user ident
	END
	printf 'permit ident require from 192.0.2.7\n' >>acl
	passes
	answers 0 connect u 127.0.0.1 8.8.8.8 80 <<<'permit 8.8.8.8 80 by acl:4: permit from any'
	sed -i '4,12s/^/#/' acl
	answers 0 connect u 192.0.2.7 8.8.8.8 80 <<<'permit 8.8.8.8 80 by acl:13: permit ident require from 192.0.2.7'
}

@test "a rule is printed with single blanks and without its comment" {
	printf '\t permit\t\tconnect  from any   to 8.8.8.8,8.8.4.4 \t port domain # why\n' >acl
	answers 0 connect u 127.0.0.1 8.8.8.8 53 <<-'END'
		permit 8.8.8.8 53 by acl:1: permit connect from any to 8.8.8.8,8.8.4.4 port domain
	END
}

@test "a rule longer than a page, in a file with a long path, is printed whole" {
	local rule directory
	rule="permit from any to $(seq -s , -f 'host%g.test' 1000),8.8.8.8"
	[ "${#rule}" -gt 8192 ]
	directory=$(printf 'd%.0s' {1..250})
	directory=$directory/$directory/$directory/$directory/$directory
	mkdir -p "$directory"
	echo "$rule" >"$directory/acl"
	run -0 "$BIN" -t -a "$directory/acl" connect u 127.0.0.1 8.8.8.8 53
	[ "$output" = "permit 8.8.8.8 53 by $directory/acl:1: $rule" ]
}

@test "-i and -I show where a rule names no identity mode, and only there" {
	printf '%s\n' 'permit user ident from any port 53' 'permit from any ident off port 54' 'deny port 55' \
		'permit from any ident ask' >acl
	answers 0 -I connect ident local 8.8.8.8 53 <<<'permit 8.8.8.8 53 by acl:1: permit user ident from any port 53 ident require'
	answers 0 -i connect ident local 8.8.8.8 53 <<<'permit 8.8.8.8 53 by acl:1: permit user ident from any port 53 ident ask'
	answers 0 -i connect u local 8.8.8.8 54 <<<'permit 8.8.8.8 54 by acl:2: permit from any ident off port 54'
	answers 1 -i connect u local 8.8.8.8 55 <<<'deny 8.8.8.8 55 by acl:3: deny port 55'
	answers 0 -I connect u local 8.8.8.8 56 <<<'permit 8.8.8.8 56 by acl:4: permit from any ident ask'
}

@test "a list from a pipe, one of ten thousand lines, one that is too large" {
	run -1 "$BIN" -t -a <(seq -f 'deny port %g # more than a pipe gives at once' 2000) \
		connect u 127.0.0.1 8.8.8.8 1999
	[[ $output == 'deny 8.8.8.8 1999 by /dev/fd/'*':1999: deny port 1999' ]]
	awk 'BEGIN {
		for (i = 1; i <= 40; i++)
			for (j = 0; j < 250; j++)
				printf "deny from 10.%d.%d.0/24 to h%d.example.org,2001:db8:%d::/48 port %d,1000-2000\n", i, j, j, i, i
	}' >acl
	echo 'permit from 192.0.2.7' >>acl
	answers 0 connect u 192.0.2.7 8.8.8.8 80 <<<'permit 8.8.8.8 80 by acl:10001: permit from 192.0.2.7'
	answers 1 connect u 10.40.249.9 2001:db8:28::1 1500 <<<'deny 2001:db8:28::1 1500 by default'
	answers 1 connect u 10.28.7.9 2001:db8:28::1 1500 <<-'END'
		deny 2001:db8:28::1 1500 by acl:6758: deny from 10.28.7.0/24 to h7.example.org,2001:db8:28::/48 port 28,1000-2000
	END
	head -c 67108864 /dev/zero | tr '\0' '\n' >acl
	passes
	echo >>acl
	answers 2 <<<'acl: File too large'
}

@test "a signal ends a session that waits for the rest of a list from a pipe" {
	mkfifo pipe
	start session "$BIN" -l none -a pipe
	exec 9>pipe
	kill "${PIDS[session]}"
	local ended=0
	status_of session || ended=$?
	exec 9>&-
	[ "$ended" = 2 ]
}

@test "a file that cannot be read is reported without a line number" {
	answers 2 <<<'acl: No such file or directory'
	mkdir acl
	answers 2 connect u 127.0.0.1 8.8.8.8 80 <<<'acl: Is a directory'
}

@test "-t alone says nothing of a list that is right, and names each line of one that is wrong" {
	printf 'permit from any to any\n' >acl
	run --separate-stderr -0 "$BIN" -t -a acl
	[ -z "$output$stderr" ]
	printf 'permit to any\n' >>acl
	run --separate-stderr -2 "$BIN" -t -a acl
	[ -z "$output" ]
	[ "$stderr" = 'acl:2: permit needs a from (from any, if everybody is meant)' ]
}

@test "-t wants all operands or none, and right ones" {
	printf 'permit from any\n' >acl
	local operands
	for operands in 'connect' 'connect u 127.0.0.1 8.8.8.8' 'connect u 127.0.0.1 8.8.8.8 80 81' 'listen u 127.0.0.1 8.8.8.8 80' \
		'connect u nowhere 8.8.8.8 80' 'connect u 127.0.0.1/8 8.8.8.8 80' 'connect u 127.0.0.1 8.8.8.8 65536' \
		'connect u 127.0.0.1 8.8.8.8 nosuchservice'; do
		# shellcheck disable=SC2086 # several words
		run --separate-stderr -2 "$BIN" -t -a acl $operands
		[ -z "$output" ]
		[ -n "$stderr" ]
	done
}

@test "-t: a name or address that leaves no family is not looked up" {
	printf 'permit from any\n' >acl
	in_lab || return "$status"
	names "both.test A 192.0.2.5" "both.test AAAA 2001:db8::5"
	answers 1 -6 bind u local both.test 21 <<<"deny both.test 21: resolve-failed"
	answers 1 -b ::1 bind u local both.test 21 <<<"deny both.test 21: resolve-failed"
	answers 1 bind u local ::1 21 <<<"deny ::1 21: resolve-failed"
	[ ! -s questions ]
	answers 0 -b ::1 -b 127.0.0.1 bind u local both.test 21 <<<"permit both.test 192.0.2.5 21 by acl:1: permit from any"
}

@test "without -a the default file counts, without that the built-in list" {
	in_lab || return "$status"
	rm -f /etc/socks4-stdio.acl
	for source in 127.0.0.1 127.255.255.255 ::ffff:127.0.0.1 ::1; do
		[ "$("$BIN" -t connect u "$source" 10.0.0.1 80)" = \
			"permit 10.0.0.1 80 by built-in:1: permit from 127.0.0.0/8,::1" ]
	done
	for source in 128.0.0.0 10.0.0.1 local ::2; do
		status=0
		said=$("$BIN" -t connect u "$source" 10.0.0.1 80) || status=$?
		[ "$status $said" = "1 deny 10.0.0.1 80 by default" ]
	done
	[ -z "$("$BIN" -t 2>said)" ]
	[ "$(cat said)" = "no list: the built-in one is in force, permit from 127.0.0.0/8,::1" ]
	printf "%s\n" "" "" "deny to internal" "" "" "" "permit from 192.0.2.0/24 to .example.org port 443" >/etc/socks4-stdio.acl
	names "example.org A 198.51.100.9" "example.org A 10.0.0.9"
	"$BIN" -t connect alice 192.0.2.7 example.org 443 >said
	diff - said <<-END
		permit example.org 198.51.100.9 443 by /etc/socks4-stdio.acl:7: permit from 192.0.2.0/24 to .example.org port 443
		deny example.org 10.0.0.9 443 by /etc/socks4-stdio.acl:3: deny to internal
	END
}

# bats test_tags=native
@test "where the system does not tell whether an address is its own, nothing is permitted" {
	require strace
	printf '%s\n' 'deny to internal' 'permit from any' >to
	printf '%s\n' 'permit from internal' >from
	for fault in socket:error=EMFILE socket:error=ENOBUFS recvfrom,bind:error=EACCES; do
		for question in 'to 192.0.2.7 198.51.100.9' 'to 192.0.2.7 2001:db8::9' 'from 192.0.2.7 198.51.100.9'; do
			read -r list source destination <<<"$question"
			ASAN_OPTIONS=detect_leaks=0 run -1 strace -qq -o trace -e "inject=$fault" "$BIN" -t -a "$list" \
				connect u "$source" "$destination" 80
			[[ $output == "deny $destination 80 by "* ]]
			grep -q INJECTED trace
		done
	done
}

@test "no name in a resolver's own spelling slips past a rule that denies it" {
	in_lab || return "$status"
	printf "%s\n" "deny to bad.test" "permit from any" >list
	names "bad.test A 198.51.100.9"
	for name in bad.test "b\\097d.test" "b\\ad.test" "bad\\.test"; do
		status=0
		said=$("$BIN" -t -a list connect u 192.0.2.7 "$name" 80) || status=$?
		[[ $status == 1 && $said == "deny $name 80"* ]]
	done
}

@test "a default file that leads nowhere is broken, not missing" {
	in_lab || return "$status"
	ln -sf /nowhere/list /etc/socks4-stdio.acl
	status=0
	"$BIN" -t 2>said || status=$?
	[ "$status $(cat said)" = "2 /etc/socks4-stdio.acl: No such file or directory" ]
}

@test "a default file that is frozen already is not frozen again" {
	in_lab || return "$status"
	printf 'permit from local\n' >text
	"$BIN" -t -a text -o /etc/socks4-stdio.acl
	run -2 "$BIN" -t -o other
	[ "$output" = 'socks4-stdio: /etc/socks4-stdio.acl: is frozen already: freeze the text' ]
	[ ! -e other ]
}

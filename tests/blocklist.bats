# examples/blocklist: names become a frozen list, every night, and whatever fails leaves the old one.

load launch

setup() {
	require_root
	require curl
}

installed() {
	install_files socks4-stdio.acl=/etc/socks4-stdio.acl
	install -m 755 "$EXAMPLES/blocklist/refresh" /usr/local/sbin/socks4-blocklist
	cd "$SCRATCH" || return
}

# asked NAME: the answer to a client that asks for it; it leads nowhere internal
asked() {
	socks4-stdio -t -a /etc/socks4-stdio.frozen connect alice 10.1.0.2 "$1" 443
}

@test "names, comments, blanks, CRs and hosts lines become rules; what is no name is left out" {
	in_lab || return "$status"
	installed
	printf '%s\n' '# a comment' '! another' '' '  ads.example.net  ' $'cr.example.net\r' $'\ttab.example.net # why' 'UPPER.Example.NET' \
		'0.0.0.0 one.example.net' $'0.0.0.0\ttwo.example.net three.example.net # both' '127.0.0.1 four.example.net' \
		'::1 five.example.net' '*.star.example.net' 'dot.example.net.' 'under_score.example.net' 'xn--bcher-kva.example' \
		'ads.example.net' 'below.ads.example.net' 'deep.below.ads.example.net' 'notads.example.net' \
		'0.0.0.0 0.0.0.0' '127.0.0.1 localhost' 'localhost' '192.0.2.1' '1.2.3.0x4' 'a..example' '-a.example' 'a-.example' \
		'example.com##.banner' '||adblock.example^' 'https://example.com/' 'two words.example' 'any port 25' 'bücher.example' \
		'deny to .example.org' "$(printf '%064d' 0).example" "$(printf 'a.%.0s' {1..130})example" '0.0.0.0' '.' '' \
		>/etc/socks4-stdio.blocklist
	socks4-blocklist >said 2>&1
	[ ! -s said ]
	{
		echo 'deny to internal'
		printf 'deny to .%s\n' ads.example.net cr.example.net dot.example.net five.example.net four.example.net notads.example.net \
			one.example.net star.example.net tab.example.net three.example.net two.example.net under_score.example.net \
			upper.example.net xn--bcher-kva.example
		grep -vx 'deny to internal' /etc/socks4-stdio.acl
	} >expected
	diff expected /etc/socks4-stdio.blocked
	[ "$(cd /etc && stat -c '%n %a' socks4-stdio.*)" = $'socks4-stdio.acl 644\nsocks4-stdio.blocked 644\nsocks4-stdio.blocklist 644\nsocks4-stdio.frozen 644' ]
	run_status=0
	asked ADS.example.net >said || run_status=$?
	[ "$run_status" = 1 ]
	[ "$(<said)" = 'deny ADS.example.net 443 by /etc/socks4-stdio.blocked:2: deny to .ads.example.net' ]
	socks4-stdio -t -v -a /etc/socks4-stdio.frozen >said
	grep -q '^frozen, 17 rules, made of /etc/socks4-stdio.blocked at ' said
}

@test "whatever fails leaves the frozen list as it was, and nothing beside it" {
	in_lab || return "$status"
	installed
	echo ads.example.net >/etc/socks4-stdio.blocklist
	socks4-blocklist
	cp /etc/socks4-stdio.frozen /etc/socks4-stdio.blocked .
	cp /etc/socks4-stdio.blocklist names
	find /etc -maxdepth 1 | sort >before
	kept() {
		cmp /etc/socks4-stdio.frozen socks4-stdio.frozen
		cmp /etc/socks4-stdio.blocked socks4-stdio.blocked
		find /etc -maxdepth 1 | sort | diff before -
		socks4-stdio -t -a /etc/socks4-stdio.frozen
	}
	refute socks4-blocklist http://203.0.113.80:81/ 2>said
	cmp /etc/socks4-stdio.blocklist names
	kept
	refute socks4-blocklist http://203.0.113.80/ 2>said
	grep -qx 'http://203.0.113.80/ has no names' said
	kept
	cmp names /etc/socks4-stdio.blocklist
	echo other.example.net >>/etc/socks4-stdio.blocklist
	echo 'permit everything' >>/etc/socks4-stdio.acl
	refute socks4-blocklist 2>said
	grep -q '^/etc/socks4-stdio.acl:[0-9]*: ' said
	kept
	rm /etc/socks4-stdio.acl
	find /etc -maxdepth 1 | sort >before
	refute socks4-blocklist 2>said
	kept
	# The text that was changed by hand is told of.
	echo 'deny to .more.example' >>/etc/socks4-stdio.blocked
	status=0
	socks4-stdio -t -a /etc/socks4-stdio.frozen 2>said || status=$?
	[ "$status" = 1 ]
	grep -q ': stale: /etc/socks4-stdio.blocked was changed' said
}

@test "cron's line runs it" {
	set -f
	in_lab || return "$status"
	installed
	echo ads.example.net >names
	read -ra line < <(grep -v '^#' "$EXAMPLES/blocklist/socks4-blocklist.cron" | sed "s|https://[^ ]*|file://$PWD/names|")
	[ "${line[*]:0:6}" = '30 3 * * * root' ]
	env -i PATH=/usr/bin:/bin sh -c "${line[*]:6}"
	cmp names /etc/socks4-stdio.blocklist
	status=0
	asked ads.example.net >said || status=$?
	[ "$status" = 1 ]
}

@test "the service fetches, freezes and renames; sessions of the systemd example ask what it made" {
	in_boot || return "$status"
	cd "$EXAMPLES/blocklist" || return
	install -m 755 refresh /usr/local/sbin/socks4-blocklist
	install -m 644 socks4-blocklist.service socks4-blocklist.timer /etc/systemd/system/
	install -d /etc/systemd/system/socks4-stdio@.service.d
	install -m 644 frozen.conf /etc/systemd/system/socks4-stdio@.service.d/
	sed -i 's|https://[^ ]*|file:///run/names|' /etc/systemd/system/socks4-blocklist.service
	echo 'ads.example.net' >/run/names
	cd /etc/systemd/system || return
	systemd-analyze verify --man=no ./socks4-blocklist.timer ./socks4-blocklist.service >"$SCRATCH/said" 2>&1
	[ ! -s "$SCRATCH/said" ]
	systemctl daemon-reload
	systemctl start socks4-blocklist.timer
	[ "$(systemctl show -P NextElapseUSecRealtime socks4-blocklist.timer)" != '' ]
	systemctl start socks4-blocklist.service
	systemctl start socks4-stdio.socket
	wait_for listening gateway '*:1080'
	[ "$(URL=http://www.example.org/ fetch --proxy socks4a://10.1.0.1:1080)" = hello ]
	inode=$(stat -c %i /etc/socks4-stdio.frozen)
	echo 'www.example.org' >>/run/names
	systemctl start socks4-blocklist.service
	[ "$(stat -c %i /etc/socks4-stdio.frozen)" != "$inode" ]
	[ "$(URL=http://www.example.org/ refusal --proxy socks4a://10.1.0.1:1080)" = 91 ]
	[ "$(fetch)" = hello ]
	rm /run/names
	refute systemctl start socks4-blocklist.service 2>"$SCRATCH/said"
	[ "$(URL=http://www.example.org/ refusal --proxy socks4a://10.1.0.1:1080)" = 91 ]
}

# examples/ssh with a real sshd on the gateway: the forced command, and the users' ssh_config.

load launch

setup() {
	require sshd ssh ssh-keygen useradd socat
}

# alice may only do what the forced command does; where it stands is the argument: in her key's line or in sshd's file.
gateway_up() {
	install_files ssh/socks4-stdio-ssh.acl=/etc/socks4-stdio-ssh.acl ssh/ssh_config=/etc/ssh/ssh_config.d/gateway.conf
	syslog_up
	# A home, a key and a socket directory that are gone afterwards; the project may be in the machine's /root.
	sed -i 's|:/root:|:/run/root:|' /etc/passwd
	mkdir -m 700 /run/root /run/root/.ssh
	mkdir -p /run/sshd
	ssh-keygen -q -t ed25519 -N '' -f /run/root/.ssh/id_ed25519
	useradd -M -d /run/alice -s /bin/sh alice
	mkdir -p /run/alice/.ssh
	rm -rf /etc/ssh/sshd_config.d/*
	if [ "$1" = key ]; then
		sed "s|ssh-ed25519 .*|$(cat /run/root/.ssh/id_ed25519.pub)|" "$EXAMPLES/ssh/authorized_keys" >/run/alice/.ssh/authorized_keys
	else
		cp /run/root/.ssh/id_ed25519.pub /run/alice/.ssh/authorized_keys
		cp "$EXAMPLES/ssh/sshd_config" /etc/ssh/sshd_config.d/socks4-stdio.conf
		groupadd socks
		usermod -G socks alice
	fi
	chown -R alice /run/alice
	rm -f /etc/ssh/ssh_host_*_key*
	ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
	echo '10.1.0.1 gateway.example.org' >>/etc/hosts
	# The key of a machine that is one second old cannot be known.
	echo "gateway.example.org $(cut -d' ' -f1-2 /etc/ssh/ssh_host_ed25519_key.pub)" >/run/root/.ssh/known_hosts
	/usr/sbin/sshd -D -o ListenAddress=10.1.0.1 2>"$SCRATCH/sshd" &
	wait_for listening gateway 10.1.0.1:22
}

# What ssh_config tells the users to run.
socat_up() {
	on client socat TCP-LISTEN:1080,bind=127.0.0.1,fork,reuseaddr EXEC:"ssh -l alice gateway" 2>"$SCRATCH/socat" &
	wait_for listening client 127.0.0.1:1080
}

through() {
	fetch --interface 127.0.0.1 --proxy "socks4://${1}127.0.0.1:1080"
}

code_through() {
	refusal --interface 127.0.0.1 --proxy "socks4://${1}127.0.0.1:1080"
}

permitted_and_denied() {
	socat_up
	[ "$(through '')" = hello ]
	wait_for log_has 'open cmd=connect src=local via=.* user="" .*dst=203.0.113.80:80 rule=/etc/socks4-stdio-ssh.acl:[0-9]+( sandbox=none)?$'
	wait_for log_has 'close cmd=connect .* reason=eof$'
	[ "$(URL=http://203.0.113.80:25/ code_through '')" = 91 ]
	wait_for log_has 'refuse cmd=connect src=local .* code=91 reason=denied$'
	[ "$(URL=http://10.1.0.1:80/ code_through '')" = 91 ]
}

@test "a forced command in authorized_keys: what the list permits, and nothing else" {
	in_lab || return "$status"
	gateway_up key
	permitted_and_denied
	# ssh's own forwarding, another command and a terminal are not to be had.
	refute on client timeout 10 ssh -S none -l alice -W 203.0.113.80:80 gateway </dev/null >"$SCRATCH/forwarded" 2>&1
	grep -q 'administratively prohibited' "$SCRATCH/forwarded"
	[ -z "$(on client timeout 10 ssh -S none -l alice gateway id </dev/null 2>/dev/null | tr -d '\000[\133')" ]
}

@test "a Match block in sshd_config: what the list permits, and nothing else" {
	in_lab || return "$status"
	gateway_up group
	permitted_and_denied
	refute on client timeout 10 ssh -S none -l alice -W 203.0.113.80:80 gateway </dev/null >"$SCRATCH/forwarded" 2>&1
	grep -q 'administratively prohibited' "$SCRATCH/forwarded"
	# The same login without the group's restriction would be let through.
	gpasswd -d alice socks >/dev/null
	on client timeout 10 ssh -S none -l alice gateway id </dev/null | grep -q alice
}

@test "ident require passes the login that ssh authenticated, and no other" {
	in_lab || return "$status"
	gateway_up key
	socat_up
	serve_on server 203.0.113.80 22 web
	export URL=http://203.0.113.80:22/
	[ "$(through alice@)" = hello ]
	wait_for log_has 'open .* user=alice ident=alice .*dst=203.0.113.80:22'
	[ "$(code_through root@)" = 93 ]
	wait_for log_has 'refuse .* user=root .*code=93 reason=ident-mismatch$'
	[ "$(code_through '')" = 93 ]
}

@test "ssh_config: ProxyCommand through a gateway that listens, the connection handed over" {
	in_lab || return "$status"
	gateway_up key
	cp "$EXAMPLES/socks4-stdio.acl" /etc/
	serve_on gateway 10.1.0.1 1080 /usr/local/sbin/socks4-stdio -a /etc/socks4-stdio.acl
	useradd -M -d /run/bob -s /bin/sh bob
	mkdir -p /run/bob/.ssh
	cp /run/root/.ssh/id_ed25519.pub /run/bob/.ssh/authorized_keys
	chown -R bob /run/bob
	on server /usr/sbin/sshd -D -o ListenAddress=203.0.113.80 -o PidFile=none 2>"$SCRATCH/sshd2" &
	wait_for listening server 203.0.113.80:22
	sed 's/^gateway/www/' /run/root/.ssh/known_hosts >>/run/root/.ssh/known_hosts.new
	cat /run/root/.ssh/known_hosts.new >>/run/root/.ssh/known_hosts
	[ "$(on client timeout 20 ssh -l bob www.example.org echo arrived </dev/null)" = arrived ]
	wait_for log_has 'open cmd=connect src=10.1.0.2:[0-9]+ user=root .*dst=203.0.113.80:22 name=www.example.org'
	# Handed over: while the session runs there is the gateway's process, and none of the client between.
	mkfifo "$SCRATCH/input"
	on client ssh -l bob www.example.org 'echo up; cat' <"$SCRATCH/input" >"$SCRATCH/up" &
	exec 9>"$SCRATCH/input"
	wait_for test -s "$SCRATCH/up"
	[ "$(pgrep -c '^socks4-stdio')" = 1 ]
	exec 9>&-
	wait "$!"
}

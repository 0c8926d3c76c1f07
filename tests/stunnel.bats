# examples/stunnel: SOCKS4 inside TLS, with a real stunnel at both ends.

load launch
export LAB_FIRST='network_up; tunnel_up'

setup() {
	require stunnel4 openssl service
}

certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$2" \
		-keyout "/etc/stunnel/$1.key" -out "/etc/stunnel/$1.pem" 2>/dev/null
	chmod 600 "/etc/stunnel/$1.key"
}

# The gateway's stunnel is started as the README has it; the client's by hand, since both find all of /etc/stunnel on this machine.
tunnel_up() {
	install_files socks4-stdio.acl=/etc/socks4-stdio.acl stunnel/server.conf=/etc/stunnel/socks4-server.conf
	syslog_up
	echo '10.1.0.1 gateway.example.org' >>/etc/hosts
	certificate socks4-server gateway.example.org
	certificate socks4-client alice
	cp /etc/stunnel/socks4-client.pem /etc/stunnel/socks4-clients.pem
	service stunnel4 start >"$SCRATCH/stunnel"
	wait_for listening gateway '*:1081'
	cp "$EXAMPLES/stunnel/client.conf" /etc/stunnel/socks4-client.conf
	client_up
}

client_up() {
	on client stunnel4 /etc/stunnel/socks4-client.conf
	wait_for listening client 127.0.0.1:1080
}

# A second client end, on another port, after the file or the certificates have been changed.
other_client_up() {
	sed -i 's/^accept.*/accept = 127.0.0.1:1090/; /^pid/d' /etc/stunnel/socks4-client.conf
	on client stunnel4 /etc/stunnel/socks4-client.conf
	wait_for listening client 127.0.0.1:1090
}

# fetch_tls PORT: where the client's end of the tunnel listens
fetch_tls() {
	fetch --interface 127.0.0.1 --proxy "socks4://alice@127.0.0.1:$1"
}

@test "the right certificate passes, and list and log see the client's own address" {
	in_lab || return "$status"
	[ "$(fetch_tls 1080)" = hello ]
	wait_for log_has 'open cmd=connect src=10.1.0.2:[0-9]+ user=alice dst=203.0.113.80:80 rule=/etc/socks4-stdio.acl:[0-9]+( sandbox=none)?$'
	wait_for log_has 'close cmd=connect .* reason=eof$'
	[ "$(URL=http://203.0.113.80:25/ refusal --interface 127.0.0.1 --proxy socks4://127.0.0.1:1080)" = 91 ]
	wait_for log_has 'refuse cmd=connect src=10.1.0.2:.* code=91 reason=denied$'
	# The list decides by that address.
	sed -i 's/^permit.*/permit from 198.51.100.7/' /etc/socks4-stdio.acl
	[ "$(refusal --interface 127.0.0.1 --proxy socks4://127.0.0.1:1080)" = 91 ]
}

@test "a certificate that is not listed fails, and so does none" {
	in_lab || return "$status"
	[ "$(fetch_tls 1080)" = hello ]
	wait_for log_has 'close cmd=connect'
	: >"$LOG"
	# Signed by the one that is listed: no authority is believed, that one neither.
	cp /etc/stunnel/socks4-client.pem /etc/stunnel/alice.pem
	cp /etc/stunnel/socks4-client.key /etc/stunnel/alice.key
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=mallory \
		-keyout /etc/stunnel/socks4-client.key -out /etc/stunnel/mallory.csr 2>/dev/null
	openssl x509 -req -in /etc/stunnel/mallory.csr -days 2 -CA /etc/stunnel/alice.pem -CAkey /etc/stunnel/alice.key \
		-CAcreateserial -out /etc/stunnel/signed.pem 2>/dev/null
	openssl verify -CAfile /etc/stunnel/alice.pem /etc/stunnel/signed.pem >/dev/null
	cat /etc/stunnel/signed.pem /etc/stunnel/alice.pem >/etc/stunnel/socks4-client.pem
	other_client_up
	refute fetch_tls 1090 2>"$SCRATCH/wrong"
	sed -i '/^cert\|^key/d; s/1090/1091/' /etc/stunnel/socks4-client.conf
	on client stunnel4 /etc/stunnel/socks4-client.conf
	wait_for listening client 127.0.0.1:1091
	refute fetch_tls 1091 2>"$SCRATCH/none"
	# The one that is listed still passes; neither of the others came as far as the program.
	[ "$(fetch_tls 1080)" = hello ]
	wait_for log_has 'close cmd=connect'
	[ "$(grep -c 'open cmd=' "$LOG")" = 1 ]
}

@test "a gateway with another certificate is not believed by the client" {
	in_lab || return "$status"
	[ "$(fetch_tls 1080)" = hello ]
	certificate socks4-server gateway.example.org
	other_client_up
	refute fetch_tls 1090 2>"$SCRATCH/impostor"
}

@test "a client whose certificate is taken out is locked out by a restart" {
	in_lab || return "$status"
	[ "$(fetch_tls 1080)" = hello ]
	certificate other bob
	cp /etc/stunnel/other.pem /etc/stunnel/socks4-clients.pem
	mv /etc/stunnel/socks4-client.conf "$SCRATCH/"
	service stunnel4 restart >>"$SCRATCH/stunnel"
	wait_for listening gateway '*:1081'
	refute fetch_tls 1080 2>"$SCRATCH/locked-out"
}

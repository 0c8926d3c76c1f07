# The applications that the protocol's specification names, and some that came later: each with a client and a server from the
# distribution, which meet only through the proxy.

load launch
export LAB_FIRST='network_up; proxy_up'

# --- on the machine ---

proxy_up() {
	LOG=$SCRATCH/log
	echo 'permit connect from 10.1.0.2 to 203.0.113.81' >"$SCRATCH/acl"
	serve_on gateway 10.1.0.1 1080 "$BIN" -l stderr -a "$SCRATCH/acl" 2>"$LOG"
	cat >"$SCRATCH/socks.conf" <<-END
		route {
			from: 0.0.0.0/0 to: 0.0.0.0/0 via: 10.1.0.1 port = 1080
			proxyprotocol: socks_v4
			command: connect
			method: none
		}
	END
}

socksified() {
	on client env SOCKS_CONF="$SCRATCH/socks.conf" timeout 20 socksify "$@"
}

# passed PORT [COUNT]: so many sessions to it were relayed, each to its end
passed() {
	wait_for ended "$1" "${2:-1}"
}

ended() {
	[ "$(grep -c "^close cmd=connect .*dst=203\.0\.113\.81:$1 .*reason=eof$" "$LOG")" = "$2" ]
}

@test "telnet: options and a conversation on a terminal" {
	require telnet telnetd socksify
	in_lab || return "$status"
	printf '#!/bin/sh\ntty; echo "on a $TERM"; read -r line; echo "you said $line"; read -r bye\n' >"$SCRATCH/greet"
	chmod 755 "$SCRATCH/greet"
	serve_on server 203.0.113.81 23 telnetd -h -E "$SCRATCH/greet"
	mkfifo "$SCRATCH/typed"
	exec 9<>"$SCRATCH/typed"
	TERM=vt220 socksified telnet 203.0.113.81 <&9 >"$SCRATCH/seen" 2>&1 &
	echo 'hello there' >&9
	# telnetd throws away what its terminal still holds when the program on it ends: bye is said after the last line was seen.
	wait_for grep -qs '^you said hello there' "$SCRATCH/seen"
	echo bye >&9
	# Its status is 1 when the far end hangs up.
	wait "$!" || [ "$?" = 1 ]
	grep -q '^/dev/pts/' "$SCRATCH/seen"
	grep -q "^on a vt220" "$SCRATCH/seen"
	passed 23
}

@test "ftp, passive: a listing and a file in both directions" {
	require tnftp vsftpd socksify
	in_lab || return "$status"
	cd "$SCRATCH"
	mkdir -p /run/ftp/pub /run/empty
	chmod 777 /run/ftp/pub
	head -c 3000000 /dev/urandom >/run/ftp/pub/down
	head -c 2000000 /dev/urandom >up
	printf '%s\n' listen=YES background=NO listen_address=203.0.113.81 anonymous_enable=YES anon_root=/run/ftp write_enable=YES \
		anon_upload_enable=YES anon_umask=022 no_anon_password=YES secure_chroot_dir=/run/empty port_enable=NO \
		seccomp_sandbox=NO xferlog_enable=NO >/run/vsftpd.conf
	on server vsftpd /run/vsftpd.conf &
	wait_for listening server 203.0.113.81:21
	printf '%s\n' 'user anonymous me@' binary 'cd pub' 'ls . listing' 'get down got' 'put up up' quit |
		socksified tnftp -p -i -n -v 203.0.113.81 >said 2>&1
	grep -q down listing
	cmp /run/ftp/pub/down got
	cmp up /run/ftp/pub/up
	grep -qE '^22[79] ' said
	passed 21
	passed '[0-9]*' 4
}

@test "finger and whois: a question, an answer, the end" {
	require finger whois socksify
	daemon fingerd usr/sbin/in.fingerd
	in_lab || return "$status"
	serve_on server 203.0.113.81 79 "$DAEMON"
	serve_on server 203.0.113.81 43 "$DAEMON"
	socksified finger root@203.0.113.81 >"$SCRATCH/seen"
	grep -q '^Login: root' "$SCRATCH/seen"
	passed 79
	socksified whois -h 203.0.113.81 root >"$SCRATCH/seen"
	grep -q '^Login: root' "$SCRATCH/seen"
	passed 43
	printf 'root\r\n' | on client timeout 10 nc -X 4 -x 10.1.0.1:1080 203.0.113.81 79 >"$SCRATCH/seen"
	grep -q '^Login: root' "$SCRATCH/seen"
	passed 79 2
}

@test "gopher: a menu and a binary file" {
	require curl
	daemon gophernicus usr/sbin/gophernicus
	in_lab || return "$status"
	mkdir /run/gopher
	echo 'in the burrow' >/run/gopher/burrow.txt
	head -c 1000000 /dev/urandom >/run/gopher/field.bin
	chmod -R a+rX /run/gopher
	# As root it refuses to serve, and nobody else may look into the cache.
	cp "$DAEMON" /run/gophernicus
	serve_on server 203.0.113.81 70 setpriv --reuid 65534 --regid 65534 --clear-groups /run/gophernicus -h burrow.example.org -r /run/gopher
	URL=gopher://203.0.113.81/ fetch >"$SCRATCH/menu"
	grep -q '^0burrow.txt' "$SCRATCH/menu"
	[ "$(URL=gopher://203.0.113.81/0/burrow.txt fetch | head -n 1 | tr -d '\r')" = 'in the burrow' ]
	URL=gopher://203.0.113.81/9/field.bin fetch | cmp - /run/gopher/field.bin
	passed 70 3
}

@test "www: a page by name, a part of it, a form" {
	require curl busybox
	in_lab || return "$status"
	mkdir -p /run/www/cgi-bin
	head -c 3000000 /dev/urandom >/run/www/big
	printf '#!/bin/sh\nprintf "\\r\\n"; head -c "$CONTENT_LENGTH" | tr a-z A-Z\n' >/run/www/cgi-bin/up
	chmod 755 /run/www/cgi-bin/up
	echo '203.0.113.81 pages.example.org' >>/etc/hosts
	serve_on server 203.0.113.81 80 busybox httpd -i -h /run/www
	URL=http://pages.example.org/big fetch --proxy socks4a://10.1.0.1:1080 | cmp - /run/www/big
	URL=http://203.0.113.81/big fetch -r 1000000-1999999 | cmp - <(tail -c +1000001 /run/www/big | head -c 1000000)
	[ "$(URL=http://203.0.113.81/cgi-bin/up fetch -d 'some words')" = 'SOME WORDS' ]
	passed 80 3
	log_has '^open .*name=pages.example.org '
}

@test "TLS: the certificate's name is checked end to end" {
	require curl openssl
	in_lab || return "$status"
	cd "$SCRATCH"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=safe.example.org \
		-addext subjectAltName=DNS:safe.example.org -keyout key -out certificate 2>/dev/null
	head -c 3000000 /dev/urandom >secret
	echo '203.0.113.81 safe.example.org other.example.org' >>/etc/hosts
	on server openssl s_server -accept 203.0.113.81:443 -key key -cert certificate -WWW -quiet >/dev/null 2>&1 &
	wait_for listening server 203.0.113.81:443
	URL=https://safe.example.org/secret fetch --proxy socks4a://10.1.0.1:1080 --cacert certificate >got
	cmp secret <(tail -c 3000000 got)
	passed 443
	status=0
	URL=https://other.example.org/secret fetch --proxy socks4a://10.1.0.1:1080 --cacert certificate 2>/dev/null || status=$?
	[ "$status" = 60 ]
	# s_client speaks no SOCKS; our client does it for any program that connects.
	serve_on client 127.0.0.1 443 "$BIN" -c 10.1.0.1 safe.example.org 443
	printf 'GET /certificate HTTP/1.0\r\n\r\n' | on client timeout 10 openssl s_client -connect 127.0.0.1:443 \
		-servername safe.example.org -verify_hostname safe.example.org -CAfile certificate -verify_return_error \
		-quiet -ign_eof >got 2>/dev/null
	tail -n "$(wc -l <certificate)" got | cmp - certificate
}

@test "SMTP and POP3: a letter there and back" {
	require curl
	daemon popa3d usr/sbin/popa3d
	pop3=$DAEMON
	daemon exim4-daemon-light usr/sbin/exim4
	in_lab || return "$status"
	mount -t tmpfs -o mode=1777 tmpfs /var/mail
	mount -t tmpfs tmpfs /var/lib
	mkdir /var/lib/popa3d
	echo 'Debian-exim:x:4200:4200::/:/bin/false' >>/etc/passwd
	echo 'Debian-exim:x:4200:' >>/etc/group
	printf '%s:x:42%s:4201::/:/bin/sh\n' alice 01 popa3d 02 >>/etc/passwd
	echo 'alice:x:4201:' >>/etc/group
	echo "alice:$(openssl passwd -6 sesame):20000:0:99999:7:::" >>/etc/shadow
	printf 'auth required pam_unix.so nodelay\naccount required pam_unix.so\n' >/etc/pam.d/popa3d
	cp "$DAEMON" /run/exim4
	chmod 4755 /run/exim4
	mkdir -p /etc/exim4 /run/exim
	chown 4200:4200 /run/exim
	cat >/etc/exim4/exim4.conf <<-'END'
		primary_hostname = mail.example.org
		spool_directory = /run/exim
		exim_path = /run/exim4
		keep_environment =
		log_file_path = /run/exim/%slog
		host_lookup =
		rfc1413_query_timeout = 0s
		acl_smtp_rcpt = accept
		acl_smtp_data = accept
		begin routers
		local:
		  driver = accept
		  transport = mailbox
		begin transports
		mailbox:
		  driver = appendfile
		  file = /var/mail/alice
		  user = alice
	END
	serve_on server 203.0.113.81 25 /run/exim4 -odi -bs
	{
		printf 'From: bob@example.net\r\nTo: alice@mail.example.org\r\nSubject: a letter\r\n\r\n'
		head -c 300000 /dev/urandom | base64 -w 60 | sed 's/$/\r/'
		printf '.\r\n..two dots\r\n'
	} >"$SCRATCH/letter"
	URL=smtp://203.0.113.81 fetch --mail-from bob@example.net --mail-rcpt alice@mail.example.org --upload-file "$SCRATCH/letter"
	passed 25
	wait_for test -s /var/mail/alice
	serve_on server 203.0.113.81 110 "$pop3"
	URL=pop3://203.0.113.81/1 fetch -u alice:sesame >"$SCRATCH/got"
	passed 110
	# Its body is as it was sent; on top of it the postmark has grown.
	cmp <(sed '1,/^\r$/d' "$SCRATCH/letter") <(sed '1,/^\r$/d' "$SCRATCH/got")
	status=0
	URL=pop3://203.0.113.81/1 fetch -u alice:wrong 2>/dev/null || status=$?
	[ "$status" = 67 ]
}

@test "MQTT: subscribed, published, received" {
	require mosquitto_pub mosquitto_sub
	daemon mosquitto usr/sbin/mosquitto
	in_lab || return "$status"
	printf 'listener 1883 203.0.113.81\nallow_anonymous true\nuser root\n' >/run/mosquitto.conf
	on server "$DAEMON" -c /run/mosquitto.conf 2>/dev/null &
	wait_for listening server 203.0.113.81:1883
	serve_on client 127.0.0.1 1883 "$BIN" -c 10.1.0.1 203.0.113.81 1883
	head -c 1000000 /dev/urandom >"$SCRATCH/message"
	on client mosquitto_pub -q 2 -r -t some/topic -f "$SCRATCH/message"
	on client timeout 10 mosquitto_sub -q 2 -t 'some/#' -C 1 -N >"$SCRATCH/got"
	cmp "$SCRATCH/message" "$SCRATCH/got"
	passed 1883 2
}

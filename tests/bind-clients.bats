# BIND as real clients use it: active-mode FTP through Dante's socksify, and the npm package socks.

load helper
load hosts

# Dante's BIND asks for the server of its control connection, or for 0.0.0.0 and port 0 where it knows of none.
@test "active-mode FTP through socksify: listing and a file in both directions" {
	require socksify tnftp vsftpd
	mkdir -m 755 "$SCRATCH/ftp" "$SCRATCH/ftp/pub" "$SCRATCH/empty"
	chmod 777 "$SCRATCH/ftp/pub"
	chmod 755 "$BATS_RUN_TMPDIR" "$SCRATCH" "$SCRATCH/.." "$SCRATCH/../.."
	head -c 3000000 /dev/urandom >"$SCRATCH/ftp/pub/down"
	head -c 2000000 /dev/urandom >"$SCRATCH/up"
	printf '%s\n' listen=YES background=NO listen_address=10.2.0.2 anonymous_enable=YES anon_root="$SCRATCH/ftp" write_enable=YES \
		anon_upload_enable=YES anon_umask=022 no_anon_password=YES secure_chroot_dir="$SCRATCH/empty" port_enable=YES \
		port_promiscuous=NO connect_from_port_20=YES pasv_enable=NO seccomp_sandbox=NO xferlog_enable=NO >"$SCRATCH/vsftpd.conf"
	cat >"$SCRATCH/socks.conf" <<-END
		route {
			from: 0.0.0.0/0 to: 0.0.0.0/0 via: 10.1.0.2 port = 1080
			proxyprotocol: socks_v4
			command: connect bind
			method: none
		}
	END
	printf 'permit bind from any to 0.0.0.0,10.2.0.2\npermit connect from any to 10.2.0.2 port ftp\n' >"$SCRATCH/acl"
	hosts_up client gateway server
	start gateway on gateway "$TOOLS/serve" -a 10.1.0.2 1080 "$BIN" -l stderr -a "$SCRATCH/acl" -b 10.2.0.1
	port_of gateway
	start ftpd on server vsftpd "$SCRATCH/vsftpd.conf"
	wait_for on server bash -c ': </dev/tcp/10.2.0.2/21'
	cd "$SCRATCH"
	printf '%s\n' 'user anonymous me@' binary 'cd pub' 'ls . listing' 'get down got' 'put up up' quit >commands
	SOCKS_CONF=$SCRATCH/socks.conf on client timeout 20 socksify tnftp -A -i -n -v 10.2.0.2 <commands >ftp.out 2>&1
	grep -q down "$SCRATCH/listing" || { cat ftp.out gateway.err; false; }
	cmp "$SCRATCH/ftp/pub/down" "$SCRATCH/got"
	cmp "$SCRATCH/up" "$SCRATCH/ftp/pub/up"
	[ "$(grep -c '^close cmd=bind .*reason=eof$' gateway.err)" = 3 ]
	grep -q "^open cmd=bind .*dst=10.2.0.2:20 rule=$SCRATCH/acl:1" gateway.err
}

@test "the npm package socks drives BIND, both replies checked" {
	require node
	export NODE_PATH=/usr/share/nodejs # where Debian's node-socks is
	if ! node -e "require('socks')" 2>/dev/null; then
		lack "Debian's node-socks is missing"
	fi
	cat >"$SCRATCH/bind.js" <<-'END'
		const { SocksClient } = require('socks');
		const net = require('net');
		const client = new SocksClient({
			proxy: { host: '127.0.0.1', port: Number(process.argv[2]), type: 4 },
			command: 'bind',
			destination: { host: '127.0.0.1', port: 21 },
		});
		client.connect();
		client.on('error', (error) => { console.log(error.message); process.exit(1); });
		let caller;
		client.on('bound', (info) => {
			console.log('bound', info.remoteHost.host);
			caller = net.connect(info.remoteHost.port, info.remoteHost.host, () => caller.end('banner'));
		});
		client.on('established', (info) => {
			console.log('established', info.remoteHost.host, info.remoteHost.port === caller.localPort);
			info.socket.resume();
			info.socket.on('data', (data) => { console.log(String(data)); info.socket.end(); });
		});
	END
	echo 'permit from 127.0.0.1' >"$SCRATCH/list"
	start proxy "$TOOLS/serve" 0 "$BIN" -a "$SCRATCH/list" -l none
	run timeout 10 node "$SCRATCH/bind.js" "$(port_of proxy)"
	[ "$status" = 0 ]
	[ "$output" = $'bound 127.0.0.1\nestablished 127.0.0.1 true\nbanner' ]
}

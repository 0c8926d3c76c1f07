# Real ssh, scp, git and rsync through our client, against our server, Dante and `ssh -D`.

load helper

setup() {
	require ssh sshd danted git rsync scp
	require_root
}

setup_file() {
	load helper
	# A minute is a minute: the idle sessions wait beside the other tests.
	for proxy in ours dante ssh; do
		mkdir "$BATS_FILE_TMPDIR/$proxy"
		(
			status=0
			SCRATCH=$BATS_FILE_TMPDIR/$proxy "$TESTS/lab" "$TESTS/ssh-scene" "$proxy" idle_minute \
				>"$BATS_FILE_TMPDIR/$proxy/out" 2>&1 || status=$?
			echo "$status" >"$BATS_FILE_TMPDIR/$proxy/status"
		) 3>&- &
	done
}

scene() {
	lab "$TESTS/ssh-scene" "$@"
}

@test "ssh logs in by name and by address, through ours, Dante and ssh -D" {
	for proxy in ours dante ssh; do
		scene "$proxy" login
	done
}

@test "scp carries 200 MiB there and back, through ours, Dante and ssh -D" {
	for proxy in ours dante ssh; do
		scene "$proxy" copy
	done
}

@test "ProxyUseFdpass: after the handshake our process is gone and traffic flows" {
	for proxy in ours dante ssh; do
		scene "$proxy" fdpass
	done
}

@test "git and rsync over ssh, and RSYNC_CONNECT_PROG" {
	scene ours git_and_rsync
}

@test "Ctrl-C ends ssh and our client with it" {
	scene ours interrupt
}

@test "a session survives an idle minute through each of them" {
	for proxy in ours dante ssh; do
		local end=$((SECONDS + 90))
		until [ -s "$BATS_FILE_TMPDIR/$proxy/status" ]; do
			[ "$SECONDS" -lt "$end" ]
			sleep 0.1
		done
		[ "$(cat "$BATS_FILE_TMPDIR/$proxy/status")" = 0 ] || {
			cat "$BATS_FILE_TMPDIR/$proxy/out"
			false
		}
	done
}

# What a lab machine and one that systemd boots have in common: a /dev, and what stays visible of the machine around them.
# shellcheck shell=bash

# keep_aside PATH...: these, though they may be below what is about to be covered, until `bring_back`
declare -A KEPT=()
keep_aside() {
	local kept fd
	for kept; do
		exec {fd}<"$kept"
		KEPT[$fd]=$kept
	done
}

bring_back() {
	local fd
	for fd in "${!KEPT[@]}"; do
		mkdir -p "${KEPT[$fd]}"
		mount --no-canonicalize --bind "/proc/self/fd/$fd" "${KEPT[$fd]}"
		exec {fd}<&-
	done
}

# make_dev: an empty /dev with what programs look for there
make_dev() {
	local node
	mount -t tmpfs -o mode=755,nosuid machine-dev /dev
	mkdir /dev/pts /dev/shm /dev/net
	for node in 'null c 1 3' 'zero c 1 5' 'full c 1 7' 'random c 1 8' 'urandom c 1 9' 'tty c 5 0' 'net/tun c 10 200'; do
		# shellcheck disable=SC2086 # four words
		mknod -m 666 /dev/$node
	done
	ln -s /proc/self/fd /dev/fd
	ln -s fd/0 /dev/stdin
	ln -s fd/1 /dev/stdout
	ln -s fd/2 /dev/stderr
	ln -s pts/ptmx /dev/ptmx
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 machine-pts /dev/pts
	mount -t tmpfs -o mode=1777 machine-shm /dev/shm # or systemd would mount its own over what is brought back there
}

# The Makefiles: other compilers, standards, make programs and flags, each in a tree of its own.

load helper

setup() {
	TREE=$SCRATCH/tree
	mkdir "$TREE"
	cd "$TESTS/.." || return 1
	tests/files | tar -cf - -T - | tar -xf - -C "$TREE"
	cd "$TREE" || return 1
	unset MAKEFLAGS MAKELEVEL MFLAGS CC CFLAGS CPPFLAGS LDFLAGS STRICT
}

# recorder: set RECORDER to a cc that appends its arguments to calls, a line each time
recorder() {
	RECORDER=$SCRATCH/cc
	printf '%s\n' '#!/bin/sh' "echo \"\$*\" >>$SCRATCH/calls" 'exec cc "$@"' >"$RECORDER"
	chmod 755 "$RECORDER"
}

# all_called COUNT: the compiler was called at least so often, with all flags, and the linker with its own
all_called() {
	[ "$(wc -l <"$SCRATCH/calls")" -ge "$1" ]
	run -1 grep -v -e '-O0 -g0' "$SCRATCH/calls"
	run -1 grep -v -e -DMARK <(grep '\.c\>' "$SCRATCH/calls")
	run -1 grep -v -e ' -c ' -e '-Wl,-z,now' "$SCRATCH/calls"
	rm "$SCRATCH/calls"
}

# session BIN: one session of it
session() {
	echo 'permit from any' >"$SCRATCH/list"
	"$TOOLS/peer" 2:listen 127.0.0.1:0 exec-tcp send "$(request 4 1 @2 127.0.0.1 '')" expect '\0\x5a\0\0\0\0\0\0' 2:accept \
		send hello 2:expect hello shutdown 2:expect-eof 2:close expect-eof -- "$1" -a "$SCRATCH/list" -l none >/dev/null
}

# page_through MAKE: what `make run` serves
page_through() {
	start page "$TOOLS/serve" 0 sh -c 'while read -r line && [ ${#line} -gt 1 ]; do :; done; printf "HTTP/1.0 200 OK\r\n\r\na page\n"'
	start run setsid "$1" -s run PORT=0 CFLAGS=-O0 # as a terminal does: one group, which Ctrl-C reaches
	wait_for grep -q '^serving on' "$SCRATCH/run.out"
	page=$(curl -sS --max-time 10 --socks4a "127.0.0.1:$(sed -n 's/^serving on 127.0.0.1:\([0-9]*\) .*/\1/p' "$SCRATCH/run.out")" \
		"http://127.0.0.1:$(port_of page)/")
	[ "$page" = 'a page' ]
	kill -TERM -- "-${PIDS[run]}"
	status_of run || [ $? -gt 1 ]
}

@test "CC, CFLAGS, CPPFLAGS and LDFLAGS, from the command line and from the environment" {
	require bmake
	recorder
	# shellcheck disable=SC2054 # commas of the linker's
	flags=(CC="$RECORDER" CFLAGS='-O0 -g0' CPPFLAGS=-DMARK LDFLAGS=-Wl,-z,now)
	for make in make bmake; do
		"$make" -s "${flags[@]}" all tools
		all_called 30
		"$make" -s clean
		env "${flags[@]}" "$make" -s all tools
		all_called 30
		"$make" -s clean
	done
}

@test "hardened as distributions do: PIE, stack protector, fortified, relocations read-only at once" {
	require readelf
	make -s CPPFLAGS='-Wdate-time -D_FORTIFY_SOURCE=2' LDFLAGS='-Wl,-z,relro -Wl,-z,now -pie' \
		CFLAGS='-g -O2 -fPIE -fstack-protector-strong -Wformat -Werror=format-security'
	readelf -h socks4-stdio | grep -q 'Type: *DYN'
	readelf -lW socks4-stdio | grep -q GNU_RELRO
	readelf -dW socks4-stdio | grep -q 'BIND_NOW'
	readelf -sW socks4-stdio | grep -q __stack_chk_fail
	readelf -sW socks4-stdio | grep -q '__[a-z]*_chk\>'
}

@test "tcc builds the program and the tools" {
	require tcc
	make -s CC=tcc CFLAGS= all
	make -s CC=tcc -f tests/Makefile tests/bin/serve tests/bin/peer
	session ./socks4-stdio
}

@test "C99, C11, C17 and C23, without a warning" {
	for standard in c99 c11 c17 c2x gnu2x; do
		make -s -j 2 CFLAGS="-O0 -std=$standard -Wall -Wextra -pedantic -Werror" all tools
		session ./socks4-stdio
		make -s clean
	done
}

@test "32 bits, the tools too" {
	echo 'int main(void) { return 0; }' >"$SCRATCH/empty.c"
	gcc -m32 -o "$SCRATCH/empty" "$SCRATCH/empty.c" || require a-gcc-for-32-bits
	make -s -j 2 CC='gcc -m32' CFLAGS='-O0 -Wall -Wextra -Werror' all tools
	session ./socks4-stdio
}

@test "bmake: all, install, dist, run and clean" {
	require bmake curl
	bmake -s install DESTDIR="$SCRATCH/root" CFLAGS=-O0
	session "$SCRATCH/root/usr/local/sbin/socks4-stdio"
	bmake -s dist
	mv socks4-stdio-*.tar.gz "$SCRATCH/"
	page_through bmake
	bmake -s clean
	diff <(cd "$TESTS/.." && tests/files) <(find . -type f | sed 's|^\./||' | sort)
}

@test "make run serves a page" {
	require curl
	page_through make
}

@test "what is needed for the tests is built once, in parallel, and again only if its source changes" {
	require bmake musl-gcc
	recorder
	flags=(CC="$RECORDER" CFLAGS=-O0)
	make -s -j 8 "${flags[@]}" -f tests/Makefile ready
	for make in make bmake; do
		rm "$SCRATCH/calls"
		static=$(stat -c %y build/static/socks4-stdio)
		"$make" "${flags[@]}" -f tests/Makefile ready
		[ ! -e "$SCRATCH/calls" ]
		[ "$(stat -c %y build/static/socks4-stdio)" = "$static" ]
		find . -exec touch -d '1 minute ago' {} + # bmake counts in seconds
		touch lib/text.c
		"$make" -s "${flags[@]}" -f tests/Makefile ready
		# It, the program, the variants of the program, and mangle.
		[ "$(wc -l <"$SCRATCH/calls")" = 6 ] || fail "$(<"$SCRATCH/calls")"
		[ "$(stat -c %y build/static/socks4-stdio)" != "$static" ]
	done
}

@test "without musl-gcc the tests are built without the static build, and say so" {
	mkdir "$SCRATCH/programs"
	for directory in ${PATH//:/ }; do
		for program in "$directory"/*; do
			[ "${program##*/}" = musl-gcc ] || ln -sf "$program" "$SCRATCH/programs/"
		done
	done
	run -0 env PATH="$SCRATCH/programs" make -s CFLAGS=-O0 -f tests/Makefile ready
	[[ $output == *'no musl-gcc: '* ]]
	[ -x socks4-stdio ]
	run -2 env STRICT=1 PATH="$SCRATCH/programs" make -s CFLAGS=-O0 -f tests/Makefile ready
	[[ $output == *'make static needs musl-gcc'* ]]
}

# make install and uninstall, and whether what is written about the installed program is true of it.

load helper

# The sources are built apart: another SYSCONFDIR must not touch the program under test.
setup_file() {
	mkdir "$BATS_FILE_TMPDIR/tree"
	cp -r "$TESTS"/../*.[ch] "$TESTS/../lib" "$TESTS/../man" "$TESTS/../examples" "$TESTS/../Makefile" "$BATS_FILE_TMPDIR/tree/"
	tree -j 2 all
}

setup() {
	INSTALLED=$SCRATCH/root
	cd "$TESTS/.." || return 1
}

tree() {
	env -u MAKEFLAGS -u MAKELEVEL make -s -C "$BATS_FILE_TMPDIR/tree" CFLAGS=-O0 "$@"
}

# What is there, with its modes.
files() {
	(cd "$1" && find . -type f -printf '%P %m\n' | sort)
}

# lists FILE: each paragraph of indented or quoted lines that has a rule, as the file $SCRATCH/list-N
lists() {
	awk -v to="$SCRATCH/list-" '
		/^(    |)(permit|deny) / && !/ by / { if (!open) open = ++n; sub(/^    /, ""); print >(to n); next }
		{ open = 0 }' "$1"
}

# commands FILE: the arguments of each socks4-stdio that is called there with options, without what a shell or sed must see to
commands() {
	grep -o 'socks4-stdio -[^`'\''";)]*' "$1" | sed 's/^socks4-stdio //; s/ *<\/.*//; s/%[hH]/host.example.net/; s/%p/22/' |
		grep -v '^-t$\|exampl.*:.*://'
}

# The files that are installed, with their modes.
expected() {
	cat <<-'END'
		usr/local/sbin/socks4-stdio 755
		usr/local/share/man/man5/socks4-stdio.acl.5 644
		usr/local/share/man/man8/socks4-stdio.8 644
	END
	find examples -type f -perm -100 -printf 'usr/local/share/doc/socks4-stdio/%p 755\n'
	find examples -type f ! -perm -100 -printf 'usr/local/share/doc/socks4-stdio/%p 644\n'
}

@test "install puts the program, its pages and the examples there, uninstall takes them away" {
	umask 077
	mkdir -p "$INSTALLED/usr/local/sbin"
	touch "$INSTALLED/usr/local/sbin/other"
	tree install DESTDIR="$INSTALLED"
	diff <({ expected; echo usr/local/sbin/other 600; } | sort) <(files "$INSTALLED")
	[ -z "$(find "$INSTALLED/usr/local/share" -type d ! -perm 755)" ]
	[ "$("$INSTALLED/usr/local/sbin/socks4-stdio" -V)" = "$("$BATS_FILE_TMPDIR/tree/socks4-stdio" -V)" ]
	cmp man/socks4-stdio.8 "$INSTALLED/usr/local/share/man/man8/socks4-stdio.8"
	cmp man/socks4-stdio.acl.5 "$INSTALLED/usr/local/share/man/man5/socks4-stdio.acl.5"
	touch "$INSTALLED/usr/local/share/doc/socks4-stdio/examples/ssh/mine"
	tree uninstall DESTDIR="$INSTALLED"
	[ "$(files "$INSTALLED")" = $'usr/local/sbin/other 600\nusr/local/share/doc/socks4-stdio/examples/ssh/mine 600' ]
	[ "$(ls "$INSTALLED/usr/local/share/doc/socks4-stdio/examples")" = ssh ]
	rm "$INSTALLED/usr/local/share/doc/socks4-stdio/examples/ssh/mine"
	tree uninstall DESTDIR="$INSTALLED"
	[ ! -e "$INSTALLED/usr/local/share/doc/socks4-stdio" ]
}

@test "DESTDIR may be relative" {
	tree install DESTDIR=root
	mv "$BATS_FILE_TMPDIR/tree/root" "$INSTALLED"
	diff <(expected | sort) <(files "$INSTALLED")
	mv "$INSTALLED" "$BATS_FILE_TMPDIR/tree/root"
	tree uninstall DESTDIR=root
	[ -z "$(files "$BATS_FILE_TMPDIR/tree/root")" ]
	rm -r "$BATS_FILE_TMPDIR/tree/root"
}

@test "the program is replaced while a session runs it" {
	tree install DESTDIR="$INSTALLED"
	start session "$TOOLS/peer" exec-tcp send '\x04' wait-file "$SCRATCH/go" \
		send '\x01\0\0\0\0\0\0\0' expect '\0\x5b\0\0\0\0\0\0' -- "$INSTALLED/usr/local/sbin/socks4-stdio" -l none
	wait_for pgrep -f "^$INSTALLED/usr/local/sbin/socks4-stdio -l none"
	old=$(stat -c %i "$INSTALLED/usr/local/sbin/socks4-stdio")
	tree install DESTDIR="$INSTALLED"
	[ "$(stat -c %i "$INSTALLED/usr/local/sbin/socks4-stdio")" != "$old" ]
	touch "$SCRATCH/go"
	status_of session
}

@test "SYSCONFDIR is where the program looks, PREFIX where it is, and the manual says so" {
	mkdir "$SCRATCH/etc"
	make=(install DESTDIR="$INSTALLED" PREFIX=/opt/socks SYSCONFDIR="$SCRATCH/etc")
	tree "${make[@]}"
	program=$INSTALLED/opt/socks/sbin/socks4-stdio
	run -1 grep -v "^opt/socks/" <(files "$INSTALLED")
	run -1 grep -rE '/etc/socks4|/usr/local/sbin' <(sed "s|$SCRATCH/etc/socks4||g" "$INSTALLED"/opt/socks/share/doc/socks4-stdio/examples/*/*)
	grep -q "$SCRATCH/etc/socks4-stdio.acl" "$INSTALLED/opt/socks/share/doc/socks4-stdio/examples/xinetd/socks4"
	echo 'permit from 192.0.2.7' >"$SCRATCH/etc/socks4-stdio.acl"
	run -0 "$program" -t connect '' 192.0.2.7 198.51.100.9 80
	[ "$output" = "permit 198.51.100.9 80 by $SCRATCH/etc/socks4-stdio.acl:1: permit from 192.0.2.7" ]
	run -1 grep -E '/etc/socks4|/usr/local' <(sed "s|$SCRATCH/etc/socks4||g" "$INSTALLED"/opt/socks/share/man/*/*)
	[ "$(grep -c "$SCRATCH/etc/socks4-stdio.acl" "$INSTALLED/opt/socks/share/man/man5/socks4-stdio.acl.5")" -ge 2 ]
	grep -q "nobody /opt/socks/sbin/socks4-stdio " "$INSTALLED/opt/socks/share/man/man8/socks4-stdio.8"

	# Another SYSCONFDIR is another program, though no source is newer; the same one is not.
	built=$(stat -c %y "$BATS_FILE_TMPDIR/tree/socks4-stdio")
	tree "${make[@]}"
	[ "$(stat -c %y "$BATS_FILE_TMPDIR/tree/socks4-stdio")" = "$built" ]
	tree install DESTDIR="$INSTALLED" PREFIX=/opt/socks SYSCONFDIR=/nowhere
	run -0 "$program" -t connect '' 127.0.0.1 198.51.100.9 80
	[[ $output == *' by built-in:1: '* ]]
	tree all
}

# as_found NAME COMMAND...: in the tree $SCRATCH/NAME, elsewhere in time and place, without a word of git
as_found() {
	(cd "$SCRATCH/$1" && umask 0"$2" && env -u MAKEFLAGS -u MAKELEVEL TZ="$3" "${@:4}")
}

@test "the tarball is the same from a checkout and from itself, whatever umask, user, time and locale" {
	require git
	mkdir "$SCRATCH/checkout" "$SCRATCH/unpacked"
	tests/files | tar -cf - -T - | tar -xf - -C "$SCRATCH/checkout"
	(cd "$SCRATCH/checkout" && git init -q && git add .)
	as_found checkout 22 UTC make -s dist
	name=$(basename "$SCRATCH"/checkout/*.tar.gz .tar.gz)
	[ "$name" = "$("$BATS_FILE_TMPDIR/tree/socks4-stdio" -V | tr ' ' -)" ]
	diff <(tests/files | sed "s|^|$name/|" | sort) <(tar -tzf "$SCRATCH/checkout/$name.tar.gz" | sort)
	run -0 tar --numeric-owner -tvzf "$SCRATCH/checkout/$name.tar.gz"
	run -1 grep -vE '^-rw(-r--r--|xr-xr-x) 0/0 ' <<<"$output"

	(umask 077 && tar -xzf "$SCRATCH/checkout/$name.tar.gz" -C "$SCRATCH/unpacked" --strip-components=1 --no-same-permissions)
	find "$SCRATCH/unpacked" -type f -exec touch {} +
	[ "$(stat -c %a "$SCRATCH/unpacked/tests/dist")" = 700 ]
	touch "$SCRATCH/unpacked/lib/text.o"
	as_found unpacked 77 Asia/Tokyo make -s dist
	cmp "$SCRATCH/checkout/$name.tar.gz" "$SCRATCH/unpacked/$name.tar.gz"
	# A second time, with what the first has left there.
	as_found unpacked 22 UTC make -s dist
	cmp "$SCRATCH/checkout/$name.tar.gz" "$SCRATCH/unpacked/$name.tar.gz"
}

@test "man finds the pages" {
	require man
	in_lab || return "$status"
	tree install DESTDIR="$INSTALLED"
	mount --bind "$INSTALLED/usr/local" /usr/local
	[ "$(MANPATH="" PATH=/usr/local/sbin:$PATH man -w 8 socks4-stdio)" = /usr/local/share/man/man8/socks4-stdio.8 ]
	[ "$(MANPATH="" PATH=/usr/local/sbin:$PATH man -w 5 socks4-stdio.acl)" = /usr/local/share/man/man5/socks4-stdio.acl.5 ]
}

@test "the examples name the program and the lists where they are put" {
	run -0 grep -rhoE '[A-Za-z0-9._/:-]*/s?bin/socks4-stdio\b' examples
	[ "$(sort -u <<<"$output")" = /usr/local/sbin/socks4-stdio ]
	run -0 grep -rhoE '/[A-Za-z0-9._/-]*\.acl\b' examples
	while read -r list; do
		case $list in
		/etc/*) ;;
		/socks4-stdio.acl | /socks4-stdio-ssh.acl | /socks4-stdio-local.acl) continue ;; # relative, in a README
		*) fail "$list" ;;
		esac
		find examples -name "${list##*/}" | grep -q . || fail "no example is called ${list##*/}"
		grep -rqE "^ *install -m 644 (\S*/)?${list##*/} /etc/" examples || fail "nobody is told to install $list"
	done < <(sort -u <<<"$output")
}

@test "each example names its list with -a" {
	run -0 grep -rlE --exclude='*.md' --exclude='*.acl' '/usr/local/sbin/socks4-stdio' examples
	[ "${#lines[@]}" -ge 8 ]
	for file in "${lines[@]}"; do
		tr '\n' ' ' <"$file" | grep -qE -e '(-a |<string>-a</string>\s*<string>)("\$\{LIST:-)?/etc/socks4-stdio' ||
			[ "$file" = examples/ssh/ssh_config ] || fail "$file"
	done
}

@test "each README of the examples installs files that are there" {
	count=0
	while IFS=: read -r readme line; do
		read -ra word <<<"$line"
		for file in "${word[@]:3:${#word[@]}-4}"; do
			count=$((count + 1))
			[ -f "${readme%/*}/$file" ] || fail "$readme: $file"
		done
	done < <(grep -roE --include=README.md '\binstall -m [0-9]+ [^`]*' examples)
	[ "$count" -ge 12 ]
	for directory in examples/*/; do
		grep -qF "| \`$(basename "$directory")/\` |" examples/README.md || fail "$directory"
	done
}

@test "the lists in the examples, the README and the manual are right" {
	for list in examples/*.acl examples/*/*.acl; do
		"$BIN" -t -a "$list"
		[ "$(grep -m 1 -v '^#\|^$' "$list")" = 'deny to internal' ] || fail "$list does not start with deny to internal"
		[ -z "$(tail -c 1 "$list")" ] || fail "$list does not end with a newline"
	done
	for page in README.md:1 man/socks4-stdio.acl.5:4; do
		rm -f "$SCRATCH"/list-*
		lists "${page%:*}"
		[ "$(find "$SCRATCH" -name 'list-*' | wc -l)" = "${page#*:}" ]
		for list in "$SCRATCH"/list-*; do
			run -0 "$BIN" -t -a "$list"
			[ -z "$output" ] || fail "$page: $(<"$list"): $output"
		done
	done
}

@test "an answer in the manual is the answer" {
	lists man/socks4-stdio.acl.5
	cp "$SCRATCH/list-2" "$SCRATCH/socks4-stdio.acl"
	cd "$SCRATCH"
	answer=$(grep -A 1 '^\$ socks4-stdio -t -a socks4-stdio.acl connect' "$TESTS/../man/socks4-stdio.acl.5")
	command=${answer%%$'\n'*}
	read -ra word <<<"${command#* socks4-stdio }"
	run -1 "$BIN" "${word[@]}"
	[ "$output" = "${answer#*$'\n'}" ]
}

@test "the questions in the README and the manual can be asked" {
	in_lab || return "$status"
	echo '198.51.100.9 example.org' >>/etc/hosts
	cp examples/socks4-stdio.acl /etc/
	for page in README.md man/socks4-stdio.8 examples/README.md; do
		run -0 grep -oE 'socks4-stdio -t (-a [^ ]+ )?connect [^`]*' "$page"
		[ "${#lines[@]}" = 1 ]
		read -ra word <<<"${lines[0]}"
		run "$BIN" "${word[@]:1}"
		[ "$status" -le 1 ]
		[[ $output == *' by /etc/socks4-stdio.acl:'* || $output == *' by default' ]]
	done
}

@test "the client's options in the README and the manual are taken" {
	in_lab || return "$status"
	for page in README.md man/socks4-stdio.8 examples/ssh/ssh_config; do
		run -0 commands "$page"
		count=0
		for line in "${lines[@]}"; do
			[[ $line == *'-c '* ]] || continue
			count=$((count + 1))
			read -ra word <<<"$line"
			# Nobody has that name here: it tries, which is not bad usage.
			run -1 "$BIN" "${word[@]}"
		done
		[ "$count" -gt 0 ]
	done
}

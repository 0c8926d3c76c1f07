# What -t says of a list that is right but surely not meant.

# shellcheck disable=SC2154 # bats sets stderr
bats_require_minimum_version 1.5.0
load helper

setup() {
	cd "$SCRATCH" || return 1
}

# warns: the list on standard input, whose comments are the warnings of their lines; `whole` in the first line: of the list
warns() {
	local line number=0 warning
	cat >acl
	while IFS= read -r line; do
		number=$((number + 1))
		[[ $line == *'#'* ]] || continue
		warning=${line#*# }
		case $warning in
		whole:*) echo "acl: warning: ${warning#whole: }" ;;
		*) echo "acl:$number: warning: ${warning//NEVER/this rule never decides: line}" ;;
		esac
	done <acl | sed 's/\(never decides: line [0-9]*\)$/\1 matches all that it matches/' | sort >expected
	run --separate-stderr -0 "$BIN" -t -a acl
	[ -z "$output" ]
	diff expected <(printf '%s' "${stderr:+$stderr$'\n'}" | sort) || fail "$(cat acl)"
}

@test "a rule that can never decide names the line that decides before it" {
	warns <<-'END'
		deny to internal
		permit from any port 80,8000-8999
		permit from 192.0.2.7 port 80 # NEVER 2
		deny from any port 8001-8002 # NEVER 2
		permit from any port 79-80
		deny to .example.org
		permit from any to www.example.org # NEVER 6
		permit from any to .sub.EXAMPLE.org port 22 # NEVER 6
		permit from any to example.org,www.example.com
		permit from any to badexample.org
		deny from 192.0.2.0/24
		permit from 192.0.2.128/25 to any # NEVER 11
		permit from 192.0.2.7,192.0.2.8 to any # NEVER 11
		permit from 192.0.2.7,192.0.3.8 to any
		permit from any to 10.1.2.3 # NEVER 1
		permit from any to 10.0.0.0/8,fd00::/16 # NEVER 1
		permit from any to 10.0.0.0/7
		deny user alice
		permit from any user alice,bob to any
		permit from any user alice to any # NEVER 18
		permit from any to host.example.net
		permit connect from any to host.example.net # NEVER 21
		permit bind from any to host.example.net # NEVER 21
	END
	warns <<-'END'
		permit connect from any to any
		permit from any to any
		permit from local to any # NEVER 2
		permit from internal to any # NEVER 2
		permit from ::/0 to 198.51.100.9 # NEVER 2
	END
	warns <<-'END'
		permit from 0.0.0.0/0 to any
		permit from local,192.0.2.7 to any
		permit from ::1 to any
		permit from 192.0.2.7 to 2001:db8::/32 # NEVER 1
		permit from 192.0.2.7 to 2001:db8::1 # NEVER 1
	END
}

@test "BIND to 0.0.0.0 is not covered by a permit that does not name it" {
	warns <<-'END'
		permit from 192.0.2.0/24 to any
		permit bind from 192.0.2.0/24 to 0.0.0.0
		permit bind from 192.0.2.7 to 0.0.0.0 # NEVER 2
		permit connect from 192.0.2.7 to 0.0.0.0 # NEVER 1
		deny to internal
		permit bind from any to 0.0.0.0 # NEVER 5
	END
	warns <<-'END'
		permit from any to any
		deny from 192.0.2.7
		deny to 0.0.0.0/7
		deny connect from 192.0.2.8 # NEVER 1
		deny to 1.0.0.0/8 # NEVER 1
		deny to .example.org # NEVER 1
		permit bind from any to 0.0.0.0 # NEVER 3
		permit from any to 198.51.100.0/24 # NEVER 1
	END
	warns <<-'END'
		permit from any to any
		deny from 192.0.2.7 # NEVER 1
		permit connect from 192.0.2.7 to 0.0.0.0 # NEVER 1
		deny connect to 0.0.0.0 # NEVER 1
		deny bind to 0.0.0.0
		deny to 198.51.100.9,0.0.0.0
		deny bind to 0.0.0.0 # NEVER 5
		deny to internal # NEVER 1
	END
}

@test "any is as much as a criterion that is left out" {
	warns <<-'END'
		permit from any to any
		deny connect to 10.0.0.0/8 # NEVER 1
		deny from 192.0.2.7 # NEVER 1
	END
	warns <<-'END'
		permit from local,any user bob to any port 80
		deny user bob port 80 # NEVER 1
		permit from any to any
		deny user bob to 198.51.100.0/24 # NEVER 3
	END
}

@test "a permit without to that opens internal addresses" {
	local warning='clients can reach internal addresses: put `deny to internal` before this rule, or write `to any` if that is meant'
	warns <<-END
		permit from 192.0.2.0/24 # $warning
		permit from 198.51.100.0/24 to any
		permit from local port 22
		permit from 127.0.0.1,::1 user x
		permit from 127.0.0.0/8 user y
		permit from ::/127 user z # $warning
		deny from 203.0.113.0/24 to internal
		permit from 203.0.113.7
		permit from 203.0.112.7 # $warning
		deny connect to internal
		permit from 203.0.111.7 # $warning
		permit connect from 203.0.111.9
		deny to internal,198.51.100.9
		permit from any port 1
	END
	warns <<-END
		deny connect to internal
		permit bind from 192.0.2.0/24 # $warning
		deny bind to internal
		permit from 192.0.2.0/25
	END
}

@test "words that mean something else, and a list that permits nothing" {
	warns <<-'END'
		deny to internal
		deny user any # a user of that name is one user: leave `user` out for all
		deny user * # a user of that name is one user: leave `user` out for all
		deny user "bob" # the quotes are part of the user's name: leave them out
		deny user 'bob' # the quotes are part of the user's name: leave them out
		deny user anyone
		deny to all # a destination of that name is one host: write `to any` for all
		deny to all.,x.example
		deny to Everything # a destination of that name is one host: write `to any` for all
		deny to external # a destination of that name is one host: write `to any` for all
		deny to world # a destination of that name is one host: write `to any` for all
		deny to .world,all.example
		permit from any
	END
	warns <<<'# whole: no rule permits anything: every request is denied'
	warns <<-'END'
		deny # whole: no rule permits anything: every request is denied
	END
}

@test "only -t alone and -o warn" {
	printf 'permit from any\npermit from local\n' >acl
	run --separate-stderr -0 "$BIN" -t -a acl connect u 192.0.2.7 8.8.8.8 80
	[ -z "$stderr" ]
	run --separate-stderr -0 "$BIN" -t -a acl - <<<'connect u 192.0.2.7 8.8.8.8 80'
	[ "$output" = 'permit 8.8.8.8 80 by acl:1: permit from any' ]
	[ -z "$stderr" ]
	printf '\x05' | "$BIN" -a acl -l stderr >reply 2>log
	[ "$(wc -l <log)" = 1 ]
	run --separate-stderr -0 "$BIN" -t -a acl -o frozen
	[ "$(wc -l <<<"$stderr")" = 2 ]
	run --separate-stderr -0 "$BIN" -t -a frozen
	[ -z "$stderr" ]
}

@test "ten thousand lines in two seconds" {
	awk 'BEGIN {
		for (i = 0; i < 5000; i++) printf "deny to .host%d.example\n", i
		for (i = 0; i < 5000; i++) printf "permit from 192.0.2.%d to .host%d.example port %d\n", i % 256, i % 500, i + 1
	}' >acl
	lasts 0 2000 run -0 "$BIN" -t -a acl
	[ "${#lines[@]}" = 5000 ]
}

@test "a signal ends the search for warnings" {
	# Each line is held against all before it, which takes a minute.
	seq -f 'deny to .host.example port %.0f' 50000 >acl
	lasts 900 5000 run -124 timeout 1 "$BIN" -t -a acl -o frozen
	[ ! -e frozen ]
}

@test "questions on standard input: each answered, a wrong one named" {
	printf 'permit from 192.0.2.7 user alice to any\npermit from local user "" to any\n' >acl
	run --separate-stderr -2 "$BIN" -t -a acl - <<-'END'
		connect alice 192.0.2.7 8.8.8.8 80
		# a comment
		 # another
		connect '' 192.0.2.7 8.8.8.8 80
		connect alice 192.0.2.7 8.8.8.8
		listen alice 192.0.2.7 8.8.8.8 80
		bind alice 192.0.2.7 8.8.8.8 21
	END
	[ "$output" = "$(printf '%s\n' 'permit 8.8.8.8 80 by acl:1: permit from 192.0.2.7 user alice to any' 'deny 8.8.8.8 80 by default' \
		'permit 8.8.8.8 21 by acl:1: permit from 192.0.2.7 user alice to any')" ]
	[ "${stderr_lines[0]}" = 'socks4-stdio: line 5: a question is command, user, source, destination and port' ]
	[ "${stderr_lines[1]}" = 'socks4-stdio: line 6: the command is connect or bind' ]
	run --separate-stderr -0 "$BIN" -t -a acl - < <(printf 'connect alice 192.0.2.7 8.8.8.8 1')
	run --separate-stderr -2 "$BIN" -t -a acl - < <(printf '%03000d\nconnect alice 192.0.2.7 8.8.8.8 1\n' 0)
	[ "${#lines[@]}" = 1 ]
	run --separate-stderr -2 "$BIN" -t -a acl - < <(printf 'connect alice 192.0.2.7 8.8.8.8 1\0\n\0\n')
	[ -z "$output" ]
	[ "$stderr" = "$(printf 'socks4-stdio: line %d: contains a NUL byte\n' 1 2)" ]
}

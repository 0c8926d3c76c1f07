# examples/sockd-conf-to-acl: what it makes of a CSTC sockd.conf, as our own -t then judges it.
# shellcheck disable=SC2086 # words are wanted

load helper

setup() {
	CONVERTER=$TESTS/../examples/sockd-conf-to-acl
	cd "$SCRATCH" || return 1
}

# convert STATUS: the sockd.conf on standard input becomes the list `acl`, which is right; what was said is in `said`
convert() {
	local status=0
	cat >sockd.conf
	"$CONVERTER" sockd.conf >acl 2>said || status=$?
	cat said >&2
	[ "$status" = "$1" ]
	"$BIN" -t -a acl
}

# is VERDICT COMMAND USER SOURCE DESTINATION PORT
is() {
	local answer
	answer=$("$BIN" -t -a acl "${@:2}" 2>&1) || [ "$1" = deny ]
	[ "${answer%% *}" = "$1" ] || fail "wanted $1: $answer"
}

rules() {
	grep -v '^#' acl
}

# same ADDRESS ADDRESS MASK
same() {
	local i octet
	IFS=. read -ra octet <<<"$1.$2.$3"
	for i in 0 1 2 3; do
		(((octet[i] ^ octet[i + 4]) & octet[i + 8])) && return 1
	done
	return 0
}

# sockd_says USER SOURCE DESTINATION PORT: what sockd made of sockd.conf, told in another way than the converter's
sockd_says() {
	local word i
	while read -ra word; do
		i=1
		[[ ${word[i]} != '?='* ]] || i=$((i + 1))
		if [[ ${word[i]} == '*='* ]]; then
			[[ ,${word[i]#*=}, == *,"$1",* ]] || continue
			i=$((i + 1))
		fi
		same "${word[i]}" "$2" "${word[i + 1]}" || continue
		i=$((i + 2))
		if [[ ${word[i]-} == [0-9]* ]]; then
			same "${word[i]}" "$3" "${word[i + 1]}" || continue
			i=$((i + 2))
		fi
		case ${word[i]-} in
		eq | lt | gt | le | ge) test "$4" "-${word[i]}" "${word[i + 1]}" || continue ;;
		neq) [ "$4" != "${word[i + 1]}" ] || continue ;;
		esac
		echo "${word[0]}"
		return
	done < <(sed 's/[#:].*//; /^[[:space:]]*$/d' sockd.conf)
	echo deny
}

# requests: a grid that holds both sides of each edge in the files below
requests() {
	local user source destination port
	for user in alice bob; do
		for source in 10.1.2.3 10.1.3.3 10.129.2.3 192.0.2.9; do
			for destination in 198.51.100.9 198.51.100.17 203.0.113.80; do
				for port in 22 23 24 1023 1024; do
					echo "$user $source $destination $port"
				done
			done
		done
	done
}

@test "each kind of line becomes a rule, and nothing is said" {
	convert 0 <<-'END'
		# who may do what

		deny	*=bonnie,clyde	128.12.6.0	255.255.255.0	# never again
		permit ?=I *=ylee 128.12.6.4 255.255.255.255 137.12.0.0 255.255.0.0
		deny 128.12.0.0 255.255.0.0 eq telnet
		permit ?=i 128.12.0.0 255.255.0.0 137.12.7.7 255.255.255.240 ge 1024
		permit ?=n 0.0.0.0 0.0.0.0 gt 65534
	END
	diff - acl <<-'END'
		# From a sockd.conf. sockd had no word for it, but this is a good place for: deny to internal
		# who may do what

		deny from 128.12.6.0/24 user bonnie,clyde # never again
		permit from 128.12.6.4/32 user ylee to 137.12.0.0/16 ident require
		deny from 128.12.0.0/16 port telnet
		permit from 128.12.0.0/16 to 137.12.7.0/28 port 1024-65535 ident ask
		permit from 0.0.0.0/0 to 0.0.0.0/0 port 65535 ident off
	END
	[ ! -s said ]
}

@test "the list says what sockd said, wherever it could be carried over" {
	convert 0 <<-'END'
		deny 10.1.2.0 255.255.255.0 198.51.100.8 255.255.255.248 eq 23
		permit *=alice 10.1.0.0 255.255.0.0 neq 1024
		permit ?=n 10.0.0.0 255.128.0.0 198.51.100.0 255.255.255.0 le 23
		deny 10.0.0.0 255.128.0.0 ge 1024
		permit *=bob,carol 10.128.0.0 255.128.0.0 203.0.113.0 255.255.255.0 gt 22
		permit 192.0.2.9 255.255.255.255 eq ssh
	END
	sed -i 's/eq ssh/eq 22/' sockd.conf
	while read -r request; do
		is "$(sockd_says $request)" connect $request
	done < <(requests)
}

@test "a list never permits what sockd refused, whatever could not be carried over" {
	convert 1 <<-'END'
		deny 10.1.2.3 255.0.255.255 198.51.100.9 255.255.255.255
		permit 10.0.0.3 255.0.255.255 lt 24
		deny *=alice 10.0.0.0 255.0.0.0 198.51.100.1 255.255.255.7 eq 23
		permit *=/etc/alices 10.0.0.0 255.0.0.0 eq 1024
		permit 10.0.0.0 255.0.0.0 : /bin/echo %u
		deny *=bob,/etc/bobs 192.0.2.0 255.255.255.0 eq 22
		permit 192.0.2.0 255.255.255.0
	END
	permitted=0
	while read -r request; do
		if answer=$("$BIN" -t -a acl connect $request); then
			permitted=$((permitted + 1))
			[ "$(sockd_says $request)" = permit ] || fail "$answer"
		fi
	done < <(requests)
	[ "$permitted" -gt 0 ]
	[ "$(cut -d: -f1-2 said | uniq | tr '\n' ' ')" = \
		'sockd.conf:1 sockd.conf:2 sockd.conf:3 sockd.conf:4 sockd.conf:5 sockd.conf:6 ' ]
}

@test "comparisons become ranges, of numbers and of services" {
	while IFS='|' read -r comparison ports; do
		convert 0 <<<"permit 10.0.0.0 255.0.0.0 $comparison"
		[ "$(rules)" = "permit from 10.0.0.0/8 to 0.0.0.0/0${ports:+ port $ports}" ] || fail "$comparison: $(rules)"
	done <<-'END'
		eq 23|23
		eq telnet|telnet
		neq 1|2-65535
		neq 2|1,3-65535
		neq 23|1-22,24-65535
		neq telnet|1-22,24-65535
		neq 65535|1-65534
		lt 2|1
		lt telnet|1-22
		le 23|1-23
		gt ssh|23-65535
		gt 65534|65535
		ge 23|23-65535
		ge 0|
		le 65535|
	END
}

@test "a deny that cannot be said denies more, and says so" {
	while IFS='|' read -r line rule; do
		convert 1 <<<"$line"$'\n''permit 0.0.0.0 0.0.0.0'
		[ "$(rules | head -n 1)" = "$rule" ] || fail "$line: $(rules)"
		grep -q '^sockd\.conf:1: denies all that it may mean$' said
	done <<-'END'
		deny 10.1.2.3 255.0.255.255|deny from 10.0.0.0/8
		deny 10.1.2.3 0.0.0.255|deny from 0.0.0.0/0
		deny 10.1.2.3 255.255.255.0 192.0.2.7 255.255.0.255 eq 23|deny from 10.1.2.0/24 to 192.0.0.0/16 port 23
		deny .example.org 255.255.255.255|deny from 0.0.0.0/0
		deny 10.0.0.0 255.0.0.0 host.example.org 255.255.255.255|deny from 10.0.0.0/8 to 0.0.0.0/0
		deny 010.0.0.0 255.0.0.0|deny from 0.0.0.0/0
		deny 10.0.0.0 255.0.0.256|deny from 0.0.0.0/0
		deny 10.0.0.0|deny from 0.0.0.0/0
		deny|deny from 0.0.0.0/0
		deny *=alice,/etc/users 10.0.0.0 255.0.0.0|deny from 10.0.0.0/8
		deny *=, 10.0.0.0 255.0.0.0|deny from 10.0.0.0/8
		deny 10.0.0.0 255.0.0.0 eq 65536|deny from 10.0.0.0/8
		deny 10.0.0.0 255.0.0.0 eq|deny from 10.0.0.0/8
		deny 10.0.0.0 255.0.0.0 gt no-such-service|deny from 10.0.0.0/8
		deny 10.0.0.0 255.0.0.0 eq 23 24|deny from 10.0.0.0/8 port 23
		deny ?=x 10.0.0.0 255.0.0.0|deny from 10.0.0.0/8
		dney 10.0.0.0 255.0.0.0|deny from 10.0.0.0/8
	END
}

@test "a permit that cannot be said is left out, or denies where it asked for an identity" {
	while IFS='|' read -r line rule; do
		convert 1 <<<"$line"
		[ "$(rules)" = "$rule" ] || fail "$line: $(rules)"
		[ -n "$rule" ] || grep -qxF "# left out: $line" acl
		grep -q '^sockd\.conf:1: ' said
	done <<-'END'
		permit 10.1.2.3 255.0.255.255|
		permit ?=n 10.1.2.3 255.0.255.255|
		permit ?=x 10.0.0.0 255.0.0.0|
		permit *=/etc/users 10.0.0.0 255.0.0.0|
		permit 10.0.0.0 255.0.0.0 host.example.org 255.255.255.255|
		permit 10.0.0.0 255.0.0.0 0.0.0.0 255.255.255.255|
		permit 10.0.0.0 255.0.0.0 lt 1|
		permit 10.0.0.0 255.0.0.0 gt 65535|
		permit ?=I *=alice 10.1.2.3 255.0.255.255 eq 23|deny from 10.0.0.0/8 user alice to 0.0.0.0/0 port 23
		permit ?=i *=/etc/users 10.0.0.0 255.0.0.0|deny from 10.0.0.0/8 to 0.0.0.0/0
	END
}

@test "everybody means everybody with IPv4" {
	convert 0 <<<'permit 0.0.0.0 0.0.0.0'
	is permit connect alice 192.0.2.7 198.51.100.9 80
	is permit bind alice 192.0.2.7 198.51.100.9 80
	is deny connect alice 2001:db8::7 198.51.100.9 80
	is deny connect alice 192.0.2.7 2001:db8::9 80
	is deny connect alice local 198.51.100.9 80
	is deny bind alice 192.0.2.7 0.0.0.0 0
}

@test "port 0, which BIND may ask for, stays denied where a comparison denied it" {
	for comparison in 'lt 23' 'le 23' 'neq 65535' 'eq 0' 'lt 1'; do
		convert 1 <<-END
			permit 192.0.2.0 255.255.255.0
			deny 10.0.0.0 255.0.0.0 $comparison
			permit 10.0.0.0 255.0.0.0
		END
		is permit bind alice 192.0.2.7 198.51.100.9 0
		is deny bind alice 10.1.2.3 198.51.100.9 0
		is permit bind alice 10.1.2.3 198.51.100.9 65535
	done
	convert 0 <<-'END'
		deny 10.0.0.0 255.0.0.0 gt 22
		permit 10.0.0.0 255.0.0.0
	END
	is permit bind alice 10.1.2.3 198.51.100.9 0
}

@test "shell commands are told, the rules stay" {
	convert 1 <<-'END'
		deny *=bonnie 10.0.0.0 255.0.0.0 : /usr/bin/mail -s 'from %u # here' root
		permit 10.0.0.0 255.0.0.0
		#NO_IDENTD: /usr/bin/mail -s 'run identd on %A' root
		#BAD_ID: /usr/bin/mail root
	END
	[ "$(rules)" = $'deny from 10.0.0.0/8 user bonnie\npermit from 10.0.0.0/8 to 0.0.0.0/0' ]
	[ "$(grep -c ': the shell command is not carried over$' said)" = 3 ]
	grep -q '^sockd\.conf:1: ' said
}

@test "other awks, carriage returns and standard input make no difference" {
	require busybox
	printf '%s\r\n' 'permit ?=I *=a,b 10.1.2.3 255.255.252.0 neq telnet # x' 'deny 10.1.2.3 255.0.255.0 : x' >sockd.conf
	"$CONVERTER" sockd.conf >expected 2>said-expected && false
	for awk in 'busybox awk' 'mawk'; do
		$awk -f "$CONVERTER" sockd.conf >acl 2>said && false
		cmp expected acl
		cmp said-expected said
	done
	"$CONVERTER" <sockd.conf 2>&1 >acl | grep -q '^-:2: '
	cmp expected acl
	"$BIN" -t -a acl
	run "$CONVERTER" no-such-file
	[ "$status" -gt 1 ]
}

# The soak in short; `make soak SESSIONS=100000` is the long one.

load helper

@test "500 sessions of every kind: none fails, nothing grows or remains" {
	require_root
	run "$TESTS/soak" 500
	echo "$output"
	[ "$status" -eq 0 ]
	[[ "$output" == *' 0 in all'* ]]
}

# Hosts in a row: network namespaces joined by veth pairs. Loaded after the helper.
# shellcheck shell=bash

declare -ga HOSTS=()
HOSTS_PREFIX=s4-$$

teardown() {
	stop_all
	hosts_down
}

# hosts_up NAME...
hosts_up() {
	require_root || return 1
	local link=0 left='' right
	for right; do
		ip netns add "$HOSTS_PREFIX-$right" || return 1
		HOSTS+=("$right")
		on "$right" ip link set lo up
		if [ -n "$left" ]; then
			link=$((link + 1))
			ip link add "$right" netns "$HOSTS_PREFIX-$left" type veth peer "$left" netns "$HOSTS_PREFIX-$right"
			host_address "$left" "$right" "$link" 1
			host_address "$right" "$left" "$link" 2
		fi
		left=$right
	done
}

# host_address HOST DEVICE LINK END; without duplicate address detection, which would hold IPv6 up for a second
host_address() {
	ip -n "$HOSTS_PREFIX-$1" address add "10.$3.0.$4/24" dev "$2"
	ip -n "$HOSTS_PREFIX-$1" address add "fd00:$3::$4/64" dev "$2" nodad
	ip -n "$HOSTS_PREFIX-$1" link set "$2" up
}

on() {
	ip netns exec "$HOSTS_PREFIX-$1" "${@:2}"
}

# What still runs there was started there by the test.
hosts_down() {
	local host pid
	for host in "${HOSTS[@]}"; do
		for pid in $(ip netns pids "$HOSTS_PREFIX-$host"); do
			kill -KILL "$pid" 2>/dev/null || gone "$pid"
		done
		ip netns delete "$HOSTS_PREFIX-$host"
	done
	HOSTS=()
}

# Reads raw.tsv and answers questions about it, for table.awk and data.awk. Kept to POSIX awk. whole: the first so many rounds
# measured all relays; later ones count for ratios only.

BEGIN {
	FS = "\t"
	LABEL["direct"] = "no relay"
	LABEL["floor:serve"] = "floor program"
	LABEL["bare:serve"] = "floor program with a bare relay"
	LABEL["frozen:serve"] = "socks4-stdio static, frozen list"
	LABEL["static:serve"] = "socks4-stdio static, serve"
	LABEL["static:systemd"] = "socks4-stdio static, systemd"
	LABEL["static:xinetd"] = "socks4-stdio static, xinetd"
	LABEL["nosandbox:serve"] = "the same without sandbox, serve"
	LABEL["default:serve"] = "socks4-stdio, serve"
	LABEL["default:systemd"] = "socks4-stdio, systemd"
	LABEL["default:xinetd"] = "socks4-stdio, xinetd"
	LABEL["ssh"] = "ssh -D"
	LABEL["haproxy"] = "haproxy, TCP, splice-auto"
	LABEL["socat"] = "socat TCP to TCP"
	US = "static:serve"
	OTHERS = "microsocks danted haproxy socat ssh"
}

FNR > 1 {
	if (!($2 in seen)) {
		seen[$2] = 1
		relays[++relay_count] = $2
	}
	if ($1 + 0 > rounds)
		rounds = $1 + 0
	value[$1, $2, $3, $4] = $5
	if (!(($3, $4) in met)) {
		met[$3, $4] = 1
		figures[++figure_count] = $3 "\t" $4
	}
	if ($3 == "start")
		broken[$2] = 1
}

function label(relay) {
	return relay in LABEL ? LABEL[relay] : relay
}

# The numbers of one cell over the whole rounds go to sample[1..n], sorted; failed[0] is the word for a
# round that gave none. Returns n.
function collect(relay, measure, parameter,    r, v, n) {
	n = 0
	failure = ""
	for (r = 1; r <= whole; r++) {
		if (!((r, relay, measure, parameter) in value))
			continue
		v = value[r, relay, measure, parameter]
		if (v ~ /^-?[0-9.]+$/)
			n = insert(n, v + 0)
		else
			failure = v
	}
	return n
}

function insert(n, v,    i) {
	for (i = n; i > 0 && sample[i] > v; i--)
		sample[i + 1] = sample[i]
	sample[i + 1] = v
	return n + 1
}

# Of sample[1..n], which the last collect() or ratio() left.
function middle(n) {
	return (sample[int((n + 1) / 2)] + sample[int(n / 2) + 1]) / 2
}

function median(relay, measure, parameter,    n) {
	n = collect(relay, measure, parameter)
	return n ? middle(n) : ""
}

# Median over the rounds of one relay's figure divided by another's of the same round: a machine that
# slows down for a while slows both.
function ratio(relay, other, measure,    r, a, b, n) {
	n = 0
	for (r = 1; r <= rounds; r++) {
		a = value[r, relay, measure, "-"]
		b = value[r, other, measure, "-"]
		if (a ~ /^[0-9.]+$/ && b ~ /^[0-9.]+$/ && b > 0)
			n = insert(n, a / b)
	}
	return n ? middle(n) : ""
}

# Three significant figures, more only where the whole number has them.
function show(v) {
	if (v == "")
		return "-"
	if (v < 0)
		return "-" show(-v)
	return v >= 100 ? sprintf("%.0f", v) : v >= 10 ? sprintf("%.1f", v) : sprintf("%.2f", v)
}

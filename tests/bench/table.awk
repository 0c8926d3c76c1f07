# raw.tsv to table.md; after stats.awk. Variables: notes (a file), mib, idle.

function cell(relay, measure, parameter,    n) {
	n = collect(relay, measure, parameter)
	if (!n)
		return failure == "" ? "-" : failure
	return show(middle(n)) (n > 1 ? " (" show(sample[1]) "–" show(sample[n]) ")" : "") \
	    (failure == "" ? "" : ", once " failure)
}

function growth_table(title, measure, pattern,    key, part, i, j, k, n, rows, line) {
	n = rows = 0
	for (key in value) {
		split(key, part, SUBSEP)
		if (part[3] != measure || part[4] == "-")
			continue
		if (!((measure, part[4]) in known)) {
			known[measure, part[4]] = 1
			n = insert(n, part[4] + 0)
		}
		has[measure, part[2]] = 1
	}
	if (!n)
		return
	for (i = 1; i <= n; i++)
		column[i] = sample[i]
	print "\n" title "\n"
	line = "| " pattern " |"
	for (i = 1; i <= n; i++)
		line = line " " column[i] " |"
	print line
	gsub(/[^|]+/, "---", line)
	print line
	for (j = 1; j <= relay_count; j++) {
		if (!((measure, relays[j]) in has))
			continue
		line = "| " label(relays[j]) " |"
		for (k = 1; k <= n; k++)
			line = line " " cell(relays[j], measure, column[k] "") " |"
		print line
	}
}

function best_other(measure,    list, i, m, best) {
	best = ""
	n_others = split(OTHERS, list, " ")
	for (i = 1; i <= n_others; i++) {
		m = median(list[i], measure, "-")
		if (m != "" && (best == "" || (measure == "rtt" ? m < best : m > best))) {
			best = m
			best_name = list[i]
		}
	}
	return best == "" ? "" : best_name
}

function target(what, reached, sign, bound, unit,    met) {
	if (reached == "")
		met = "not measured"
	else
		met = (sign == "at least" ? reached + 0 >= bound : reached + 0 <= bound) ? "yes" : "**no**"
	print "| " what " | " sign " " bound unit " | " show(reached) " | " met " |"
}

function against_best(measure, sign, bound,    other) {
	other = best_other(measure)
	target(measure " against the best other" (other == "" ? "" : " (" label(other) ")"),
	    other == "" ? "" : ratio(US, other, measure), sign, bound, "")
}

function rates(measure, name, other, bound) {
	target(name " against " label(other), ratio(US, other, measure), "at least", bound, "")
	target("the same without the sandbox", ratio("nosandbox:serve", other, measure), "at least", 0.88, "")
}

function targets(    list_short, list_long, frozen) {
	print "\n## Targets\n\nRatios of the static build, under the launcher of the tests.\n"
	print "| what | target | reached | met |\n|---|---|---|---|"
	against_best("up", "at least", 1.4)
	against_best("down", "at least", 1.4)
	against_best("duplex", "at least", 1.4)
	target("up against no relay", ratio(US, "direct", "up"), "at least", 0.7, "")
	target("down against no relay", ratio(US, "direct", "down"), "at least", 0.7, "")
	rates("replies", "sessions/s to the reply", "floor:serve", 0.78)
	rates("sessions", "sessions/s to both ends", "bare:serve", 0.8)
	against_best("rtt", "at most", 1.05)
	target("PSS of an idle session", median(US, "pss", "-"), "at most", 20, " KiB")
	target("PSS two seconds after " mib " MiB each way", median(US, "pss_after", "-"), "at most", 64, " KiB")
	list_short = median(US, "latency", "10")
	list_long = median(US, "latency", "10000")
	target("milliseconds that a list of 10000 lines adds",
	    list_long == "" ? "" : list_long - list_short, "at most", 5, "")
	frozen = median("frozen:serve", "latency", "1000000")
	target("milliseconds that a million frozen lines add to ten of text",
	    frozen == "" ? "" : frozen - list_short, "at most", 0.1, "")
}

END {
	print "# Bench results\n"
	while ((getline line < notes) > 0)
		print line
	print "\nOver loopback, every byte verified. A figure is the median of the rounds, with the least and the" \
	    "\ngreatest in brackets; the rounds are interleaved. Duplex counts each direction. Sessions run two at a time:" \
	    "\nconnect, request and reply, then the client closes, or ends its input and waits for the other end, which" \
	    "\nthe floor program does not pass on. The round trip is one byte there and back, the" \
	    "\nrelay on one processor and both ends on another. CPU is that of the relay's processes. haproxy and socat" \
	    "\nconnect to one fixed destination and read no request. PSS (of daemons and super-servers: the anonymous part) is what" \
	    "\n" idle " idle sessions add, each, and then what one of them has two seconds after " mib " MiB passed each way.\n"
	print "| relay | up MiB/s | down | duplex | round trip µs | sessions/s to the reply | to both ends | CPU s/GiB | idle PSS KiB | PSS after |"
	print "|---|---|---|---|---|---|---|---|---|---|"
	for (i = 1; i <= relay_count; i++) {
		r = relays[i]
		if (r ~ /^frozen:/) # only lists are measured of it
			continue
		print "| " label(r) " | " cell(r, "up", "-") " | " cell(r, "down", "-") " | " cell(r, "duplex", "-") \
		    " | " cell(r, "rtt", "-") " | " cell(r, "replies", "-") " | " cell(r, "sessions", "-") " | " cell(r, "cpu", "-") \
		    " | " cell(r, "pss", "-") " | " cell(r, "pss_after", "-") " |" (r in broken ? " did not start" : "")
	}
	print "\n## Ratios\n\nMedian over the rounds of the ratio within a round: to no relay / to " label(US) ".\n"
	print "| relay | up | down | duplex | round trip | sessions/s to the reply | to both ends |\n|---|---|---|---|---|---|---|"
	split("up down duplex rtt replies sessions", measures, " ")
	for (i = 1; i <= relay_count; i++) {
		if (relays[i] ~ /^frozen:/)
			continue
		line = "| " label(relays[i]) " |"
		for (j = 1; j <= 6; j++)
			line = line " " show(ratio(relays[i], "direct", measures[j])) " / " \
			    show(ratio(relays[i], US, measures[j])) " |"
		print line
	}
	targets()
	print "\n## Growth"
	growth_table("KiB PSS each of so many idle sessions.", "pss", "relay")
	growth_table("Sessions/s beside so many idle sessions.", "sessions", "relay")
	growth_table("Milliseconds for a whole session, one at a time, with an access list of so many lines.",
	    "latency", "relay")
}

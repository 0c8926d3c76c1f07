# raw.tsv to data.tsv, from which plot.gp draws; after stats.awk.

END {
	OFS = "\t"
	print "relay", "measure", "parameter", "median", "least", "greatest"
	for (f = 1; f <= figure_count; f++)
		for (i = 1; i <= relay_count; i++) {
			split(figures[f], part)
			n = collect(relays[i], part[1], part[2])
			if (n)
				print label(relays[i]), part[1], part[2], middle(n), sample[1], sample[n]
		}
}

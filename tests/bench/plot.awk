# raw.tsv to plot.svg; after stats.awk. A bar is a median, each dot on it a round.

function text(x, y, anchor, class, s) {
	gsub(/&/, "\\&amp;", s)
	gsub(/</, "\\&lt;", s)
	printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">%s</text>\n", x, y, anchor, class, s
}

function ours(relay) {
	return relay ~ /^(static|default|nosandbox):/
}

function hue(relay) {
	return relay ~ /^(static|nosandbox):/ ? "#1f5fa8" : relay ~ /^default:/ ? "#6fa3d8" : \
	    relay == "direct" || relay ~ /^floor/ ? "#c9c9c9" : "#8f8f8f"
}

function bars(x, y, title, measure,    i, j, n, greatest, row, length_of, m, r) {
	text(x, y - 8, "start", "title", title)
	greatest = 0
	for (i = 1; i <= relay_count; i++) {
		n = collect(relays[i], measure, "-")
		if (n && sample[n] > greatest)
			greatest = sample[n]
	}
	if (!greatest)
		return
	row = 0
	for (i = 1; i <= relay_count; i++) {
		r = relays[i]
		n = collect(r, measure, "-")
		if (!n && failure == "")
			continue
		text(x + NAMES - 6, y + row * STEP + 11, "end", ours(r) ? "us" : "name", label(r))
		if (!n) {
			text(x + NAMES, y + row++ * STEP + 11, "start", "name", failure)
			continue
		}
		m = middle(n)
		length_of = (m > 0 ? m : 0) / greatest * BAR
		printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n",
		    x + NAMES, y + row * STEP + 2, length_of, STEP - 5, hue(r)
		for (j = 1; j <= n && n > 1; j++)
			printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.6\" class=\"dot\"/>\n",
			    x + NAMES + (sample[j] > 0 ? sample[j] : 0) / greatest * BAR, y + row * STEP + 7
		text(x + NAMES + (sample[n] > m ? sample[n] : m) / greatest * BAR + 5, y + row * STEP + 11, "start", "value", show(m))
		row++
	}
}

function log10(v) {
	return log(v) / log(10)
}

# Both axes logarithmic, decades marked; the count 0 has no place there and is left out.
function lines(x, y, title, measure, below,    key, part, low, high, last, d, i, j, n, k, px, py, path, place) {
	low = 1e9
	high = last = 0
	for (key in value) {
		split(key, part, SUBSEP)
		if (part[3] != measure || part[4] == "-" || part[4] + 0 == 0 || value[key] + 0 <= 0)
			continue
		if (value[key] + 0 < low)
			low = value[key] + 0
		if (value[key] + 0 > high)
			high = value[key] + 0
		if (part[4] + 0 > last)
			last = part[4] + 0
		if (!((measure, part[4]) in plotted)) {
			plotted[measure, part[4]] = 1
			counts[measure] = counts[measure] " " part[4]
		}
	}
	if (!last)
		return
	text(x, y - 8, "start", "title", title)
	low = 10 ^ floor(log10(low))
	high = 10 ^ -floor(-log10(high))
	if (high <= low)
		high = low * 10
	for (d = low; d <= high * 1.01; d *= 10) {
		py = y + HEIGHT - log10(d / low) / log10(high / low) * HEIGHT
		printf "<path d=\"M%.1f %.1fh%d\" class=\"grid\"/>\n", x + 45, py, WIDTH
		text(x + 40, py + 4, "end", "value", d >= 1 ? sprintf("%d", d + 0.5) : sprintf("%g", d))
	}
	for (d = 1; d <= last; d *= 10)
		text(x + 45 + (last > 1 ? log10(d) / log10(last) * WIDTH : 0), y + HEIGHT + 15, "middle", "value", d)
	text(x + 45 + WIDTH / 2, y + HEIGHT + 32, "middle", "name", below)
	for (i = 1; i <= relay_count; i++) {
		path = ""
		# The keys come in no order; the path needs the numbers ascending.
		n = split(counts[measure], place, " ")
		for (j = 2; j <= n; j++)
			for (k = j; k > 1 && place[k - 1] + 0 > place[k] + 0; k--) {
				d = place[k]
				place[k] = place[k - 1]
				place[k - 1] = d
			}
		for (j = 1; j <= n; j++) {
			k = collect(relays[i], measure, place[j])
			if (!k || middle(k) <= 0)
				continue
			px = x + 45 + (last > 1 ? log10(place[j]) / log10(last) * WIDTH : 0)
			for (d = 1; d <= k; d++)
				if (sample[d] > 0)
					printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.6\" class=\"dot\"/>\n", px,
					    y + HEIGHT - log10(sample[d] / low) / log10(high / low) * HEIGHT
			py = y + HEIGHT - log10(middle(k) / low) / log10(high / low) * HEIGHT
			path = path (path == "" ? "M" : "L") sprintf("%.1f %.1f", px, py)
		}
		if (path != "") {
			printf "<path d=\"%s\" class=\"line\" stroke=\"%s\"%s/>\n", path, hue(relays[i]), DASH[relays[i]]
			text(px + 6, py + 4, "start", ours(relays[i]) ? "us" : "name", relays[i])
		}
	}
}

function floor(v) {
	return v == int(v) || v > 0 ? int(v) : int(v) - 1
}

END {
	STEP = 15
	NAMES = 185
	BAR = 150
	WIDTH = 230
	HEIGHT = 150
	DASH["haproxy"] = " stroke-dasharray=\"5 3\""
	panel = relay_count * STEP + 45
	print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1230 " 2 * panel + HEIGHT + 110 "\" width=\"1230\">"
	print "<style>text{font:11px sans-serif;fill:#444}.title{font-weight:bold;font-size:13px;fill:#000}"
	print ".us{fill:#1f5fa8;font-weight:bold}.value{font-size:10px}.dot{fill:#d2481e}"
	print ".grid{stroke:#ddd}.line{fill:none;stroke-width:1.8}</style>"
	print "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
	bars(10, 30, "up, MiB/s", "up")
	bars(420, 30, "down, MiB/s", "down")
	bars(830, 30, "duplex, MiB/s each way", "duplex")
	bars(10, 30 + panel, "sessions/s, two at a time", "sessions")
	bars(420, 30 + panel, "round trip of a byte, µs (less is better)", "rtt")
	bars(830, 30 + panel, "PSS of an idle session, KiB (less is better)", "pss")
	lines(10, 50 + 2 * panel, "PSS a session, KiB", "pss", "idle sessions")
	lines(420, 50 + 2 * panel, "sessions/s beside idle sessions", "sessions", "idle sessions")
	lines(830, 50 + 2 * panel, "one session, ms", "latency", "lines in the access list")
	text(10, 2 * panel + HEIGHT + 102, "start", "name", "Bars and lines are medians; each dot is one round. Below, both axes are logarithmic.")
	print "</svg>"
}

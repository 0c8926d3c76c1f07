# data.tsv to plot.svg, both in this folder's results: gnuplot -e "results='DIRECTORY'" plot.gp

set datafile separator "\t"
set terminal svg size 1320,1000 font "sans-serif,11" background "#ffffff"
set output results."/plot.svg"
set multiplot
set label 1 "Medians of the rounds, and lines from the least to the greatest." at screen 0.01,screen 0.355
set label 2 "Below, both axes are logarithmic." at screen 0.01,screen 0.338
unset key

# What was measured once for each relay; and what grows with a parameter, of one relay. On a logarithmic axis 0 has no place.
bars(measure) = sprintf("<awk -F'\\t' '$2 == \"%s\" && $3 == \"-\"' '%s/data.tsv'", measure, results)
line(measure, relay) = sprintf("<awk -F'\\t' '$1 == \"%s\" && $2 == \"%s\" && $3 > 0' '%s/data.tsv'", relay, measure, results)
show(v) = v >= 100 ? sprintf("%.0f", v) : v >= 10 ? sprintf("%.1f", v) : sprintf("%.2f", v)
hue(relay) = strstrt(relay, "static") || strstrt(relay, "sandbox") ? 0x1f5fa8 : strstrt(relay, "socks4-stdio") ? 0x6fa3d8 : \
    relay eq "no relay" || strstrt(relay, "floor") || strstrt(relay, "bare") ? 0xc9c9c9 : 0x8f8f8f

set style fill solid noborder
set border 0
unset xtics
set ytics scale 0 nomirror
titles = "'up, MiB/s' 'down, MiB/s' 'duplex, MiB/s each way' 'sessions/s, two at a time' \
'round trip of a byte, µs (less is better)' 'PSS of an idle session, KiB (less is better)'"
measures = "up down duplex sessions rtt pss"
do for [i = 1:6] {
	file = bars(word(measures, i))
	set title word(titles, i) font ",13" offset 0,-0.5
	set lmargin at screen 0.16 + (i - 1) % 3 * 0.33
	set rmargin at screen 0.295 + (i - 1) % 3 * 0.33
	set tmargin at screen i <= 3 ? 0.97 : 0.65
	set bmargin at screen i <= 3 ? 0.70 : 0.38
	set xrange [*:*]
	set yrange [*:*]
	stats file using 6 nooutput
	set xrange [0:STATS_max * 1.02]
	set yrange [STATS_records - 0.4:-0.6]
	plot file using (0):0:(0):4:($0 - 0.33):($0 + 0.33):(hue(strcol(1))):ytic(1) with boxxyerror lc rgb variable, \
	    file using 4:0:5:6 with xerrorbars pt 0 lw 1 lc rgb "#d2481e", \
	    file using 6:0:(show($4)) with labels left offset 0.5,0 font ",10"
	unset label
}

set border 3
set xrange [1:*]
set yrange [*:*]
set logscale xy
set xtics scale 0.5 nomirror
set format x '%.0f'
set ytics scale 0.5 nomirror
set grid ytics lc rgb "#dddddd"
set key at screen 0.5,screen 0.37 center top
relays = "'socks4-stdio static, serve' 'socks4-stdio, serve' 'microsocks' 'haproxy, TCP, splice-auto'"
lists = "'socks4-stdio static, serve' 'socks4-stdio, serve' 'danted' 'socks4-stdio static, frozen list'"
titles = "'PSS a session, KiB' 'sessions/s' 'one session, ms'"
below = "'idle sessions' 'beside so many idle sessions' 'lines in the access list'"
measures = "pss sessions latency"
do for [i = 1:3] {
	set lmargin at screen 0.05 + (i - 1) * 0.33
	set rmargin at screen 0.31 + (i - 1) * 0.33
	set tmargin at screen 0.27
	set bmargin at screen 0.06
	set title word(titles, i) font ",13" offset 0,-0.5
	set xlabel word(below, i)
	set xtics i == 3 ? 100 : 10
	names = i == 3 ? lists : relays
	plot for [n = 1:4] line(word(measures, i), word(names, n)) using 3:4:5:6 with yerrorlines \
	    pt 7 ps 0.4 lw 1.5 dt 1 + n / 4 lc rgb (hue(word(names, n))) title i == 1 || n > 2 ? word(names, n) : ""
	unset key
	if (i == 2) { set key inside left top reverse Left samplen 3 }
}

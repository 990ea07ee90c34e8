#!/usr/bin/env bash
# usage: tests/bench/flat.sh [CAPTURE]       (make bench-flat, make bench-flat CAPTURE=file)
#
# Does cost stay flat while the store grows? The capture is imported again and again, an hour later each time, and at
# each of SIZES (MiB of store: "100 1000 10000") the same questions are asked. For each size: packets/s and peak memory
# of the last imports; milliseconds of questions over HTTP about the newest hour, and about one flow with no time given
# (median of RUNS, warm, and after the caches are dropped); memory of serve after them, its own and the pages of the
# store that it has mapped (the kernel's cache, which it takes back). OUT=DIR (docs/) gets flat.md and flat.svg.
set -eu
cd "$(dirname "$0")/../.."
tapedeck=${TAPEDECK:-$PWD/build/tapedeck}
capture=${1:-${CAPTURE:-}}
sizes=${SIZES:-100 1000 10000} runs=${RUNS:-9} out=${OUT:-docs}
. tests/bench/lib.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-flat.XXXXXX")
serve_pid=
trap 'bench_cleanup; [ -z "$serve_pid" ] || kill "$serve_pid"; rm -rf "$work"' EXIT
say() { printf '%s\n' "$*"; }
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
cold() { sync; echo 3 2>/dev/null >/proc/sys/vm/drop_caches || true; }

if [ -z "$capture" ]; then
	capture=$work/bench.pcap
	tests/bench/capture.sh "$capture" "${PACKETS:-1000000}" >/dev/null 2>&1
fi
packets=$(capinfos -Mrc "$capture" | awk 'END { print $NF }')
first=$(capinfos -MraS "$capture" | awk 'END { print int($NF) }')
begin=$((1767225600 - first))	# 2026-01-01: every copy in an hour of its own

import() { # NUMBER: that many hours after the first
	editcap -t $((begin + $1 * 3600)) "$capture" "$work/hour.pcap"
	cat "$work/hour.pcap" >/dev/null
	/usr/bin/time -f '%e %M' -o "$work/time" "$tapedeck" import --progress none --data "$work/tape" "$work/hour.pcap" \
		>"$work/import.out" 2>&1 || { say "import fails:"; tail -3 "$work/import.out"; exit 1; }
	awk -v p="$packets" 'END { print p / $1, $2 / 1024 }' "$work/time" >>"$work/imports"
}
serve() {
	"$tapedeck" serve --data "$work/tape" --listen 127.0.0.1:0 >"$work/serve.out" 2>"$work/serve.err" &
	serve_pid=$!
	for _ in $(seq 100); do
		url=$(sed -n 's/.*\(http:[^ ]*\).*/\1/p' "$work/serve.out")
		[ -z "$url" ] || return 0
		sleep 0.05
	done
	say "serve does not start"
	exit 1
}
unserve() { kill "$serve_pid" && wait "$serve_pid" || true; serve_pid=; }
# The questions; N is the newest hour.
questions=(rows p99 failed flow export)
what=('newest 100 calls' 'p99 by minute' 'failed calls by path' 'one flow, no time given' 'its pcap')
path() {
	local from=$(((first + begin) + $2 * 3600 - 60)) to=$(((first + begin) + $2 * 3600 + 3540))
	case $1 in
	rows) printf 'calls?filter=http&limit=100&from=%s&to=%s' $from $to ;;
	p99) printf 'aggregate?table=rollups&agg=count,p99(latency)&step=1m&from=%s&to=%s' $from $to ;;
	failed) printf 'aggregate?table=calls&by=path&agg=count&filter=status%%20%%3E%%3D%%20500&from=%s&to=%s' $from $to ;;
	flow) printf 'flows?filter=id%%20%%3D%%3D%%20%%22%s%%22&from=0' "$flow" ;;
	export) printf 'export?format=pcap&filter=id%%20%%3D%%3D%%20%%22%s%%22&from=0' "$flow" ;;
	esac
}
ask() { # QUESTION HOUR: milliseconds
	curl -s -o "$work/answer" -w '%{http_code} %{time_total}\n' "$url/api/v1/$(path "$1" "$2")" |
		awk '{ if ($1 != 200) { print "HTTP " $1 > "/dev/stderr"; exit 1 } printf "%.2f\n", $2 * 1000 }' ||
		{ say "$1 fails: $(head -c 300 "$work/answer")" >&2; exit 1; }
	[ -s "$work/answer" ]
}

chmod 711 "$work"
copies=0
printf 'size_mib\tcopies\tpackets_per_s\timport_mib\tserve_mib\tmapped_mib' >"$work/table"
for q in "${questions[@]}"; do printf '\t%s_warm\t%s_cold' "$q" "$q" >>"$work/table"; done
echo >>"$work/table"
for size in $sizes; do
	: >"$work/imports"
	while [ ! -e "$work/tape" ] || [ "$(du -sm "$work/tape" | cut -f1)" -lt "$size" ]; do
		import $copies
		copies=$((copies + 1))
	done
	[ "$(id -u)" -ne 0 ] || chown -R nobody "$work/tape"
	newest=$((copies - 1))
	flow=$("$tapedeck" query flows --data "$work/tape" --filter 'tcp && l7 == http' --from $((first + begin - 60)) \
		--to $((first + begin + 3000)) -n 1 -o ndjson | jq -r .id)
	serve
	line=$(printf '%s\t%s\t%s\t%s' "$(du -sm "$work/tape" | cut -f1)" $copies \
		"$(tail -3 "$work/imports" | cut -d' ' -f1 | median)" "$(tail -3 "$work/imports" | cut -d' ' -f2 | median)")
	times=
	for q in "${questions[@]}"; do
		warm=$(for _ in $(seq "$runs"); do ask "$q" $newest; done | median)
		times+=$(printf '\t%s\tCOLD_%s' "$warm" "$q")
	done
	memory=$(awk '/^RssAnon/ { own = $2 } /^RssFile/ { printf "%.1f\t%.1f", own / 1024, $2 / 1024 }' "/proc/$serve_pid/status")
	unserve
	for q in "${questions[@]}"; do
		cold
		serve
		times=${times/COLD_$q/$(ask "$q" $newest)}
		unserve
	done
	printf '%s\t%s%s\n' "$line" "$memory" "$times" >>"$work/table"
	say "$(tail -1 "$work/table")"
done

mkdir -p "$out"
{
	echo "# Cost while the store grows"
	echo
	echo "Made by \`make bench-flat\`: a capture of $packets packets imported once an hour, on $(nproc) cores. Times in ms, warm (cold)."
	echo
	awk -F'\t' -v names="$(printf '%s|' "${what[@]}")" '
		NR == 1 { n = split(names, q, "|") - 1; printf "| store MiB | hours | import packets/s | import peak MiB | serve, own MiB | store mapped MiB |"
			for (i = 1; i <= n; i++) printf " %s |", q[i]
			printf "\n|"; for (i = 1; i <= n + 6; i++) printf "---|"; print ""; next }
		{ printf "| %d | %d | %d | %d | %d | %d |", $1, $2, $3, $4, $5, $6; for (i = 7; i < NF; i += 2) printf " %.1f (%.1f) |", $i, $(i + 1); print "" }' "$work/table"
	echo
	echo "![the same as a plot](flat.svg)"
} >"$out/flat.md"
gnuplot <<-PLOT
	set terminal svg size 900,640 background "white"
	set output "$out/flat.svg"
	set datafile separator "\t"
	set logscale x
	set grid
	set key outside right
	set multiplot layout 3,1
	set ylabel "packets/s"; set yrange [0:*]
	plot "$work/table" skip 1 using 1:3 with linespoints title "import"
	set ylabel "MiB"
	plot "$work/table" skip 1 using 1:4 with linespoints title "import, peak", "" skip 1 using 1:5 with linespoints title "serve, own"
	set ylabel "ms"; set xlabel "MiB of store"
	plot $(for i in "${!questions[@]}"; do printf '"%s" skip 1 using 1:%d with linespoints title "%s", ' "$work/table" $((7 + 2 * i)) "${what[i]}"; done)
PLOT
say "$out/flat.md, $out/flat.svg"

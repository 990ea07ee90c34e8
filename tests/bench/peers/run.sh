#!/usr/bin/env bash
# usage: tests/bench/peers/run.sh            (make bench-peers SCALE=0.1)
#
# The same rows, the same questions: Tapedeck, DuckDB on zstd Parquet, ClickHouse. A day of 50 M flows and 20 M calls
# times SCALE (0.1), made by gen.c. Medians of RUNS (5) with warm caches, one run with cold ones (dropped before, new
# process). Questions go to Tapedeck over HTTP, as its users ask. OUT=FILE keeps the table as TSV.
# Wants npm (@duckdb/node-api) and, where it is there, clickhouse-server; what is missing is left out and said.
set -eu
cd "$(dirname "$0")/../../.."
tapedeck=${TAPEDECK:-$PWD/build/tapedeck}
gen=${GEN:-$PWD/build/release/bench_gen}
scale=${SCALE:-0.1} runs=${RUNS:-5}
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-peers.XXXXXX")
pids=()
cleanup() {
	for pid in "${pids[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
	rm -rf "$work"
}
trap cleanup EXIT
say() { printf '%s\n' "$*"; }
median() { tr ' ' '\n' | sort -g | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
cold() { sync; echo 3 2>/dev/null >/proc/sys/vm/drop_caches || true; }
seconds() { local t0 t1; t0=$(date +%s%N); "$@"; t1=$(date +%s%N); awk -v n=$((t1 - t0)) 'BEGIN { printf "%.1f", n / 1e9 }' >"$work/seconds"; }

say "machine   $(nproc) cores, $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo)"
say "rows      $(awk -v s="$scale" 'BEGIN { printf "%.0f flows, %.0f calls", 50e6 * s, 20e6 * s }') over 24 hours"

# ---- load
seconds "$gen" store "$work/tape" "$scale"
store_bytes=$(du -sb "$work/tape" | cut -f1)
say "tapedeck    loaded in $(cat "$work/seconds") s   $store_bytes bytes, rollups and indexes included"
"$tapedeck" stats --data "$work/tape" -o json >"$work/stats.json"
[ "$(id -u)" -ne 0 ] || chown -R nobody "$work/tape"
chmod 711 "$work"

duck=
DUCKDB_FROM=${DUCKDB_FROM:-$work/duck}
if command -v npm >/dev/null && { [ -d "$DUCKDB_FROM/node_modules" ] ||
	{ mkdir -p "$DUCKDB_FROM" && (cd "$DUCKDB_FROM" && npm init -y && npm install @duckdb/node-api) >"$work/npm.log" 2>&1; }; }; then
	duck=1
	export DUCKDB_FROM
	mkdir -p "$work/parquet"
	for table in flows calls; do
		"$gen" $table "$scale" | seconds node tests/bench/peers/duck.mjs load "$work/parquet/$table.parquet"
		say "duckdb      $table loaded in $(cat "$work/seconds") s   $(stat -c %s "$work/parquet/$table.parquet") bytes of Parquet"
	done
else
	say "duckdb      left out: npm or @duckdb/node-api is not to be had"
fi

click=
if command -v clickhouse-server >/dev/null; then
	mkdir -p "$work/click"
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	cat >"$work/click/config.xml" <<-XML
		<yandex><logger><level>warning</level><log>$work/click/log</log><errorlog>$work/click/err</errorlog></logger>
		<tcp_port>$port</tcp_port><listen_host>127.0.0.1</listen_host><path>$work/click/data/</path>
		<tmp_path>$work/click/tmp/</tmp_path><mark_cache_size>536870912</mark_cache_size>
		<users_config>$work/click/users.xml</users_config><default_profile>default</default_profile>
		<default_database>default</default_database></yandex>
	XML
	cat >"$work/click/users.xml" <<-XML
		<yandex><profiles><default><max_threads>2</max_threads></default></profiles>
		<users><default><password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default></users>
		<quotas><default/></quotas></yandex>
	XML
	clickhouse-server --config-file="$work/click/config.xml" >"$work/click/out" 2>&1 &
	pids+=($!)
	clickhouse() { clickhouse-client --host 127.0.0.1 --port "$port" "$@"; }
	for _ in $(seq 50); do clickhouse -q 'SELECT 1' >/dev/null 2>&1 && click=1 && break; sleep 0.2; done
fi
if [ -n "$click" ]; then
	columns() { # header line on stdin: names to a table; what is text is known by name
		tr ',' '\n' | awk '{ t = "Nullable(UInt32)" }
			/_ns$|bytes$|packets$|^id$|^flow_id$|^source$/ { t = "UInt64" }
			/^syn_rtt|^ack_rtt|^handshake/ { t = "Nullable(UInt64)" }
			/_ip$|_pod$|_workload$|_service$|_namespace$|_node$|^method$|^target_template$|^trace_id$/ { t = "String" }
			/^(state|vantage|view|l7|end_reason|status_class|proto)$/ { t = "UInt8" }
			/_port$|^status$/ { t = "UInt16" }
			{ printf "%s%s %s", (NR > 1 ? ", " : ""), $1, t }'
	}
	for table in flows calls; do
		head=$("$gen" $table 0.000001 | head -1)
		clickhouse -q "CREATE TABLE $table ($(printf '%s' "$head" | columns), day Date MATERIALIZED toDate(intDiv(start_ns, 1000000000)))
			ENGINE = MergeTree PARTITION BY day ORDER BY (dst_workload, start_ns)"
		"$gen" $table "$scale" | seconds clickhouse -q "INSERT INTO $table FORMAT CSVWithNames"
		say "clickhouse  $table loaded in $(cat "$work/seconds") s   $(du -sb "$work/click/data/data/default/$table" | cut -f1) bytes"
	done
else
	say "clickhouse  left out: clickhouse-server is not to be had"
fi

# ---- questions: name, Tapedeck's path and parameters, SQL
pod=$("$gen" calls "$scale" | awk -F, 'NR == 5000 { print $16; exit }')
trace=$("$gen" calls "$scale" | awk -F, 'NR == 50001 { print $NF; exit }')
from=1767225600 day=$((86400 * 1000000000))
ns() { echo "$(($from + $1))000000000"; }
names=() paths=() sqls=()
ask() { names+=("$1"); paths+=("$2"); sqls+=("$3"); }
whole='from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z'
enc() { jq -rn --arg v "$1" '$v | @uri'; }
ask "pod, 15 min, newest 100 rows" \
	"calls?filter=$(enc "dst.pod == \"$pod\"")&from=2026-01-01T12:00:00Z&to=2026-01-01T12:15:00Z&limit=100" \
	"SELECT * FROM calls WHERE dst_pod = '$pod' AND start_ns >= $(ns 43200) AND start_ns < $(ns 44100) ORDER BY start_ns DESC LIMIT 100"
ask "trace id in 24 h" "calls?filter=$(enc "trace_id == \"$trace\"")&$whole" \
	"SELECT * FROM calls WHERE trace_id = '$trace'"
ask "p99 of one service by minute, 24 h" \
	"aggregate?table=rollups&agg=$(enc 'p99(latency)')&step=1m&filter=$(enc 'dst.service == "service-07"')&$whole" \
	"SELECT intDiv(start_ns, 60000000000) AS m, quantile(0.99)(latency_ns) FROM calls WHERE dst_service = 'service-07' GROUP BY m"
ask "p99 of every service by minute, 24 h" \
	"aggregate?table=rollups&by=dst.service&agg=$(enc 'p99(latency)')&step=1m&$whole" \
	"SELECT dst_service, intDiv(start_ns, 60000000000) AS m, quantile(0.99)(latency_ns) FROM calls GROUP BY dst_service, m"
ask "p99 by path and filter, all calls scanned" \
	"aggregate?table=calls&by=target_template&agg=$(enc 'p99(latency),count')&filter=$(enc 'method == "GET" && status < 500')&$whole" \
	"SELECT target_template, quantile(0.99)(latency_ns), count() FROM calls WHERE method = 'GET' AND status < 500 GROUP BY target_template"
ask "top paths by errors in an hour" \
	"aggregate?table=calls&by=target_template&agg=count&filter=$(enc 'status >= 500')&top=10&from=2026-01-01T09:00:00Z&to=2026-01-01T10:00:00Z" \
	"SELECT target_template, count() AS n FROM calls WHERE status >= 500 AND start_ns >= $(ns 32400) AND start_ns < $(ns 36000) GROUP BY target_template ORDER BY n DESC LIMIT 10"
ask "service map of the day" \
	"aggregate?table=rollups&by=src.workload,dst.service&agg=$(enc 'sum(flows),sum(tx_bytes)')&$whole" \
	"SELECT src_workload, dst_service, count() , sum(tx_bytes) FROM flows GROUP BY src_workload, dst_service"
ask "distinct clients of a service, 24 h" \
	"aggregate?table=flows&agg=$(enc 'distinct(src.ip)')&filter=$(enc 'dst.service == "service-07"')&$whole" \
	"SELECT uniqExact(src_ip) FROM flows WHERE dst_service = 'service-07'"

serve() {
	"$tapedeck" serve --data "$work/tape" --listen 127.0.0.1:0 >"$work/serve.out" 2>"$work/serve.err" &
	serve_pid=$!
	pids+=($serve_pid)
	for _ in $(seq 100); do url=$(sed -n 's/.*\(http:[^ ]*\).*/\1/p' "$work/serve.out"); [ -n "$url" ] && return; sleep 0.05; done
	say "serve does not start"; exit 1
}
get() { curl -s -o "$work/answer" -w '%{http_code} %{time_total}' "$url/api/v1/$1" | awk '{ if ($1 != 200) print "-"; else printf "%.2f\n", $2 * 1000 }'; }
duck_sql() { # ClickHouse's words in DuckDB's
	sed -E 's/intDiv\(([^,]+), ([0-9]+)\)/(\1 \/\/ \2)/g; s/quantile\(0\.99\)\(([a-z_]+)\)/quantile_disc(\1, 0.99)/g; s/uniqExact\(([a-z_]+)\)/count(DISTINCT \1)/; s/count\(\)/count(*)/g'
}

say
printf '%-42s %22s %22s %22s %8s\n' "milliseconds: warm (cold)" tapedeck duckdb clickhouse "duck/tape"
for i in "${!names[@]}"; do
	serve
	cold
	ours_cold=$(get "${paths[i]}")
	[ "$ours_cold" != - ] || { say "${names[i]}: $(head -c 300 "$work/answer")"; }
	ours=$(for _ in $(seq "$runs"); do get "${paths[i]}"; done | median)
	kill $serve_pid && wait $serve_pid 2>/dev/null || true
	duck_ms=- duck_cold=- click_ms=- click_cold=-
	if [ -n "$duck" ]; then
		sql=$(printf '%s' "${sqls[i]}" | duck_sql)
		jq -n --arg sql "$sql" '[{ name: "q", sql: $sql }]' >"$work/question.json"
		cold
		all=$(node tests/bench/peers/duck.mjs ask "$work/parquet" 2 $((runs + 1)) <"$work/question.json" | cut -f2)
		duck_cold=${all%% *}
		duck_ms=$(printf '%s' "${all#* }" | median)
	fi
	if [ -n "$click" ]; then
		cold
		all=$(for _ in $(seq $((runs + 1))); do clickhouse --time -q "${sqls[i]}" 2>&1 >/dev/null | awk 'END { printf "%.2f ", $1 * 1000 }'; done)
		click_cold=${all%% *}
		click_ms=$(printf '%s' "${all#* }" | sed 's/ $//' | median)
	fi
	ratio=$(awk -v a="$duck_ms" -v b="$ours" 'BEGIN { if (a + 0 > 0 && b + 0 > 0) printf "%.1f", a / b; else print "-" }')
	printf '%-42s %12s (%7s) %12s (%7s) %12s (%7s) %8s\n' "${names[i]}" "$ours" "$ours_cold" "$duck_ms" "$duck_cold" "$click_ms" "$click_cold" "$ratio"
	[ -z "${OUT:-}" ] || printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "${names[i]}" "$ours" "$ours_cold" "$duck_ms" "$duck_cold" "$click_ms" "$click_cold" >>"$OUT"
done

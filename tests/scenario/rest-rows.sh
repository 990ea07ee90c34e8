#!/usr/bin/env bash
# Lists of rows: filters, ranges, order, cursors, fields, formats, and what is wrong with a request.
. "$(dirname "$0")/rest-lib.bash"
make_store
serve_start

get /api/v1/calls 'filter=http' limit=10000
status 200
expect 300 '.data | length'
expect '"/items/299"' '.data[0].target'
expect '"/items/0"' '.data[-1].target'
expect false '.completeness.truncated'
expect null '.next'
expect true '.data | all(.dst_port == null and ."dst.port" == 8080 and .method != null and (.time | startswith("2026-01-02T03:0")))'
expect 300 '[.data[].id] | unique | length'
jq -c '[.data[].id]' "$work/body" >"$work/ids"

# What was asked is what comes.
get /api/v1/calls 'filter=http && status >= 500' limit=10000
expect 30 '.data | length'
get /api/v1/calls 'filter=latency > 50ms'
expect 15 '.data | length'
get /api/v1/calls 'filter=target == "/items/42"' from=2026-01-02T03:00:40Z to=1767322850
expect '["/items/42"]' '[.data[].target]'
get /api/v1/calls 'filter=http' from=1767322840000 to=2026-01-02T03:00:50+00:00 limit=1000
expect '[10,"/items/49","/items/40"]' '[(.data|length), .data[0].target, .data[-1].target]'
# 20 lasts from 20.003 to 20.103: it overlaps, but does not start there.
get /api/v1/calls filter=http from=2026-01-02T03:00:20.05Z to=2026-01-02T03:00:20.06Z
expect '["/items/20"]' '[.data[].target]'
get /api/v1/calls filter=http from=2026-01-02T03:00:20.05Z to=2026-01-02T03:00:20.06Z match=start
expect '[]' '.data'
get /api/v1/flows 'filter=dst.port == 53' limit=10000
expect 300 '[.data[].id] | unique | length'
get /api/v1/packets limit=10000
expect 3000 '.data | length'
get /api/v1/events 'filter=kind == capture_start'
expect 1 '.data | length'
get /api/v1/entities 'filter=kind == source'
expect true '.data | length >= 1'
get /api/v1/rollups 'filter=tier == 1' limit=10000
expect 600 '[.data[].calls] | add'

# Pages put together are the whole, in both directions, whatever their size.
python3 - "$url" <<'PY' || fail "pages"
import json, sys, urllib.parse, urllib.request
def get(table, **params):
    with urllib.request.urlopen(sys.argv[1] + "/api/v1/" + table + "?" + urllib.parse.urlencode(params)) as answer:
        return json.load(answer)
for table, name, filter in (("calls", "id", "http"), ("flows", "id", ""), ("packets", "number", "")):
    whole = [row[name] for row in get(table, filter=filter, limit=10000, to="2026-01-02T03:01:00Z")["data"]]
    for order in "desc", "asc":
        for limit in 1, 7, 100:
            pages, cursor, end = [], "", "2026-01-02T03:00:05Z" if limit == 1 else "2026-01-02T03:01:00Z"
            while cursor is not None:
                page = get(table, filter=filter, limit=limit, order=order, cursor=cursor, to=end)
                assert len(page["data"]) <= limit and (page["next"] is None or len(page["data"]) == limit), page
                pages += [row[name] for row in page["data"]]
                cursor = page["next"]
            want = whole if order == "desc" else whole[::-1]
            if limit == 1:
                want = [row[name] for row in get(table, filter=filter, limit=10000, to=end, order=order)["data"]]
            assert len(want) >= 5 and pages == want, (table, order, limit, len(pages), len(want))
PY

# Fields, formats, and the same numbers in each.
get /api/v1/calls filter=http fields=target,latency_ns,status limit=1
expect '{"target":"/items/299","latency_ns":1000000,"status":200}' '.data[0]'
get /api/v1/calls filter=http fields=target,latency_ns limit=2 format=csv
[ "$(cat "$work/body")" = $'target,latency_ns\n/items/299,1000000\n/items/298,1000000' ] || fail "csv"
get /api/v1/calls filter=http fields=target,latency_ns limit=2 format=ndjson
expect '{"target":"/items/299","latency_ns":1000000}
{"target":"/items/298","latency_ns":1000000}' .
get /api/v1/calls filter=http limit=2 format=table
grep -q '/items/299 .* 1ms' "$work/body" || fail "table"
curl -s -H 'Accept: text/csv' "$url/api/v1/calls?limit=1&fields=status" | head -1 | grep -qx status || fail "Accept: text/csv"
curl -s -H 'Accept: application/x-ndjson' "$url/api/v1/calls?limit=1&fields=status" | jq -e '.status == 0' >/dev/null || fail "Accept: ndjson"
curl -s -D "$work/head" -o "$work/page" "$url/api/v1/calls?limit=1&format=csv"
grep -qi '^x-next-cursor: ' "$work/head" || fail "no cursor beside CSV"
curl -s --compressed -D "$work/head" -o "$work/page" "$url/api/v1/calls?filter=http&limit=300"
grep -qi '^content-encoding: gzip' "$work/head" || fail "no gzip"
expect "$(cat "$work/ids")" '[.data[].id]' "$work/page"
curl -s -I "$url/api/v1/calls" | grep -q '200 OK' || fail "HEAD"
[ "$(curl -s -I "$url/api/v1/calls?limit=x" | head -1 | tr -d '\r')" = "HTTP/1.1 400 Bad Request" ] || fail "HEAD of a bad request"

get /api/v1/calls filter=http explain=1
expect true '.explain.row_groups >= 1'
expect '["hours","bitmaps","zones","blooms","columns","rows"]' '[.explain.steps[].step]'
expect true '.explain as $e | $e.steps | .[1].row_groups == $e.row_groups and .[2].row_groups == .[1].row_groups - .[1].skipped
	and .[4].bytes_stored > 0 and .[4].bytes_decoded == $e.bytes_read and .[5].matched == $e.rows_matched'

# Wrong requests get words, a code and where it is.
wrong() { # status, code, part of the message, path and parameters
	local want=$1 code=$2 words=$3
	shift 3
	get "$@"
	status "$want"
	expect "\"$code\"" '.error.code'
	expect true ".message | contains(\"$words\")"
	expect true '.message == .error.message'
}
wrong 400 E_UNKNOWN_NAME 'status' /api/v1/calls 'filter=http && statsu == 500'
expect 8 '.error.position'
wrong 400 E_SYNTAX 'byte' /api/v1/calls 'filter=status >='
wrong 400 E_SYNTAX '==' /api/v1/calls 'filter=status = 5'
wrong 400 E_UNKNOWN_NAME 'nearest is limit' /api/v1/calls 'limt=5'
wrong 400 E_UNKNOWN_NAME 'desc asc' /api/v1/calls order=down
wrong 400 E_FORMAT 'limit' /api/v1/calls limit=many
wrong 400 E_RANGE '10000' /api/v1/calls limit=10001
wrong 400 E_RANGE 'limit' /api/v1/calls limit=0
wrong 400 E_FORMAT 'from' /api/v1/calls from=yesterdayish
wrong 400 E_RANGE 'reversed' /api/v1/calls from=now to=-1h
wrong 400 E_UNKNOWN_NAME 'latency_ns' /api/v1/calls fields=latencyns
wrong 400 E_UNKNOWN_NAME 'ndjson' /api/v1/calls format=xml
wrong 400 E_FORMAT 'timeout' /api/v1/calls timeout=5
wrong 404 E_NOT_FOUND 'nearest is /api/v1/calls' /api/v1/cals
curl -s "$url/api/v1/calls?limit=1" | jq -r .next >"$work/cursor"
get /api/v1/flows "cursor=$(cat "$work/cursor")"
status 400
get /api/v1/calls "cursor=$(cat "$work/cursor")" filter=dns
status 400
get /api/v1/calls cursor=AAAA
status 400
[ "$(curl -s -o "$work/body" -w '%{http_code}' -X DELETE "$url/api/v1/calls")" = 405 ] || fail "DELETE"
[ "$(curl -s -o "$work/body" -w '%{http_code}' "$url/api/v1/calls?filter=%zz")" = 400 ] || fail "bad percent"
serve_stop
echo "rows come as asked for; pages join without a seam; mistakes are named"

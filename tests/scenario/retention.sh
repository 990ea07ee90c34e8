#!/usr/bin/env bash
# Retention as its user sees it: a policy before there is a store, payload classes of an import that expire apart, rows
# whose bytes are gone and say so over REST; on a full disk a partition that cannot be made anew goes as a whole, or
# waits where its age is the reason; cold partitions packed again while a server answers.
. "$(dirname "$0")/rest-lib.bash"
tape=$work/tape
td() { "$TAPEDECK" "$@" --data "$tape"; }
sound() { td check >"$work/check" 2>&1 || fail "$1: $(tail -3 "$work/check")"; }

td retention set packets/error --age 36500d >"$work/out" || fail "a policy before the first recording"
td retention set packets/protocol=dns --age 36400d >"$work/out" || fail "a second rule"
grep -q 'packets/error  *36500d' "$work/out" || fail "the first rule is gone: $(cat "$work/out")"
make_store 60
[ "$(ls "$tape"/parts/*/packets*.seg | wc -l)" = 3 ] || fail "segments: $(ls "$tape"/parts/*)"
td retention set --packet-age 1s >/dev/null || fail "set"
td retention plan -o json >"$work/plan" || fail "plan"
expect '[["packets",true]]' '[.victims[] | [.scope, (.why | contains("older than"))]]' "$work/plan"
td retention apply --yes -o json >"$work/applied" || fail "apply"
expect '[true,["packets"]]' '[.complete, [.victims[].scope]]' "$work/applied"
expect true "$(jq '.bytes' "$work/plan") == .bytes" "$work/applied"
td retention plan -o json >"$work/plan"
expect '[0,null,true,true]' '[(.victims | length)] + [.reach[] | select(.scope == "packets" or .scope == "packets/error" or .scope == "packets/protocol=dns") | if .oldest then true else null end]' "$work/plan"
sound "after apply"

serve_start
id_of() { get /api/v1/calls "filter=$1"; jq -r '.data[0].id' "$work/body"; }
good=$(id_of 'target == "/items/7"')
bad=$(id_of 'target == "/items/10"')
missing=$(id_of 'target == "/items/13"')
dns=$(id_of 'dns')
get "/api/v1/calls/$good"
status 200
expect '["/items/7",200,"expired"]' '.data | [.target, .status, .payload.state]'
for part in request response; do
	get "/api/v1/calls/$good" raw=$part
	status 410
	expect '"E_EXPIRED"' .error.code
	expect true '.error.message | contains("retention has dropped the bytes") and contains("its row is held") and contains("since 2026-01-02T03:00:")'
done
for id in "$bad" "$missing"; do
	get "/api/v1/calls/$id" raw=response
	status 200
	head -c 9 "$work/body" | grep -q '^HTTP/1.1 ' || fail "bytes of a failed call"
	get "/api/v1/calls/$id"
	expect '"present"' .data.payload.state
done
get "/api/v1/calls/$dns"
expect '"present"' .data.payload.state
flow=$(get "/api/v1/calls/$good"; jq -r '.data."flow.id"' "$work/body")
get "/api/v1/flows/$flow"
expect '"expired"' .data.payload
get /api/v1/calls 'filter=http' limit=100	# rows know nothing of it: all are there
expect 60 '.data | length'

# Packets whose payload is over its age keep their headers where those have a rule: rows of packets, flows' sizes, no bytes.
thin=$work/thin
"$TAPEDECK" import "$work/capture.pcap" --data "$thin" --progress none >/dev/null 2>&1 || fail "import"
"$TAPEDECK" export --data "$thin" --from 2026-01-01T00:00:00Z --format pcap -o "$work/before.pcap" || fail "export"
"$TAPEDECK" retention set --packet-age 1s --data "$thin" >/dev/null && "$TAPEDECK" retention set packets/headers --age 36500d --data "$thin" >/dev/null || fail "set"
"$TAPEDECK" retention apply --yes --data "$thin" >"$work/out" || fail "apply: $(cat "$work/out")"
grep -q 'headers stay' "$work/out" || fail "no word of headers: $(cat "$work/out")"
"$TAPEDECK" check --data "$thin" >"$work/check" || fail "headers: $(tail -3 "$work/check")"
"$TAPEDECK" export --data "$thin" --from 2026-01-01T00:00:00Z --format pcap -o "$work/after.pcap" 2>/dev/null
python3 - "$work/before.pcap" "$work/after.pcap" <<'PY' || fail "headers are not what they were"
import struct, sys
def frames(name):
    data = open(name, "rb").read()
    at = 24
    while at < len(data):
        sec, frac, cap, wire = struct.unpack_from("<IIII", data, at)
        yield sec, frac, wire, data[at + 16:at + 16 + cap]
        at += 16 + cap
before, after = list(frames(sys.argv[1])), list(frames(sys.argv[2]))
assert len(before) == len(after) == 600, (len(before), len(after))
for whole, head in zip(before, after):
    assert whole[:3] == head[:3] and whole[3].startswith(head[3])
    assert len(head[3]) == (54 if whole[3][23] == 6 else 42), len(head[3])
PY

# Packed again below an open server: the same answers, from fewer bytes.
get /api/v1/calls 'filter=http' limit=100
cp "$work/body" "$work/before"
td recompress -o json >"$work/packed" || fail "recompress"
expect '[1,true]' '[.partitions + .left, .complete]' "$work/packed"
get /api/v1/calls 'filter=http' limit=100
expect true "(.data | tojson) == ($(jq '.data | tojson' "$work/before"))"
get /api/v1/status
expect 1 '.store.repacked | .partitions + .left'
sound "packed again"
serve_stop

# A pin keeps what the policy would take.
td retention pin incident --from 2026-01-02T03:00:00Z --to 2026-01-02T03:00:01Z || fail "pin"
td retention set --data-age 1s >/dev/null
td retention plan -o json >"$work/plan"
expect 0 '.victims | length' "$work/plan"
td retention unpin incident || fail "unpin"
td retention plan -o json >"$work/plan"
expect true '.victims | length > 0' "$work/plan"

[ "$(id -u)" = 0 ] || { echo "classes, 410 and pins hold; a full disk needs root for a tmpfs"; exit 0; }
mkdir "$work/disk"
mount -t tmpfs -o size=24m tmpfs "$work/disk" 2>/dev/null || { echo "classes, 410 and pins hold; no tmpfs can be mounted here"; exit 0; }
trap 'umount "$work/disk"; cleanup' EXIT
tape=$work/disk/tape
fill() { dd if=/dev/zero of="$work/disk/filler" bs=4096 2>/dev/null; [ "$(df --output=avail "$work/disk" | tail -1)" -lt 8 ] || fail "the disk is not full"; }
full_store() {
	rm -rf "$work/disk"/*
	"$TAPEDECK" import "$work/capture.pcap" --data "$tape" --progress none >"$work/out" 2>&1 || fail "import: $(tail -1 "$work/out")"
	td retention set "$@" >/dev/null || fail "set $*"
	fill
}
# Because of its age: what cannot be done now is said, and done when there is room.
full_store calls --age 1s
td retention apply --yes >"$work/out" 2>&1 && fail "apply on a full disk claims to have made a partition anew"
grep -qi 'no space left' "$work/out" || fail "it does not say why: $(cat "$work/out")"
sound "full, by age"
[ "$(td query calls -n 1000 --from 2026-01-01T00:00:00Z --no-headers | wc -l)" = 120 ] || fail "calls are gone before the rest was safe"
rm "$work/disk/filler"
td retention apply --yes >/dev/null || fail "apply with room"
[ "$(td query calls -n 1000 --from 2026-01-01T00:00:00Z --no-headers | wc -l)" = 0 ] || fail "calls are still there"
[ "$(td query flows -n 1000 --from 2026-01-01T00:00:00Z --no-headers | wc -l)" = 120 ] || fail "flows went along"
sound "made anew"
# Because of bytes: room has to come from somewhere, the whole partition goes.
full_store rollups --bytes 1B
td retention apply --yes >"$work/out" 2>&1 || fail "apply by bytes on a full disk: $(cat "$work/out")"
sound "full, by bytes"
[ -z "$(ls "$tape/parts")" ] || fail "nothing went: $(cat "$work/out")"
[ "$(df --output=avail "$work/disk" | tail -1)" -gt 8 ] || fail "no room came of it"
# Free space is gone before the sweep: it is the first thing that comes back.
full_store --free-bytes 12KiB
td retention apply --yes >"$work/out" 2>&1 || fail "apply for free space: $(cat "$work/out")"
[ "$(df --output=avail "$work/disk" | tail -1)" -ge 12 ] || fail "less than 12 KiB free"
sound "free space"
td import "$work/capture.pcap" --progress none >"$work/out" 2>&1 || true	# there may be room or not: sound in any case
sound "after another import"
echo "classes expire apart, 410 says since when, a full disk gets room, packed rows answer the same"

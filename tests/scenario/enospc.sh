#!/usr/bin/env bash
# A full disk: import says so and leaves a sound store that takes the next file; record goes on, tells of the loss as
# a gap, once, and writes again when there is room.
set -u
[ "$(id -u)" = 0 ] || { echo "mounting a tmpfs needs root"; exit 77; }
command -v jq >/dev/null && command -v python3 >/dev/null || { echo "no jq or no python3"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-enospc.XXXXXX")
mkdir "$work/disk"
record=
cleanup() {
	[ -n "$record" ] && kill "$record" 2>/dev/null && wait "$record" 2>/dev/null
	umount "$work/disk" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
mount -t tmpfs -o size=64k tmpfs "$work/disk" 2>/dev/null || { echo "no tmpfs can be mounted here"; exit 77; }
fail() { echo "FAIL: $*"; exit 1; }
sound() {
	timeout 20 "$TAPEDECK" check --data "$work/disk/tape" >"$work/check" 2>&1 || fail "$1: $(tail -3 "$work/check")"
}
python3 - "$work" <<'PY'
import os, struct, sys
def capture(name, count, size, start):
    with open(name, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for n in range(count):
            data = os.urandom(size)
            udp = struct.pack(">HHHH", 2000 + n % 50, 9, 8 + size, 0) + data
            frame = b"\2" * 12 + b"\x08\0" + struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                                                        bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))) + udp
            out.write(struct.pack("<IIII", start + n // 100, n % 100, len(frame), len(frame)) + frame)
capture(sys.argv[1] + "/large.pcap", 3000, 1000, 1700000000)
capture(sys.argv[1] + "/small.pcap", 10, 100, 1700100000)
PY
for size in 64k 128k 256k 700k 2m; do
	umount "$work/disk" && mount -t tmpfs -o size=$size tmpfs "$work/disk" || fail "mount $size"
	timeout 30 "$TAPEDECK" import "$work/large.pcap" --data "$work/disk/tape" --progress none >"$work/out" 2>&1
	rc=$?
	[ $rc = 1 ] || fail "import into $size ends with $rc: $(tail -1 "$work/out")"
	grep -qi 'no space left' "$work/out" || fail "import into $size does not say why: $(cat "$work/out")"
	mount -o remount,size=40m "$work/disk" || fail "remount"
	timeout 30 "$TAPEDECK" import "$work/small.pcap" --data "$work/disk/tape" --progress none >"$work/out" 2>&1 ||
		fail "import after $size: $(tail -1 "$work/out")"
	sound "after $size"
	got=$("$TAPEDECK" query packets --data "$work/disk/tape" --from 1700100000 --no-headers -n 100 | wc -l)
	[ "$got" = 10 ] || fail "after $size: $got packets of 10"
done

umount "$work/disk" && mount -t tmpfs -o size=2m tmpfs "$work/disk" || fail "mount"
"$TAPEDECK" record --data "$work/disk/tape" >"$work/out" 2>"$work/err" &
record=$!
for _ in $(seq 50); do grep -q recording "$work/out" "$work/err" && break; sleep 0.1; done
if ! kill -0 $record 2>/dev/null; then
	record=
	echo "cannot record here: $(tail -1 "$work/err")"
	exit 77
fi
traffic() {	# seconds of datagrams that do not compress, to a port where nobody listens
	python3 - "$1" <<'PY'
import os, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.time() + float(sys.argv[1])
while time.time() < end:
    for _ in range(10):
        try:
            s.sendto(os.urandom(8000), ("127.0.0.1", 9))
        except OSError:
            pass
    time.sleep(0.02)
PY
}
for _ in $(seq 20); do
	traffic 0.5
	grep -q 'cannot write' "$work/err" && break
done
grep -q 'cannot write' "$work/err" || fail "a full disk is not noticed"
grep 'cannot write' "$work/err" | grep -qi 'no space left' || fail "the recorder does not say why: $(tail -1 "$work/err")"
traffic 3
kill -0 $record || fail "the recorder ends on a full disk"
"$TAPEDECK" query flows --data "$work/disk/tape" >/dev/null || fail "reading during the outage"
mount -o remount,size=200m "$work/disk"
for _ in $(seq 100); do grep -q 'writing again' "$work/err" && break; sleep 0.1; done
grep -q 'writing again' "$work/err" || fail "the recorder does not write again"
traffic 0.5
sleep 1.5
kill -INT $record
wait $record || fail "record ends with $?"
record=
sound "after record"
"$TAPEDECK" horizon --data "$work/disk/tape" -o json >"$work/horizon"
jq -e '[.gaps[] | select(.reason == "disk_full")] | length >= 1 and ([.[].from] | unique | length) == length' "$work/horizon" >/dev/null ||
	fail "gaps: $(jq -c .gaps "$work/horizon")"
jq -e '[.gaps[] | select(.reason == "disk_full") | .packets] | add > 0' "$work/horizon" >/dev/null || fail "the loss has no number"
echo "full disks were said, survived and recorded"

#!/usr/bin/env bash
# Without the right to use BPF the words say what is missing; with no more than
# the three capabilities it needs, it runs.
. "$(dirname "$0")/live-lib.bash"
command -v setpriv >/dev/null || skip "needs setpriv"
[ "$(id -u)" -eq 0 ] || skip "needs root, to give it up"
chmod 755 "$work"
cp "$dump" "$work/live_dump" || fail "copy"

rc=0
setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all "$work/live_dump" >"$work/out" 2>"$work/err" || rc=$?
want "status without capabilities" "$rc" 77
for word in E_PERMISSION CAP_BPF CAP_PERFMON CAP_NET_ADMIN root; do
	grep -q "$word" "$work/err" || fail "the words lack $word: $(cat "$work/err")"
done
[ ! -s "$work/out" ] || fail "output all the same: $(cat "$work/out")"

need_bpf
caps=+bpf,+perfmon,+net_admin
rc=0
setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all,$caps --ambient-caps=-all,$caps \
	timeout --preserve-status -s INT 4 "$work/live_dump" >"$work/out" 2>"$work/err" || rc=$?
grep -q '"ready"' "$work/out" || fail "with three capabilities: status $rc: $(cat "$work/err")"
want "probes that fail with three capabilities" "$(jq -c 'select(.what == "status") | .probes[] | select(.state != "attached") | .name' "$work/out" | xargs)" ""

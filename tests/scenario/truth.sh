#!/usr/bin/env bash
# `make check-truth` on a few small captures: every goal is met with the answers as they are, and none of the ways to
# be wrong passes - a packet, a call, a field, a connection more or less - unless it is listed.
set -u
[ -d "${CAPTURES:-}/truth" ] || { echo "no captures with answers at ${CAPTURES:-unset}"; exit 77; }
command -v python3 >/dev/null || { echo "no python3"; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-truth-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
files=(http/http1.pcap mysql/mysql-error.pcap tcp/zwnd.pcap dns/rrsig.pcap corrupt/fuzz-2021-10-13.pcap)
answers() { # fresh copies
	for file in "${files[@]}"; do
		mkdir -p "$work/truth/${file%/*}" && cp "$CAPTURES/truth/$file.tsv" "$work/truth/$file.tsv" || exit 1
	done
}
compare() { TRUTH=$work/truth OUT=$work/out.tsv "$@" "$here/../truth/run.sh" >"$work/out" 2>&1; }
fail() { echo "FAIL: $*"; tail -40 "$work/out"; exit 1; }
verdict() { awk -F'\t' -v item="$1" '$1 == item { print $NF }' "$work/out.tsv"; }
# missed ITEM SED-SCRIPT FILE: with the answer edited, exactly this line of the table is missed
missed() {
	answers
	sed -i "$2" "$work/truth/$3.tsv"
	cmp -s "$work/truth/$3.tsv" "$CAPTURES/truth/$3.tsv" && fail "nothing to edit in $3 for $1"
	compare env && fail "passes although $1 is wrong"
	[ "$(verdict "$1")" = MISS ] || fail "$1 is $(verdict "$1"), not MISS"
	[ "$(grep -c 'MISS$' "$work/out.tsv")" -le "${4:-1}" ] || fail "more than $1 is missed"
}

answers
compare env || fail "not every goal is met"
grep -q '^5 captures, ' "$work/out" || fail "not five captures"
[ "$(verdict packets)" = PASS ] && [ "$(verdict 'http requests')" = PASS ] || fail "no verdicts"
grep -q 'header of record 2 at offset 237 is cut short' "$work/out" || fail "a file that is cut off is not told"

missed packets 's/^sum\tpackets\t.*/sum\tpackets\t7/' http/http1.pcap
missed bytes 's/^sum\tbytes\t.*/sum\tbytes\t7/' dns/rrsig.pcap
missed 'TCP conversations' '/^tcp\t0\t/d' tcp/zwnd.pcap
missed 'packets of a conversation' '/^tcp\t0\t/s/\([^\t]*\t\)\{6\}/&9/' tcp/zwnd.pcap
missed 'zero windows' '/^tcp\t/s/zwin=/zwin=9/' tcp/zwnd.pcap
missed 'http requests' '0,/^http\t.*method=GET/{/^http\t.*method=GET/d}' http/http1.pcap
missed 'http requests' 's/^http\t\([0-9]*\)\t[0-9]*\.\(.*method=GET\)/http\t\1\t99.\2/' http/http1.pcap 2
missed 'http fields' '/^http\t/s/status=200/status=500/' http/http1.pcap
missed 'mysql responses' '/^mysql\t/s/\terr=[0-9]*//' mysql/mysql-error.pcap

# Listed with a reason it passes; listed once too few it does not.
answers
sed -i 's/^sum\tpackets\t.*/sum\tpackets\t7/' "$work/truth/http/http1.pcap.tsv"
{ cat "$here/../golden/truth-differences"; printf 'http/*\tpackets\tfile\t1\twe count otherwise\n'; } >"$work/listed"
compare env DIFFERENCES="$work/listed" || fail "a listed difference is missed"
sed -i 's/^sum\tpackets\t.*/sum\tpackets\t7/' "$work/truth/tcp/zwnd.pcap.tsv"
compare env DIFFERENCES="$work/listed" && fail "a difference that is not listed passes"
echo 'half a line' >"$work/listed"
compare env DIFFERENCES="$work/listed" && fail "a broken list is taken"
grep -q 'listed:1: ' "$work/out" || fail "no word on the broken list"

compare env TAPEDECK=/bin/false && fail "a program that does nothing passes"
CAPTURES=$work/nowhere "$here/../truth/run.sh" >"$work/out" 2>&1
[ $? = 77 ] || fail "no captures is not a skip"
echo "the table tells right from wrong"

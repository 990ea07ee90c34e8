#!/usr/bin/env bash
# Redis and redis-benchmark, Memcached and clients of its text and its binary protocol: as many
# commands as the clients sent and the servers counted, pipelined or not, hits, misses and errors.
. "$(dirname "$0")/live-lib.bash"
for tool in redis-server redis-cli redis-benchmark memcached; do
	command -v $tool >/dev/null || skip "needs $tool"
done
python=/usr/bin/python3		# the one that Debian's modules are for
$python -c 'import pymemcache' 2>/dev/null || skip "needs python3-pymemcache"
need_bpf
make_namespaces

cat >"$work/memcached.py" <<'PY'
import socket, struct, sys
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError

address = sys.argv[1]
client = Client((address, 11211), timeout=20, default_noreply=False)
hits = 0
for i in range(40):
    client.set("text:%d" % i, b"x" * (100000 if i == 39 else 20))
for i in range(100):
    hits += client.get("text:%d" % (i % 50)) is not None
hits += len(client.get_many(["text:%d" % i for i in range(30, 45)]))
client.set("counter", "5")
assert client.incr("counter", 3) == 8
assert client.incr("missing", 3) is None
assert client.delete("text:0") and not client.delete("text:0")
for i in range(7):
    client.set("quiet:%d" % i, "y", noreply=True)
assert client.get("quiet:6") == b"y"
try:
    client.incr("quiet:0", 1)
    sys.exit("a text was counted up")
except MemcacheClientError:
    pass
client.close()
print("text hits", hits)

# The binary protocol: header of 24 bytes, extras, key, value.
peer = socket.create_connection((address, 11211))
stream = peer.makefile("rb")
def request(opcode, key=b"", value=b"", extras=b"", opaque=0):
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(extras) + len(key) + len(value), opaque, 0) + extras + key + value
def answer():
    head = struct.unpack(">BBHBBHIIQ", stream.read(24))
    return head[5], stream.read(head[6])
def ask(*args, **named):
    peer.sendall(request(*args, **named))
    return answer()
for i in range(30):
    assert ask(1, b"bin:%d" % i, b"z" * 50, struct.pack(">II", 0, 0), opaque=i)[0] == 0
hits = sum(ask(0, b"bin:%d" % i)[0] == 0 for i in range(45))
# Quiet gets answer hits alone; the no-op ends them.
peer.sendall(b"".join(request(9, b"bin:%d" % i, opaque=i) for i in range(25, 35)) + request(10, opaque=99))
quiet = 0
while stream.peek(24)[1] != 10:
    answer()
    quiet += 1
answer()
ask(7)
print("binary hits", hits, "quiet", quiet)
PY
start_far redis redis-server --bind "$far4" --port 6379 --save '' --appendonly no --dir "$work" --protected-mode no >"$work/redis.log" 2>&1
start_far memcached memcached -u nobody -l "$far4" -p 11211 -U 0 -B auto -t 1 -m 16 >"$work/memcached.log" 2>&1
wait_for 20 listening far 6379 || skip "redis does not run here: $(tail -n 2 "$work/redis.log")"
wait_for 20 listening far 11211 || skip "memcached does not run here: $(tail -n 2 "$work/memcached.log")"
start_record

bench() { in_near timeout 60 redis-benchmark -h "$far4" --csv "$@" >>"$work/bench" 2>&1 || fail "redis-benchmark: $(tail -n 3 "$work/bench")"; }
cli() { in_near timeout 20 redis-cli -h "$far4" "$@"; }
bench -n 300 -c 5 -t set,get,incr,lpush,hset
bench -n 512 -c 4 -P 16 -t sadd,spop,zadd
bench -n 240 -c 3 -P 8 -r 100 -d 3000 mset key:__rand_int__ a other:__rand_int__ b
for _ in 1 2 3; do
	cli lpush key:of:string 1 >/dev/null
	cli get mylist >"$work/wrong" 2>&1
	cli nosuchcommand >/dev/null 2>&1
done
cli info commandstats | tr -d '\r' >"$work/commandstats"
in_near timeout 30 $python "$work/memcached.py" "$far4" >"$work/memcached.out" || fail "memcached: $(cat "$work/memcached.out")"
quit() { [ "$(calls_count 'l7 == memcached && method == quit')" -ge 1 ]; }
wait_for 10 quit || fail "the last command of Memcached is not on the tape"
stop_record

calls 'l7 == redis || l7 == memcached' >"$work/calls"
# What the server counted, but for the question itself: "COMMAND calls failed"
sed -n 's/^cmdstat_\([a-z|]*\):calls=\([0-9]*\),.*failed_calls=\([0-9]*\).*/\1 \2 \3/p' "$work/commandstats" | tr "|" . | sort >"$work/counted"
jq -r 'select(.l7 == "redis" and .method != "INFO" and .method != "NOSUCHCOMMAND") | [(.method | ascii_downcase | gsub(" "; ".")), .status_class] | @tsv' "$work/calls" |
	awk -F'\t' '{ n[$1]++; bad[$1] += $2 != "ok" } END { for (m in n) print m, n[m], bad[m] }' | sort >"$work/taped"
# The server counts a command that is wrong for its key as failed, as the tape does.
want "Redis: calls and errors of each command" "$(xargs <"$work/taped")" "$(xargs <"$work/counted")"
want "Redis: as asked for" "$(awk '{ printf "%s %s ", $1, $2 }' "$work/taped" | xargs)" \
	"config.get 6 get 303 hset 300 incr 300 lpush 303 mset 240 sadd 512 set 300 spop 512 zadd 512"
want "Redis: no such command" "$(jq -r 'select(.method == "NOSUCHCOMMAND") | "\(.status_text) \(.status_class)"' "$work/calls" | sort | uniq -c | xargs)" "3 ERR client_error"
want "Redis: halves" "$(jq -r 'select(.l7 == "redis") | .end_reason' "$work/calls" | sort -u)" complete
want "Redis: one template for the keys" "$(jq -r 'select(.method == "MSET") | .key' "$work/calls" | sort -u | grep -vc '^key:[0-9]\{12\}$')" 0
want "Redis: who asked" "$(jq -r 'select(.method == "SADD") | "\(.["src.comm"]) \(.["dst.comm"])"' "$work/calls" | sort -u)" "redis-benchmark redis-server"

memcached() { jq -r "select(.l7 == \"memcached\" and (.key // \"-\" | startswith(\"$1\"))) | \"\(.method) \(.status_text // \"-\") \(.end_reason)\"" "$work/calls" | sort | uniq -c | xargs; }
want "Memcached, what the clients counted" "$(xargs <"$work/memcached.out")" "text hits 90 binary hits 30 quiet 5"
# 80 hits one by one, and ten keys of the fifteen in one command.
want "Memcached, text" "$(memcached text:)" "1 delete DELETED complete 1 delete NOT_FOUND complete 81 get HIT complete 20 get MISS complete 40 set STORED complete"
want "Memcached, hits in one command" "$(jq -r 'select(.l7 == "memcached" and .rows > 1) | .rows' "$work/calls")" 10
want "Memcached, without an answer" "$(memcached quiet:)" "1 get HIT complete 1 incr CLIENT_ERROR complete 7 set - oneway"
want "Memcached, counters" "$(memcached counter) $(memcached missing)" "1 incr - complete 1 set STORED complete 1 incr NOT_FOUND complete"
want "Memcached, binary" "$(memcached bin:)" "30 get HIT complete 15 get MISS complete 5 getq HIT complete 5 getq MISS complete 30 set OK complete"
want "Memcached, the largest" "$(jq -r 'select(.l7 == "memcached" and .key == "text:39" and .method == "set") | .req_body_bytes' "$work/calls")" 100000

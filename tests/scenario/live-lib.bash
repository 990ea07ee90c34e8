# For the live-*.sh scenarios: two network namespaces joined by a veth, a
# recorder's window (live_dump) on the kernel, and looks at what it printed.
# Source it; everything it makes is named after this process and removed at exit.

set -u
export PATH=$PATH:/usr/sbin:/sbin
BUILD=${BUILD:-$(realpath "$(dirname "$0")/../../build/release")}
dump=$BUILD/live_dump
work=$(mktemp -d)
out=$work/dump.json
near=td$$a far=td$$b	# namespaces; the devices inside are called veth
# The recorder sees all namespaces, also those of another run of these tests: addresses differ too.
net4=10.$((100 + $$ % 100)).$(($$ / 100 % 250)) net6=$(printf fd77:%x: $$)
near4=$net4.1 far4=$net4.2 near6=$net6:1 far6=$net6:2
started=()
netns_near=0 netns_far=0

clean_up() {
	local pid
	for pid in "${started[@]}"; do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	ip netns del "$near" 2>/dev/null
	ip netns del "$far" 2>/dev/null
	rm -rf "$work" "${memory_dir:-$work}"
}
trap clean_up EXIT

fail() {
	echo "FAILED: $*"
	[ -s "$out" ] && lines | jq -c 'select(.what != "frame" and .what != "exec" and .what != "exit")' | tail -n 40
	exit 1
}

skip() {
	echo "skipped: $*"
	exit 77
}

# wait_for SECONDS COMMAND...: until it succeeds
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		read -rt 0.05 <> <(:) || true
	done
}

for tool in ip jq nsenter python3; do
	command -v $tool >/dev/null || skip "needs $tool"
done

make_namespaces() {
	ip netns add "$near" 2>"$work/why" || skip "cannot make network namespaces: $(cat "$work/why")"
	ip netns add "$far" || fail "second namespace"
	ip -n "$near" link add veth type veth peer name veth netns "$far" || skip "cannot make a veth pair"
	for side in "$near $near4 $near6" "$far $far4 $far6"; do
		set -- $side
		ip -n "$1" link set lo up
		ip -n "$1" addr add "$2/24" dev veth
		ip -n "$1" addr add "$3/64" dev veth nodad
		ip -n "$1" link set veth up
	done
	netns_near=$(stat -Lc %i "/run/netns/$near")
	netns_far=$(stat -Lc %i "/run/netns/$far")
}

in_near() { nsenter --net="/run/netns/$near" "$@"; }
in_far() { nsenter --net="/run/netns/$far" "$@"; }

# in the background: start VARIABLE COMMAND...; the variable gets the pid
start() {
	local -n ret_pid=$1
	shift
	"$@" <&0 &	# else its input would be /dev/null
	ret_pid=$!
	started+=("$ret_pid")
}

# The pid stays that of the command: nsenter executes it.
start_near() { local var=$1; shift; start "$var" nsenter --net="/run/netns/$near" "$@"; }
start_far() { local var=$1; shift; start "$var" nsenter --net="/run/netns/$far" "$@"; }

# ---- servers and the like, in far ----

# A folder for what a server writes and waits for: in memory, where that is quick. Goes at the end.
make_memory_dir() {
	memory_dir=$(mktemp -d -p /dev/shm 2>/dev/null) || memory_dir=$work
	chmod 755 "$work" "$memory_dir"
}
# make_nobodys_dir NAME: $server_dir is one in it for a server that does not run as root; "${as_nobody[@]}" COMMAND... lives there
make_nobodys_dir() {
	make_memory_dir
	server_dir=$memory_dir/$1
	mkdir "$server_dir"
	chown nobody:nogroup "$server_dir"
	as_nobody=(setpriv --reuid=nobody --regid=nogroup --clear-groups env -u PGDATA HOME="$server_dir" TMPDIR="$server_dir" LC_ALL=C)
}

# What its http block has besides paths comes from the standard input.
start_nginx() {
	cat >"$work/nginx.conf" <<-CONF
		daemon off;
		worker_processes 1;
		pid $work/nginx.pid;
		error_log $work/nginx.log;
		events { worker_connections 64; }
		http {
			access_log off;
			client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
			uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
			$(cat)
		}
	CONF
	chmod 755 "$work"
	start_far nginx nginx -c "$work/nginx.conf" 2>"$work/nginx.err"
	wait_for 20 listening far 8080 || skip "nginx does not run here: $(cat "$work/nginx.err")"
}

# start_hole PORT...: takes UDP datagrams and forgets them
start_hole() {
	start_far hole python3 -c 'import selectors, socket, sys
holes = selectors.DefaultSelector()
for port in sys.argv[2:]:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((sys.argv[1], int(port)))
    holes.register(s, selectors.EVENT_READ)
while True:
    for key, _ in holes.select():
        key.fileobj.recv(2000)' "$far4" "$@"
	local port
	for port in "$@"; do
		wait_for 10 listening_udp far "$port" || fail "nobody listens on $port"
	done
}

# What far's firewall does with what comes in, from the standard input; its chain `hole` is for later.
make_lossy() {
	in_far nft -f - <<-NFT 2>"$work/nft.err" || skip "nft is refused: $(cat "$work/nft.err")"
		table inet lossy {
			chain input {
				type filter hook input priority 0;
				$(cat)
			}
			chain hole {
				type filter hook input priority 1;
			}
		}
	NFT
}

# ---- recorders ----

start_dump() {
	"$dump" "$@" >"$out" 2>"$work/dump.err" &
	dump_pid=$!
	started+=("$dump_pid")
	ready_or_gone() { [ -s "$out" ] || ! kill -0 "$dump_pid"; }
	wait_for 20 ready_or_gone && [ -s "$out" ] || fail "live_dump is not ready: $(cat "$work/dump.err")"
}

# Before anything else: BPF may be refused here.
need_bpf() {
	local rc=0
	timeout --preserve-status -s INT 0.1 "$dump" >/dev/null 2>"$work/dump.err" || rc=$?
	[ "$rc" -eq 77 ] && skip "$(cat "$work/dump.err")"
	return 0
}

stop_dump() {
	kill -INT "$dump_pid"
	wait "$dump_pid" || fail "live_dump ended with status $?: $(cat "$work/dump.err")"
	jq -e 'select(.what == "status")' "$out" >/dev/null || fail "no status at the end"
	jq -e 'select(.what == "status") | .malformed == 0' "$out" >/dev/null || fail "malformed records"
}

listening() { [ -n "$("in_$1" ss -Hltn "sport = :$2")" ]; }
listening_udp() { [ -n "$("in_$1" ss -Hlun "sport = :$2")" ]; }

# What concerns our namespaces.
lines() {
	jq -c "select(.what == \"status\" or .what == \"lost\" or .netns == $netns_near or .netns == $netns_far or
		([.local, .remote] - [\"$near4\", \"$far4\", \"$near6\", \"$far6\"] == []))" "$out"
}
# How many lines match; is there one; the sum of a value of all; the value of the first
count() { lines | jq -c "select($1)" | wc -l; }
seen() { [ "$(count "$1")" -gt 0 ]; }
sum() { lines | jq -s "[.[] | select($1) | $2] | add // 0"; }
value() { lines | jq -r "select($1) | $2" | head -n 1; }
want() { # words, got, expected
	[ "$2" = "$3" ] || fail "$1: $2, not $3"
	echo "$1: $2"
}

# A recorder of its own, with its tape; calls FILTER: those with far4 that match, as JSON lines.
tapedeck=$BUILD/tapedeck
start_record() {
	"$tapedeck" record --data "$work/tape" >"$work/record.out" 2>"$work/record.err" &
	record_pid=$!
	started+=("$record_pid")
	recording_or_gone() { grep -q recording "$work/record.err" || ! kill -0 "$record_pid"; }
	wait_for 20 recording_or_gone && kill -0 "$record_pid" 2>/dev/null || fail "no recorder: $(cat "$work/record.err")"
}
stop_record() {
	kill "$record_pid"
	wait "$record_pid" || fail "record ended with status $?: $(cat "$work/record.err")"
}
# It records the whole machine: with too much of other traffic it says so, and leaves bytes out.
skip_if_thinned() {
	"$tapedeck" query events --data "$work/tape" --filter 'kind == gap || kind == capture_level' -o ndjson >"$work/thinned"
	[ ! -s "$work/thinned" ] || skip "the machine was too busy: the recorder left something out: $(tail -n 1 "$work/record.err")"
}
calls() { "$tapedeck" query calls --data "$work/tape" --filter "(dst.ip == $far4 || src.ip == $far4) && ($1)" -o ndjson -n 10000; }
calls_count() { calls "$1" | wc -l; }

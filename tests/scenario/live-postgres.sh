#!/usr/bin/env bash
# PostgreSQL and pgbench: as many statements as its transactions hold are on the tape, in each of its
# three protocols; rows as copied, errors with their SQLSTATE, and TLS behind the hand-over.
. "$(dirname "$0")/live-lib.bash"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -x "$bin/postgres" ] && [ -x "$bin/pgbench" ] && [ -x "$bin/psql" ] || skip "needs postgresql"
for tool in setpriv openssl; do
	command -v $tool >/dev/null || skip "needs $tool"
done
need_bpf
make_namespaces

make_nobodys_dir pg
export PGPASSWORD=s3cret PGCONNECT_TIMEOUT=20
echo $PGPASSWORD >"$server_dir/password"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=db.test -keyout "$server_dir/key" -out "$server_dir/cert" 2>/dev/null || fail "openssl"
chown -R nobody:nogroup "$server_dir"
(cd "$server_dir" && "${as_nobody[@]}" "$bin/initdb" -D "$server_dir/data" -U tape -A scram-sha-256 --pwfile="$server_dir/password" -N -E UTF8) \
	>"$work/initdb.log" 2>&1 || skip "initdb does not run here: $(tail -n 2 "$work/initdb.log")"
echo "host all all 0.0.0.0/0 scram-sha-256" >>"$server_dir/data/pg_hba.conf"
start_far server "${as_nobody[@]}" "$bin/postgres" -D "$server_dir/data" -c listen_addresses="$far4" -c port=5432 \
	-c unix_socket_directories= -c shared_buffers=16MB -c fsync=off -c autovacuum=off -c max_wal_size=1GB \
	-c ssl=on -c ssl_cert_file="$server_dir/cert" -c ssl_key_file="$server_dir/key" >"$work/server.log" 2>&1
wait_for 20 listening far 5432 || skip "postgres does not run here: $(tail -n 2 "$work/server.log")"
start_record

at="host=$far4 user=tape dbname=postgres gssencmode=disable"
pgbench() { in_near timeout 60 "$bin/pgbench" "$@"; }
psql() { in_near timeout 20 "$bin/psql" -qAtX "$@"; }
pgbench -i -s 1 -I dtg "$at sslmode=disable application_name=init" >"$work/init" 2>&1 || fail "pgbench -i: $(tail -n 3 "$work/init")"
for mode in simple extended prepared; do
	pgbench -n -t 15 -c 3 -M $mode "$at sslmode=disable application_name=$mode" >"$work/$mode" 2>&1 || fail "$mode: $(tail -n 5 "$work/$mode")"
	grep -q 'transactions actually processed: 45/45' "$work/$mode" || fail "$mode: $(cat "$work/$mode")"
done
plain="$at sslmode=disable application_name=psql"
psql "$plain" -v VERBOSITY=sqlstate -c 'SELECT 1/0' -c 'SELECT * FROM nothing_there' -c 'SELEC 1' 2>"$work/errors"
psql "$plain dbname=none" -c 'SELECT 1' 2>>"$work/errors" && fail "a database that is not there"
PGPASSWORD=wrong psql "$plain" -c 'SELECT 1' 2>>"$work/errors" && fail "a wrong password is taken"
psql "$plain" -c "SELECT n, 'row ' || n FROM generate_series(1, 1234) n" >"$work/rows"
[ "$(psql "$at sslmode=require" -c "SELECT 'zanzibar'")" = zanzibar ] || fail "psql over TLS"
handed_over() { [ "$(calls_count 'l7 == tls')" -ge 1 ]; }
wait_for 10 handed_over || fail "no TLS on the tape"
stop_record

calls 'l7 == postgresql || l7 == tls' >"$work/calls"
# of APPLICATION: the calls of the connections that logged in under this name
of() { jq -c -s --arg name "$1" '(map(select(.method == "CONNECT" and .user_agent == $name) | .["flow.id"])) as $its |
	.[] | select(.["flow.id"] | IN($its[]))' "$work/calls"; }
# A transaction is BEGIN, three UPDATEs, a SELECT, an INSERT and END; 3 clients run 15 each.
statements='map(select(.method != "PREPARE" and (.method == "BEGIN" or .method == "END" or (.table // "" | startswith("pgbench_"))) and
	.target != "select count(*) from pgbench_branches"))'
for mode in simple extended prepared; do
	want "$mode: statements" "$(of $mode | jq -r -s "$statements | .[] | \"\(.method) \(.table // \"-\") \(.rows // \"-\") \(.status_class) \(.end_reason)\"" | sort | uniq -c | xargs)" \
		"45 BEGIN - - ok complete 45 END - - ok complete 45 INSERT pgbench_history 1 ok complete 45 SELECT pgbench_accounts 1 ok complete $(
		)45 UPDATE pgbench_accounts 1 ok complete 45 UPDATE pgbench_branches 1 ok complete 45 UPDATE pgbench_tellers 1 ok complete"
	# pgbench asks on a connection of its own first.
	want "$mode: clients" "$(of $mode | jq -s "$statements | map(.[\"flow.id\"]) | group_by(.) | map(length)" -c)" "[105,105,105]"
	prepared=$([ $mode = prepared ] && echo 21 || echo 0)
	want "$mode: prepared" "$(of $mode | jq -r 'select(.method == "PREPARE") | .end_reason' | grep -c complete)" "$prepared"
done
want "one template for the updates of accounts, by protocol" "$(for mode in simple extended; do
	of $mode | jq -r 'select(.method == "UPDATE" and .table == "pgbench_accounts") | .target_template' | sort | uniq -c; done | xargs)" \
	"45 UPDATE pgbench_accounts SET abalance = abalance + ? WHERE aid = ? $(
	)45 UPDATE pgbench_accounts SET abalance = abalance + ? WHERE aid = ?"
want "rows copied" "$(of init | jq -r 'select(.method == "COPY") | "\(.table) \(.rows)"')" "stdin 100000"
want "rows read" "$(of psql | jq -r 'select(.target_template | contains("generate_series")) | .rows')" "$(wc -l <"$work/rows")"
want "what psql was told" "$(grep -c . "$work/errors")" 5
want "SQLSTATEs" "$(of psql | jq -r 'select(.status_class != "ok") | "\(.method) \(.status_text)"' | sort | xargs)" \
	"CONNECT 28P01 CONNECT 3D000 SELEC 42601 SELECT 22012 SELECT 42P01"
want "told to psql" "$(sed -n 's/^ERROR:  //p' "$work/errors" | sort | xargs)" "22012 42601 42P01"
over_tls=$(jq -r 'select(.l7 == "tls") | .["flow.id"]' "$work/calls")
want "the hand-over" "$(jq -r --arg flow "$over_tls" 'select(.["flow.id"] == $flow) | "\(.number) \(.l7) \(.method) \(.end_reason)"' "$work/calls" | sort | xargs)" \
	"0 postgresql SSLREQUEST complete 1 tls TLS 1.3 complete"
want "who ran them" "$(of simple | jq -r '"\(.["src.comm"]) \(.["dst.comm"]) \(.user) \(.db)"' | sort -u)" "pgbench postgres tape postgres"
grep -q 's3cret\|zanzibar' "$work/calls" && fail "a password, or what TLS hides, in a row"
exit 0

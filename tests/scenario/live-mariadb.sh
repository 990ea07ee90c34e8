#!/usr/bin/env bash
# MariaDB, asked by mariadb, mariadb-slap and a client that prepares on the server: as many
# statements as they ran, rows, and errors with their number.
. "$(dirname "$0")/live-lib.bash"
for tool in mariadbd mariadb-install-db mariadb mariadb-slap setpriv; do
	command -v $tool >/dev/null || skip "needs $tool"
done
/usr/bin/perl -MDBD::mysql -e 1 2>/dev/null || skip "needs libdbd-mysql-perl"
need_bpf
make_namespaces

make_nobodys_dir db
"${as_nobody[@]}" mariadb-install-db --no-defaults --datadir="$server_dir/data" --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve \
	--innodb-log-file-size=4M --innodb-buffer-pool-size=8M >"$work/install.log" 2>&1 || skip "mariadb-install-db does not run here: $(tail -n 2 "$work/install.log")"
cat >"$server_dir/init.sql" <<'SQL'
CREATE DATABASE shop;
CREATE USER tape@'%' IDENTIFIED BY 's3cret';
GRANT ALL ON shop.* TO tape@'%';
SQL
start_far server "${as_nobody[@]}" mariadbd --no-defaults --datadir="$server_dir/data" --socket="$server_dir/sock" --pid-file="$server_dir/pid" \
	--bind-address="$far4" --port=3306 --skip-name-resolve --init-file="$server_dir/init.sql" --innodb-log-file-size=4M --innodb-buffer-pool-size=8M \
	--innodb-flush-log-at-trx-commit=0 >"$work/server.log" 2>&1
wait_for 30 listening far 3306 || skip "mariadbd does not run here: $(tail -n 2 "$work/server.log")"
start_record

at=(--no-defaults -h "$far4" -u tape --password=s3cret --skip-ssl)
sql() { in_near timeout 20 mariadb "${at[@]}" -BN "$@"; }
sql shop >"$work/rows" <<'SQL' || fail "mariadb"
CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(100), body MEDIUMTEXT);
INSERT INTO orders SELECT seq, CONCAT('order ', seq), REPEAT('x', 100) FROM seq_1_to_1000;
SELECT id, name, body FROM orders;
UPDATE orders SET name = 'new' WHERE id <= 70;
SQL
slap() { in_near timeout 60 mariadb-slap "${at[@]}" --create-schema=shop --no-drop --csv "$@" >>"$work/slap" 2>&1 || fail "mariadb-slap: $(tail -n 3 "$work/slap")"; }
slap --concurrency=3 --number-of-queries=150 --query='SELECT name FROM orders WHERE id = 17'
slap --concurrency=2 --number-of-queries=80 --delimiter=';' --query="INSERT INTO orders (id, name) VALUES (floor(rand() * 1e9) + 2000, 'slap') ON DUPLICATE KEY UPDATE name = 'again'; DELETE FROM orders WHERE id = 3"
cat >"$work/prepared.pl" <<'PL'
use DBI;
my $db = DBI->connect("DBI:mysql:database=shop;host=$ARGV[0];mysql_server_prepare=1", "tape", "s3cret", { RaiseError => 1, PrintError => 0 });
my $find = $db->prepare("SELECT id, name FROM orders WHERE id BETWEEN ? AND ?");
my $rows = 0;
for my $i (1 .. 60) {
    $find->execute(100, 99 + $i % 5);
    $rows += @{$find->fetchall_arrayref};
}
my $add = $db->prepare("INSERT INTO orders (id, name) VALUES (?, ?)");
my $twice = 0;
for my $i (1 .. 20) {
    eval { $add->execute(1900 + $i % 15, "prepared"); 1 } or $twice++;
}
print "$rows $twice\n";
PL
in_near timeout 30 /usr/bin/perl "$work/prepared.pl" "$far4" >"$work/prepared" || fail "perl"
for statement in 'SELECT * FROM nothing_there' 'SELEC 1' 'INSERT INTO orders (id) VALUES (10)'; do
	sql shop -e "$statement" 2>>"$work/errors" && fail "taken: $statement"
done
in_near mariadb "${at[@]}" --password=wrong -e 'SELECT 1' 2>>"$work/errors" && fail "a wrong password is taken"
sql nothing -e 'SELECT 1' 2>>"$work/errors" && fail "a database that is not there"
last_refused() { [ "$(calls_count 'l7 == mysql && method == CONNECT && status == 1044')" -ge 1 ]; }
wait_for 10 last_refused || fail "the last login is not on the tape"
stop_record

calls 'l7 == mysql' >"$work/calls"
# by COMMAND FILTER VALUE: the values of its calls, how often each
by() { jq -r --arg comm "$1" "select(.[\"src.comm\"] == \$comm and ($2)) | $3" "$work/calls" | sort | uniq -c | xargs; }
want "slap: selected" "$(by mariadb-slap '.method == "SELECT"' '"\(.rows) \(.status_class) \(.end_reason)"')" "150 1 ok complete"
want "slap: written" "$(by mariadb-slap '.method == "INSERT" or .method == "DELETE"' '"\(.method) \(.status_class) \(.end_reason)"')" \
	"40 DELETE ok complete 40 INSERT ok complete"
want "slap: one template" "$(by mariadb-slap '.method == "SELECT"' .target_template)" "150 SELECT name FROM orders WHERE id = ?"
# 1,000 rows have more packets than a packet's number can say.
want "rows read" "$(jq -r 'select(.target == "SELECT id, name, body FROM orders") | "\(.rows) \(.end_reason)"' "$work/calls")" "$(wc -l <"$work/rows") complete"
want "rows written" "$(by mariadb '.method == "UPDATE" or (.method == "INSERT" and .status == null)' '"\(.method) \(.rows)"')" "1 INSERT 1000 1 UPDATE 70"
prepared='.["src.comm"] == "perl" and .method != "PREPARE" and .method != "CLOSE" and .method != "RESET"'
want "prepared on the server" "$(by perl '.method == "PREPARE"' '"\(.target_template) \(.end_reason)"')" \
	"1 INSERT INTO orders (id, name) VALUES (?) complete 1 SELECT id, name FROM orders WHERE id BETWEEN ? AND ? complete"
want "run with values" "$(by perl '(.method == "SELECT" or .method == "INSERT") and .table == "orders"' .method)" "20 INSERT 60 SELECT"
want "their rows, their errors" "$(jq -s "map(select($prepared)) | \"\\(map(select(.method == \"SELECT\") | .rows) | add) \\(map(select(.status == 1062)) | length)\"" -r "$work/calls")" \
	"$(cat "$work/prepared")"
want "errors" "$(by mariadb '.status_class != "ok" and .method != "QUIT"' '"\(.method) \(.status) \(.status_text)"')" \
	"1 CONNECT 1044 42000 1 CONNECT 1045 28000 1 INSERT 1062 23000 1 SELEC 1064 42000 1 SELECT 1146 42S02"
want "told to mariadb" "$(sed -n 's/^ERROR \([0-9]*\) (\([0-9A-Z]*\)).*/\1 \2/p' "$work/errors" | sort | xargs)" "1044 42000 1045 28000 1062 23000 1064 42000 1146 42S02"
want "halves" "$(jq -r 'select(.end_reason != "complete" and .method != "QUIT" and .method != "CLOSE") | "\(.method) \(.end_reason)"' "$work/calls")" ""
grep -q s3cret "$work/calls" && fail "a password in a row"
exit 0

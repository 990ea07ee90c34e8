#!/usr/bin/env bash
# FreeRADIUS and radclient: what it counts as accepted and rejected, an accounting record, a secret that is wrong.
. "$(dirname "$0")/live-lib.bash"
for tool in freeradius radclient; do
	command -v $tool >/dev/null || skip "needs $tool"
done
need_bpf
make_namespaces

mkdir "$work/raddb" "$work/raddb/run"
cat >"$work/raddb/radiusd.conf" <<CONF
prefix = /usr
logdir = $work/raddb/run
run_dir = $work/raddb/run
db_dir = $work/raddb/run
libdir = /usr/lib/freeradius
pidfile = $work/raddb/run/pid
max_request_time = 5
cleanup_delay = 1
max_requests = 256
security {
	max_attributes = 200
	reject_delay = 0
	status_server = yes
}
proxy_requests = no
thread pool {
	start_servers = 1
	max_servers = 1
	min_spare_servers = 1
	max_spare_servers = 1
}
client near {
	ipaddr = $near4
	secret = s3cret
}
modules {
	pap {
	}
	always ok {
		rcode = ok
	}
}
server default {
	listen {
		type = auth
		ipaddr = $far4
		port = 1812
	}
	listen {
		type = acct
		ipaddr = $far4
		port = 1813
	}
	authorize {
		if (&User-Name == "ann") {
			update control {
				Cleartext-Password := "right"
			}
			update reply {
				Framed-IP-Address := 10.9.8.7
			}
		}
		pap
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
	}
	post-auth {
		Post-Auth-Type REJECT {
			update reply {
				Reply-Message := "no entry"
			}
		}
	}
	preacct {
		ok
	}
	accounting {
		ok
	}
}
CONF
start_far server freeradius -f -d "$work/raddb" -l stdout >"$work/server.log" 2>&1
wait_for 20 listening_udp far 1812 || skip "freeradius does not run here: $(tail -n 3 "$work/server.log")"
start_record

for i in $(seq 10); do
	printf 'User-Name = "ann"\nUser-Password = "right"\nNAS-Identifier = "test"\n\n'
done >"$work/good"
printf 'User-Name = "ann"\nUser-Password = "wrong"\n\n' >"$work/bad"
printf 'User-Name = "ann"\nAcct-Status-Type = Start\nAcct-Session-Id = "s1"\n\n' >"$work/start"
rad() { in_near timeout 20 radclient -r 2 -t 1 -f "$1" "$far4:$2" "$3" "$4" >"$work/said" 2>&1; }
rad "$work/good" 1812 auth s3cret || fail "radclient: $(cat "$work/said")"
rad "$work/bad" 1812 auth s3cret && fail "a wrong password was taken"
rad "$work/start" 1813 acct s3cret || fail "radclient: $(cat "$work/said")"
rad "$work/start" 1813 acct wr0ng && fail "a wrong secret was taken"
wait_for 10 eval '[ "$(calls_count "l7 == radius && status == 5")" -eq 1 ]' || fail "no record on the tape"
stop_record

of() { calls "l7 == radius && $1"; }
want "accepted" "$(of 'status_text == "Access-Accept" && user == ann && answers == "10.9.8.7"' | wc -l)" 10
want "rejected" "$(of 'status == 3' | jq -r '"\(.user) \(.status_class) \(.error)"')" "ann client_error no entry"
want "a record" "$(of 'status == 5' | jq -r '"\(.target) \(.key)"')" "Start s1"
want "a wrong secret" "$(of 'method == "Accounting-Request" && status == null' | jq -r '"\(.end_reason) \(.error)"')" "capture_end retries: 1"
id=$(of 'status == 2' | jq -r .id | head -n 1)
want "the password in full view" "$("$tapedeck" show call "$id" --data "$work/tape" | jq -r '.request.attributes[] | select(.name == "User-Password") | .value')" '(masked)'

#!/usr/bin/env bash
# slapd and its own clients: binds good and bad, searches, changes, and the same over StartTLS' refusal.
. "$(dirname "$0")/live-lib.bash"
for tool in slapd slapadd ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami; do
	command -v $tool >/dev/null || skip "needs $tool"
done
need_bpf
make_namespaces

mkdir "$work/db"
cat >"$work/slapd.conf" <<CONF
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_ldif
pidfile $work/slapd.pid
database ldif
suffix "dc=shop,dc=test"
rootdn "cn=admin,dc=shop,dc=test"
rootpw s3cret
directory $work/db
CONF
{
	printf 'dn: dc=shop,dc=test\nobjectClass: dcObject\nobjectClass: organization\ndc: shop\no: Shop\n\n'
	for i in $(seq 40); do
		printf 'dn: uid=u%d,dc=shop,dc=test\nobjectClass: inetOrgPerson\nuid: u%d\ncn: User %d\nsn: %d\n\n' "$i" "$i" "$i" "$i"
	done
} >"$work/init.ldif"
slapadd -f "$work/slapd.conf" -l "$work/init.ldif" >"$work/slapadd.log" 2>&1 || skip "slapadd does not run here: $(tail -n 1 "$work/slapadd.log")"
start_far server slapd -d 0 -f "$work/slapd.conf" -h "ldap://$far4:389/" >"$work/slapd.log" 2>&1
wait_for 20 listening far 389 || skip "slapd does not run here: $(tail -n 2 "$work/slapd.log")"
start_record

admin=(-x -H "ldap://$far4" -D cn=admin,dc=shop,dc=test -w s3cret)
ldap() { in_near timeout 20 env LDAPNOINIT=1 "$@"; }
found=0
for i in $(seq 10); do
	n=$(ldap ldapsearch -LLL "${admin[@]}" -b dc=shop,dc=test "(uid=u$i*)" dn | grep -c ^dn:)
	found=$((found + n))
done
ldap ldapsearch -LLL "${admin[@]}" -b dc=none,dc=test >/dev/null 2>&1 && fail "a search where nothing is"
ldap ldapwhoami -x -H "ldap://$far4" -D cn=admin,dc=shop,dc=test -w wrong >/dev/null 2>&1 && fail "a wrong password was taken"
printf 'dn: uid=new,dc=shop,dc=test\nobjectClass: inetOrgPerson\nuid: new\ncn: New\nsn: New\n' | ldap ldapadd "${admin[@]}" >/dev/null || fail "ldapadd"
printf 'dn: uid=new,dc=shop,dc=test\nchangetype: modify\nreplace: sn\nsn: Newer\n' | ldap ldapmodify "${admin[@]}" >/dev/null || fail "ldapmodify"
ldap ldapdelete "${admin[@]}" uid=new,dc=shop,dc=test || fail "ldapdelete"
ldap ldapwhoami -Z "${admin[@]}" >/dev/null 2>&1	# StartTLS, which this server has no key for
wait_for 10 eval '[ "$(calls_count "l7 == ldap && method == unbind")" -ge 15 ]' || fail "no connections on the tape"
stop_record

of() { calls "l7 == ldap && $1"; }
want "searches" "$(of 'method == search && status == 0' | wc -l)" 10
want "entries" "$(of 'method == search' | jq -s 'map(.rows // 0) | add')" "$found"
want "one template for all of them" "$(of 'method == search && status == 0' | jq -r .target_template | sort -u)" "dc=shop,dc=test?sub?(uid=?*)"
want "who searched" "$(of 'method == search' | jq -r .user | sort -u)" cn=admin,dc=shop,dc=test
want "nothing there" "$(of 'target == "dc=none,dc=test"' | jq -r '"\(.status) \(.status_text) \(.status_class)"')" "32 noSuchObject client_error"
want "a wrong password" "$(of 'method == bind && status == 49' | jq -r '"\(.user) \(.status_text)"')" "cn=admin,dc=shop,dc=test invalidCredentials"
want "changes" "$(of 'method == add || method == modify || method == delete' | jq -r '"\(.method) \(.target) \(.status)"' | sort | xargs)" \
	"add uid=new,dc=shop,dc=test 0 delete uid=new,dc=shop,dc=test 0 modify uid=new,dc=shop,dc=test 0"
want "StartTLS refused" "$(of 'target == "1.3.6.1.4.1.1466.20037"' | jq -r '"\(.method) \(.status_class)"')" "extended client_error"
"$tapedeck" query calls --data "$work/tape" -o ndjson -n 10000 | grep -q s3cret && fail "a password in a row"
id=$(of 'method == bind && status == 0' | jq -r .id | head -n 1)
want "the password in full view" "$("$tapedeck" show call "$id" --data "$work/tape" | jq -r '.. | .password? // empty')" '(masked)'

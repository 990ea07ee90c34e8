#!/usr/bin/env bash
# OpenSSH at both ends: what the client says was agreed on is what the tape shows, and so
# is what both sides call themselves; a client that has nothing in common is shown refused.
. "$(dirname "$0")/live-lib.bash"
for tool in sshd ssh ssh-keygen unshare; do
	command -v $tool >/dev/null || skip "needs $tool"
done
need_bpf
make_namespaces

ssh-keygen -q -t ed25519 -N '' -f "$work/host" && ssh-keygen -q -t ed25519 -N '' -f "$work/user" || fail "no keys"
ssh-keygen -q -t ecdsa -N '' -f "$work/host2"
cp "$work/user.pub" "$work/authorized"
cat >"$work/sshd.conf" <<CONF
ListenAddress $far4:2222
HostKey $work/host
HostKey $work/host2
AuthorizedKeysFile $work/authorized
StrictModes no
UsePAM no
PidFile none
Banner none
PrintMotd no
CONF
# sshd wants /run/sshd: a /run of its own.
start_far server unshare -m sh -c 'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec "$0" -D -e -f "$1"' \
	"$(command -v sshd)" "$work/sshd.conf" 2>"$work/sshd.log"
wait_for 10 listening far 2222 || skip "sshd does not run here: $(cat "$work/sshd.log")"
start_record

session() { # name, options: what the client says
	local name=$1
	shift
	in_near ssh -v -F none -p 2222 -i "$work/user" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
		"$@" "root@$far4" 'echo here' >"$work/$name.out" 2>"$work/$name.log"
}
session one || fail "ssh: $(cat "$work/one.log")"
session two -o KexAlgorithms=diffie-hellman-group14-sha256 -o HostKeyAlgorithms=ecdsa-sha2-nistp256 -c aes128-ctr -m hmac-sha2-256 ||
	fail "ssh: $(cat "$work/two.log")"
session three -o Ciphers=3des-cbc && fail "the server speaks 3DES"
want "what ran" "$(cat "$work/one.out" "$work/two.out" | xargs)" "here here"
all_there() { [ "$(calls_count 'l7 == ssh')" -eq 3 ]; }
wait_for 20 all_there || fail "handshakes: $(calls 'l7 == ssh')"
stop_record

# "debug1: kex: client->server cipher: aes128-ctr MAC: hmac-sha2-256 compression: none"
agreed() {
	sed -n 's/^debug1: kex: algorithm: //p; s/^debug1: kex: host key algorithm: //p' "$work/$1.log" | tr -d '\r'
	sed -n 's/^debug1: kex: client->server cipher: \([^ ]*\) MAC: \([^ ]*\) .*/\1 \2/p' "$work/$1.log" | sed 's/<implicit>/implicit/; s/ /\n/'
}
at() { calls "l7 == ssh" | jq -s -r "sort_by(.start_ns)[$1] | $2"; }
for n in 0 1; do
	name=$([ $n -eq 0 ] && echo one || echo two)
	want "$name: agreed" "$(at $n .answers)" "$(agreed $name | paste -sd, | sed 's/,/, /g')"
	want "$name: end" "$(at $n '"\(.method) \(.end_reason) \(.status_class) \(.version)"')" "handshake complete ok 2.0"
done
software() { sed -n "s/^debug1: $1 software version \(.*\)/\1/p; s/^debug1: $1 version string SSH-2.0-\(.*\)/\1/p" "$work/one.log" | tr -d '\r'; }
want "the client" "$(at 0 .user_agent)" "$(software Local | head -n 1)"
remote=$(sed -n 's/.*remote software version \(.*\)/\1/p' "$work/one.log" | tr -d '\r')
want "the server" "$(at 0 .status_text)" "$remote"
want "refused" "$(at 2 '"\(.status_class) \(.error | test("no cipher_client_to_server in common"))"')" "client_error true"
want "fingerprints" "$("$tapedeck" show call "$(at 0 .id)" --data "$work/tape" | jq -r '.. | .hassh?, .hassh_server? | strings' |
	grep -cE '^[0-9a-f]{32}$')" 2

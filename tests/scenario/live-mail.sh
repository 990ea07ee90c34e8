#!/usr/bin/env bash
# Mail and files: aiosmtpd, Dovecot (IMAP, POP3) and pyftpdlib, asked by curl. The commands
# curl says it sent are the calls on the tape, in that order, with the sizes of what was
# moved; behind STARTTLS the tape has a handshake; no password is in any row.
. "$(dirname "$0")/live-lib.bash"
for tool in curl dovecot openssl; do
	command -v $tool >/dev/null || skip "needs $tool"
done
# Debian's modules belong to Debian's Python.
python=/usr/bin/python3
$python -c 'import aiosmtpd, pyftpdlib' 2>/dev/null || skip "needs aiosmtpd and pyftpdlib"
need_bpf
make_namespaces

chmod 755 "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=mail.test -keyout "$work/key" \
	-out "$work/cert" 2>/dev/null || fail "no certificate"
cat >"$work/smtp.py" <<'PY'
import ssl, sys, time
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"
    async def handle_DATA(self, server, session, envelope):
        print("mail", len(envelope.original_content), flush=True)
        return "250 2.0.0 taken"
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(sys.argv[2] + "/cert", sys.argv[2] + "/key")
Controller(Handler(), hostname=sys.argv[1], port=2525, tls_context=context, auth_require_tls=False, server_hostname="mail.test",
           authenticator=lambda server, session, envelope, mechanism, data: AuthResult(success=data.password == b"s3cret")).start()
time.sleep(1000)
PY
cat >"$work/ftp.py" <<'PY'
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
authorizer = DummyAuthorizer()
authorizer.add_user("tape", "s3cret", sys.argv[2], perm="elradfmw")
FTPHandler.authorizer = authorizer
FTPServer((sys.argv[1], 2121), FTPHandler).serve_forever()
PY
cat >"$work/dovecot.conf" <<CONF
base_dir = $work/run
log_path = $work/dovecot.log
protocols = imap pop3
listen = $far4
ssl = yes
ssl_cert = <$work/cert
ssl_key = <$work/key
disable_plaintext_auth = no
mail_location = maildir:$work/mail
first_valid_uid = 1
passdb {
  driver = static
  args = password=s3cret
}
userdb {
  driver = static
  args = uid=$(id -u nobody) gid=$(id -g nobody) home=$work/home
}
CONF
mkdir -p "$work/mail/cur" "$work/mail/new" "$work/mail/tmp" "$work/home" "$work/files" "$work/run"
seq -f 'line %g of a message' 1 400 | sed 's/$/\r/' >"$work/body"
{ printf 'From: a@x.test\r\nTo: b@y.test\r\nSubject: one\r\n\r\n'; cat "$work/body"; } >"$work/message"
cp "$work/message" "$work/mail/new/1.one.test"
cp "$work/message" "$work/files/17.txt"
chown -R nobody "$work/mail" "$work/home"
start_far smtp $python "$work/smtp.py" "$far4" "$work" >"$work/smtp.out" 2>&1
start_far ftp $python "$work/ftp.py" "$far4" "$work/files" >"$work/ftp.out" 2>&1
start_far dovecot dovecot -F -c "$work/dovecot.conf" 2>"$work/dovecot.err"
wait_for 10 listening far 2525 || skip "aiosmtpd does not run here: $(cat "$work/smtp.out")"
wait_for 10 listening far 2121 || skip "pyftpdlib does not run here: $(cat "$work/ftp.out")"
wait_for 10 listening far 143 || skip "dovecot does not run here: $(cat "$work/dovecot.err" "$work/dovecot.log")"
start_record

get() { # name, arguments: curl, with what it said to the server
	local name=$1
	shift
	in_near curl -sv "$@" >"$work/$name.got" 2>"$work/$name.log"
}
mail=(--mail-from a@x.test --mail-rcpt b@y.test --upload-file "$work/message")
get smtp "smtp://$far4:2525/me.test" -u tape:s3cret --login-options AUTH=PLAIN "${mail[@]}" || fail "smtp: $(cat "$work/smtp.log")"
get smtps "smtp://$far4:2525/me.test" --ssl-reqd -k "${mail[@]}" || fail "smtp with TLS: $(cat "$work/smtps.log")"
get none "smtp://$far4:2525/me.test" --mail-from a@x.test --mail-rcpt nobody@y.test --upload-file "$work/message" &&
	fail "mail for nobody is taken"
get imap "imap://$far4/INBOX;UID=1" -u tape:s3cret || fail "imap: $(cat "$work/imap.log" "$work/dovecot.log")"
get append "imap://$far4/INBOX" -u tape:s3cret -T "$work/message" || fail "imap append: $(cat "$work/append.log")"
get imaps "imap://$far4/" --ssl-reqd -k -u tape:s3cret || fail "imap with TLS: $(cat "$work/imaps.log")"
get pop3 "pop3://$far4/1" -u tape:s3cret || fail "pop3: $(cat "$work/pop3.log")"
get wrong "pop3://$far4/" -u tape:not --login-options AUTH=PLAIN && fail "a wrong password is taken"
get ftp "ftp://$far4:2121/17.txt" -u tape:s3cret || fail "ftp: $(cat "$work/ftp.log")"
get list "ftp://$far4:2121/" -u tape:s3cret --ftp-port - || fail "ftp: $(cat "$work/list.log")"
for got in imap.got pop3.got ftp.got; do
	cmp -s "$work/$got" "$work/message" || fail "$got is not what was stored"
done
closed() { [ "$(calls_count 'l7 == ftp && method == QUIT')" -eq 2 ] && [ "$(calls_count 'l7 == tls')" -eq 2 ]; }
wait_for 20 closed || fail "calls: $(calls 'true' | jq -c '[.l7, .method, .end_reason]')"
stop_record

of() { calls "l7 == $1 && src.ip == $near4" | jq -s -r "sort_by(.start_ns)[] | select(.method != \"GREETING\") | $2"; }
# What curl says it sent: "> MAIL FROM:<...>", up to STARTTLS; it does not tell of its farewell.
said() { sed -n 's/^> //p' "$work/$1.log" | tr -d '\r' | sed '/STARTTLS/q'; }
methods() { of "$1" .method | grep -vxE 'QUIT|LOGOUT' | xargs; }
want "SMTP commands" "$(methods smtp)" "$(for log in smtp smtps none; do said $log; done | cut -d' ' -f1 | grep -xE '[A-Z]{4,8}' | grep -vx QUIT | xargs)"
size=$(stat -c %s "$work/message")
want "mail taken" "$(grep ^mail "$work/smtp.out" | sort | uniq -c | xargs)" "2 mail $size"
want "mail seen" "$(of smtp 'select(.method == "DATA") | "\(.status) \(.req_body_bytes) \(.user) \(.host)"')" "250 $size tape mail.test"
want "refused" "$(of smtp 'select(.status_class == "client_error") | "\(.method) \(.target) \(.status) \(.error)"')" \
	"RCPT nobody@y.test 550 5.1.1 no such mailbox"
want "capabilities" "$(of smtp 'select(.method == "EHLO") | .answers | contains("STARTTLS")' | sort | uniq -c | xargs)" "3 true"

want "IMAP commands" "$(methods imap)" \
	"$(for log in imap append imaps; do said $log; done | grep -v LOGOUT |
		sed -nE 's/^[A-Z][0-9]{3} (UID [A-Z]+|[A-Z]+).*/\1/p' | xargs)"
want "fetched" "$(of imap 'select(.method == "UID FETCH") | "\(.rsp_body_bytes) \(.collection) \(.user)"')" "$size INBOX tape"
want "appended" "$(of imap 'select(.method == "APPEND") | "\(.req_body_bytes) \(.target) \(.end_reason)"')" "$size INBOX complete"
want "POP3 retrieved" "$(of pop3 'select(.method == "RETR") | "\(.rsp_body_bytes) \(.target) \(.user)"')" "$size 1 tape"
want "POP3 refused" "$(of pop3 'select(.status_class == "client_error") | .method')" "AUTH"
want "FTP commands" "$(methods ftp)" "$(for log in ftp list; do said $log; done | cut -d' ' -f1 | grep -vx QUIT | xargs)"
want "FTP file" "$(of ftp 'select(.method == "RETR") | "\(.target) \(.target_template) \(.status) \(.user)"')" "17.txt {id}.txt 226 tape"
port=$(of ftp 'select(.method == "EPSV") | .answers' | grep -oE '[0-9]+$')
want "data connections by their control connection" "$("$tapedeck" query flows --data "$work/tape" -o ndjson \
	--filter "dst.ip == $far4 && dst.port == $port && view == first" | jq -s 'map(.rx_goodput_bytes) | max')" "$size"
want "handshakes behind STARTTLS" "$(calls 'l7 == tls' | jq -r '"\(.end_reason) \(.dst.port // ."dst.port")"' | sort | xargs)" "complete 143 complete 2525"
"$tapedeck" query calls --data "$work/tape" -o ndjson -n 10000 | grep -qE "s3cret|$(printf '\0tape\0s3cret' | base64)" && fail "a password in a row"
for call in $(calls 'l7 in [smtp, imap, pop3, ftp]' | jq -r .id); do
	"$tapedeck" show call "$call" --data "$work/tape"
done >"$work/shown"
grep -qE "s3cret|$(printf '\0tape\0s3cret' | base64)" "$work/shown" && fail "a password in a detail"
grep -q '"subject"\|"Subject"' "$work/shown" || fail "no message is shown"
exit 0

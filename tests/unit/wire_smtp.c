#include "base/json.h"
#include "tests/calls_truth.h"

#define STEPS_MAX 24

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "a mail", {
		TALK('<', "220 mx.example.com ESMTP\r\n"), TALK('>', "EHLO me\r\n"),
		TALK('<', "250-mx.example.com\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"),
		TALK('>', "MAIL FROM:<a1@x.org> SIZE=20\r\n"), TALK('<', "250 2.1.0 Ok\r\n"),
		TALK('>', "RCPT TO:<b@y.org>\r\n"), TALK('<', "550 5.1.1 No such user\r\n"),
		TALK('>', "rcpt to: c@y.org\r\n"), TALK('<', "250 2.1.5 Ok\r\n"), TALK('>', "DATA\r\n"),
		TALK('<', "354 go on\r\n"), TALK('>', "Subject: x\r\n\r\n.\r.\n..dot\r\n.\r\n"), TALK('<', "250 2.0.0 queued\r\n"),
		TALK('>', "QUIT\r\n"), TALK('<', "221 bye\r\n"), TALK('f', ""), TALK('F', ""),
	}, "GREETING - 220 oneway rsp=0+26\n"
	   "EHLO me 250 complete req=0+9 rsp=26+49 answers=SIZE 1000,STARTTLS\n"
	   "MAIL a1@x.org 250 complete req=9+30 rsp=75+14\n"
	   "RCPT b@y.org 550 complete req=39+19 rsp=89+24 error=5.1.1 No such user\n"
	   "RCPT c@y.org 250 complete req=58+18 rsp=113+14\n"
	   "DATA - 250 complete req=76+34 rsp=127+29\n"
	   "QUIT - 221 complete req=110+6 rsp=156+9\n", false },
	{ "pipelined, with a message that waits for nobody", {
		TALK('<', "220 mx ESMTP\r\n"), TALK('>', "EHLO me\r\n"), TALK('<', "250 mx\r\n"),
		TALK('>', "MAIL FROM:<>\r\nRCPT TO:<b@y>\r\nDATA\r\nMAIL FROM: text\r\n.\r\nNOOP\r\n"),
		TALK('<', "250 a\r\n250 b\r\n354 c\r\n250 d\r\n250 e\r\n"),
	}, "GREETING - 220 oneway rsp=0+14\n"
	   "EHLO me 250 complete req=0+9 rsp=14+8\n"
	   "MAIL <> 250 complete req=9+14 rsp=22+7\n"
	   "RCPT b@y 250 complete req=23+15 rsp=29+7\n"
	   "DATA - 250 complete req=38+26 rsp=36+14\n"
	   "NOOP - 250 complete req=64+6 rsp=50+7\n", false },
	{ "DATA refused", {
		TALK('<', "220 mx ESMTP\r\n"), TALK('>', "HELO me\r\n"), TALK('<', "250 mx\r\n"), TALK('>', "DATA\r\n"),
		TALK('<', "503 5.5.1 MAIL first\r\n"), TALK('>', "MAIL FROM:<a@b>\r\n"), TALK('<', "451 later\r\n"),
	}, "GREETING - 220 oneway rsp=0+14\n"
	   "HELO me 250 complete req=0+9 rsp=14+8\n"
	   "DATA - 503 complete req=9+6 rsp=22+22 error=5.5.1 MAIL first\n"
	   "MAIL a@b 451 complete req=15+17 rsp=44+11 error=later\n", false },
	{ "chunks", {
		TALK('<', "220 mx ESMTP\r\n"), TALK('>', "EHLO me\r\n"), TALK('<', "250 mx\r\n"),
		TALK('>', "MAIL FROM:<a@b> BODY=BINARYMIME\r\nBDAT 5\r\n.\r\n.\rBDAT 0\r\nBDAT 3 LAST\r\nxyzQUIT\r\n"),
		TALK('<', "250 a\r\n250 b\r\n250 c\r\n250 d\r\n221 e\r\n"),
	}, "GREETING - 220 oneway rsp=0+14\n"
	   "EHLO me 250 complete req=0+9 rsp=14+8\n"
	   "MAIL a@b 250 complete req=9+33 rsp=22+7\n"
	   "BDAT - 250 complete req=42+13 rsp=29+7\n"
	   "BDAT - 250 complete req=55+8 rsp=36+7\n"
	   "BDAT - 250 complete req=63+16 rsp=43+7\n"
	   "QUIT - 221 complete req=79+6 rsp=50+7\n", false },
	{ "logins", {
		TALK('<', "220 mx ESMTP\r\n"), TALK('>', "EHLO me\r\n"), TALK('<', "250 mx\r\n"), TALK('>', "AUTH LOGIN\r\n"),
		TALK('<', "334 VXNlcm5hbWU6\r\n"), TALK('>', "Ym9i\r\n"), TALK('<', "334 UGFzc3dvcmQ6\r\n"), TALK('>', "c2VjcmV0\r\n"),
		TALK('<', "535 5.7.8 wrong\r\n"), TALK('>', "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n"), TALK('<', "235 ok\r\n"),
		TALK('>', "NOOP\r\n"), TALK('<', "250 ok\r\n"),
	}, "GREETING - 220 oneway rsp=0+14\n"
	   "EHLO me 250 complete req=0+9 rsp=14+8\n"
	   "AUTH LOGIN 535 complete req=9+28 rsp=22+53 error=5.7.8 wrong\n"
	   "AUTH PLAIN 235 complete req=37+29 rsp=75+8\n"
	   "NOOP - 250 complete req=66+6 rsp=83+8\n", false },
	{ "lines that end with LF alone; a dot before one is no end elsewhere", {
		TALK('<', "220 mx ESMTP\n"), TALK('>', "HELO me\n"), TALK('<', "250 mx\n"), TALK('>', "DATA\n"), TALK('<', "354 go\n"),
		TALK('>', "a\n.\n"), TALK('<', "250 ok\n"), TALK('>', "DATA\r\n"), TALK('<', "354 go\n"),
		TALK('>', "b\n.\nQUIT\r\n.\r\n"), TALK('<', "250 ok\n"),
	}, "GREETING - 220 oneway rsp=0+13\n"
	   "HELO me 250 complete req=0+8 rsp=13+7\n"
	   "DATA - 250 complete req=8+9 rsp=20+14\n"
	   "DATA - 250 complete req=17+19 rsp=34+14\n", false },
	{ "LMTP: a reply for each recipient", {
		TALK('<', "220 mx LMTP\r\n"), TALK('>', "LHLO me\r\n"), TALK('<', "250 mx\r\n"),
		TALK('>', "MAIL FROM:<a@b>\r\nRCPT TO:<1@c>\r\nRCPT TO:<2@c>\r\nRCPT TO:<3@c>\r\nDATA\r\n"),
		TALK('<', "250 a\r\n250 b\r\n550 c\r\n250 d\r\n354 e\r\n"), TALK('>', "hi\r\n.\r\nQUIT\r\n"),
		TALK('<', "250 ok\r\n452 full\r\n221 bye\r\n"),
	}, "GREETING - 220 oneway rsp=0+13\n"
	   "LHLO me 250 complete req=0+9 rsp=13+8\n"
	   "MAIL a@b 250 complete req=9+17 rsp=21+7\n"
	   "RCPT 1@c 250 complete req=26+15 rsp=28+7\n"
	   "RCPT 2@c 550 complete req=41+15 rsp=35+7 error=c\n"
	   "RCPT 3@c 250 complete req=56+15 rsp=42+7\n"
	   "DATA - 452 complete req=71+13 rsp=49+25 error=full\n"
	   "QUIT - 221 complete req=84+6 rsp=74+9\n", false },
	{ "STARTTLS refused", {
		TALK('<', "220 mx ESMTP\r\n"), TALK('>', "EHLO me\r\n"), TALK('<', "250 mx\r\n"), TALK('>', "STARTTLS\r\n"),
		TALK('<', "454 4.7.0 no\r\n"), TALK('>', "NOOP\r\n"), TALK('<', "250 ok\r\n"), TALK('<', "421 idle\r\n"),
	}, "GREETING - 220 oneway rsp=0+14\n"
	   "EHLO me 250 complete req=0+9 rsp=14+8\n"
	   "STARTTLS - 454 complete req=9+10 rsp=22+14 error=4.7.0 no\n"
	   "NOOP - 250 complete req=19+6 rsp=36+8\n"
	   "CLOSING - 421 oneway rsp=44+10 error=idle\n", false },
	{ "a hole in the message, and one in the answers", {
		TALK('<', "220 mx ESMTP\r\n"), TALK('>', "EHLO me\r\n"), TALK('<', "250 mx\r\n"), TALK('>', "DATA\r\n"),
		TALK('<', "354 go\r\n"), TALK('>', "first\r\n"), TALK('X', "second\r\n.\r\n"), TALK('<', "250 ok\r\n"),
		TALK('>', "MAIL FROM:<a@b>\r\n"), TALK('x', "250 ok\r\n"), TALK('>', "RCPT TO:<c@d>\r\n"), TALK('<', "250 ok\r\n"),
		TALK('>', "NOOP\r\n"), TALK('<', "250 ok\r\n"), TALK('f', ""), TALK('F', ""),
	}, "GREETING - 220 oneway rsp=0+14\n"
	   "EHLO me 250 complete req=0+9 rsp=14+8\n"
	   "DATA - 250 gap req=9+13 rsp=22+16\n"
	   "MAIL a@b - gap req=33+17 missing=8\n"
	   "RCPT c@d - gap req=50+15\n"
	   "- - 250 no_request rsp=46+8\n"
	   "NOOP - 250 complete req=65+6 rsp=54+8\n", true },
	{ "seen from the middle of a login", {
		TALK('<', "250-mx ESMTP SMTP \r\n250 AUTH\r\n"), TALK('<', "334 VXNlcm5hbWU6\r\n"), TALK('>', "c2VjcmV0\r\n"), TALK('<', "235 ok\r\n"),
		TALK('>', "MAIL FROM:<a@b>\r\n"), TALK('<', "250 ok\r\n"),
	}, "GREETING - 250 oneway rsp=0+30\n"
	   "- - 334 no_request rsp=30+18\n"
	   "- - 235 no_request rsp=48+8\n"
	   "MAIL a@b 250 complete req=10+17 rsp=56+8\n", false },
	{ "codes of no RFC, and a number that is none", {
		TALK('<', "220 mx ESMTP\r\n"), TALK('>', "EHLO me\r\n"), TALK('<', "250 mx\r\n"), TALK('>', "MAIL FROM:<a@b>\r\n"),
		TALK('<', "472 b DNS A-record is empty\r\n472\r\n"), TALK('>', "RCPT TO:<b@y>\r\n"), TALK('<', "599-no\r\n599 never\r\n"),
	}, "GREETING - 220 oneway rsp=0+14\n"
	   "EHLO me 250 complete req=0+9 rsp=14+8\n"
	   "MAIL a@b 472 complete req=9+17 rsp=22+29 error=b DNS A-record is empty\n"
	   "RCPT b@y 599 complete req=26+15 rsp=56+19 error=never\n", false },
};

TEST(smtp, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, 25);
		if (!d->uncut)
			talk_cut(25, d->step, STEPS_MAX, d->calls);
	}
}

TEST(smtp, fills_the_columns)
{
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 4999, dialogues[0].step, STEPS_MAX);
	CHECK_U64(kit.count, 7);
	CHECK_VIEW(kit.call[2].row.target_template, "{id}@x.org");
	CHECK_VIEW(kit.call[2].row.host, "mx.example.com");
	CHECK_VIEW(kit.call[2].row.version, "ESMTP");
	CHECK_VIEW(kit.call[2].row.status_text, "2.1.0 Ok");
	CHECK_U64(kit.call[3].row.status_class, CLASS_client_error);
	CHECK_U64(kit.call[5].row.req_body_bytes, 25);
	CHECK_U64(kit.call[5].row.ttfb_ns, 1000000);
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 25, dialogues[2].step, STEPS_MAX);
	CHECK_U64(kit.call[3].row.status_class, CLASS_server_error);
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 25, dialogues[4].step, STEPS_MAX);
	CHECK_VIEW(kit.call[2].row.user, "bob");
	CHECK_VIEW(kit.call[3].row.user, "ann");
	CHECK_VIEW(kit.call[4].row.user, "ann");
	kit_release(&kit);
}

/* Whatever stands in a row: not the password, in clear or in base64. */
TEST(smtp, keeps_secrets_out_of_rows)
{
	static const struct talk_step steps[][6] = {
		{ TALK('<', "220 mx ESMTP\r\n"), TALK('>', "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n"), TALK('<', "235 ok\r\n") },
		{ TALK('<', "220 mx ESMTP\r\n"), TALK('>', "AUTH LOGIN AQ==\r\n"), TALK('<', "334 x\r\n"), TALK('>', "c2VjcmV0\r\n"),
		  TALK('<', "235 ok\r\n") },
		{ TALK('<', "220 mx ESMTP\r\n"), TALK('>', "EHLO x\r\n"), TALK('<', "250 x\r\n"), TALK('>', "c2VjcmV0\r\n"),
		  TALK('<', "500 ?\r\n") },
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		talk_run(&kit, 25, steps[i], 6);
		CHECK_GE(kit.count, 2);
		CHECK(view_find(wr_view(&kit.texts), VIEW_LIT("secret")) < 0, "steps %zu", i);
		CHECK(view_find(wr_view(&kit.texts), VIEW_LIT("Y3JldA")) < 0, "steps %zu", i);
		CHECK(view_find(wr_view(&kit.texts), VIEW_LIT("c2VjcmV0")) < 0, "steps %zu", i);
		kit_release(&kit);
	}
}

TEST(smtp, shows_calls_in_full)
{
	static const struct {
		const char *request, *response, *json;
	} cases[] = {
		{ "RCPT TO:<a@b>\r\n", "550-5.1.1 no\r\n550 5.1.1 such user\r\n",
		  "{\"request\":{\"command\":\"RCPT\",\"argument\":\"TO:<a@b>\"},\"response\":{\"replies\":[{\"code\":550,"
		  "\"enhanced\":\"5.1.1\",\"lines\":[\"5.1.1 no\",\"5.1.1 such user\"]}]}}" },
		{ "DATA\r\nTo: x\r\nA:  b\r\n c\r\n\r\nhello\r\n.\r\n", "354 go\r\n250 2.0.0 Ok\r\n",
		  "{\"request\":{\"command\":\"DATA\",\"bytes\":27,\"headers\":[{\"name\":\"To\",\"value\":\"x\"},{\"name\":\"A\","
		  "\"value\":\"b\\r\\n c\"}],\"body\":\"hello\\r\\n\"},\"response\":{\"replies\":[{\"code\":354,\"lines\":[\"go\"]},"
		  "{\"code\":250,\"enhanced\":\"2.0.0\",\"lines\":[\"2.0.0 Ok\"]}]}}" },
		{ "AUTH LOGIN\r\nYQ==\r\nYg==\r\n", "",
		  "{\"request\":{\"command\":\"AUTH\",\"mechanism\":\"LOGIN\",\"responses\":[\"(masked)\",\"(masked)\"]}}" },
		{ "AUTH PLAIN AGEAYg==\r\n", "",
		  "{\"request\":{\"command\":\"AUTH\",\"mechanism\":\"PLAIN\",\"responses\":[\"(masked)\"]}}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json json;
		struct wr out;

		wr_init(&out, 0);
		json_init(&json, &out, false);
		json_object(&json);
		CHECK_U64((uint64_t)proto_by_id(L7_smtp)->detail(view_str(cases[i].request), view_str(cases[i].response), 1000, &json), 0);
		json_object_end(&json);
		wr_u8(&out, 0);
		CHECK_STR((const char *)out.at, cases[i].json);
		wr_release(&out);
	}
}

TEST(smtp, is_not_seen_in_what_is_none)
{
	static const char *const others[] = { "220 ftp.example.com FTP server ready\r\n", "+OK ready\r\n", "* OK IMAP4 ready\r\n",
					      "250 ok\r\n", "220", "DATA\r\n", "EHLOX\r\n", "HTTP/1.1 220 ok\r\n\r\n" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_send(&kit, 1, others[i]);
		kit_send(&kit, 0, others[i]);
		CHECK(stream_l7(kit.stream) != L7_smtp, "%s", others[i]);
		kit_release(&kit);
	}
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char commands[256], arg[1024] = "", *save = commands, *one, *at = arg;

	if (!truth_field(line, "cmd", commands, sizeof(commands)))
		return;
	(void)truth_field(line, "arg", arg, sizeof(arg));
	while ((one = strsep(&save, ","))) {
		char *from = NULL;

		if (strcmp(one, "MAIL") == 0 || strcmp(one, "RCPT") == 0)
			from = strchr(at, '<');
		if (from)
			at = from + 1;
		truth_key(keys, "%s %.*s", one, from ? (int)strcspn(at, ">") : 0, from ? at : "");
	}
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	bool address = view_is(row->method, "MAIL") || view_is(row->method, "RCPT");

	if (call->has_req)
		truth_key(keys, "%.4s %.*s", (const char *)row->method.at, address ? (int)row->target.len : 0,
			  address ? (const char *)row->target.at : "");
}

TEST(smtp_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "rfc3030-bdat-multipart.pcap", "smtp-bdat-pipeline-8bitmime.pcap", "smtp-data-250.pcap",
					     "smtp-pipelining.pcap", "smtp.pcap", "smtperr.pcap", NULL };
	const struct truth_test test = { .folder = "smtp", .proto = "smtp", .l7 = L7_smtp, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	/* the extra ones are pipelined commands that tshark takes for message text (README.md of the captures) */
	CHECK_GE(score.expected, 33);
	CHECK_GE(score.found, 33);
	CHECK_LE(score.extra, 9);
}

/* STARTTLS: what follows is a TLS call of the same flow. */
TEST(smtp_truth, tls_begins_behind_starttls)
{
	char path[512];
	struct kit kit;

	(void)snprintf(path, sizeof(path), "%s/tls/smtp-starttls.pcap", check_need_captures());
	kit_init(&kit, NULL);
	CHECK(kit_run_file(&kit, path), "%s", path);
	CHECK_U64(kit.count, 4);
	CHECK_VIEW(kit.call[2].row.method, "STARTTLS");
	CHECK_U64(kit.call[2].row.end_reason, CALL_END_complete);
	CHECK_VIEW(kit.call[2].row.host, "mx.google.com");
	CHECK_U64(kit.call[3].row.l7, L7_tls);
	CHECK_VIEW(kit.call[3].row.method, "TLS 1.2");
	CHECK_U64(kit.call[3].row.end_reason, CALL_END_complete);
	kit_release(&kit);
}

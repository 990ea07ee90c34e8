#include "base/json.h"
#include "tests/calls_truth.h"
#include "wire/imap_msg.h"

#define STEPS_MAX 22

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "mail is read", {
		TALK('<', "* OK [CAPABILITY IMAP4rev1] ready\r\n"), TALK('>', "a1 LOGIN \"a\\\"n n\" secret\r\n"), TALK('<', "a1 OK in\r\n"),
		TALK('>', "a2 select \"INBOX\"\r\n"),
		TALK('<', "* 3 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 3] {9}\r\na2 OK [READ-WRITE] done\r\n"),
		TALK('>', "a3 uid fetch 17:19 (FLAGS BODY[])\r\n"),
		TALK('<', "* 1 FETCH (UID 17 BODY[] {10}\r\na2 OK no\r\n FLAGS {3}\r\nxyz)\r\n* 2 FETCH (UID 18)\r\na3 OK done\r\n"),
		TALK('>', "a4 STATUS x (MESSAGES)\r\na5 NOOP\r\n"), TALK('<', "a5 OK done\r\na4 NO [NONEXISTENT] no x\r\n"),
		TALK('<', "* 4 EXISTS\r\n"), TALK('>', "a6 FOO\r\n"), TALK('<', "a6 BAD what\r\n"), TALK('>', "a7 LOGOUT\r\n"),
		TALK('<', "* BYE bye\r\na7 OK done\r\n"), TALK('f', ""), TALK('F', ""),
	}, "GREETING - - oneway rsp=0+35\n"
	   "LOGIN - - complete req=0+26 rsp=35+10\n"
	   "SELECT INBOX - complete req=26+19 rsp=45+75\n"
	   "UID FETCH 17:19 (FLAGS BODY[]) - complete req=45+35 rsp=120+91 body=13\n"
	   "NOOP - - complete req=104+9 rsp=211+12\n"
	   "STATUS x - complete req=80+24 rsp=223+26 error=[NONEXISTENT] no x\n"
	   "EXISTS - - oneway rsp=249+12\n"
	   "UNKNOWN - - complete req=113+8 rsp=261+13 error=what\n"
	   "LOGOUT - - complete req=121+11 rsp=274+23\n", false },
	{ "literals of the client", {
		TALK('<', "* PREAUTH hello\r\n"), TALK('>', "b1 LOGIN {3}\r\n"), TALK('<', "+ go\r\n"), TALK('>', "ann {6}\r\n"),
		TALK('<', "+ go\r\n"), TALK('>', "secret\r\n"), TALK('<', "b1 OK in\r\n"),
		TALK('>', "b2 APPEND Sent (\\Seen) {12+}\r\nb3 NOOP\r\n.\r\n\r\nb4 APPEND x {5}\r\n"),
		TALK('<', "b2 OK done\r\nb4 NO full\r\n"), TALK('>', "b5 NOOP\r\n"), TALK('<', "b5 OK done\r\n"),
	}, "GREETING - - oneway rsp=0+17\n"
	   "LOGIN - - complete req=0+31 rsp=17+22\n"
	   "APPEND Sent - complete req=31+44 rsp=39+12\n"
	   "APPEND x - complete req=75+17 rsp=51+12 error=full\n"
	   "NOOP - - complete req=92+9 rsp=63+12\n", false },
	{ "AUTHENTICATE, IDLE", {
		TALK('<', "* OK hi\r\n"), TALK('>', "1 AUTHENTICATE PLAIN\r\n"), TALK('<', "+ \r\n"), TALK('>', "AGFubgBzZWNyZXQ=\r\n"),
		TALK('<', "1 OK in\r\n"), TALK('>', "2 IDLE\r\n"), TALK('<', "+ idling\r\n"), TALK('<', "* 5 EXISTS\r\n"), TALK('>', "DONE\r\n"),
		TALK('<', "2 OK done\r\n"), TALK('>', "3 AUTHENTICATE LOGIN Ym9i\r\n"), TALK('<', "+ UGFzc3dvcmQ6\r\n"), TALK('>', "c2VjcmV0\r\n"),
		TALK('<', "3 NO [AUTHENTICATIONFAILED] no\r\n"), TALK('>', "4 STARTTLS\r\n"), TALK('<', "4 BAD no\r\n"), TALK('>', "5 NOOP\r\n"),
		TALK('<', "5 OK done\r\n"),
	}, "GREETING - - oneway rsp=0+9\n"
	   "AUTHENTICATE PLAIN - complete req=0+40 rsp=9+13\n"
	   "IDLE - - complete req=40+14 rsp=22+33\n"
	   "AUTHENTICATE LOGIN - complete req=54+37 rsp=55+48 error=[AUTHENTICATIONFAILED] no\n"
	   "STARTTLS - - complete req=91+12 rsp=103+10 error=no\n"
	   "NOOP - - complete req=103+8 rsp=113+11\n", false },
	{ "compressed from here on", {
		TALK('<', "* OK hi\r\n"), TALK('>', "1 COMPRESS DEFLATE\r\n"), TALK('<', "1 OK go\r\n\1\2\3"), TALK('>', "\4\5\r\n2 NOOP\r\n"),
	}, "GREETING - - oneway rsp=0+9\n"
	   "COMPRESS DEFLATE - complete req=0+20 rsp=9+9\n", false },
	{ "a hole in a literal, and one in an answer", {
		TALK('<', "* OK hi\r\n"), TALK('>', "1 FETCH 1 BODY[]\r\n"), TALK('<', "* 1 FETCH (BODY[] {20}\r\n0123456789"),
		TALK('x', "abcdefgh"), TALK('<', "xy)\r\n1 OK done\r\n"), TALK('>', "2 NOOP\r\n"), TALK('x', "2 OK done\r\n"), TALK('>', "3 NOOP\r\n"),
		TALK('<', "3 OK done\r\n"), TALK('>', "4 NOOP\r\n"), TALK('<', "4 OK done\r\n"), TALK('F', ""), TALK('f', ""),
	}, "GREETING - - oneway rsp=0+9\n"
	   "FETCH 1 BODY[] - gap req=0+18 rsp=9+58 body=20 missing=8\n"
	   "NOOP - - gap req=18+8 missing=11\n"
	   "NOOP - - gap req=26+8\n"
	   "- - - no_request rsp=78+11\n"
	   "NOOP - - complete req=34+8 rsp=89+11\n", true },
};

TEST(imap, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];
		struct kit kit;
		struct wr out;

		kit_init(&kit, NULL);
		talk_run(&kit, 143, d->step, STEPS_MAX);
		wr_init(&out, 0);
		CHECK(strcmp(kit_lines(&kit, &out), d->calls) == 0, "%s:\n%s\nnot\n%s", d->name, (const char *)out.at, d->calls);
		CHECK(view_find(wr_view(&kit.texts), VIEW_LIT("secret")) < 0 && view_find(wr_view(&kit.texts), VIEW_LIT("Y3JldA")) < 0 &&
		      view_find(wr_view(&kit.texts), VIEW_LIT("c2VjcmV0")) < 0, "%s", d->name);
		wr_release(&out);
		kit_release(&kit);
		if (!d->uncut)
			talk_cut(143, d->step, STEPS_MAX, d->calls);
	}
}

TEST(imap, fills_the_columns)
{
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 4999, dialogues[0].step, STEPS_MAX);
	CHECK_U64(kit.count, 9);
	CHECK_VIEW(kit.call[1].row.user, "a\\\"n n");
	CHECK_VIEW(kit.call[1].row.status_text, "OK");
	CHECK_U64(kit.call[2].row.rows, 2);
	CHECK_VIEW(kit.call[3].row.collection, "INBOX");
	CHECK_VIEW(kit.call[3].row.target_template, "{id}:{id} (FLAGS BODY[])");
	CHECK_U64(kit.call[3].row.rows, 2);
	CHECK_U64(kit.call[5].row.status_class, CLASS_client_error);
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 143, dialogues[1].step, STEPS_MAX);
	CHECK_U64(kit.call[2].row.req_body_bytes, 12);
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 143, dialogues[2].step, STEPS_MAX);
	CHECK_VIEW(kit.call[1].row.user, "ann");
	CHECK_VIEW(kit.call[3].row.user, "bob");
	CHECK_VIEW(kit.call[4].row.user, "ann");
	kit_release(&kit);
}

TEST(imap, hands_over_to_tls)
{
	static const struct talk_step steps[] = {
		TALK('<', "* OK hi\r\n"), TALK('>', "1 STARTTLS\r\n"), TALK('<', "1 OK go\r\n"), TALK('>', "\x16\x03\x01\x02"),
	};
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 143);
	kit_handshake(&kit);
	for (size_t i = 0; i < 4; i++)
		kit_sendv(&kit, steps[i].what == '<', view_make(steps[i].bytes, steps[i].len));
	CHECK_U64(stream_l7(kit.stream), L7_tls);
	kit_release(&kit);
}

TEST(imap, is_not_seen_in_what_is_none)
{
	static const char *const others[] = { "* 12 items\r\n", "*3\r\n$3\r\nSET\r\n", "a OK\r\n", "GET LOGIN\r\n", "set login 0 0 1\r\n",
					      "* hello\r\n", "NOOP\r\n", "a1 NOOP\r\n" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_send(&kit, 1, others[i]);
		kit_send(&kit, 0, others[i]);
		CHECK(stream_l7(kit.stream) != L7_imap, "%s", others[i]);
		kit_release(&kit);
	}
}

TEST(imap, shows_calls_in_full)
{
	static const struct {
		const char *request, *response, *json;
	} cases[] = {
		{ "a LOGIN ann secret\r\n", "a OK in\r\n",
		  "{\"request\":{\"tag\":\"a\",\"command\":\"LOGIN\",\"arguments\":\"(masked)\"},\"response\":{\"lines\":["
		  "{\"line\":\"a OK in\"}],\"status\":\"OK\",\"text\":\"in\"}}" },
		{ "a LOGIN {3}\r\nann {2}\r\nxy\r\n", "",
		  "{\"request\":{\"tag\":\"a\",\"command\":\"LOGIN\",\"arguments\":\"(masked)\",\"literal_bytes\":3,\"body\":\"(masked)\","
		  "\"more\":[{\"line\":\"(masked)\",\"literal_bytes\":2,\"body\":\"(masked)\"},{\"line\":\"(masked)\"}]}}" },
		{ "a UID FETCH 1 BODY[]\r\n", "* 1 FETCH (BODY[] {5}\r\nhello)\r\na OK done\r\n",
		  "{\"request\":{\"tag\":\"a\",\"command\":\"UID FETCH\",\"arguments\":\"1 BODY[]\"},\"response\":{\"lines\":["
		  "{\"line\":\"* 1 FETCH (BODY[] {5}\",\"literal_bytes\":5,\"body\":\"hello\"},{\"line\":\")\"},{\"line\":\"a OK done\"}],"
		  "\"status\":\"OK\",\"text\":\"done\"}}" },
		{ "1 AUTHENTICATE PLAIN\r\nAGEAYg==\r\n", "",
		  "{\"request\":{\"tag\":\"1\",\"command\":\"AUTHENTICATE\",\"mechanism\":\"PLAIN\",\"more\":[{\"line\":\"(masked)\"}]}}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json json;
		struct wr out;

		wr_init(&out, 0);
		json_init(&json, &out, false);
		json_object(&json);
		CHECK_U64((uint64_t)imap_detail(view_str(cases[i].request), view_str(cases[i].response), 1000, &json), 0);
		json_object_end(&json);
		wr_u8(&out, 0);
		CHECK_STR((const char *)out.at, cases[i].json);
		wr_release(&out);
	}
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char command[64];

	if (truth_field(line, "cmd", command, sizeof(command)))
		truth_key(keys, "%s", command);
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	if (call->has_req)
		truth_key(keys, "%.*s", (int)call->row.method.len, (const char *)call->row.method.at);
}

TEST(imap_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "arkime_synthetic.pcap", NULL };
	const struct truth_test test = { .folder = "mixed", .proto = "imap", .l7 = L7_imap, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.expected, 3);
	CHECK_GE(score.found, 3);
	CHECK_LE(score.extra, 0);
}

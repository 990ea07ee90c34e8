#include "base/json.h"
#include "tests/calls_truth.h"

#define STEPS_MAX 20

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "mail is fetched", {
		TALK('<', "+OK POP3 here <1@x>\r\n"), TALK('>', "USER ann\r\n"), TALK('<', "+OK\r\n"), TALK('>', "PASS secret\r\n"),
		TALK('<', "-ERR [AUTH] no\r\n"), TALK('>', "apop ann c4c9334bac560ecc979e58001b3e22fb\r\n"), TALK('<', "+OK in\r\n"),
		TALK('>', "STAT\r\nLIST\r\nLIST 1\r\nRETR 1\r\nRETR 2\r\nQUIT\r\n"),
		TALK('<', "+OK 1 120\r\n+OK list\r\n1 120\r\n.\r\n+OK 1 120\r\n+OK 120 octets\r\nTo: x\r\n\r\n..\r\n.\n\r\n.\r\n"
			  "-ERR [SYS/TEMP] disk\r\n+OK bye\r\n"),
	}, "GREETING - - oneway rsp=0+21\n"
	   "USER - - complete req=0+10 rsp=21+5\n"
	   "PASS - - complete req=10+13 rsp=26+16 error=[AUTH] no\n"
	   "APOP - - complete req=23+43 rsp=42+8\n"
	   "STAT - - complete req=66+6 rsp=50+11 answers=1 120\n"
	   "LIST - - complete req=72+6 rsp=61+20 body=7\n"
	   "LIST 1 - complete req=78+8 rsp=81+11 answers=1 120\n"
	   "RETR 1 - complete req=86+8 rsp=92+36 body=17\n"
	   "RETR 2 - complete req=94+8 rsp=128+22 error=[SYS/TEMP] disk\n"
	   "QUIT - - complete req=102+6 rsp=150+9\n", false },
	{ "logins by SASL", {
		TALK('<', "+OK\r\n"), TALK('>', "AUTH\r\n"), TALK('<', "-ERR no\r\n"), TALK('>', "CAPA\r\n"),
		TALK('<', "+OK\r\nSASL PLAIN LOGIN\r\n.\r\n"), TALK('>', "AUTH PLAIN\r\n"), TALK('<', "+ \r\n"),
		TALK('>', "AGFubgBzZWNyZXQ=\r\n"), TALK('<', "-ERR no\r\n"), TALK('>', "AUTH LOGIN\r\n"), TALK('<', "+ VXNlcm5hbWU6\r\n"),
		TALK('>', "Ym9i\r\n"), TALK('<', "+ UGFzc3dvcmQ6\r\n"), TALK('>', "c2VjcmV0\r\n"), TALK('<', "+OK in\r\n"),
		TALK('>', "NOOP\r\n"), TALK('<', "+OK\r\n"),
	}, "GREETING - - oneway rsp=0+5\n"
	   "AUTH - - complete req=0+6 rsp=5+9 error=no\n"
	   "CAPA - - complete req=6+6 rsp=14+26 body=18\n"
	   "AUTH PLAIN - complete req=12+30 rsp=40+13 error=no\n"
	   "AUTH LOGIN - complete req=42+28 rsp=53+40\n"
	   "NOOP - - complete req=70+6 rsp=93+5\n", false },
	{ "the end of a mail lost", {
		TALK('<', "+OK POP3\r\n"), TALK('>', "STAT\r\n"), TALK('<', "+OK 1 9\r\n"), TALK('>', "RETR 1\r\n"),
		TALK('<', "+OK\r\nhello\r\n"), TALK('x', "world\r\n.\r\n"), TALK('<', ""), TALK('>', "RETR 2\r\n"),
		TALK('<', "+OK\r\nyou\r\n.\r\n"), TALK('>', "QUIT\r\n"), TALK('<', "+OK bye\r\n"), TALK('F', ""), TALK('f', ""),
	}, "GREETING - - oneway rsp=0+10\n"
	   "STAT - - complete req=0+6 rsp=10+9 answers=1 9\n"
	   "RETR 1 - gap req=6+8 rsp=19+12 body=7 missing=10\n"
	   "RETR 2 - complete req=14+8 rsp=41+13 body=5\n"
	   "QUIT - - complete req=22+6 rsp=54+9\n", true },
};

TEST(pop3, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];
		struct kit kit;
		struct wr out;

		kit_init(&kit, NULL);
		talk_run(&kit, 110, d->step, STEPS_MAX);
		wr_init(&out, 0);
		CHECK(strcmp(kit_lines(&kit, &out), d->calls) == 0, "%s:\n%s\nnot\n%s", d->name, (const char *)out.at, d->calls);
		CHECK(view_find(wr_view(&kit.texts), VIEW_LIT("secret")) < 0 && view_find(wr_view(&kit.texts), VIEW_LIT("Y3JldA")) < 0 &&
		      view_find(wr_view(&kit.texts), VIEW_LIT("c2VjcmV0")) < 0, "%s", d->name);
		wr_release(&out);
		kit_release(&kit);
		if (!d->uncut)
			talk_cut(110, d->step, STEPS_MAX, d->calls);
	}
}

TEST(pop3, fills_the_columns)
{
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 4999, dialogues[0].step, STEPS_MAX);
	CHECK_U64(kit.count, 10);
	CHECK_VIEW(kit.call[1].row.user, "ann");
	CHECK_NOT(ROW_HAS(CALL, &kit.call[2].row, user));
	CHECK_VIEW(kit.call[2].row.status_text, "-ERR");
	CHECK_U64(kit.call[2].row.status_class, CLASS_client_error);
	CHECK_VIEW(kit.call[4].row.user, "ann");
	CHECK_VIEW(kit.call[7].row.target_template, "{id}");
	CHECK_U64(kit.call[8].row.status_class, CLASS_server_error);
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 110, dialogues[1].step, STEPS_MAX);
	CHECK_VIEW(kit.call[4].row.user, "bob");
	CHECK_VIEW(kit.call[5].row.user, "bob");
	kit_release(&kit);
}

/* STLS: what follows goes to the TLS dissector; refused, it is POP3 still. */
TEST(pop3, hands_over_to_tls)
{
	static const struct talk_step steps[][6] = {
		{ TALK('<', "+OK POP3\r\n"), TALK('>', "STLS\r\n"), TALK('<', "+OK go\r\n"), TALK('>', "\x16\x03\x01\x02") },
		{ TALK('<', "+OK POP3\r\n"), TALK('>', "STLS\r\n"), TALK('<', "-ERR no\r\n"), TALK('>', "NOOP\r\n") },
	};

	for (unsigned i = 0; i < 2; i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 110);
		kit_handshake(&kit);
		for (size_t k = 0; k < 4; k++)
			kit_sendv(&kit, steps[i][k].what == '<', view_make(steps[i][k].bytes, steps[i][k].len));
		CHECK_U64(stream_l7(kit.stream), i ? L7_pop3 : L7_tls);
		kit_release(&kit);
	}
}

TEST(pop3, is_not_seen_in_what_is_none)
{
	static const char *const others[] = { "+OK\r\n", "USER x\r\n", "-ERR unknown command\r\n", "+PONG\r\n", "CAPABILITY\r\n" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_send(&kit, 1, others[i]);
		kit_send(&kit, 0, others[i]);
		CHECK(stream_l7(kit.stream) != L7_pop3, "%s", others[i]);
		kit_release(&kit);
	}
}

TEST(pop3, shows_calls_in_full)
{
	static const struct {
		const char *request, *response, *json;
	} cases[] = {
		{ "PASS secret\r\n", "-ERR no\r\n",
		  "{\"request\":{\"command\":\"PASS\",\"argument\":\"(masked)\"},\"response\":{\"status\":\"-ERR\",\"text\":\"no\"}}" },
		{ "RETR 1\r\n", "+OK 9\r\nTo: x\r\n\r\nhi\r\n.\r\n",
		  "{\"request\":{\"command\":\"RETR\",\"argument\":\"1\"},\"response\":{\"status\":\"+OK\",\"text\":\"9\","
		  "\"headers\":[{\"name\":\"To\",\"value\":\"x\"}],\"body\":\"hi\\r\\n\"}}" },
		{ "AUTH PLAIN\r\nAGEAYg==\r\n", "+ \r\n+OK in\r\n",
		  "{\"request\":{\"command\":\"AUTH\",\"mechanism\":\"PLAIN\",\"responses\":[\"(masked)\"]},"
		  "\"response\":{\"status\":\"+OK\",\"text\":\"in\"}}" },
		{ "CAPA\r\n", "+OK\r\nUIDL\r\n.\r\n",
		  "{\"request\":{\"command\":\"CAPA\"},\"response\":{\"status\":\"+OK\",\"text\":\"\",\"body\":\"UIDL\\r\\n\"}}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json json;
		struct wr out;

		wr_init(&out, 0);
		json_init(&json, &out, false);
		json_object(&json);
		CHECK_U64((uint64_t)proto_by_id(L7_pop3)->detail(view_str(cases[i].request), view_str(cases[i].response), 1000, &json), 0);
		json_object_end(&json);
		wr_u8(&out, 0);
		CHECK_STR((const char *)out.at, cases[i].json);
		wr_release(&out);
	}
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char command[256], arg[256] = "";

	if (!truth_field(line, "cmd", command, sizeof(command)) || strlen(command) > 4)
		return;		/* longer: an answer to a challenge */
	(void)truth_field(line, "arg", arg, sizeof(arg));
	if (strcasecmp(command, "pass") == 0)
		arg[0] = 0;
	for (char *at = command; *at; at++)
		if (*at >= 'a' && *at <= 'z')
			*at -= 32;
	truth_key(keys, "%s %s", command, arg);
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	struct view arg = view_is(row->method, "USER") ? row->user : ROW_HAS(CALL, row, target) ? row->target : view_make("", 0);

	if (call->has_req)
		truth_key(keys, "%.*s %.*s", (int)row->method.len, (const char *)row->method.at, (int)arg.len,
			  arg.len ? (const char *)arg.at : "");
}

TEST(pop3_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "pop3.pcapng", NULL };
	const struct truth_test test = { .folder = "other", .proto = "pop", .l7 = L7_pop3, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.expected, 27);
	CHECK_GE(score.found, 27);
	CHECK_LE(score.extra, 0);
}

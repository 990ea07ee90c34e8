#include "base/json.h"
#include "tests/calls_truth.h"

#define STEPS_MAX 20

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "a download", {
		TALK('<', "220-welcome to FTP\r\n250 of them\r\n220 ready\r\n"), TALK('>', "USER ann\r\n"), TALK('<', "331 password?\r\n"),
		TALK('>', "PASS secret\r\n"), TALK('<', "230-hello\r\n x\r\n230-more\r\n230 in\r\n"), TALK('>', "PASV\r\n"),
		TALK('<', "227 Entering Passive Mode (10,0,0,1,4,1).\r\n"), TALK('>', "RETR /data/17.txt\r\n"),
		TALK('<', "150 here it comes\r\n"), TALK('<', "226 done\r\n"), TALK('>', "retr x\r\n"), TALK('<', "550 no such file\r\n"),
		TALK('>', "\377\364\377\362ABOR\r\n"), TALK('<', "226 ok\r\n"), TALK('>', "QUIT\r\n"), TALK('<', "221 bye\r\n"),
		TALK('f', ""), TALK('F', ""),
	}, "GREETING - 220 oneway rsp=0+44\n"
	   "USER - 331 complete req=0+10 rsp=44+15\n"
	   "PASS - 230 complete req=10+13 rsp=59+33\n"
	   "PASV - 227 complete req=23+6 rsp=92+43 answers=10.0.0.1:1025\n"
	   "RETR /data/17.txt 226 complete req=29+19 rsp=135+29\n"
	   "RETR x 550 complete req=48+8 rsp=164+18 error=no such file\n"
	   "ABOR - 226 complete req=56+10 rsp=182+8\n"
	   "QUIT - 221 complete req=66+6 rsp=190+9\n", false },
	{ "ports, pipelined, refused TLS, idle", {
		TALK('<', "220 FTP\r\n"), TALK('>', "AUTH TLS\r\n"), TALK('<', "502 no\r\n"),
		TALK('>', "PORT 10,0,0,2,0,80\r\nEPRT |2|fe80::1|5282|\r\nEPSV\r\nSIZE a\r\n"),
		TALK('<', "200 a\r\n200 b\r\n229 yes (|||6446|)\r\n213 99\r\n"), TALK('<', "421 idle\r\n"),
	}, "GREETING - 220 oneway rsp=0+9\n"
	   "AUTH TLS 502 complete req=0+10 rsp=9+8 error=no\n"
	   "PORT 10.0.0.2:80 200 complete req=10+20 rsp=17+7\n"
	   "EPRT [fe80::1]:5282 200 complete req=30+23 rsp=24+7\n"
	   "EPSV - 229 complete req=53+6 rsp=31+20 answers=port 6446\n"
	   "SIZE a 213 complete req=59+8 rsp=51+8 answers=99\n"
	   "CLOSING - 421 oneway rsp=59+10 error=idle\n", false },
	{ "an answer lost", {
		TALK('<', "220 FTP\r\n"), TALK('>', "USER x\r\n"), TALK('<', "230 in\r\n"), TALK('>', "STOR a\r\n"), TALK('<', "150 go\r\n"),
		TALK('x', "226 ok\r\n"), TALK('>', "PWD\r\n"), TALK('<', "257 \"/\"\r\n"), TALK('>', "NOOP\r\n"), TALK('<', "200 ok\r\n"),
		TALK('F', ""), TALK('f', ""),
	}, "GREETING - 220 oneway rsp=0+9\n"
	   "USER - 230 complete req=0+8 rsp=9+8\n"
	   "STOR a 150 gap req=8+8 rsp=17+8 missing=8\n"
	   "PWD - - gap req=16+5\n"
	   "- - 257 no_request rsp=33+9\n"
	   "NOOP - 200 complete req=21+6 rsp=42+8\n", true },
};

TEST(ftp, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];
		struct kit kit;
		struct wr out;

		kit_init(&kit, NULL);
		talk_run(&kit, 21, d->step, STEPS_MAX);
		wr_init(&out, 0);
		CHECK(strcmp(kit_lines(&kit, &out), d->calls) == 0, "%s:\n%s\nnot\n%s", d->name, (const char *)out.at, d->calls);
		CHECK(view_find(wr_view(&kit.texts), VIEW_LIT("secret")) < 0, "%s", d->name);
		wr_release(&out);
		kit_release(&kit);
		if (!d->uncut)
			talk_cut(21, d->step, STEPS_MAX, d->calls);
	}
}

TEST(ftp, fills_the_columns)
{
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 4999, dialogues[0].step, STEPS_MAX);
	CHECK_U64(kit.count, 8);
	CHECK_VIEW(kit.call[1].row.user, "ann");
	CHECK_NOT(ROW_HAS(CALL, &kit.call[2].row, user));
	CHECK_VIEW(kit.call[2].row.status_text, "hello");
	CHECK_VIEW(kit.call[3].row.user, "ann");
	CHECK_VIEW(kit.call[4].row.target_template, "/data/{id}.txt");
	CHECK_U64(kit.call[4].row.status_class, CLASS_ok);
	CHECK_U64(kit.call[4].row.ttfb_ns, 1000000);
	CHECK_U64(kit.call[4].row.latency_ns, 2000000);
	CHECK_U64(kit.call[5].row.status_class, CLASS_client_error);
	CHECK_U64(kit.call[0].req_dir, 0);
	kit_release(&kit);
}

/* Neither side names the protocol, no port does: the order of the client's words tells. */
TEST(ftp, is_known_by_its_words)
{
	static const struct talk_step steps[] = {
		TALK('<', "220 welcome\r\n"), TALK('>', "USER a\r\n"), TALK('<', "331 go on\r\n"), TALK('>', "PASS b\r\n"),
		TALK('<', "230 in\r\n"), TALK('>', "SYST\r\n"), TALK('<', "215 UNIX\r\n"),
	};
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 4999, steps, 7);
	CHECK_LINES(&kit, "GREETING - 220 oneway rsp=0+13\n"
			  "USER - 331 complete req=0+8 rsp=13+11\n"
			  "PASS - 230 complete req=8+8 rsp=24+8\n"
			  "SYST - 215 complete req=16+6 rsp=32+10 answers=UNIX\n");
	kit_release(&kit);
}

/* AUTH TLS: what follows is no FTP, and goes to the TLS dissector, held bytes of the client included. */
TEST(ftp, hands_over_to_tls)
{
	static const struct talk_step steps[] = {
		TALK('<', "220 FTP\r\n"), TALK('>', "AUTH TLS\r\n\x16\x03\x01"), TALK('<', "234 go\r\n"), TALK('>', "\x02\x00"),
	};
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 21);
	kit_handshake(&kit);
	for (size_t i = 0; i < 4; i++)
		kit_sendv(&kit, steps[i].what == '<', view_make(steps[i].bytes, steps[i].len));
	CHECK_U64(stream_l7(kit.stream), L7_tls);
	kit_end(&kit, CALL_END_closed);
	CHECK_LINES(&kit, "GREETING - 220 oneway rsp=0+9\nAUTH TLS 234 complete req=0+10 rsp=9+8\n");
	kit_release(&kit);
}

TEST(ftp, shows_calls_in_full)
{
	static const struct {
		const char *request, *response, *json;
	} cases[] = {
		{ "PASS secret\r\n", "230-hi\r\n there\r\n230 in\r\n",
		  "{\"request\":{\"command\":\"PASS\",\"argument\":\"(masked)\"},\"response\":{\"replies\":[{\"code\":230,"
		  "\"lines\":[\"hi\",\" there\",\"in\"]}]}}" },
		{ "PORT 10,0,0,2,0,80\r\n", "200 ok\r\n",
		  "{\"request\":{\"command\":\"PORT\",\"argument\":\"10,0,0,2,0,80\",\"data_connection\":\"10.0.0.2:80\"},"
		  "\"response\":{\"replies\":[{\"code\":200,\"lines\":[\"ok\"]}]}}" },
		{ "", "227 Entering Passive Mode (10,0,0,1,4,1).\r\n",
		  "{\"response\":{\"replies\":[{\"code\":227,\"lines\":[\"Entering Passive Mode (10,0,0,1,4,1).\"]}],"
		  "\"data_connection\":\"10.0.0.1:1025\"}}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json json;
		struct wr out;

		wr_init(&out, 0);
		json_init(&json, &out, false);
		json_object(&json);
		CHECK_U64((uint64_t)proto_by_id(L7_ftp)->detail(view_str(cases[i].request), view_str(cases[i].response), 1000, &json), 0);
		json_object_end(&json);
		wr_u8(&out, 0);
		CHECK_STR((const char *)out.at, cases[i].json);
		wr_release(&out);
	}
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char command[64], arg[256] = "";

	if (!truth_field(line, "cmd", command, sizeof(command)))
		return;
	(void)truth_field(line, "arg", arg, sizeof(arg));
	if (strcmp(command, "USER") != 0 && (strcmp(command, "RETR") != 0 && strcmp(command, "TYPE") != 0))
		arg[0] = 0;
	truth_key(keys, "%s %s", command, arg);
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	struct view arg = view_make("", 0);

	if (view_is(row->method, "USER"))
		arg = row->user;
	else if (view_is(row->method, "RETR") || view_is(row->method, "TYPE"))
		arg = row->target;
	if (call->has_req)
		truth_key(keys, "%.*s %.*s", (int)row->method.len, (const char *)row->method.at, (int)arg.len,
			  arg.len ? (const char *)arg.at : "");
}

TEST(ftp_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "ftp-ipv4.pcap", NULL };
	static const char *const mixed[] = { "var-services-std-ports.pcap", "arkime_synthetic.pcap", NULL };
	struct truth_test test = { .folder = "other", .proto = "ftp", .l7 = L7_ftp, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.expected, 14);
	CHECK_GE(score.found, 14);
	CHECK_LE(score.extra, 0);
	test.folder = "mixed";
	score = truth_run_all(&test, mixed);
	CHECK_GE(score.expected, 8);
	CHECK_GE(score.found, 8);
	CHECK_LE(score.extra, 0);
}

#include "tests/calls_truth.h"
#include "tests/tls_bytes.h"

#define STEPS_MAX 12

#define INFO "INFO {\"server_id\":\"A\",\"server_name\":\"n1\"} \r\n"
#define CONNECT "CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"secret\",\"lang\":\"go\",\"version\":\"1.2\"}\r\n"
#define VERBOSE "CONNECT {\"verbose\":true}\r\n"

static const struct dialogue {
	const char *name;
	uint16_t port;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "a client connects, subscribes, gets a message, on any port", 7000, {
		TALK('<', INFO), TALK('>', CONNECT "PING\r\n"), TALK('<', "PONG\r\n"),
		TALK('>', "SUB a.* workers 1\r\npub a.7\t5\r\nhello\r\n"), TALK('<', "MSG a.7 1 5\r\nhello\r\n"),
		TALK('>', "UNSUB 1 5\r\n"), TALK('<', "PING\r\n"), TALK('>', "PONG\r\n"),
	}, "INFO n1 - oneway req=0+44\n"
	   "CONNECT - - oneway req=0+82\n"
	   "PING - - complete req=82+6 rsp=44+6\n"
	   "SUB a.* - oneway req=88+19\n"
	   "PUB a.7 - oneway req=107+18\n"
	   "MSG a.7 - oneway req=50+20\n"
	   "UNSUB a.* - oneway req=125+11\n"
	   "PING - - complete req=70+6 rsp=136+6\n", false },
	{ "requests: answered, with nobody there, unanswered, and a reply subject nobody here listens to", 4222, {
		TALK('<', INFO), TALK('>', CONNECT), TALK('>', "SUB _INBOX.x.* 1\r\n"),
		TALK('>', "PUB svc _INBOX.x.1 1\r\nq\r\nPUB svc _INBOX.x.2 1\r\nq\r\n"),
		TALK('<', "MSG _INBOX.x.2 1 2\r\nok\r\n" "HMSG _INBOX.x.1 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"),
		TALK('>', "PUB svc _INBOX.x.3 0\r\n\r\n" "PUB svc other 0\r\n\r\n"), TALK('f', ""),
	}, "INFO n1 - oneway req=0+44\n"
	   "SUB _INBOX.x.* - oneway req=82+18\n"
	   "CONNECT - - oneway req=0+82\n"
	   "PUB svc - complete req=125+25 rsp=44+24 body=2\n"
	   "PUB svc 503 complete req=100+25 rsp=68+43 body=0 error=503 No Responders\n"
	   "PUB svc - oneway req=174+19\n"
	   "PUB svc - unanswered req=150+24\n", false },
	{ "a service answers; a subscriber does not", 4222, {
		TALK('<', INFO), TALK('>', CONNECT "SUB svc g 1\r\n"), TALK('<', "MSG svc 1 r.1 1\r\nq\r\nMSG svc 1 r.2 1\r\nq\r\n"),
		TALK('>', "PUB r.2 3\r\nyes\r\n"),
	}, "INFO n1 - oneway req=0+44\n"
	   "SUB svc - oneway req=82+13\n"
	   "CONNECT - - oneway req=0+82\n"
	   "MSG svc - complete req=64+20 rsp=95+16 body=3\n"
	   "MSG svc - oneway req=44+20\n", false },
	{ "verbose: each command is answered, a request twice", 4222, {
		TALK('<', INFO), TALK('>', VERBOSE), TALK('<', "+OK\r\n"), TALK('>', "SUB in 1\r\nPUB a in 0\r\n\r\nPUB b 0\r\n\r\n"),
		TALK('<', "+OK\r\n+OK\r\n-ERR 'Permissions Violation for Publish to \"b\"'\r\n"),
		TALK('<', "HMSG in 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"), TALK('>', "PUB c 0\r\n\r\n"), TALK('<', "+OK\r\n"),
	}, "INFO n1 - oneway req=0+44\n"
	   "CONNECT - - complete req=0+26 rsp=44+5\n"
	   "SUB in - complete req=26+10 rsp=49+5\n"
	   "PUB b - complete req=50+11 rsp=59+49 error=Permissions Violation for Publish to \"b\"\n"
	   "PUB a - complete req=36+14 rsp=108+33 body=2\n"
	   "PUB c - complete req=61+11 rsp=141+5\n", false },
	{ "errors: of a login, of a line that is none, of nothing known", 4222, {
		TALK('<', INFO), TALK('>', CONNECT), TALK('<', "-ERR 'Authorization Violation'\r\n"),
		TALK('>', "DEAD beef\r\n"), TALK('<', "-ERR 'Unknown Protocol Operation'\r\n-ERR 'Stale Connection'\r\n"),
	}, "INFO n1 - oneway req=0+44\n"
	   "CONNECT - - complete req=0+82 rsp=44+32 error=Authorization Violation\n"
	   "UNKNOWN DEAD - complete req=82+11 rsp=76+35 error=Unknown Protocol Operation\n"
	   "-ERR - - oneway req=111+25 error=Stale Connection\n", false },
	{ "seen from the middle", 4222, {
		TALK('>', "PUB svc in.1 1\r\nq\r\nPUB a 2\r\n\n\n\r\n"), TALK('<', "MSG in.1 4 1\r\na\r\n"),
		TALK('>', "PUB svc in.2 1\r\nq\r\n"),
	}, "PUB a - oneway req=19+13\n"
	   "PUB svc - complete req=0+19 rsp=0+17 body=1\n"
	   "PUB svc - oneway req=32+19\n", false },
	{ "a hole in the answers", 4222, {
		TALK('<', INFO), TALK('>', VERBOSE), TALK('<', "+OK\r\n"), TALK('>', "PUB a 0\r\n\r\n"), TALK('x', "+OK\r\n"),
		TALK('>', "PUB b 0\r\n\r\n"), TALK('<', "+OK\r\n"), TALK('>', "PUB c 0\r\n\r\n"), TALK('<', "+OK\r\n"),
	}, "INFO n1 - oneway req=0+44\n"
	   "CONNECT - - complete req=0+26 rsp=44+5\n"
	   "PUB a - gap req=26+11\n"
	   "PUB b - gap req=37+11\n"
	   "+OK - - no_request rsp=54+5\n"
	   "PUB c - complete req=48+11 rsp=59+5\n", true },
	{ "a hole in a payload", 4222, {
		TALK('<', INFO), TALK('>', CONNECT "PUB a 4\r\nxx"), TALK('X', "yy"), TALK('>', "\r\nPUB b 0\r\n\r\n"), TALK('<', "PING\r\n"),
	}, "INFO n1 - oneway req=0+44\n"
	   "PUB a - oneway req=82+15 missing=2\n"
	   "PUB b - oneway req=97+11\n"
	   "CONNECT - - oneway req=0+82\n"
	   "PING - - unanswered req=44+6\n", true },
};

TEST(nats, reads_dialogues)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];
		struct kit kit;
		struct wr out;

		kit_init(&kit, NULL);
		talk_run(&kit, d->port, d->step, STEPS_MAX);
		wr_init(&out, 0);
		if (strcmp(kit_lines(&kit, &out), d->calls) != 0) {
			printf("%s:\n%s\nnot\n%s\n", d->name, (const char *)out.at, d->calls);
			wrong++;
		}
		wr_release(&out);
		kit_release(&kit);
	}
	CHECK_U64(wrong, 0);
}

TEST(nats, cuts_do_not_matter)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
		if (!dialogues[i].uncut)
			talk_cut(dialogues[i].port, dialogues[i].step, STEPS_MAX, dialogues[i].calls);
}

TEST(nats, fills_the_columns)
{
	static const struct talk_step steps[] = {
		TALK('<', INFO), TALK('>', CONNECT "SUB jobs.> workers 9\r\n"),
		TALK('<', "HMSG jobs.17 9 82 85\r\nNATS/1.0\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\nabc\r\n"),
		TALK('>', "UNSUB 9\r\n"), { 0, NULL, 0 },
	};
	const struct call_row *row;
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 4222, steps, 5);
	CHECK_U64(kit.count, 5);
	row = &kit.call[3].row;
	CHECK_VIEW(row->method, "HMSG");
	CHECK_VIEW(row->topic, "jobs.17");
	CHECK_VIEW(row->target_template, "jobs.{id}");
	CHECK_VIEW(row->queue, "workers");
	CHECK_VIEW(row->user, "u");
	CHECK_VIEW(row->user_agent, "go/1.2");
	CHECK_VIEW(row->trace_id, "0af7651916cd43dd8448eb211c80319c");
	CHECK_U64(row->req_body_bytes, 3);
	CHECK_U64(kit.call[3].req_dir, 1);
	CHECK_VIEW(kit.call[4].row.topic, "jobs.>");
	CHECK_VIEW(kit.call[4].row.queue, "workers");
	kit_release(&kit);
}

/* Requests that are never answered end after a minute, and no more than so many wait. */
TEST(nats, pending_requests_are_bounded)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 4222);
	kit_handshake(&kit);
	kit_send(&kit, 1, INFO);
	kit_send(&kit, 0, CONNECT "SUB in.* 1\r\n");
	kit_send(&kit, 1, "PING\r\n");
	kit_send(&kit, 0, "PONG\r\n");
	CHECK_U64(kit.count, 4);
	for (unsigned i = 0; i < 1025; i++) {
		char line[64];

		(void)snprintf(line, sizeof(line), "PUB svc in.%u 0\r\n\r\n", i);
		kit_send(&kit, 0, line);
	}
	CHECK_U64(kit.sink.open_calls, 1024);
	CHECK_U64(kit.call[4].row.end_reason, CALL_END_evicted);
	stream_tick(kit.stream, kit.now_ns + 59000000000ull);
	CHECK_U64(kit.count, 5 + 24);	/* those sent a second and more ago */
	stream_tick(kit.stream, kit.now_ns + 61000000000ull);
	CHECK_U64(kit.count, 4 + 1025);
	CHECK_U64(kit.call[kit.count - 1].row.end_reason, CALL_END_unanswered);
	kit_end(&kit, CALL_END_closed);
	kit_release(&kit);
}

TEST(nats, hands_over_to_tls)
{
	static const struct talk_step steps[] = { TALK('<', INFO), TALK('>', B_CH12), TALK('<', B_SH12_FULL), { 0, NULL, 0 } };
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 4222, steps, 4);
	CHECK_U64(kit.count, 2);
	CHECK_U64(kit.call[0].row.l7, L7_nats);
	CHECK_U64(kit.call[1].row.l7, L7_tls);
	CHECK(kit.call[1].has_rsp);
	kit_release(&kit);
}

TEST(nats, is_not_seen_in_what_is_none)
{
	static const char *const others[] = {
		"INFO\r\n", "CONNECT host:443 HTTP/1.1\r\nHost: host\r\n\r\n", "PUB a\r\n", "PUB a x\r\n", "PUB a b c 1\r\n", "PING\r\n",
		"+OK\r\n", "MSG a 1 5\r\nhelloXX", "PUBLISH a 1\r\nx\r\n", "MSG #chan :hi\r\n", "SUB a 1\r\n",
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_send(&kit, 0, others[i]);
		CHECK(stream_l7(kit.stream) != L7_nats, "%s", others[i]);
		kit_release(&kit);
	}
}

static void check_detail(const char *request, const char *response, size_t body_max, const char *want)
{
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)proto_by_id(L7_nats)->detail(view_str(request), view_str(response), body_max, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at, want);
	wr_release(&out);
}

TEST(nats, shows_calls_in_full)
{
	check_detail("HPUB a in 23 28\r\nNATS/1.0\r\nK: v\r\nK:w\r\n\r\n12345\r\n", "HMSG in 7 30 30\r\nNATS/1.0 503 No Responders\r\n\r\n\r\n", 2,
		     "{\"request\":{\"operation\":\"HPUB\",\"subject\":\"a\",\"reply_to\":\"in\",\"headers\":[{\"name\":\"K\",\"value\":\"v\"},"
		     "{\"name\":\"K\",\"value\":\"w\"}],\"body_bytes\":5,\"body\":\"12\",\"truncated\":true},\"response\":{\"operation\":\"HMSG\","
		     "\"subject\":\"in\",\"sid\":\"7\",\"status\":503,\"status_text\":\"No Responders\",\"headers\":[],\"body_bytes\":0,\"body\":\"\"}}");
	/* a password is not shown */
	check_detail("CONNECT {\"user\":\"u\",\"pass\":\"p\",\"auth_token\":\"t\",\"jwt\":\"j\",\"sig\":\"s\",\"echo\":true}\r\n", "", 100,
		     "{\"request\":{\"operation\":\"CONNECT\",\"options\":{\"user\":\"u\",\"pass\":\"(masked)\",\"auth_token\":\"(masked)\",\"jwt\":\"(masked)\","
		     "\"sig\":\"(masked)\",\"echo\":true}}}");
	check_detail("CONNECT {broken}\r\n", "-ERR 'x'\r\n", 100,
		     "{\"request\":{\"operation\":\"CONNECT\",\"options\":null},\"response\":{\"operation\":\"-ERR\",\"error\":\"x\"}}");
}

/* ---- captures: lines as counted over the streams ---- */

static unsigned lines_of(const struct kit *kit, const char *op)
{
	unsigned count = 0;

	for (unsigned i = 0; i < kit->count; i++) {
		const struct call_row *row = &kit->call[i].row;

		if (row->l7 != L7_nats)
			continue;
		count += kit->call[i].has_req && view_is(row->method, op[0] == '?' ? "UNKNOWN" : op);
		if (!kit->call[i].has_rsp)
			continue;
		if (op[0] == '+' || op[0] == '-')
			count += ROW_HAS(CALL, row, status_text) && view_is(row->status_text, op);
		if (strcmp(op, "PONG") == 0)
			count += view_is(row->method, "PING");
	}
	return count;
}

TEST(nats_truth, lines_are_those_counted)
{
	static const char *const files[] = { "nats.pcap", "nats-headers.pcap", "nats-err.pcap" };
	const char *captures = check_need_captures();
	unsigned expected = 0, found = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char path[512], line[512], op[16];
		unsigned want;
		struct kit kit;
		FILE *in;

		(void)snprintf(path, sizeof(path), "%s/nats/%s", captures, files[i]);
		kit_init(&kit, NULL);
		CHECK(kit_run_file(&kit, path), "%s", path);
		(void)snprintf(path, sizeof(path), "%s/truth/nats/%s.tsv", captures, files[i]);
		in = fopen(path, "r");
		CHECK(in, "no %s", path);
		while (fgets(line, sizeof(line), in)) {
			if (sscanf(line, "line_scan\tnats\t%15s\t%u", op, &want) != 2)
				continue;
			expected += want;
			CHECK_U64(lines_of(&kit, op), want);
			found += want;
		}
		(void)fclose(in);
		kit_release(&kit);
	}
	printf("nats: %u of %u lines\n", found, expected);
	CHECK_GE(expected, 45);
}

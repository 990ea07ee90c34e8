#include "base/json.h"
#include "tests/calls_truth.h"
#include "wire/sip_msg.h"

#define STEPS_MAX 16

#define HEAD(branch, number, method) \
	"Via: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK" branch "\r\nFrom: \"A\" <sip:ann@x.org>;tag=1\r\n" \
	"t: sip:bob@y.org\r\ni: c1@x\r\nCSeq: " number " " method "\r\n"
#define NO_BODY "Content-Length: 0\r\n\r\n"
#define SDP "v=0\r\ns=-\r\nm=audio 49170 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\nm=video 1 RTP/AVP 99\r\n"
#define WITH_SDP "c: application/sdp\r\nl: 93\r\n\r\n" SDP

#define INVITE	"INVITE sip:bob@y.org:5061;x=y SIP/2.0\r\nUser-Agent: phone/1\r\n" HEAD("1", "1", "INVITE") WITH_SDP
#define ACK	"ACK sip:bob@y.org SIP/2.0\r\n" HEAD("2", "1", "ACK") NO_BODY
#define BYE	"BYE sip:ann@x.org SIP/2.0\r\n" HEAD("b", "9", "BYE") NO_BODY
#define OPTIONS	"OPTIONS sip:y.org SIP/2.0\r\n" HEAD("3", "2", "OPTIONS") NO_BODY
#define RINGING	"SIP/2.0 180 Ringing\r\n" HEAD("1", "1", "INVITE") NO_BODY
#define TRYING	"SIP/2.0 100 Trying\r\n" HEAD("1", "1", "INVITE") NO_BODY
#define OK_SDP	"SIP/2.0 200 OK\r\n" HEAD("1", "1", "INVITE") WITH_SDP
#define BUSY	"SIP/2.0 486 Busy Here\r\n" HEAD("1", "1", "INVITE") NO_BODY
#define OK_BYE	"SIP/2.0 200 OK\r\n" HEAD("b", "9", "BYE") NO_BODY
#define OK_OPT	"SIP/2.0 503 Service Unavailable\r\n" HEAD("3", "2", "OPTIONS") NO_BODY

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "a call, and both ask", {
		TALK('>', "\r\n\r\n" INVITE OPTIONS), TALK('<', "\r\n" TRYING RINGING OK_OPT), TALK('<', OK_SDP), TALK('>', ACK),
		TALK('<', BYE), TALK('>', OK_BYE), TALK('F', ""), TALK('f', ""),
	}, "OPTIONS sip:y.org 503 complete req=305+168 rsp=323+174 error=503 Service Unavailable\n"
	   "INVITE sip:bob@y.org:5061;x=y 200 complete req=4+301 rsp=2+752 body=93 answers=100,180\n"
	   "ACK sip:bob@y.org - oneway req=473+164\n"
	   "BYE sip:ann@x.org 200 complete req=754+164 rsp=637+153\n", false },
	{ "no answer, but a ring; and answers to nothing", {
		TALK('>', INVITE), TALK('<', RINGING), TALK('<', OK_BYE), TALK('<', OK_BYE), TALK('F', ""), TALK('f', ""),
	}, "BYE - 200 no_request rsp=161+153\n"
	   "INVITE sip:bob@y.org:5061;x=y 180 unanswered req=0+301 rsp=0+161 answers=180\n", false },
	{ "a hole in a session description", {
		TALK('>', INVITE), TALK('<', "SIP/2.0 200 OK\r\n" HEAD("1", "1", "INVITE") "c: application/sdp\r\nl: 93\r\n\r\n"),
		TALK('x', SDP), TALK('<', BYE), TALK('>', OK_BYE), TALK('F', ""), TALK('f', ""),
	}, "INVITE sip:bob@y.org:5061;x=y 200 gap req=0+301 rsp=0+257 body=93 missing=93\n"
	   "BYE sip:ann@x.org 200 complete req=257+164 rsp=301+153\n", true },
};

TEST(sip, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, 5060);
		if (!d->uncut)
			talk_cut(5060, d->step, STEPS_MAX, d->calls);
	}
}

TEST(sip, counts_copies_of_datagrams_once)
{
	static const struct {
		unsigned dir;
		const char *bytes;
	} datagrams[] = {
		{ 0, "\r\n\r\n" }, { 0, INVITE }, { 0, INVITE }, { 0, INVITE }, { 1, TRYING }, { 1, BUSY }, { 1, BUSY },
		{ 0, "ACK sip:bob@y.org SIP/2.0\r\n" HEAD("1", "1", "ACK") NO_BODY }, { 1, BUSY },
		{ 0, "ACK sip:bob@y.org SIP/2.0\r\n" HEAD("1", "1", "ACK") NO_BODY }, { 0, OPTIONS }, { 0, "" },
	};
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_udp, 5060, 5060);
	for (size_t i = 0; i < sizeof(datagrams) / sizeof(datagrams[0]); i++)
		kit_datagram(&kit, datagrams[i].dir, view_str(datagrams[i].bytes));
	stream_tick(kit.stream, kit.now_ns + 65000000000ull);
	kit_end(&kit, CALL_END_closed);
	CHECK_LINES(&kit, "INVITE sip:bob@y.org:5061;x=y 486 complete req=4+301 rsp=0+323 answers=100 error=retries: 2; 486 Busy Here\n"
			  "ACK sip:bob@y.org - oneway req=907+164\n"
			  "OPTIONS sip:y.org - unanswered req=1235+168\n");
	CHECK_U64(kit.call[0].row.ttfb_ns, 1000000);
	CHECK_U64(kit.call[0].row.latency_ns, 4000000);
	CHECK_U64(kit.call[2].row.end_ns - kit.call[2].row.start_ns, 64000000000ull);
	kit_release(&kit);
}

TEST(sip, fills_the_columns)
{
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 4999, dialogues[0].step + 0, STEPS_MAX);
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 5060, dialogues[0].step, STEPS_MAX);
	CHECK_U64(kit.count, 4);
	CHECK_U64(kit.call[0].row.status_class, CLASS_server_error);
	CHECK_VIEW(kit.call[1].row.target_template, "sip:{id}@y.org:5061");
	CHECK_VIEW(kit.call[1].row.host, "y.org");
	CHECK_VIEW(kit.call[1].row.user, "ann@x.org");
	CHECK_VIEW(kit.call[1].row.user_agent, "phone/1");
	CHECK_VIEW(kit.call[1].row.trace_id, "c1@x");
	CHECK_VIEW(kit.call[1].row.status_text, "OK");
	CHECK_VIEW(kit.call[1].row.version, "2.0");
	CHECK_U64(kit.call[1].row.req_body_bytes, 93);
	CHECK_U64(kit.call[3].req_dir, 1);
	kit_release(&kit);
}

TEST(sip, is_not_seen_in_what_is_none)
{
	static const char *const others[] = { "INVITE x HTTP/1.1\r\n\r\n", "SIP/2.0 20 OK\r\n\r\n", "invite sip:a SIP/2.0\r\n\r\n",
					      "SIP/2.0", "OPTIONS * SIP/2.0\r\n\r\n", "hello there\r\n" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		for (unsigned udp = 0; udp < 2; udp++) {
			struct kit kit;

			kit_init(&kit, NULL);
			kit_flow(&kit, udp ? PROTO_udp : PROTO_tcp, 40000, 5060);
			if (udp) {
				kit_datagram(&kit, 0, view_str(others[i]));
			} else {
				kit_handshake(&kit);
				kit_send(&kit, 0, others[i]);
			}
			CHECK(stream_l7(kit.stream) != L7_sip, "%s", others[i]);
			kit_release(&kit);
		}
	}
}

TEST(sip, shows_calls_in_full)
{
	const char *text;
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)sip_detail(view_str(INVITE), view_str(TRYING OK_BYE OK_SDP), 1000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	text = (const char *)out.at;
	CHECK(strstr(text, "{\"request\":{\"method\":\"INVITE\",\"uri\":\"sip:bob@y.org:5061;x=y\",\"headers\":[{\"name\":\"User-Agent\","
			   "\"value\":\"phone/1\"},{\"name\":\"Via\","), "%s", text);
	CHECK(strstr(text, "{\"name\":\"To\",\"value\":\"sip:bob@y.org\"},{\"name\":\"Call-ID\",\"value\":\"c1@x\"}"), "%s", text);
	CHECK(strstr(text, "\"sdp\":{\"version\":\"0\",\"session\":\"-\",\"media\":[{\"type\":\"audio\",\"port\":\"49170\","
			   "\"protocol\":\"RTP/AVP\",\"formats\":\"0 8\",\"attributes\":[\"rtpmap:0 PCMU/8000\",\"sendrecv\"]},"
			   "{\"type\":\"video\",\"port\":\"1\",\"protocol\":\"RTP/AVP\",\"formats\":\"99\"}]}"), "%s", text);
	CHECK(strstr(text, "\"response\":{\"messages\":[{\"status\":100,\"reason\":\"Trying\","), "%s", text);
	CHECK(strstr(text, "{\"status\":200,\"reason\":\"OK\","), "%s", text);
	CHECK_NOT(strstr(text, "BYE"));
	wr_release(&out);
}

/* ---- captures ---- */

/* What is under way in the file at hand: tshark lists every copy of a message. */
static char under_way[256][160];
static unsigned under_way_count;

static int under_way_find(const char *key)
{
	for (unsigned i = 0; i < under_way_count; i++)
		if (strcmp(under_way[i], key) == 0)
			return (int)i;
	return -1;
}

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char method[64], call[128] = "", uri[256], status[16], key[160];
	int at;

	(void)truth_field(line, "call", call, sizeof(call));
	if (truth_field(line, "method", method, sizeof(method)) && truth_field(line, "uri", uri, sizeof(uri))) {
		(void)snprintf(key, sizeof(key), "%.30s %.120s", method, call);
		if (strcmp(method, "ACK") != 0) {
			if (under_way_find(key) >= 0)
				return;
			CHECK(under_way_count < 256);
			(void)snprintf(under_way[under_way_count++], 160, "%s", key);
		}
		truth_key(keys, "%s %s %s", method, uri, call);
	} else if (truth_field(line, "status", status, sizeof(status)) && status[0] != '1' &&
		   truth_field(line, "cseq", method, sizeof(method))) {
		(void)snprintf(key, sizeof(key), "%.30s %.120s", method, call);
		at = under_way_find(key);
		if (at < 0)
			return;
		memcpy(under_way[at], under_way[--under_way_count], 160);
		truth_key(keys, "%s %s %s", status, method, call);
	}
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;

#define TEXT(member) (int)row->member.len, ROW_HAS(CALL, row, member) ? (const char *)row->member.at : ""
	if (call->has_req)
		truth_key(keys, "%.*s %.*s %.*s", TEXT(method), TEXT(target), TEXT(trace_id));
	if (ROW_HAS(CALL, row, status) && row->status >= 200)
		truth_key(keys, "%u %.*s %.*s", row->status, TEXT(method), TEXT(trace_id));
#undef TEXT
}

TEST(sip_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "sip.pcap", NULL }, *const mixed[] = { "arkime_synthetic.pcap", NULL };
	struct truth_test test = { .folder = "other", .proto = "sip", .l7 = L7_sip, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.expected, 59);
	CHECK_GE(score.found, 59);
	CHECK_LE(score.extra, 0);
	test.folder = "mixed";
	under_way_count = 0;
	score = truth_run_all(&test, mixed);
	CHECK_GE(score.expected, 4);
	CHECK_GE(score.found, 4);
	CHECK_LE(score.extra, 0);
}

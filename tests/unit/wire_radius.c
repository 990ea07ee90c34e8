#include "base/json.h"
#include "tests/calls_truth.h"
#include "wire/radius_msg.h"

#define ACCESS \
	"\x01\x07\x00\x82" "AAAAAAAAAAAAAAAA\x01\x05" "ann\x02\x12\x01\x01\x01\x01\x01\x01\x01\x01" \
	"\x01\x01\x01\x01\x01\x01\x01\x01\x04\x06\x0a\x00\x00\x01\x06\x06\x00\x00\x00\x02\x1f\x0a" "0" \
	"0-11-22=\x06\x00\x00\x00\x0f_\x12 \x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
	"\x01\x1a\x0b\x00\x00\x00\x09\x01\x05" "a=b\x1a\x14\x00\x00\x01" "7\x0b\x06" "chal\x19\x08sec" \
	"ret7\x06" "eS\xf1\x00\xc8\x04\xff\x00"
#define ACCEPT \
	"\x02\x07\x00" "1BBBBBBBBBBBBBBBB\x08\x06\x0a\x00\x00\x09@\x06\x01\x00\x00\x0dQ\x05\x01" "42a" \
	"\x0c\x00@ \x01\x0d\xb8\x00\x00\x00\x01"
#define ACCESS2	"\x01\x07\x00\x19" "CCCCCCCCCCCCCCCC\x01\x05" "bob"
#define REJECT	"\x03\x07\x00\x1d" "DDDDDDDDDDDDDDDD\x12\x09go away"
#define CHALLENGE	"\x0b\x07\x00\x18" "EEEEEEEEEEEEEEEE\x18\x04\x01\x02"
#define START	"\x04\x08\x00#FFFFFFFFFFFFFFFF\x01\x05" "ann(\x06\x00\x00\x00\x01,\x04s1"
#define STARTED	"\x05\x08\x00\x14GGGGGGGGGGGGGGGG"
#define COA	"+\x09\x00\x18HHHHHHHHHHHHHHHH,\x04s1"
#define COA_NAK	"-\x09\x00\x1aIIIIIIIIIIIIIIIIe\x06\x00\x00\x01\xf7"
#define STATUS	"\x0c\x0a\x00&JJJJJJJJJJJJJJJJP\x12mmmmmmmmmmmmmmmm"
#define UP	"\x02\x0a\x00\x14KKKKKKKKKKKKKKKK"
#define MALFORMED	"\x01\x0b\x00\x19MMMMMMMMMMMMMMMM\x01\x09" "ann"

static void send_all(struct kit *kit, const struct talk_step *step)
{
	for (; step->what; step++)
		kit_datagram(kit, step->what == '<', view_make(step->bytes, step->len));
}

TEST(radius, pairs_by_id)
{
	static const struct talk_step steps[] = {
		TALK('>', ACCESS), TALK('>', ACCESS), TALK('<', CHALLENGE),	/* a retry */
		TALK('>', ACCESS2), TALK('<', REJECT), TALK('<', REJECT),	/* answered twice */
		TALK('>', ACCESS2), TALK('>', ACCESS),				/* asked again, then the id used anew */
		TALK('>', START), TALK('<', ACCEPT), TALK('<', STARTED),
		TALK('<', COA), TALK('>', COA_NAK),				/* the server asks */
		TALK('>', STATUS), TALK('<', UP), TALK('>', "garbage"), TALK('>', MALFORMED), { 0 },
	};
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_udp, 40000, 1812);
	send_all(&kit, steps);
	kit.now_ns += 31000000000;
	stream_tick(kit.stream, kit.now_ns);
	CHECK_LINES(&kit, "Access-Request 00-11-22 11 complete req=0+130 rsp=0+24 error=retries: 1\n"
			  "Access-Request - 3 complete req=260+25 rsp=24+29 error=go away\n"
			  "- - 3 no_request rsp=53+29 error=answered before; go away\n"
			  "Access-Request - - unanswered req=285+25 error=asked before\n"
			  "Access-Request 00-11-22 2 complete req=310+130 rsp=82+49 answers=10.0.0.9\n"
			  "Accounting-Request Start 5 complete req=440+35 rsp=131+20\n"
			  "CoA-Request - 45 complete req=151+24 rsp=475+26 error=Session Context Not Found\n"
			  "Status-Server - 2 complete req=501+38 rsp=175+20\n"
			  "Access-Request - - unanswered req=546+25 error=malformed Access-Request: attributes do not fill its 25 bytes\n");
	CHECK_U64(kit.call[0].row.latency_ns, 2000000);
	CHECK_U64(kit.call[0].row.ttfb_ns, 1000000);
	CHECK_VIEW(kit.call[0].row.user, "ann");
	CHECK_VIEW(kit.call[1].row.status_text, "Access-Reject");
	CHECK_U64(kit.call[1].row.status_class, CLASS_client_error);
	CHECK_VIEW(kit.call[5].row.key, "s1");
	CHECK_U64(kit.call[6].req_dir, 1);
	kit_release(&kit);
}

TEST(radius, is_not_seen_in_what_is_none)
{
	static const struct talk_step others[] = {
		TALK('>', MALFORMED), TALK('>', UP), TALK('>', "\x01\x07\x00\x14short"), TALK('>', ACCESS "x"),
		TALK('>', "\x06\x07\x00\x17" "aaaaaaaaaaaaaaaa\x01\x03x"),
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_udp, 40000, 9999);
		kit_datagram(&kit, 0, view_make(others[i].bytes, others[i].len));
		CHECK(stream_l7(kit.stream) != L7_radius, "case %zu", i);
		kit_release(&kit);
	}
}

static void check_detail(struct view request, struct view response, const char *want)
{
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)radius_detail(request, response, 4000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at, want);
	wr_release(&out);
}

TEST(radius, shows_calls_in_full)
{
	check_detail(VIEW_LIT(ACCESS), VIEW_LIT(ACCEPT),
		     "{\"request\":{\"code\":1,\"name\":\"Access-Request\",\"id\":7,\"authenticator\":\"41414141414141414141414141414141\","
		     "\"attributes\":[{\"type\":1,\"name\":\"User-Name\",\"value\":\"ann\"},{\"type\":2,"
		     "\"name\":\"User-Password\",\"value\":\"(masked)\"},{\"type\":4,\"name\":\"NAS-IP-Address\","
		     "\"value\":\"10.0.0.1\"},{\"type\":6,\"name\":\"Service-Type\",\"value\":\"Framed\"},"
		     "{\"type\":31,\"name\":\"Calling-Station-Id\",\"value\":\"00-11-22\"},{\"type\":61,"
		     "\"name\":\"NAS-Port-Type\",\"value\":\"Ethernet\"},{\"type\":95,\"name\":\"NAS-IPv6-Address\","
		     "\"value\":\"2001:db8::1\"},{\"type\":26,\"name\":\"Vendor-Specific\",\"vendor_id\":9,"
		     "\"vendor\":\"Cisco\",\"attributes\":[{\"type\":1,\"value\":\"a=b\"}]},{\"type\":26,"
		     "\"name\":\"Vendor-Specific\",\"vendor_id\":311,\"vendor\":\"Microsoft\",\"attributes\":["
		     "{\"type\":11,\"value\":\"chal\"},{\"type\":25,\"value\":\"(masked)\"}]},{\"type\":55,"
		     "\"name\":\"Event-Timestamp\",\"value\":\"1700000000\"},{\"type\":200,\"value\":\"0xff00\"}]},"
		     "\"response\":{\"code\":2,\"name\":\"Access-Accept\",\"id\":7,\"authenticator\":\"42424242424242424242424242424242\","
		     "\"attributes\":[{\"type\":8,\"name\":\"Framed-IP-Address\",\"value\":\"10.0.0.9\"},"
		     "{\"type\":64,\"name\":\"Tunnel-Type\",\"value\":\"VLAN\"},{\"type\":81,\"name\":\"Tunnel-Private-Group-ID\","
		     "\"value\":\"42\"},{\"type\":97,\"name\":\"Framed-IPv6-Prefix\",\"value\":\"2001:db8:0:1::/64\"}]}}");
	check_detail(VIEW_LIT(MALFORMED), VIEW_LIT(REJECT),
		     "{\"request\":{\"code\":1,\"name\":\"Access-Request\",\"id\":11,\"authenticator\":\"4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d\","
		     "\"attributes\":[{\"type\":1,\"name\":\"User-Name\",\"value\":\"ann\"}]},\"response\":{"
		     "\"code\":3,\"name\":\"Access-Reject\",\"id\":7,\"authenticator\":\"44444444444444444444444444444444\","
		     "\"attributes\":[{\"type\":18,\"name\":\"Reply-Message\",\"value\":\"go away\"}]}}");
	check_detail(VIEW_LIT(START), VIEW_LIT(COA_NAK),
		     "{\"request\":{\"code\":4,\"name\":\"Accounting-Request\",\"id\":8,\"authenticator\":\"46464646464646464646464646464646\","
		     "\"attributes\":[{\"type\":1,\"name\":\"User-Name\",\"value\":\"ann\"},{\"type\":40,"
		     "\"name\":\"Acct-Status-Type\",\"value\":\"Start\"},{\"type\":44,\"name\":\"Acct-Session-Id\","
		     "\"value\":\"s1\"}]},\"response\":{\"code\":45,\"name\":\"CoA-NAK\",\"id\":9,\"authenticator\":\"49494949494949494949494949494949\","
		     "\"attributes\":[{\"type\":101,\"name\":\"Error-Cause\",\"value\":\"Session Context Not Found\"}]}}");
}

/* ---- captures ---- */

static bool fuzzed;	/* then each side shows users as it likes */

static void key(struct truth_keys *keys, unsigned code, const char *user)
{
	bool request = code == RADIUS_ACCESS || code == RADIUS_ACCOUNTING;

	truth_key(keys, "%u %s", code, request && !fuzzed ? user : "");
}

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char code[8], user[80] = "";
	uint64_t number;

	if (!truth_field(line, "code", code, sizeof(code)) || view_u64(view_str(code), UINT8_MAX, &number) < 0)
		return;
	(void)truth_field(line, "user", user, sizeof(user));
	key(keys, (unsigned)number, user);
}

static unsigned code_of(struct view method)
{
	for (unsigned code = 1; code < 46; code++) {
		uint8_t bytes[RADIUS_HEAD_BYTES] = { (uint8_t)code, 0, 0, RADIUS_HEAD_BYTES };
		struct radius_msg msg;

		if (radius_msg(view_make(bytes, sizeof(bytes)), &msg) && view_is(method, msg.name))
			return code;
	}
	return 0;
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	unsigned copies = call->has_req, retries;
	char text[160];

	(void)snprintf(text, sizeof(text), "%.*s", (int)row->error.len, row->error.len ? (const char *)row->error.at : "");
	if (sscanf(text, "retries: %u", &retries) == 1)
		copies += retries;
	(void)snprintf(text, sizeof(text), "%.*s", (int)row->user.len, row->user.len ? (const char *)row->user.at : "");
	for (unsigned i = 0; i < copies; i++)
		key(keys, code_of(row->method), text);
	if (call->has_rsp)
		key(keys, row->status, text);
}

TEST(radius_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "RADIUS-RFC4675.pcap", "radius.pcap", "radius_localhost.pcap", NULL };
	static const char *const fuzz[] = { "RADIUS.pcap", NULL };
	const struct truth_test test = { .folder = "radius", .proto = "radius", .l7 = L7_radius, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.found, 29);
	CHECK_U64(score.found, score.expected);
	CHECK_U64(score.extra, 0);
	fuzzed = true;
	score = truth_run_all(&test, fuzz);
	CHECK_GE(score.found, 198);
}

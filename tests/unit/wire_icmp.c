#include "base/json.h"
#include "tests/calls_truth.h"

#define ECHO1	"\x08\x00\x12\x34\x00\x07\x00\x01" "abcdefgh"
#define REPLY1	"\x00\x00\x1a\x34\x00\x07\x00\x01" "abcdefgh"
#define ECHO2	"\x08\x00\x12\x33\x00\x07\x00\x02" "abcdefgh"
#define REPLY2	"\x00\x00\x1a\x33\x00\x07\x00\x02" "abcdefgh"
#define ECHO6	"\x80\x00\x12\x33\x00\x07\x00\x02" "ab"
#define REPLY6	"\x81\x00\x1a\x33\x00\x07\x00\x02" "ab"
#define STAMP	"\x0d\x00\x12\x34\x00\x07\x00\x01" "\0\0\0\1\0\0\0\0\0\0\0\0"
#define STAMPED	"\x0e\x00\x12\x34\x00\x07\x00\x01" "\0\0\0\1\0\0\0\2\0\0\0\3"
#define XECHO	"\x2a\x00\x12\x34\x00\x07\x05\x01"
#define XECHOED	"\x2b\x02\x12\x34\x00\x07\x05\x00"
#define UNREACHABLE "\x03\x01\x00\x00\x00\x00\x00\x00" "E\0\0\x1c\0\0\0\0\x40\1\0\0\x0a\0\0\1\x0a\0\0\2" ECHO1

TEST(icmp, pairs_by_sequence_number)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_icmp, 7, 7);
	kit_datagram(&kit, 0, VIEW_LIT(ECHO1));
	kit_datagram(&kit, 0, VIEW_LIT(ECHO2));
	kit_datagram(&kit, 0, VIEW_LIT(STAMP));
	kit_datagram(&kit, 0, VIEW_LIT(XECHO));
	kit_datagram(&kit, 1, VIEW_LIT(REPLY2));
	kit_datagram(&kit, 0, VIEW_LIT(ECHO1));
	kit_datagram(&kit, 1, VIEW_LIT(STAMPED));
	kit_datagram(&kit, 1, VIEW_LIT(REPLY1));
	kit_datagram(&kit, 1, VIEW_LIT(REPLY1));
	kit_datagram(&kit, 1, VIEW_LIT(XECHOED));
	kit_datagram(&kit, 0, VIEW_LIT(ECHO2));
	kit.now_ns += 11000000000;
	stream_tick(kit.stream, kit.now_ns);
	kit_datagram(&kit, 0, VIEW_LIT(ECHO1));
	kit_end(&kit, CALL_END_capture_end);
	CHECK_LINES(&kit, "echo id=7 seq=2 0 complete req=16+16 rsp=0+16 body=8\n"
			  "timestamp id=7 seq=1 0 complete req=32+20 rsp=16+20 body=12\n"
			  "echo id=7 seq=1 0 complete req=0+16 rsp=36+16 body=8 error=retries: 1\n"
			  "echo id=7 seq=1 0 no_request rsp=52+16 body=8\n"
			  "extended echo id=7 seq=5 2 complete req=52+8 rsp=68+8 body=0\n"
			  "echo id=7 seq=2 - unanswered req=76+16\n"
			  "echo id=7 seq=1 - capture_end req=92+16\n");
	CHECK_U64(kit.call[0].row.latency_ns, 3000000);
	CHECK_U64(kit.call[0].row.req_body_bytes, 8);
	CHECK_VIEW(kit.call[0].row.status_text, "echo reply");
	CHECK_U64(kit.call[0].row.status_class, CLASS_ok);
	CHECK_U64(kit.call[2].row.latency_ns, 7000000);
	CHECK_U64(kit.call[2].row.ttfb_ns, 2000000);
	CHECK_VIEW(kit.call[4].row.status_text, "no such interface");
	CHECK_U64(kit.call[4].row.status_class, CLASS_client_error);
	CHECK_U64(kit.call[5].row.end_ns - kit.call[5].row.start_ns, 10000000000);
	kit_release(&kit);
}

/* Who pings himself sends both from the same address. */
TEST(icmp, pairs_in_one_direction)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_icmp6, 7, 7);
	kit_datagram(&kit, 0, VIEW_LIT(ECHO6));
	kit_datagram(&kit, 0, VIEW_LIT(REPLY6));
	CHECK_LINES(&kit, "echo id=7 seq=2 0 complete req=0+10 rsp=10+10 body=2\n");
	kit_release(&kit);
}

TEST(icmp, waits_within_bounds)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_icmp, 7, 7);
	for (unsigned i = 0; i < 1000; i++) {
		uint8_t echo[9] = { 8, 0, 0, 0, 0, 7, (uint8_t)(i >> 8), (uint8_t)i, 'x' };

		kit_datagram(&kit, 0, view_make(echo, sizeof(echo)));
		CHECK_LE(kit.sink.open_calls, 256);
	}
	CHECK_U64(kit.call[0].row.end_reason, CALL_END_evicted);
	kit_end(&kit, CALL_END_capture_end);
	CHECK_U64(kit.count, 1000);
	kit_release(&kit);
}

TEST(icmp, leaves_errors_alone)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_icmp, 0x301, 0x301);
	kit_datagram(&kit, 0, VIEW_LIT(UNREACHABLE));
	CHECK_U64(stream_l7(kit.stream), L7_none);
	kit_end(&kit, CALL_END_capture_end);
	kit_flow(&kit, PROTO_icmp6, 7, 7);
	kit_datagram(&kit, 0, VIEW_LIT(ECHO1));		/* of the other family */
	kit_datagram(&kit, 0, VIEW_LIT("\x80\x00\x12\x33\x00\x07\x00"));
	CHECK_U64(stream_l7(kit.stream), L7_none);
	kit_release(&kit);
	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_udp, 7, 7);
	kit_datagram(&kit, 0, VIEW_LIT(ECHO1));
	CHECK(stream_l7(kit.stream) != L7_icmp);
	kit_release(&kit);
}

static void check_detail(struct view request, struct view response, const char *want)
{
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)proto_by_id(L7_icmp)->detail(request, response, 4000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at, want);
	wr_release(&out);
}

TEST(icmp, shows_calls_in_full)
{
	check_detail(VIEW_LIT(ECHO1), VIEW_LIT(REPLY1),
		     "{\"request\":{\"type\":8,\"name\":\"echo request\",\"code\":0,\"checksum\":\"0x1234\",\"id\":7,\"seq\":1,"
		     "\"data_bytes\":8,\"data\":\"abcdefgh\"},\"response\":{\"type\":0,\"name\":\"echo reply\",\"code\":0,"
		     "\"checksum\":\"0x1a34\",\"id\":7,\"seq\":1,\"data_bytes\":8,\"data\":\"abcdefgh\"}}");
	check_detail(VIEW_LIT(STAMP), VIEW_LIT(STAMPED),
		     "{\"request\":{\"type\":13,\"name\":\"timestamp request\",\"code\":0,\"checksum\":\"0x1234\",\"id\":7,"
		     "\"seq\":1,\"originate_ms\":1,\"receive_ms\":0,\"transmit_ms\":0,\"data_bytes\":12,\"data\":\"0x000000010000000000000000\"},"
		     "\"response\":{\"type\":14,\"name\":\"timestamp reply\",\"code\":0,\"checksum\":\"0x1234\",\"id\":7,"
		     "\"seq\":1,\"originate_ms\":1,\"receive_ms\":2,\"transmit_ms\":3,\"data_bytes\":12,\"data\":\"0x000000010000000200000003\"}}");
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	static uint64_t quoting, last;	/* the frame of an error: what follows in it is a quotation */
	char type[8], id[8], seq[8];

	if (line->frame < last)		/* the next file */
		quoting = 0;
	last = line->frame;
	if (truth_field(line, "type", type, sizeof(type)) && (strcmp(type, "3") == 0 || strcmp(type, "11") == 0 ||
							     strcmp(type, "1") == 0 || strcmp(type, "2") == 0))
		quoting = line->frame;
	if (quoting != line->frame && truth_field(line, "id", id, sizeof(id)) && truth_field(line, "seq", seq, sizeof(seq)))
		truth_key(keys, "%s %lu %s", type, strtoul(id, NULL, 0), seq);
}

static void got_types(const struct kit_call *call, struct truth_keys *keys, const char *request, const char *reply)
{
	unsigned id, seq;
	char target[64];

	(void)snprintf(target, sizeof(target), "%.*s", (int)call->row.target.len, (const char *)call->row.target.at);
	CHECK_U64((uint64_t)sscanf(target, "id=%u seq=%u", &id, &seq), 2);
	if (call->has_req)
		truth_key(keys, "%s %u %u", request, id, seq);
	if (call->has_rsp)
		truth_key(keys, "%s %u %u", reply, id, seq);
}

static void got4(const struct kit_call *call, struct truth_keys *keys)
{
	got_types(call, keys, "8", "0");
}

static void got6(const struct kit_call *call, struct truth_keys *keys)
{
	got_types(call, keys, "128", "129");
}

TEST(icmp_truth, echoes_are_those_tshark_saw)
{
	static const char *const files4[] = { "5-pings.pcap", "icmp-tracert-slow.pcap", "icmp-destunreach-udp.pcap", NULL };
	static const char *const files6[] = { "icmp6.pcap", "icmp6-toobig.pcap", "icmp6-nd-options.pcap", NULL };
	static const char *const link4[] = { "tcpdump-geneve.pcap", "gre-sample.pcap", "sll.pcap", NULL };
	const struct truth_test tests[] = {
		{ .folder = "icmp", .proto = "icmp", .l7 = L7_icmp, .expect = expect, .got = got4 },
		{ .folder = "icmp", .proto = "icmpv6", .l7 = L7_icmp, .expect = expect, .got = got6 },
		{ .folder = "link", .proto = "icmp", .l7 = L7_icmp, .expect = expect, .got = got4 },
	};
	const char *const *files[] = { files4, files6, link4 };
	static const unsigned floors[] = { 52, 16, 12 };

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		struct truth_score score = truth_run_all(&tests[i], files[i]);

		CHECK_GE(score.found, floors[i]);
		CHECK_U64(score.found, score.expected);
		CHECK_U64(score.extra, 0);
	}
}

#include "base/json.h"
#include "tests/calls_truth.h"
#include "wire/kafka_msg.h"

#define STEPS_MAX 8

/* Produce v3 of one partition: acks, then everything else. */
#define PRODUCE(id, acks) "\0\0\0\x2e\0\0\0\3\0\0\0" id "\0\3cli\xff\xff\0" acks "\0\0\5\xdc\0\0\0\1\0\7orders2\0\0\0\1\0\0\0\0\0\0\0\0"
#define PRODUCED(id, error) "\0\0\0\x2f\0\0\0" id "\0\0\0\1\0\7orders2\0\0\0\1\0\0\0\0" error \
	"\0\0\0\0\0\0\0\5\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"
#define HEARTBEAT(id) "\0\0\0\x1d\0\x0c\0\4\0\0\0" id "\0\3cli\0\5grp1\0\0\0\7\4mem\0\0"
#define HEARTBEATEN(id, error) "\0\0\0\x0c\0\0\0" id "\0\0\0\0\0\0" error "\0"

static const struct dialogue {
	const char *name;
	uint16_t port;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "one request, on any port", 7000, {
		TALK('>', PRODUCE("\1", "\1")), TALK('<', PRODUCED("\1", "\0\0")),
	}, "Produce orders2 0 complete req=0+50 rsp=0+51\n", false },
	{ "flexible, pipelined, with an error", 9092, {
		TALK('>', HEARTBEAT("\1") HEARTBEAT("\2")), TALK('<', HEARTBEATEN("\1", "\0") HEARTBEATEN("\2", "\x1b")),
	}, "Heartbeat grp1 0 complete req=0+33 rsp=0+16\n"
	   "Heartbeat grp1 27 complete req=33+33 rsp=16+16 error=REBALANCE_IN_PROGRESS\n", false },
	{ "no answer wanted", 9092, {
		TALK('>', PRODUCE("\1", "\0") HEARTBEAT("\2")), TALK('<', HEARTBEATEN("\2", "\0")),
	}, "Produce orders2 - oneway req=0+50\n"
	   "Heartbeat grp1 0 complete req=50+33 rsp=0+16\n", false },
	{ "a lost answer", 9092, {
		TALK('>', HEARTBEAT("\1")), TALK('<', HEARTBEATEN("\1", "\0")),
		TALK('>', HEARTBEAT("\2") HEARTBEAT("\3")), TALK('x', HEARTBEATEN("\2", "\0")),
		TALK('>', HEARTBEAT("\4")), TALK('<', HEARTBEATEN("\3", "\0") HEARTBEATEN("\4", "\0")),
	}, "Heartbeat grp1 0 complete req=0+33 rsp=0+16\n"
	   "Heartbeat grp1 - gap req=33+33\n"
	   "Heartbeat grp1 0 complete req=66+33 rsp=32+16\n"
	   "Heartbeat grp1 0 complete req=99+33 rsp=48+16\n", true },
	{ "a lost request", 9092, {
		TALK('>', HEARTBEAT("\1")), TALK('<', HEARTBEATEN("\1", "\0")),
		TALK('X', HEARTBEAT("\2")), TALK('<', HEARTBEATEN("\2", "\0")),
		TALK('>', HEARTBEAT("\3")), TALK('<', HEARTBEATEN("\3", "\0")),
	}, "Heartbeat grp1 0 complete req=0+33 rsp=0+16\n"
	   "- - - no_request rsp=16+16\n"
	   "Heartbeat grp1 0 complete req=66+33 rsp=32+16\n", true },
	{ "never answered", 9092, {
		TALK('>', HEARTBEAT("\1")), TALK('f', ""),
	}, "Heartbeat grp1 - unanswered req=0+33\n", false },
	{ "SASL tokens without a header", 9092, {
		TALK('>', "\0\0\0\x14\0\x11\0\0\0\0\0\1\0\3cli\0\5PLAIN"), TALK('<', "\0\0\0\x0a\0\0\0\1\0\0\0\0\0\0"),
		TALK('>', "\0\0\0\6\0bob\0x"), TALK('<', "\0\0\0\0"),
		TALK('>', HEARTBEAT("\2")), TALK('<', HEARTBEATEN("\2", "\0")),
	}, "SaslHandshake PLAIN 0 complete req=0+24 rsp=0+14\n"
	   "Heartbeat grp1 0 complete req=34+33 rsp=18+16\n", false },
};

#define UUID "0123456789abcde"	/* and one more */
/* Metadata v12 of all topics: a broker-less cluster with one topic. */
#define METADATA(id) "\0\0\0\x12\0\3\0\x0c\0\0\0" id "\0\3cli\0\0\1\0\0"
#define METADATA_IS(id, name, last) "\0\0\0\x31\0\0\0" id "\0" "\0\0\0\0" "\1" "\0" "\0\0\0\0" "\2" \
	"\0\0\7" name UUID last "\0\1\0\0\0\0\0" "\0"
/* Fetch v13 of no partition of one topic. */
#define FETCH(id, last) "\0\0\0\x3d\0\1\0\x0d\0\0\0" id "\0\3cli\0" "\xff\xff\xff\xff\0\0\1\xf4\0\0\0\1\0\1\0\0\0" \
	"\0\0\0\0\0\0\0\0" "\2" UUID last "\1\0" "\1\1\0"

TEST(kafka, resolves_topics_by_number)
{
	static const struct talk_step steps[] = {
		TALK('>', FETCH("\1", "X")), TALK('>', METADATA("\2")), TALK('<', METADATA_IS("\2", "orders", "X")),
		TALK('>', FETCH("\3", "X") FETCH("\4", "Y")), TALK('>', METADATA("\5")), TALK('<', METADATA_IS("\5", "orderz", "X")),
		TALK('>', FETCH("\6", "X")), { 0, NULL, 0 },
	};
	const char *topics[] = { "30313233-3435-3637-3839-616263646558", "orders", "30313233-3435-3637-3839-616263646559",
				 "orderz" };
	struct kit kit;
	unsigned n = 0;

	kit_init(&kit, NULL);
	talk_run(&kit, 9092, steps, 8);
	for (unsigned i = 0; i < kit.count && n < 4; i++)
		if (view_is(kit.call[i].row.method, "Fetch"))
			CHECK_VIEW(kit.call[i].row.topic, topics[n++]);
	CHECK_U64(n, 4);
	kit_release(&kit);
}

TEST(kafka, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, d->port);
	}
}

TEST(kafka, cuts_do_not_matter)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
		if (!dialogues[i].uncut)
			talk_cut(dialogues[i].port, dialogues[i].step, STEPS_MAX, dialogues[i].calls);
}

TEST(kafka, fills_the_columns)
{
	static const struct talk_step steps[] = {
		TALK('>', PRODUCE("\1", "\1")), TALK('<', PRODUCED("\1", "\0\6")),
		TALK('>', "\0\0\0\x1d\0\x24\0\1\0\0\0\2\0\3cli\0\0\0\x0c\0alice\0secre"),
		TALK('<', "\0\0\0\x16\0\0\0\2\0\x3a\0\2no\0\0\0\0\0\0\0\0\0\0\0\0"),
		{ 0, NULL, 0 },
	};
	const struct call_row *row;
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 9092, steps, 5);
	CHECK_U64(kit.count, 2);
	row = &kit.call[0].row;
	CHECK_VIEW(row->topic, "orders2");
	CHECK_VIEW(row->target_template, "orders{id}");
	CHECK_VIEW(row->user_agent, "cli");
	CHECK_VIEW(row->version, "v3");
	CHECK_VIEW(row->status_text, "NOT_LEADER_OR_FOLLOWER");
	CHECK_U64(row->status_class, CLASS_server_error);
	row = &kit.call[1].row;
	CHECK_VIEW(row->user, "alice");
	CHECK_VIEW(row->error, "no");
	CHECK_U64(row->status, 58);
	CHECK_U64(row->status_class, CLASS_client_error);
	kit_release(&kit);
}

TEST(kafka, is_not_seen_in_what_is_none)
{
	static const struct talk_step others[] = {
		TALK('>', "\0\0\0\x20\0\0\0\x40\0\0\0\1\0\3cliXXXXXXXXXXXXXXXXXXX"),
		TALK('>', "\0\0\0\x20\0\x7f\0\1\0\0\0\1\0\3cliXXXXXXXXXXXXXXXXXXX"),
		TALK('>', "\0\0\0\x20\0\0\0\3\0\0\0\1\0\3c\1iXXXXXXXXXXXXXXXXXXX"),
		TALK('>', "\0\0\0\x10\0\0\0\3\0\0\0\1\0\x30""cliXXXXXXXXXXXXXXXXXXX"),
		TALK('>', "\0\0\0\x08\0\0\0\1\0\0\0\0"),
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_sendv(&kit, 0, view_make(others[i].bytes, others[i].len));
		CHECK(stream_l7(kit.stream) != L7_kafka, "case %zu", i);
		kit_release(&kit);
	}
}

/* An answer to Produce, id 7: read as a request it is Produce, version 7, of a client with the topic's name. */
TEST(kafka, an_answer_from_before_the_capture_is_no_request)
{
	static const char answer[] = "\0\0\0\x35\0\0\0\7\0\0\0\1\0\5topic\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
				     "\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0";

	for (unsigned port = 9092; port <= 36333; port += 36333 - 9092) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, (uint16_t)port);
		kit_sendv(&kit, 1, view_make(answer, sizeof(answer) - 1));
		kit_end(&kit, CALL_END_closed);
		for (unsigned i = 0; i < kit.count; i++)
			CHECK_NOT(kit.call[i].has_req);
		kit_release(&kit);
	}
}

TEST(kafka, shows_calls_in_full)
{
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)kafka_detail(view_make(PRODUCE("\1", "\1"), sizeof(PRODUCE("\1", "\1")) - 1),
					 view_make(PRODUCED("\1", "\0\6"), sizeof(PRODUCED("\1", "\0\6")) - 1), 1000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at,
		  "{\"request\":{\"api\":\"Produce\",\"api_key\":0,\"api_version\":3,\"correlation_id\":1,\"client_id\":\"cli\","
		  "\"body\":{\"transactional_id\":null,\"acks\":1,\"timeout_ms\":1500,\"topics\":[{\"name\":\"orders2\","
		  "\"partitions\":[{\"index\":0,\"records\":[]}]}]}},"
		  "\"response\":{\"correlation_id\":1,\"body\":{\"responses\":[{\"name\":\"orders2\",\"partitions\":[{\"index\":0,"
		  "\"error_code\":\"NOT_LEADER_OR_FOLLOWER\",\"base_offset\":5,\"log_append_time_ms\":-1}]}],"
		  "\"throttle_time_ms\":0}}}");
	wr_release(&out);
}

/* Every bit of a request and a response turned, and every length: nothing but an end of the walk follows. */
TEST(kafka, does_not_believe_lengths)
{
	static const char request[] = PRODUCE("\1", "\1"), response[] = PRODUCED("\1", "\0\0");

	for (size_t i = 0; i < (sizeof(request) - 1) * 8; i++) {
		uint8_t a[sizeof(request)], b[sizeof(response)];
		struct json json;
		struct wr out;

		memcpy(a, request, sizeof(a));
		memcpy(b, response, sizeof(b));
		a[i / 8] ^= (uint8_t)(1u << i % 8);
		if (i / 8 < sizeof(b) - 1)
			b[i / 8] ^= (uint8_t)(1u << i % 8);
		wr_init(&out, 0);
		json_init(&json, &out, false);
		json_object(&json);
		(void)kafka_detail(view_make(a, sizeof(a) - 1 - i % 40), view_make(b, sizeof(b) - 1), 300, &json);
		json_object_end(&json);
		CHECK_NOT(out.bad);
		wr_release(&out);
	}
}

/* ---- captures ---- */

static bool asks(const struct truth_line *line, char *key, char *ver, char *corr)
{
	char other[32];

	if (!truth_field(line, "corr", corr, 32))
		return false;
	return truth_field(line, "key", key, 32) && truth_field(line, "ver", ver, 32) &&
	       !truth_field(line, "rkey", other, sizeof(other));
}

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char key[32], ver[32], corr[32], topic[128];

	if (!asks(line, key, ver, corr)) {
		truth_key(keys, "answer");
		return;
	}
	if (!truth_field(line, "topic", topic, sizeof(topic)) || topic[0] == '[' || strchr(topic, ','))
		topic[0] = 0;
	/* flexible bodies of Produce are not opened by tshark 4.0 */
	truth_key(keys, "%s v%s %s", kafka_api((unsigned)strtoul(key, NULL, 10))->name, ver, topic);
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	bool show = ROW_HAS(CALL, row, topic) && !view_is(row->version, "v9") && !view_is(row->version, "v13") &&
		    !view_is(row->version, "v12");

	if (call->has_req)
		truth_key(keys, "%.*s %.*s %.*s", (int)row->method.len, (const char *)row->method.at, (int)row->version.len,
			  (const char *)row->version.at, show ? (int)row->topic.len : 0, show ? (const char *)row->topic.at : "");
	if (call->has_rsp)
		truth_key(keys, "answer");
}

TEST(kafka_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "00-produce-v7-sw8.pcap", "00-produce-v9.pcap", "11-join-group-v7.pcap",
					     "kafka.pcapng", "mixed-with-unsupported.pcap", NULL };
	const struct truth_test test = { .folder = "kafka", .proto = "kafka", .l7 = L7_kafka, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.expected, 40);
	CHECK_GE(score.found, 40);
	CHECK_LE(score.extra, 0);
}

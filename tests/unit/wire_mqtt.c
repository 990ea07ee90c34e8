#include "tests/calls_truth.h"

#define STEPS_MAX 8

#define CONN4 "\x10\x11\0\4MQTT\4\x80\0\x3c\0\2c1\0\1u"
#define CONN5 "\x10\x10\0\4MQTT\5\2\0\x3c\0\0\3dev"
#define OK4 "\x20\2\0\0"
#define OK5 "\x20\3\0\0\0"

static const struct dialogue {
	const char *name;
	uint16_t port;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "connect, subscribe, publish both ways, on any port", 7000, {
		TALK('>', CONN4), TALK('<', OK4), TALK('>', "\x82\6\0\1\0\1a\0"), TALK('<', "\x90\3\0\1\0"),
		TALK('>', "\x32\7\0\3t/1\0\2" "\x30\5\0\1bhi"), TALK('<', "\x40\2\0\2" "\x30\4\0\1ax"),
		TALK('>', "\xc0\0\xe0\0"), TALK('<', "\xd0\0"),
	}, "CONNECT c1 0 complete req=0+19 rsp=0+4\n"
	   "SUBSCRIBE a 0 complete req=19+8 rsp=4+5\n"
	   "PUBLISH b - oneway req=36+7\n"
	   "PUBLISH t/1 0 complete req=27+9 rsp=9+4\n"
	   "PUBLISH a - oneway req=13+6\n"
	   "DISCONNECT - - oneway req=45+2\n"
	   "PINGREQ - - complete req=43+2 rsp=19+2\n", false },
	{ "QoS 2 and ids answered out of order", 1883, {
		TALK('>', CONN5), TALK('<', OK5), TALK('>', "\x34\6\0\1t\0\1\0" "\x34\6\0\1t\0\2\0"),
		TALK('<', "\x50\2\0\2" "\x50\3\0\1\x97"), TALK('>', "\x62\2\0\2"), TALK('<', "\x70\2\0\2"),
	}, "CONNECT dev 0 complete req=0+18 rsp=0+5\n"
	   "PUBLISH t 0 complete req=26+8 rsp=5+4\n"
	   "PUBLISH t 151 complete req=18+8 rsp=9+5 error=Quota exceeded\n"
	   "PUBREL - 0 complete req=34+4 rsp=14+4\n", false },
	{ "numbers for topics, told again, told by the other side, never told", 1883, {
		TALK('>', CONN5), TALK('<', OK5), TALK('>', "\x30\x9\0\2ab\3\x23\0\1x" "\x30\7\0\0\3\x23\0\1y"),
		TALK('<', "\x30\7\0\0\3\x23\0\1y"), TALK('>', "\x30\x9\0\2cd\3\x23\0\1x" "\x30\7\0\0\3\x23\0\1y"
								 "\x30\7\0\0\3\x23\0\2y" "\x30\7\0\0\3\x23\xff\xffy"),
	}, "CONNECT dev 0 complete req=0+18 rsp=0+5\n"
	   "PUBLISH ab - oneway req=18+11\n"
	   "PUBLISH ab - oneway req=29+9\n"
	   "PUBLISH - - oneway req=5+9\n"
	   "PUBLISH cd - oneway req=38+11\n"
	   "PUBLISH cd - oneway req=49+9\n"
	   "PUBLISH - - oneway req=58+9\n"
	   "PUBLISH - - oneway req=67+9\n", false },
	{ "refused", 1883, {
		TALK('>', CONN4), TALK('<', "\x20\2\0\5"), TALK('f', ""),
	}, "CONNECT c1 5 complete req=0+19 rsp=0+4 error=Not authorized\n", false },
	{ "a lost answer", 1883, {
		TALK('>', CONN4), TALK('<', OK4), TALK('>', "\x82\6\0\1\0\1a\0"), TALK('x', "\x90\3\0\1\0"),
		TALK('>', "\x82\6\0\2\0\1b\0"), TALK('<', "\x90\3\0\2\x80"),
	}, "CONNECT c1 0 complete req=0+19 rsp=0+4\n"
	   "SUBSCRIBE b 128 complete req=27+8 rsp=9+5 error=Unspecified error\n"
	   "SUBSCRIBE a - gap req=19+8\n", true },
};

TEST(mqtt, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, d->port);
	}
}

TEST(mqtt, cuts_do_not_matter)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
		if (!dialogues[i].uncut)
			talk_cut(dialogues[i].port, dialogues[i].step, STEPS_MAX, dialogues[i].calls);
}

TEST(mqtt, fills_the_columns)
{
	const struct call_row *row;
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 1883, dialogues[0].step, STEPS_MAX);
	CHECK_U64(kit.count, 7);
	row = &kit.call[3].row;
	CHECK_VIEW(row->topic, "t/1");
	CHECK_VIEW(row->target_template, "t/{id}");
	CHECK_VIEW(row->user_agent, "c1");
	CHECK_VIEW(row->user, "u");
	CHECK_VIEW(row->version, "3.1.1");
	CHECK_U64(row->status_class, CLASS_ok);
	CHECK_U64(kit.call[2].row.req_body_bytes, 2);
	CHECK_U64(kit.call[4].req_dir, 1);
	kit_release(&kit);
}

TEST(mqtt, is_not_seen_in_what_is_none)
{
	static const struct talk_step others[] = {
		TALK('>', "\x10\x11\0\4MQTX\4\x80\0\x3c\0\2c1\0\1u"), TALK('>', "\x10\x11\0\4MQTT\x9\x80\0\x3c\0\2c1\0\1u"),
		TALK('>', "\x30\5\0\1bhi"), TALK('>', "\x11\x11\0\4MQTT\4\x80\0\x3c\0\2c1\0\1u"), TALK('>', "\x10\xff\xff\xff\xff\1"),
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_sendv(&kit, 0, view_make(others[i].bytes, others[i].len));
		CHECK(stream_l7(kit.stream) != L7_mqtt, "case %zu", i);
		kit_release(&kit);
	}
}

TEST(mqtt, shows_calls_in_full)
{
	const struct proto_ops *ops = proto_by_id(L7_mqtt);
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)ops->detail(view_make("\x32\x0c\0\3t/1\0\2\2\1\1hi", 14), view_make("\x40\2\0\2", 4), 1, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at, "{\"request\":{\"type\":\"PUBLISH\",\"qos\":1,\"retain\":false,\"duplicate\":false,"
		  "\"topic\":\"t/1\",\"packet_id\":2,\"properties\":[{\"id\":1,\"value\":1}],\"payload\":\"h\",\"truncated\":true},"
		  "\"response\":{\"type\":\"PUBACK\",\"packet_id\":2,\"codes\":[]}}");
	wr_release(&out);
}

/* ---- captures ---- */

static const char *const kinds[] = { "", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
				     "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH" };

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char type[32], topic[100];
	unsigned n;

	if (!truth_field(line, "type", type, sizeof(type)))
		return;
	n = (unsigned)strtoul(type, NULL, 10) & 15;
	if (strchr("\2\4\5\7\11\13\15", (int)n)) {
		truth_key(keys, "answer");
		return;
	}
	if (n == 1 || !truth_field(line, "topic", topic, sizeof(topic)))
		topic[0] = 0;
	topic[strcspn(topic, ",")] = 0;
	truth_key(keys, "%s %s", kinds[n], topic);
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	bool topic = ROW_HAS(CALL, row, topic);

	if (call->has_req)
		truth_key(keys, "%.*s %.*s", (int)row->method.len, (const char *)row->method.at,
			  topic ? (int)(row->topic.len < 99 ? row->topic.len : 99) : 0, topic ? (const char *)row->topic.at : "");
	if (call->has_rsp)
		truth_key(keys, "answer");
}

TEST(mqtt_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "mqtt-events-missing-connect.pcap", "mqtt-limit-2.pcap", "mqtt311-unsub-qos1.pcap",
					     "mqtt5-pub-mosquittoprops.pcap", "mqtt_one_packet_multi_publish.pcap",
					     "mqtt_synthetic.pcap", NULL };
	const struct truth_test test = { .folder = "mqtt", .proto = "mqtt", .l7 = L7_mqtt, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.expected, 87);
	CHECK_GE(score.found, 87);
	CHECK_LE(score.extra, 0);
}

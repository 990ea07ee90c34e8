#include "base/json.h"
#include "tests/calls_truth.h"
#include "wire/memcached_msg.h"

#define STEPS_MAX 12

#define B_GET \
	"\x80\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" \
	"\x00k1"
#define B_HIT \
	"\x81\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x01val"
#define B_MISS \
	"\x81\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" \
	"\x00Not found"
#define B_QUIET \
	"\x80\x0d\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00" \
	"\x00q1\x80\x0d\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x00\x00" \
	"\x00\x00\x00q2\x80\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00" \
	"\x00\x00\x00\x00\x00"
#define B_QHIT \
	"\x81\x0d\x00\x02\x04\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00q2v\x81\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00" \
	"\x00\x00\x00\x00\x00\x00\x00"
#define B_SET \
	"\x80\x01\x00\x02\x08\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00<k1xxxxxxxxxx"
#define B_STORED \
	"\x81\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00" \
	"\x00"
#define B_STAT \
	"\x80\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00" \
	"\x00"
#define B_STATS \
	"\x81\x10\x00\x03\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00" \
	"\x00pid1\x81\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00\x00" \
	"\x00\x00\x00"
#define B_OOM \
	"\x81\x01\x00\x00\x00\x00\x00\x82\x00\x00\x00\x0d\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00" \
	"\x00Out of memory"

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "text", {
		TALK('>', "set k1 0 60 5\r\nhello\r\n"), TALK('<', "STORED\r\n"), TALK('>', "get k1 k2 k3\r\n"),
		TALK('<', "VALUE k1 0 5\r\nhello\r\nVALUE k3 1 2\r\n\r\n\r\nEND\r\n"),
		TALK('>', "gets no\r\nincr n 1\r\ndelete k1\r\n"), TALK('<', "END\r\n18\r\nDELETED\r\n"),
	}, "set k1 - complete req=0+22 rsp=0+8\n"
	   "get k1 - complete req=22+14 rsp=8+44 body=7\n"
	   "gets no - complete req=36+9 rsp=52+5\n"
	   "incr n - complete req=45+10 rsp=57+4 answers=18\n"
	   "delete k1 - complete req=55+11 rsp=61+9\n", false },
	{ "noreply, errors, stats", {
		TALK('>', "add k 0 0 1 noreply\r\nx\r\nversion\r\n"), TALK('<', "VERSION 1.6.18\r\n"),
		TALK('>', "set k 0 0 9\r\n123456789\r\n"), TALK('<', "SERVER_ERROR out of memory storing object\r\n"),
		TALK('>', "stats\r\n"), TALK('<', "STAT pid 1\r\nSTAT uptime 2\r\nEND\r\n"), TALK('>', "quit\r\n"),
	}, "add k - oneway req=0+24\n"
	   "version - - complete req=24+9 rsp=0+16 answers=1.6.18\n"
	   "set k - complete req=33+24 rsp=16+43 error=SERVER_ERROR out of memory storing object\n"
	   "stats - - complete req=57+7 rsp=59+32\n"
	   "quit - - oneway req=64+6\n", false },
	{ "meta, quiet ones before a no-op", {
		TALK('>', "mg a v q k\r\nmg b v q k\r\nmg c v q k\r\nmn\r\n"), TALK('<', "VA 3 kb\r\nabc\r\nMN\r\n"),
		TALK('>', "ms d 2 T0\r\nhi\r\n"), TALK('<', "HD\r\n"), TALK('>', "mg d v\r\nmg e v\r\n"),
		TALK('<', "VA 2\r\nhi\r\nEN\r\n"),
	}, "mg a - complete req=0+12\n"
	   "mg b - complete req=12+12 rsp=0+14 body=3\n"
	   "mg c - complete req=24+12\n"
	   "mn - - complete req=36+4 rsp=14+4\n"
	   "ms d - complete req=40+15 rsp=18+4\n"
	   "mg d - complete req=55+8 rsp=22+10 body=2\n"
	   "mg e - complete req=63+8 rsp=32+4\n", false },
	{ "binary", {
		TALK('>', B_GET), TALK('<', B_HIT), TALK('>', B_GET B_SET), TALK('<', B_MISS B_STORED),
		TALK('>', B_QUIET), TALK('<', B_QHIT), TALK('>', B_STAT), TALK('<', B_STATS), TALK('>', B_SET), TALK('<', B_OOM),
	}, "get k1 0 complete req=0+26 rsp=0+31 body=3\n"
	   "get k1 1 complete req=26+26 rsp=31+33 body=9\n"
	   "set k1 0 complete req=52+44 rsp=64+24 body=0\n"
	   "getkq q1 - complete req=96+26\n"
	   "getkq q2 0 complete req=122+26 rsp=88+31 body=1\n"
	   "noop - 0 complete req=148+24 rsp=119+24 body=0\n"
	   "stat - 0 complete req=172+24 rsp=143+52 body=1\n"
	   "set k1 130 complete req=196+44 rsp=195+37 body=13 error=OUT_OF_MEMORY\n", false },
	{ "from the middle, and a lost answer", {
		TALK('<', "VALUE k0 0 1\r\nz\r\nEND\r\n"), TALK('>', "get k1\r\n"), TALK('x', "END\r\n"), TALK('>', "get k2\r\n"),
		TALK('<', "END\r\n"), TALK('>', "get k3\r\n"), TALK('<', "END\r\n"), TALK('f', ""),
	}, "- k0 - no_request rsp=0+22 body=1\n"
	   "get k1 - gap req=0+8 missing=5\n"
	   "get k2 - gap req=8+8\n"
	   "- - - no_request rsp=27+5\n"
	   "get k3 - complete req=16+8 rsp=32+5\n", true },
};

TEST(memcached, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, 4999);
		if (!d->uncut)
			talk_cut(4999, d->step, STEPS_MAX, d->calls);
	}
}

TEST(memcached, fills_the_columns)
{
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 11211, dialogues[0].step, STEPS_MAX);
	CHECK_VIEW(kit.call[0].row.key, "k1");
	CHECK_VIEW(kit.call[0].row.target_template, "k{id}");
	CHECK_VIEW(kit.call[0].row.status_text, "STORED");
	CHECK_U64(kit.call[0].row.req_body_bytes, 5);
	CHECK_U64(kit.call[1].row.rows, 2);
	CHECK_VIEW(kit.call[1].row.status_text, "HIT");
	CHECK_VIEW(kit.call[2].row.status_text, "MISS");
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 11211, dialogues[1].step, STEPS_MAX);
	CHECK_U64(kit.call[2].row.status_class, CLASS_server_error);
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 11211, dialogues[2].step, STEPS_MAX);
	CHECK_VIEW(kit.call[0].row.status_text, "MISS");
	CHECK_VIEW(kit.call[1].row.status_text, "HIT");
	kit_release(&kit);
}

TEST(memcached, is_not_seen_in_what_is_none)
{
	static const char *const others[] = { "version\r\n", "quit\r\n", "get\r\n", "set k a b c\r\n", "END\r\nx", "stats x\r\n",
					      "\x80\x01\x00\x10garbage-garbage-garbage", "GET / HTTP/1.1\r\n\r\n" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_send(&kit, 0, others[i]);
		kit_send(&kit, 1, others[i]);
		CHECK(stream_l7(kit.stream) != L7_memcached, "%s", others[i]);
		kit_release(&kit);
	}
}

TEST(memcached, shows_calls_in_full)
{
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)memcached_detail(view_str("get k1\r\n"), view_str("VALUE k1 0 5\r\nhello\r\nEND\r\n"), 1000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at, "{\"request\":{\"messages\":[{\"line\":\"get k1\"}]},\"response\":{\"messages\":["
		  "{\"line\":\"VALUE k1 0 5\",\"body\":\"hello\"},{\"line\":\"END\"}]}}");
	wr_reset(&out);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)memcached_detail(view_make(B_GET, sizeof(B_GET) - 1), view_make(B_HIT, sizeof(B_HIT) - 1), 1000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at, "{\"request\":{\"messages\":[{\"opcode\":\"get\",\"opaque\":1,\"key\":\"k1\"}]},"
		  "\"response\":{\"messages\":[{\"opcode\":\"get\",\"opaque\":1,\"status\":0,\"status_text\":\"OK\",\"flags\":1,"
		  "\"body\":\"val\"}]}}");
	wr_release(&out);
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char command[64], key[300] = "";

	if (!truth_field(line, "cmd", command, sizeof(command)))
		return;
	(void)truth_field(line, "key", key, sizeof(key));
	truth_key(keys, "%s %.100s", command, key);
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	size_t len = ROW_HAS(CALL, row, target) ? row->target.len : 0;

	if (call->has_req)
		truth_key(keys, "%.*s %.*s", (int)row->method.len, (const char *)row->method.at, (int)(len < 100 ? len : 100),
			  len ? (const char *)row->target.at : "");
}

TEST(memcached_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "memcached-userdata.pcap", "memcached.pcap", NULL };
	const struct truth_test test = { .folder = "memcache", .proto = "memcache", .l7 = L7_memcached, .expect = expect,
					 .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.expected, 99);
	CHECK_GE(score.found, 99);
	CHECK_LE(score.extra, 0);
}

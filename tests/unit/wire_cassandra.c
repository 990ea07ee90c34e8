#include "base/json.h"
#include "tests/calls_truth.h"
#include "wire/cql_msg.h"

#define STEPS_MAX 16

#define OPTIONS	"\x04\x00\x00\x00\x05\x00\x00\x00\x00"
#define SUPPORTED	"\x84\x00\x00\x00\x06\x00\x00\x00\x18\x00\x01\x00\x0b" "CQL_VERSION\x00\x01\x00\x05" "3.4.5"
#define STARTUP	"\x04\x00\x00\x01\x01\x00\x00\x00\x16\x00\x01\x00\x0b" "CQL_VERSION\x00\x05" "3.4.5"
#define READY	"\x84\x00\x00\x01\x02\x00\x00\x00\x00"
#define QUERY \
	"\x04\x00\x00\x02\x07\x00\x00\x00*\x00\x00\x00#SELECT id, name FROM t WHERE id = 7\x00\x01" \
	"\x00"
#define ROWS \
	"\x84\x00\x00\x02\x08\x00\x00\x00@\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02\x00\x02ks" \
	"\x00\x01t\x00\x02id\x00\x09\x00\x04name\x00\x0d\x00\x00\x00\x02\x00\x00\x00\x04\xff\xff\xff" \
	"\xf9\x00\x00\x00\x03" "ann\x00\x00\x00\x04\x00\x00\x00\x08\xff\xff\xff\xff"
#define USE	"\x04\x00\x00\x03\x07\x00\x00\x00\x0d\x00\x00\x00\x06USE ks\x00\x01\x00"
#define USED	"\x84\x00\x00\x03\x08\x00\x00\x00\x08\x00\x00\x00\x03\x00\x02ks"
#define PREPARE	"\x04\x00\x00\x04\x09\x00\x00\x00#\x00\x00\x00\x1fSELECT name FROM t WHERE id = \x3f"
#define PREPARED \
	"\x84\x00\x00\x04\x08\x00\x00\x00\x22\x00\x00\x00\x04\x00\x10\x00\x01\x02\x03\x04\x05\x06\x07" \
	"\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
#define EXECUTE \
	"\x04\x00\x00\x05\x0a\x00\x00\x00\x1f\x00\x10\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b" \
	"\x0c\x0d\x0e\x0f\x00\x01\x01\x00\x01\x00\x00\x00\x04\x00\x00\x00\x07"
#define VOID	"\x84\x00\x00\x05\x08\x00\x00\x00\x04\x00\x00\x00\x01"
#define ERR	"\x84\x00\x00\x02\x00\x00\x00\x00\x1a\x00\x00\x22\x00\x00\x14unconfigured table t"
#define EVENT	"\x84\x00\xff\xff\x0c\x00\x00\x00\x13\x00\x0dSTATUS_CHANGE\x00\x02UP"
#define ZQUERY	"\x04\x01\x00\x06\x07\x00\x00\x00\x04zzzz"
#define ZERR	"\x84\x01\x00\x06\x00\x00\x00\x00\x03zzz"
#define STARTUP5	"\x05\x00\x00\x01\x01\x00\x00\x00\x16\x00\x01\x00\x0b" "CQL_VERSION\x00\x05" "3.4.5"
#define READY5	"\x85\x00\x00\x01\x02\x00\x00\x00\x00"
#define SEG_QS \
	"D\x00\x02" "ccc\x05\x00\x00\x02\x07\x00\x00\x00\x19\x00\x00\x00\x0fSELECT 1 FROM t\x00\x01" \
	"\x00\x00\x00\x00\x05\x00\x00\x03\x07\x00\x00\x00\x19\x00\x00\x00\x0fSELECT 2 FROM t\x00\x01" \
	"\x00\x00\x00\x00" "CCCC"
#define SEG_RS \
	"\x1a\x00\x02" "ccc\x85\x00\x00\x03\x08\x00\x00\x00\x04\x00\x00\x00\x01\x85\x00\x00\x02\x08" \
	"\x00\x00\x00\x04\x00\x00\x00\x01" "CCCC"

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "streams", {
		TALK('>', OPTIONS), TALK('<', SUPPORTED), TALK('>', STARTUP), TALK('<', READY), TALK('>', QUERY USE),
		TALK('<', USED ROWS EVENT), TALK('>', PREPARE), TALK('<', PREPARED), TALK('>', EXECUTE), TALK('<', VOID),
		TALK('>', QUERY), TALK('<', ERR), TALK('>', ZQUERY), TALK('<', ZERR),
	}, "OPTIONS - - complete req=0+9 rsp=0+33\n"
	   "STARTUP - - complete req=9+31 rsp=33+9\n"
	   "USE USE ks - complete req=91+22 rsp=42+17 answers=ks\n"
	   "SELECT SELECT id, name FROM t WHERE id = 7 - complete req=40+51 rsp=59+73\n"
	   "EVENT STATUS_CHANGE - oneway rsp=132+28\n"
	   "PREPARE SELECT name FROM t WHERE id = ? - complete req=113+44 rsp=160+43\n"
	   "SELECT SELECT name FROM t WHERE id = ? - complete req=157+40 rsp=203+13\n"
	   "SELECT SELECT id, name FROM t WHERE id = 7 8704 complete req=197+51 rsp=216+35 error=unconfigured table t\n"
	   "QUERY - - complete req=248+13 rsp=251+12\n", false },
	{ "version 5 in segments", {
		TALK('>', STARTUP5), TALK('<', READY5), TALK('>', SEG_QS), TALK('<', SEG_RS),
	}, "STARTUP - - complete req=0+31 rsp=0+9\n"
	   "SELECT SELECT 2 FROM t - complete req=71+34 rsp=15+13\n"
	   "SELECT SELECT 1 FROM t - complete req=37+34 rsp=28+13\n", false },
	{ "from the middle, and a lost answer", {
		TALK('<', ROWS), TALK('>', QUERY), TALK('x', ROWS), TALK('>', USE), TALK('<', USED), TALK('>', QUERY), TALK('<', ROWS),
		TALK('f', ""),
	}, "- - - no_request rsp=0+73\n"
	   "USE USE ks - complete req=51+22 rsp=146+17 answers=ks\n"
	   "SELECT SELECT id, name FROM t WHERE id = 7 - gap req=0+51\n"
	   "SELECT SELECT id, name FROM t WHERE id = 7 - complete req=73+51 rsp=163+73\n", true },
};

TEST(cassandra, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, 4999);
		if (!d->uncut)
			talk_cut(4999, d->step, STEPS_MAX, d->calls);
	}
}

TEST(cassandra, fills_the_columns)
{
	struct kit kit;
	const struct call_row *row;

	kit_init(&kit, NULL);
	talk_run(&kit, 9042, dialogues[0].step, STEPS_MAX);
	row = &kit.call[3].row;
	CHECK_VIEW(row->method, "SELECT");
	CHECK_VIEW(row->target_template, "SELECT id, name FROM t WHERE id = ?");
	CHECK_VIEW(row->table, "t");
	CHECK_VIEW(row->version, "v4");
	CHECK_U64(row->rows, 2);
	row = &kit.call[6].row;
	CHECK_VIEW(row->db, "ks");
	CHECK_VIEW(row->target, "SELECT name FROM t WHERE id = ?");
	row = &kit.call[7].row;
	CHECK_U64(row->status, 0x2200);
	CHECK_VIEW(row->status_text, "Invalid");
	CHECK_U64(row->status_class, CLASS_client_error);
	kit_release(&kit);
}

TEST(cassandra, is_not_seen_in_what_is_none)
{
	static const struct talk_step others[] = {
		TALK('>', "\4\0\0\1\7\0\0\0\x20\0\0\0\xffgarbage"), TALK('>', "\3\0\0\1\7\0\0\0\5\0\0\0\1x"),
		TALK('>', "\4\0\0\1\x30\0\0\0\0"), TALK('>', "\4\xff\0\1\5\0\0\0\0"),
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_sendv(&kit, 0, view_make(others[i].bytes, others[i].len));
		CHECK(stream_l7(kit.stream) != L7_cassandra, "case %zu", i);
		kit_release(&kit);
	}
}

TEST(cassandra, shows_calls_in_full)
{
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)cql_detail(view_make(QUERY, sizeof(QUERY) - 1), view_make(ROWS, sizeof(ROWS) - 1), 4000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at,
		  "{\"request\":{\"opcode\":\"QUERY\",\"version\":4,\"stream\":2,\"flags\":0,"
		  "\"query\":\"SELECT id, name FROM t WHERE id = 7\",\"consistency\":1},"
		  "\"response\":{\"opcode\":\"RESULT\",\"version\":4,\"stream\":2,\"flags\":0,\"kind\":\"rows\",\"row_count\":2,"
		  "\"rows\":[{\"id\":-7,\"name\":\"ann\"},{\"id\":8,\"name\":null}]}}");
	wr_release(&out);
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char op[32];
	uint64_t number;

	if (truth_field(line, "op", op, sizeof(op)) && view_u64(view_str(op), UINT8_MAX, &number) == 0)
		truth_key(keys, "%s", cql_opcode((uint8_t)number));
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	if (call->has_req)
		truth_key(keys, "%.*s", (int)call->row.method.len, (const char *)call->row.method.at);
	if (call->has_rsp)
		truth_key(keys, "%.*s", (int)call->row.status_text.len, (const char *)call->row.status_text.at);
}

TEST(cassandra_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "cassandra.pcap", NULL };
	const struct truth_test test = { .folder = "cassandra", .proto = "cql", .l7 = L7_cassandra, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.expected, 3);
	CHECK_GE(score.found, 3);
	/* extra: a connection of version 5, which that tshark does not know */
	CHECK_LE(score.extra, 3);
}

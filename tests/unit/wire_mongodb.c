#include "base/json.h"
#include "tests/calls_truth.h"
#include "wire/mongo_msg.h"

#define STEPS_MAX 12

#define FIND \
	"N\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00" "9\x00" \
	"\x00\x00\x02" "find\x00\x06\x00\x00\x00users\x00\x03" "filter\x00\x0e\x00\x00\x00\x10_id\x00" \
	"\x05\x00\x00\x00\x00\x02$db\x00\x05\x00\x00\x00shop\x00\x00"
#define FOUND \
	"\x81\x00\x00\x00" "d\x00\x00\x00\x07\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00l\x00" \
	"\x00\x00\x03" "cursor\x00S\x00\x00\x00\x04" "firstBatch\x00#\x00\x00\x00\x03" "0\x00\x0c\x00" \
	"\x00\x00\x10" "a\x00\x01\x00\x00\x00\x00\x03" "1\x00\x0c\x00\x00\x00\x10" "a\x00\x02\x00\x00" \
	"\x00\x00\x00\x12id\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02ns\x00\x0b\x00\x00\x00shop.users" \
	"\x00\x00\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00"
#define FIND2 \
	"5\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00 \x00\x00" \
	"\x00\x02" "find\x00\x03\x00\x00\x00o1\x00\x02$db\x00\x05\x00\x00\x00shop\x00\x00"
#define FOUND2 \
	"`\x00\x00\x00" "e\x00\x00\x00\x08\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00K\x00\x00" \
	"\x00\x03" "cursor\x00" "2\x00\x00\x00\x04" "firstBatch\x00\x05\x00\x00\x00\x00\x12id\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x02ns\x00\x08\x00\x00\x00shop.o1\x00\x00\x01ok\x00\x00\x00\x00" \
	"\x00\x00\x00\xf0\x3f\x00"
#define INSERT \
	"k\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00/\x00\x00" \
	"\x00\x02insert\x00\x06\x00\x00\x00users\x00\x08ordered\x00\x01\x02$db\x00\x05\x00\x00\x00sho" \
	"p\x00\x00\x01&\x00\x00\x00" "documents\x00\x0c\x00\x00\x00\x10x\x00\x01\x00\x00\x00\x00\x0c" \
	"\x00\x00\x00\x10x\x00\x02\x00\x00\x00\x00"
#define INSERTED \
	"-\x00\x00\x00" "f\x00\x00\x00\x09\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x18\x00" \
	"\x00\x00\x10n\x00\x02\x00\x00\x00\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00"
#define DUP \
	"}\x00\x00\x00g\x00\x00\x00\x09\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00h\x00\x00\x00" \
	"\x10n\x00\x00\x00\x00\x00\x04writeErrors\x00" "C\x00\x00\x00\x03" "0\x00;\x00\x00\x00\x10ind" \
	"ex\x00\x00\x00\x00\x00\x10" "code\x00\xf8*\x00\x00\x02" "errmsg\x00\x15\x00\x00\x00" "E11000" \
	" duplicate key\x00\x00\x00\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00"
#define ERR \
	"f\x00\x00\x00h\x00\x00\x00\x07\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00Q\x00\x00\x00" \
	"\x01ok\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" "errmsg\x00\x0f\x00\x00\x00not authorized" \
	"\x00\x10" "code\x00\x0d\x00\x00\x00\x02" "codeName\x00\x0d\x00\x00\x00Unauthorized\x00\x00"
#define UNACK \
	"S\x00\x00\x00\x0a\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x02\x00\x00\x00\x00#\x00\x00" \
	"\x00\x02insert\x00\x04\x00\x00\x00log\x00\x02$db\x00\x05\x00\x00\x00shop\x00\x00\x01\x1a\x00" \
	"\x00\x00" "documents\x00\x0c\x00\x00\x00\x10x\x00\x01\x00\x00\x00\x00"
#define HELLO \
	"f\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00\x00\x00\x00\x00" "admin.$cmd" \
	"\x00\x00\x00\x00\x00\xff\xff\xff\xff\x3f\x00\x00\x00\x10isMaster\x00\x01\x00\x00\x00\x03" "c" \
	"lient\x00$\x00\x00\x00\x03" "driver\x00\x17\x00\x00\x00\x02name\x00\x08\x00\x00\x00pymongo" \
	"\x00\x00\x00\x00"
#define HELLO_R \
	"@\x00\x00\x00" "c\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x1c\x00\x00\x00\x08ismaster\x00\x01\x01" \
	"ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00"
#define OLD_FIND \
	"3\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00\x00\x00\x00\x00shop.users\x00" \
	"\x00\x00\x00\x00\x0a\x00\x00\x00\x0c\x00\x00\x00\x10" "a\x00\x01\x00\x00\x00\x00"
#define OLD_FOUND \
	"<\x00\x00\x00" "b\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x0c\x00\x00\x00\x10" "a\x00\x01\x00\x00" \
	"\x00\x00\x0c\x00\x00\x00\x10" "a\x00\x02\x00\x00\x00\x00"
#define OLD_INSERT \
	"+\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\xd2\x07\x00\x00\x00\x00\x00\x00shop.users\x00" \
	"\x0c\x00\x00\x00\x10" "a\x00\x01\x00\x00\x00\x00"
#define ZIPPED \
	"\x1d\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\xdc\x07\x00\x00\xdd\x07\x00\x00\x1e\x00\x00" \
	"\x00\x02zzzz"
#define ZIPPED_R \
	"\x1e\x00\x00\x00" "a\x00\x00\x00\x04\x00\x00\x00\xdc\x07\x00\x00\xdd\x07\x00\x00\x1e\x00\x00" \
	"\x00\x02zzzzz"
#define AWAIT \
	"4\x00\x00\x00\x0b\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x01\x00\x00\x1f\x00" \
	"\x00\x00\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00" "admin\x00\x00"
#define AWAIT_R1 \
	"&\x00\x00\x00n\x00\x00\x00\x0b\x00\x00\x00\xdd\x07\x00\x00\x02\x00\x00\x00\x00\x11\x00\x00" \
	"\x00\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00"
#define AWAIT_R2 \
	"&\x00\x00\x00o\x00\x00\x00n\x00\x00\x00\xdd\x07\x00\x00\x02\x00\x00\x00\x00\x11\x00\x00\x00" \
	"\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00"
#define AWAIT_R3 \
	"&\x00\x00\x00p\x00\x00\x00o\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x11\x00\x00\x00" \
	"\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00"
#define ALL \
	"\x9e\x00\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x89\x00" \
	"\x00\x00\x02x\x00\x02\x00\x00\x00s\x00\x01" "d\x00\x00\x00\x00\x00\x00\x00\xf8\x3f\x05" "b" \
	"\x00\x03\x00\x00\x00\x00" "abc\x07o\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x09t" \
	"\x00{h\xe5\xcf\x8b\x01\x00\x00\x0an\x00\x0br\x00" "a.*\x00i\x00\x12l\x00\xfb\xff\xff\xff\xff" \
	"\xff\xff\xff\x04" "arr\x00\x18\x00\x00\x00\x10" "0\x00\x01\x00\x00\x00\x03" "1\x00\x09\x00" \
	"\x00\x00\x08k\x00\x00\x00\x00\x11ts\x00\x02\x00\x00\x00\x03\x00\x00\x00\x02$db\x00\x02\x00" \
	"\x00\x00" "d\x00\x00"

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "commands, answered in any order", {
		TALK('>', FIND FIND2), TALK('<', FOUND2 FOUND), TALK('>', INSERT), TALK('<', INSERTED),
		TALK('>', INSERT), TALK('<', DUP), TALK('>', FIND), TALK('<', ERR), TALK('>', UNACK),
	}, "find shop.o1 - complete req=78+53 rsp=0+96\n"
	   "find shop.users - complete req=0+78 rsp=96+129\n"
	   "insert shop.users - complete req=131+107 rsp=225+45\n"
	   "insert shop.users 11000 complete req=238+107 rsp=270+125 error=E11000 duplicate key\n"
	   "find shop.users 13 complete req=345+78 rsp=395+102 error=not authorized\n"
	   "insert shop.log - oneway req=423+83\n", false },
	{ "the messages of old", {
		TALK('>', HELLO), TALK('<', HELLO_R), TALK('>', OLD_FIND), TALK('<', OLD_FOUND), TALK('>', OLD_INSERT),
		TALK('>', ZIPPED), TALK('<', ZIPPED_R),
	}, "isMaster admin - complete req=0+102 rsp=0+64\n"
	   "find shop.users - complete req=102+51 rsp=64+60\n"
	   "insert shop.users - oneway req=153+43\n"
	   "compressed - - complete req=196+29 rsp=124+30\n", false },
	{ "an exhaust cursor", {
		TALK('>', AWAIT), TALK('<', AWAIT_R1), TALK('<', AWAIT_R2), TALK('<', AWAIT_R3),
	}, "hello admin - complete req=0+52 rsp=0+38\n"
	   "- - - oneway rsp=38+38\n"
	   "- - - oneway rsp=76+38\n", false },
	{ "a lost reply, a lost request", {
		TALK('>', FIND), TALK('x', FOUND), TALK('>', FIND2), TALK('<', FOUND2), TALK('X', INSERT), TALK('<', INSERTED),
		TALK('>', FIND), TALK('<', FOUND), TALK('f', ""),
	}, "find shop.o1 - complete req=78+53 rsp=129+96\n"
	   "- - - no_request rsp=225+45\n"
	   "find shop.users - gap req=0+78\n"
	   "find shop.users - complete req=238+78 rsp=270+129\n", true },
};

TEST(mongodb, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, 4999);
		if (!d->uncut)
			talk_cut(4999, d->step, STEPS_MAX, d->calls);
	}
}

TEST(mongodb, fills_the_columns)
{
	struct kit kit;
	const struct call_row *row;

	kit_init(&kit, NULL);
	talk_run(&kit, 27017, dialogues[0].step, STEPS_MAX);
	row = &kit.call[1].row;
	CHECK_VIEW(row->method, "find");
	CHECK_VIEW(row->db, "shop");
	CHECK_VIEW(row->collection, "users");
	CHECK_U64(row->rows, 2);
	CHECK_U64(row->status_class, CLASS_ok);
	row = &kit.call[3].row;
	CHECK_U64(row->status, 11000);
	CHECK_U64(row->status_class, CLASS_client_error);
	row = &kit.call[4].row;
	CHECK_VIEW(row->status_text, "Unauthorized");
	CHECK_VIEW(row->error, "not authorized");
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 27017, dialogues[1].step, STEPS_MAX);
	CHECK_VIEW(kit.call[0].row.user_agent, "pymongo");
	kit_release(&kit);
}

TEST(mongodb, is_not_seen_in_what_is_none)
{
	static const struct talk_step others[] = {
		TALK('>', "\x30\0\0\0\1\0\0\0\0\0\0\0\xdd\7\0\0\0\0\0\0\2garbage garbage garbage"),
		TALK('>', "\x30\0\0\0\1\0\0\0\0\0\0\0\xdc\7\0\0\0\0\0\0garbage garbage garbage x"),
		TALK('>', "\x08\0\0\0\1\0\0\0\0\0\0\0\xd4\7\0\0\0\0\0\0garbage garbage garbage x"),
		TALK('>', "\x30\0\0\0\1\0\0\0\0\0\0\0\xd4\7\0\0\0\0\0\0garbage garbage garbage x"),
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_sendv(&kit, 0, view_make(others[i].bytes, others[i].len));
		CHECK(stream_l7(kit.stream) != L7_mongodb, "case %zu", i);
		kit_release(&kit);
	}
}

TEST(mongodb, shows_calls_in_full)
{
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)mongo_detail(view_make(ALL, sizeof(ALL) - 1), view_make(INSERTED, sizeof(INSERTED) - 1), 4000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at,
		  "{\"request\":{\"opcode\":\"OP_MSG\",\"request_id\":12,\"flags\":0,\"body\":{\"x\":\"s\",\"d\":1.5,"
		  "\"b\":{\"$binary\":{\"subType\":0,\"base64\":\"YWJj\"}},\"o\":{\"$oid\":\"000102030405060708090a0b\"},"
		  "\"t\":{\"$date\":\"2023-11-14T22:13:20.123Z\"},\"n\":null,"
		  "\"r\":{\"$regularExpression\":{\"pattern\":\"a.*\",\"options\":\"i\"}},\"l\":-5,\"arr\":[1,{\"k\":false}],"
		  "\"ts\":{\"$timestamp\":{\"t\":3,\"i\":2}},\"$db\":\"d\"}},"
		  "\"response\":{\"opcode\":\"OP_MSG\",\"request_id\":102,\"response_to\":9,\"flags\":0,\"body\":{\"n\":2,\"ok\":1}}}");
	wr_reset(&out);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)mongo_detail(view_make(INSERT, sizeof(INSERT) - 1), view_make("", 0), 4000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at,
		  "{\"request\":{\"opcode\":\"OP_MSG\",\"request_id\":9,\"flags\":0,"
		  "\"body\":{\"insert\":\"users\",\"ordered\":true,\"$db\":\"shop\"},"
		  "\"sequences\":{\"documents\":[{\"x\":1},{\"x\":2}]}}}");
	wr_release(&out);
}

/* A document that names itself too long, too deep, or not at all ends the walk, and nothing else. */
TEST(bson, does_not_believe_lengths)
{
	for (size_t cut = 0; cut < sizeof(ALL); cut++) {
		uint8_t bytes[sizeof(ALL)];

		for (unsigned bit = 0; bit < 8; bit++) {
			struct json json;
			struct wr out;

			memcpy(bytes, ALL, sizeof(ALL));
			bytes[cut] ^= (uint8_t)(1u << bit);
			wr_init(&out, 0);
			json_init(&json, &out, false);
			json_object(&json);
			(void)mongo_detail(view_make(bytes, sizeof(ALL) - 1), view_make(ALL, cut), 200, &json);
			json_object_end(&json);
			CHECK_NOT(out.bad);
			wr_release(&out);
		}
	}
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char to[32], elem[4096], coll[256];

	if (!truth_field(line, "to", to, sizeof(to)) || !truth_field(line, "elem", elem, sizeof(elem)))
		return;
	elem[strcspn(elem, ",")] = 0;
	if (line->from_a)
		truth_key(keys, "%.60s %s", elem, truth_field(line, "coll", coll, sizeof(coll)) ? "old" : "new");
	else
		truth_key(keys, "REPLY");
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	if (call->has_req)
		truth_key(keys, "%.*s %s", (int)call->row.method.len, (const char *)call->row.method.at,
			  view_is(call->row.version, "OP_MSG") ? "new" : "old");
	if (call->has_rsp)
		truth_key(keys, "REPLY");
}

TEST(mongodb_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "mongo.pcap", "mongo_false_positive.pcapng", "mongodb.pcap", NULL };
	const struct truth_test test = { .folder = "mongodb", .proto = "mongo", .l7 = L7_mongodb, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.expected, 34);
	CHECK_GE(score.found, 34);
	CHECK_LE(score.extra, 1);
}

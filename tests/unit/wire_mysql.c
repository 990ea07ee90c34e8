#include "base/json.h"
#include "tests/calls_truth.h"
#include "tests/tls_bytes.h"
#include "wire/mysql_msg.h"

#define STEPS_MAX 16

#define GREET \
	"J\x00\x00\x00\x0a" "8.0.32\x00\x07\x00\x00\x00saltsalt\x00\x08\x8a\xff\x02\x00\x08\x09\x15" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00moresaltmore\x00mysql_native_password\x00"
#define LOGIN \
	"D\x00\x00\x01\x08\x82\x08\x09\x00\x00\x00\x01\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" "bob\x00\x04" "abcdshop\x00mysql_nativ" \
	"e_password\x00"
#define GREET_OLD \
	"J\x00\x00\x00\x0a" "8.0.32\x00\x07\x00\x00\x00saltsalt\x00\x08\x8a\xff\x02\x00\x08\x00\x15" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00moresaltmore\x00mysql_native_password\x00"
#define LOGIN_OLD \
	"D\x00\x00\x01\x08\x82\x08\x00\x00\x00\x00\x01\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" "bob\x00\x04" "abcdshop\x00mysql_nativ" \
	"e_password\x00"
#define LOGIN_SSL \
	" \x00\x00\x01\x08\x8a\x08\x09\x00\x00\x00\x01\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
#define AUTH_OK	"\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"
#define QUERY_ATTRS	" \x00\x00\x00\x03\x00\x01SELECT a FROM t WHERE b = \x22x\x22"
#define QUERY_ATTR	"\x15\x00\x00\x00\x03\x01\x01\x00\x01\xfe\x00\x02k1\x02v1SELECT 5"
#define RESULT \
	"\x01\x00\x00\x01\x01\x1e\x00\x00\x02\x03" "def\x04shop\x01t\x01t\x01" "a\x01" "a\x0c!\x00" \
	"\x04\x00\x00\x00\xfd\x00\x00\x00\x00\x00\x03\x00\x00\x03\x02v1\x01\x00\x00\x04\xfb\x07\x00" \
	"\x00\x05\xfe\x00\x00\x02\x00\x00\x00"
#define QUERY	"\x10\x00\x00\x00\x03SELECT a FROM t"
#define RESULT_OLD \
	"\x01\x00\x00\x01\x01\x1e\x00\x00\x02\x03" "def\x04shop\x01t\x01t\x01" "a\x01" "a\x0c!\x00" \
	"\x04\x00\x00\x00\xfd\x00\x00\x00\x00\x00\x05\x00\x00\x03\xfe\x00\x00\x02\x00\x03\x00\x00\x04" \
	"\x02v1\x05\x00\x00\x05\xfe\x00\x00\x02\x00"
#define RESULTS_OLD \
	"\x01\x00\x00\x01\x01\x1e\x00\x00\x02\x03" "def\x04shop\x01t\x01t\x01" "a\x01" "a\x0c!\x00" \
	"\x04\x00\x00\x00\xfd\x00\x00\x00\x00\x00\x05\x00\x00\x03\xfe\x00\x00\x02\x00\x03\x00\x00\x04" \
	"\x02v1\x05\x00\x00\x05\xfe\x00\x00\x0a\x00\x07\x00\x00\x06\x00\x03\x00\x02\x00\x00\x00"
#define PING	"\x01\x00\x00\x00\x0e"
#define OK1	"\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"
#define OK_AFF	"\x07\x00\x00\x01\x00\x05\x00\x02\x00\x00\x00"
#define ERR1	"\x19\x00\x00\x01\xff\x19\x04#42000Unknown database"
#define USE	"\x06\x00\x00\x00\x02other"
#define QUIT	"\x01\x00\x00\x00\x01"
#define UPDATE	"\x13\x00\x00\x00\x03\x00\x01UPDATE t SET a=1"
#define PREPARE	"\x1d\x00\x00\x00\x16SELECT a FROM t WHERE id = ?"
#define PREPARED \
	"\x0c\x00\x00\x01\x00\x09\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00\x1e\x00\x00\x02\x03" "def" \
	"\x04shop\x01t\x01t\x01?\x01?\x0c!\x00\x04\x00\x00\x00\xfd\x00\x00\x00\x00\x00\x1e\x00\x00" \
	"\x03\x03" "def\x04shop\x01t\x01t\x01" "a\x01" "a\x0c!\x00\x04\x00\x00\x00\xfd\x00\x00\x00" \
	"\x00\x00"
#define PREPARED_OLD \
	"\x0c\x00\x00\x01\x00\x09\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00\x1e\x00\x00\x02\x03" "def" \
	"\x04shop\x01t\x01t\x01?\x01?\x0c!\x00\x04\x00\x00\x00\xfd\x00\x00\x00\x00\x00\x05\x00\x00" \
	"\x03\xfe\x00\x00\x02\x00\x1e\x00\x00\x04\x03" "def\x04shop\x01t\x01t\x01" "a\x01" "a\x0c!" \
	"\x00\x04\x00\x00\x00\xfd\x00\x00\x00\x00\x00\x05\x00\x00\x05\xfe\x00\x00\x02\x00"
#define EXECUTE	"\x12\x00\x00\x00\x17\x09\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\x03\x00\x07\x00\x00\x00"
#define ROWS_BIN \
	"\x01\x00\x00\x01\x01\x1e\x00\x00\x02\x03" "def\x04shop\x01t\x01t\x01" "a\x01" "a\x0c!\x00" \
	"\x04\x00\x00\x00\x03\x00\x00\x00\x00\x00\x06\x00\x00\x03\x00\x00\xf9\xff\xff\xff\x07\x00\x00" \
	"\x04\xfe\x00\x00\x02\x00\x00\x00"
#define CLOSE	"\x05\x00\x00\x00\x19\x09\x00\x00\x00"
#define INFILE	"*\x00\x00\x00\x03\x00\x01LOAD DATA LOCAL INFILE 'f' INTO TABLE t"
#define SEND	"\x02\x00\x00\x01\xfb" "f"
#define DATA	"\x04\x00\x00\x02" "1\x0a" "2\x0a\x00\x00\x00\x03"
#define OK4	"\x07\x00\x00\x04\x00\x02\x00\x02\x00\x00\x00"
#define FIELDS	"\x03\x00\x00\x00\x04t\x00"
#define FIELD_DEFS \
	"\x1e\x00\x00\x01\x03" "def\x04shop\x01t\x01t\x01" "a\x01" "a\x0c!\x00\x04\x00\x00\x00\xfd" \
	"\x00\x00\x00\x00\x00\x1e\x00\x00\x02\x03" "def\x04shop\x01t\x01t\x01" "b\x01" "b\x0c!\x00" \
	"\x04\x00\x00\x00\xfd\x00\x00\x00\x00\x00\x05\x00\x00\x03\xfe\x00\x00\x02\x00"

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "login and queries, new form", {
		TALK('<', GREET), TALK('>', LOGIN), TALK('<', AUTH_OK),
		TALK('>', QUERY_ATTRS), TALK('<', RESULT), TALK('>', QUERY_ATTR), TALK('<', RESULT),
		TALK('>', UPDATE), TALK('<', OK_AFF), TALK('>', USE), TALK('<', OK1), TALK('>', USE), TALK('<', ERR1),
		TALK('>', QUIT),
	}, "CONNECT shop - complete req=0+72 rsp=78+11\n"
	   "SELECT SELECT a FROM t WHERE b = \"x\" - complete req=72+36 rsp=89+62 body=4\n"
	   "SELECT SELECT 5 - complete req=108+25 rsp=151+62 body=4\n"
	   "UPDATE UPDATE t SET a=1 - complete req=133+23 rsp=213+11\n"
	   "INIT_DB other - complete req=156+10 rsp=224+11\n"
	   "INIT_DB other 1049 complete req=166+10 rsp=235+29 error=Unknown database\n"
	   "QUIT - - oneway req=176+5\n", false },
	{ "old form, more results, field list", {
		TALK('<', GREET_OLD), TALK('>', LOGIN_OLD), TALK('<', AUTH_OK),
		TALK('>', QUERY), TALK('<', RESULT_OLD), TALK('>', QUERY), TALK('<', RESULTS_OLD),
		TALK('>', FIELDS), TALK('<', FIELD_DEFS), TALK('>', PING), TALK('<', OK1),
	}, "CONNECT shop - complete req=0+72 rsp=78+11\n"
	   "SELECT SELECT a FROM t - complete req=72+20 rsp=89+64 body=3\n"
	   "SELECT SELECT a FROM t - complete req=92+20 rsp=153+75 body=3\n"
	   "FIELD_LIST t - complete req=112+7 rsp=228+77 body=30\n"
	   "PING - - complete req=119+5 rsp=305+11\n", false },
	{ "prepared, new form", {
		TALK('<', GREET), TALK('>', LOGIN), TALK('<', AUTH_OK),
		TALK('>', PREPARE), TALK('<', PREPARED), TALK('>', EXECUTE), TALK('<', ROWS_BIN), TALK('>', CLOSE PING),
		TALK('<', OK1),
	}, "CONNECT shop - complete req=0+72 rsp=78+11\n"
	   "PREPARE SELECT a FROM t WHERE id = ? - complete req=72+33 rsp=89+84\n"
	   "SELECT SELECT a FROM t WHERE id = ? - complete req=105+22 rsp=173+60 body=6\n"
	   "CLOSE SELECT a FROM t WHERE id = ? - oneway req=127+9\n"
	   "PING - - complete req=136+5 rsp=233+11\n", false },
	{ "prepared, from the middle, old form", {
		TALK('>', PREPARE), TALK('<', PREPARED_OLD), TALK('>', QUERY), TALK('<', RESULT_OLD),
	}, "PREPARE SELECT a FROM t WHERE id = ? - complete req=0+33 rsp=0+102\n"
	   "SELECT SELECT a FROM t - complete req=33+20 rsp=102+64 body=3\n", false },
	{ "prepared, from the middle, new form", {
		TALK('>', PREPARE), TALK('<', PREPARED), TALK('>', EXECUTE), TALK('<', ROWS_BIN),
	}, "PREPARE SELECT a FROM t WHERE id = ? - complete req=0+33 rsp=0+84\n"
	   "SELECT SELECT a FROM t WHERE id = ? - complete req=33+22 rsp=84+60 body=6\n", false },
	{ "a local file", {
		TALK('<', GREET), TALK('>', LOGIN), TALK('<', AUTH_OK),
		TALK('>', INFILE), TALK('<', SEND), TALK('>', DATA), TALK('<', OK4),
	}, "CONNECT shop - complete req=0+72 rsp=78+11\n"
	   "LOAD LOAD DATA LOCAL INFILE 'f' INTO TABLE t - complete req=72+54 rsp=89+17\n", false },
	{ "TLS", {
		TALK('<', GREET), TALK('>', LOGIN_SSL), TALK('>', B_CH12), TALK('<', B_SH12_FULL),
	}, "SSLREQUEST - - oneway req=0+36\n"
	   "TLS 1.2 a.example - closed req=36+118 rsp=78+82 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2\n", false },
	{ "refused", {
		TALK('<', GREET), TALK('>', LOGIN), TALK('<', "\x19\0\0\2\xff\x19\4#42000Unknown database"), TALK('f', ""),
	}, "CONNECT shop 1049 complete req=0+72 rsp=78+29 error=Unknown database\n", false },
	{ "a lost answer", {
		TALK('<', GREET), TALK('>', LOGIN), TALK('<', AUTH_OK),
		TALK('>', UPDATE), TALK('x', OK1), TALK('>', UPDATE), TALK('<', OK1),
		TALK('>', PING), TALK('<', OK1), TALK('f', ""),
	}, "CONNECT shop - complete req=0+72 rsp=78+11\n"
	   "UPDATE UPDATE t SET a=1 - gap req=72+23 missing=11\n"
	   "UPDATE UPDATE t SET a=1 - gap req=95+23\n"
	   "- - - no_request rsp=100+11\n"
	   "PING - - complete req=118+5 rsp=111+11\n", true },
};

TEST(mysql, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, 3999);
		if (!d->uncut)
			talk_cut(3999, d->step, STEPS_MAX, d->calls);
	}
}

/* Idle connections of a pool, on a port that says nothing: pings alone may be anything, with a statement behind not. */
TEST(mysql, finds_the_pings_before_the_first_statement)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 20130);
	for (unsigned i = 0; i < 2; i++) {
		kit_sendv(&kit, 0, view_make(PING, sizeof(PING) - 1));
		kit_sendv(&kit, 1, view_make(OK1, sizeof(OK1) - 1));
	}
	kit_sendv(&kit, 0, view_make(QUERY, sizeof(QUERY) - 1));
	kit_sendv(&kit, 1, view_make(RESULT_OLD, sizeof(RESULT_OLD) - 1));
	kit_end(&kit, CALL_END_capture_end);
	CHECK_LINES(&kit, "PING - - complete req=0+5 rsp=0+11\n"
			  "PING - - complete req=5+5 rsp=11+11\n"
			  "SELECT SELECT a FROM t - complete req=10+20 rsp=22+64 body=3\n");
	kit_release(&kit);
}

/* The number of a packet is a byte: an answer of more than 255 packets goes on with 0. */
TEST(mysql, goes_on_behind_packet_255)
{
	static const size_t head = sizeof(RESULT_OLD) - 1 - 9 - 7;	/* behind it a row and the end */
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 3306);
	kit_sendv(&kit, 0, view_make(QUERY, sizeof(QUERY) - 1));
	kit_sendv(&kit, 1, view_make(RESULT_OLD, head));
	for (unsigned number = 4; number < 4 + 600; number++) {
		uint8_t row[] = { 3, 0, 0, (uint8_t)number, 2, 'v', '1' };

		kit_sendv(&kit, 1, view_make(row, sizeof(row)));
	}
	kit_sendv(&kit, 1, view_make("\5\0\0\x5c\xfe\0\0\2\0", 9));
	kit_sendv(&kit, 0, view_make(PING, sizeof(PING) - 1));
	kit_sendv(&kit, 1, view_make(OK1, sizeof(OK1) - 1));
	kit_end(&kit, CALL_END_capture_end);
	CHECK_U64(kit.count, 2);
	CHECK_U64(kit.call[0].row.rows, 600);
	CHECK_U64(kit.call[0].row.end_reason, CALL_END_complete);
	CHECK_U64(kit.call[1].row.end_reason, CALL_END_complete);
	kit_release(&kit);
}

TEST(mysql, fills_the_columns)
{
	struct kit kit;
	const struct call_row *row;

	kit_init(&kit, NULL);
	talk_run(&kit, 3306, dialogues[0].step, STEPS_MAX);
	row = &kit.call[1].row;
	CHECK_VIEW(row->target_template, "SELECT a FROM t WHERE b = ?");
	CHECK_VIEW(row->table, "t");
	CHECK_VIEW(row->db, "shop");
	CHECK_VIEW(row->user, "bob");
	CHECK_VIEW(row->version, "8.0.32");
	CHECK_U64(row->rows, 2);
	CHECK_U64(kit.call[3].row.rows, 5);
	row = &kit.call[5].row;
	CHECK_VIEW(row->db, "other");
	CHECK_U64(row->status, 1049);
	CHECK_VIEW(row->status_text, "42000");
	CHECK_U64(row->status_class, CLASS_client_error);
	kit_release(&kit);
}

TEST(mysql, shows_calls_in_full)
{
	static const struct {
		const char *req, *rsp;
		size_t req_len, rsp_len;
		const char *json;
	} cases[] = {
		{ QUERY, RESULT_OLD, sizeof(QUERY) - 1, sizeof(RESULT_OLD) - 1,
		  "{\"request\":{\"command\":\"QUERY\",\"sql\":\"SELECT a FROM t\"},\"response\":{\"packets\":["
		  "{\"packet\":\"result\",\"columns\":[\"a\"],\"rows\":[{\"a\":\"v1\"}]},\"end of rows\"]}}" },
		{ QUERY_ATTRS, RESULT, sizeof(QUERY_ATTRS) - 1, sizeof(RESULT) - 1,
		  "{\"request\":{\"command\":\"QUERY\",\"sql\":\"SELECT a FROM t WHERE b = \\\"x\\\"\"},\"response\":{\"packets\":["
		  "{\"packet\":\"result\",\"columns\":[\"a\"],\"rows\":[{\"a\":\"v1\"},{\"a\":null}]},\"end of rows\"]}}" },
		{ EXECUTE, ROWS_BIN, sizeof(EXECUTE) - 1, sizeof(ROWS_BIN) - 1,
		  "{\"request\":{\"command\":\"EXECUTE\",\"statement_id\":9,\"parameters\":\"0x0001030007000000\"},\"response\":"
		  "{\"packets\":[{\"packet\":\"result\",\"columns\":[\"a\"],\"rows\":[{\"a\":-7}]},\"end of rows\"]}}" },
		{ USE, ERR1, sizeof(USE) - 1, sizeof(ERR1) - 1,
		  "{\"request\":{\"command\":\"INIT_DB\",\"argument\":\"other\"},\"response\":{\"packets\":[{\"packet\":\"error\","
		  "\"code\":1049,\"sqlstate\":\"42000\",\"message\":\"Unknown database\"}]}}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json json;
		struct wr out;

		wr_init(&out, 0);
		json_init(&json, &out, false);
		json_object(&json);
		CHECK_U64((uint64_t)mysql_detail(view_make(cases[i].req, cases[i].req_len),
						 view_make(cases[i].rsp, cases[i].rsp_len), 4000, &json), 0);
		json_object_end(&json);
		wr_u8(&out, 0);
		CHECK_STR((const char *)out.at, cases[i].json);
		wr_release(&out);
	}
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char value[64], text[4096];
	uint64_t command;

	if (truth_field(line, "err", value, sizeof(value)))
		truth_key(keys, "ERROR %s", value);
	if (truth_field(line, "user", value, sizeof(value))) {
		truth_key(keys, "CONNECT %s", value);
		return;
	}
	if (!truth_field(line, "num", value, sizeof(value)) || strcmp(value, "0") != 0 ||
	    !truth_field(line, "cmd", value, sizeof(value)) || view_u64(view_str(value), UINT8_MAX, &command) < 0 ||
	    !mysql_command((uint8_t)command))
		return;
	if ((command == MYSQL_COM_QUERY || command == MYSQL_COM_PREPARE) && truth_field(line, "query", text, sizeof(text)))
		truth_key(keys, "SQL %.30s", text);
	else if (command == MYSQL_COM_EXECUTE)
		truth_key(keys, "EXECUTE");
	else
		truth_key(keys, "%s", mysql_command((uint8_t)command));
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	char method[32], sql[31] = "";
	size_t len = 0;

	if (ROW_HAS(CALL, row, status))
		truth_key(keys, "ERROR %u", row->status);
	if (!call->has_req)
		return;
	(void)snprintf(method, sizeof(method), "%.*s", (int)row->method.len, (const char *)row->method.at);
	if (strcmp(method, "SSLREQUEST") == 0) {
		truth_key(keys, "CONNECT ");
		return;
	}
	if (strcmp(method, "CONNECT") == 0) {
		truth_key(keys, "CONNECT %.*s", (int)row->user.len, (const char *)row->user.at);
		return;
	}
	for (unsigned c = 1; c < 32; c++) {
		const char *name = mysql_command((uint8_t)c);

		if (name && strcmp(name, method) == 0 && strcmp(method, "PREPARE") != 0) {
			truth_key(keys, "%s", method);
			return;
		}
	}
	for (size_t i = 0; i < row->target.len && len < 30; i++)
		sql[len++] = row->target.at[i] < ' ' ? ' ' : (char)row->target.at[i];
	/* an execution carries no text: it is longer or shorter than its statement */
	if (strcmp(method, "PREPARE") != 0 && row->req_bytes < 5 + row->target.len)
		truth_key(keys, "EXECUTE");
	else
		truth_key(keys, "SQL %s", sql);
}

TEST(mysql_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "171-mysql.pcap", "caching_sha2_password.pcap", "encrypted.pcap",
					     "many-query-attrs.pcap", "mysql-compressed-response.pcap", "mysql-error.pcap",
					     "mysql-statement.pcap", "mysql.pcap", "mysql.pcapng", "truncate-1024.pcap", NULL };
	const struct truth_test test = { .folder = "mysql", .proto = "mysql", .l7 = L7_mysql, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.found, 142);
	CHECK_U64(score.expected, score.found);
	CHECK_U64(score.extra, 0);
}

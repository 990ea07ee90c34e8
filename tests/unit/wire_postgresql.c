#include "base/json.h"
#include "tests/calls_truth.h"
#include "tests/tls_bytes.h"
#include "wire/fold.h"
#include "wire/pg_msg.h"

#define STEPS_MAX 12

#define LOGIN	"\0\0\0\x20\0\3\0\0user\0bob\0database\0shop\0\0"
#define READY	"Z\0\0\0\5I"
#define AUTH_OK	"R\0\0\0\10\0\0\0\0"
#define ROWS_T	"T\0\0\0\x1b\0\1id\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0"
#define ROW_D	"D\0\0\0\13\0\1\0\0\0\1" "7"
#define PARSE_S	"P\0\0\0\x1as1\0SELECT $1 FROM t\0\0\0"
#define BIND_S	"B\0\0\0\x13\0s1\0\0\0\0\1\0\0\0\1" "7\0\0"
#define EXECUTE	"E\0\0\0\11\0\0\0\0\0"
#define SYNC	"S\0\0\0\4"
#define ERROR_	"E\0\0\0\x2dSERROR\0VERROR\0C42P01\0Mno such table \"x\"\0\0"

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "login, then a query", {
		TALK('>', "\0\0\0\10\4\xd2\x16\x2f"), TALK('<', "N"),
		TALK('>', LOGIN), TALK('<', "R\0\0\0\14\0\0\0\5salt"),
		TALK('>', "p\0\0\0\12md5xx\0"),
		TALK('<', AUTH_OK "S\0\0\0\10a\0b\0" "K\0\0\0\14\0\0\0\1\0\0\0\2" READY),
		TALK('>', "Q\0\0\0\x11SELECT id, 2\0"), TALK('<', ROWS_T ROW_D "C\0\0\0\15SELECT 1\0" READY),
		TALK('>', "X\0\0\0\4"),
	}, "SSLREQUEST - - complete req=0+8 rsp=0+1\n"
	   "CONNECT shop - complete req=8+43 rsp=1+50\n"
	   "SELECT SELECT id, 2 - complete req=51+18 rsp=51+60 body=7 answers=SELECT 1\n", false },
	{ "extended, with a name, pipelined", {
		TALK('>', LOGIN), TALK('<', AUTH_OK READY),
		TALK('>', PARSE_S "D\0\0\0\10Ss1\0" SYNC),
		TALK('<', "1\0\0\0\4" "t\0\0\0\12\0\1\0\0\0\x17" ROWS_T READY),
		TALK('>', BIND_S EXECUTE BIND_S EXECUTE SYNC),
		TALK('<', "2\0\0\0\4" ROW_D "C\0\0\0\15SELECT 1\0" "2\0\0\0\4" "C\0\0\0\15SELECT 0\0" READY),
	}, "CONNECT shop - complete req=0+32 rsp=0+15\n"
	   "PREPARE SELECT $1 FROM t - complete req=32+41 rsp=15+50\n"
	   "SELECT SELECT $1 FROM t - complete req=73+30 rsp=65+31 body=7 answers=SELECT 1\n"
	   "SELECT SELECT $1 FROM t - complete req=103+35 rsp=96+25 answers=SELECT 0\n", false },
	{ "an error takes the series down", {
		TALK('>', LOGIN), TALK('<', AUTH_OK READY),
		TALK('>', PARSE_S BIND_S EXECUTE BIND_S EXECUTE SYNC), TALK('<', ERROR_ READY),
	}, "CONNECT shop - complete req=0+32 rsp=0+15\n"
	   "SELECT SELECT $1 FROM t - complete req=32+57 rsp=15+46 error=no such table \"x\"\n"
	   "SELECT SELECT $1 FROM t - complete req=89+35 rsp=61+6 error=not run: a message before it in the series failed\n",
	  false },
	{ "COPY in", {
		TALK('>', LOGIN), TALK('<', AUTH_OK READY),
		TALK('>', "Q\0\0\0\x16" "COPY t FROM STDIN\0"), TALK('<', "G\0\0\0\7\0\0\0"),
		TALK('>', "d\0\0\0\x0a" "1\ta\n2\t" "d\0\0\0\6b\n" "c\0\0\0\4"), TALK('<', "C\0\0\0\13COPY 2\0" READY),
	}, "CONNECT shop - complete req=0+32 rsp=0+15\n"
	   "COPY COPY t FROM STDIN - complete req=32+46 rsp=15+26 answers=COPY 2\n", false },
	{ "cancel", {
		TALK('>', "\0\0\0\x10\4\xd2\x16\x2e\0\0\0\1\0\0\0\2"),
	}, "CANCEL - - oneway req=0+16\n", false },
	{ "encrypted by GSSAPI: the rest is opaque", {
		TALK('>', "\0\0\0\10\4\xd2\x16\x30"), TALK('<', "G"), TALK('>', "\0\0\0\5hello"), TALK('<', "\0\0\0\5hello"),
	}, "GSSENCREQUEST - - complete req=0+8 rsp=0+1\n", false },
	{ "TLS is handed over", {
		TALK('>', "\0\0\0\10\4\xd2\x16\x2f"), TALK('<', "S"), TALK('>', B_CH12), TALK('<', B_SH12_FULL),
	}, "SSLREQUEST - - complete req=0+8 rsp=0+1\n"
	   "TLS 1.2 a.example - closed req=8+118 rsp=1+82 answers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, h2\n", false },
	{ "seen from the middle, and a lost answer", {
		TALK('>', "Q\0\0\0\15SELECT 1\0"), TALK('x', ROW_D "C\0\0\0\15SELECT 1\0" READY),
		TALK('>', "Q\0\0\0\15SELECT 2\0"), TALK('<', "C\0\0\0\15SELECT 1\0" READY),
		TALK('>', "Q\0\0\0\15SELECT 3\0"), TALK('<', "C\0\0\0\15SELECT 1\0" READY), TALK('f', ""),
	}, "SELECT SELECT 1 - gap req=0+14 missing=32\n"
	   "SELECT SELECT 2 - gap req=14+14\n"
	   "- - - no_request rsp=32+20 answers=SELECT 1\n"
	   "SELECT SELECT 3 - complete req=28+14 rsp=52+20 answers=SELECT 1\n", true },
	{ "refused", {
		TALK('>', LOGIN), TALK('<', ERROR_), TALK('f', ""),
	}, "CONNECT shop - complete req=0+32 rsp=0+46 error=no such table \"x\"\n", false },
	{ "listening", {
		TALK('>', LOGIN), TALK('<', AUTH_OK READY), TALK('<', "A\0\0\0\14\0\0\0\1ch\0\0"),
	}, "CONNECT shop - complete req=0+32 rsp=0+15\nNOTIFICATION ch - oneway rsp=15+13\n", false },
};

TEST(postgresql, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, 5999);
		if (!d->uncut)
			talk_cut(5999, d->step, STEPS_MAX, d->calls);
	}
}

TEST(postgresql, fills_the_columns)
{
	struct kit kit;
	const struct call_row *row;

	kit_init(&kit, NULL);
	talk_run(&kit, 5432, dialogues[1].step, STEPS_MAX);
	row = &kit.call[2].row;
	CHECK_VIEW(row->target_template, "SELECT ? FROM t");
	CHECK_VIEW(row->table, "t");
	CHECK_VIEW(row->db, "shop");
	CHECK_VIEW(row->user, "bob");
	CHECK_VIEW(row->version, "3.0");
	CHECK_U64(row->rows, 1);
	CHECK_U64(row->status_class, CLASS_ok);
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 5432, dialogues[2].step, STEPS_MAX);
	CHECK_VIEW(kit.call[1].row.status_text, "42P01");
	CHECK_U64(kit.call[1].row.status_class, CLASS_client_error);
	kit_release(&kit);
}

TEST(postgresql, shows_calls_in_full)
{
	static const char req[] = PARSE_S BIND_S EXECUTE SYNC, rsp[] = ROWS_T ROW_D "C\0\0\0\15SELECT 1\0" READY;
	struct json json;
	struct wr out;

	wr_init(&out, 0);
	json_init(&json, &out, false);
	json_object(&json);
	CHECK_U64((uint64_t)pg_detail(view_make(req, sizeof(req) - 1), view_make(rsp, sizeof(rsp) - 1), 4000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at,
		  "{\"request\":{\"messages\":[{\"message\":\"Parse\",\"statement\":\"s1\",\"sql\":\"SELECT $1 FROM t\"},"
		  "{\"message\":\"Bind\",\"portal\":\"\",\"statement\":\"s1\",\"values\":[\"7\"]},"
		  "{\"message\":\"Execute\",\"portal\":\"\"},{\"message\":\"Sync\"}]},"
		  "\"response\":{\"messages\":[{\"message\":\"RowDescription\",\"columns\":[{\"name\":\"id\",\"type_oid\":23}]},"
		  "{\"message\":\"DataRow\",\"values\":{\"id\":\"7\"}},{\"message\":\"CommandComplete\",\"tag\":\"SELECT 1\"},"
		  "{\"message\":\"ReadyForQuery\",\"transaction\":\"I\"}]}}");
	wr_release(&out);
}

TEST(fold, sql_loses_what_differs_from_call_to_call)
{
	static const struct {
		const char *sql, *folded, *verb, *table;
		unsigned flags;
	} cases[] = {
		{ "SELECT * FROM t WHERE a = 'it''s' AND b=0x1F", "SELECT * FROM t WHERE a = ? AND b=?", "SELECT", "t", 0 },
		{ "  /* x */ insert into s.t2 (a, b1)\n values (1, 'x'), (2,'y') ;", "insert into s.t2 (a, b1) values (?)",
		  "INSERT", "s.t2", 0 },
		{ "select $1, $2::int -- c\nfrom \"my t\"", "select ?::int from \"my t\"", "SELECT", "my t", 0 },
		{ "update `a`.`b` set x = \"lit\\\"eral\"", "update `a`.`b` set x = ?", "UPDATE", "b", SQL_QUOTED_STRING },
		{ "SELECT E'a\\'b', $x$ 'q' $x$, 1.5e-3", "SELECT ?", "SELECT", "", 0 },
		{ "create table if not exists t (i int)", "create table if not exists t (i int)", "CREATE", "t", 0 },
		{ "select a from (select b from u) x", "select a from (select b from u) x", "SELECT", "u", 0 },
		{ "update t set n = n + -17 where x=-1 and y > +.5", "update t set n = n + ? where x=? and y > ?", "UPDATE", "t", 0 },
		{ "select a -1, b-2 from t where d = 3 -4 and c in (-5, 6,-7)", "select a -?, b-? from t where d = ? -? and c in (?)", "SELECT", "t", 0 },
		{ "select -a, * -.b from t", "select -a, * -.b from t", "SELECT", "t", 0 },
		{ "BEGIN", "BEGIN", "BEGIN", "", 0 },
		{ "", "", "", "", 0 },
		{ "'", "?", "", "", 0 },
		{ "/* open", "", "", "", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[200];

		CHECK_VIEW(view_make(text, fold_sql(view_str(cases[i].sql), cases[i].flags, text, sizeof(text))), cases[i].folded);
		CHECK_VIEW(view_make(text, fold_sql_verb(view_str(cases[i].sql), text, sizeof(text))), cases[i].verb);
		CHECK_VIEW(fold_sql_table(view_str(cases[i].sql)), cases[i].table);
		CHECK_LE(fold_sql(view_str(cases[i].sql), 0, text, 5), 5);
	}
}

TEST(fold, keys_lose_their_ids)
{
	static const char *const cases[][2] = {
		{ "user:17:name", "user:{id}:name" }, { "a1b", "a{id}b" }, { "plain", "plain" },
		{ "s:123e4567-e89b-12d3-a456-426614174000", "s:{id}" }, { "h:0123456789abcdef0123", "h:{id}" },
		{ "deadbeef", "deadbeef" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[100];

		CHECK_VIEW(view_make(text, fold_key(view_str(cases[i][0]), text, sizeof(text))), cases[i][1]);
	}
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char type[64], text[4096];

	if (!truth_field(line, "type", type, sizeof(type)))
		return;
	if (strcmp(type, "Simple query") == 0 && truth_field(line, "query", text, sizeof(text)))
		truth_key(keys, "QUERY %.40s", text);
	else if (strcmp(type, "Startup message") == 0)
		truth_key(keys, "CONNECT");
	else if (strcmp(type, "SSL request") == 0 || strcmp(type, "Cancel request") == 0 ||
		 strcmp(type, "GSS encrypt request") == 0)
		truth_key(keys, "%.3s", type);
	else if (strcmp(type, "Execute") == 0)
		truth_key(keys, "EXECUTE");
	else if (strcmp(type, "Command completion") == 0 && truth_field(line, "tag", text, sizeof(text)))
		truth_key(keys, "TAG %.60s", text);
	else if (strcmp(type, "Error") == 0)
		truth_key(keys, "ERROR");
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	char method[32], sql[80] = "";
	size_t len = 0;

	if (ROW_HAS(CALL, row, answers))
		truth_key(keys, "TAG %.*s", (int)row->answers.len, (const char *)row->answers.at);
	if (ROW_HAS(CALL, row, error) && ROW_HAS(CALL, row, status_text))
		truth_key(keys, "ERROR");
	if (!call->has_req)
		return;
	(void)snprintf(method, sizeof(method), "%.*s", (int)row->method.len, (const char *)row->method.at);
	if (strcmp(method, "SSLREQUEST") == 0 || strcmp(method, "GSSENCREQUEST") == 0)
		truth_key(keys, "%.3s", method);
	else if (strcmp(method, "CANCEL") == 0)
		truth_key(keys, "Can");
	else if (strcmp(method, "CONNECT") == 0)
		truth_key(keys, "CONNECT");
	else if (strcmp(method, "PREPARE") == 0 || strcmp(method, "DESCRIBE") == 0 || strcmp(method, "SYNC") == 0)
		return;
	else if (row->req_bytes == 5 + row->target.len + 1 || view_is(row->method, "COPY")) {
		for (size_t i = 0; i < row->target.len && len < 40; i++)	/* as tshark writes it */
			sql[len++] = row->target.at[i] == '\n' || row->target.at[i] == '\t' ? ' ' : (char)row->target.at[i];
		truth_key(keys, "QUERY %.40s", sql);
	} else {
		truth_key(keys, "EXECUTE");
	}
}

TEST(postgresql_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "TLPW-Jason-copyfrom-small.pcap", "bad-backend-message-1.pcap",
					     "greenhouse-app.pcap", "pgsql-5000-query-results.pcap", "pgsql-all.pcap",
					     "pgsql-cancel-request.pcap", "pgsql.pcap", "psql-aws-ssl-require.pcap",
					     "psql-create-insert-select-delete-drop.pcap", NULL };
	const struct truth_test test = { .folder = "postgresql", .proto = "pgsql", .l7 = L7_postgresql, .expect = expect,
					 .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.found, 197);
	CHECK_U64(score.expected, score.found);
	CHECK_U64(score.extra, 0);
}

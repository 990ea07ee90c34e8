#include "base/json.h"
#include "tests/calls_truth.h"
#include "wire/ldap_msg.h"

#define STEPS_MAX 16

#define BIND	"0)\x02\x01\x01`$\x02\x01\x03\x04\x17uid=ann,ou=people,dc=ex\x80\x06secret"
#define BIND_OK	"0\x0c\x02\x01\x01" "a\x07\x0a\x01\x00\x04\x00\x04\x00"
#define BIND_BAD	"0\x1a\x02\x01\x01" "a\x15\x0a\x01" "1\x04\x00\x04\x0ewrong password"
#define SEARCH \
	"0\x82\x00\xac\x02\x01\x02" "c\x7f\x04\x05" "dc=ex\x0a\x01\x02\x0a\x01\x00\x02\x01\x0a\x02" \
	"\x01\x05\x01\x01\x00\xa0[\xa3\x15\x04\x0bobjectClass\x04\x06person\xa1\x1f\xa3\x0a\x04\x03ui" \
	"d\x04\x03j(d\xa4\x11\x04\x04mail0\x09\x80\x01" "a\x81\x01" "b\x82\x01" "c\xa2\x06\x87\x04loc" \
	"k\xa5\x06\x04\x01n\x04\x01" "7\xa9\x11\x81\x05" "1.2.3\x82\x02" "cn\x83\x01x\x84\x01\xff" "0" \
	"\x0a\x04\x02" "cn\x04\x04mail\xa0&0$\x04\x16" "1.2.840.113556.1.4.319\x01\x01\xff\x04\x07" \
	"0\x05\x02\x01" "d\x04\x00"
#define ENTRY1 \
	"0<\x02\x01\x02" "d7\x04\x0duid=ann,dc=ex0&0\x0f\x04\x02" "cn1\x09\x04\x03" "Ann\x04\x02\xff" \
	"\x00" "0\x13\x04\x0cuserPassword1\x03\x04\x01x"
#define ENTRY2	"0\x16\x02\x01\x02" "d\x11\x04\x0duid=bob,dc=ex0\x00"
#define REF	"0\x19\x02\x01\x02s\x14\x04\x12ldap://other/dc=ex"
#define DONE	"0\x0c\x02\x01\x02" "e\x07\x0a\x01\x00\x04\x00\x04\x00"
#define COMPARE	"0\x1f\x02\x01\x03n\x1a\x04\x0duid=ann,dc=ex0\x09\x04\x02" "cn\x04\x03" "Ann"
#define COMPARED	"0\x0c\x02\x01\x03o\x07\x0a\x01\x06\x04\x00\x04\x00"
#define ADD	"0#\x02\x01\x04h\x1e\x04\x0duid=new,dc=ex0\x0d" "0\x0b\x04\x02" "cn1\x05\x04\x03New"
#define ADDED	"0\x12\x02\x01\x04i\x0d\x0a\x01" "D\x04\x00\x04\x06" "exists"
#define MODIFY \
	"0*\x02\x01\x05" "f%\x04\x0duid=ann,dc=ex0\x14" "0\x12\x0a\x01\x02" "0\x0d\x04\x04mail1\x05" \
	"\x04\x03" "a@b"
#define MODIFIED	"0\x15\x02\x01\x05g\x10\x0a\x01" "5\x04\x00\x04\x09read only"
#define DELETE	"0\x12\x02\x01\x06J\x0duid=ann,dc=ex"
#define DELETED	"0\x11\x02\x01\x06k\x0c\x0a\x01 \x04\x05" "dc=ex\x04\x00"
#define MODDN	"0 \x02\x01\x07l\x1b\x04\x0duid=bob,dc=ex\x04\x07uid=rob\x01\x01\xff"
#define MODDNED	"0\x0c\x02\x01\x07m\x07\x0a\x01\x00\x04\x00\x04\x00"
#define WHOAMI	"0\x1e\x02\x01\x08w\x19\x80\x17" "1.3.6.1.4.1.4203.1.11.3"
#define WHO	"0\x1e\x02\x01\x08x\x19\x0a\x01\x00\x04\x00\x04\x00\x8b\x10" "dn:uid=ann,dc=ex"
#define SLOW \
	"0!\x02\x01\x09" "c\x1c\x04\x05" "dc=ex\x0a\x01\x01\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01" \
	"\x01\xff\x87\x02" "cn0\x00"
#define ABANDON	"0\x06\x02\x01\x0aP\x01\x09"
#define UNBIND	"0\x05\x02\x01\x0b" "B\x00"
#define BYE	"01\x02\x01\x00x,\x0a\x01" "4\x04\x00\x04\x0dshutting down\x8a\x16" "1.3.6.1.4.1.1466.20036"
#define STARTTLS	"0\x1d\x02\x01\x01w\x18\x80\x16" "1.3.6.1.4.1.1466.20037"
#define STARTED	"0\x0c\x02\x01\x01x\x07\x0a\x01\x00\x04\x00\x04\x00"
#define NOT_STARTED	"0\x12\x02\x01\x01x\x0d\x0a\x01\x02\x04\x00\x04\x06no TLS"
#define GSS	"0\x1b\x02\x01\x01`\x16\x02\x01\x03\x04\x00\xa3\x0f\x04\x06GSSAPI\x04\x05`\x03" "abc"
#define SIGNED \
	"\x00\x00\x00" "C\x05\x04\x04\xff\x00\x0c\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x00" "ccccccccc" \
	"ccc0%\x02\x01\x02" "c \x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00" \
	"\x87\x0bobjectclass0\x00"
#define SIGNED_RSP \
	"\x00\x00\x00" "5\x05\x04\x05\xff\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" "0\x09\x02" \
	"\x01\x02" "d\x04\x04\x00" "0\x00" "0\x0c\x02\x01\x02" "e\x07\x0a\x01\x00\x04\x00\x04\x00" "c" \
	"ccccccccccc"
#define SEALED \
	"\x00\x00\x00" "8\x05\x04\x06\xff\x00\x0c\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x00zzzzzzzzzzzz" \
	"zzzzzzzzzzzzzzzzzzzzzzzzzzzz"
#define PLAIN	"0 \x02\x01\x01`\x1b\x02\x01\x03\x04\x00\xa3\x14\x04\x05PLAIN\x04\x0b\x00" "ann\x00secret"
#define NETLOGON \
	"0%\x02\x01\x02" "c \x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87" \
	"\x0bobjectclass0\x00"
#define NETLOGON_RSP \
	"0\x09\x02\x01\x02" "d\x04\x04\x00" "0\x00" "0\x0c\x02\x01\x02" "e\x07\x0a\x01\x00\x04\x00" \
	"\x04\x00"

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "one after the other", {
		TALK('>', BIND), TALK('<', BIND_OK), TALK('>', SEARCH), TALK('<', ENTRY1 ENTRY2), TALK('<', REF DONE),
		TALK('>', ADD), TALK('<', ADDED), TALK('>', MODIFY), TALK('<', MODIFIED), TALK('>', DELETE),
		TALK('<', DELETED), TALK('>', WHOAMI), TALK('<', WHO), TALK('>', UNBIND),
	}, "bind uid=ann,ou=people,dc=ex 0 complete req=0+43 rsp=0+14\n"
	   "search dc=ex 0 complete req=43+176 rsp=14+127 answers=uid=ann,dc=ex\n"
	   "add uid=new,dc=ex 68 complete req=219+37 rsp=141+20 error=exists\n"
	   "modify uid=ann,dc=ex 53 complete req=256+44 rsp=161+23 error=read only\n"
	   "delete uid=ann,dc=ex 32 complete req=300+20 rsp=184+19\n"
	   "extended 1.3.6.1.4.1.4203.1.11.3 0 complete req=320+32 rsp=203+32 answers=dn:uid=ann,dc=ex\n"
	   "unbind - - oneway req=352+7\n", false },
	{ "several at a time, answered in another order; one given up", {
		TALK('>', SEARCH COMPARE MODDN), TALK('<', ENTRY1 COMPARED ENTRY2), TALK('<', MODDNED DONE),
		TALK('>', SLOW), TALK('>', ABANDON DELETE), TALK('<', DELETED BYE), TALK('f', ""),
	}, "compare uid=ann,dc=ex 6 complete req=176+33 rsp=62+14\n"
	   "modifyDN uid=bob,dc=ex 0 complete req=209+34 rsp=100+14\n"
	   "search dc=ex 0 complete req=0+176 rsp=0+128 answers=uid=ann,dc=ex\n"
	   "search dc=ex - unanswered req=243+35 error=abandoned\n"
	   "abandon - - oneway req=278+8\n"
	   "delete uid=ann,dc=ex 32 complete req=286+20 rsp=128+19\n"
	   "extended - 52 oneway rsp=147+51 error=shutting down\n", false },
	{ "a bind refused, a search unanswered", {
		TALK('>', BIND), TALK('<', BIND_BAD), TALK('>', SEARCH), TALK('<', ENTRY1), TALK('f', ""),
	}, "bind uid=ann,ou=people,dc=ex 49 complete req=0+43 rsp=0+28 error=wrong password\n"
	   "search dc=ex - closed req=43+176 rsp=28+62 answers=uid=ann,dc=ex\n", false },
	{ "a SASL layer that signs, then one that seals", {
		TALK('>', GSS), TALK('<', BIND_OK), TALK('>', SIGNED), TALK('<', SIGNED_RSP), TALK('>', SEALED), TALK('<', SEALED),
		TALK('>', UNBIND),
	}, "bind - 0 complete req=0+29 rsp=0+14\n"
	   "search - 0 complete req=61+39 rsp=34+25\n"
	   "unbind - - oneway req=160+7\n", false },
	{ "TLS refused", {
		TALK('>', STARTTLS), TALK('<', NOT_STARTED), TALK('>', PLAIN), TALK('<', BIND_OK), TALK('>', WHOAMI), TALK('<', WHO),
	}, "extended 1.3.6.1.4.1.1466.20037 2 complete req=0+31 rsp=0+20 error=no TLS\n"
	   "bind - 0 complete req=31+34 rsp=20+14\n"
	   "extended 1.3.6.1.4.1.4203.1.11.3 0 complete req=65+32 rsp=34+32 answers=dn:uid=ann,dc=ex\n", false },
	{ "from the middle", {
		TALK('<', DONE), TALK('>', COMPARE), TALK('<', COMPARED),
	}, "search - 0 no_request rsp=0+14\n"
	   "compare uid=ann,dc=ex 6 complete req=0+33 rsp=14+14\n", true },
	{ "a hole among the answers", {
		TALK('>', BIND), TALK('<', BIND_OK), TALK('>', SEARCH), TALK('<', ENTRY1), TALK('x', ENTRY2), TALK('>', COMPARE),
		TALK('<', COMPARED), TALK('>', MODDN), TALK('<', MODDNED), TALK('<', DONE), TALK('>', ADD), TALK('f', ""),
	}, "bind uid=ann,ou=people,dc=ex 0 complete req=0+43 rsp=0+14\n"
	   "compare uid=ann,dc=ex 6 complete req=219+33 rsp=100+14\n"
	   "modifyDN uid=bob,dc=ex 0 complete req=252+34 rsp=114+14\n"
	   "search dc=ex 0 gap req=43+176 rsp=14+128 missing=24 answers=uid=ann,dc=ex\n"
	   "add uid=new,dc=ex - gap req=286+37\n", true },
	{ "a hole among the requests", {
		TALK('>', BIND), TALK('<', BIND_OK), TALK('X', COMPARE), TALK('<', COMPARED), TALK('>', DELETE), TALK('<', DELETED),
	}, "bind uid=ann,ou=people,dc=ex 0 complete req=0+43 rsp=0+14\n"
	   "compare - 6 no_request rsp=14+14\n"
	   "delete uid=ann,dc=ex 32 complete req=76+20 rsp=28+19\n", true },
};

TEST(ldap, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, 4999);
		if (!d->uncut)
			talk_cut(4999, d->step, STEPS_MAX, d->calls);
	}
}

TEST(ldap, fills_the_columns)
{
	const struct call_row *row;
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, 389, dialogues[0].step, STEPS_MAX);
	row = &kit.call[0].row;
	CHECK_VIEW(row->user, "uid=ann,ou=people,dc=ex");
	CHECK_VIEW(row->version, "3");
	CHECK_VIEW(row->target_template, "uid=?,ou=people,dc=ex");
	CHECK_VIEW(row->status_text, "success");
	row = &kit.call[1].row;
	CHECK_VIEW(row->user, "uid=ann,ou=people,dc=ex");
	CHECK_U64(row->rows, 2);
	CHECK_VIEW(row->key, "(&(objectClass=person)(|(uid=j\\28d)(mail=a*b*c))(!(lock=*))(n>=7)(cn:dn:1.2.3:=x))");
	CHECK_VIEW(row->target_template, "dc=ex?sub?(&(objectClass=person)(|(uid=?)(mail=?*?*?))(!(lock=*))(n>=?)(cn:dn:1.2.3:=?))");
	CHECK_U64(row->status_class, CLASS_ok);
	CHECK_U64(kit.call[2].row.status_class, CLASS_client_error);
	CHECK_VIEW(kit.call[3].row.status_text, "unwillingToPerform");
	CHECK_U64(kit.call[3].row.status_class, CLASS_server_error);
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 389, dialogues[2].step, STEPS_MAX);
	CHECK_NOT(ROW_HAS(CALL, &kit.call[1].row, user));	/* the bind was refused */
	kit_release(&kit);
	kit_init(&kit, NULL);
	talk_run(&kit, 389, dialogues[4].step, STEPS_MAX);
	CHECK_VIEW(kit.call[1].row.user, "ann");
	CHECK_VIEW(kit.call[1].row.key, "PLAIN");
	CHECK_VIEW(kit.call[2].row.user, "ann");
	kit_release(&kit);
}

TEST(ldap, gives_way_to_tls)
{
	static const struct talk_step steps[] = { TALK('>', STARTTLS), TALK('<', STARTED) };
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_tcp, 40000, 389);
	kit_handshake(&kit);
	for (unsigned i = 0; i < 2; i++)
		kit_sendv(&kit, i, view_make(steps[i].bytes, steps[i].len));
	CHECK_U64(stream_l7(kit.stream), L7_tls);
	kit_end(&kit, CALL_END_closed);
	CHECK_LINES(&kit, "extended 1.3.6.1.4.1.1466.20037 0 complete req=0+31 rsp=0+14\n");
	kit_release(&kit);
}

TEST(ldap, pairs_datagrams)
{
	struct kit kit;

	kit_init(&kit, NULL);
	kit_flow(&kit, PROTO_udp, 40000, 389);
	kit_datagram(&kit, 0, VIEW_LIT(NETLOGON));
	kit_datagram(&kit, 1, VIEW_LIT(NETLOGON_RSP));
	kit_datagram(&kit, 1, VIEW_LIT("\x30\x84"));
	kit_datagram(&kit, 0, VIEW_LIT(NETLOGON));
	kit.now_ns += 6000000000;
	stream_tick(kit.stream, kit.now_ns);
	CHECK_LINES(&kit, "search - 0 complete req=0+39 rsp=0+25\nsearch - - unanswered req=39+39\n");
	CHECK_U64(kit.call[0].row.rows, 1);
	kit_release(&kit);
}

TEST(ldap, is_not_seen_in_what_is_none)
{
	static const struct talk_step others[] = {
		TALK('>', "\x30\x26\x02\x01\x00\x04\x06public\xa0\x19\x02\x01\x01"),	/* SNMP */
		TALK('>', "\x30\x82\x03\x10\x30\x82\x02\xf9\xa0\x03\x02\x01\x02"),	/* a certificate */
		TALK('>', "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x09\x04\x00"),	/* a length that lies */
		TALK('>', "\x30\x80\x02\x01\x01\x60\x80\x02\x01\x03\x04\x00\x80\x00"),	/* indefinite */
		TALK('>', "00000000000000000000"), TALK('>', "\x30\x05\x02\x01\x01\x42\x01"),
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_sendv(&kit, 0, view_make(others[i].bytes, others[i].len));
		CHECK(stream_l7(kit.stream) != L7_ldap, "case %zu", i);
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
	CHECK_U64((uint64_t)ldap_detail(request, response, 4000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at, want);
	wr_release(&out);
}

TEST(ldap, shows_calls_in_full)
{
	check_detail(VIEW_LIT(SEARCH), VIEW_LIT(ENTRY1 COMPARED ENTRY2 REF DONE),
		     "{\"request\":{\"message_id\":2,\"operation\":\"searchRequest\",\"base\":\"dc=ex\",\"scope\":\"sub\","
		     "\"deref_aliases\":0,\"size_limit\":10,\"time_limit\":5,\"types_only\":false,\"filter\":\"(&(objectClass=person)(|(uid=j\\\\28d)(mail=a*b*c))(!(lock=*))(n>=7)(cn:dn:1.2.3:=x))\","
		     "\"attributes\":[\"cn\",\"mail\"],\"controls\":[{\"oid\":\"1.2.840.113556.1.4.319\",\"critical\":true,"
		     "\"value_bytes\":7}]},\"response\":{\"message_id\":2,\"operation\":\"searchResDone\",\"result_code\":0,"
		     "\"result\":\"success\",\"matched_dn\":\"\",\"diagnostic\":\"\",\"entries\":[{\"dn\":\"uid=ann,dc=ex\","
		     "\"attributes\":{\"cn\":[\"Ann\",\"0xff00\"],\"userPassword\":[\"(masked)\"]}},{\"dn\":\"uid=bob,"
		     "dc=ex\",\"attributes\":{}}]}}");
	check_detail(VIEW_LIT(BIND), VIEW_LIT(BIND_BAD),
		     "{\"request\":{\"message_id\":1,\"operation\":\"bindRequest\",\"dn\":\"uid=ann,ou=people,dc=ex\","
		     "\"version\":3,\"authentication\":\"simple\",\"password\":\"(masked)\"},\"response\":{\"message_id\":1,"
		     "\"operation\":\"bindResponse\",\"result_code\":49,\"result\":\"invalidCredentials\",\"matched_dn\":\"\","
		     "\"diagnostic\":\"wrong password\"}}");
	check_detail(VIEW_LIT(MODIFY), VIEW_LIT(MODIFIED),
		     "{\"request\":{\"message_id\":5,\"operation\":\"modifyRequest\",\"dn\":\"uid=ann,dc=ex\",\"changes\":["
		     "{\"change\":\"replace\",\"attribute\":\"mail\",\"values\":[\"a@b\"]}]},\"response\":{\"message_id\":5,"
		     "\"operation\":\"modifyResponse\",\"result_code\":53,\"result\":\"unwillingToPerform\",\"matched_dn\":\"\","
		     "\"diagnostic\":\"read only\"}}");
	check_detail(VIEW_LIT(MODDN), VIEW_LIT(MODDNED),
		     "{\"request\":{\"message_id\":7,\"operation\":\"modDNRequest\",\"dn\":\"uid=bob,dc=ex\",\"new_rdn\":\"uid=rob\","
		     "\"delete_old_rdn\":true},\"response\":{\"message_id\":7,\"operation\":\"modDNResponse\",\"result_code\":0,"
		     "\"result\":\"success\",\"matched_dn\":\"\",\"diagnostic\":\"\"}}");
	check_detail(VIEW_LIT(COMPARE), VIEW_LIT(COMPARED),
		     "{\"request\":{\"message_id\":3,\"operation\":\"compareRequest\",\"dn\":\"uid=ann,dc=ex\",\"attribute\":\"cn\","
		     "\"value\":\"Ann\"},\"response\":{\"message_id\":3,\"operation\":\"compareResponse\",\"result_code\":6,"
		     "\"result\":\"compareTrue\",\"matched_dn\":\"\",\"diagnostic\":\"\"}}");
	check_detail(VIEW_LIT(ADD), VIEW_LIT(ADDED),
		     "{\"request\":{\"message_id\":4,\"operation\":\"addRequest\",\"dn\":\"uid=new,dc=ex\",\"attributes\":{"
		     "\"cn\":[\"New\"]}},\"response\":{\"message_id\":4,\"operation\":\"addResponse\",\"result_code\":68,"
		     "\"result\":\"entryAlreadyExists\",\"matched_dn\":\"\",\"diagnostic\":\"exists\"}}");
	check_detail(VIEW_LIT(WHOAMI), VIEW_LIT(WHO),
		     "{\"request\":{\"message_id\":8,\"operation\":\"extendedReq\",\"oid\":\"1.3.6.1.4.1.4203.1.11.3\"},"
		     "\"response\":{\"message_id\":8,\"operation\":\"extendedResp\",\"result_code\":0,\"result\":\"success\","
		     "\"matched_dn\":\"\",\"diagnostic\":\"\",\"value\":\"dn:uid=ann,dc=ex\"}}");
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char op[8], text[160] = "";

	if (!truth_field(line, "op", op, sizeof(op)) || strcmp(op, "19") == 0)
		return;		/* 19: references are not counted */
	if (!truth_field(line, "dn", text, sizeof(text)) && !truth_field(line, "base", text, sizeof(text)) &&
	    !truth_field(line, "oid", text, sizeof(text)))
		(void)truth_field(line, "result", text, sizeof(text));
	truth_key(keys, "%s %s", op, text);
}

static unsigned op_number(struct view method, bool response)
{
	static const char *const names[][2] = {
		{ "bind", "\0\1" }, { "unbind", "\2\2" }, { "search", "\3\5" }, { "modify", "\6\7" }, { "add", "\x8\x9" },
		{ "delete", "\xa\xb" }, { "modifyDN", "\xc\xd" }, { "compare", "\xe\xf" }, { "abandon", "\x10\x10" },
		{ "extended", "\x17\x18" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (view_is(method, names[i][0]))
			return (uint8_t)names[i][1][response];
	return 99;
}

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;
	unsigned op = op_number(row->method, false);
	bool named = op == 0 || op == 3 || op == 23;

	if (call->has_req)
		truth_key(keys, "%u %.*s", op, named ? (int)row->target.len : 0, (const char *)row->target.at);
	for (uint64_t i = 0; i < row->rows; i++)
		truth_key(keys, "4 ");
	if (ROW_HAS(CALL, row, status))
		truth_key(keys, "%u %u", op_number(row->method, true), row->status);
}

TEST(ldap_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = {
		"ldap.pcapng", "cldap.pcap", "ldap-starttls.pcap", "ldap_escaping_test.pcapng",
		"ldap_invalid_credentials.pcap", "modify-request.pcapng", "sasl-scram-sha-512.pcap", NULL,
	};
	const struct truth_test test = { .folder = "ldap", .proto = "ldap", .l7 = L7_ldap, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.expected, 153);
	CHECK_GE(score.found, 153);
	/* extra: what it lists as cldap */
	CHECK_LE(score.extra, 3);
}

TEST(ldap_truth, tls_follows_starttls)
{
	unsigned handshakes = 0;
	char path[512];
	struct kit kit;

	(void)snprintf(path, sizeof(path), "%s/ldap/ldap-starttls.pcap", check_need_captures());
	kit_init(&kit, NULL);
	CHECK(kit_run_file(&kit, path));
	for (unsigned i = 0; i < kit.count; i++)
		handshakes += kit.call[i].row.l7 == L7_tls;
	CHECK_U64(handshakes, 1);
	kit_release(&kit);
}

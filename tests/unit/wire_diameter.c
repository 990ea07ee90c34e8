#include "base/json.h"
#include "tests/calls_truth.h"
#include "wire/diameter_msg.h"

#define STEPS_MAX 16

#define CER \
	"\x01\x00\x00T\x80\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00" "e\x00\x00\x01" \
	"\x08@\x00\x00\x0c" "c.ex\x00\x00\x01(@\x00\x00\x0a" "ex\x00\x00\x00\x00\x01\x01@\x00\x00\x0e" \
	"\x00\x01\x0a\x00\x00\x01\x00\x00\x00\x00\x01\x0a@\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x01" \
	"\x0d@\x00\x00\x0atd\x00\x00"
#define CEA \
	"\x01\x00\x00,\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00" "e\x00\x00\x01" \
	"\x0c@\x00\x00\x0c\x00\x00\x07\xd1\x00\x00\x01\x08@\x00\x00\x0cs.ex"
#define CCR \
	"\x01\x00\x00\xb4\xc0\x00\x01\x10\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00" "f\x00\x00\x01" \
	"\x07@\x00\x00\x0e" "c.ex;1\x00\x00\x00\x00\x01\x08@\x00\x00\x0c" "c.ex\x00\x00\x01\x1b@\x00" \
	"\x00\x0a" "ex\x00\x00\x00\x00\x01\xa0@\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x01\x9f@\x00\x00" \
	"\x0c\x00\x00\x00\x00\x00\x00\x01\xbb@\x00\x00$\x00\x00\x01\xc2@\x00\x00\x0c\x00\x00\x00\x00" \
	"\x00\x00\x01\xbc@\x00\x00\x0d" "49171\x00\x00\x00\x00\x00\x01\xc8@\x00\x00 \x00\x00\x01\xb5@" \
	"\x00\x00\x18\x00\x00\x01\xa5@\x00\x00\x10\x00\x00\x00\x00\x00\x00\x03\xe8\x00\x00\x03\xe9" \
	"\xc0\x00\x00\x1c\x00\x00(\xaf\x00\x00\x03\xea\xc0\x00\x00\x10\x00\x00(\xaf\x00\x00\x00\x05"
#define CCA \
	"\x01\x00\x00P@\x00\x01\x10\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00" "f\x00\x00\x01\x07@" \
	"\x00\x00\x0e" "c.ex;1\x00\x00\x00\x00\x01\x0c@\x00\x00\x0c\x00\x00\x0f\xac\x00\x00\x01\x08@" \
	"\x00\x00\x0cs.ex\x00\x00\x01\x19@\x00\x00\x11no credit\x00\x00\x00"
#define STR \
	"\x01\x00\x00T\xc0\x00\x01\x13\x00\x00\x00\x04\x00\x00\x00\x03\x00\x00\x00g\x00\x00\x01\x07@" \
	"\x00\x00\x0e" "c.ex;1\x00\x00\x00\x00\x01\x08@\x00\x00\x0c" "c.ex\x00\x00\x01\x1b@\x00\x00" \
	"\x0a" "ex\x00\x00\x00\x00\x01%@\x00\x00\x0cs.ex\x00\x00\x00\x01@\x00\x00\x0b" "ann\x00"
#define STA \
	"\x01\x00\x00P@\x00\x01\x13\x00\x00\x00\x04\x00\x00\x00\x03\x00\x00\x00g\x00\x00\x01\x07@\x00" \
	"\x00\x0e" "c.ex;1\x00\x00\x00\x00\x01)@\x00\x00 \x00\x00\x01\x0a@\x00\x00\x0c\x00\x00(\xaf" \
	"\x00\x00\x01*@\x00\x00\x0c\x00\x00\x13\xa6\x00\x00\x01\x08@\x00\x00\x0cs.ex"
#define DWR \
	"\x01\x00\x00 \x80\x00\x01\x18\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00" "f\x00\x00\x01" \
	"\x08@\x00\x00\x0cs.ex"
#define DWA \
	"\x01\x00\x00,\x00\x00\x01\x18\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00" "f\x00\x00\x01" \
	"\x0c@\x00\x00\x0c\x00\x00\x07\xd1\x00\x00\x01\x08@\x00\x00\x0c" "c.ex"
#define ERR \
	"\x01\x00\x00, \x7f\xfd\xa0\x00\x00\x00" "c\x00\x00\x00\x03\x00\x00\x00g\x00\x00\x01\x0c@\x00" \
	"\x00\x0c\x00\x00\x0b\xba\x00\x00\x01\x08@\x00\x00\x0cr.ex"

static const struct dialogue {
	const char *name;
	struct talk_step step[STEPS_MAX];
	const char *calls;
	bool uncut;
} dialogues[] = {
	{ "both sides ask", {
		TALK('>', CER), TALK('<', CEA), TALK('>', CCR STR), TALK('<', DWR), TALK('<', STA CCA), TALK('>', DWA),
	}, "Capabilities-Exchange - 2001 complete req=0+84 rsp=0+44 answers=s.ex\n"
	   "Session-Termination ex 5030 complete req=264+84 rsp=76+80 answers=s.ex\n"
	   "Credit-Control INITIAL 4012 complete req=84+180 rsp=156+80 answers=s.ex error=no credit\n"
	   "Device-Watchdog - 2001 complete req=44+32 rsp=348+44 answers=c.ex\n", false },
	{ "from the middle, with a hole", {
		TALK('<', CCA), TALK('>', CCR), TALK('>', STR), TALK('x', CCA), TALK('<', ERR), TALK('>', CER), TALK('<', CEA),
		TALK('f', ""),
	}, "Credit-Control - 4012 no_request rsp=0+80 answers=s.ex error=no credit\n"
	   "Capabilities-Exchange - 2001 complete req=264+84 rsp=204+44 answers=s.ex\n"
	   "Credit-Control INITIAL - gap req=0+180\n"
	   "Session-Termination ex - gap req=180+84\n", true },
};

TEST(diameter, reads_dialogues)
{
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		const struct dialogue *d = &dialogues[i];

		TALK_WHOLE(d, 4999);
		if (!d->uncut)
			talk_cut(4999, d->step, STEPS_MAX, d->calls);
	}
}

TEST(diameter, fills_the_columns)
{
	struct kit kit;
	const struct call_row *row;

	kit_init(&kit, NULL);
	talk_run(&kit, 3868, dialogues[0].step, STEPS_MAX);
	row = &kit.call[0].row;
	CHECK_VIEW(row->user_agent, "td");
	CHECK_VIEW(row->version, "base");
	CHECK_VIEW(row->status_text, "SUCCESS");
	row = &kit.call[1].row;
	CHECK_VIEW(row->user, "ann");
	CHECK_VIEW(row->host, "s.ex");
	CHECK_VIEW(row->key, "c.ex;1");
	CHECK_U64(row->status_class, CLASS_client_error);
	row = &kit.call[2].row;
	CHECK_VIEW(row->user, "49171");
	CHECK_VIEW(row->host, "ex");
	CHECK_VIEW(row->version, "credit control");
	CHECK_VIEW(row->status_text, "CREDIT_LIMIT_REACHED");
	CHECK_U64(kit.call[3].req_dir, 1);
	kit_release(&kit);
}

TEST(diameter, is_not_seen_in_what_is_none)
{
	static const struct talk_step others[] = {
		TALK('>', "\x01\x00\x00\x15\x80\x00\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),	/* no multiple of four */
		TALK('>', "\x01\x00\x00\x20\x8f\x00\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
		TALK('>', "\x01\x00\x00\x20\x80\xff\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),	/* an unknown command */
		TALK('>', "\x01\x00\x00\x20\x80\x00\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\1\0\0\0\x21"),	/* an AVP too long */
		TALK('>', "\x01\x00\x00\x20"),
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, 9999);
		kit_handshake(&kit);
		kit_sendv(&kit, 0, view_make(others[i].bytes, others[i].len));
		CHECK(stream_l7(kit.stream) != L7_diameter, "case %zu", i);
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
	CHECK_U64((uint64_t)proto_by_id(L7_diameter)->detail(request, response, 4000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at, want);
	wr_release(&out);
}

TEST(diameter, shows_calls_in_full)
{
	check_detail(VIEW_LIT(CCR), VIEW_LIT(CCA),
		     "{\"request\":{\"command_code\":272,\"command\":\"Credit-Control\",\"application_id\":4,"
		     "\"application\":\"credit control\",\"request\":true,\"proxiable\":true,\"error\":false,"
		     "\"retransmitted\":false,\"hop_by_hop\":2,\"end_to_end\":102,\"avps\":[{\"code\":263,"
		     "\"name\":\"Session-Id\",\"value\":\"c.ex;1\"},{\"code\":264,\"name\":\"Origin-Host\","
		     "\"value\":\"c.ex\"},{\"code\":283,\"name\":\"Destination-Realm\",\"value\":\"ex\"},"
		     "{\"code\":416,\"name\":\"CC-Request-Type\",\"value\":1},{\"code\":415,\"name\":\"CC-Request-Number\","
		     "\"value\":0},{\"code\":443,\"name\":\"Subscription-Id\",\"value\":[{\"code\":450,"
		     "\"name\":\"Subscription-Id-Type\",\"value\":0},{\"code\":444,\"name\":\"Subscription-Id-Data\","
		     "\"value\":\"49171\"}]},{\"code\":456,\"name\":\"Multiple-Services-Credit-Control\","
		     "\"value\":[{\"code\":437,\"name\":\"Requested-Service-Unit\",\"value\":[{\"code\":421,"
		     "\"name\":\"CC-Total-Octets\",\"value\":1000}]}]},{\"code\":1001,\"vendor_id\":10415,"
		     "\"value\":[{\"code\":1002,\"vendor_id\":10415,\"value\":\"0x00000005\"}]}]},\"response\":{"
		     "\"command_code\":272,\"command\":\"Credit-Control\",\"application_id\":4,\"application\":\"credit control\","
		     "\"request\":false,\"proxiable\":true,\"error\":false,\"retransmitted\":false,\"hop_by_hop\":2,"
		     "\"end_to_end\":102,\"avps\":[{\"code\":263,\"name\":\"Session-Id\",\"value\":\"c.ex;1\"},"
		     "{\"code\":268,\"name\":\"Result-Code\",\"value\":4012},{\"code\":264,\"name\":\"Origin-Host\","
		     "\"value\":\"s.ex\"},{\"code\":281,\"name\":\"Error-Message\",\"value\":\"no credit\"}]}}");
	check_detail(VIEW_LIT(CER), VIEW_LIT(STA),
		     "{\"request\":{\"command_code\":257,\"command\":\"Capabilities-Exchange\",\"application_id\":0,"
		     "\"application\":\"base\",\"request\":true,\"proxiable\":false,\"error\":false,\"retransmitted\":false,"
		     "\"hop_by_hop\":1,\"end_to_end\":101,\"avps\":[{\"code\":264,\"name\":\"Origin-Host\","
		     "\"value\":\"c.ex\"},{\"code\":296,\"name\":\"Origin-Realm\",\"value\":\"ex\"},{\"code\":257,"
		     "\"name\":\"Host-IP-Address\",\"value\":\"10.0.0.1\"},{\"code\":266,\"name\":\"Vendor-Id\","
		     "\"value\":0},{\"code\":269,\"name\":\"Product-Name\",\"value\":\"td\"}]},\"response\":{"
		     "\"command_code\":275,\"command\":\"Session-Termination\",\"application_id\":4,\"application\":\"credit control\","
		     "\"request\":false,\"proxiable\":true,\"error\":false,\"retransmitted\":false,\"hop_by_hop\":3,"
		     "\"end_to_end\":103,\"avps\":[{\"code\":263,\"name\":\"Session-Id\",\"value\":\"c.ex;1\"},"
		     "{\"code\":297,\"name\":\"Experimental-Result\",\"value\":[{\"code\":266,\"name\":\"Vendor-Id\","
		     "\"value\":10415},{\"code\":298,\"name\":\"Experimental-Result-Code\",\"value\":5030}]},"
		     "{\"code\":264,\"name\":\"Origin-Host\",\"value\":\"s.ex\"}]}}");
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char command[16], request[4], session[80] = "", result[16] = "";
	uint64_t code;

	if (!truth_field(line, "cmd", command, sizeof(command)) || !truth_field(line, "req", request, sizeof(request)) ||
	    view_u64(view_str(command), UINT32_MAX, &code) < 0)
		return;
	(void)truth_field(line, "sess", session, sizeof(session));
	(void)truth_field(line, "result", result, sizeof(result));
	truth_key(keys, "%s %s %s", diameter_command_name((uint32_t)code), session, result);
}

#define TEXT(column) (int)row->column.len, row->column.len ? (const char *)row->column.at : ""

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;

	if (call->has_req)
		truth_key(keys, "%.*s %.*s ", TEXT(method), TEXT(key));
	if (call->has_rsp)
		truth_key(keys, "%.*s %.*s %u", TEXT(method), TEXT(key), row->status);
}

TEST(diameter_truth, calls_are_those_tshark_saw)
{
	static const char *const files[] = { "diameter.pcap", NULL };
	const struct truth_test test = { .folder = "diameter", .proto = "diameter", .l7 = L7_diameter, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&test, files);

	CHECK_GE(score.found, 6);
	CHECK_U64(score.extra, 0);
}

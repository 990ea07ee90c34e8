#include "base/json.h"
#include "tests/calls_truth.h"

#define ASK \
	"#\x00\x06\xec\x00\x00\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x83\xaa~\x81\x00\x00" \
	"\x00\x05"
#define ANSWER \
	"$\x02\x06\xec\x00\x00\x80\x00\x00\x01\x00\x00\x0a\x00\x00\x01\x83\xaa~\x81\x00\x00\x00\x00" \
	"\x83\xaa~\x81\x00\x00\x00\x05\x83\xaa~\x81\x00\xc4\x9b\xa5\x83\xaa~\x81\x01\x06$\xdc"
#define ASK2 \
	"\x1b\x00\x06\xec\x00\x00\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x83\xaa~\x81\x00\x00" \
	"\x00\x06"
#define KISS \
	"\xdc\x00\x06\xec\x00\x00\x80\x00\x00\x01\x00\x00RATE\x00\x00\x00\x00\x00\x00\x00\x00\x83\xaa" \
	"~\x81\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
#define UNSYNC \
	"\xdc\x10\x06\xec\x00\x00\x80\x00\x00\x01\x00\x00INIT\x00\x00\x00\x00\x00\x00\x00\x00\x83\xaa" \
	"~\x81\x00\x00\x00\x06\x83\xaa~\x81\x00\x00\x00\x00\x83\xaa~\x81\x00\x00\x00\x00"
#define BROADCAST \
	"%\x01\x06\xec\x00\x00\x80\x00\x00\x01\x00\x00GPS\x00\x83\xaa~\x81\x00\x00\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x83\xaa~\x81\x00\x00\x00\x00"
#define PEER \
	"!\x02\x06\xec\x00\x00\x80\x00\x00\x01\x00\x00\x0a\x00\x00\x02\x83\xaa~\x81\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x83\xaa~\x81\x00\x00\x00" \
	"\x09"
#define PEER_BACK \
	"!\x02\x06\xec\x00\x00\x80\x00\x00\x01\x00\x00\x0a\x00\x00\x03\x83\xaa~\x81\x00\x00\x00\x00" \
	"\x83\xaa~\x81\x00\x00\x00\x09\x83\xaa~\x81\x00\x00\x00\x0a\x83\xaa~\x81\x00\x00\x00\x0b"
#define READVAR	"\x16\x02\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00"
#define READVAR_RSP	"\x16\x82\x00\x07\x06\x15\x00\x00\x00\x00\x00\x08stratum="
#define MONLIST	"\x17\x00\x03*\x00\x00\x00\x00"
#define MONLIST_RSP	"\x97\x00\x03*@\x00\x00\x00"

static void run(struct kit *kit, uint16_t src, uint16_t dst, const struct talk_step *step)
{
	kit_init(kit, NULL);
	kit_flow(kit, PROTO_udp, src, dst);
	for (; step->what; step++)
		kit_datagram(kit, step->what == '<', view_make(step->bytes, step->len));
	kit->now_ns += 11000000000;
	stream_tick(kit->stream, kit->now_ns);
}

TEST(ntp, pairs_by_timestamp)
{
	static const struct talk_step steps[] = {
		TALK('>', ASK), TALK('>', ASK2), TALK('<', ANSWER), TALK('<', KISS), TALK('>', ASK2), TALK('<', UNSYNC), TALK('>', ASK),
		TALK('>', PEER), TALK('<', PEER_BACK), TALK('>', READVAR), TALK('<', READVAR_RSP), TALK('>', MONLIST),
		TALK('<', MONLIST_RSP), TALK('<', BROADCAST), TALK('>', "\x23"), { 0 },
	};
	struct kit kit;

	run(&kit, 40000, 123, steps);
	CHECK_LINES(&kit, "client - 2 complete req=0+48 rsp=0+48 answers=stratum=2 refid=10.0.0.1 offset_us=1499 delay_us=1000\n"
			  "client - 0 complete req=48+48 rsp=48+48 error=kiss of death: RATE\n"
			  "client - 16 complete req=96+48 rsp=96+48 answers=stratum=16 refid=73.78.73.84 offset_us=-5500 delay_us=1000 error=the server's clock is not synchronised\n"
			  "symmetric - 2 complete req=192+48 rsp=144+48 answers=stratum=2 refid=10.0.0.3 offset_us=-8499 delay_us=1000\n"
			  "control read variables 6 complete req=240+12 rsp=192+20\n"
			  "private monlist 1 4 complete req=252+8 rsp=212+8\n"
			  "broadcast - - oneway req=220+48 answers=stratum=1 refid=GPS\n"
			  "client - - unanswered req=144+48\n");
	CHECK_VIEW(kit.call[0].row.version, "4");
	CHECK_VIEW(kit.call[0].row.status_text, "synchronised");
	CHECK_VIEW(kit.call[1].row.status_text, "RATE");
	CHECK_U64(kit.call[1].row.status_class, CLASS_client_error);
	CHECK_U64(kit.call[2].row.status_class, CLASS_server_error);
	kit_release(&kit);
}

TEST(ntp, is_not_seen_in_what_is_none)
{
	static const struct {
		uint16_t port;
		struct talk_step step;
	} others[] = {
		{ 124, TALK('>', ASK) }, { 123, TALK('>', "\x23 too short") }, { 123, TALK('>', "\xff" ASK) },
		{ 123, TALK('>', "\x16\x02") },
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_udp, 40000, others[i].port);
		kit_datagram(&kit, 0, view_make(others[i].step.bytes, others[i].step.len));
		CHECK(stream_l7(kit.stream) != L7_ntp, "case %zu", i);
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
	CHECK_U64((uint64_t)proto_by_id(L7_ntp)->detail(request, response, 4000, &json), 0);
	json_object_end(&json);
	wr_u8(&out, 0);
	CHECK_STR((const char *)out.at, want);
	wr_release(&out);
}

TEST(ntp, shows_calls_in_full)
{
	check_detail(VIEW_LIT(ASK), VIEW_LIT(ANSWER),
		     "{\"request\":{\"version\":4,\"mode\":3,\"leap\":0,\"stratum\":0,\"poll\":6,\"precision\":-20,"
		     "\"root_delay_seconds\":0.5,\"root_dispersion_seconds\":1,\"reference_id\":\"\",\"reference_ns\":null,"
		     "\"origin_ns\":null,\"receive_ns\":null,\"transmit_ns\":1000000001},\"response\":{"
		     "\"version\":4,\"mode\":4,\"leap\":0,\"stratum\":2,\"poll\":6,\"precision\":-20,\"root_delay_seconds\":0.5,"
		     "\"root_dispersion_seconds\":1,\"reference_id\":\"10.0.0.1\",\"reference_ns\":1000000000,"
		     "\"origin_ns\":1000000001,\"receive_ns\":1002999999,\"transmit_ns\":1003999999,\"server_took_ns\":1000000}}");
	check_detail(VIEW_LIT(READVAR), VIEW_LIT(READVAR_RSP),
		     "{\"request\":{\"version\":2,\"mode\":6,\"operation\":\"read variables\",\"response\":false,"
		     "\"sequence\":7,\"status\":0},\"response\":{\"version\":2,\"mode\":6,\"operation\":\"read variables\","
		     "\"response\":true,\"sequence\":7,\"status\":6,\"data\":\"stratum=\"}}");
	check_detail(VIEW_LIT(MONLIST), VIEW_LIT(KISS),
		     "{\"request\":{\"version\":2,\"mode\":7,\"operation\":\"monlist 1\",\"response\":false,"
		     "\"sequence\":0,\"status\":0},\"response\":{\"version\":3,\"mode\":4,\"leap\":3,\"stratum\":0,"
		     "\"poll\":6,\"precision\":-20,\"root_delay_seconds\":0.5,\"root_dispersion_seconds\":1,"
		     "\"reference_id\":\"RATE\",\"reference_ns\":null,\"origin_ns\":1000000001,\"receive_ns\":null,"
		     "\"transmit_ns\":null}}");
}

/* ---- captures ---- */

static void expect(const struct truth_line *line, struct truth_keys *keys)
{
	char version[8], mode[8], stratum[8];

	if (truth_field(line, "ver", version, sizeof(version)) && truth_field(line, "mode", mode, sizeof(mode)) &&
	    truth_field(line, "stratum", stratum, sizeof(stratum)))
		truth_key(keys, "%s %s", version, strcmp(mode, "4") == 0 ? stratum : "client");
}

#define TEXT(column) (int)row->column.len, row->column.len ? (const char *)row->column.at : ""

static void got(const struct kit_call *call, struct truth_keys *keys)
{
	const struct call_row *row = &call->row;

	if (call->has_req)
		truth_key(keys, "%.*s %.*s", TEXT(version), TEXT(method));
	if (call->has_rsp)
		truth_key(keys, "%.*s %u", TEXT(version), row->status);
}

TEST(ntp_truth, calls_are_those_tshark_saw)
{
	static const char *const mixed[] = { "var-services-std-ports.pcap", "arkime_synthetic.pcap", NULL };
	static const char *const link[] = { "gre-sample.pcap", NULL };
	const struct truth_test one = { .folder = "mixed", .proto = "ntp", .l7 = L7_ntp, .expect = expect, .got = got };
	const struct truth_test two = { .folder = "link", .proto = "ntp", .l7 = L7_ntp, .expect = expect, .got = got };
	struct truth_score score = truth_run_all(&one, mixed);

	CHECK_GE(score.found, 5);
	CHECK_U64(score.found, score.expected);
	CHECK_U64(score.extra, 0);
	score = truth_run_all(&two, link);
	CHECK_GE(score.found, 6);
	CHECK_U64(score.found, score.expected);
	CHECK_U64(score.extra, 0);
}

#include "base/clock.h"
#include "query/filter.h"
#include "tests/check.h"

#define NOW_NS (1767322985ull * NS_PER_SEC) /* 2026-01-02T03:03:05Z */

/* ---- what one call answers to ---- */

static struct ip ip_of(const char *text)
{
	struct ip ip = { { 0 } };

	CHECK_EQ(ip_parse(view_str(text), &ip, NULL), 0);
	return ip;
}

static struct call_row sample_call(void)
{
	struct call_row row = { 0 };

	ROW_SET(CALL, &row, id, 0x0123456789abcdefull);
	ROW_SET(CALL, &row, start_ns, NOW_NS - 5 * NS_PER_SEC);
	ROW_SET(CALL, &row, end_ns, NOW_NS - 4 * NS_PER_SEC);
	ROW_SET(CALL, &row, flow_id, 0xabc);
	ROW_SET(CALL, &row, number, 3);
	ROW_SET(CALL, &row, vantage, VANTAGE_client);
	ROW_SET(CALL, &row, end_reason, CALL_END_complete);
	ROW_SET(CALL, &row, source, 1);
	ROW_SET(CALL, &row, src_ip, ip_of("10.1.2.3"));
	ROW_SET(CALL, &row, src_port, 40000);
	ROW_SET(CALL, &row, dst_ip, ip_of("2001:db8::5"));
	ROW_SET(CALL, &row, dst_port, 8080);
	ROW_SET(CALL, &row, proto, PROTO_tcp);
	ROW_SET(CALL, &row, l7, L7_http);
	ROW_SET(CALL, &row, src_pid, 4711);
	ROW_SET(CALL, &row, src_comm, VIEW_LIT("curl"));
	ROW_SET(CALL, &row, dst_comm, VIEW_LIT("nginx"));
	ROW_SET(CALL, &row, src_node, VIEW_LIT("n1"));
	ROW_SET(CALL, &row, dst_node, VIEW_LIT("n2"));
	ROW_SET(CALL, &row, src_namespace, VIEW_LIT("shop"));
	ROW_SET(CALL, &row, dst_service, VIEW_LIT("checkout"));
	ROW_SET(CALL, &row, method, VIEW_LIT("GET"));
	ROW_SET(CALL, &row, target, VIEW_LIT("/api/v1/items?id=7&x=\"q\""));
	ROW_SET(CALL, &row, status, 503);
	ROW_SET(CALL, &row, status_class, CLASS_server_error);
	ROW_SET(CALL, &row, encrypted, 1);
	ROW_SET(CALL, &row, latency_ns, 250 * NS_PER_MS);
	ROW_SET(CALL, &row, rsp_bytes, 4096);
	return row; /* no host, no ttfb, no pod, no dst.pid */
}

struct good {
	const char *text;
	bool want;
};

static const struct good goods[] = {
	{ "", true },
	{ "  \t\n", true },
	{ "true", true },
	{ "false", false },
	{ "not false and true", true },
	/* numbers */
	{ "status == 503", true },
	{ "status==503", true },
	{ "status != 503", false },
	{ "status >= 500 && status < 600", true },
	{ "status > 503", false },
	{ "status <= 503", true },
	{ "status < 0", false },
	{ "status >= 0", true },
	{ "status > 502.5", true },
	{ "status < 502.5", false },
	{ "status == 503.0", true },
	{ "status == 503.5", false },
	{ "status == 0x1f7", true },
	{ "status gt 500 and status lt 504", true },
	{ "status in {200 503}", true },
	{ "status in [200, 204]", false },
	{ "status in (500..504, 200)", true },
	{ "status in 500..502", false },
	{ "status in {}", false },
	{ "status not in {200, 204}", true },
	{ "number == 3", true },
	/* null */
	{ "host == null", true },
	{ "host != null", false },
	{ "status == null", false },
	{ "has(status)", true },
	{ "!has(host)", true },
	{ "exists(ttfb_ns)", false },
	{ "status", true },
	{ "host", false },
	{ "ttfb_ns > 0", false },
	{ "ttfb_ns <= 0", false },
	{ "!(ttfb_ns > 0)", true },
	{ "host == \"x\"", false },
	{ "host != \"x\"", true },
	{ "not host == \"x\"", true },
	{ "pod == null", true },
	{ "pid == null", false },
	/* durations and sizes */
	{ "latency == 250ms", true },
	{ "latency > 0.2s", true },
	{ "latency_ns > 250000000", false },
	{ "latency_ns >= 250ms", true },
	{ "latency in 100ms..300ms", true },
	{ "elapsed_time >= 1s", false },
	{ "rsp_bytes == 4KiB", true },
	{ "rsp == 4KiB", true },
	{ "rsp_bytes > 4kB", true },
	{ "rsp_bytes > 4096", false },
	{ "rsp_bytes <= 1.5MB", true },
	{ "rsp_bytes >= 4096B", true },
	/* time */
	{ "start_ns < \"2026-01-02T03:03:05Z\"", true },
	{ "start_ns >= 2026-01-02T03:03:00Z", true },
	{ "time > 2026-01-02T03:03:00Z", false },
	{ "start_ns > -10s", true },
	{ "start > -4s", false },
	{ "end_ns <= now", true },
	{ "start_ns == 1767322980", true },
	/* texts */
	{ "method == \"GET\"", true },
	{ "method == GET", true },
	{ "method == 'get'", false },
	{ "method in {GET POST}", true },
	{ "method in [\"PUT\", \"POST\"]", false },
	{ "method != PUT", true },
	{ "path contains \"v1\"", true },
	{ "path contains \"\\\"q\\\"\"", true },
	{ "path startsWith \"/api\"", true },
	{ "path startswith '/apj'", false },
	{ "path.startsWith(\"/api\")", true },
	{ "path.endsWith(\"q\")", false },
	{ "path endsWith 'x=\"q\"'", true },
	{ "path.contains('items')", true },
	{ "path not contains 'items'", false },
	{ "path matches \"^/api/v[12]/\"", true },
	{ "path.matches(\"id=\\d+&\")", true },
	{ "path ~ \"id=8\"", false },
	{ "path !~ \"id=8\"", true },
	{ "host !~ \"x\"", true },
	{ "method >= \"GEA\" and method < \"GEZ\"", true },
	{ "host == \"\"", false },
	{ "src.comm == \"\\x63url\"", true },
	/* identifiers */
	{ "id == 0123456789abcdef", true },
	{ "id == \"0123456789ABCDEF\"", true },
	{ "flow.id == 0000000000000abc", true },
	{ "flow_id == 0xabc", true },
	{ "source == 1", true },
	/* addresses */
	{ "src.ip == 10.1.2.3", true },
	{ "src.ip == \"10.1.2.3\"", true },
	{ "src.ip == 10.0.0.0/8", true },
	{ "src.ip in 10.0.0.0/8", true },
	{ "src.ip in 10.1.2.0/30", true },
	{ "src.ip in 10.1.2.0/31", false },
	{ "src.ip in {192.168.0.0/16 10.1.0.0..10.1.255.255}", true },
	{ "src.ip != 10.0.0.0/8", false },
	{ "dst.ip == 2001:db8::5", true },
	{ "dst.ip in 2001:db8::/32", true },
	{ "dst.ip in ::/0", true },
	{ "dst.ip in 0.0.0.0/0", false },
	{ "ip.src == 10.1.2.3", true },
	{ "ipv4", true },
	{ "ipv6", false },
	/* either side */
	{ "ip == 10.1.2.3", true },
	{ "ip in 2001:db8::/32", true },
	{ "ip != 10.1.2.3", false },
	{ "ip != 10.1.2.4", true },
	{ "ip.addr == 10.1.2.3", true },
	{ "port == 8080", true },
	{ "port == 40000", true },
	{ "port != 8080", false },
	{ "port in {80, 443, 8000..8100}", true },
	{ "tcp.port == 8080", true },
	{ "comm == nginx and comm == curl", true },
	{ "pid == 4711", true },
	{ "pid != 4711", false },
	{ "ns == shop", true },
	{ "namespace == \"shop\"", true },
	{ "service == checkout", true },
	{ "workload == checkout", false },
	{ "node.matches(\"^n[0-9]$\")", true },
	/* two fields */
	{ "src.node == dst.node", false },
	{ "src.node != dst.node", true },
	{ "src.comm < dst.comm", true },
	{ "src.pod == dst.pod", false }, /* both null */
	{ "latency_ns > rsp_bytes", true },
	{ "end_ns > start_ns", true },
	/* named values and flags */
	{ "l7 == http", true },
	{ "l7 == \"HTTP\"", true },
	{ "l7 == 1", true },
	{ "protocol in {dns http}", true },
	{ "l7 startsWith \"ht\"", true },
	{ "l7 matches \"^d\"", false },
	{ "proto == tcp", true },
	{ "proto != udp", true },
	{ "status_class == server_error", true },
	{ "end_reason in {reset closed}", false },
	{ "http", true },
	{ "dns", false },
	{ "tcp", true },
	{ "udp || icmp || http", true },
	{ "http && status >= 500 && dst.service == \"checkout\" && latency > 249ms", true },
	{ "encrypted", true },
	{ "!encrypted", false },
	{ "encrypted == true", true },
	{ "encrypted == false", false },
	/* precedence */
	{ "false && false || true", true },
	{ "false && (false || true)", false },
	{ "! false && false", false },
	{ "!(false && false)", true },
	{ "not not http", true },
	{ "HTTP", true },
	{ "dns or http and tcp", true },
	{ "DNS OR NOT http", false },
};

TEST(filter, answers_as_documented)
{
	struct call_row row = sample_call();

	for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
		struct filter *filter = NULL;
		struct err err = { 0 };
		int rc = filter_new(table_get(TABLE_CALLS), view_str(goods[i].text), NOW_NS,
				    &filter, &err);

		CHECK(rc == 0, "%s: %s", goods[i].text, err.text);
		rc = filter_row(filter, &row, &err);
		CHECK(rc == goods[i].want, "%s: %d %s", goods[i].text, rc, err.text);
		filter_free(filter);
	}
}

TEST(filter, knows_icmp_by_its_packets)
{
	struct flow_row row = { 0 };
	struct filter *filter = NULL;
	struct err err = { 0 };

	ROW_SET(FLOW, &row, proto, PROTO_icmp); /* unreachable: nothing that a dissector took */
	ROW_SET(FLOW, &row, l7, L7_none);
	CHECK_OK(filter_new(table_get(TABLE_FLOWS), VIEW_LIT("icmp"), NOW_NS, &filter, &err), err);
	CHECK_EQ(filter_row(filter, &row, &err), 1);
	filter_free(filter);
}

/* ---- what is refused ---- */

struct refused {
	const char *text;
	int code;
	size_t at;
	const char *says;
};

static const struct refused refuseds[] = {
	{ "status = 500", E_SYNTAX, 7, "use ==" },
	{ "status == ", E_SYNTAX, 10, "missing" },
	{ "status ==", E_SYNTAX, 9, "missing" },
	{ "statu == 500", E_UNKNOWN_NAME, 0, "status" },
	{ "http && latncy > 1ms", E_UNKNOWN_NAME, 8, "latency" },
	{ "htpp", E_UNKNOWN_NAME, 0, "http" },
	{ "src.prot == 80", E_UNKNOWN_NAME, 0, "src.port" },
	{ "zzzzzzzzzzz", E_UNKNOWN_NAME, 0, "no field" },
	{ "l7 == htp", E_UNKNOWN_NAME, 6, "http" },
	{ "status_class == bad", E_UNKNOWN_NAME, 16, "client_error" },
	{ "path.begins(\"x\")", E_UNKNOWN_NAME, 5, "startsWith" },
	{ "hass(x)", E_UNKNOWN_NAME, 0, "has(field)" },
	{ "has(nope)", E_UNKNOWN_NAME, 4, "nope" },
	{ "has(\"status\")", E_SYNTAX, 12, "field" },
	{ "status == abc", E_TYPE, 10, "number" },
	{ "status == 250ms", E_TYPE, 10, "duration" },
	{ "status > -1", E_RANGE, 9, "below 0" },
	{ "src.port == 65536", E_RANGE, 12, "65535" },
	{ "status == 99999999999999999999999", E_RANGE, 10, "64 bits" },
	{ "latency > 250", E_TYPE, 10, "unit" },
	{ "latency > 250parsec", E_TYPE, 10, "duration" },
	{ "latency > 10MB", E_TYPE, 10, "duration" },
	{ "rsp_bytes > 10ms", E_TYPE, 12, "size" },
	{ "rsp > 10", E_TYPE, 6, "unit" },
	{ "status contains \"5\"", E_TYPE, 7, "number" },
	{ "src.ip contains \"10.\"", E_TYPE, 7, "10.0.0.0/8" },
	{ "src.ip.startsWith(\"10.\")", E_TYPE, 7, "address" },
	{ "src.ip > 10.0.0.1", E_TYPE, 7, "order" },
	{ "src.ip == 10.0.0.256", E_TYPE, 10, "address" },
	{ "src.ip in 10.0.0.0/33", E_TYPE, 10, "prefix" },
	{ "src.ip in 10.0.0.9..10.0.0.1", E_RANGE, 10, "ends before" },
	{ "status in 9..1", E_RANGE, 10, "ends before" },
	{ "l7 > http", E_TYPE, 3, "order" },
	{ "encrypted == maybe", E_TYPE, 13, "true or false" },
	{ "id == xyz", E_TYPE, 6, "hexadecimal" },
	{ "id == 0123456789abcdef0", E_RANGE, 6, "hexadecimal" },
	{ "start_ns > yesteryear", E_FORMAT, 11, "instant" },
	{ "start_ns > 2026-13-01", E_FORMAT, 11, "month" },
	{ "(status == 1", E_SYNTAX, 0, "not closed" },
	{ "http && (dns || (tcp)", E_SYNTAX, 8, "not closed" },
	{ "status == 1)", E_SYNTAX, 11, "closes nothing" },
	{ "status in {1, 2", E_SYNTAX, 10, "not closed" },
	{ "status in {1 == 2}", E_SYNTAX, 13, "value" },
	{ "status in null", E_TYPE, 10, "null" },
	{ "status in {1, null}", E_TYPE, 14, "null" },
	{ "status > null", E_TYPE, 9, "null" },
	{ "&& http", E_SYNTAX, 0, "condition" },
	{ "http &&", E_SYNTAX, 7, "missing" },
	{ "http & dns", E_SYNTAX, 5, "&&" },
	{ "http | dns", E_SYNTAX, 5, "||" },
	{ "http dns", E_SYNTAX, 5, "operator" },
	{ "http not", E_SYNTAX, 5, "operator" },
	{ "500 <= status", E_SYNTAX, 0, "field" },
	{ "\"GET\" == method", E_SYNTAX, 0, "text" },
	{ "path == \"abc", E_SYNTAX, 8, "closing" },
	{ "path == `abc`", E_SYNTAX, 8, "quoted" },
	{ "path == #", E_SYNTAX, 8, "#" },
	{ "path == web-*", E_SYNTAX, 8, "startsWith" },
	{ "path == \x01", E_SYNTAX, 8, "0x01" },
	{ "path matches \"a(b\"", E_SYNTAX, 17, "regular expression" },
	{ "path.contains(\"x\"", E_SYNTAX, 17, ") is missing" },
	{ "path.contains()", E_SYNTAX, 14, "value" },
};

TEST(filter, refuses_with_the_place)
{
	for (size_t i = 0; i < sizeof(refuseds) / sizeof(refuseds[0]); i++) {
		const struct refused *refused = &refuseds[i];
		struct filter *filter = NULL;
		struct err err = { 0 };
		int rc = filter_new(table_get(TABLE_CALLS), view_str(refused->text), NOW_NS,
				    &filter, &err);

		CHECK(rc == refused->code, "%s: %s %s", refused->text, err_name(rc), err.text);
		CHECK(err.code == rc && strstr(err.text, refused->says), "%s: %s", refused->text,
		      err.text);
		CHECK(err.position == refused->at, "%s: at %zu: %s", refused->text, err.position,
		      err.text);
		CHECK_NULL(filter);
	}
}

static struct view repeated(const char *before, const char *part, size_t times, const char *behind)
{
	size_t len = strlen(before) + times * strlen(part) + strlen(behind), at = strlen(before);
	char *text = mem_alloc(len + 1);

	memcpy(text, before, at);
	for (size_t i = 0; i < times; i++, at += strlen(part))
		memcpy(text + at, part, strlen(part));
	memcpy(text + at, behind, strlen(behind));
	return view_make(text, len);
}

static void check_limit(struct view text, int want)
{
	struct filter *filter = NULL;
	struct err err = { 0 };
	int rc = filter_new(table_get(TABLE_CALLS), text, NOW_NS, &filter, &err);

	CHECK(rc == want, "%.40s...: %s %s", (const char *)text.at, err_name(rc), err.text);
	filter_free(filter);
	mem_free((void *)(uintptr_t)text.at);
}

TEST(filter, has_limits)
{
	check_limit(repeated("", "(", FILTER_DEPTH_MAX + 1, "http"), E_LIMIT);
	check_limit(repeated("", "!", 20000, "http"), E_LIMIT);
	check_limit(repeated("", "!", FILTER_DEPTH_MAX - 1, "http"), 0);
	check_limit(repeated("http", "||http", FILTER_NODES_MAX, ""), E_LIMIT);
	check_limit(repeated("http", "||http", 900, ""), 0);
	check_limit(repeated("status in {", "1 ", FILTER_SET_MAX + 1, "}"), E_LIMIT);
	check_limit(repeated("status in {", "1 ", FILTER_SET_MAX, "}"), 0);
	check_limit(repeated("path == \"", "x", FILTER_TEXT_MAX, "\""), E_LIMIT);
	check_limit(repeated("path matches \"", "x", 4000, "\""), E_LIMIT);
}

TEST(filter, survives_lack_of_memory)
{
	static const char text[] =
		"http && (path matches \"^/a\" || ip in {10.0.0.0/8 ::1}) && status in {1 2 3} && !dns";
	int rc = E_NO_MEMORY;

	for (uint64_t n = 1; rc != 0 && n < 100; n++) {
		struct filter *filter = NULL;
		struct err err = { 0 };

		mem_fail_nth(n);
		rc = filter_new(table_get(TABLE_CALLS), view_str(text), NOW_NS, &filter, &err);
		mem_fail_nth(0);
		CHECK(rc == 0 || rc == E_NO_MEMORY, "%s", err.text);
		filter_free(filter);
	}
	CHECK_EQ(rc, 0);
}

TEST(filter, stops_a_costly_pattern)
{
	struct call_row row = sample_call();
	struct filter *filter = NULL;
	struct err err = { 0 };
	char text[4000];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '!';
	ROW_SET(CALL, &row, target, view_make(text, sizeof(text)));
	CHECK_OK(filter_new(table_get(TABLE_CALLS), VIEW_LIT("path matches '^(a+)+$'"), NOW_NS,
			    &filter, &err),
		 err);
	CHECK_EQ(filter_row(filter, &row, &err), E_BUDGET);
	CHECK(strstr(err.text, "steps"), "%s", err.text);
	filter_free(filter);
}

TEST(filter, knows_the_range_it_allows)
{
	static const struct {
		const char *text;
		uint64_t from, to;
	} cases[] = {
		{ "http", 0, UINT64_MAX },
		{ "start_ns >= @100 && http", 100 * NS_PER_SEC, UINT64_MAX },
		{ "start_ns >= @100 && (time < @200 && dns)", 100 * NS_PER_SEC, 200 * NS_PER_SEC },
		{ "start_ns == @100", 100 * NS_PER_SEC, 100 * NS_PER_SEC + 1 },
		{ "start_ns >= @100 || http", 0, UINT64_MAX },
		{ "!(start_ns >= @100)", 0, UINT64_MAX },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct filter *filter = NULL;
		struct err err = { 0 };
		uint64_t from = 1, to = 1;
		struct view text = view_str(cases[i].text);

		CHECK_OK(filter_new(table_get(TABLE_CALLS), text, NOW_NS, &filter, &err), err);
		filter_start_range(filter, &from, &to);
		CHECK(from == cases[i].from && to == cases[i].to, "%s: %" PRIu64 " %" PRIu64,
		      cases[i].text, from, to);
		filter_free(filter);
	}
}

/* ---- vectors against a naive evaluator ---- */

#define ROWS	 1000
#define COND_MAX 40

static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

/* Conditions whose truth a few lines of C can tell, beside their text. */
enum cond {
	STATUS_EQ,
	STATUS_NE,
	STATUS_LT,
	LATENCY_GT,
	METHOD_EQ,
	METHOD_NE,
	PATH_STARTS,
	PATH_RE,
	IP_ANY,
	IP_NONE,
	PORT_IN,
	COMM_ANY,
	HTTP,
	STATUS_NULL,
	NODE_SAME,
	CONDS
};

static const char *const cond_texts[CONDS] = {
	"status == 200",
	"status != 200",
	"status < 404",
	"latency > 5ms",
	"method == \"M1\"",
	"method != M1",
	"path startsWith \"/a\"",
	"path matches \"7$\"",
	"ip in 10.0.0.0/30",
	"ip != 10.0.0.1",
	"port in {1..3 7 9 11 13 15}",
	"comm == c2",
	"http",
	"status == null",
	"src.node == dst.node",
};

static bool either_ip(const struct call_row *row, unsigned low, unsigned high)
{
	return (ROW_HAS(CALL, row, src_ip) && row->src_ip.b[15] >= low &&
		row->src_ip.b[15] <= high) ||
	       (ROW_HAS(CALL, row, dst_ip) && row->dst_ip.b[15] >= low &&
		row->dst_ip.b[15] <= high);
}

static bool port_fits(uint16_t port)
{
	return (port >= 1 && port <= 3) || port == 7 || port == 9 || port == 11 || port == 13 ||
	       port == 15;
}

static bool naive(const struct call_row *row, enum cond cond)
{
	bool status = ROW_HAS(CALL, row, status), method = ROW_HAS(CALL, row, method),
	     target = ROW_HAS(CALL, row, target);

	switch (cond) {
	case STATUS_EQ: return status && row->status == 200;
	case STATUS_NE: return !(status && row->status == 200);
	case STATUS_LT: return status && row->status < 404;
	case LATENCY_GT: return ROW_HAS(CALL, row, latency_ns) && row->latency_ns > 5000000;
	case METHOD_EQ: return method && view_is(row->method, "M1");
	case METHOD_NE: return !(method && view_is(row->method, "M1"));
	case PATH_STARTS: return target && view_starts(row->target, "/a");
	case PATH_RE:
		return target && row->target.len && row->target.at[row->target.len - 1] == '7';
	case IP_ANY: return either_ip(row, 0, 3);
	case IP_NONE: return !either_ip(row, 1, 1);
	case PORT_IN:
		return (ROW_HAS(CALL, row, src_port) && port_fits(row->src_port)) ||
		       (ROW_HAS(CALL, row, dst_port) && port_fits(row->dst_port));
	case COMM_ANY:
		return (ROW_HAS(CALL, row, src_comm) && view_is(row->src_comm, "c2")) ||
		       (ROW_HAS(CALL, row, dst_comm) && view_is(row->dst_comm, "c2"));
	case HTTP: return row->l7 == L7_http;
	case STATUS_NULL: return !status;
	case NODE_SAME:
		return ROW_HAS(CALL, row, src_node) && ROW_HAS(CALL, row, dst_node) &&
		       view_eq(row->src_node, row->dst_node);
	default: return false;
	}
}

static struct view random_text(struct arena *arena, const char *prefix, unsigned kinds)
{
	return view_str(arena_printf(arena, "%s%u", prefix, (unsigned)random_below(kinds)));
}

static void random_call(struct arena *arena, struct call_row *row)
{
	char ip[32];

	memset(row, 0, sizeof(*row));
	ROW_SET(CALL, row, l7, (uint8_t)random_below(3));
	if (random_below(4))
		ROW_SET(CALL, row, status,
			(uint16_t)(random_below(2) ? 200 : 400 + random_below(10)));
	if (random_below(4))
		ROW_SET(CALL, row, latency_ns, random_below(10000000));
	if (random_below(4))
		ROW_SET(CALL, row, method, random_text(arena, "M", 4));
	if (random_below(4))
		ROW_SET(CALL, row, target, random_text(arena, random_below(2) ? "/a" : "/b", 100));
	if (random_below(3))
		ROW_SET(CALL, row, src_port, (uint16_t)random_below(20));
	if (random_below(3))
		ROW_SET(CALL, row, dst_port, (uint16_t)random_below(20));
	if (random_below(3))
		ROW_SET(CALL, row, src_comm, random_text(arena, "c", 5));
	if (random_below(3))
		ROW_SET(CALL, row, dst_comm, random_text(arena, "c", 5));
	if (random_below(3))
		ROW_SET(CALL, row, src_node, random_text(arena, "n", 3));
	if (random_below(3))
		ROW_SET(CALL, row, dst_node, random_text(arena, "n", 3));
	snprintf(ip, sizeof(ip), "10.0.0.%u", (unsigned)random_below(8));
	if (random_below(3))
		ROW_SET(CALL, row, src_ip, ip_of(ip));
	snprintf(ip, sizeof(ip), "10.0.0.%u", (unsigned)random_below(8));
	if (random_below(3))
		ROW_SET(CALL, row, dst_ip, ip_of(ip));
}

/* A random expression: its text into wr, its truth for each row into truth. */
static void random_expr(struct wr *wr, unsigned depth, const struct call_row *rows, bool *truth)
{
	unsigned shape = depth == 0 ? 0 : (unsigned)random_below(4);
	bool right[ROWS];

	if (shape == 0) {
		enum cond cond = (enum cond)random_below(CONDS);

		wr_str(wr, cond_texts[cond]);
		for (size_t i = 0; i < ROWS; i++)
			truth[i] = naive(&rows[i], cond);
		return;
	}
	wr_str(wr, shape == 1 ? "!(" : "(");
	random_expr(wr, depth - 1, rows, truth);
	if (shape > 1) {
		wr_str(wr, shape == 2 ? " && " : " || ");
		random_expr(wr, depth - 1, rows, right);
	}
	wr_str(wr, ")");
	for (size_t i = 0; i < ROWS; i++)
		truth[i] = shape == 1	? !truth[i]
			   : shape == 2 ? truth[i] && right[i]
					: truth[i] || right[i];
}

TEST(filter, vectors_answer_as_rows_do)
{
	static struct call_row rows[ROWS];
	static struct columns columns;
	struct rg_builder *builder = rg_builder_new(table_get(TABLE_CALLS));
	struct arena texts, scratch;
	struct err err = { 0 };
	struct wr blob, text;
	struct rg rg;
	uint64_t seed = clock_mono_ns() | 1;

	random_state = seed;
	arena_init(&texts, 0);
	arena_init(&scratch, 0);
	wr_init(&blob, 0);
	wr_init(&text, 0);
	for (size_t i = 0; i < ROWS; i++) {
		random_call(&texts, &rows[i]);
		CHECK_EQ(rg_builder_add(builder, &rows[i]), 0);
	}
	CHECK_OK(rg_builder_write(builder, NULL, RG_CODEC_LZ4, 0, &blob, &err), err);
	CHECK_OK(rg_open(wr_view(&blob), &rg, &err), err);
	for (unsigned round = 0; round < 300; round++) {
		struct filter *filter = NULL;
		uint64_t bits[ROWS / 64 + 1];
		bool truth[ROWS];

		wr_reset(&text);
		random_expr(&text, (unsigned)random_below(5), rows, truth);
		CHECK_OK(filter_new(table_get(TABLE_CALLS), wr_view(&text), NOW_NS, &filter, &err),
			 err);
		arena_reset(&scratch);
		columns_init(&columns, &rg, &scratch);
		memset(bits, 0, sizeof(bits));
		for (size_t i = 0; i < ROWS; i++)
			bits[i / 64] |= 1ull << i % 64;
		CHECK_OK(filter_eval(filter, &columns, bits, &err), err);
		for (size_t i = 0; i < ROWS; i++) {
			bool got = bits[i / 64] >> i % 64 & 1;

			CHECK(got == truth[i], "seed %" PRIu64 ": %.*s: row %zu: %d", seed,
			      (int)text.len, (const char *)text.at, i, got);
			CHECK(filter_row(filter, &rows[i], &err) == truth[i],
			      "seed %" PRIu64 ": %.*s: row struct %zu", seed, (int)text.len,
			      (const char *)text.at, i);
		}
		filter_free(filter);
	}
	wr_release(&blob);
	wr_release(&text);
	arena_release(&texts);
	arena_release(&scratch);
	rg_builder_free(builder);
}

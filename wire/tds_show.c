/* A TDS call in full. Rows stay bytes: their decoding needs every type there is. */
#include "wire/http_body.h"
#include "wire/tds_msg.h"

struct show {
	struct json *json;
	size_t budget;
	bool cut;
};

static void show_wide(struct show *s, const char *key, struct view bytes)
{
	char text[TDS_TEXT_MAX];
	size_t len = tds_text(bytes, text, sizeof(text));

	if (len > s->budget) {
		len = s->budget;
		s->cut = true;
	}
	s->budget -= len;
	s->cut |= bytes.len / 2 > sizeof(text);
	json_kstr(s->json, key, view_make(text, len));
}

static void show_login(struct show *s, struct view body, bool old)
{
	struct tds_login login;

	if (old ? !tds_login_old(body, &login) : !tds_login(body, &login))
		return;
	json_key(s->json, "version");
	json_printf(s->json, "0x%08x", login.version);
	show_wide(s, "host", login.host);
	show_wide(s, "user", login.user);
	show_wide(s, "application", login.app);
	show_wide(s, "server", login.server);
	show_wide(s, "db", login.db);
}

static void show_prelogin(struct show *s, struct view body)
{
	static const char *const names[] = { "version", "encryption", "instance", "thread_id", "mars", "trace_id",
					     "fed_auth", "nonce" };
	struct rd rd = rd_make(body);

	json_key(s->json, "options");
	json_object(s->json);
	for (unsigned i = 0; i < 16 && rd_left(&rd); i++) {
		uint8_t option = rd_u8(&rd);
		uint16_t off = rd_u16be(&rd), len = rd_u16be(&rd);
		struct view value = view_sub(body, off, len);

		if (rd.bad || option == 0xff || option >= sizeof(names) / sizeof(names[0]))
			break;
		if (option == 0 && value.len >= 4) {
			json_key(s->json, names[option]);
			json_printf(s->json, "%u.%u.%u", value.at[0], value.at[1], value.at[2] << 8 | value.at[3]);
		} else if (value.len == 1) {
			json_ku64(s->json, names[option], value.at[0]);
		}
	}
	json_object_end(s->json);
}

static void show_rpc(struct show *s, struct view body)
{
	struct tds_rpc rpc;

	if (!tds_rpc(body, &rpc))
		return;
	if (rpc.name)
		json_kcstr(s->json, "procedure", rpc.name);
	else
		show_wide(s, "procedure", rpc.text);
	if (rpc.sql.len)
		show_wide(s, "sql", rpc.sql);
}

static void show_request(struct show *s, uint8_t type, struct view body)
{
	const char *name = tds_type_name(type);

	json_kcstr(s->json, "type", name ? name : "unknown");
	switch (type) {
	case TDS_BATCH:
		show_wide(s, "sql", tds_body(body));
		break;
	case TDS_RPC:
		show_rpc(s, body);
		break;
	case TDS_LOGIN7:
	case TDS_LOGIN_OLD:
		show_login(s, body, type == TDS_LOGIN_OLD);
		break;
	case TDS_PRELOGIN:
		show_prelogin(s, body);
		break;
	default:
		break;
	}
}

static void show_response(struct show *s, struct view body)
{
	struct tds_error error;
	struct tds_done done = { .error = false };
	bool is_done = tds_find_done(body, &done);

	if (body.len > 5 && body.at[0] == 0) {
		show_prelogin(s, body);
		return;
	}
	if (((is_done && done.error) || (body.len && body.at[0] == 0xaa)) && tds_find_error(body, &error)) {
		json_key(s->json, "error");
		json_object(s->json);
		json_ki64(s->json, "number", error.number);
		json_ku64(s->json, "state", error.state);
		json_ku64(s->json, "severity", error.severity);
		show_wide(s, "message", error.text);
		json_object_end(s->json);
	}
	if (is_done && done.has_rows)
		json_ku64(s->json, "rows", done.rows);
	json_ku64(s->json, "token_bytes", body.len);
	if (body.len > s->budget) {
		body.len = s->budget;
		s->cut = true;
	}
	(void)body_show(body, s->cut, s->json);
}

/* The packets of a message put together: header by header taken out. */
static bool join(struct view bytes, struct wr *out, uint8_t *ret_type)
{
	struct tds_head head;
	bool first = true;

	while (bytes.len && tds_head(bytes, &head)) {
		if (first)
			*ret_type = head.type;
		first = false;
		wr_bytes(out, view_sub(bytes, TDS_HEAD_BYTES, head.len - TDS_HEAD_BYTES));
		bytes = view_sub(bytes, head.len, bytes.len);
	}
	return !first;
}

int tds_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	int rc = 0;

	for (unsigned side = 0; side < 2; side++) {
		struct view bytes = side ? response : request;
		struct show s = { .json = json, .budget = body_max };
		struct wr joined;
		uint8_t type = 0;

		if (!bytes.len)
			continue;
		wr_init(&joined, 0);
		json_key(json, side ? "response" : "request");
		json_object(json);
		if (!join(bytes, &joined, &type))
			s.cut = true;
		else if (side)
			show_response(&s, wr_view(&joined));
		else
			show_request(&s, type, wr_view(&joined));
		if (s.cut)
			json_kbool(json, "truncated", true);
		json_object_end(json);
		if (joined.bad)
			rc = E_NO_MEMORY;
		wr_release(&joined);
	}
	return json->out->bad ? E_NO_MEMORY : rc;
}

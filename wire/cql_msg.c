#include "wire/cql_msg.h"

#include "base/hex.h"

#define TYPE_DEPTH_MAX	8
#define COLUMNS_MAX	256
#define HEX_BYTES_MAX	256

const char *cql_opcode(uint8_t opcode)
{
	static const char *const names[] = {
		"ERROR", "STARTUP", "READY", "AUTHENTICATE", "CREDENTIALS", "OPTIONS", "SUPPORTED", "QUERY", "RESULT",
		"PREPARE", "EXECUTE", "REGISTER", "EVENT", "BATCH", "AUTH_CHALLENGE", "AUTH_RESPONSE", "AUTH_SUCCESS",
	};

	return opcode < sizeof(names) / sizeof(names[0]) ? names[opcode] : NULL;
}

const char *cql_error_name(uint32_t code)
{
	switch (code) {
	case 0x0000: return "Server error";
	case 0x000a: return "Protocol error";
	case 0x0100: return "Authentication error";
	case 0x1000: return "Unavailable";
	case 0x1001: return "Overloaded";
	case 0x1002: return "Bootstrapping";
	case 0x1003: return "Truncate error";
	case 0x1100: return "Write timeout";
	case 0x1200: return "Read timeout";
	case 0x1300: return "Read failure";
	case 0x1400: return "Function failure";
	case 0x1500: return "Write failure";
	case 0x2000: return "Syntax error";
	case 0x2100: return "Unauthorized";
	case 0x2200: return "Invalid";
	case 0x2300: return "Config error";
	case 0x2400: return "Already exists";
	case 0x2500: return "Unprepared";
	default: return NULL;
	}
}

static bool is_request(uint8_t opcode)
{
	return opcode == 1 || opcode == 4 || opcode == 5 || opcode == 7 || opcode == 9 || opcode == 10 || opcode == 11 ||
	       opcode == 13 || opcode == 15;
}

int cql_head(struct view bytes, struct cql_head *ret_head)
{
	struct rd rd = rd_make(bytes);
	uint8_t first = rd_u8(&rd);
	struct cql_head head = { .response = first & 0x80, .version = first & 0x7f, .flags = rd_u8(&rd) };

	if (bytes.len && (head.version < 1 || head.version > 5))
		return -1;
	head.stream = head.version > 2 ? (int16_t)rd_u16be(&rd) : (int8_t)rd_u8(&rd);
	head.opcode = rd_u8(&rd);
	head.body = rd_u32be(&rd);
	head.len = head.version > 2 ? 9 : 8;
	if (rd.bad)
		return bytes.len > 1 && bytes.at[1] > 0x1f ? -1 : 0;
	if (head.flags > 0x1f || head.body > CQL_BODY_MAX || !cql_opcode(head.opcode) ||
	    is_request(head.opcode) == head.response)
		return -1;
	*ret_head = head;
	return 1;
}

struct view cql_string(struct rd *rd)
{
	return rd_bytes(rd, rd_u16be(rd));
}

struct view cql_short_bytes(struct rd *rd)
{
	return cql_string(rd);
}

struct view cql_long_string(struct rd *rd)
{
	uint32_t len = rd_u32be(rd);
	struct view text = view_sub(rd_rest(rd), 0, len);

	rd_skip(rd, len);
	return text;
}

struct view cql_body(const struct cql_head *head, struct view body)
{
	struct rd rd = rd_make(body);

	if (head->flags & CQL_COMPRESSED)
		return view_make("", 0);
	if (head->response && head->flags & CQL_TRACING)
		rd_skip(&rd, 16);
	if (head->response && head->flags & CQL_WARNING)
		for (unsigned n = rd_u16be(&rd); n && !rd.bad; n--)
			(void)cql_string(&rd);
	if (head->flags & CQL_PAYLOAD)
		for (unsigned n = rd_u16be(&rd); n && !rd.bad; n--) {
			int32_t len;

			(void)cql_string(&rd);
			len = (int32_t)rd_u32be(&rd);
			rd_skip(&rd, len > 0 ? (size_t)len : 0);
		}
	return rd_rest(&rd);
}

/* A column's type; its number comes back, what is inside it is passed over. */
static uint16_t skip_type(struct rd *rd, unsigned depth)
{
	uint16_t type = rd_u16be(rd);
	unsigned n;

	if (depth > TYPE_DEPTH_MAX) {
		rd->bad = true;
		return 0;
	}
	switch (type) {
	case 0:
		(void)cql_string(rd);
		break;
	case 0x21:
		(void)skip_type(rd, depth + 1);
		(void)skip_type(rd, depth + 1);
		break;
	case 0x20:
	case 0x22:
		(void)skip_type(rd, depth + 1);
		break;
	case 0x30:
		(void)cql_string(rd);
		(void)cql_string(rd);
		for (n = rd_u16be(rd); n && !rd->bad; n--) {
			(void)cql_string(rd);
			(void)skip_type(rd, depth + 1);
		}
		break;
	case 0x31:
		for (n = rd_u16be(rd); n && !rd->bad; n--)
			(void)skip_type(rd, depth + 1);
		break;
	default:
		break;
	}
	return type;
}

struct columns {
	uint32_t count;
	struct view name[COLUMNS_MAX];
	uint16_t type[COLUMNS_MAX];
};

/* The description of rows, behind the kind; columns may be NULL. */
static bool read_columns(struct rd *rd, struct columns *columns)
{
	uint32_t flags = rd_u32be(rd), count = rd_u32be(rd);

	if (count > 65535)
		return false;
	if (flags & 2) {		/* paging state: [bytes] */
		int32_t len = (int32_t)rd_u32be(rd);

		rd_skip(rd, len > 0 ? (size_t)len : 0);
	}
	if (flags & 8)
		(void)cql_short_bytes(rd);
	if (columns)
		columns->count = count;
	if (flags & 4) {
		if (columns)
			columns->count = 0;
		return !rd->bad;
	}
	if (flags & 1) {
		(void)cql_string(rd);
		(void)cql_string(rd);
	}
	for (uint32_t i = 0; i < count && !rd->bad; i++) {
		struct view name;
		uint16_t type;

		if (!(flags & 1)) {
			(void)cql_string(rd);
			(void)cql_string(rd);
		}
		name = cql_string(rd);
		type = skip_type(rd, 0);
		if (columns && i < COLUMNS_MAX) {
			columns->name[i] = name;
			columns->type[i] = type;
		}
	}
	return !rd->bad;
}

bool cql_rows(struct view body, uint64_t *ret_rows)
{
	struct rd rd = rd_make(body);
	uint32_t rows;

	if (rd_u32be(&rd) != CQL_ROWS || !read_columns(&rd, NULL))
		return false;
	rows = rd_u32be(&rd);
	if (rd.bad || rows > INT32_MAX)
		return false;
	*ret_rows = rows;
	return true;
}

static bool is_text(struct view text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < ' ' && text.at[i] != '\n' && text.at[i] != '\r' && text.at[i] != '\t')
			return false;
	return text.len > 0;
}

bool cql_sure(struct view bytes, bool response)
{
	struct cql_head head;
	struct view body;
	struct rd rd;
	uint32_t n;

	if (cql_head(bytes, &head) <= 0 || head.response != response)
		return false;
	body = cql_body(&head, view_sub(bytes, head.len, head.body));
	rd = rd_make(body);
	switch (head.opcode) {
	case CQL_OPTIONS:
		return !head.body && head.version > 2;
	case CQL_STARTUP:
		return rd_u16be(&rd) && view_find(body, VIEW_LIT("CQL_VERSION")) >= 0;
	case CQL_QUERY:
	case CQL_PREPARE:
		n = rd_u32be(&rd);
		return !rd.bad && n && n <= head.body - 4 && is_text(view_sub(rd_rest(&rd), 0, n < 200 ? n : 200)) &&
		       (head.opcode == CQL_PREPARE || head.body - 4 - n >= 2);
	case CQL_EXECUTE:
		return cql_short_bytes(&rd).len == 16 && head.body > 20;
	case CQL_SUPPORTED:
		return rd_u16be(&rd) && view_find(body, VIEW_LIT("CQL_VERSION")) >= 0;
	case CQL_RESULT:
		n = rd_u32be(&rd);
		return n == CQL_VOID ? head.body == 4 : n == CQL_ROWS ? rd_u32be(&rd) < 16 && rd_u32be(&rd) < 4096 && !rd.bad :
		       n >= CQL_KEYSPACE && n <= CQL_SCHEMA && head.body < 65536;
	case CQL_ERROR:
		return cql_error_name(rd_u32be(&rd)) && is_text(cql_string(&rd));
	default:
		return false;
	}
}

/* ---- showing ---- */

struct show {
	struct json *json;
	size_t budget;
	bool cut;
};

static void show_text(struct show *s, struct view text)
{
	if (text.len > s->budget) {
		text.len = s->budget;
		s->cut = true;
	}
	s->budget -= text.len;
	json_str(s->json, text);
}

static void show_ktext(struct show *s, const char *key, struct view text)
{
	json_key(s->json, key);
	show_text(s, text);
}

static void show_hex(struct show *s, struct view bytes)
{
	char text[2 + 2 * HEX_BYTES_MAX];
	size_t n = 2;

	memcpy(text, "0x", 2);
	n += hex_write(view_sub(bytes, 0, HEX_BYTES_MAX), text + n);
	s->cut |= bytes.len > HEX_BYTES_MAX;
	show_text(s, view_make(text, n));
}

static void show_value(struct show *s, uint16_t type, struct view value)
{
	struct rd rd = rd_make(value);
	uint64_t bits = 0;
	double real;
	float small;
	uint32_t small_bits;

	switch (type) {
	case 0x01:
	case 0x0a:
	case 0x0d:
		show_text(s, value);
		return;
	case 0x04:
		json_bool(s->json, rd_u8(&rd) != 0);
		return;
	case 0x02: case 0x05: case 0x09: case 0x0b: case 0x12: case 0x13: case 0x14:
		if (!value.len || value.len > 8)
			break;
		bits = value.at[0] & 0x80 ? UINT64_MAX : 0;
		for (size_t i = 0; i < value.len; i++)
			bits = bits << 8 | value.at[i];
		json_i64(s->json, (int64_t)bits);
		return;
	case 0x07:
		if (value.len != 8)
			break;
		bits = rd_u64be(&rd);
		memcpy(&real, &bits, sizeof(real));
		json_f64(s->json, real);
		return;
	case 0x08:
		if (value.len != 4)
			break;
		small_bits = rd_u32be(&rd);
		memcpy(&small, &small_bits, sizeof(small));
		json_f64(s->json, (double)small);
		return;
	default:
		break;
	}
	show_hex(s, value);
}

static void show_rows(struct show *s, struct rd *rd)
{
	struct columns columns = { .count = 0 };
	uint32_t rows;
	bool ok = read_columns(rd, &columns);

	rows = rd_u32be(rd);
	s->cut |= !ok || rd->bad || columns.count > COLUMNS_MAX;
	json_ku64(s->json, "row_count", rd->bad ? 0 : rows);
	if (!columns.count || columns.count > COLUMNS_MAX)
		return;
	json_key(s->json, "rows");
	json_array(s->json);
	for (uint32_t i = 0; i < rows && !rd->bad && s->budget && rd_left(rd); i++) {
		json_object(s->json);
		for (uint32_t c = 0; c < columns.count && !rd->bad; c++) {
			int32_t len = (int32_t)rd_u32be(rd);

			if (rd->bad)
				break;
			json_keyv(s->json, columns.name[c]);
			if (len < 0)
				json_null(s->json);
			else
				show_value(s, columns.type[c], view_sub(rd_rest(rd), 0, (size_t)len));
			rd_skip(rd, len > 0 ? (size_t)len : 0);
		}
		json_object_end(s->json);
		s->budget -= s->budget < 4 ? s->budget : 4;
	}
	s->cut |= rd->bad;
	json_array_end(s->json);
}

static void show_map(struct show *s, struct rd *rd, bool lists)
{
	unsigned n = rd_u16be(rd);

	json_key(s->json, "options");
	json_object(s->json);
	for (; n && !rd->bad; n--) {
		json_keyv(s->json, cql_string(rd));
		if (lists) {
			json_array(s->json);
			for (unsigned k = rd_u16be(rd); k && !rd->bad; k--)
				show_text(s, cql_string(rd));
			json_array_end(s->json);
		} else {
			show_text(s, cql_string(rd));
		}
	}
	json_object_end(s->json);
}

static void show_result(struct show *s, struct rd *rd)
{
	static const char *const kinds[] = { "unknown", "void", "rows", "set_keyspace", "prepared", "schema_change" };
	uint32_t kind = rd_u32be(rd);

	json_kcstr(s->json, "kind", kinds[kind <= CQL_SCHEMA ? kind : 0]);
	if (kind == CQL_ROWS)
		show_rows(s, rd);
	else if (kind == CQL_KEYSPACE)
		show_ktext(s, "keyspace", cql_string(rd));
	else if (kind == CQL_PREPARED) {
		json_key(s->json, "id");
		show_hex(s, cql_short_bytes(rd));
	}
}

static void show_body(struct show *s, const struct cql_head *head, struct view body)
{
	struct rd rd = rd_make(body);
	uint32_t code;

	switch (head->opcode) {
	case CQL_STARTUP:
		show_map(s, &rd, false);
		break;
	case CQL_SUPPORTED:
		show_map(s, &rd, true);
		break;
	case CQL_QUERY:
	case CQL_PREPARE:
		show_ktext(s, "query", cql_long_string(&rd));
		if (head->opcode == CQL_QUERY)
			json_ku64(s->json, "consistency", rd_u16be(&rd));
		break;
	case CQL_EXECUTE:
		json_key(s->json, "id");
		show_hex(s, cql_short_bytes(&rd));
		break;
	case CQL_RESULT:
		show_result(s, &rd);
		break;
	case CQL_ERROR:
		code = rd_u32be(&rd);
		json_ku64(s->json, "code", code);
		json_kcstr(s->json, "name", cql_error_name(code));
		show_ktext(s, "message", cql_string(&rd));
		break;
	case CQL_AUTHENTICATE:
		show_ktext(s, "authenticator", cql_string(&rd));
		break;
	case CQL_EVENT:
		show_ktext(s, "event", cql_string(&rd));
		show_ktext(s, "change", cql_string(&rd));
		break;
	default:	/* answers to authentication are not shown */
		break;
	}
}

int cql_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	for (unsigned side = 0; side < 2; side++) {
		struct view bytes = side ? response : request, body;
		struct show s = { .json = json, .budget = body_max };
		struct cql_head head;

		if (!bytes.len)
			continue;
		json_key(json, side ? "response" : "request");
		json_object(json);
		if (cql_head(bytes, &head) > 0) {
			body = view_sub(bytes, head.len, head.body);
			s.cut = body.len < head.body;
			json_kcstr(json, "opcode", cql_opcode(head.opcode));
			json_ku64(json, "version", head.version);
			json_ki64(json, "stream", head.stream);
			json_ku64(json, "flags", head.flags);
			if (head.flags & CQL_COMPRESSED)
				json_kbool(json, "compressed", true);
			else
				show_body(&s, &head, cql_body(&head, body));
		} else {
			s.cut = true;
		}
		if (s.cut)
			json_kbool(json, "truncated", true);
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}

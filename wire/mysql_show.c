/* A MySQL call in full. */
#include "base/hex.h"
#include "wire/mysql_msg.h"

#include <stdio.h>

#define COLUMNS_MAX	512	/* whose types are remembered */
#define HEX_BYTES_MAX	256

struct show {
	struct json *json;
	size_t budget;
	bool cut;
	bool binary;		/* rows of a prepared statement */
	unsigned columns;
	uint8_t type[COLUMNS_MAX];
	bool is_unsigned[COLUMNS_MAX];
	struct view name[COLUMNS_MAX];
};

static void show_text(struct show *s, struct view text)
{
	char hex[2 + 2 * HEX_BYTES_MAX];
	bool printable = true;
	size_t n = 2;

	if (text.len > s->budget) {
		text.len = s->budget;
		s->cut = true;
	}
	s->budget -= text.len;
	for (size_t i = 0; i < text.len && printable; i++)
		printable = text.at[i] >= ' ' || text.at[i] == '\n' || text.at[i] == '\r' || text.at[i] == '\t';
	if (printable) {
		json_str(s->json, text);
		return;
	}
	memcpy(hex, "0x", 2);
	n += hex_write(view_sub(text, 0, HEX_BYTES_MAX), hex + n);
	s->cut |= text.len > HEX_BYTES_MAX;
	json_str(s->json, view_make(hex, n));
}

static void show_ktext(struct show *s, const char *key, struct view text)
{
	json_key(s->json, key);
	show_text(s, text);
}

static struct view lenenc_text(struct rd *rd)
{
	uint64_t len = mysql_lenenc(rd);

	if (len > rd_left(rd)) {
		struct view rest = rd_rest(rd);

		rd->bad = true;
		return rest;
	}
	return rd_bytes(rd, (size_t)len);
}

/* ---- values ---- */

static void show_number(struct show *s, struct rd *rd, unsigned bytes, bool is_unsigned)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)rd_u8(rd) << (8 * i);
	if (is_unsigned)
		json_u64(s->json, v);
	else
		json_i64(s->json, (int64_t)(v << (64 - 8 * bytes)) >> (64 - 8 * bytes));
}

static void show_time(struct show *s, struct rd *rd, bool date)
{
	unsigned len = rd_u8(rd);
	struct rd in = rd_make(rd_bytes(rd, len));
	char text[80];

	if (date) {
		unsigned year = rd_u16le(&in), month = rd_u8(&in), day = rd_u8(&in);
		unsigned hour = len >= 7 ? rd_u8(&in) : 0, minute = len >= 7 ? rd_u8(&in) : 0, second = len >= 7 ? rd_u8(&in) : 0;
		unsigned micros = len >= 11 ? rd_u32le(&in) : 0;

		(void)snprintf(text, sizeof(text), len >= 7 ? "%04u-%02u-%02u %02u:%02u:%02u.%06u" : "%04u-%02u-%02u",
			       year, month, day, hour, minute, second, micros);
	} else {
		bool minus = rd_u8(&in) == 1;
		unsigned days = rd_u32le(&in), hour = rd_u8(&in), minute = rd_u8(&in), second = rd_u8(&in);
		unsigned micros = len >= 12 ? rd_u32le(&in) : 0;

		(void)snprintf(text, sizeof(text), "%s%u:%02u:%02u.%06u", minus ? "-" : "", days * 24 + hour, minute, second,
			       micros);
	}
	json_cstr(s->json, text);
}

static void show_binary(struct show *s, struct rd *rd, uint8_t type, bool is_unsigned)
{
	switch (type) {
	case 1:
		show_number(s, rd, 1, is_unsigned);
		break;
	case 2:
	case 13:
		show_number(s, rd, 2, is_unsigned);
		break;
	case 3:
	case 9:
		show_number(s, rd, 4, is_unsigned);
		break;
	case 8:
		show_number(s, rd, 8, is_unsigned);
		break;
	case 4: {
		uint32_t bits = rd_u32le(rd);
		float value;

		memcpy(&value, &bits, sizeof(value));
		json_f64(s->json, (double)value);
		break;
	}
	case 5: {
		uint64_t bits = rd_u64le(rd);
		double value;

		memcpy(&value, &bits, sizeof(value));
		json_f64(s->json, value);
		break;
	}
	case 6:
		json_null(s->json);
		break;
	case 7:
	case 10:
	case 12:
		show_time(s, rd, true);
		break;
	case 11:
		show_time(s, rd, false);
		break;
	default:
		show_text(s, lenenc_text(rd));
		break;
	}
}

static void show_row(struct show *s, struct view payload)
{
	struct rd rd = rd_make(payload);
	struct view nulls = { NULL, 0 };

	json_object(s->json);
	if (s->binary) {
		rd_skip(&rd, 1);
		nulls = rd_bytes(&rd, (s->columns + 7 + 2) / 8);
	}
	for (unsigned i = 0; i < s->columns && i < COLUMNS_MAX && !rd.bad && rd_left(&rd) + s->binary; i++) {
		bool null = s->binary ? nulls.len > (i + 2) / 8 && nulls.at[(i + 2) / 8] >> ((i + 2) % 8) & 1 :
			    rd.at[0] == 0xfb;

		if (s->binary && !null && !rd_left(&rd))
			break;
		json_keyv(s->json, s->name[i]);
		if (null) {
			json_null(s->json);
			if (!s->binary)
				rd_skip(&rd, 1);
		} else if (s->binary) {
			show_binary(s, &rd, s->type[i], s->is_unsigned[i]);
		} else {
			show_text(s, lenenc_text(&rd));
		}
	}
	json_object_end(s->json);
}

/* ---- packets ---- */

struct packet {
	uint8_t seq;
	uint32_t len;		/* as announced */
	struct view payload;	/* as much of it as is there */
};

static bool next_packet(struct view *rest, struct packet *ret)
{
	if (rest->len < MYSQL_HEAD_BYTES)
		return false;
	ret->len = (uint32_t)rest->at[0] | (uint32_t)rest->at[1] << 8 | (uint32_t)rest->at[2] << 16;
	ret->seq = rest->at[3];
	ret->payload = view_sub(*rest, MYSQL_HEAD_BYTES, ret->len);
	*rest = view_sub(*rest, MYSQL_HEAD_BYTES + (size_t)ret->len, rest->len);
	return true;
}

static void show_ok(struct show *s, struct view payload, const char *kind)
{
	struct rd rd = rd_make(view_sub(payload, 1, payload.len));

	json_object(s->json);
	json_kcstr(s->json, "packet", kind);
	json_ku64(s->json, "affected_rows", mysql_lenenc(&rd));
	json_ku64(s->json, "last_insert_id", mysql_lenenc(&rd));
	json_ku64(s->json, "status_flags", rd_u16le(&rd));
	json_ku64(s->json, "warnings", rd_u16le(&rd));
	if (!rd.bad && rd_left(&rd))
		show_ktext(s, "info", rd_rest(&rd));
	json_object_end(s->json);
}

static void show_error(struct show *s, struct view payload)
{
	struct mysql_error error;

	json_object(s->json);
	json_kcstr(s->json, "packet", "error");
	if (mysql_error(payload, &error)) {
		json_ku64(s->json, "code", error.code);
		show_ktext(s, "sqlstate", error.state);
		show_ktext(s, "message", error.text);
	}
	json_object_end(s->json);
}

static bool is_eof(const struct packet *p)
{
	return p->len < 9 && p->payload.len && p->payload.at[0] == 0xfe;
}

static void read_definition(struct show *s, unsigned i, struct view payload)
{
	struct rd rd = rd_make(payload);
	uint16_t flags;

	for (unsigned k = 0; k < 4; k++)	/* catalogue, schema, table, table as it was */
		(void)lenenc_text(&rd);
	s->name[i] = lenenc_text(&rd);
	(void)lenenc_text(&rd);
	rd_skip(&rd, 1 + 2 + 4);
	s->type[i] = rd_u8(&rd);
	flags = rd_u16le(&rd);
	s->is_unsigned[i] = flags & 32;
}

/* Definitions, rows and the end of one result; false: nothing behind it can be told. */
static bool show_result(struct show *s, const struct packet *first, struct view *rest)
{
	struct rd rd = rd_make(first->payload);
	uint64_t count = mysql_lenenc(&rd);
	struct packet p;

	s->columns = 0;
	json_object(s->json);
	json_kcstr(s->json, "packet", "result");
	json_key(s->json, "columns");
	json_array(s->json);
	for (uint64_t i = 0; i < count && next_packet(rest, &p); i++) {
		if (s->columns < COLUMNS_MAX) {
			read_definition(s, s->columns, p.payload);
			show_text(s, s->name[s->columns++]);
		}
	}
	json_array_end(s->json);
	json_key(s->json, "rows");
	json_array(s->json);
	for (bool begun = false; rest->len && s->budget; begun = true) {
		struct view before = *rest;

		if (!next_packet(rest, &p))
			break;
		if (is_eof(&p) && !begun && rest->len)
			continue;	/* behind the definitions; alone it would end an empty result of the new form */
		if ((p.payload.len && p.payload.at[0] == 0xff) || (p.payload.len && p.payload.at[0] == 0xfe && p.len < MYSQL_LEN_MAX)) {
			*rest = before;
			break;
		}
		show_row(s, p.payload);
		s->budget -= s->budget < MYSQL_HEAD_BYTES ? s->budget : MYSQL_HEAD_BYTES;
	}
	json_array_end(s->json);
	json_object_end(s->json);
	return rest->len > 0;
}

static void show_response(struct show *s, struct view rest, uint8_t command, bool login)
{
	struct packet p;

	while (s->budget && next_packet(&rest, &p)) {
		uint8_t first = p.payload.len ? p.payload.at[0] : 0;

		if (first == 0xff) {
			show_error(s, p.payload);
		} else if (is_eof(&p)) {
			json_cstr(s->json, login ? "authentication switch" : "end of rows");
		} else if (login && first != 0) {
			json_cstr(s->json, "authentication");
		} else if (command == MYSQL_COM_STATISTICS) {
			show_text(s, p.payload);
		} else if (command == MYSQL_COM_PREPARE && first == 0 && p.seq == 1) {
			struct rd rd = rd_make(view_sub(p.payload, 1, p.payload.len));

			json_object(s->json);
			json_kcstr(s->json, "packet", "prepared");
			json_ku64(s->json, "statement_id", rd_u32le(&rd));
			json_ku64(s->json, "columns", rd_u16le(&rd));
			json_ku64(s->json, "parameters", rd_u16le(&rd));
			json_object_end(s->json);
		} else if (command == MYSQL_COM_PREPARE || command == MYSQL_COM_FIELD_LIST) {
			read_definition(s, 0, p.payload);
			json_object(s->json);
			json_kcstr(s->json, "packet", "definition");
			show_ktext(s, "name", s->name[0]);
			json_object_end(s->json);
		} else if (first == 0 || first == 0xfe) {
			show_ok(s, p.payload, first ? "end of rows" : "ok");
		} else if (first == 0xfb) {
			json_cstr(s->json, "send local file");
		} else if (!show_result(s, &p, &rest)) {
			break;
		}
	}
	s->cut |= rest.len > 0;
}

static void show_login(struct show *s, struct view payload)
{
	struct mysql_login login;

	if (!mysql_login(payload, UINT32_MAX, &login))
		return;
	json_kcstr(s->json, "command", login.ssl ? "SSLREQUEST" : "CONNECT");
	json_key(s->json, "capabilities");
	json_printf(s->json, "0x%08x", login.caps);
	show_ktext(s, "user", login.user);
	show_ktext(s, "db", login.db);
	show_ktext(s, "auth_plugin", login.plugin);
	show_ktext(s, "program", login.program);
}

static void show_command(struct show *s, struct view payload)
{
	uint8_t command = payload.at[0];
	const char *name = mysql_command(command);
	struct view rest = view_sub(payload, 1, payload.len);
	struct rd rd = rd_make(rest);

	json_kcstr(s->json, "command", name);
	switch (command) {
	case MYSQL_COM_QUERY:
		show_ktext(s, "sql", mysql_query(payload, -1));
		break;
	case MYSQL_COM_PREPARE:
		show_ktext(s, "sql", rest);
		break;
	case MYSQL_COM_EXECUTE:
	case MYSQL_COM_BULK_EXECUTE:
		json_ku64(s->json, "statement_id", rd_u32le(&rd));
		rd_skip(&rd, 5);
		/* how many parameters there are stands in the answer to PREPARE alone */
		show_ktext(s, "parameters", rd_rest(&rd));
		break;
	case MYSQL_COM_CLOSE:
	case MYSQL_COM_RESET:
	case MYSQL_COM_FETCH:
	case MYSQL_COM_LONG_DATA:
		json_ku64(s->json, "statement_id", rd_u32le(&rd));
		break;
	case MYSQL_COM_CHANGE_USER:
		break;
	default:
		if (rest.len)
			show_ktext(s, "argument", rest);
		break;
	}
}

int mysql_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	struct show s = { .json = json, .budget = body_max };
	struct view rest = request;
	struct packet p = { .len = 0 };
	uint8_t command = 0;
	bool login = false;

	if (request.len && next_packet(&rest, &p)) {
		json_key(json, "request");
		json_object(json);
		login = p.seq > 0;
		if (login)
			show_login(&s, p.payload);
		else if (p.payload.len)
			show_command(&s, p.payload);
		command = !login && p.payload.len ? p.payload.at[0] : 0;
		s.cut |= p.payload.len < p.len;
		if (s.cut)
			json_kbool(json, "truncated", true);
		json_object_end(json);
	}
	if (response.len) {
		s.budget = body_max;
		s.cut = false;
		s.binary = command == MYSQL_COM_EXECUTE || command == MYSQL_COM_FETCH || command == MYSQL_COM_BULK_EXECUTE;
		json_key(json, "response");
		json_object(json);
		json_key(json, "packets");
		json_array(json);
		show_response(&s, response, command, login || command == MYSQL_COM_CHANGE_USER);
		json_array_end(json);
		if (s.cut)
			json_kbool(json, "truncated", true);
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}

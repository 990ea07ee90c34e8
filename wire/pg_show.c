/* A PostgreSQL call in full. */
#include "base/hex.h"
#include "base/rd.h"
#include "wire/pg_msg.h"

#define HEX_BYTES_MAX 256	/* shown of a binary value */

struct show {
	struct json *json;
	size_t budget;
	bool cut;
	bool front;
	struct view columns;	/* body of the last RowDescription */
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
	memcpy(hex, "\\x", 2);		/* binary format: as PostgreSQL writes bytea */
	n += hex_write(view_sub(text, 0, HEX_BYTES_MAX), hex + n);
	s->cut |= text.len > HEX_BYTES_MAX;
	json_str(s->json, view_make(hex, n));
}

static void show_ktext(struct show *s, const char *key, struct view text)
{
	json_key(s->json, key);
	show_text(s, text);
}

/* The values of a row or the parameters of a Bind; names: the description's columns. */
static void show_values(struct show *s, struct rd *rd, unsigned count, struct view names)
{
	bool named = names.len > 2;
	struct view rest = view_sub(names, 2, names.len);

	if (named)
		json_object(s->json);
	else
		json_array(s->json);
	for (unsigned i = 0; i < count && !rd->bad; i++) {
		uint32_t len = rd_u32be(rd);

		if (rd->bad)
			break;
		if (named) {
			json_keyv(s->json, pg_cstr(&rest));
			rest = view_sub(rest, 18, rest.len);
		}
		if (len == UINT32_MAX)
			json_null(s->json);
		else
			show_text(s, view_sub(rd_rest(rd), 0, len));
		if (len != UINT32_MAX)
			rd_skip(rd, len);
	}
	if (named)
		json_object_end(s->json);
	else
		json_array_end(s->json);
}

static void show_fields(struct show *s, struct view body)
{
	static const struct {
		char field;
		const char *name;
	} names[] = {
		{ 'S', "severity" }, { 'C', "sqlstate" }, { 'M', "message" }, { 'D', "detail" }, { 'H', "hint" },
		{ 'P', "position" }, { 'W', "where" }, { 's', "schema" }, { 't', "table" }, { 'c', "column" },
		{ 'n', "constraint" }, { 'R', "routine" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct view text = pg_error_field(body, names[i].field);

		if (text.len)
			show_ktext(s, names[i].name, text);
	}
}

static void show_params(struct show *s, struct view rest)
{
	json_key(s->json, "parameters");
	json_object(s->json);
	while (rest.len && rest.at[0]) {
		struct view name = pg_cstr(&rest);

		json_keyv(s->json, name);
		show_text(s, pg_cstr(&rest));
	}
	json_object_end(s->json);
}

static void show_bind(struct show *s, struct view body)
{
	struct rd rd;
	unsigned formats, count;

	show_ktext(s, "portal", pg_cstr(&body));
	show_ktext(s, "statement", pg_cstr(&body));
	rd = rd_make(body);
	formats = rd_u16be(&rd);
	rd_skip(&rd, 2 * (size_t)formats);
	count = rd_u16be(&rd);
	json_key(s->json, "values");
	show_values(s, &rd, count, view_make("", 0));
}

static const char *front_name(uint8_t type)
{
	switch (type) {
	case 'Q': return "Query";
	case 'P': return "Parse";
	case 'B': return "Bind";
	case 'E': return "Execute";
	case 'D': return "Describe";
	case 'C': return "Close";
	case 'S': return "Sync";
	case 'H': return "Flush";
	case 'X': return "Terminate";
	case 'F': return "FunctionCall";
	case 'd': return "CopyData";
	case 'c': return "CopyDone";
	case 'f': return "CopyFail";
	case 'p': return "Password";
	default: return "?";
	}
}

static const char *back_name(uint8_t type)
{
	switch (type) {
	case 'R': return "Authentication";
	case 'K': return "BackendKeyData";
	case 'S': return "ParameterStatus";
	case 'Z': return "ReadyForQuery";
	case 'T': return "RowDescription";
	case 't': return "ParameterDescription";
	case 'D': return "DataRow";
	case 'C': return "CommandComplete";
	case 'E': return "ErrorResponse";
	case 'N': return "NoticeResponse";
	case 'A': return "NotificationResponse";
	case 'I': return "EmptyQueryResponse";
	case '1': return "ParseComplete";
	case '2': return "BindComplete";
	case '3': return "CloseComplete";
	case 'n': return "NoData";
	case 's': return "PortalSuspended";
	case 'G': return "CopyInResponse";
	case 'H': return "CopyOutResponse";
	case 'W': return "CopyBothResponse";
	case 'd': return "CopyData";
	case 'c': return "CopyDone";
	case 'V': return "FunctionCallResponse";
	case 'v': return "NegotiateProtocolVersion";
	default: return "?";
	}
}

static void show_columns(struct show *s, struct view body)
{
	struct rd rd = rd_make(body);
	unsigned count = rd_u16be(&rd);
	struct view rest = rd_rest(&rd);

	json_key(s->json, "columns");
	json_array(s->json);
	for (unsigned i = 0; i < count && rest.len; i++) {
		json_object(s->json);
		show_ktext(s, "name", pg_cstr(&rest));
		rd = rd_make(rest);
		rd_skip(&rd, 6);
		json_ku64(s->json, "type_oid", rd_u32be(&rd));
		json_object_end(s->json);
		rest = view_sub(rest, 18, rest.len);
	}
	json_array_end(s->json);
}

static void show_front(struct show *s, uint8_t type, struct view body)
{
	switch (type) {
	case 'Q':
		show_ktext(s, "sql", pg_cstr(&body));
		break;
	case 'P':
		show_ktext(s, "statement", pg_cstr(&body));
		show_ktext(s, "sql", pg_cstr(&body));
		break;
	case 'B':
		show_bind(s, body);
		break;
	case 'E':
		show_ktext(s, "portal", pg_cstr(&body));
		break;
	case 'D':
	case 'C':
		if (body.len > 1) {
			bool statement = body.at[0] == 'S';

			body = view_sub(body, 1, body.len);
			show_ktext(s, statement ? "statement" : "portal", pg_cstr(&body));
		}
		break;
	case 'd':
		show_ktext(s, "data", body);
		break;
	case 'f':
		show_ktext(s, "reason", pg_cstr(&body));
		break;
	default:	/* passwords are not shown */
		break;
	}
}

static void show_back(struct show *s, uint8_t type, struct view body)
{
	struct rd rd = rd_make(body);

	switch (type) {
	case 'R':
		json_ku64(s->json, "method", rd_u32be(&rd));
		break;
	case 'S':
		show_ktext(s, "name", pg_cstr(&body));
		show_ktext(s, "value", pg_cstr(&body));
		break;
	case 'Z':
		show_ktext(s, "transaction", view_sub(body, 0, 1));
		break;
	case 'T':
		s->columns = body;
		show_columns(s, body);
		break;
	case 'D': {
		unsigned count = rd_u16be(&rd), named = s->columns.len >= 2 ?
			(unsigned)(s->columns.at[0] << 8 | s->columns.at[1]) : 0;

		json_key(s->json, "values");
		show_values(s, &rd, count, named == count ? s->columns : view_make("", 0));
		break;
	}
	case 'C':
		show_ktext(s, "tag", pg_cstr(&body));
		break;
	case 'E':
	case 'N':
		show_fields(s, body);
		break;
	case 'A':
		json_ku64(s->json, "process", rd_u32be(&rd));
		body = rd_rest(&rd);
		show_ktext(s, "channel", pg_cstr(&body));
		show_ktext(s, "payload", pg_cstr(&body));
		break;
	case 'd':
		show_ktext(s, "data", body);
		break;
	default:
		break;
	}
}

/* What stands before the first typed message; how many bytes it was. */
static size_t show_startup(struct show *s, struct view bytes)
{
	uint32_t len = 0;
	enum pg_startup kind = pg_startup(bytes, &len);

	if (kind < PG_STARTUP_LOGIN)
		return 0;
	json_object(s->json);
	json_kcstr(s->json, "message", kind == PG_STARTUP_SSL ? "SSLRequest" : kind == PG_STARTUP_GSS ? "GSSENCRequest" :
		   kind == PG_STARTUP_CANCEL ? "CancelRequest" : "StartupMessage");
	if (kind == PG_STARTUP_LOGIN) {
		json_key(s->json, "version");
		json_printf(s->json, "%u.%u", bytes.at[4] << 8 | bytes.at[5], bytes.at[6] << 8 | bytes.at[7]);
		show_params(s, view_sub(bytes, 8, len - 8));
	} else if (kind == PG_STARTUP_CANCEL) {
		struct rd rd = rd_make(view_sub(bytes, 8, 4));

		json_ku64(s->json, "process", rd_u32be(&rd));
	}
	json_object_end(s->json);
	return len;
}

static void show_messages(struct show *s, struct view bytes)
{
	if (s->front)
		bytes = view_sub(bytes, show_startup(s, bytes), bytes.len);
	while (bytes.len >= PG_HEAD_BYTES && s->budget) {
		struct rd rd = rd_make(bytes);
		uint8_t type = rd_u8(&rd);
		uint32_t len = rd_u32be(&rd);
		struct view body;

		if (!pg_head_ok(s->front, type, len))
			break;
		body = view_sub(bytes, PG_HEAD_BYTES, len - 4);
		s->cut |= body.len < len - 4;
		json_object(s->json);
		json_kcstr(s->json, "message", s->front ? front_name(type) : back_name(type));
		if (s->front)
			show_front(s, type, body);
		else
			show_back(s, type, body);
		json_object_end(s->json);
		s->budget -= s->budget < PG_HEAD_BYTES ? s->budget : PG_HEAD_BYTES;
		bytes = view_sub(bytes, (size_t)len + 1, bytes.len);
	}
	if (bytes.len == 1 && !s->front && (bytes.at[0] == 'S' || bytes.at[0] == 'N' || bytes.at[0] == 'G'))
		json_cstr(s->json, bytes.at[0] == 'N' ? "refused" : "accepted");	/* of an encryption request */
	else
		s->cut |= bytes.len > 0;
}

int pg_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	for (unsigned side = 0; side < 2; side++) {
		struct view bytes = side ? response : request;
		struct show s = { .json = json, .budget = body_max, .front = !side };

		if (!bytes.len)
			continue;
		json_key(json, side ? "response" : "request");
		json_object(json);
		json_key(json, "messages");
		json_array(json);
		show_messages(&s, bytes);
		json_array_end(json);
		if (s.cut)
			json_kbool(json, "truncated", true);
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}

#include "wire/pg_msg.h"

#include "base/rd.h"

#define CODE_CANCEL	80877102
#define CODE_SSL	80877103
#define CODE_GSS	80877104

enum pg_startup pg_startup(struct view bytes, uint32_t *ret_len)
{
	struct rd rd = rd_make(bytes);
	uint32_t len = rd_u32be(&rd), code = rd_u32be(&rd);

	if (bytes.len && bytes.at[0] != 0)
		return PG_STARTUP_NO;
	if (rd.bad)
		return PG_STARTUP_MORE;
	*ret_len = len;
	if (len == 8 && code == CODE_SSL)
		return PG_STARTUP_SSL;
	if (len == 8 && code == CODE_GSS)
		return PG_STARTUP_GSS;
	if (len >= 16 && len <= 16 + 256 && code == CODE_CANCEL)
		return PG_STARTUP_CANCEL;
	if (code >> 16 != 3 || (code & 0xffff) > 9 || len < 9 || len > PG_STARTUP_MAX)
		return PG_STARTUP_NO;
	if (bytes.len < 9)
		return PG_STARTUP_MORE;
	/* parameters: a name, or the zero byte that ends them */
	return bytes.at[8] == 0 ? (len == 9 ? PG_STARTUP_LOGIN : PG_STARTUP_NO) :
	       bytes.at[8] >= 'a' && bytes.at[8] <= 'z' ? PG_STARTUP_LOGIN : bytes.at[8] == '_' ? PG_STARTUP_LOGIN :
	       PG_STARTUP_NO;
}

bool pg_head_ok(bool front, uint8_t type, uint32_t len)
{
	if (len < 4 || len > PG_LEN_MAX)
		return false;
	if (front) {
		switch (type) {
		case 'Q': case 'f':
			return len >= 5;
		case 'P':
			return len >= 8;
		case 'B':
			return len >= 12;
		case 'D': case 'C':
			return len >= 6;
		case 'E':
			return len >= 9;
		case 'S': case 'H': case 'X': case 'c':
			return len == 4;
		case 'F':
			return len >= 14;
		case 'd':
			return true;
		case 'p':
			return len <= 65536;
		default:
			return false;
		}
	}
	switch (type) {
	case 'Z':
		return len == 5;
	case '1': case '2': case '3': case 'n': case 'I': case 's': case 'c':
		return len == 4;
	case 'K':
		return len >= 12 && len <= 4 + 4 + 256;
	case 'R':
		return len >= 8 && len <= 65536;
	case 'S':
		return len >= 6;
	case 'T': case 't': case 'D':
		return len >= 6;
	case 'C':
		return len >= 5 && len <= 256;
	case 'E': case 'N':
		return len >= 5;
	case 'A':
		return len >= 10;
	case 'G': case 'H': case 'W':
		return len >= 7;
	case 'V':
		return len >= 8;
	case 'v':
		return len >= 12;
	case 'd':
		return true;
	default:
		return false;
	}
}

struct view pg_cstr(struct view *rest)
{
	const uint8_t *end = rest->len ? memchr(rest->at, 0, rest->len) : NULL;
	struct view text = view_sub(*rest, 0, end ? (size_t)(end - rest->at) : rest->len);

	*rest = view_sub(*rest, text.len + 1, rest->len);
	return text;
}

static bool is_text(struct view text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < ' ' && text.at[i] != '\n' && text.at[i] != '\r' && text.at[i] != '\t')
			return false;
	return true;
}

/* A string that ends where the message does. */
static bool is_cstr(struct view body)
{
	return body.len && body.at[body.len - 1] == 0 && is_text(view_sub(body, 0, body.len - 1));
}

static bool is_row_description(struct view body)
{
	struct rd rd = rd_make(body);
	unsigned count = rd_u16be(&rd);
	struct view rest = rd_rest(&rd);

	for (unsigned i = 0; i < count; i++) {
		if (!memchr(rest.at, 0, rest.len) || !is_text(pg_cstr(&rest)) || rest.len < 18)
			return false;
		rest = view_sub(rest, 18, rest.len);
	}
	return !rd.bad && !rest.len;
}

static bool is_data_row(struct view body)
{
	struct rd rd = rd_make(body);
	unsigned count = rd_u16be(&rd);

	for (unsigned i = 0; i < count && !rd.bad; i++) {
		uint32_t len = rd_u32be(&rd);

		if (len != UINT32_MAX)
			rd_skip(&rd, len);
	}
	return !rd.bad && !rd_left(&rd) && count;
}

static bool is_fields(struct view body)
{
	return body.len > 3 && (body.at[0] == 'S' || body.at[0] == 'V') && body.at[body.len - 1] == 0 &&
	       body.at[1] >= 'A' && body.at[1] <= 'Z' && pg_error_field(body, 'C').len == 5;
}

static bool is_tag(struct view body)
{
	if (!is_cstr(body) || body.len < 4)
		return false;
	for (size_t i = 0; i + 1 < body.len; i++)
		if (!(body.at[i] >= 'A' && body.at[i] <= 'Z') && !(body.at[i] >= '0' && body.at[i] <= '9') &&
		    body.at[i] != ' ')
			return false;
	return body.at[0] >= 'A';
}

bool pg_message_sure(bool front, struct view bytes)
{
	struct rd rd = rd_make(bytes);
	uint8_t type = rd_u8(&rd);
	uint32_t len = rd_u32be(&rd);
	struct view body, rest;

	if (rd.bad || !pg_head_ok(front, type, len) || bytes.len < (size_t)len + 1)
		return false;
	body = rest = view_sub(bytes, PG_HEAD_BYTES, len - 4);
	if (front) {
		switch (type) {
		case 'Q':
			return is_cstr(body) && body.len > 1;
		case 'P':
			if (!is_text(pg_cstr(&rest)) || !is_text(pg_cstr(&rest)) || rest.len < 2)
				return false;
			return rest.len == 2 + 4 * ((size_t)rest.at[0] << 8 | rest.at[1]);
		case 'B':
			return is_text(pg_cstr(&rest)) && is_text(pg_cstr(&rest)) && rest.len >= 6 && rest.at[0] == 0;
		case 'E':
			return is_text(pg_cstr(&rest)) && rest.len == 4;
		case 'D': case 'C':
			return (body.at[0] == 'S' || body.at[0] == 'P') && is_cstr(view_sub(body, 1, body.len));
		default:
			return false;
		}
	}
	switch (type) {
	case 'Z':
		return body.at[0] == 'I' || body.at[0] == 'T' || body.at[0] == 'E';
	case 'T':
		return is_row_description(body);
	case 'D':
		return is_data_row(body);
	case 'C':
		return is_tag(body);
	case 'E': case 'N':
		return is_fields(body);
	case '1': case '2': case '3': case 'n': case 'I':
		/* five bytes prove little: another message has to follow */
		return bytes.len > PG_HEAD_BYTES && pg_message_sure(false, view_sub(bytes, PG_HEAD_BYTES, bytes.len));
	default:
		return false;
	}
}

struct view pg_error_field(struct view body, char field)
{
	while (body.len && body.at[0]) {
		char kind = (char)body.at[0];
		struct view text;

		body = view_sub(body, 1, body.len);
		text = pg_cstr(&body);
		if (kind == field)
			return text;
	}
	return view_make("", 0);
}

bool pg_tag_rows(struct view tag, uint64_t *ret_rows)
{
	size_t from = tag.len;

	while (from && tag.at[from - 1] != ' ')
		from--;
	return from && view_u64(view_sub(tag, from, tag.len), UINT64_MAX, ret_rows) == 0;
}

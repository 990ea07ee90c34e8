#include "wire/tds_msg.h"

#define ALL_HEADERS_MAX	512
#define TOKENS_MAX	1000
#define OLD_TEXT_BYTES	30
#define OLD_VERSION_AT	458

bool tds_head(struct view bytes, struct tds_head *ret_head)
{
	struct rd rd = rd_make(bytes);
	struct tds_head head = { .type = rd_u8(&rd), .status = rd_u8(&rd), .len = rd_u16be(&rd) };

	rd_skip(&rd, 4);
	if (rd.bad || !tds_type_name(head.type) || head.status > 0x1f || head.len < TDS_HEAD_BYTES || head.len > 32768)
		return false;
	*ret_head = head;
	return true;
}

const char *tds_type_name(uint8_t type)
{
	switch (type) {
	case TDS_BATCH: return "SQLBATCH";
	case TDS_LOGIN_OLD: return "LOGIN";
	case TDS_RPC: return "RPC";
	case TDS_RESPONSE: return "RESPONSE";
	case TDS_ATTENTION: return "ATTENTION";
	case TDS_BULK: return "BULK";
	case TDS_TRANSACTION: return "TRANSACTION";
	case TDS_LOGIN7: return "LOGIN7";
	case TDS_SSPI: return "SSPI";
	case TDS_PRELOGIN: return "PRELOGIN";
	default: return NULL;
	}
}

static size_t put_utf8(char *text, size_t n, size_t cap, uint32_t c)
{
	char bytes[4];
	size_t len;

	if (c < 0x80) {
		bytes[0] = (char)c;
		len = 1;
	} else if (c < 0x800) {
		bytes[0] = (char)(0xc0 | c >> 6);
		bytes[1] = (char)(0x80 | (c & 63));
		len = 2;
	} else if (c < 0x10000) {
		bytes[0] = (char)(0xe0 | c >> 12);
		bytes[1] = (char)(0x80 | (c >> 6 & 63));
		bytes[2] = (char)(0x80 | (c & 63));
		len = 3;
	} else {
		bytes[0] = (char)(0xf0 | c >> 18);
		bytes[1] = (char)(0x80 | (c >> 12 & 63));
		bytes[2] = (char)(0x80 | (c >> 6 & 63));
		bytes[3] = (char)(0x80 | (c & 63));
		len = 4;
	}
	if (n + len > cap)
		return cap + 1;
	memcpy(text + n, bytes, len);
	return n + len;
}

size_t tds_text(struct view bytes, char *text, size_t cap)
{
	size_t n = 0, next;
	bool wide = bytes.len < 2 || bytes.at[1] == 0 || bytes.at[0] == 0 || bytes.at[1] > 0x7f ||
		    (bytes.len > 3 && bytes.at[3] == 0);

	if (!wide) {		/* before version 7: one byte a character */
		n = bytes.len < cap ? bytes.len : cap;
		memcpy(text, bytes.at, n);
		return n;
	}
	for (size_t i = 0; i + 1 < bytes.len; i += 2) {
		uint32_t c = (uint32_t)bytes.at[i] | (uint32_t)bytes.at[i + 1] << 8;

		if (c >= 0xd800 && c < 0xdc00 && i + 3 < bytes.len) {
			uint32_t low = (uint32_t)bytes.at[i + 2] | (uint32_t)bytes.at[i + 3] << 8;

			if (low >= 0xdc00 && low < 0xe000) {
				c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
				i += 2;
			}
		}
		if (c >= 0xd800 && c < 0xe000)
			c = 0xfffd;
		next = put_utf8(text, n, cap, c);
		if (next > cap)
			break;
		n = next;
	}
	return n;
}

struct view tds_body(struct view body)
{
	struct rd rd = rd_make(body);
	uint32_t total = rd_u32le(&rd), first = rd_u32le(&rd);
	uint16_t type = rd_u16le(&rd);

	if (rd.bad || total < 10 || total > ALL_HEADERS_MAX || first < 6 || first > total - 4 || type < 1 || type > 3)
		return body;
	return view_sub(body, total, body.len);
}

/* ---- requests ---- */

static struct view login_text(struct view body, unsigned at)
{
	struct rd rd = rd_make(view_sub(body, at, 4));
	uint16_t off = rd_u16le(&rd), chars = rd_u16le(&rd);

	return rd.bad ? view_make("", 0) : view_sub(body, off, 2 * (size_t)chars);
}

bool tds_login(struct view body, struct tds_login *ret_login)
{
	struct rd rd = rd_make(body);
	uint32_t len = rd_u32le(&rd);
	struct tds_login login = { .version = rd_u32le(&rd) };

	if (rd.bad || len < 86 || len > 1 << 17 || body.len < 86)
		return false;
	login.host = login_text(body, 36);
	login.user = login_text(body, 40);
	login.app = login_text(body, 48);
	login.server = login_text(body, 52);
	login.db = login_text(body, 68);
	*ret_login = login;
	return true;
}

/* Thirty bytes and how many of them count. */
static bool old_text(struct view body, size_t at, struct view *ret_text)
{
	uint8_t len = body.at[at + OLD_TEXT_BYTES];

	if (len > OLD_TEXT_BYTES)
		return false;
	*ret_text = view_sub(body, at, len);
	for (size_t i = 0; i < len; i++)
		if (ret_text->at[i] < ' ')
			return false;
	return true;
}

/*
 * Host, user, password, process; nine bytes of types; sizes; application, server at 140;
 * remote passwords; the version's four bytes at 458.
 */
bool tds_login_old(struct view body, struct tds_login *ret_login)
{
	struct tds_login login = { .db = view_make("", 0) };
	struct view secret, process;
	uint8_t major;

	if (body.len < OLD_VERSION_AT + 4 || !old_text(body, 0, &login.host) || !old_text(body, 31, &login.user) ||
	    !old_text(body, 62, &secret) || !old_text(body, 93, &process) || !old_text(body, 140, &login.app) ||
	    !old_text(body, 171, &login.server))
		return false;
	major = body.at[OLD_VERSION_AT];
	if (major && major != 4 && major != 5)
		return false;
	login.version = (uint32_t)major << 28 | (uint32_t)(body.at[OLD_VERSION_AT + 1] & 15) << 24;
	*ret_login = login;
	return true;
}

/* The first parameter of sp_executesql and its kin: NVARCHAR or NTEXT. */
static struct view text_parameter(struct rd *rd)
{
	struct view text;
	uint8_t type;
	uint32_t len;

	rd_skip(rd, 2 * (size_t)rd_u8(rd));	/* its name */
	(void)rd_u8(rd);
	type = rd_u8(rd);
	if (type == 0x26) {			/* a handle goes before it: sp_prepexec */
		(void)rd_u8(rd);
		rd_skip(rd, rd_u8(rd));
		return view_make("", 0);
	}
	if (type == 0x63) {			/* NTEXT */
		rd_skip(rd, 4 + 5);
		len = rd_u32le(rd);
	} else if (type == 0xe7) {
		uint16_t max = rd_u16le(rd);

		rd_skip(rd, 5);
		if (max == 0xffff) {		/* in chunks: the first one */
			rd_skip(rd, 8);
			len = rd_u32le(rd);
		} else {
			len = rd_u16le(rd);
			if (len == 0xffff)
				len = 0;
		}
	} else {
		return view_make("", 0);
	}
	if (rd->bad)
		return view_make("", 0);
	text = view_sub(rd_rest(rd), 0, len);
	rd_skip(rd, text.len);
	return text;
}

bool tds_rpc(struct view body, struct tds_rpc *ret_rpc)
{
	static const char *const names[] = {
		NULL, "sp_cursor", "sp_cursoropen", "sp_cursorprepare", "sp_cursorexecute", "sp_cursorprepexec",
		"sp_cursorunprepare", "sp_cursorfetch", "sp_cursoroption", "sp_cursorclose", "sp_executesql", "sp_prepare",
		"sp_execute", "sp_prepexec", "sp_prepexecrpc", "sp_unprepare",
	};
	struct tds_rpc rpc = { .name = NULL };
	struct rd rd = rd_make(tds_body(body));
	uint16_t len = rd_u16le(&rd), id = 0;

	if (len == 0xffff) {
		id = rd_u16le(&rd);
		if (rd.bad || !id || id >= sizeof(names) / sizeof(names[0]))
			return false;
		rpc.name = names[id];
	} else {
		if (!len || len > 1046)
			return false;
		rpc.text = view_sub(rd_rest(&rd), 0, 2 * (size_t)len);
		rd_skip(&rd, 2 * (size_t)len);
		if (rd.bad)
			return false;
		for (size_t i = 1; i < rpc.text.len; i += 2)
			if (rpc.text.at[i] == 0 && rpc.text.at[i - 1] < ' ')
				return false;
	}
	if (rd_u16le(&rd) > 7)
		return false;
	*ret_rpc = rpc;
	if (id == 10 || id == 2)
		ret_rpc->sql = id == 10 ? text_parameter(&rd) : view_make("", 0);
	else if (id == 13 || id == 11 || id == 5 || id == 3) {
		/* handle, the parameters' declaration, the statement */
		(void)text_parameter(&rd);
		(void)text_parameter(&rd);
		ret_rpc->sql = text_parameter(&rd);
	}
	return !rd.bad || rpc.name || rpc.text.len;
}

/* ---- tokens ---- */

/* How long the token at the head of tokens is; 0: it is not one that can be told. */
static size_t token_len(struct view tokens)
{
	struct rd rd = rd_make(tokens);

	switch (rd_u8(&rd)) {
	case 0xe3: case 0xaa: case 0xab: case 0xad: case 0xa9: case 0xa4: case 0xa5: case 0xed:	/* with a length */
		return 3 + (size_t)rd_u16le(&rd);
	case 0x79:		/* return status */
		return 5;
	case 0xfd: case 0xfe: case 0xff:
		/* the count has eight bytes since 7.2 */
		if (tokens.len == 9)
			return 9;
		return tokens.len >= 13 && (tokens.len == 13 || memchr("\xe3\xaa\xab\xad\x79\x81\xd1\xd2\xfd\xfe\xff", tokens.at[13], 11)) ?
			13 : 9;
	default:
		return 0;
	}
}

static bool read_error(struct view token, struct tds_error *ret_error)
{
	struct rd rd = rd_make(token);
	struct tds_error error;
	uint16_t chars;

	if (rd_u8(&rd) != 0xaa)
		return false;
	rd_skip(&rd, 2);
	error.number = (int32_t)rd_u32le(&rd);
	error.state = rd_u8(&rd);
	error.severity = rd_u8(&rd);
	chars = rd_u16le(&rd);
	error.text = view_sub(rd_rest(&rd), 0, 2 * (size_t)chars);
	if (rd.bad || error.severity > 25)
		return false;
	*ret_error = error;
	return true;
}

static size_t done_at(struct view tokens, size_t len)
{
	return tokens.len >= len && tokens.at[tokens.len - len] >= 0xfd ? tokens.len - len : SIZE_MAX;
}

/* DONE: token, status, command, count. */
bool tds_find_done(struct view tokens, struct tds_done *ret_done)
{
	static const size_t lens[] = { 13, 9 };

	for (unsigned i = 0; i < 2; i++) {
		size_t at = done_at(tokens, lens[i]);
		struct rd rd;
		uint16_t status;

		if (at == SIZE_MAX)
			continue;
		rd = rd_make(view_sub(tokens, at + 1, tokens.len));
		status = rd_u16le(&rd);
		if (status & ~(uint16_t)0x133 || (status & 1))	/* more to come: not the last */
			continue;
		rd_skip(&rd, 2);
		ret_done->error = status & 2;
		ret_done->has_rows = status & 0x10;
		ret_done->rows = lens[i] == 13 ? rd_u64le(&rd) : rd_u32le(&rd);
		return true;
	}
	return false;
}

bool tds_find_error(struct view tokens, struct tds_error *ret_error)
{
	struct view rest = tokens;
	size_t len, end;

	for (unsigned i = 0; i < TOKENS_MAX && (len = token_len(rest)); i++) {
		if (rest.at[0] == 0xaa)
			return read_error(view_sub(rest, 0, len), ret_error);
		rest = view_sub(rest, len, rest.len);
	}
	/* behind rows nobody has counted: right before the last token */
	end = done_at(tokens, 13);
	if (end == SIZE_MAX)
		end = done_at(tokens, 9);
	if (end == SIZE_MAX)
		return false;
	for (size_t i = end; i-- > 0;)
		if (tokens.at[i] == 0xaa && i + 3 <= end &&
		    i + 3 + ((size_t)tokens.at[i + 1] | (size_t)tokens.at[i + 2] << 8) == end)
			return read_error(view_sub(tokens, i, end - i), ret_error);
	return false;
}

/* ---- beyond doubt ---- */

static bool is_wide_text(struct view text)
{
	size_t letters = 0;

	for (size_t i = 0; i + 1 < text.len && i < 64; i += 2) {
		if (text.at[i + 1] == 0 && text.at[i] < ' ' && text.at[i] != '\r' && text.at[i] != '\n' && text.at[i] != '\t')
			return false;
		letters += text.at[i + 1] == 0 && (text.at[i] | 0x20) >= 'a' && (text.at[i] | 0x20) <= 'z';
	}
	return letters >= 3;
}

bool tds_sure(struct view bytes)
{
	struct tds_head head;
	struct tds_login login;
	struct tds_rpc rpc;
	struct view body = view_sub(bytes, TDS_HEAD_BYTES, bytes.len);

	if (!tds_head(bytes, &head) || bytes.at[7] != 0)
		return false;
	body = view_sub(body, 0, head.len - TDS_HEAD_BYTES);
	switch (head.type) {
	case TDS_BATCH:
		return is_wide_text(tds_body(body));
	case TDS_RPC:
		return tds_rpc(body, &rpc) && (rpc.name || is_wide_text(rpc.text));
	case TDS_LOGIN7:
		return tds_login(body, &login) && body.at[0] == ((head.len - TDS_HEAD_BYTES) & 0xff);
	case TDS_LOGIN_OLD:
		return tds_login_old(body, &login) && login.version && login.user.len;
	case TDS_PRELOGIN:
		/* an option: number, offset behind the table, length */
		return body.len >= 11 && body.at[0] == 0 && body.at[1] == 0 && body.at[2] >= 6 && body.at[2] < 64 &&
		       body.at[3] == 0 && body.at[4] == 6;
	case TDS_RESPONSE:
		if (body.len >= 11 && body.at[0] == 0 && body.at[1] == 0 && body.at[3] == 0 && body.at[4] == 6)
			return true;
		return body.len + TDS_HEAD_BYTES == head.len && body.len >= 9 &&
		       memchr("\xe3\xaa\xab\xad\x79\x81\xfd\xfe\xff\xa4\xa5\xd1\xd3", body.at[0], 13) &&
		       (body.at[0] == 0x81 || body.at[0] == 0xd1 || body.at[0] == 0xd3 || token_len(body) <= body.len);
	default:
		return false;
	}
}

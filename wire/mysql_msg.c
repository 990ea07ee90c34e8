#include "wire/mysql_msg.h"

uint64_t mysql_lenenc(struct rd *rd)
{
	uint8_t first = rd_u8(rd);

	switch (first) {
	case 0xfc:
		return rd_u16le(rd);
	case 0xfd: {
		uint64_t low = rd_u16le(rd);

		return low | (uint64_t)rd_u8(rd) << 16;
	}
	case 0xfe:
		return rd_u64le(rd);
	case 0xfb:
	case 0xff:
		rd->bad = true;
		return 0;
	default:
		return first;
	}
}

static struct view lenenc_text(struct rd *rd)
{
	uint64_t len = mysql_lenenc(rd);

	return len <= rd_left(rd) ? rd_bytes(rd, (size_t)len) : (rd->bad = true, view_make("", 0));
}

static struct view nul_text(struct rd *rd)
{
	struct view rest = rd_rest(rd);
	const uint8_t *end = rest.len ? memchr(rest.at, 0, rest.len) : NULL;
	struct view text = view_sub(rest, 0, end ? (size_t)(end - rest.at) : rest.len);

	rd_skip(rd, text.len + (end != NULL));
	return text;
}

const char *mysql_command(uint8_t command)
{
	static const char *const names[] = {
		"SLEEP", "QUIT", "INIT_DB", "QUERY", "FIELD_LIST", "CREATE_DB", "DROP_DB", "REFRESH", "SHUTDOWN",
		"STATISTICS", "PROCESS_INFO", "CONNECT", "PROCESS_KILL", "DEBUG", "PING", "TIME", "DELAYED_INSERT",
		"CHANGE_USER", "BINLOG_DUMP", "TABLE_DUMP", "CONNECT_OUT", "REGISTER_SLAVE", "PREPARE", "EXECUTE",
		"LONG_DATA", "CLOSE", "RESET", "SET_OPTION", "FETCH", "DAEMON", "BINLOG_DUMP_GTID", "RESET_CONNECTION",
	};

	if (command == MYSQL_COM_BULK_EXECUTE)
		return "BULK_EXECUTE";
	return command && command < sizeof(names) / sizeof(names[0]) ? names[command] : NULL;
}

/* A value in binary form, as long as its type says. */
static void skip_value(struct rd *rd, uint8_t type)
{
	switch (type) {
	case 1:
		rd_skip(rd, 1);
		break;
	case 2:
	case 13:
		rd_skip(rd, 2);
		break;
	case 3:
	case 4:
	case 9:
		rd_skip(rd, 4);
		break;
	case 5:
	case 8:
		rd_skip(rd, 8);
		break;
	case 6:
		break;
	case 7:
	case 10:
	case 11:
	case 12:
		rd_skip(rd, rd_u8(rd));
		break;
	default:
		(void)lenenc_text(rd);
		break;
	}
}

#define ATTRS_MAX 64	/* whose types are remembered on the way to the text */

struct view mysql_query(struct view payload, int attrs)
{
	struct view text = view_sub(payload, 1, payload.len);
	struct rd rd = rd_make(text);
	uint64_t count;
	uint8_t types[ATTRS_MAX];
	struct view nulls;

	if (attrs == 0 || (attrs < 0 && (text.len < 2 || text.at[0] >= ' ' || text.at[1] != 1)))
		return text;
	count = mysql_lenenc(&rd);
	(void)mysql_lenenc(&rd);	/* sets of parameters: always one */
	if (rd.bad)
		return text;
	if (count) {
		bool typed;

		if (count > 65535)
			return text;
		nulls = rd_bytes(&rd, (size_t)(count + 7) / 8);
		typed = rd_u8(&rd) == 1;
		for (uint64_t i = 0; i < count && typed; i++) {
			uint16_t type = rd_u16le(&rd);

			if (i < ATTRS_MAX)
				types[i] = (uint8_t)type;
			(void)lenenc_text(&rd);
		}
		if (rd.bad || !typed || count > ATTRS_MAX)
			return view_make("", 0);
		for (uint64_t i = 0; i < count; i++)
			if (!(nulls.at[i / 8] >> (i % 8) & 1))
				skip_value(&rd, types[i]);
	}
	return rd.bad ? view_make("", 0) : rd_rest(&rd);
}

bool mysql_greeting(struct view payload, struct mysql_greeting *ret)
{
	struct rd rd = rd_make(payload);
	struct mysql_greeting greeting;

	if (rd_u8(&rd) != 10)
		return false;
	greeting.version = nul_text(&rd);
	if (!greeting.version.len || greeting.version.len > 100 || greeting.version.at[0] < '0' || greeting.version.at[0] > '9')
		return false;
	for (size_t i = 0; i < greeting.version.len; i++)
		if (greeting.version.at[i] < ' ' || greeting.version.at[i] > '~')
			return false;
	rd_skip(&rd, 4 + 8);
	if (rd_u8(&rd) != 0)
		return false;
	greeting.caps = rd_u16le(&rd);
	if (rd.bad)
		return false;
	rd_skip(&rd, 3);
	greeting.caps |= (uint32_t)rd_u16le(&rd) << 16;
	*ret = greeting;
	return true;
}

bool mysql_login(struct view payload, uint32_t server_caps, struct mysql_login *ret)
{
	struct rd rd = rd_make(payload);
	struct mysql_login login = { .caps = rd_u16le(&rd) };
	uint32_t caps;

	if (rd.bad)
		return false;
	if (!(login.caps & MYSQL_CAP_41)) {	/* before 4.1: two bytes of flags, three of length */
		rd_skip(&rd, 3);
		login.user = nul_text(&rd);
		*ret = login;
		return !rd.bad;
	}
	login.caps |= (uint32_t)rd_u16le(&rd) << 16;
	rd_skip(&rd, 4 + 1 + 23);
	if (rd.bad)
		return false;
	*ret = login;
	if (payload.len == 32 && login.caps & MYSQL_CAP_SSL) {
		ret->ssl = true;
		return true;
	}
	caps = login.caps & (server_caps | MYSQL_CAP_41 | MYSQL_CAP_SECURE);
	login.user = nul_text(&rd);
	if (login.caps & MYSQL_CAP_LENENC_AUTH)
		(void)lenenc_text(&rd);
	else if (caps & MYSQL_CAP_SECURE)
		rd_skip(&rd, rd_u8(&rd));
	else
		(void)nul_text(&rd);
	if (login.caps & MYSQL_CAP_DB)
		login.db = nul_text(&rd);
	if (login.caps & MYSQL_CAP_PLUGIN)
		login.plugin = nul_text(&rd);
	if (rd.bad)
		return true;	/* what was read so far stays out: *ret has the flags */
	if (login.caps & MYSQL_CAP_ATTRS) {
		struct rd attrs = rd_make(lenenc_text(&rd));

		while (rd_left(&attrs) && !attrs.bad) {
			struct view key = lenenc_text(&attrs), value = lenenc_text(&attrs);

			if (view_is(key, "program_name") && !attrs.bad)
				login.program = value;
		}
	}
	*ret = login;
	return true;
}

bool mysql_ok(struct view payload, struct mysql_ok *ret)
{
	struct rd rd = rd_make(payload);
	struct mysql_ok ok;

	(void)rd_u8(&rd);
	ok.affected = mysql_lenenc(&rd);
	(void)mysql_lenenc(&rd);
	ok.status = rd_u16le(&rd);
	if (rd.bad)
		return false;
	*ret = ok;
	return true;
}

bool mysql_error(struct view payload, struct mysql_error *ret)
{
	struct rd rd = rd_make(payload);
	struct mysql_error error = { .state = { NULL, 0 } };

	if (rd_u8(&rd) != 0xff)
		return false;
	error.code = rd_u16le(&rd);
	error.text = rd_rest(&rd);
	if (error.text.len >= 6 && error.text.at[0] == '#') {
		error.state = view_sub(error.text, 1, 5);
		error.text = view_sub(error.text, 6, error.text.len);
	}
	if (rd.bad)
		return false;
	*ret = error;
	return true;
}

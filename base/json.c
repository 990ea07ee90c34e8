/* The writer, and the only door to jansson. */
/* The library's enum and three of its functions bear names of ours. */
#define JSON_OBJECT	JANSSON_OBJECT
#define JSON_ARRAY	JANSSON_ARRAY
#define JSON_STRING	JANSSON_STRING
#define JSON_REAL	JANSSON_REAL
#define JSON_NULL	JANSSON_NULL
#define json_object	jansson_object
#define json_array	jansson_array
#define json_null	jansson_null
#include <jansson.h>
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_REAL
#undef JSON_NULL
#undef json_object
#undef json_array
#undef json_null

#include "base/json.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define PARSE_DEPTH_MAX	256
#define PARSE_BYTES_MAX	((size_t)64 << 20)

/* ---- out ---- */

void json_init(struct json *json, struct wr *out, bool pretty)
{
	*json = (struct json){ .out = out, .pretty = pretty };
	json->first[0] = true;
}

static void new_line(struct json *json)
{
	if (!json->pretty)
		return;
	wr_u8(json->out, '\n');
	for (unsigned i = 0; i < json->depth; i++)
		wr_str(json->out, "  ");
}

/* Comma and line break before an element, a member or a further document. */
static void separate(struct json *json)
{
	if (!json->first[json->depth])
		wr_u8(json->out, json->depth ? ',' : '\n');
	json->first[json->depth] = false;
	if (json->depth)
		new_line(json);
}

static void begin_value(struct json *json)
{
	if (json->after_key) {
		json->after_key = false;
		return;
	}
	assert(json->depth == 0 || !json->in_object[json->depth]);
	separate(json);
}

static void open_level(struct json *json, char bracket, bool object)
{
	begin_value(json);
	wr_u8(json->out, (uint8_t)bracket);
	json->depth++;
	assert(json->depth < JSON_DEPTH_MAX);
	json->first[json->depth] = true;
	json->in_object[json->depth] = object;
}

static void close_level(struct json *json, char bracket, bool object)
{
	bool empty = json->first[json->depth];

	assert(json->depth > 0 && json->in_object[json->depth] == object && !json->after_key);
	json->depth--;
	if (!empty)
		new_line(json);
	wr_u8(json->out, (uint8_t)bracket);
}

void json_object(struct json *json)
{
	open_level(json, '{', true);
}

void json_object_end(struct json *json)
{
	close_level(json, '}', true);
}

void json_array(struct json *json)
{
	open_level(json, '[', false);
}

void json_array_end(struct json *json)
{
	close_level(json, ']', false);
}

/*
 * Length of the well-formed UTF-8 character at v.at[0] >= 0x80, 0 when there
 * is none (Unicode 15, table 3-7: no overlong forms, no surrogates).
 */
static size_t utf8_len(struct view v)
{
	uint8_t lead = v.at[0], low = 0x80, high = 0xbf;
	size_t len;

	if (lead >= 0xc2 && lead <= 0xdf)
		len = 2;
	else if (lead >= 0xe0 && lead <= 0xef)
		len = 3;
	else if (lead >= 0xf0 && lead <= 0xf4)
		len = 4;
	else
		return 0;
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	if (v.len < len || v.at[1] < low || v.at[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((v.at[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

static void write_escape(struct wr *out, uint8_t c)
{
	static const char shorts[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };

	wr_u8(out, '\\');
	if (c == '"' || c == '\\' || c == '/')
		wr_u8(out, c);
	else if (c < sizeof(shorts) && shorts[c])
		wr_u8(out, (uint8_t)shorts[c]);
	else
		wr_printf(out, "u%04x", c);
}

/* Nothing in it needs a look at what it means: most names. */
static bool is_plain(struct view v)
{
	unsigned special = 0;

	for (size_t i = 0; i < v.len; i++) {
		uint8_t c = v.at[i];

		special |= (unsigned)(c < 0x20) | (c >= 0x80) | (c == '"') | (c == '\\') | (c == '/');
	}
	return !special;
}

static void write_string(struct wr *out, struct view v)
{
	size_t from = 0, i = 0;

	if (v.len < SIZE_MAX - 2 && is_plain(v)) {
		uint8_t *at = wr_space(out, v.len + 2);

		if (!at)
			return;
		at[0] = at[v.len + 1] = '"';
		if (v.len)
			memcpy(at + 1, v.at, v.len);
		return;
	}
	wr_u8(out, '"');
	while (i < v.len) {
		uint8_t c = v.at[i];
		size_t len = 1;

		if (c >= 0x80)
			len = utf8_len(view_sub(v, i, v.len));
		else if (c < 0x20 || c == '"' || c == '\\' || (c == '/' && i && v.at[i - 1] == '<'))
			len = 0;
		if (len) {
			i += len;
			continue;
		}
		wr_bytes(out, view_sub(v, from, i - from));
		if (c >= 0x80)
			wr_str(out, "\xef\xbf\xbd");
		else
			write_escape(out, c);
		from = ++i;
	}
	wr_bytes(out, view_sub(v, from, i - from));
	wr_u8(out, '"');
}

void json_keyv(struct json *json, struct view key)
{
	assert(json->depth > 0 && json->in_object[json->depth] && !json->after_key);
	separate(json);
	write_string(json->out, key);
	wr_str(json->out, json->pretty ? ": " : ":");
	json->after_key = true;
}

void json_key(struct json *json, const char *key)
{
	json_keyv(json, view_str(key));
}

void json_str(struct json *json, struct view value)
{
	begin_value(json);
	write_string(json->out, value);
}

void json_cstr(struct json *json, const char *value)
{
	if (value)
		json_str(json, view_str(value));
	else
		json_null(json);
}

static void write_digits(struct wr *out, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	wr_bytes(out, view_make(digits + at, sizeof(digits) - at));
}

void json_u64(struct json *json, uint64_t value)
{
	begin_value(json);
	write_digits(json->out, value);
}

void json_i64(struct json *json, int64_t value)
{
	begin_value(json);
	wr_printf(json->out, "%lld", (long long)value);
}

size_t json_f64_text(double value, char text[JSON_F64_LEN])
{
	int len;

	if (!isfinite(value))
		return (size_t)snprintf(text, JSON_F64_LEN, "null");
	/* The shortest of the two that comes back as the same number. */
	len = snprintf(text, JSON_F64_LEN, "%.15g", value);
	if (strtod(text, NULL) != value)
		len = snprintf(text, JSON_F64_LEN, "%.17g", value);
	return (size_t)len;
}

void json_f64(struct json *json, double value)
{
	char text[JSON_F64_LEN];

	if (value > 0 && value < 1e15 && (double)(uint64_t)value == value) {	/* as "%.15g" writes it */
		begin_value(json);
		write_digits(json->out, (uint64_t)value);
	} else {
		json_raw(json, view_make(text, json_f64_text(value, text)));
	}
}

void json_bool(struct json *json, bool value)
{
	begin_value(json);
	wr_str(json->out, value ? "true" : "false");
}

void json_null(struct json *json)
{
	begin_value(json);
	wr_str(json->out, "null");
}

void json_printf(struct json *json, const char *fmt, ...)
{
	char small[512], *text = small;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(small, sizeof(small), fmt, args);
	va_end(args);
	if (len >= (int)sizeof(small)) {
		text = mem_alloc((size_t)len + 1);
		if (text) {
			va_start(args, fmt);
			(void)vsnprintf(text, (size_t)len + 1, fmt, args);
			va_end(args);
		}
	}
	if (len < 0 || !text)
		json->out->bad = true;
	else
		json_str(json, view_make(text, (size_t)len));
	if (text != small)
		mem_free(text);
}

void json_raw_members(struct json *json, struct view members)
{
	assert(json->depth > 0 && json->in_object[json->depth] && !json->after_key && !json->pretty);
	separate(json);
	wr_bytes(json->out, members);
}

void json_raw(struct json *json, struct view value)
{
	begin_value(json);
	wr_bytes(json->out, value);
}

void json_kstr(struct json *json, const char *key, struct view value)
{
	json_key(json, key);
	json_str(json, value);
}

void json_kcstr(struct json *json, const char *key, const char *value)
{
	json_key(json, key);
	json_cstr(json, value);
}

void json_ku64(struct json *json, const char *key, uint64_t value)
{
	json_key(json, key);
	json_u64(json, value);
}

void json_ki64(struct json *json, const char *key, int64_t value)
{
	json_key(json, key);
	json_i64(json, value);
}

void json_kf64(struct json *json, const char *key, double value)
{
	json_key(json, key);
	json_f64(json, value);
}

void json_kbool(struct json *json, const char *key, bool value)
{
	json_key(json, key);
	json_bool(json, value);
}

void json_knull(struct json *json, const char *key)
{
	json_key(json, key);
	json_null(json);
}

/* ---- in ---- */

struct json_doc {
	json_t *root;
};

/* struct json_val is never defined: a pointer to it is a json_t behind our own name. */
static json_t *node(const struct json_val *val)
{
	return (json_t *)(uintptr_t)val;
}

static const struct json_val *val_of(const json_t *json)
{
	return (const struct json_val *)json;
}

static void count_allocations(void)
{
	json_set_alloc_funcs(mem_alloc, mem_free);
}

/* The library's own limit is 2048 levels, too many for the stack of a worker. */
static bool nests_too_deep(struct view text, size_t *ret_at)
{
	bool in_string = false;
	size_t depth = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.at[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > PARSE_DEPTH_MAX) {
				*ret_at = i;
				return true;
			}
		} else if ((c == ']' || c == '}') && depth) {
			depth--;
		}
	}
	return false;
}

int json_parse(struct view text, struct json_doc **ret_doc, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct json_doc *doc;
	json_error_t why;
	size_t at = 0;

	(void)pthread_once(&once, count_allocations);
	if (text.len > PARSE_BYTES_MAX)
		return err_set(err, E_LIMIT, "JSON text of %zu bytes: at most %zu", text.len, PARSE_BYTES_MAX);
	if (nests_too_deep(text, &at))
		return err_set(err, E_FORMAT, "JSON nests deeper than %d levels at byte %zu",
			       PARSE_DEPTH_MAX, at);
	doc = mem_alloc(sizeof(*doc));
	if (!doc)
		return err_set(err, E_NO_MEMORY, "no memory for a JSON document");
	doc->root = json_loadb(text.len ? (const char *)text.at : "", text.len,
			       JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
	if (!doc->root) {
		mem_free(doc);
		if (json_error_code(&why) == json_error_out_of_memory)
			return err_set(err, E_NO_MEMORY, "no memory for a JSON document");
		if (err && !err->code && why.position > 0)
			err->position = (size_t)why.position;
		return err_set(err, E_FORMAT, "JSON line %d column %d: %s", why.line, why.column, why.text);
	}
	*ret_doc = doc;
	return 0;
}

void json_doc_free(struct json_doc *doc)
{
	if (!doc)
		return;
	json_decref(doc->root);
	mem_free(doc);
}

const struct json_val *json_root(const struct json_doc *doc)
{
	return val_of(doc->root);
}

enum json_kind json_kind(const struct json_val *val)
{
	if (!val)
		return JSON_NULL;
	switch (json_typeof(node(val))) {
	case JANSSON_OBJECT:
		return JSON_OBJECT;
	case JANSSON_ARRAY:
		return JSON_ARRAY;
	case JANSSON_STRING:
		return JSON_STRING;
	case JSON_INTEGER:
		return JSON_INT;
	case JANSSON_REAL:
		return JSON_REAL;
	case JSON_TRUE:
	case JSON_FALSE:
		return JSON_BOOL;
	default:
		return JSON_NULL;
	}
}

/* The library's accessors answer NULL, or 0, for a value of another kind. */
const struct json_val *json_get(const struct json_val *val, const char *key)
{
	return val_of(json_object_get(node(val), key));
}

const struct json_val *json_at(const struct json_val *val, size_t index)
{
	return val_of(json_array_get(node(val), index));
}

size_t json_count(const struct json_val *val)
{
	if (json_kind(val) == JSON_OBJECT)
		return json_object_size(node(val));
	return json_array_size(node(val));
}

const struct json_val *json_member(const struct json_val *val, size_t index, const char **ret_key)
{
	void *at = json_object_iter(node(val));

	while (at && index--)
		at = json_object_iter_next(node(val), at);
	if (!at)
		return NULL;
	*ret_key = json_object_iter_key(at);
	return val_of(json_object_iter_value(at));
}

struct view json_get_str(const struct json_val *val, struct view fallback)
{
	if (json_kind(val) != JSON_STRING)
		return fallback;
	return view_make(json_string_value(node(val)), json_string_length(node(val)));
}

/* A whole number only, and one that fits. */
static int64_t real_to_i64(double real, int64_t fallback)
{
	return real >= -0x1p63 && real < 0x1p63 && real == floor(real) ? (int64_t)real : fallback;
}

/* The whole string is the number: no blanks, and no NUL inside. */
static bool string_is_number(const struct json_val *val, const char *end)
{
	const char *text = json_string_value(node(val));
	char first = text[0] == '-' ? text[1] : text[0];

	return errno == 0 && first >= '0' && first <= '9' && end == text + json_string_length(node(val));
}

double json_get_f64(const struct json_val *val, double fallback)
{
	double real;
	char *end;

	switch (json_kind(val)) {
	case JSON_INT:
	case JSON_REAL:
		return json_number_value(node(val));
	case JSON_STRING:
		errno = 0;
		real = strtod(json_string_value(node(val)), &end);
		return string_is_number(val, end) ? real : fallback;
	default:
		return fallback;
	}
}

int64_t json_get_i64(const struct json_val *val, int64_t fallback)
{
	long long number;
	char *end;

	switch (json_kind(val)) {
	case JSON_INT:
		return json_integer_value(node(val));
	case JSON_REAL:
		return real_to_i64(json_real_value(node(val)), fallback);
	case JSON_STRING:
		errno = 0;
		number = strtoll(json_string_value(node(val)), &end, 10);
		if (string_is_number(val, end))
			return number;
		return real_to_i64(json_get_f64(val, NAN), fallback);
	default:
		return fallback;
	}
}

bool json_get_bool(const struct json_val *val, bool fallback)
{
	return json_kind(val) == JSON_BOOL ? json_typeof(node(val)) == JSON_TRUE : fallback;
}

void json_val(struct json *json, const struct json_val *val)
{
	enum json_kind kind = json_kind(val);
	const char *key;

	if ((kind == JSON_ARRAY || kind == JSON_OBJECT) && json->depth + 1 >= JSON_DEPTH_MAX)
		kind = JSON_NULL;
	switch (kind) {
	case JSON_NULL:
		json_null(json);
		break;
	case JSON_BOOL:
		json_bool(json, json_get_bool(val, false));
		break;
	case JSON_INT:
		json_i64(json, json_get_i64(val, 0));
		break;
	case JSON_REAL:
		json_f64(json, json_get_f64(val, 0));
		break;
	case JSON_STRING:
		json_str(json, json_get_str(val, VIEW_LIT("")));
		break;
	case JSON_ARRAY:
		json_array(json);
		for (size_t i = 0; i < json_count(val); i++)
			json_val(json, json_at(val, i));
		json_array_end(json);
		break;
	case JSON_OBJECT:
		json_object(json);
		for (void *at = json_object_iter(node(val)); at; at = json_object_iter_next(node(val), at)) {
			key = json_object_iter_key(at);
			json_key(json, key);
			json_val(json, val_of(json_object_iter_value(at)));
		}
		json_object_end(json);
		break;
	}
}

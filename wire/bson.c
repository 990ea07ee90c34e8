#include "wire/bson.h"

#include <stdio.h>
#include <time.h>

#include "base/base64.h"
#include "base/hex.h"
#include "base/rd.h"
#include "wire/secret.h"

#define DOCUMENT_MAX (64u << 20)

uint32_t bson_len(struct view bytes)
{
	struct rd rd = rd_make(bytes);
	uint32_t len = rd_u32le(&rd);

	return rd.bad || len < 5 || len > DOCUMENT_MAX ? 0 : len;
}

bool bson_open(struct view bytes, struct view *rest)
{
	uint32_t len = bson_len(bytes);

	if (!len)
		return false;
	*rest = view_sub(bytes, 4, len - 4);
	return true;
}

/* How many bytes a value of that type takes, beginning with bytes; SIZE_MAX: no such type, or not enough to tell. */
static size_t value_len(uint8_t type, struct view bytes)
{
	struct rd rd = rd_make(bytes);
	uint32_t len;
	const uint8_t *a, *b;

	switch (type) {
	case BSON_DOUBLE:
	case BSON_DATE:
	case BSON_TIMESTAMP:
	case BSON_I64:
		return 8;
	case BSON_I32:
		return 4;
	case BSON_BOOL:
		return 1;
	case BSON_OID:
		return 12;
	case BSON_DECIMAL:
		return 16;
	case BSON_NULL:
	case BSON_UNDEFINED:
	case BSON_MIN_KEY:
	case BSON_MAX_KEY:
		return 0;
	case BSON_STRING:
	case BSON_CODE:
	case BSON_SYMBOL:
		len = rd_u32le(&rd);
		return rd.bad || !len || len > DOCUMENT_MAX ? SIZE_MAX : 4 + (size_t)len;
	case BSON_DOCUMENT:
	case BSON_ARRAY:
	case BSON_SCOPED:
		len = rd_u32le(&rd);
		return rd.bad || len < 5 || len > DOCUMENT_MAX ? SIZE_MAX : len;
	case BSON_BINARY:
		len = rd_u32le(&rd);
		return rd.bad || len > DOCUMENT_MAX ? SIZE_MAX : 5 + (size_t)len;
	case BSON_POINTER:
		len = rd_u32le(&rd);
		return rd.bad || !len || len > DOCUMENT_MAX ? SIZE_MAX : 4 + (size_t)len + 12;
	case BSON_REGEX:
		a = bytes.len ? memchr(bytes.at, 0, bytes.len) : NULL;
		b = a ? memchr(a + 1, 0, bytes.len - (size_t)(a + 1 - bytes.at)) : NULL;
		return b ? (size_t)(b - bytes.at) + 1 : SIZE_MAX;
	default:
		return SIZE_MAX;
	}
}

bool bson_next(struct view *rest, struct bson_elem *ret_elem)
{
	struct bson_elem elem;
	const uint8_t *nul;
	size_t len;

	if (rest->len < 2 || !rest->at[0])
		return false;
	elem.type = rest->at[0];
	nul = memchr(rest->at + 1, 0, rest->len - 1);
	if (!nul)
		return false;
	elem.name = view_make(rest->at + 1, (size_t)(nul - rest->at) - 1);
	*rest = view_sub(*rest, elem.name.len + 2, rest->len);
	len = value_len(elem.type, *rest);
	if (len == SIZE_MAX)
		return false;
	elem.value = view_sub(*rest, 0, len);
	elem.cut = elem.value.len < len;
	*rest = view_sub(*rest, len, rest->len);
	if (elem.type == BSON_STRING || elem.type == BSON_CODE || elem.type == BSON_SYMBOL) {
		elem.value = view_sub(elem.value, 4, elem.value.len);
		if (!elem.cut)
			elem.value.len--;
	}
	*ret_elem = elem;
	return true;
}

bool bson_find(struct view document, const char *name, struct bson_elem *ret_elem)
{
	struct bson_elem elem;
	struct view rest;

	if (!bson_open(document, &rest))
		return false;
	while (bson_next(&rest, &elem)) {
		if (view_is(elem.name, name)) {
			*ret_elem = elem;
			return true;
		}
	}
	return false;
}

bool bson_number(const struct bson_elem *elem, int64_t *ret_value)
{
	struct rd rd = rd_make(elem->value);
	uint64_t bits;
	double real;

	if (elem->cut)
		return false;
	switch (elem->type) {
	case BSON_I32:
		*ret_value = (int32_t)rd_u32le(&rd);
		return true;
	case BSON_I64:
		*ret_value = (int64_t)rd_u64le(&rd);
		return true;
	case BSON_BOOL:
		*ret_value = rd_u8(&rd) != 0;
		return true;
	case BSON_DOUBLE:
		bits = rd_u64le(&rd);
		memcpy(&real, &bits, sizeof(real));
		if (!(real > -9e18 && real < 9e18))
			return false;
		*ret_value = (int64_t)real;
		return true;
	default:
		return false;
	}
}

uint64_t bson_count(struct view document)
{
	struct bson_elem elem;
	struct view rest;
	uint64_t count = 0;

	if (bson_open(document, &rest))
		while (bson_next(&rest, &elem))
			count++;
	return count;
}

/* ---- JSON ---- */

static bool show_text(struct view text, size_t *budget, struct json *json)
{
	bool whole = text.len <= *budget;

	if (!whole)
		text.len = *budget;
	*budget -= text.len;
	json_str(json, text);
	return whole;
}

static void show_hex(struct view bytes, struct json *json)
{
	char text[64];

	json_str(json, view_make(text, hex_write(view_sub(bytes, 0, sizeof(text) / 2), text)));
}

static bool show_base64(struct view bytes, size_t *budget, struct json *json)
{
	uint8_t text[1024];
	bool whole = bytes.len <= sizeof(text) / 4 * 3 && bytes.len <= *budget;

	if (!whole)
		bytes.len = *budget < sizeof(text) / 4 * 3 ? *budget : sizeof(text) / 4 * 3;
	*budget -= bytes.len;
	base64_write(bytes, text);
	json_str(json, view_make(text, BASE64_LEN(bytes.len)));
	return whole;
}

static void show_date(int64_t ms, struct json *json)
{
	time_t seconds = (time_t)(ms >= 0 ? ms / 1000 : -((-(ms + 1)) / 1000) - 1);
	struct tm tm;

	json_key(json, "$date");
	if (ms > -62135596800000 && ms < 253402300800000 && gmtime_r(&seconds, &tm))
		json_printf(json, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			    tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms - (int64_t)seconds * 1000));
	else
		json_printf(json, "%lld ms", (long long)ms);
}

static bool show_regex(struct view value, struct json *json)
{
	size_t len = strnlen((const char *)value.at, value.len);
	struct view options = view_sub(value, len + 1, value.len);

	if (options.len)
		options.len--;
	json_key(json, "$regularExpression");
	json_object(json);
	json_kstr(json, "pattern", view_sub(value, 0, len));
	json_kstr(json, "options", options);
	json_object_end(json);
	return true;
}

/* Values that extended JSON writes as an object. */
static bool show_special(const struct bson_elem *elem, unsigned depth, size_t *budget, struct json *json)
{
	struct rd rd = rd_make(elem->value);
	bool whole = true;
	uint32_t len;

	json_object(json);
	switch (elem->type) {
	case BSON_BINARY:
		rd_skip(&rd, 4);
		json_key(json, "$binary");
		json_object(json);
		json_ku64(json, "subType", rd_u8(&rd));
		json_key(json, "base64");
		whole = show_base64(rd_rest(&rd), budget, json);
		json_object_end(json);
		break;
	case BSON_OID:
		json_key(json, "$oid");
		show_hex(elem->value, json);
		break;
	case BSON_DATE:
		show_date((int64_t)rd_u64le(&rd), json);
		break;
	case BSON_REGEX:
		whole = show_regex(elem->value, json);
		break;
	case BSON_TIMESTAMP: {
		uint32_t increment = rd_u32le(&rd);

		json_key(json, "$timestamp");
		json_object(json);
		json_ku64(json, "t", rd_u32le(&rd));
		json_ku64(json, "i", increment);
		json_object_end(json);
		break;
	}
	case BSON_CODE:
		json_key(json, "$code");
		whole = show_text(elem->value, budget, json);
		break;
	case BSON_SCOPED:
		rd_skip(&rd, 4);
		len = rd_u32le(&rd);
		json_key(json, "$code");
		whole = show_text(view_sub(rd_rest(&rd), 0, len ? len - 1 : 0), budget, json);
		rd_skip(&rd, len);
		json_key(json, "$scope");
		whole &= bson_show(rd_rest(&rd), false, depth + 1, budget, json);
		break;
	case BSON_DECIMAL:
		json_key(json, "$decimal128");
		show_hex(elem->value, json);
		break;
	case BSON_MIN_KEY:
		json_ku64(json, "$minKey", 1);
		break;
	case BSON_MAX_KEY:
		json_ku64(json, "$maxKey", 1);
		break;
	default:
		json_ku64(json, "$type", elem->type);
		break;
	}
	json_object_end(json);
	return whole;
}

static bool show_value(const struct bson_elem *elem, unsigned depth, size_t *budget, struct json *json)
{
	struct rd rd = rd_make(elem->value);
	uint64_t bits;
	double real;

	switch (elem->type) {
	case BSON_DOUBLE:
		bits = rd_u64le(&rd);
		memcpy(&real, &bits, sizeof(real));
		json_f64(json, real);
		return !elem->cut;
	case BSON_STRING:
	case BSON_SYMBOL:
		return show_text(elem->value, budget, json) && !elem->cut;
	case BSON_DOCUMENT:
	case BSON_ARRAY:
		return bson_show(elem->value, elem->type == BSON_ARRAY, depth + 1, budget, json);
	case BSON_BOOL:
		json_bool(json, rd_u8(&rd) != 0);
		return !elem->cut;
	case BSON_NULL:
	case BSON_UNDEFINED:
		json_null(json);
		return true;
	case BSON_I32:
		json_i64(json, (int32_t)rd_u32le(&rd));
		return !elem->cut;
	case BSON_I64:
		json_i64(json, (int64_t)rd_u64le(&rd));
		return !elem->cut;
	default:
		return show_special(elem, depth, budget, json) && !elem->cut;
	}
}

/* In the document of a command, which its first name says, is that the name of a secret (secret.h)? */
static bool is_secret(struct view command, struct view name)
{
	if (view_is(name, "payload"))
		return view_is(command, "saslStart") || view_is(command, "saslContinue");
	return view_is(name, "pwd") && (view_is(command, "createUser") || view_is(command, "updateUser"));
}

bool bson_show(struct view document, bool array, unsigned depth, size_t *budget, struct json *json)
{
	struct bson_elem elem;
	struct view rest, command = { NULL, 0 };
	bool whole = true;

	if (!bson_open(document, &rest) || depth > BSON_DEPTH_MAX) {
		json_null(json);
		return false;
	}
	if (array)
		json_array(json);
	else
		json_object(json);
	while (bson_next(&rest, &elem)) {
		size_t cost = elem.name.len + 2;

		if (*budget < cost) {
			whole = false;
			break;
		}
		*budget -= cost;
		if (!array)
			json_keyv(json, elem.name);
		if (!command.at)
			command = elem.name;
		if (!array && is_secret(command, elem.name))
			json_cstr(json, SECRET_MASK);
		else
			whole &= show_value(&elem, depth, budget, json);
	}
	if (array)
		json_array_end(json);
	else
		json_object_end(json);
	return whole && document.len >= bson_len(document);
}

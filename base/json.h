/*
 * JSON out: a streaming writer over struct wr. JSON in: a parsed tree (the
 * library's types stop in json.c).
 *
 * The writer keeps commas and nesting right; a misuse (key outside an object)
 * asserts. Strings are written as valid UTF-8: bytes that are not become
 * U+FFFD, control characters are escaped, "</" is written "<\/".
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/err.h"
#include "base/wr.h"

#define JSON_DEPTH_MAX 64

struct json {
	struct wr *out;		/* borrowed */
	unsigned depth;
	bool first[JSON_DEPTH_MAX];
	bool in_object[JSON_DEPTH_MAX];
	bool after_key;
	bool pretty;
};

/* jansson exports these names too: without symbols of our own its parser would call us. */
#define JSON_SYMBOL(name) __asm__("tapedeck_" #name)

void json_init(struct json *json, struct wr *out, bool pretty);
void json_object(struct json *json) JSON_SYMBOL(json_object);
void json_object_end(struct json *json);
void json_array(struct json *json) JSON_SYMBOL(json_array);
void json_array_end(struct json *json);
void json_key(struct json *json, const char *key);
void json_keyv(struct json *json, struct view key);
void json_str(struct json *json, struct view value);
void json_cstr(struct json *json, const char *value);	/* NULL writes null */
void json_u64(struct json *json, uint64_t value);
void json_i64(struct json *json, int64_t value);
void json_f64(struct json *json, double value);		/* NaN and infinities write null */
#define JSON_F64_LEN 32
size_t json_f64_text(double value, char text[JSON_F64_LEN]);	/* what it writes, for who writes the same ones often */
void json_bool(struct json *json, bool value);
void json_null(struct json *json) JSON_SYMBOL(json_null);
void json_printf(struct json *json, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Text that is JSON already. */
void json_raw(struct json *json, struct view value);
/* Members written before, with commas between them; of no pretty document. */
void json_raw_members(struct json *json, struct view members);

/* key and value at once */
void json_kstr(struct json *json, const char *key, struct view value);
void json_kcstr(struct json *json, const char *key, const char *value);
void json_ku64(struct json *json, const char *key, uint64_t value);
void json_ki64(struct json *json, const char *key, int64_t value);
void json_kf64(struct json *json, const char *key, double value);
void json_kbool(struct json *json, const char *key, bool value);
void json_knull(struct json *json, const char *key);

/* ---- in ---- */

enum json_kind { JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_doc;	/* owns everything below it */
struct json_val;	/* borrowed from its document */

/* E_FORMAT with line and column. Nesting is limited to 256, input to 64 MiB. */
int json_parse(struct view text, struct json_doc **ret_doc, struct err *err);
void json_doc_free(struct json_doc *doc);
const struct json_val *json_root(const struct json_doc *doc);
enum json_kind json_kind(const struct json_val *val);	/* NULL is JSON_NULL */
/* Member or element; NULL when absent or of another kind. */
const struct json_val *json_get(const struct json_val *val, const char *key);
const struct json_val *json_at(const struct json_val *val, size_t index);
size_t json_count(const struct json_val *val);
/* n-th member of an object in the order of the text: its value, and its name. Walks from the first. */
const struct json_val *json_member(const struct json_val *val, size_t index, const char **ret_key);
/* Absent or of another kind gives the fallback. Numbers in strings count as numbers. */
struct view json_get_str(const struct json_val *val, struct view fallback);
int64_t json_get_i64(const struct json_val *val, int64_t fallback);
double json_get_f64(const struct json_val *val, double fallback);
bool json_get_bool(const struct json_val *val, bool fallback);
/* A parsed value, written again; what nests deeper than the writer can becomes null. */
void json_val(struct json *json, const struct json_val *val);

#endif

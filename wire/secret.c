#include "wire/secret.h"

#include "wire/txt.h"

#define VALUE_MAX 2048

static bool one_of(struct view name, const char *const *names)
{
	for (; *names; names++)
		if (view_ieq(name, *names))
			return true;
	return false;
}

bool secret_name(struct view name)
{
	static const char *const names[] = { "password", "passwd", "pass", "secret", "token", "auth_token", "access_token",
					     "api_key", "apikey", "jwt", "sig", NULL };

	return one_of(name, names);
}

/* Behind these a scheme comes first: RFC 9110 11.6.2, RFC 3261 20.7. */
static bool has_scheme(struct view name)
{
	static const char *const names[] = { "authorization", "proxy-authorization", "x-forwarded-authorization",
					     "x-serverless-authorization", NULL };

	return one_of(name, names);
}

static bool is_key(struct view name)
{
	static const char *const names[] = { "x-api-key", "api-key", "apikey", "x-auth-token", "x-access-token",
					     "x-amz-security-token", "x-goog-api-key", "x-vault-token", "private-token",
					     "x-consul-token", "x-csrf-token", "x-xsrf-token", "x-subject-token",
					     "ocp-apim-subscription-key", NULL };

	return one_of(name, names) || secret_name(name);
}

/* Of a Digest only what was made from the password: the rest says who, where, and by which challenge. */
static bool mask_digest(struct view rest, struct txt *txt)
{
	while (rest.len) {
		struct view part, key;
		bool quoted = false;
		size_t end = 0;

		while (end < rest.len && (quoted || rest.at[end] != ','))
			quoted ^= rest.at[end++] == '"';
		part = view_trim(view_sub(rest, 0, end));
		rest = view_sub(rest, end + 1, rest.len);
		key = part;
		for (size_t i = 0; i < part.len; i++) {
			if (part.at[i] == '=') {
				key = view_trim(view_sub(part, 0, i));
				break;
			}
		}
		txt_str(txt, txt->at[txt->len - 1] == ' ' ? "" : ", ");
		if (view_ieq(key, "response")) {
			txt_put(txt, key);
			txt_str(txt, "=" SECRET_MASK);
		} else {
			txt_put(txt, part);
		}
	}
	return !txt->cut;
}

static void show_scheme(struct json *json, struct view value)
{
	char text[VALUE_MAX];
	struct txt txt = { .at = text, .cap = sizeof(text) };
	const uint8_t *blank = value.len ? memchr(value.at, ' ', value.len) : NULL;
	struct view scheme = view_sub(value, 0, blank ? (size_t)(blank - value.at) : 0);

	if (!blank || scheme.len > 32) {	/* a token alone */
		json_kcstr(json, "value", SECRET_MASK);
		return;
	}
	txt_put(&txt, scheme);
	txt_str(&txt, " ");
	if (!view_ieq(scheme, "Digest") || !mask_digest(view_sub(value, scheme.len + 1, value.len), &txt)) {
		txt.len = scheme.len + 1;
		txt_str(&txt, SECRET_MASK);
	}
	json_kstr(json, "value", txt_view(&txt));
}

void secret_show_header(struct json *json, struct view name, struct view value)
{
	json_kstr(json, "name", name);
	if (!value.len)
		json_kstr(json, "value", value);
	else if (has_scheme(name))
		show_scheme(json, value);
	else if (is_key(name))
		json_kcstr(json, "value", SECRET_MASK);
	else
		json_kstr(json, "value", value);
}

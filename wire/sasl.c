#include "wire/sasl.h"

#include "base/base64.h"

#define DECODED_MAX 384

/* Up to the first of the bytes in stops. */
static struct view upto(struct view text, const char *stops, size_t count)
{
	size_t n = 0;

	while (n < text.len && !memchr(stops, text.at[n], count))
		n++;
	return view_sub(text, 0, n);
}

static struct view after(struct view text, const char *what)
{
	ptrdiff_t at = view_find(text, view_str(what));

	return at < 0 ? view_make("", 0) : view_sub(text, (size_t)at + strlen(what), text.len);
}

size_t sasl_user(struct view mechanism, unsigned step, struct view line, char user[SASL_USER_MAX])
{
	uint8_t bytes[DECODED_MAX];
	size_t used;
	struct view text = view_make(bytes, base64_read(line, bytes, sizeof(bytes), &used)), name = { NULL, 0 };

	if (view_ieq(mechanism, "plain")) {	/* RFC 4616: authorisation, NUL, user, NUL, password */
		struct view first = upto(text, "", 1);

		if (first.len < text.len)
			name = upto(view_sub(text, first.len + 1, text.len), "", 1);
	} else if (view_ieq(mechanism, "login")) {
		name = step ? name : text;	/* what follows is the password */
	} else if (view_ieq(mechanism, "cram-md5")) {	/* RFC 2195: user, blank, digest */
		name = upto(text, " ", 1);
	} else if (view_ieq(mechanism, "xoauth2")) {
		name = upto(after(text, "user="), "\1", 1);
	} else if (view_ieq(mechanism, "oauthbearer")) {	/* RFC 7628: n,a=user, */
		name = upto(after(text, "a="), ",\1", 2);
	} else if (view_istarts(mechanism, "scram-") && !step) {	/* RFC 5802: n,,n=user,r=nonce */
		name = upto(after(text, ",n="), ",", 1);
	}
	name = view_sub(name, 0, SASL_USER_MAX);
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] < ' ' || name.at[i] == 127)
			return 0;
	memcpy(user, name.len ? name.at : (const uint8_t *)"", name.len);
	return name.len;
}

#include "wire/sip_msg.h"

#include "base/hash.h"
#include "wire/http_head.h"
#include "wire/lines.h"

#define METHOD_MAX	32
#define LENGTH_MAX	((uint64_t)1 << 30)

static bool is_method(struct view word)
{
	if (!word.len || word.len > METHOD_MAX)
		return false;
	for (size_t i = 0; i < word.len; i++)
		if (!((word.at[i] >= 'A' && word.at[i] <= 'Z') || word.at[i] == '-' || word.at[i] == '_' || word.at[i] == '.'))
			return false;
	return true;
}

static bool read_start(struct view line, struct sip_msg *msg)
{
	struct view word, tail;
	uint64_t code;

	if (view_starts(line, "SIP/2.0 ")) {
		line = view_sub(line, 8, line.len);
		word = line_word(&line);
		if (word.len != 3 || view_u64(word, 699, &code) < 0 || code < 100)
			return false;
		msg->status = (uint16_t)code;
		msg->reason = view_trim(line);
		return true;
	}
	if (line.len < 12)
		return false;
	tail = view_sub(line, line.len - 8, 8);
	if (!view_is(tail, " SIP/2.0"))
		return false;
	line.len -= 8;
	msg->request = true;
	msg->method = line_word(&line);
	msg->uri = view_trim(line);
	/* scheme ":" */
	return is_method(msg->method) && view_find(view_sub(msg->uri, 0, 16), VIEW_LIT(":")) > 0;
}

bool sip_start(struct view line)
{
	struct sip_msg msg;

	return read_start(line, &msg);
}

bool sip_may_start(struct view bytes)
{
	static const char *const names[] = { "SIP/2.0 ", "INVITE ", "ACK ", "BYE ", "CANCEL ", "REGISTER ", "OPTIONS ", "PRACK ",
					     "SUBSCRIBE ", "NOTIFY ", "PUBLISH ", "INFO ", "REFER ", "MESSAGE ", "UPDATE ", NULL };

	return line_may_start(bytes, names);
}

struct view sip_header_name(struct view name)
{
	static const struct {
		char letter;
		const char *name;
	} compact[] = {	/* RFC 3261 7.3.3, and those of later RFCs */
		{ 'v', "Via" }, { 'f', "From" }, { 't', "To" }, { 'i', "Call-ID" }, { 'm', "Contact" }, { 'l', "Content-Length" },
		{ 'c', "Content-Type" }, { 'e', "Content-Encoding" }, { 's', "Subject" }, { 'k', "Supported" },
		{ 'o', "Event" }, { 'u', "Allow-Events" }, { 'r', "Refer-To" }, { 'b', "Referred-By" },
		{ 'x', "Session-Expires" }, { 'y', "Identity" },
	};

	for (size_t i = 0; name.len == 1 && i < sizeof(compact) / sizeof(compact[0]); i++)
		if ((name.at[0] | 0x20) == compact[i].letter)
			return view_str(compact[i].name);
	return name;
}

/* "Alice" <sip:alice@example.com>;tag=1 gives alice@example.com. */
static struct view address(struct view value)
{
	ptrdiff_t open = view_find(value, VIEW_LIT("<")), at;
	struct view uri = view_sub(value, (size_t)(open + 1), value.len);
	size_t n = 0;

	at = view_find(view_sub(uri, 0, 16), VIEW_LIT(":"));
	uri = view_sub(uri, (size_t)(at + 1), uri.len);
	while (n < uri.len && !memchr(open >= 0 ? ">;?" : ">;? \t,", uri.at[n], open >= 0 ? 3 : 6))
		n++;
	return view_sub(uri, 0, n);
}

/* ";name=value" of a header's value. */
static struct view parameter(struct view value, const char *name)
{
	size_t len = strlen(name), n = 0;

	for (size_t i = 0; i + len < value.len; i++) {
		if (value.at[i] != ';' && value.at[i] != ' ')
			continue;
		if (view_ieq(view_sub(value, i + 1, len), name)) {
			value = view_sub(value, i + 1 + len, value.len);
			while (n < value.len && !memchr(";, \t\r", value.at[n], 5))
				n++;
			return view_sub(value, 0, n);
		}
	}
	return view_make("", 0);
}

static void keep_first(struct view *slot, struct view value)
{
	if (!slot->len)
		*slot = value;
}

static void read_field(struct sip_msg *msg, struct view name, struct view value)
{
	name = sip_header_name(name);
	if (view_ieq(name, "Via")) {
		keep_first(&msg->branch, parameter(value, "branch="));
	} else if (view_ieq(name, "Call-ID")) {
		keep_first(&msg->call_id, value);
	} else if (view_ieq(name, "CSeq")) {
		struct view rest = value, number = line_word(&rest);

		keep_first(&msg->cseq, number);
		keep_first(&msg->method, line_word(&rest));
	} else if (view_ieq(name, "From")) {
		keep_first(&msg->from, address(value));
	} else if (view_ieq(name, "To")) {
		keep_first(&msg->to, address(value));
	} else if (view_ieq(name, "User-Agent") || view_ieq(name, "Server")) {
		keep_first(&msg->user_agent, value);
	} else if (view_ieq(name, "Content-Type")) {
		keep_first(&msg->content_type, value);
	} else if (view_ieq(name, "Content-Length") && !msg->has_length) {
		msg->has_length = view_u64(value, LENGTH_MAX, &msg->length) == 0;
	}
}

static uint64_t hash_view(struct view text, uint64_t seed)
{
	return hash_bytes(text.len ? text.at : (const uint8_t *)"", text.len, seed);
}

bool sip_parse(struct view head, struct sip_msg *ret_msg)
{
	struct sip_msg msg = { .request = false };
	struct view line, name, value, rest;

	if (!http_line(&head, &line) || !read_start(line, &msg))
		return false;
	rest = msg.fields = head;
	while (http_field_next(&rest, &name, &value))
		read_field(&msg, name, value);
	/* RFC 3261 17.1.3: branch and method; Call-ID and number for those who came before branches were unique */
	msg.key = hash_view(msg.method, hash_view(msg.cseq, hash_view(msg.call_id, hash_view(msg.branch, 7))));
	*ret_msg = msg;
	return true;
}

/* Behind the scheme, up to parameters and headers. */
static struct view uri_rest(struct view uri, size_t *ret_scheme)
{
	ptrdiff_t colon = view_find(view_sub(uri, 0, 16), VIEW_LIT(":"));
	size_t n = 0;

	*ret_scheme = (size_t)(colon + 1);
	uri = view_sub(uri, *ret_scheme, uri.len);
	while (n < uri.len && uri.at[n] != ';' && uri.at[n] != '?')
		n++;
	return view_sub(uri, 0, n);
}

size_t sip_template(struct view uri, char *text, size_t cap)
{
	size_t scheme;
	struct view rest = uri_rest(uri, &scheme);
	bool user = rest.len && memchr(rest.at, '@', rest.len);

	if (scheme >= cap)
		return 0;
	memcpy(text, uri.at, scheme);
	if (user || view_istarts(uri, "tel:"))
		return scheme + fold_address(rest, text + scheme, cap - scheme);
	rest = view_sub(rest, 0, cap - scheme);
	memcpy(text + scheme, rest.len ? rest.at : (const uint8_t *)"", rest.len);
	return scheme + rest.len;
}

struct view sip_uri_host(struct view uri)
{
	size_t scheme;
	struct view rest = uri_rest(uri, &scheme);
	size_t at = rest.len, n = 0;

	while (at && rest.at[at - 1] != '@')
		at--;
	rest = view_sub(rest, at, rest.len);
	if (rest.len && rest.at[0] == '[') {	/* IPv6 */
		while (n < rest.len && rest.at[n] != ']')
			n++;
		return view_sub(rest, 0, n + 1);
	}
	while (n < rest.len && rest.at[n] != ':')
		n++;
	return view_sub(rest, 0, n);
}

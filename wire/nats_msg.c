#include "wire/nats_msg.h"

#include "wire/http_body.h"
#include "wire/secret.h"

#define WORDS_MAX 6

static const struct {
	const char *name;
	char sender;
	uint8_t words_min, words_max;	/* behind the name */
} ops[] = {
	[NATS_INFO] = { "INFO", 'S', 0, 0 },
	[NATS_CONNECT] = { "CONNECT", 'C', 0, 0 },
	[NATS_PUB] = { "PUB", 'C', 2, 3 },
	[NATS_HPUB] = { "HPUB", 'C', 3, 4 },
	[NATS_SUB] = { "SUB", 'C', 2, 3 },
	[NATS_UNSUB] = { "UNSUB", 'C', 1, 2 },
	[NATS_MSG] = { "MSG", 'S', 3, 4 },
	[NATS_HMSG] = { "HMSG", 'S', 4, 5 },
	[NATS_PING] = { "PING", 'B', 0, 0 },
	[NATS_PONG] = { "PONG", 'B', 0, 0 },
	[NATS_OK] = { "+OK", 'S', 0, 0 },
	[NATS_ERR] = { "-ERR", 'S', 0, 0 },
};

char nats_sender(enum nats_op op)
{
	return ops[op].sender;
}

static struct view word_next(struct view *rest)
{
	struct view word;
	size_t n = 0;

	while (rest->len && (rest->at[0] == ' ' || rest->at[0] == '\t'))
		*rest = view_sub(*rest, 1, rest->len);
	while (n < rest->len && rest->at[n] != ' ' && rest->at[n] != '\t')
		n++;
	word = view_sub(*rest, 0, n);
	*rest = view_sub(*rest, n, rest->len);
	return word;
}

static bool is_subject(struct view word)
{
	for (size_t i = 0; i < word.len; i++)
		if (word.at[i] <= ' ' || word.at[i] == 0x7f)
			return false;
	return word.len > 0;
}

/* The words of a line that has a payload: subject ... [reply] ... sizes. */
static bool read_message(struct nats_line *line, const struct view *word, unsigned words)
{
	bool headers = line->op == NATS_HPUB || line->op == NATS_HMSG;
	bool delivered = line->op == NATS_MSG || line->op == NATS_HMSG;
	unsigned sizes = headers ? 2 : 1, at = 0;

	line->subject = word[at++];
	if (delivered)
		line->sid = word[at++];
	if (at + sizes < words)
		line->reply = word[at++];
	if (at + sizes != words)
		return false;
	if (headers && view_u64(word[at++], NATS_PAYLOAD_MAX, &line->headers) < 0)
		return false;
	if (view_u64(word[at], NATS_PAYLOAD_MAX, &line->payload) < 0 || line->headers > line->payload)
		return false;
	line->has_payload = true;
	return is_subject(line->subject);
}

static bool read_words(struct nats_line *line, struct view rest)
{
	struct view word[WORDS_MAX];
	unsigned words = 0;

	while (words < WORDS_MAX) {
		word[words] = word_next(&rest);
		if (!word[words].len)
			break;
		words++;
	}
	if (words < ops[line->op].words_min || words > ops[line->op].words_max)
		return false;
	switch (line->op) {
	case NATS_SUB:
		line->subject = word[0];
		line->queue = words == 3 ? word[1] : view_make("", 0);
		line->sid = word[words - 1];
		return is_subject(line->subject);
	case NATS_UNSUB:
		line->sid = word[0];
		return true;
	case NATS_PUB:
	case NATS_HPUB:
	case NATS_MSG:
	case NATS_HMSG:
		return read_message(line, word, words);
	default:
		return true;
	}
}

/* Which operations may begin so; NATS_NONE: no one. *ret_whole: the name is there to its end. */
static enum nats_op op_of(struct view bytes, bool *ret_whole)
{
	size_t n = 0;

	while (n < bytes.len && n < 8 && bytes.at[n] != ' ' && bytes.at[n] != '\t' && bytes.at[n] != '\r' && bytes.at[n] != '\n')
		n++;
	*ret_whole = n < bytes.len;
	for (unsigned op = NATS_INFO; op <= NATS_ERR; op++) {
		size_t len = strlen(ops[op].name);

		if (*ret_whole ? n != len : n > len)
			continue;
		for (size_t i = 0; i < n; i++)
			if ((bytes.at[i] >= 'a' && bytes.at[i] <= 'z' ? bytes.at[i] - 32 : bytes.at[i]) != ops[op].name[i])
				goto next;
		return (enum nats_op)op;
next:;
	}
	return NATS_NONE;
}

int nats_line(struct view bytes, struct nats_line *ret_line)
{
	struct nats_line line = { .op = NATS_NONE };
	size_t max = NATS_LINE_MAX;
	const uint8_t *end;
	struct view rest;
	bool whole;

	if (!bytes.len)
		return 0;
	line.op = op_of(bytes, &whole);
	if (line.op == NATS_NONE)
		return -1;
	line.name = ops[line.op].name;
	if (line.op == NATS_INFO || line.op == NATS_CONNECT)
		max = NATS_OPTIONS_MAX;
	end = memchr(bytes.at, '\n', bytes.len < max ? bytes.len : max);
	if (!end)
		return bytes.len < max ? 0 : -1;
	line.len = (size_t)(end - bytes.at) + 1;
	rest = view_sub(bytes, strlen(line.name), line.len - strlen(line.name) - 1);
	if (rest.len && rest.at[rest.len - 1] == '\r')
		rest.len--;
	if (line.op == NATS_INFO || line.op == NATS_CONNECT || line.op == NATS_ERR) {
		line.text = view_trim(rest);
		if (line.op != NATS_ERR && (!line.text.len || line.text.at[0] != '{'))
			return -1;
		if (line.text.len >= 2 && line.text.at[0] == '\'' && line.text.at[line.text.len - 1] == '\'')
			line.text = view_sub(line.text, 1, line.text.len - 2);
	} else if (!read_words(&line, rest)) {
		return -1;
	}
	*ret_line = line;
	return 1;
}

/* ---- options ---- */

static size_t string_end(struct view json, size_t at)
{
	while (at < json.len && json.at[at] != '"')
		at += json.at[at] == '\\' ? 2 : 1;
	return at < json.len ? at : json.len;
}

struct view nats_option(struct view json, const char *name)
{
	unsigned depth = 0;
	bool key = false;

	for (size_t i = 0; i < json.len; i++) {
		struct view text;
		size_t end;

		switch (json.at[i]) {
		case '{':
		case '[':
			key = ++depth == 1;
			continue;
		case '}':
		case ']':
			if (depth)
				depth--;
			continue;
		case ',':
			key = depth == 1;
			continue;
		case '"':
			break;
		default:
			continue;
		}
		end = string_end(json, i + 1);
		text = view_sub(json, i + 1, end - i - 1);
		i = end;
		if (!key || depth != 1)
			continue;
		key = false;
		if (!view_is(text, name))
			continue;
		for (i++; i < json.len && (json.at[i] == ':' || json.at[i] == ' '); i++)
			;
		if (i < json.len && json.at[i] == '"') {
			end = string_end(json, i + 1);
			return view_sub(json, i + 1, end - i - 1);
		}
		for (end = i; end < json.len && !memchr(",}] ", json.at[end], 4); end++)
			;
		return view_sub(json, i, end - i);
	}
	return view_make("", 0);
}

/* ---- headers ---- */

static bool header_next(struct view *rest, struct view *ret_line)
{
	const uint8_t *end = rest->len ? memchr(rest->at, '\n', rest->len) : NULL;

	if (!end)
		return false;
	*ret_line = view_sub(*rest, 0, (size_t)(end - rest->at));
	*rest = view_sub(*rest, ret_line->len + 1, rest->len);
	if (ret_line->len && ret_line->at[ret_line->len - 1] == '\r')
		ret_line->len--;
	return ret_line->len > 0;
}

static void split(struct view line, struct view *ret_name, struct view *ret_value)
{
	const uint8_t *colon = memchr(line.at, ':', line.len);
	size_t n = colon ? (size_t)(colon - line.at) : line.len;

	*ret_name = view_trim(view_sub(line, 0, n));
	*ret_value = view_trim(view_sub(line, n + 1, line.len));
}

/* "NATS/1.0 503 No Responders" */
static bool status_line(struct view line, struct nats_headers *headers)
{
	uint64_t status = 0;
	struct view word;

	if (!view_istarts(line, "NATS/1."))
		return false;
	(void)word_next(&line);
	word = word_next(&line);
	if (word.len == 3 && view_u64(word, 999, &status) == 0) {
		headers->status = (uint16_t)status;
		headers->status_text = view_trim(line);
	}
	return true;
}

static struct view trace_of(struct view name, struct view value)
{
	if (view_ieq(name, "traceparent") && value.len >= 55 && value.at[2] == '-' && value.at[35] == '-')
		return view_sub(value, 3, 32);
	if (view_ieq(name, "b3") && value.len > 33 && (value.at[32] == '-' || value.at[16] == '-'))
		return view_sub(value, 0, value.at[32] == '-' ? 32 : 16);
	if (view_ieq(name, "x-b3-traceid") || view_ieq(name, "x-request-id"))
		return value;
	return view_make("", 0);
}

void nats_headers(struct view bytes, struct nats_headers *headers)
{
	struct view line, name, value;

	memset(headers, 0, sizeof(*headers));
	if (!header_next(&bytes, &line) || !status_line(line, headers))
		return;
	while (header_next(&bytes, &line)) {
		split(line, &name, &value);
		value = trace_of(name, value);
		if (value.len && !headers->trace.len)
			headers->trace = value;
	}
}

bool nats_subject_fits(struct view pattern, struct view subject)
{
	size_t p = 0, s = 0;

	while (p < pattern.len && s < subject.len) {
		size_t pn = 0, sn = 0;

		while (p + pn < pattern.len && pattern.at[p + pn] != '.')
			pn++;
		while (s + sn < subject.len && subject.at[s + sn] != '.')
			sn++;
		if (pn == 1 && pattern.at[p] == '>' && p + 1 == pattern.len)
			return true;
		if (!(pn == 1 && pattern.at[p] == '*') && (pn != sn || memcmp(pattern.at + p, subject.at + s, pn) != 0))
			return false;
		p += pn + (p + pn < pattern.len);
		s += sn + (s + sn < subject.len);
	}
	return p == pattern.len && s == subject.len;
}

/* ---- in full ---- */

static void show_options(struct view text, struct json *json)
{
	const struct json_val *root, *val;
	struct json_doc *doc;
	const char *name;

	json_key(json, "options");
	if (json_parse(text, &doc, NULL) < 0) {
		json_null(json);
		return;
	}
	root = json_root(doc);
	json_object(json);
	for (size_t i = 0; (val = json_member(root, i, &name)); i++) {
		json_key(json, name);
		if (secret_name(view_str(name)))
			json_cstr(json, SECRET_MASK);
		else
			json_val(json, val);
	}
	json_object_end(json);
	json_doc_free(doc);
}

static void show_headers(struct view bytes, struct json *json)
{
	struct nats_headers headers;
	struct view line, name, value;

	nats_headers(bytes, &headers);
	if (headers.status) {
		json_ku64(json, "status", headers.status);
		json_kstr(json, "status_text", headers.status_text);
	}
	json_key(json, "headers");
	json_array(json);
	(void)header_next(&bytes, &line);
	while (header_next(&bytes, &line)) {
		split(line, &name, &value);
		json_object(json);
		secret_show_header(json, name, value);
		json_object_end(json);
	}
	json_array_end(json);
}

static int show_line(struct view bytes, size_t body_max, struct json *json)
{
	struct nats_line line;
	struct view payload;
	size_t want;

	if (nats_line(bytes, &line) != 1) {
		json_kstr(json, "line", view_sub(bytes, 0, body_max < 256 ? body_max : 256));
		return 0;
	}
	json_kcstr(json, "operation", line.name);
	if (line.subject.len)
		json_kstr(json, "subject", line.subject);
	if (line.sid.len)
		json_kstr(json, "sid", line.sid);
	if (line.queue.len)
		json_kstr(json, "queue", line.queue);
	if (line.reply.len)
		json_kstr(json, "reply_to", line.reply);
	if (line.op == NATS_INFO || line.op == NATS_CONNECT)
		show_options(line.text, json);
	else if (line.op == NATS_ERR)
		json_kstr(json, "error", line.text);
	if (!line.has_payload)
		return 0;
	if (line.op == NATS_HPUB || line.op == NATS_HMSG)
		show_headers(view_sub(bytes, line.len, (size_t)line.headers), json);
	want = (size_t)(line.payload - line.headers);
	json_ku64(json, "body_bytes", want);
	payload = view_sub(bytes, line.len + (size_t)line.headers, want < body_max ? want : body_max);
	return body_show(payload, payload.len < want, json);
}

int nats_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	for (unsigned i = 0; i < 2; i++) {
		struct view bytes = i ? response : request;
		int rc;

		if (!bytes.len)
			continue;
		json_key(json, i ? "response" : "request");
		json_object(json);
		rc = show_line(bytes, body_max, json);
		json_object_end(json);
		if (rc < 0)
			return rc;
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}

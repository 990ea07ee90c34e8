#include "wire/resp.h"

#include "wire/redis_cmd.h"
#include "wire/secret.h"

#define BULK_MAX	((uint64_t)1 << 40)
#define ITEMS_MAX	((uint64_t)1 << 32)
#define SHOWN_ITEMS_MAX	10000

static bool is_number(struct view text)
{
	size_t i = text.len && (text.at[0] == '-' || text.at[0] == '+');

	if (i == text.len)
		return false;
	for (; i < text.len; i++)
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
	return true;
}

static bool is_double(struct view text)
{
	if (view_is(text, "inf") || view_is(text, "-inf") || view_is(text, "nan") || view_is(text, "-nan"))
		return true;
	for (size_t i = 0; i < text.len; i++)
		if (!memchr("0123456789+-.eE", text.at[i], 15))
			return false;
	return text.len > 0;
}

static struct resp_head counted(struct resp_head head, enum resp_kind kind, uint64_t max, unsigned each)
{
	if (view_is(head.text, "-1")) {
		head.kind = RESP_LINE;
		head.nil = true;
	} else if (head.text.len && head.text.at[0] != '+' && view_u64(head.text, max, &head.count) == 0) {
		head.kind = kind;
		head.count *= each;
	} else {
		head.kind = RESP_BAD;
	}
	return head;
}

struct resp_head resp_head(struct view bytes)
{
	struct resp_head head = { .kind = RESP_MORE };
	size_t max;
	const uint8_t *nl;

	if (!bytes.len)
		return head;
	head.type = (char)bytes.at[0];
	head.kind = RESP_BAD;
	if (!memchr("+-:$*_#,(!=%~>|", head.type, 15))
		return head;
	max = head.type == '+' || head.type == '-' || head.type == '(' ? RESP_LINE_MAX : 64;
	nl = memchr(bytes.at, '\n', bytes.len < max ? bytes.len : max);
	if (!nl) {
		if (bytes.len < max)
			head.kind = RESP_MORE;
		return head;
	}
	head.len = (size_t)(nl - bytes.at) + 1;
	if (head.len < 3 || nl[-1] != '\r')
		return head;
	head.text = view_sub(bytes, 1, head.len - 3);
	head.kind = RESP_LINE;
	switch (head.type) {
	case ':':
	case '(':
		if (!is_number(head.text))
			head.kind = RESP_BAD;
		return head;
	case ',':
		if (!is_double(head.text))
			head.kind = RESP_BAD;
		return head;
	case '#':
		if (!view_is(head.text, "t") && !view_is(head.text, "f"))
			head.kind = RESP_BAD;
		return head;
	case '_':
		head.nil = true;
		if (head.text.len)
			head.kind = RESP_BAD;
		return head;
	case '$':
	case '!':
	case '=':
		return counted(head, RESP_BULK, BULK_MAX, 1);
	case '*':
	case '~':
	case '>':
		return counted(head, RESP_ITEMS, ITEMS_MAX, 1);
	case '%':
	case '|':
		return counted(head, RESP_ITEMS, ITEMS_MAX, 2);
	default:
		return head;
	}
}

bool resp_word_next(struct view *rest, struct view *ret_word)
{
	size_t i = 0, from;

	while (i < rest->len && (rest->at[i] == ' ' || rest->at[i] == '\t'))
		i++;
	from = i;
	if (i == rest->len)
		return false;
	if (rest->at[i] == '"' || rest->at[i] == '\'') {
		uint8_t quote = rest->at[i++];

		while (i < rest->len && rest->at[i] != quote)
			i += rest->at[i] == '\\' ? 2 : 1;
		i = i < rest->len ? i + 1 : rest->len;
	} else {
		while (i < rest->len && rest->at[i] != ' ' && rest->at[i] != '\t')
			i++;
	}
	*ret_word = view_sub(*rest, from, i - from);
	*rest = view_sub(*rest, i, rest->len);
	return true;
}

/* ---- showing ---- */

struct show {
	struct json *json;
	struct view rest;
	size_t budget;	/* bytes of text left to show */
	bool cut;	/* bytes or items were left out */
	bool command;	/* the words of one are shown */
	struct redis_words words;
};

static void show_text(struct show *s, struct view text)
{
	if (text.len > s->budget) {
		text.len = s->budget;
		s->cut = true;
	}
	s->budget -= text.len;
	json_str(s->json, text);
}

static void show_word(struct show *s, struct view word)
{
	if (s->command && redis_cmd_secret(&s->words, word))
		json_cstr(s->json, SECRET_MASK);
	else
		show_text(s, word);
}

static bool show_value(struct show *s, unsigned depth);

static bool show_bulk(struct show *s, const struct resp_head *head)
{
	struct view text = view_sub(s->rest, 0, head->count);
	bool whole = text.len == head->count;

	s->rest = view_sub(s->rest, head->count + 2, s->rest.len);
	if (head->type == '!') {
		json_object(s->json);
		json_key(s->json, "error");
		show_text(s, text);
		json_object_end(s->json);
	} else {
		if (head->type == '=' && text.len >= 4)
			text = view_sub(text, 4, text.len);	/* "txt:" */
		show_word(s, text);
	}
	return whole;
}

static bool show_items(struct show *s, const struct resp_head *head, unsigned depth)
{
	bool map = head->type == '%' || head->type == '|', ok = true;

	/* keys of maps may be of any kind: pairs are shown as arrays of two */
	json_array(s->json);
	for (uint64_t i = 0; i < head->count && ok; i++) {
		if (i >= SHOWN_ITEMS_MAX || !s->rest.len) {
			s->cut = true;
			ok = false;
			break;
		}
		if (map && i % 2 == 0)
			json_array(s->json);
		ok = show_value(s, depth + 1);
		if (map && (i % 2 || !ok))
			json_array_end(s->json);
		else if (map && i + 1 < head->count && !s->rest.len) {
			json_array_end(s->json);
			s->cut = true;
			ok = false;
		}
	}
	json_array_end(s->json);
	return ok;
}

static bool show_value(struct show *s, unsigned depth)
{
	struct resp_head head = resp_head(s->rest);

	if (head.kind == RESP_MORE || head.kind == RESP_BAD || depth > RESP_DEPTH_MAX) {
		s->cut = true;
		json_null(s->json);
		return false;
	}
	s->rest = view_sub(s->rest, head.len, s->rest.len);
	if (head.kind == RESP_BULK)
		return show_bulk(s, &head);
	if (head.kind == RESP_ITEMS)
		return show_items(s, &head, depth);
	if (head.nil) {
		json_null(s->json);
	} else if (head.type == '#') {
		json_bool(s->json, head.text.at[0] == 't');
	} else if (head.type == ':') {
		bool minus = head.text.at[0] == '-';
		uint64_t value;
		size_t sign = minus || head.text.at[0] == '+';

		if (view_u64(view_sub(head.text, sign, head.text.len), INT64_MAX, &value) == 0)
			json_i64(s->json, minus ? -(int64_t)value : (int64_t)value);
		else
			json_str(s->json, head.text);
	} else if (head.type == '-') {
		json_object(s->json);
		json_key(s->json, "error");
		show_text(s, head.text);
		json_object_end(s->json);
	} else {
		show_text(s, head.text);
	}
	return true;
}

static void show_inline(struct show *s)
{
	struct view line = s->rest, word, words;
	ptrdiff_t nl = view_find(line, VIEW_LIT("\n"));

	if (nl >= 0)
		line.len = (size_t)nl;
	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	json_kbool(s->json, "inline", true);
	json_key(s->json, "arguments");
	json_array(s->json);
	for (words = line; resp_word_next(&words, &word);)
		s->words.all++;
	while (resp_word_next(&line, &word))
		show_word(s, word);
	json_array_end(s->json);
}

/* The bytes behind the value that rest begins with; nothing when it is not whole. */
static struct view behind(struct view rest)
{
	struct view none = { NULL, 0 };
	uint64_t left = 1;

	while (left) {
		struct resp_head head = resp_head(rest);

		if (head.kind == RESP_MORE || head.kind == RESP_BAD)
			return none;
		rest = view_sub(rest, head.len, rest.len);
		left--;
		if (head.kind == RESP_BULK)
			rest = view_sub(rest, head.count + 2, rest.len);
		else if (head.kind == RESP_ITEMS)
			left += head.count + (head.type == '|');
	}
	return rest;
}

/* A subscription to many channels has as many answers. */
static void show_values(struct show *s)
{
	bool many = behind(s->rest).len > 0, ok = true;

	json_key(s->json, many ? "values" : "value");
	if (many)
		json_array(s->json);
	do {
		ok = show_value(s, 0);
	} while (ok && many && s->rest.len);
	if (many)
		json_array_end(s->json);
}

int resp_detail(struct view request, struct view response, size_t body_max, struct json *json)
{
	struct show s = { .json = json, .rest = request, .budget = body_max, .command = true };

	if (request.len) {
		json_key(json, "request");
		json_object(json);
		if (request.at[0] == '*') {
			json_key(json, "arguments");
			s.words.all = resp_head(request).count;
			(void)show_value(&s, 0);
		} else {
			show_inline(&s);
		}
		if (s.cut)
			json_kbool(json, "truncated", true);
		json_object_end(json);
	}
	if (response.len) {
		s = (struct show){ .json = json, .rest = response, .budget = body_max };
		json_key(json, "response");
		json_object(json);
		show_values(&s);
		if (s.cut)
			json_kbool(json, "truncated", true);
		json_object_end(json);
	}
	return json->out->bad ? E_NO_MEMORY : 0;
}

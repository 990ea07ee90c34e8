#include "wire/imap_msg.h"

#include "wire/lines.h"

#define TAG_MAX_BYTES	64
#define LITERAL_MAX	((uint64_t)1 << 40)

static const struct {
	const char *name;
	enum imap_command command;
} commands[] = {
	{ "LOGIN", IMAP_LOGIN }, { "AUTHENTICATE", IMAP_AUTHENTICATE }, { "STARTTLS", IMAP_STARTTLS }, { "IDLE", IMAP_IDLE },
	{ "COMPRESS", IMAP_COMPRESS }, { "SELECT", IMAP_SELECT }, { "EXAMINE", IMAP_EXAMINE }, { "CLOSE", IMAP_CLOSE },
	{ "UNSELECT", IMAP_UNSELECT }, { "APPEND", IMAP_APPEND }, { "STATUS", IMAP_STATUS }, { "CAPABILITY", IMAP_OTHER },
	{ "NOOP", IMAP_OTHER }, { "LOGOUT", IMAP_OTHER }, { "CREATE", IMAP_OTHER }, { "DELETE", IMAP_OTHER },
	{ "RENAME", IMAP_OTHER }, { "SUBSCRIBE", IMAP_OTHER }, { "UNSUBSCRIBE", IMAP_OTHER }, { "LIST", IMAP_OTHER },
	{ "LSUB", IMAP_OTHER }, { "XLIST", IMAP_OTHER }, { "NAMESPACE", IMAP_OTHER }, { "ENABLE", IMAP_OTHER },
	{ "CHECK", IMAP_OTHER }, { "EXPUNGE", IMAP_OTHER }, { "SEARCH", IMAP_OTHER }, { "FETCH", IMAP_OTHER },
	{ "STORE", IMAP_OTHER }, { "COPY", IMAP_OTHER }, { "MOVE", IMAP_OTHER }, { "SORT", IMAP_OTHER }, { "THREAD", IMAP_OTHER },
	{ "ID", IMAP_OTHER }, { "GETQUOTA", IMAP_OTHER }, { "GETQUOTAROOT", IMAP_OTHER }, { "SETQUOTA", IMAP_OTHER },
	{ "GETACL", IMAP_OTHER }, { "SETACL", IMAP_OTHER }, { "DELETEACL", IMAP_OTHER }, { "MYRIGHTS", IMAP_OTHER },
	{ "LISTRIGHTS", IMAP_OTHER }, { "GETMETADATA", IMAP_OTHER }, { "SETMETADATA", IMAP_OTHER }, { "NOTIFY", IMAP_OTHER },
	{ "ESEARCH", IMAP_OTHER }, { "REPLACE", IMAP_OTHER }, { "UNAUTHENTICATE", IMAP_OTHER },
	{ "UID FETCH", IMAP_OTHER }, { "UID STORE", IMAP_OTHER }, { "UID COPY", IMAP_OTHER }, { "UID MOVE", IMAP_OTHER },
	{ "UID SEARCH", IMAP_OTHER }, { "UID SORT", IMAP_OTHER }, { "UID THREAD", IMAP_OTHER }, { "UID EXPUNGE", IMAP_OTHER },
	{ "UID REPLACE", IMAP_OTHER },
};

static bool is_tag(struct view tag)
{
	if (!tag.len || tag.len > TAG_MAX_BYTES)
		return false;
	for (size_t i = 0; i < tag.len; i++)
		if (tag.at[i] <= ' ' || tag.at[i] >= 127 || memchr("(){%*\"\\+", tag.at[i], 8))
			return false;
	return true;
}

bool imap_command_line(struct view line, struct imap_line *ret_line)
{
	struct view tag = line_word(&line), whole = line, word = line_word(&line);

	if (!is_tag(tag) || !word.len)
		return false;
	if (view_ieq(word, "UID") && line.len) {
		struct view second = line_word(&line);

		word = view_make(whole.at, (size_t)(second.at + second.len - whole.at));
	}
	*ret_line = (struct imap_line){ .tag = tag, .rest = line, .command = IMAP_OTHER };
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (view_ieq(word, commands[i].name)) {
			ret_line->name = commands[i].name;
			ret_line->command = commands[i].command;
		}
	}
	return true;
}

const char *imap_status_name(enum imap_status status)
{
	static const char *const names[] = { "OK", "NO", "BAD", "PREAUTH", "BYE" };

	return status < IMAP_DATA ? names[status] : NULL;
}

static bool is_number(struct view word)
{
	uint64_t number;

	return view_u64(word, UINT64_MAX, &number) == 0;
}

bool imap_answer(struct view line, struct imap_answer *ret_answer)
{
	struct view tag = line_word(&line), all = line, word = line_word(&line);
	struct imap_answer answer = { .tag = tag, .status = IMAP_DATA, .text = all, .kind = word };
	bool untagged = view_is(tag, "*");

	if (view_is(tag, "+")) {
		*ret_answer = answer;
		return true;
	}
	if ((!untagged && !is_tag(tag)) || !word.len)
		return false;
	for (unsigned i = IMAP_OK; i <= (untagged ? IMAP_BYE : IMAP_BAD); i++) {
		if (view_ieq(word, imap_status_name((enum imap_status)i))) {
			answer.status = (enum imap_status)i;
			answer.text = line;
		}
	}
	if (answer.status == IMAP_DATA && !untagged)
		return false;
	if (is_number(word))
		answer.kind = line_word(&line);
	*ret_answer = answer;
	return true;
}

bool imap_literal(struct view line, uint64_t *ret_bytes, bool *ret_sync)
{
	size_t at = line.len;
	bool sync = true;

	if (!at || line.at[at - 1] != '}')
		return false;
	line.len = --at;
	if (at && (line.at[at - 1] == '+' || line.at[at - 1] == '-')) {
		sync = false;
		line.len = --at;
	}
	while (at && line.at[at - 1] >= '0' && line.at[at - 1] <= '9')
		at--;
	if (!at || line.at[at - 1] != '{' || view_u64(view_sub(line, at, line.len), LITERAL_MAX, ret_bytes) < 0)
		return false;
	*ret_sync = sync;
	return true;
}

struct view imap_astring(struct view *text)
{
	struct view word;
	size_t n = 1;

	if (!text->len || text->at[0] != '"') {
		word = line_word(text);
		return word.len && (word.at[0] == '{' || word.at[0] == '~') ? view_make("", 0) : word;
	}
	while (n < text->len && text->at[n] != '"')
		n += text->at[n] == '\\' ? 2 : 1;
	word = view_sub(*text, 1, (n < text->len ? n : text->len) - 1);
	*text = view_sub(*text, n + 1, text->len);
	while (text->len && text->at[0] == ' ')
		*text = view_sub(*text, 1, text->len);
	return word;
}

#include "wire/memcached_msg.h"

#include "base/rd.h"

#define KEY_MAX		250
#define DATA_MAX	((uint64_t)1 << 30)

static const char *const commands[] = {
	"get", "gets", "gat", "gats", "set", "add", "replace", "append", "prepend", "cas", "delete", "incr", "decr", "touch",
	"mg", "ms", "md", "ma", "mn", "me", "stats", "flush_all", "version", "verbosity", "quit", "slabs", "lru",
	"lru_crawler", "cache_memlimit", "shutdown", "watch", "misbehave", "refresh_certs", "mcp", "extstore", NULL,
};
static const char *const answers[] = {
	"VALUE", "END", "STORED", "NOT_STORED", "EXISTS", "NOT_FOUND", "DELETED", "TOUCHED", "OK", "ERROR", "CLIENT_ERROR",
	"SERVER_ERROR", "STAT", "VERSION", "RESET", "BUSY", "BADCLASS", "NOSPARE", "NOTFULL", "UNSAFE", "SAME", "ITEM",
	"HD", "VA", "EN", "NF", "NS", "EX", "MN", "ME", "DENIED", NULL,
};

static bool is_one_of(struct view word, const char *const *words)
{
	for (; *words; words++)
		if (view_is(word, *words))
			return true;
	return false;
}

bool memcached_command(struct view word)
{
	return is_one_of(word, commands);
}

bool memcached_answer(struct view word)
{
	uint64_t number;

	return is_one_of(word, answers) || view_u64(word, UINT64_MAX, &number) == 0;
}

static bool is_storage(struct view word)
{
	return view_is(word, "set") || view_is(word, "add") || view_is(word, "replace") || view_is(word, "append") ||
	       view_is(word, "prepend") || view_is(word, "cas");
}

static bool is_meta(struct view word)
{
	return word.len == 2 && word.at[0] == 'm' && strchr("gsdane", word.at[1]);
}

/* The next word of *rest; false at the end. */
static bool next_word(struct view *rest, struct view *ret_word)
{
	size_t i = 0, from;

	while (i < rest->len && rest->at[i] == ' ')
		i++;
	from = i;
	while (i < rest->len && rest->at[i] != ' ')
		i++;
	*ret_word = view_sub(*rest, from, i - from);
	*rest = view_sub(*rest, i, rest->len);
	return ret_word->len > 0;
}

static bool data_follows(struct memcached_line *line, struct view number)
{
	line->has_data = true;
	return view_u64(number, DATA_MAX, &line->data_bytes) == 0;
}

static void meta_flags(struct memcached_line *line, unsigned from, struct view rest)
{
	struct view word;

	for (unsigned i = from; i < line->words || next_word(&rest, &word); i++) {
		if (i < line->words)
			word = line->word[i];
		if (word.at[0] == 'q' && word.len == 1)
			line->quiet = true;
		else if (word.at[0] == 'O')
			line->opaque = view_sub(word, 1, word.len);
		else if (word.at[0] == 'k' && word.len > 1)
			line->key = view_sub(word, 1, word.len);
	}
}

bool memcached_line(struct view bytes, struct memcached_line *ret_line)
{
	struct memcached_line line = { .words = 0 };
	const uint8_t *nl = bytes.len ? memchr(bytes.at, '\n', bytes.len) : NULL;
	struct view rest, more, word = { NULL, 0 }, last = { NULL, 0 };
	bool ok = true;

	if (!nl)
		return false;
	line.line_bytes = (size_t)(nl - bytes.at) + 1;
	line.all = view_make(bytes.at, line.line_bytes - 1);
	if (line.all.len && line.all.at[line.all.len - 1] == '\r')
		line.all.len--;
	rest = line.all;
	while (line.words < MEMCACHED_WORDS_MAX && next_word(&rest, &word))
		line.word[line.words++] = last = word;
	if (!line.words)
		return false;
	for (more = rest; next_word(&more, &word);)
		last = word;
	word = line.word[0];
	line.noreply = line.words > 1 && view_is(last, "noreply");
	if (is_storage(word)) {
		line.key = line.words > 1 ? line.word[1] : line.key;
		ok = line.words >= 5 && data_follows(&line, line.word[4]);
	} else if (is_meta(word)) {
		line.meta = true;
		line.get = word.at[1] == 'g';
		line.key = line.words > 1 ? line.word[1] : line.key;
		if (word.at[1] == 's')
			ok = line.words >= 3 && data_follows(&line, line.word[2]);
		meta_flags(&line, word.at[1] == 's' ? 3 : 2, rest);
		line.key = line.words > 1 ? line.word[1] : line.key;
	} else if (view_is(word, "get") || view_is(word, "gets")) {
		line.get = true;
		line.key = line.words > 1 ? line.word[1] : line.key;
		line.noreply = false;
	} else if (view_is(word, "gat") || view_is(word, "gats")) {
		line.get = true;
		line.key = line.words > 2 ? line.word[2] : line.key;
		line.noreply = false;
	} else if (view_is(word, "VALUE")) {
		line.key = line.words > 1 ? line.word[1] : line.key;
		ok = line.words >= 4 && data_follows(&line, line.word[3]);
	} else if (view_is(word, "VA")) {
		ok = line.words >= 2 && data_follows(&line, line.word[1]);
		meta_flags(&line, 2, rest);
	} else if (view_is(word, "HD") || view_is(word, "EN") || view_is(word, "NF") || view_is(word, "NS") ||
		   view_is(word, "EX")) {
		meta_flags(&line, 1, rest);
	} else if (view_is(word, "delete") || view_is(word, "incr") || view_is(word, "decr") || view_is(word, "touch")) {
		line.key = line.words > 1 ? line.word[1] : line.key;
	}
	*ret_line = line;
	return ok;
}

/* ---- binary ---- */

static const char *const opcodes[] = {
	"get", "set", "add", "replace", "delete", "increment", "decrement", "quit", "flush", "getq", "noop", "version",
	"getk", "getkq", "append", "prepend", "stat", "setq", "addq", "replaceq", "deleteq", "incrementq", "decrementq",
	"quitq", "flushq", "appendq", "prependq", "verbosity", "touch", "gat", "gatq", NULL, "sasl_list", "sasl_auth",
	"sasl_step", "gatk", "gatkq",
};

const char *memcached_opcode(uint8_t opcode)
{
	return opcode < sizeof(opcodes) / sizeof(opcodes[0]) ? opcodes[opcode] : NULL;
}

bool memcached_opcode_quiet(uint8_t opcode)
{
	return opcode == 0x09 || opcode == 0x0d || (opcode >= 0x11 && opcode <= 0x1a) || opcode == 0x1e || opcode == 0x24;
}

bool memcached_opcode_get(uint8_t opcode)
{
	return opcode == 0 || opcode == 9 || opcode == 0x0c || opcode == 0x0d || opcode == 0x1d || opcode == 0x1e ||
	       opcode == 0x23 || opcode == 0x24;
}

const char *memcached_status(uint16_t status)
{
	switch (status) {
	case 0x00: return "OK";
	case 0x01: return "NOT_FOUND";
	case 0x02: return "EXISTS";
	case 0x03: return "TOO_LARGE";
	case 0x04: return "INVALID_ARGUMENTS";
	case 0x05: return "NOT_STORED";
	case 0x06: return "NON_NUMERIC";
	case 0x07: return "WRONG_VBUCKET";
	case 0x20: return "AUTH_ERROR";
	case 0x21: return "AUTH_CONTINUE";
	case 0x81: return "UNKNOWN_COMMAND";
	case 0x82: return "OUT_OF_MEMORY";
	case 0x83: return "NOT_SUPPORTED";
	case 0x84: return "INTERNAL_ERROR";
	case 0x85: return "BUSY";
	case 0x86: return "TEMPORARY_FAILURE";
	default: return NULL;
	}
}

bool memcached_head(struct view bytes, struct memcached_head *ret_head)
{
	struct rd rd = rd_make(bytes);
	struct memcached_head head = { .request = false };
	uint8_t magic = rd_u8(&rd), type;

	head.opcode = rd_u8(&rd);
	head.key = rd_u16be(&rd);
	head.extras = rd_u8(&rd);
	type = rd_u8(&rd);
	head.status = rd_u16be(&rd);
	head.body = rd_u32be(&rd);
	head.opaque = rd_u32be(&rd);
	rd_skip(&rd, 8);
	head.request = magic == 0x80;
	if (rd.bad || magic < 0x80 || magic > 0x81 || type || head.key > KEY_MAX || head.body > DATA_MAX ||
	    head.extras > 20 || (uint32_t)head.key + head.extras > head.body)
		return false;
	*ret_head = head;
	return true;
}

/* ---- beyond doubt ---- */

static bool is_key(struct view key)
{
	for (size_t i = 0; i < key.len; i++)
		if (key.at[i] <= ' ' || key.at[i] == 0x7f)
			return false;
	return key.len > 0 && key.len <= KEY_MAX;
}

static bool is_number(struct view word)
{
	uint64_t number;

	if (word.len && word.at[0] == '-')
		word = view_sub(word, 1, word.len);
	return view_u64(word, UINT64_MAX, &number) == 0;
}

static bool begins_binary(struct view bytes, bool command)
{
	struct memcached_head head;

	if (!memcached_head(bytes, &head) || head.request != command || !memcached_opcode(head.opcode))
		return false;
	if (!command)
		return memcached_status(head.status) && (head.status == 0 || head.body < 200);
	if (head.status >= 1024)	/* virtual buckets: few */
		return false;
	switch (head.opcode) {
	case 0x00: case 0x09: case 0x0c: case 0x0d: case 0x04: case 0x14:
		return head.key && !head.extras && head.body == head.key;
	case 0x01: case 0x02: case 0x03: case 0x11: case 0x12: case 0x13:
		return head.key && head.extras == 8;
	case 0x05: case 0x06: case 0x15: case 0x16:
		return head.key && head.extras == 20 && head.body == 20u + head.key;
	case 0x0a: case 0x0b: case 0x07: case 0x17: case 0x20:
		return !head.body;
	default:
		return head.key && head.extras <= 4;
	}
}

bool memcached_begins(struct view bytes, bool command, bool binary)
{
	struct memcached_line line;
	struct view word;

	if (binary)
		return begins_binary(bytes, command);
	if (!memcached_line(bytes, &line) || line.line_bytes != line.all.len + 2)
		return false;
	word = line.word[0];
	if (!command) {
		if (view_is(word, "VALUE"))
			return is_key(line.key) && is_number(line.word[2]);
		return (line.words == 1 && (view_is(word, "STORED") || view_is(word, "NOT_STORED") || view_is(word, "DELETED") ||
					    view_is(word, "NOT_FOUND") || view_is(word, "TOUCHED") || view_is(word, "HD"))) ||
		       (view_is(word, "END") && line.words == 1 && bytes.len == 5);
	}
	if (is_storage(word))
		return is_key(line.key) && is_number(line.word[2]) && is_number(line.word[3]);
	if (view_is(word, "get") || view_is(word, "gets") || view_is(word, "delete") || view_is(word, "touch"))
		return is_key(line.key);
	if (view_is(word, "incr") || view_is(word, "decr"))
		return is_key(line.key) && line.words > 2 && is_number(line.word[2]);
	if (view_is(word, "gat") || view_is(word, "gats"))
		return is_key(line.key) && is_number(line.word[1]);
	if (line.meta && line.words > 1)
		return is_key(line.key) && view_is(word, "ms") ? true : is_key(line.key) && !view_is(word, "mn");
	return view_is(word, "mn") && line.words == 1;
}

bool memcached_may_begin(struct view bytes)
{
	struct view rest = bytes, word;

	if (!next_word(&rest, &word) || bytes.at[0] == ' ')
		return false;
	if (rest.len)
		return bytes.len < 4096 && (is_one_of(word, commands) || view_is(word, "VALUE"));
	/* the beginning of a word */
	for (const char *const *list = commands; list; list = list == commands ? answers : NULL)
		for (const char *const *at = list; *at; at++)
			if (strlen(*at) + 1 >= word.len && memcmp(*at, word.at, word.len < strlen(*at) ? word.len : strlen(*at)) == 0)
				return true;
	return false;
}

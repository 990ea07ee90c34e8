#include "wire/redis_cmd.h"

/* Commands whose first argument is no key. Every other one is taken to begin with it. */
static const struct {
	const char *name;
	uint8_t what;
} commands[] = {
	{ "ping", REDIS_KEY_NONE }, { "echo", REDIS_WORD }, { "auth", REDIS_KEY_NONE | REDIS_SPECIAL },
	{ "hello", REDIS_WORD | REDIS_SPECIAL }, { "quit", REDIS_KEY_NONE }, { "select", REDIS_WORD },
	{ "info", REDIS_WORD }, { "multi", REDIS_KEY_NONE }, { "exec", REDIS_KEY_NONE },
	{ "discard", REDIS_KEY_NONE }, { "unwatch", REDIS_KEY_NONE }, { "dbsize", REDIS_KEY_NONE },
	{ "flushall", REDIS_KEY_NONE }, { "flushdb", REDIS_KEY_NONE }, { "save", REDIS_KEY_NONE },
	{ "bgsave", REDIS_KEY_NONE }, { "bgrewriteaof", REDIS_KEY_NONE }, { "lastsave", REDIS_KEY_NONE },
	{ "shutdown", REDIS_KEY_NONE }, { "time", REDIS_KEY_NONE }, { "role", REDIS_KEY_NONE },
	{ "wait", REDIS_KEY_NONE }, { "sync", REDIS_KEY_NONE | REDIS_SPECIAL }, { "waitaof", REDIS_KEY_NONE },
	{ "psync", REDIS_KEY_NONE | REDIS_SPECIAL }, { "replconf", REDIS_WORD }, { "replicaof", REDIS_WORD },
	{ "slaveof", REDIS_WORD }, { "monitor", REDIS_KEY_NONE | REDIS_SPECIAL }, { "reset", REDIS_KEY_NONE },
	{ "randomkey", REDIS_KEY_NONE }, { "readonly", REDIS_KEY_NONE }, { "readwrite", REDIS_KEY_NONE },
	{ "asking", REDIS_KEY_NONE }, { "failover", REDIS_KEY_NONE }, { "swapdb", REDIS_WORD },
	{ "scan", REDIS_KEY_NONE }, { "keys", REDIS_WORD }, { "lolwut", REDIS_KEY_NONE },
	{ "config", REDIS_SUBCOMMAND | REDIS_WORD },
	{ "client", REDIS_SUBCOMMAND | REDIS_WORD | REDIS_SPECIAL },
	{ "command", REDIS_SUBCOMMAND | REDIS_WORD }, { "cluster", REDIS_SUBCOMMAND | REDIS_WORD },
	{ "acl", REDIS_SUBCOMMAND | REDIS_WORD }, { "latency", REDIS_SUBCOMMAND | REDIS_WORD },
	{ "module", REDIS_SUBCOMMAND | REDIS_WORD }, { "slowlog", REDIS_SUBCOMMAND },
	{ "script", REDIS_SUBCOMMAND }, { "function", REDIS_SUBCOMMAND },
	{ "pubsub", REDIS_SUBCOMMAND | REDIS_WORD }, { "sentinel", REDIS_SUBCOMMAND | REDIS_WORD },
	{ "debug", REDIS_SUBCOMMAND | REDIS_WORD }, { "memory", REDIS_SUBCOMMAND | REDIS_KEY_2 },
	{ "object", REDIS_SUBCOMMAND | REDIS_KEY_2 }, { "xinfo", REDIS_SUBCOMMAND | REDIS_KEY_2 },
	{ "xgroup", REDIS_SUBCOMMAND | REDIS_KEY_2 }, { "subscribe", REDIS_CHANNEL | REDIS_SUBSCRIBES },
	{ "psubscribe", REDIS_CHANNEL | REDIS_SUBSCRIBES }, { "ssubscribe", REDIS_CHANNEL | REDIS_SUBSCRIBES },
	{ "unsubscribe", REDIS_CHANNEL | REDIS_SUBSCRIBES },
	{ "punsubscribe", REDIS_CHANNEL | REDIS_SUBSCRIBES },
	{ "sunsubscribe", REDIS_CHANNEL | REDIS_SUBSCRIBES }, { "publish", REDIS_CHANNEL },
	{ "spublish", REDIS_CHANNEL }, { "eval", REDIS_KEY_3 }, { "evalsha", REDIS_KEY_3 },
	{ "eval_ro", REDIS_KEY_3 }, { "evalsha_ro", REDIS_KEY_3 }, { "fcall", REDIS_KEY_3 },
	{ "fcall_ro", REDIS_KEY_3 }, { "bitop", REDIS_KEY_2 }, { "migrate", REDIS_KEY_3 },
	{ "blmpop", REDIS_KEY_3 }, { "bzmpop", REDIS_KEY_3 }, { "lmpop", REDIS_KEY_2 },
	{ "zmpop", REDIS_KEY_2 }, { "sintercard", REDIS_KEY_2 }, { "zinter", REDIS_KEY_2 },
	{ "zunion", REDIS_KEY_2 }, { "zdiff", REDIS_KEY_2 }, { "zintercard", REDIS_KEY_2 },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))
_Static_assert(COMMANDS < UINT8_MAX, "places in the index are bytes");

/* Commands by the hash of their name, chained. Every command of every connection is looked up, and most are not here. */
struct index {
	bool known;
	uint8_t first[256], next[COMMANDS + 1];	/* places from 1, 0: none */
};

static inline uint8_t name_hash(struct view name)
{
	unsigned h = (unsigned)name.len;

	for (size_t i = 0; i < name.len; i++)
		h = h * 31 + (name.at[i] | 0x20);
	return (uint8_t)(h ^ h >> 8);
}

static const struct index *name_index(void)
{
	static _Thread_local struct index index;

	if (index.known)
		return &index;
	index.known = true;
	for (size_t i = COMMANDS; i > 0; i--) {
		uint8_t hash = name_hash(view_str(commands[i - 1].name));

		index.next[i] = index.first[hash];
		index.first[hash] = (uint8_t)i;
	}
	return &index;
}

unsigned redis_cmd_what(struct view name)
{
	const struct index *index = name_index();

	if (!name.len || name.len > REDIS_NAME_MAX)
		return REDIS_KEY_1;
	for (unsigned i = index->first[name_hash(name)]; i; i = index->next[i])
		if (view_ieq(name, commands[i - 1].name))
			return commands[i - 1].what;
	return REDIS_KEY_1;
}

bool redis_cmd_subscribes(struct view name)
{
	return redis_cmd_what(name) & REDIS_SUBSCRIBES;
}

bool redis_cmd_secret(struct redis_words *words, struct view word)
{
	uint64_t i = words->count++;
	bool secret = false;

	if (i == 0) {
		words->asks = view_ieq(word, "auth") ? REDIS_ASKS_AUTH : view_ieq(word, "hello") ? REDIS_ASKS_HELLO :
			      view_ieq(word, "migrate") ? REDIS_ASKS_MIGRATE : view_ieq(word, "acl") ? REDIS_ASKS_ACL :
			      view_ieq(word, "config") ? REDIS_ASKS_CONFIG : REDIS_ASKS_NOTHING;
		return false;
	}
	switch (words->asks) {
	case REDIS_ASKS_NOTHING:
		return false;
	case REDIS_ASKS_AUTH:	/* AUTH [user] password */
		return i + 1 == words->all || i > 2;
	case REDIS_ASKS_HELLO:	/* ... AUTH user password ... */
	case REDIS_ASKS_MIGRATE:	/* ... AUTH password ..., ... AUTH2 user password ... */
		secret = words->in == 1;
		words->in -= words->in > 0;
		if (!secret && !words->in && view_ieq(word, "auth"))
			words->in = words->asks == REDIS_ASKS_HELLO ? 2 : 1;
		else if (!secret && !words->in && view_ieq(word, "auth2"))
			words->in = 2;
		return secret;
	case REDIS_ASKS_ACL:	/* SETUSER user >password #digest <password !digest */
		return i > 2 && word.len && memchr("><#!", word.at[0], 4);
	case REDIS_ASKS_CONFIG:	/* SET requirepass password ... */
		secret = words->in == 1;
		words->in = !secret && (view_ieq(word, "requirepass") || view_ieq(word, "masterauth") ||
					view_ieq(word, "tls-key-file-pass") || view_ieq(word, "tls-client-key-file-pass"));
		return secret;
	}
	return false;
}

bool redis_cmd_is_name(struct view name)
{
	if (!name.len || name.len > REDIS_NAME_MAX || !((name.at[0] | 0x20) >= 'a' && (name.at[0] | 0x20) <= 'z'))
		return false;
	for (size_t i = 1; i < name.len; i++) {
		uint8_t c = name.at[i];

		if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '.' &&
		    c != '-' && c != '|')
			return false;
	}
	return true;
}

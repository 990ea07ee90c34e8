/* What is known of Redis commands by their names. Pure. */
#ifndef WIRE_REDIS_CMD_H
#define WIRE_REDIS_CMD_H

#include "base/view.h"

#define REDIS_NAME_MAX	32

/* Which argument is the key; what the first one is when it is none; whether a second word belongs to the name. */
enum {
	REDIS_KEY_NONE = 0, REDIS_KEY_1 = 1, REDIS_KEY_2 = 2, REDIS_KEY_3 = 3, REDIS_KEY = 3,
	REDIS_SUBCOMMAND = 4, REDIS_CHANNEL = 8, REDIS_WORD = 16,
	REDIS_SUBSCRIBES = 32,	/* as redis_cmd_subscribes() */
	REDIS_SPECIAL = 64,	/* says something of the connection: AUTH, HELLO, CLIENT, PSYNC, SYNC, MONITOR */
};

unsigned redis_cmd_what(struct view name);
/* SUBSCRIBE and its kin, and the confirmations named after them. */
bool redis_cmd_subscribes(struct view name);
/* A name a command can have: letters, and what modules put between them. */
bool redis_cmd_is_name(struct view name);

/* The words of a command as they come; zeroed but for all, how many there will be. */
struct redis_words {
	uint64_t all, count;
	enum { REDIS_ASKS_NOTHING, REDIS_ASKS_AUTH, REDIS_ASKS_HELLO, REDIS_ASKS_MIGRATE, REDIS_ASKS_ACL, REDIS_ASKS_CONFIG } asks;
	uint8_t in;	/* so many words on stands a password */
};
/* Is the next word a password (secret.h)? */
bool redis_cmd_secret(struct redis_words *words, struct view word);

#endif

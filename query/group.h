/*
 * Groups by key, and texts by number: the hash tables of an aggregation, within
 * a budget of memory. One thread.
 */
#ifndef QUERY_GROUP_H
#define QUERY_GROUP_H

#include "base/arena.h"

/* ---- texts: equal texts get equal numbers, from 1 ---- */

struct intern {
	struct arena *arena;
	struct view *texts;	/* [number - 1] */
	size_t count, cap;
	uint32_t *slots;	/* number, 0 = empty */
	size_t slots_count;	/* a power of two */
};

void intern_init(struct intern *intern, struct arena *arena);
void intern_release(struct intern *intern);
/* Copies the text. 0 when memory is out. */
uint32_t intern_add(struct intern *intern, struct view text);

/* ---- groups: equal keys of a fixed number of words get equal numbers, from 0 ---- */

#define GROUP_NONE UINT32_MAX

struct groups {
	size_t words;		/* of a key */
	uint64_t *keys;		/* [group * words] */
	size_t count, cap, limit;
	uint32_t *slots;	/* group + 1, 0 = empty */
	size_t slots_count;
};

void groups_init(struct groups *groups, size_t words, size_t limit);
void groups_release(struct groups *groups);
/* GROUP_NONE when memory or the limit is out. */
uint32_t groups_add(struct groups *groups, const uint64_t *key);

/* ---- sets of 64-bit hashes, one a cell ---- */

#define SEEN_SLOT_BYTES (sizeof(uint64_t) + sizeof(uint32_t))

struct seen {
	uint64_t *hashes;	/* 0 = empty */
	uint32_t *cells;
	size_t count, slots_count, limit;
};

void seen_init(struct seen *seen, size_t limit);
void seen_release(struct seen *seen);
/* 1: new to this cell, 0: was there; E_NO_MEMORY, E_LIMIT. */
int seen_add_to(struct seen *seen, uint64_t hash, uint32_t cell);

/* The same of a single set. */
static inline int seen_add(struct seen *seen, uint64_t hash)
{
	return seen_add_to(seen, hash, 0);
}

#endif

#include "query/group.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

#define SLOTS_MIN 256

/* ---- texts ---- */

void intern_init(struct intern *intern, struct arena *arena)
{
	*intern = (struct intern){ .arena = arena };
}

void intern_release(struct intern *intern)
{
	mem_free(intern->texts);
	mem_free(intern->slots);
	*intern = (struct intern){ 0 };
}

static uint64_t text_hash(struct view text)
{
	return hash_bytes(text.at, text.len, 1);
}

/* The slot of the text, or the empty one where it belongs. */
static uint32_t *text_slot(const struct intern *intern, struct view text)
{
	size_t mask = intern->slots_count - 1, at = text_hash(text) & mask;

	while (intern->slots[at] && !view_eq(intern->texts[intern->slots[at] - 1], text))
		at = (at + 1) & mask;
	return &intern->slots[at];
}

static bool intern_grow(struct intern *intern)
{
	size_t count = intern->slots_count ? 2 * intern->slots_count : SLOTS_MIN;
	uint32_t *slots = mem_array(count, sizeof(*slots));

	if (!slots)
		return false;
	mem_free(intern->slots);
	intern->slots = slots;
	intern->slots_count = count;
	for (size_t i = 0; i < intern->count; i++)
		*text_slot(intern, intern->texts[i]) = (uint32_t)i + 1;
	return true;
}

uint32_t intern_add(struct intern *intern, struct view text)
{
	uint32_t *slot;
	struct view copy;

	if (2 * intern->count >= intern->slots_count && !intern_grow(intern))
		return 0;
	slot = text_slot(intern, text);
	if (*slot)
		return *slot;
	if (mem_grow((void **)&intern->texts, &intern->cap, intern->count, sizeof(*intern->texts)) <
	    0)
		return 0;
	copy = arena_copy(intern->arena, text);
	if (!copy.at)
		return 0;
	intern->texts[intern->count++] = copy;
	*slot = (uint32_t)intern->count;
	return *slot;
}

/* ---- groups ---- */

void groups_init(struct groups *groups, size_t words, size_t limit)
{
	*groups = (struct groups){ .words = words, .limit = limit };
}

void groups_release(struct groups *groups)
{
	mem_free(groups->keys);
	mem_free(groups->slots);
	*groups = (struct groups){ 0 };
}

static uint64_t key_hash(const struct groups *groups, const uint64_t *key)
{
	uint64_t h = 0;

	for (size_t i = 0; i < groups->words; i++)
		h = hash_mix(h, key[i]);
	return h;
}

static bool key_eq(const uint64_t *a, const uint64_t *b, size_t words)
{
	uint64_t differ = 0;

	for (size_t i = 0; i < words; i++)
		differ |= a[i] ^ b[i];
	return differ == 0;
}

static uint32_t *key_slot(const struct groups *groups, const uint64_t *key)
{
	size_t mask = groups->slots_count - 1, at = key_hash(groups, key) & mask;

	while (groups->slots[at] &&
	       !key_eq(groups->keys + (groups->slots[at] - 1) * groups->words, key, groups->words))
		at = (at + 1) & mask;
	return &groups->slots[at];
}

static bool groups_grow(struct groups *groups)
{
	size_t count = groups->slots_count ? 2 * groups->slots_count : SLOTS_MIN;
	uint32_t *slots = mem_array(count, sizeof(*slots));

	if (!slots)
		return false;
	mem_free(groups->slots);
	groups->slots = slots;
	groups->slots_count = count;
	for (size_t i = 0; i < groups->count; i++)
		*key_slot(groups, groups->keys + i * groups->words) = (uint32_t)i + 1;
	return true;
}

uint32_t groups_add(struct groups *groups, const uint64_t *key)
{
	uint32_t *slot;

	if (2 * groups->count >= groups->slots_count && !groups_grow(groups))
		return GROUP_NONE;
	slot = key_slot(groups, key);
	if (*slot)
		return *slot - 1;
	if (groups->count == groups->limit ||
	    mem_grow((void **)&groups->keys, &groups->cap, groups->count,
		     groups->words * sizeof(*key)) < 0)
		return GROUP_NONE;
	memcpy(groups->keys + groups->count * groups->words, key, groups->words * sizeof(*key));
	*slot = (uint32_t)++groups->count;
	return *slot - 1;
}

/* ---- hashes ---- */

void seen_init(struct seen *seen, size_t limit)
{
	*seen = (struct seen){ .limit = limit };
}

void seen_release(struct seen *seen)
{
	mem_free(seen->hashes);
	mem_free(seen->cells);
	*seen = (struct seen){ 0 };
}

/* Where the hash is, or the empty slot where it belongs. */
static size_t seen_slot(const struct seen *seen, uint64_t hash, uint32_t cell)
{
	size_t mask = seen->slots_count - 1, at = hash_mix(hash, cell) & mask;

	while (seen->hashes[at] && (seen->hashes[at] != hash || seen->cells[at] != cell))
		at = (at + 1) & mask;
	return at;
}

static bool seen_grow(struct seen *seen)
{
	struct seen more = { .count = seen->count, .limit = seen->limit,
			     .slots_count = seen->slots_count ? 2 * seen->slots_count : SLOTS_MIN };

	more.hashes = mem_array(more.slots_count, sizeof(*more.hashes));
	more.cells = mem_array(more.slots_count, sizeof(*more.cells));
	if (!more.hashes || !more.cells) {
		seen_release(&more);
		return false;
	}
	for (size_t i = 0; i < seen->slots_count; i++) {
		size_t at;

		if (!seen->hashes[i])
			continue;
		at = seen_slot(&more, seen->hashes[i], seen->cells[i]);
		more.hashes[at] = seen->hashes[i];
		more.cells[at] = seen->cells[i];
	}
	seen_release(seen);
	*seen = more;
	return true;
}

int seen_add_to(struct seen *seen, uint64_t hash, uint32_t cell)
{
	size_t at;

	hash += hash == 0;
	if (2 * seen->count >= seen->slots_count && !seen_grow(seen))
		return E_NO_MEMORY;
	at = seen_slot(seen, hash, cell);
	if (seen->hashes[at])
		return 0;
	if (seen->count == seen->limit)
		return E_LIMIT;
	seen->hashes[at] = hash;
	seen->cells[at] = cell;
	seen->count++;
	return 1;
}

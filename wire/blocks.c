#include "wire/blocks.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

/* Four sizes a doubling, headers included: 128, 160, 192, 224, 256, 320 ... up to 1 GiB. */
#define CLASS_MIN_BYTES 128u
#define CLASS_COUNT 93

struct block {
	_Alignas(16) struct block *next;	/* while it is kept */
	unsigned class;
};

struct block_pool {
	size_t bytes_max;
	size_t used_bytes;	/* out */
	size_t kept_bytes;	/* in the lists below */
	bool keep_none;
	struct block *kept[CLASS_COUNT];
};

static size_t class_bytes(unsigned class)
{
	return (size_t)(4 + class % 4) << (class / 4 + 5);
}

/* The smallest one that holds so many. */
static unsigned class_of(size_t bytes)
{
	unsigned shift;

	if (bytes <= CLASS_MIN_BYTES)
		return 0;
	shift = 61 - (unsigned)__builtin_clzll(bytes - 1);	/* the three highest bits stay */
	return (shift - 5) * 4 + (unsigned)((bytes - 1) >> shift) - 3;
}

struct block_pool *block_pool_new(size_t bytes_max)
{
	struct block_pool *pool = mem_zalloc(sizeof(*pool));

	if (pool)
		pool->bytes_max = bytes_max;
	return pool;
}

static void drop_kept(struct block_pool *pool, size_t bytes)
{
	/* the large ones first: fewest calls for the room wanted */
	for (unsigned class = CLASS_COUNT; class-- > 0 && bytes;) {
		while (pool->kept[class] && bytes) {
			struct block *block = pool->kept[class];
			size_t size = class_bytes(class);

			pool->kept[class] = block->next;
			pool->kept_bytes -= size;
			bytes -= size < bytes ? size : bytes;
			mem_free(block);
		}
	}
}

void block_pool_free(struct block_pool *pool)
{
	if (!pool)
		return;
	assert(pool->used_bytes == 0);
	drop_kept(pool, SIZE_MAX);
	mem_free(pool);
}

void *block_take(struct block_pool *pool, size_t bytes)
{
	struct block *block;
	unsigned class;
	size_t size;

	if (bytes > class_bytes(CLASS_COUNT - 1) - sizeof(*block))
		return NULL;
	bytes += sizeof(*block);
	class = class_of(bytes);
	size = class_bytes(class);
	block = pool->kept[class];
	if (block) {
		pool->kept[class] = block->next;
		pool->kept_bytes -= size;
	} else {
		size_t room = pool->bytes_max - pool->used_bytes;

		if (size > room)
			return NULL;
		if (size > room - pool->kept_bytes)
			drop_kept(pool, size - (room - pool->kept_bytes));
		block = mem_alloc(size);
		if (!block)
			return NULL;
		block->class = class;
	}
	pool->used_bytes += size;
	return block + 1;
}

void block_give(struct block_pool *pool, void *at)
{
	struct block *block;

	if (!at)
		return;
	block = (struct block *)at - 1;
	pool->used_bytes -= class_bytes(block->class);
	if (pool->keep_none) {
		mem_free(block);
		return;
	}
	block->next = pool->kept[block->class];
	pool->kept[block->class] = block;
	pool->kept_bytes += class_bytes(block->class);
}

void block_pool_wind_up(struct block_pool *pool)
{
	pool->keep_none = true;
	drop_kept(pool, SIZE_MAX);
}

size_t block_room(const void *at)
{
	const struct block *block = (const struct block *)at - 1;

	return class_bytes(block->class) - sizeof(*block);
}

size_t block_pool_used(const struct block_pool *pool)
{
	return pool->used_bytes;
}

/* The troubles of TCP connections: made when the first one comes, kept for the next connection afterwards. */
#include "wire/tcp_pool.h"

#include "base/mem.h"

#define SLAB_TROUBLES 64

struct tcp_slab {
	struct tcp_slab *next;
	struct tcp_trouble troubles[SLAB_TROUBLES];
};

struct tcp_pool {
	struct tcp_slab *slabs;
	struct tcp_trouble *free;
	uint64_t refused;
	struct tcp_trouble spare;	/* written to when memory is out, and never read */
};

struct tcp_pool *tcp_pool_new(void)
{
	return mem_zalloc(sizeof(struct tcp_pool));
}

void tcp_pool_free(struct tcp_pool *pool)
{
	while (pool && pool->slabs) {
		struct tcp_slab *slab = pool->slabs;

		pool->slabs = slab->next;
		mem_free(slab);
	}
	mem_free(pool);
}

uint64_t tcp_pool_refused(const struct tcp_pool *pool)
{
	return pool->refused;
}

const struct tcp_trouble *tcp_trouble(const struct tcp_dir *dir)
{
	static const struct tcp_trouble none;

	return dir->trouble ? dir->trouble : &none;
}

struct tcp_trouble *tcp_trouble_make(struct tcp_pool *pool, struct tcp_dir *dir)
{
	struct tcp_trouble *trouble;

	if (!pool->free) {
		struct tcp_slab *slab = mem_alloc(sizeof(*slab));

		if (!slab) {
			pool->refused++;
			memset(&pool->spare, 0, sizeof(pool->spare));
			return &pool->spare;
		}
		slab->next = pool->slabs;
		pool->slabs = slab;
		for (unsigned i = SLAB_TROUBLES; i-- > 0;) {
			slab->troubles[i].next_free = pool->free;
			pool->free = &slab->troubles[i];
		}
	}
	trouble = pool->free;
	pool->free = trouble->next_free;
	memset(trouble, 0, sizeof(*trouble));
	dir->trouble = trouble;
	return trouble;
}

void tcp_conn_release(struct tcp_conn *conn)
{
	for (unsigned d = 0; d < 2; d++) {
		struct tcp_trouble *trouble = conn->dir[d].trouble;

		if (!trouble)
			continue;
		trouble->next_free = conn->pool->free;
		conn->pool->free = trouble;
		conn->dir[d].trouble = NULL;
	}
}

/* Streams and their buffers: what the flows of one thread share, and its budget. */
#include "wire/stream.h"

#include "base/mem.h"
#include "wire/stream_impl.h"

#define BYTES_MAX_DEFAULT	((size_t)128 << 20)
#define FLOW_BYTES_DEFAULT	((size_t)1 << 20)

struct stream_pool *stream_pool_new(const struct stream_pool_opts *opts)
{
	struct stream_pool *pool = mem_zalloc(sizeof(*pool));

	if (!pool)
		return NULL;
	pool->flow_bytes_max = opts && opts->flow_bytes_max ? opts->flow_bytes_max : FLOW_BYTES_DEFAULT;
	pool->dissect_off = opts && opts->dissect_off;
	pool->blocks = block_pool_new(opts && opts->bytes_max ? opts->bytes_max : BYTES_MAX_DEFAULT);
	pool->streams = block_pool_new(SIZE_MAX);	/* one a flow, which are bounded */
	if (!pool->blocks || !pool->streams) {
		stream_pool_free(pool);
		return NULL;
	}
	return pool;
}

void stream_pool_free(struct stream_pool *pool)
{
	if (!pool)
		return;
	block_pool_free(pool->streams);
	block_pool_free(pool->blocks);
	mem_free(pool);
}

void stream_pool_wind_up(struct stream_pool *pool)
{
	block_pool_wind_up(pool->streams);
	block_pool_wind_up(pool->blocks);
}

void stream_pool_stats(const struct stream_pool *pool, struct stream_stats *ret_stats)
{
	*ret_stats = pool->stats;
	ret_stats->held_bytes = block_pool_used(pool->blocks);
}

void stream_budget_hit(struct stream *stream)
{
	stream->pool->stats.budget_hits++;
	stream->counts.budget_hits++;
}

void *stream_buf_take(struct stream *stream, size_t bytes)
{
	void *buf = block_take(stream->pool->blocks, bytes);

	if (!buf)
		stream_budget_hit(stream);
	return buf;
}

void stream_buf_give(struct stream_pool *pool, void *buf)
{
	block_give(pool->blocks, buf);
}

struct stream *stream_take(struct stream_pool *pool)
{
	struct stream *stream = block_take(pool->streams, sizeof(*stream));

	if (!stream)
		return NULL;
	memset(stream, 0, sizeof(*stream));
	stream->pool = pool;
	return stream;
}

void stream_give(struct stream *stream)
{
	block_give(stream->pool->streams, stream);
}

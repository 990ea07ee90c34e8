/* Bytes in order that a dissector has not consumed, and when each of them arrived. */
#include <assert.h>

#include "wire/stream_impl.h"

#define HOLD_BYTES_FIRST	1024

uint64_t chunk_time(const struct chunk *chunk, uint64_t off)
{
	const struct chunk_times *times = chunk->times;

	if (off < chunk->off)
		return chunk->before_ns;
	if (!times)
		return chunk->time_ns;
	for (unsigned i = times->count; i-- > 1;)
		if (times->mark[i].off <= off)
			return times->mark[i].time_ns;
	return times->count ? times->mark[0].time_ns : chunk->time_ns;
}

static void mark_time(struct chunk_times *times, uint64_t off, uint64_t time_ns)
{
	if (times->count && times->mark[times->count - 1].time_ns == time_ns)
		return;
	if (times->count == MARKS_MAX) {
		/* the bytes in the middle of a message take the time of those before them */
		unsigned gone = MARKS_MAX / 2;

		memmove(&times->mark[gone], &times->mark[gone + 1],
			(MARKS_MAX - 1 - gone) * sizeof(times->mark[0]));
		times->count--;
	}
	times->mark[times->count].off = off;
	times->mark[times->count].time_ns = time_ns;
	times->count++;
}

void hold_drop(struct stream *stream, struct stream_dir *dir)
{
	stream_buf_give(stream->pool, dir->hold);
	dir->hold = NULL;
}

struct view hold_view(const struct stream_dir *dir)
{
	return dir->hold ? view_make(dir->hold->bytes + dir->hold->start, dir->hold->len) : view_make("", 0);
}

void hold_consume(struct stream *stream, struct stream_dir *dir, size_t bytes, uint64_t off)
{
	struct hold *hold = dir->hold;
	struct chunk_times *times = &hold->times;
	unsigned gone = 0;

	assert(bytes <= hold->len);
	hold->start += bytes;
	hold->len -= bytes;
	if (!hold->len) {
		hold_drop(stream, dir);
		return;
	}
	while (gone + 1 < times->count && times->mark[gone + 1].off <= off)
		gone++;
	times->count -= gone;
	memmove(&times->mark[0], &times->mark[gone], times->count * sizeof(times->mark[0]));
}

bool hold_put(struct stream *stream, struct stream_dir *dir, uint64_t off, struct view bytes,
		     uint64_t time_ns)
{
	struct hold *hold = dir->hold;
	size_t len = hold ? hold->len : 0, room = hold ? block_room(hold) - sizeof(*hold) : 0;

	if (!hold || room - len < bytes.len) {
		size_t want = len + bytes.len > HOLD_BYTES_FIRST ? len + bytes.len : HOLD_BYTES_FIRST;
		struct hold *larger;

		if (hold && want < room * 2)
			want = room * 2;	/* a message that comes byte by byte is not copied as often */
		larger = stream_buf_take(stream, sizeof(*hold) + want);
		if (!larger)
			return false;
		larger->start = 0;
		larger->len = len;
		larger->times.count = 0;
		if (hold) {
			larger->times = hold->times;
			memcpy(larger->bytes, hold->bytes + hold->start, len);
			hold_drop(stream, dir);
		}
		dir->hold = hold = larger;
	} else if (room - len - hold->start < bytes.len) {
		memmove(hold->bytes, hold->bytes + hold->start, len);
		hold->start = 0;
	}
	memcpy(hold->bytes + hold->start + len, bytes.at, bytes.len);
	hold->len += bytes.len;
	mark_time(&hold->times, off, time_ns);
	return true;
}

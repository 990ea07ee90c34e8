/*
 * A partition holds one hour of time, and time in a capture may jump: a frame can
 * lie in an earlier hour than the one before it. So the streams of several
 * partitions are open side by side, as many as memory allows, and the lowest
 * number of a source comes first. At the least two are: around a full hour the
 * clock steps back by little.
 */
#include "query/frames.h"

#include "base/clock.h"
#include "base/mem.h"

#define LANES_MIN 2
#define LANES_MAX 256
#define LANES_BYTES_MAX                                                                            \
	(256ull << 20) /* plain bytes of the open partitions, of which a window each is in memory */
#define LANE_BYTES_MAX (64ull << 20)
#define RENEW_FRAMES   4096 /* frames between looks at the clock */
#define RENEW_NS                                                                                   \
	(2 * NS_PER_SEC) /* hot partitions cannot reuse pages while a reader holds an old state */

struct lane {
	struct store_packets *packets;
	struct packet_rec rec; /* the next frame */
	uint64_t source, bytes;
};

struct frames {
	struct store_view *view;
	uint64_t from_ns, to_ns;
	const uint64_t *flow_ids;
	size_t flow_count;
	size_t next_part;
	struct lane lanes[LANES_MAX];
	size_t count;
	uint64_t bytes;	    /* of the lanes */
	struct lane *spent; /* gave the last frame: goes on at the next call */
	uint64_t damaged, given, renewed_ns;
	bool expired;
};

int frames_open(struct store *store, uint64_t from_ns, uint64_t to_ns, const uint64_t *flow_ids,
		size_t flow_count, struct frames **ret_frames, struct err *err)
{
	struct frames *frames = mem_zalloc(sizeof(*frames));
	int rc;

	if (!frames)
		return err_set(err, E_NO_MEMORY, "out of memory");
	frames->from_ns = from_ns;
	frames->to_ns = to_ns;
	frames->flow_ids = flow_ids;
	frames->flow_count = flow_count;
	frames->renewed_ns = clock_mono_ns();
	rc = store_view_open(store, from_ns, to_ns, &frames->view, err);
	if (rc < 0) {
		mem_free(frames);
		return rc;
	}
	*ret_frames = frames;
	return 0;
}

void frames_crew(struct frames *frames, struct crew *crew)
{
	store_view_crew(frames->view, crew);
}

void frames_close(struct frames *frames)
{
	if (!frames)
		return;
	for (size_t i = 0; i < frames->count; i++)
		store_packets_close(frames->lanes[i].packets);
	store_view_close(frames->view);
	mem_free(frames);
}

bool frames_expired(const struct frames *frames)
{
	return frames->expired;
}

uint64_t frames_damaged(const struct frames *frames)
{
	return frames->damaged;
}

size_t frames_parts(const struct frames *frames)
{
	return store_view_parts(frames->view);
}

static void lane_drop(struct frames *frames, struct lane *lane)
{
	store_packets_close(lane->packets);
	frames->bytes -= lane->bytes;
	*lane = frames->lanes[--frames->count];
}

/* The lane's next frame; drops the lane at its end. */
static int lane_next(struct frames *frames, struct lane *lane, struct err *err)
{
	for (;;) {
		struct err why = { 0 };
		int rc = store_packets_next(lane->packets, &lane->rec, &lane->source, &why);

		if (rc == E_CORRUPT) {
			frames->damaged++;
			continue;
		}
		if (rc <= 0)
			lane_drop(frames, lane);
		return rc < 0 ? err_set(err, rc, "%s", why.text) : rc;
	}
}

static bool room(const struct frames *frames, uint64_t bytes)
{
	return frames->count < LANES_MIN ||
	       (frames->count < LANES_MAX && frames->bytes + bytes <= LANES_BYTES_MAX);
}

static int lanes_open(struct frames *frames, struct err *err)
{
	while (frames->next_part < store_view_parts(frames->view)) {
		const struct store_part_info *info =
			store_view_part(frames->view, frames->next_part);
		uint64_t bytes = info->packet_plain_bytes < LANE_BYTES_MAX
					 ? info->packet_plain_bytes
					 : LANE_BYTES_MAX;
		struct lane *lane = &frames->lanes[frames->count];
		struct err why = { 0 };
		int rc;

		if (!info->has_packets) {
			frames->expired |= info->packets_expired && info->end_max >= frames->from_ns &&
					   info->start_min < frames->to_ns;
			frames->next_part++;
			continue;
		}
		if (!room(frames, bytes))
			break;
		*lane = (struct lane){ .bytes = bytes };
		rc = store_packets_open(frames->view, frames->next_part++, frames->from_ns,
					frames->to_ns, frames->flow_ids, frames->flow_count,
					&lane->packets, &why);
		if (rc == E_EXPIRED) { /* retention was faster */
			frames->expired = true;
			continue;
		}
		if (rc == E_CORRUPT) { /* its table of blocks; other hours are whole */
			frames->damaged++;
			continue;
		}
		if (rc < 0)
			return err_set(err, rc, "%s", why.text);
		frames->expired |= store_packets_expired(lane->packets) || info->packets_thinned;
		frames->count++;
		frames->bytes += bytes;
		rc = lane_next(frames, lane, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int frames_next(struct frames *frames, struct packet_rec *ret_rec, uint64_t *ret_source,
		struct err *err)
{
	struct lane *best;
	int rc = 0;

	if (++frames->given % RENEW_FRAMES == 0 &&
	    clock_mono_ns() - frames->renewed_ns > RENEW_NS) {
		rc = store_view_renew(frames->view, err);
		if (rc < 0)
			return rc;
		frames->renewed_ns = clock_mono_ns();
	}
	if (frames->spent) {
		best = frames->spent;
		frames->spent = NULL;
		rc = lane_next(frames, best, err);
	}
	if (rc >= 0)
		rc = lanes_open(frames, err);
	if (rc < 0)
		return rc;
	if (frames->count == 0)
		return 0;
	best = &frames->lanes[0];
	for (size_t i = 1; i < frames->count; i++) {
		struct lane *lane = &frames->lanes[i];

		if (lane->source == best->source ? lane->rec.number < best->rec.number
						 : lane->rec.time_ns < best->rec.time_ns)
			best = lane;
	}
	frames->spent = best;
	*ret_rec = best->rec;
	*ret_source = best->source;
	return 1;
}

#include "ingest/live.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ingest/merge.h"
#include "ingest/probe.h"
#include "ingest/walltime.h"

#define LINKTYPE_RAW 101
#define RING_BYTES_DEFAULT (64u << 20)
#define PROBES_MAX 32

/*
 * Records this young wait for the next drain: by then every CPU has finished
 * what it began earlier, so that rings can be merged by time.
 */
#define HOLD_NS (2 * NS_PER_MS)
#define TICK_NS NS_PER_SEC
/* So much of the rings is given back at a time: of super-packets a few hundred are all that a ring holds. */
#define ROUND_BYTES (2u << 20)

struct probe_state {
	const struct probe_ops *ops;
	bool attached;
	uint64_t missed;	/* see probe_set_missed, at the last look */
	char why[sizeof(((struct err *)0)->text)];
};

struct live {
	struct probe_set *set;
	struct merge merge;
	struct walltime wall;
	struct probe_state probes[PROBES_MAX];
	unsigned probe_count;
	uint64_t tick_ns;	/* monotonic instant of the next look at the counters */

	uint64_t counters[RING_COUNTER_COUNT];
	uint64_t orphans_told, orphan_bytes_told;
	uint64_t missed, missed_told, events_told;	/* programs passed over; of these and of RING_COUNT_CONTROL_FULL */
	uint64_t looked_ns;	/* wall clock of the last look */
	uint64_t told_skipped, told_skipped_bytes;
	unsigned level;
	bool more;		/* the last round ended before what was there did */
	uint64_t delivered, delivered_bytes, told_lost, told_lost_bytes, malformed;
};

/* ---- records out ---- */

static struct ip ip_of(const __u8 bytes[16])
{
	struct ip ip;

	memcpy(ip.b, bytes, sizeof(ip.b));
	return ip;
}

static uint32_t cut_u32(uint64_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static bool deliver_packet(struct live *live, const struct source_sink *sink, struct view record)
{
	struct ring_packet head;
	struct ring_more more;
	struct frame frame = { .link = LINKTYPE_RAW };
	size_t at = sizeof(head);

	memcpy(&head, record.at, sizeof(head));
	if (head.flags & RING_HAS_MORE) {
		if (record.len < at + sizeof(more))
			return false;
		memcpy(&more, record.at + at, sizeof(more));
		at += sizeof(more);
		frame.has_sk_tuple = head.flags & RING_HAS_SK;
		frame.sk_local = ip_of(more.tuple.local);
		frame.sk_remote = ip_of(more.tuple.remote);
		frame.sk_lport = more.tuple.lport;
		frame.sk_rport = more.tuple.rport;
		frame.skipped_before = more.skipped;
		frame.skipped_before_bytes = more.skipped_bytes;
		live->told_skipped += more.skipped;
		live->told_skipped_bytes += more.skipped_bytes;
	}
	if (head.cap > record.len - at || head.cap > head.len)
		return false;
	frame.time_ns = walltime_next(&live->wall, head.time_ns);
	frame.bytes = view_sub(record, at, head.cap);
	frame.orig_len = head.len;
	frame.segments = head.segments ? head.segments : 1;
	frame.at = head.flags & RING_EGRESS ? FRAME_EGRESS : FRAME_INGRESS;
	frame.second = head.flags & RING_SECOND;
	frame.cookie = head.cookie;
	frame.netns = head.netns;
	frame.lost_before = head.lost;
	frame.lost_before_bytes = cut_u32(head.lost_bytes);
	live->delivered++;
	live->delivered_bytes += head.len;
	live->told_lost += head.lost;
	live->told_lost_bytes += head.lost_bytes;
	sink->frame(sink->arg, &frame);
	return true;
}

static void tell_lost(struct live *live, const struct source_sink *sink, uint64_t time_ns, uint64_t cookie,
		      uint64_t lost, uint64_t lost_bytes)
{
	struct sock_event event = {
		.time_ns = time_ns, .kind = SOURCE_LOST, .cookie = cookie,
		.reason = SOURCE_LOST_RING_FULL, .value = lost, .value2 = lost_bytes,
	};

	live->told_lost += lost;
	live->told_lost_bytes += lost_bytes;
	if (sink->sock)
		sink->sock(sink->arg, &event);
}

static void owner_from(const struct live *live, const struct ring_owner *from, struct sock_owner *ret_owner)
{
	ret_owner->pid = from->pid;
	ret_owner->uid = from->uid;
	ret_owner->pid_start_ns = from->pid ? walltime_boot(&live->wall, from->start_boot_ns) : 0;
	ret_owner->cgroup = from->cgroup;
	ret_owner->netns = from->netns;
	_Static_assert(sizeof(ret_owner->comm) == sizeof(from->comm), "comm");
	memcpy(ret_owner->comm, from->comm, sizeof(from->comm));
	ret_owner->comm[sizeof(ret_owner->comm) - 1] = '\0';
}

/* False when kind is none of a socket's or process's. */
static bool kind_from(uint8_t kind, enum sock_event_kind *ret_kind)
{
	switch (kind) {
	case RING_SOCK_OPEN: *ret_kind = SOCK_OPEN; return true;
	case RING_SOCK_OWNER: *ret_kind = SOCK_OWNER; return true;
	case RING_CONNECT_FAILED: *ret_kind = SOCK_CONNECT_FAILED; return true;
	case RING_SOCK_CLOSE: *ret_kind = SOCK_CLOSE; return true;
	case RING_RETRANSMIT: *ret_kind = SOCK_RETRANSMIT; return true;
	case RING_RESET_SENT: *ret_kind = SOCK_RESET_SENT; return true;
	case RING_RESET_RECEIVED: *ret_kind = SOCK_RESET_RECEIVED; return true;
	case RING_PROC_EXEC: *ret_kind = PROC_EXEC; return true;
	case RING_PROC_EXIT: *ret_kind = PROC_EXIT; return true;
	default: return false;
	}
}

_Static_assert((int)RING_RETRANSMIT_FAST == (int)RETRANSMIT_FAST &&
	       (int)RING_RETRANSMIT_TIMEOUT == (int)RETRANSMIT_TIMEOUT &&
	       (int)RING_RETRANSMIT_TLP == (int)RETRANSMIT_TLP &&
	       (int)RING_RETRANSMIT_SYN == (int)RETRANSMIT_SYN, "classes");

static bool deliver_sock(struct live *live, const struct source_sink *sink, struct view record)
{
	struct sock_event event = { 0 };
	struct ring_sock from;

	if (record.len < sizeof(from))
		return false;
	memcpy(&from, record.at, sizeof(from));
	event.time_ns = walltime_next(&live->wall, from.time_ns);
	if (from.lost)
		tell_lost(live, sink, event.time_ns, from.cookie, from.lost, from.lost_bytes);
	if (!kind_from(from.kind, &event.kind))
		return false;
	event.cookie = from.cookie;
	event.proto = from.proto;
	event.accepted = from.flags & RING_ACCEPTED;
	event.existing = from.flags & RING_EXISTING;
	event.has_tuple = from.flags & RING_HAS_TUPLE;
	event.local = ip_of(from.tuple.local);
	event.remote = ip_of(from.tuple.remote);
	event.lport = from.tuple.lport;
	event.rport = from.tuple.rport;
	owner_from(live, &from.owner, &event.owner);
	event.reason = from.reason;
	event.value = from.value;
	event.value2 = from.value2;
	event.has_tcp = from.flags & RING_HAS_TCP;
	event.bytes_acked = from.bytes_acked;
	event.bytes_received = from.bytes_received;
	event.total_retrans = from.total_retrans;
	event.srtt_us = from.srtt_us;
	event.mdev_us = from.mdev_us;
	event.min_rtt_us = from.min_rtt_us;
	for (unsigned dir = 0; dir < 2; dir++) {
		event.skipped[dir] = from.skipped[dir];
		event.skipped_bytes[dir] = from.skipped_bytes[dir];
		live->told_skipped += from.skipped[dir];
		live->told_skipped_bytes += from.skipped_bytes[dir];
	}
	if (sink->sock)
		sink->sock(sink->arg, &event);
	return true;
}

/* Records come from our own kernel side; one that does not add up is counted and dropped. */
static bool deliver(struct live *live, const struct source_sink *sink, struct view record)
{
	struct ring_head head;
	bool is_frame, good;

	memcpy(&head, record.at, sizeof(head));
	is_frame = head.kind == RING_PACKET;
	if (is_frame)
		good = record.len >= sizeof(struct ring_packet) && deliver_packet(live, sink, record);
	else
		good = deliver_sock(live, sink, record);
	if (!good)
		live->malformed++;
	return is_frame && good;
}

/* ---- draining ---- */

static void look(struct live *live)
{
	probe_set_counters(live->set, live->counters);
	live->missed = 0;
	for (unsigned i = 0; i < live->probe_count; i++) {
		live->probes[i].missed = probe_set_missed(live->set, live->probes[i].ops);
		live->missed += live->probes[i].missed;
	}
}

/* Facts about sockets and processes that did not come, some time since the last look. */
static void tell_unheard(struct live *live, const struct source_sink *sink, enum source_lost reason, uint64_t total,
			 uint64_t *told, uint64_t now_ns)
{
	struct sock_event event = { .kind = SOURCE_LOST, .time_ns = now_ns, .reason = reason, .value = total - *told };

	if (total <= *told)
		return;
	*told = total;
	if (live->looked_ns && live->looked_ns < now_ns)
		event.value2 = now_ns - live->looked_ns;
	if (sink->sock)
		sink->sock(sink->arg, &event);
}

/* What the kernel side lost without a socket to tell it. */
static void tick(struct live *live, const struct source_sink *sink, uint64_t mono_ns)
{
	uint64_t last_ns = live->wall.last_ns ? live->wall.last_ns : mono_ns;
	uint64_t lost, bytes, now_ns = mono_ns + live->wall.offset_ns;

	look(live);
	lost = live->counters[RING_COUNT_ORPHAN_LOST] - live->orphans_told;
	bytes = live->counters[RING_COUNT_ORPHAN_LOST_BYTES] - live->orphan_bytes_told;
	live->tick_ns = mono_ns + TICK_NS;
	if (lost) {
		tell_lost(live, sink, walltime_next(&live->wall, last_ns), 0, lost, bytes);
		live->orphans_told += lost;
		live->orphan_bytes_told += bytes;
	}
	tell_unheard(live, sink, SOURCE_LOST_EVENTS, live->counters[RING_COUNT_CONTROL_FULL], &live->events_told, now_ns);
	tell_unheard(live, sink, SOURCE_LOST_PASSED_OVER, live->missed, &live->missed_told, now_ns);
	live->looked_ns = now_ns;
}

int live_drain(struct live *live, const struct source_sink *sink, size_t frames_max, struct err *err)
{
	uint64_t mono_ns = clock_mono_ns();
	struct view record;
	size_t frames = 0, bytes = 0;

	(void)err;
	if (frames_max > INT32_MAX)
		frames_max = INT32_MAX;
	walltime_update(&live->wall, mono_ns);
	merge_begin(&live->merge, mono_ns - HOLD_NS);
	live->more = true;
	while (frames < frames_max && bytes < ROUND_BYTES) {
		if (merge_next(&live->merge, &record) == 0) {
			live->more = false;
			break;
		}
		frames += deliver(live, sink, record);
		bytes += record.len;
	}
	merge_end(&live->merge);
	/* A ring of so many records that not even their times were all looked at. */
	live->more = live->more || live->merge.until_ns < mono_ns - HOLD_NS;
	if (mono_ns >= live->tick_ns)
		tick(live, sink, mono_ns);
	return (int)frames;
}

bool live_more(const struct live *live)
{
	return live->more;
}

int live_level(struct live *live, unsigned level, struct err *err)
{
	int rc = probe_set_control(live->set, RING_CONTROL_LEVEL, level, err);

	if (rc >= 0)
		live->level = level;
	return rc;
}

void live_end(struct live *live, const struct source_sink *sink)
{
	struct sock_event event = { .kind = SOURCE_LOST, .reason = SOURCE_LOST_SKIPPED };

	tick(live, sink, clock_mono_ns());
	event.time_ns = live->wall.last_ns;
	event.value = live->counters[RING_COUNT_SKIPPED] - live->told_skipped;
	event.value2 = live->counters[RING_COUNT_SKIPPED_BYTES] - live->told_skipped_bytes;
	if (event.value && sink->sock)
		sink->sock(sink->arg, &event);
}

unsigned live_fill_permille(struct live *live)
{
	unsigned fullest = 0;

	for (unsigned i = 0; i < probe_set_rings(live->set); i++) {
		struct ring *ring = probe_set_ring(live->set, i);
		unsigned fill = (unsigned)(ring_used(ring) * 1000 / ring->size_bytes);

		if (fill > fullest && !ring->spills)
			fullest = fill;
	}
	return fullest > 1000 ? 1000 : fullest;
}

/* ---- life ---- */

static int add_probes(struct live *live, struct err *err)
{
	for (int phase = 0; phase < PROBE_PHASES; phase++) {
		for (size_t i = 0; probe_all[i]; i++) {
			struct probe_state *state = &live->probes[live->probe_count];
			struct err why = { 0 };
			int rc;

			if ((int)probe_all[i]->phase != phase)
				continue;
			assert(live->probe_count < PROBES_MAX);
			state->ops = probe_all[i];
			rc = probe_set_add(live->set, state->ops, &why);
			state->attached = rc >= 0;
			memcpy(state->why, why.text, sizeof(state->why));
			live->probe_count++;
			/* The census excludes us by our number in the initial namespace; without it hope for the same. */
			if (rc < 0 && phase == PROBE_CENSUS)
				(void)live_exclude(live, (uint32_t)getpid(), NULL);
			if (rc < 0 && phase == PROBE_PACKETS)
				return err_set(err, rc, "cannot capture: %s", why.text);
		}
	}
	return 0;
}

static bool is_power_of_two(size_t value)
{
	return value && (value & (value - 1)) == 0;
}

int live_open(const struct live_opts *opts, struct live **ret_live, struct err *err)
{
	struct probe_settings settings = {
		.snaplen = opts->snaplen && opts->snaplen < RING_SNAPLEN_MAX ? opts->snaplen : RING_SNAPLEN_MAX,
		.ring_bytes = opts->ring_bytes ? opts->ring_bytes : RING_BYTES_DEFAULT,
		.second = opts->second,
		.cgroup = opts->cgroup,
	};
	struct live *live = NULL;
	int rc;

	if (!is_power_of_two(settings.ring_bytes) || settings.ring_bytes < 65536 ||
	    settings.ring_bytes > (1u << 30))
		return err_set(err, E_RANGE, "the packet ring of %zu bytes: a power of two from 65536 to 1073741824",
			       settings.ring_bytes);
	live = mem_zalloc(sizeof(*live));
	if (!live)
		return err_set(err, E_NO_MEMORY, "no memory for live capture");
	rc = probe_set_open(&settings, &live->set, err);
	if (rc < 0)
		goto out;
	for (unsigned i = 0; rc >= 0 && i < probe_set_rings(live->set); i++)
		rc = merge_add(&live->merge, probe_set_ring(live->set, i));
	if (rc < 0) {
		(void)err_set(err, rc, "no memory for live capture");
		goto out;
	}
	walltime_init(&live->wall, clock_mono_ns());
	for (size_t i = 0; rc >= 0 && i < opts->exclude_count; i++)
		rc = live_exclude(live, opts->exclude_pids[i], err);
	if (rc >= 0)
		rc = add_probes(live, err);
	if (rc < 0)
		goto out;
	*ret_live = live;
	live = NULL;
out:
	live_close(live);
	return rc;
}

void live_close(struct live *live)
{
	if (!live)
		return;
	merge_release(&live->merge);
	probe_set_close(live->set);
	mem_free(live);
}

int live_exclude(struct live *live, uint32_t pid, struct err *err)
{
	return probe_set_exclude(live->set, pid, err);
}

/* ---- status ---- */

static void status_probes(struct live *live, struct json *json)
{
	json_key(json, "probes");
	json_array(json);
	for (unsigned i = 0; i < live->probe_count; i++) {
		const struct probe_state *state = &live->probes[i];

		json_object(json);
		json_kcstr(json, "name", state->ops->name);
		json_kcstr(json, "state", state->attached ? "attached" : "failed");
		if (!state->attached) {
			json_kcstr(json, "why", state->why);
			json_kcstr(json, "note", state->ops->note);
		}
		json_ku64(json, "missed", state->missed);
		json_key(json, "columns");
		json_array(json);
		for (size_t c = 0; !state->attached && state->ops->columns[c]; c++)
			json_cstr(json, state->ops->columns[c]);
		json_array_end(json);
		json_object_end(json);
	}
	json_array_end(json);
}

void live_status(struct live *live, struct json *json)
{
	uint64_t *counters = live->counters;

	look(live);
	status_probes(live, json);
	json_ku64(json, "seen", counters[RING_COUNT_SEEN]);
	json_ku64(json, "seen_bytes", counters[RING_COUNT_SEEN_BYTES]);
	json_ku64(json, "excluded", counters[RING_COUNT_EXCLUDED]);
	json_ku64(json, "socketless", counters[RING_COUNT_SOCKETLESS]);
	json_ku64(json, "second", counters[RING_COUNT_SECOND]);
	json_ku64(json, "level", live->level);
	json_ku64(json, "thinned", counters[RING_COUNT_THINNED]);
	json_ku64(json, "skipped", counters[RING_COUNT_SKIPPED]);
	json_ku64(json, "skipped_bytes", counters[RING_COUNT_SKIPPED_BYTES]);
	/* of these, those that a frame or a socket's end has told by now */
	json_ku64(json, "skipped_told", live->told_skipped);
	json_ku64(json, "no_storage", counters[RING_COUNT_NO_STORAGE]);
	json_ku64(json, "delivered", live->delivered);
	json_ku64(json, "delivered_bytes", live->delivered_bytes);
	json_key(json, "lost");
	json_object(json);
	json_ku64(json, "ring_full", counters[RING_COUNT_RING_FULL]);
	json_ku64(json, "copy_failed", counters[RING_COUNT_COPY_FAILED]);
	json_object_end(json);
	json_ku64(json, "lost_bytes", counters[RING_COUNT_RING_FULL_BYTES] + counters[RING_COUNT_COPY_FAILED_BYTES]);
	/* of the lost ones, those that a frame or event has told by now */
	json_ku64(json, "lost_told", live->told_lost);
	json_ku64(json, "lost_told_bytes", live->told_lost_bytes);
	json_ku64(json, "events_lost", counters[RING_COUNT_CONTROL_FULL]);
	json_ku64(json, "late", live->wall.late);
	json_ku64(json, "malformed", live->malformed + live->merge.malformed);
	json_ku64(json, "ring_fill_permille", live_fill_permille(live));
}

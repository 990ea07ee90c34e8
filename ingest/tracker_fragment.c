/*
 * Frames with a piece of a datagram. Each is kept, and counted to the datagram's flow,
 * which the first fragment names: a frame that comes before it waits for it. What is in
 * them is fed once, when the datagram is whole or will never be.
 */
#include "ingest/flow.h"

#include "base/mem.h"

/* A frame that waits; its bytes stand behind it. */
struct waiting {
	struct frame frame;
	uint64_t number;
};

static struct packet decode(const struct frame *frame)
{
	struct packet packet = { .time_ns = frame->time_ns, .frame = frame->bytes, .orig_len = frame->orig_len,
				 .link = frame->link, .segments = frame->segments ? frame->segments : 1 };

	(void)decode_frame(&packet);
	return packet;
}

/* Count it to the flow of owner, and keep it. */
static int settle(struct tracker *tracker, const struct frame *frame, const struct packet *packet,
		  const struct packet *owner, uint64_t number, struct flow **ret_flow, unsigned *ret_dir)
{
	*ret_flow = tracker_flow_of(tracker, frame, owner, ret_dir);
	if (*ret_flow) {
		struct flow_extra *extra = flow_extra_make(*ret_flow);

		flow_count(*ret_flow, *ret_dir, frame, packet);
		if (extra) {
			extra->fragmented = true;
			extra->fragments[*ret_dir]++;
		}
	}
	return tracker_keep_frame(tracker, frame, number, packet->segments, *ret_flow, *ret_dir);
}

static void waited(void *arg, const struct packet *head, const void *note)
{
	struct tracker *tracker = arg;
	struct waiting waiting;
	struct packet packet;
	struct flow *flow;
	unsigned dir = 0;

	memcpy(&waiting, note, sizeof(waiting));
	waiting.frame.bytes.at = (const uint8_t *)note + sizeof(waiting);
	packet = decode(&waiting.frame);
	/* Nobody will ever say whose it was: the addresses it has must do. */
	(void)settle(tracker, &waiting.frame, &packet, head ? head : &packet, waiting.number, &flow, &dir);
	if (flow && !head)
		flow_feed(flow, dir, &packet);
}

/* Once a report of the flow: each of a thousand overlaps says the same. */
static void tell(struct flow *flow, uint64_t time_ns, const char *reason, uint32_t count)
{
	struct event_row *row;

	if (count > 1)
		return;
	row = tracker_event_row(flow->tracker, EVENT_fragments, time_ns);
	if (!row)
		return;
	ROW_SET(EVENT_ROW, row, reason, batch_text(flow->tracker->batch, view_str(reason)));
	tracker_event_flow(row, flow);
}

static void broken(void *arg, enum fragment_end why, unsigned pieces, const struct packet *head,
		   const struct packet *prefix)
{
	struct tracker *tracker = arg;
	struct frame at_wire = { .at = FRAME_WIRE };
	struct flow_extra *extra;
	struct flow *flow;
	unsigned dir;

	tracker_count_undecoded(tracker, DECODE_fragment, head ? pieces - 1 : pieces);
	flow = head ? tracker_flow_known(tracker, &at_wire, head, &dir) : NULL;
	if (!flow)
		return;
	extra = flow_extra_make(flow);
	if (extra) {
		extra->broken_datagrams++;
		if (why == FRAGMENT_BAD)
			tell(flow, tracker->clock_ns, "contradiction", extra->broken_datagrams);
	}
	/* What a dissector can make of the beginning it may have: the rest is told to be missing. */
	if (prefix && prefix->has_ports)
		flow_feed(flow, dir, prefix);
}

int tracker_fragments_new(struct tracker *tracker)
{
	struct fragments_opts opts = { .sink = { .waited = waited, .broken = broken, .arg = tracker } };

	tracker->fragments = fragments_new(&opts);
	return tracker->fragments ? 0 : E_NO_MEMORY;
}

/* Keep the frame until its datagram's first fragment comes. */
static int wait(struct tracker *tracker, const struct frame *frame, uint64_t number)
{
	struct waiting waiting = { .frame = *frame, .number = number };
	uint8_t *note = mem_alloc(sizeof(waiting) + frame->bytes.len);
	int rc;

	if (!note)
		return E_NO_MEMORY;
	memcpy(note, &waiting, sizeof(waiting));
	memcpy(note + sizeof(waiting), frame->bytes.at, frame->bytes.len);
	rc = fragments_wait(tracker->fragments, note, sizeof(waiting) + frame->bytes.len);
	mem_free(note);
	return rc;
}

int tracker_fragment(struct tracker *tracker, const struct frame *frame, const struct packet *packet)
{
	uint64_t number = tracker->next_number++;
	struct fragment_seen seen;
	struct flow *flow;
	unsigned dir = 0;
	int rc;

	if (tracker->open_pending)
		tracker_open_event(tracker, NULL);
	if (frame->lost_before)
		tracker_lost(tracker, frame->time_ns, frame->lost_before, frame->lost_before_bytes, "ring_full");
	rc = fragments_add(tracker->fragments, packet, &seen);
	if (rc == 0 && !seen.head && wait(tracker, frame, number) == 0)
		return 0;
	/* No room to put it together: it stands for itself. */
	if (rc < 0)
		tracker_count_undecoded(tracker, DECODE_fragment, 1);
	rc = settle(tracker, frame, packet, seen.head ? seen.head : packet, number, &flow, &dir);
	if (!flow)
		return rc;
	if (seen.overlap && flow_extra_make(flow))
		tell(flow, frame->time_ns, "overlap", ++flow->extra->fragment_overlaps);
	if (seen.whole) {
		/* Of a tunnel whose inner headers were not all in the first fragment the flow is known only now. */
		struct flow *inner = tracker_flow_of(tracker, frame, seen.whole, &dir);

		if (inner)
			flow_feed(inner, dir, seen.whole);
	}
	return rc;
}

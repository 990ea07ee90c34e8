/*
 * SCTP: pieces of user messages into their order, and messages to the dissector.
 *
 * Each direction goes in the order of its TSNs, which is that of its streams' sequence
 * numbers too; what comes early is held. A hole is given up when its receiver has
 * acknowledged it (the capture lost it, not the network) and it does not fill for 200 ms
 * or 64 pieces; when the sender says that it will not fill (FORWARD TSN); or when a
 * budget is full. Messages in progress that the hole may be part of are lost with it.
 */
#include "base/mem.h"
#include "wire/sctp.h"
#include "wire/stream_impl.h"

#define HOLE_NS		200000000u
#define HOLE_PIECES	64	/* behind an acknowledged hole */
#define PIECES_MAX	1024	/* held in a direction */
#define MESSAGE_MAX	((size_t)256 << 10)
#define PARTIALS	4	/* messages in progress at once: I-DATA only */
#define WINDOW		((uint32_t)1 << 16)	/* a TSN further ahead is of another association, or made up */
#define WILD_MAX	8	/* so many in a row are believed */

/* A piece that waits for a hole before it. */
struct piece {
	struct piece *next;
	struct sctp_data data;	/* its bytes stand below */
	uint64_t time_ns;
	uint8_t bytes[];
};

/* A message of which the end has not come. */
struct partial {
	struct sctp_data last;	/* piece, without its bytes */
	uint32_t tsn, ppid;	/* of the first piece */
	uint64_t first_ns;
	size_t len, last_off;	/* bytes so far; where the last piece's begin */
	uint64_t missing;	/* that were not captured: at its end, behind them nothing is kept */
	uint8_t *bytes;		/* NULL: free */
};

struct sctp_way {
	uint32_t next;		/* TSN expected, when begun */
	uint32_t acked;		/* the other side has it, and all before; when has_acked */
	uint32_t pieces;
	size_t held_bytes;
	uint64_t hole_ns;	/* when the hole at next was first seen */
	struct piece *head;	/* by TSN */
	struct partial partial[PARTIALS];
	unsigned turn;		/* the partial to give up next */
	uint8_t wild;
	bool begun, has_acked;
};

struct sctp_reasm {
	struct sctp_way way[2];
};

static bool alive(const struct stream *stream)
{
	return stream->state != STREAM_DEAD && stream->sctp;
}

/* ---- messages ---- */

static void partial_drop(struct stream *stream, struct partial *partial)
{
	stream_buf_give(stream->pool, partial->bytes);
	partial->bytes = NULL;
}

static void partial_lost(struct stream *stream, struct partial *partial)
{
	stream->pool->stats.gaps++;
	stream->pool->stats.gap_bytes += partial->len;
	partial_drop(stream, partial);
}

static bool partial_put(struct stream *stream, struct partial *partial, const struct sctp_data *data)
{
	size_t len = partial->len + data->bytes.len;

	if (len > MESSAGE_MAX)
		return false;
	if (!partial->bytes || block_room(partial->bytes) < len) {
		uint8_t *larger = stream_buf_take(stream, len ? len * 2 : 1);

		if (!larger)
			return false;
		if (partial->len)
			memcpy(larger, partial->bytes, partial->len);
		partial_drop(stream, partial);
		partial->bytes = larger;
	}
	partial->last_off = partial->len;
	if (data->bytes.len && !partial->missing)
		memcpy(partial->bytes + partial->len, data->bytes.at, data->bytes.len);
	if (!partial->missing)
		partial->len = len;
	else
		partial->missing += data->bytes.len;
	partial->missing += data->len - data->bytes.len;
	partial->last = *data;
	partial->last.bytes = view_make("", 0);
	return true;
}

static void begin(struct stream *stream, struct sctp_way *way, const struct sctp_data *data, uint64_t time_ns)
{
	struct partial *partial = NULL;

	for (unsigned i = 0; i < PARTIALS && !partial; i++)
		if (!way->partial[i].bytes)
			partial = &way->partial[i];
	if (!partial) {
		partial = &way->partial[way->turn++ % PARTIALS];
		stream_budget_hit(stream);
		partial_lost(stream, partial);
	}
	*partial = (struct partial){ .tsn = data->tsn, .ppid = data->ppid, .first_ns = time_ns };
	if (!partial_put(stream, partial, data))
		stream_budget_hit(stream);
}

/* One piece, all those before it are known. */
static void take(struct stream *stream, unsigned d, const struct sctp_data *data, uint64_t time_ns)
{
	struct sctp_way *way = &stream->sctp->way[d];
	struct message message = { .time_ns = time_ns, .first_ns = time_ns, .tsn = data->tsn, .ppid = data->ppid };
	struct partial *partial = NULL;

	if (data->first && data->last) {
		message.bytes = data->bytes;
		message.missing = data->len - data->bytes.len;
		stream_message(stream, d, &message);
		return;
	}
	if (data->first) {
		begin(stream, way, data, time_ns);
		return;
	}
	for (unsigned i = 0; i < PARTIALS && !partial; i++)
		if (way->partial[i].bytes && sctp_follows(&way->partial[i].last, data))
			partial = &way->partial[i];
	if (!partial)
		return;		/* its beginning was lost */
	if (!partial_put(stream, partial, data)) {
		stream_budget_hit(stream);
		partial_lost(stream, partial);
		return;
	}
	if (!data->last)
		return;
	message = (struct message){ .bytes = view_make(partial->bytes, partial->len), .missing = partial->missing,
				    .tsn = partial->tsn, .ppid = partial->ppid, .first_ns = partial->first_ns,
				    .last_off = partial->last_off, .time_ns = time_ns };
	/* the stream may end with it, and all its memory: what is shown is taken out before */
	partial->bytes = NULL;
	stream_message(stream, d, &message);
	stream_buf_give(stream->pool, (void *)message.bytes.at);
}

/* ---- order ---- */

static void give_piece(struct stream *stream, struct sctp_way *way)
{
	struct piece *piece = way->head;

	way->head = piece->next;
	way->pieces--;
	way->held_bytes -= piece->data.bytes.len;
	stream_buf_give(stream->pool, piece);
}

/* Held pieces that are next now. The hole behind them is another one. */
static void drain(struct stream *stream, unsigned d)
{
	stream->sctp->way[d].hole_ns = 0;
	while (alive(stream)) {
		struct sctp_way *way = &stream->sctp->way[d];
		struct piece *piece = way->head;

		if (!piece || piece->data.tsn != way->next)
			break;
		way->head = piece->next;
		way->pieces--;
		way->held_bytes -= piece->data.bytes.len;
		way->next++;
		take(stream, d, &piece->data, piece->time_ns);
		stream_buf_give(stream->pool, piece);
	}
}

/* TSNs before tsn that have not come will not. */
static void skip_to(struct stream *stream, unsigned d, uint32_t tsn)
{
	struct sctp_way *way = &stream->sctp->way[d];

	for (unsigned i = 0; i < PARTIALS; i++)
		if (way->partial[i].bytes)
			partial_lost(stream, &way->partial[i]);
	way->next = tsn;
	drain(stream, d);
}

static void give_up_hole(struct stream *stream, unsigned d)
{
	stream_message_lost(stream, d);
	if (alive(stream))
		skip_to(stream, d, stream->sctp->way[d].head->data.tsn);
}

/* Give up holes that will not fill. */
static void settle(struct stream *stream, unsigned d, uint64_t now_ns)
{
	while (alive(stream) && stream->sctp->way[d].head) {
		struct sctp_way *way = &stream->sctp->way[d];
		bool acked = way->has_acked && !sctp_after(way->next, way->acked);

		if (!way->hole_ns)
			way->hole_ns = now_ns;
		if (way->pieces >= PIECES_MAX || way->held_bytes > stream->pool->flow_bytes_max)
			stream_budget_hit(stream);
		else if (!acked || (way->pieces < HOLE_PIECES && way->hole_ns + HOLE_NS > now_ns))
			return;
		give_up_hole(stream, d);
	}
}

static void hold(struct stream *stream, struct sctp_way *way, const struct sctp_data *data, uint64_t time_ns)
{
	struct piece **at = &way->head, *piece;

	while (*at && sctp_after(data->tsn, (*at)->data.tsn))
		at = &(*at)->next;
	if (*at && (*at)->data.tsn == data->tsn)
		return;
	piece = stream_buf_take(stream, sizeof(*piece) + data->bytes.len);
	if (!piece)
		return;		/* as if not captured */
	piece->data = *data;
	piece->data.bytes = view_make(piece->bytes, data->bytes.len);
	if (data->bytes.len)
		memcpy(piece->bytes, data->bytes.at, data->bytes.len);
	piece->time_ns = time_ns;
	piece->next = *at;
	*at = piece;
	way->pieces++;
	way->held_bytes += data->bytes.len;
}

static void add(struct stream *stream, unsigned d, const struct sctp_data *data, uint64_t time_ns)
{
	struct sctp_way *way = &stream->sctp->way[d];

	if (!way->begun) {
		way->begun = true;
		way->next = data->tsn;
	}
	if (data->tsn - way->next >= WINDOW) {
		/* behind: known already. Far ahead: not of this association, unless it goes on like that */
		if (!sctp_after(data->tsn, way->next) || ++way->wild < WILD_MAX)
			return;
		while (way->head)
			give_piece(stream, way);
		stream_message_lost(stream, d);
		if (!alive(stream))
			return;
		skip_to(stream, d, data->tsn);
	}
	way->wild = 0;
	if (data->tsn == way->next) {
		way->next++;
		take(stream, d, data, time_ns);
		if (alive(stream))
			drain(stream, d);
		return;
	}
	hold(stream, way, data, time_ns);
}

/* ---- the outside ---- */

bool sctp_reasm_begin(struct stream *stream)
{
	stream->sctp = stream_buf_take(stream, sizeof(*stream->sctp));
	if (stream->sctp)
		memset(stream->sctp, 0, sizeof(*stream->sctp));
	return stream->sctp != NULL;
}

void stream_sctp_start(struct stream *stream, unsigned d, uint32_t tsn)
{
	if (!alive(stream))
		return;
	stream->sctp->way[d].begun = true;
	stream->sctp->way[d].next = tsn;
}

static uint32_t u32(struct view bytes)
{
	return (uint32_t)bytes.at[0] << 24 | (uint32_t)bytes.at[1] << 16 | (uint32_t)bytes.at[2] << 8 | bytes.at[3];
}

static void acknowledged(struct sctp_way *way, uint32_t tsn)
{
	if (way->has_acked && !sctp_after(tsn, way->acked))
		return;
	way->acked = tsn;
	way->has_acked = true;
}

void sctp_reasm_packet(struct stream *stream, unsigned d, const struct packet *packet)
{
	struct sctp_walk walk = sctp_walk(packet);
	struct sctp_chunk chunk;
	struct sctp_data data;

	while (alive(stream) && sctp_next(&walk, &chunk) == 1) {
		struct sctp_way *way = &stream->sctp->way[d];

		switch (chunk.type) {
		case SCTP_DATA:
		case SCTP_I_DATA:
			if (sctp_data(&chunk, &data))
				add(stream, d, &data, packet->time_ns);
			break;
		case SCTP_SACK:
		case SCTP_SHUTDOWN:
			if (chunk.value.len >= 4)
				acknowledged(&stream->sctp->way[!d], u32(chunk.value));
			break;
		case SCTP_FORWARD_TSN:
		case SCTP_I_FORWARD_TSN:
			if (chunk.value.len >= 4 && way->begun && u32(chunk.value) + 1 - way->next < WINDOW) {
				uint32_t tsn = u32(chunk.value) + 1;

				while (alive(stream) && way->head && sctp_after(tsn, way->head->data.tsn))
					give_up_hole(stream, d);
				if (alive(stream) && sctp_after(tsn, way->next))
					skip_to(stream, d, tsn);
			}
			break;
		default:
			break;
		}
	}
	for (unsigned i = 0; i < 2; i++)
		settle(stream, i, packet->time_ns);
}

void sctp_reasm_tick(struct stream *stream, uint64_t now_ns)
{
	for (unsigned d = 0; d < 2; d++)
		settle(stream, d, now_ns);
}

void sctp_reasm_flush(struct stream *stream)
{
	while (alive(stream) && (stream->sctp->way[0].head || stream->sctp->way[1].head)) {
		const struct piece *tx = stream->sctp->way[0].head, *rx = stream->sctp->way[1].head;

		give_up_hole(stream, !tx || (rx && rx->time_ns < tx->time_ns));
	}
}

void sctp_reasm_drop(struct stream *stream)
{
	if (!stream->sctp)
		return;
	for (unsigned d = 0; d < 2; d++) {
		struct sctp_way *way = &stream->sctp->way[d];

		while (way->head)
			give_piece(stream, way);
		for (unsigned i = 0; i < PARTIALS; i++)
			partial_drop(stream, &way->partial[i]);
	}
	stream_buf_give(stream->pool, stream->sctp);
	stream->sctp = NULL;
}

#include "wire/sctp.h"

#include "base/rd.h"
#include "schema/schema.h"

#define HEAD_BYTES	4	/* of a chunk: type, flags, length */
#define DATA_BYTES	12	/* TSN 4, stream 2, sequence number 2, payload protocol 4 */
#define I_DATA_BYTES	16	/* TSN 4, stream 2, reserved 2, message 4, payload protocol or fragment 4 */
#define FLAG_LAST	1
#define FLAG_FIRST	2
#define FLAG_UNORDERED	4
#define SEEN_BITS	64

/* ---- chunks ---- */

struct sctp_walk sctp_walk(const struct packet *packet)
{
	return (struct sctp_walk){ packet->payload, packet->payload_len };
}

/* The fixed part of the value, by type; others may be empty. A DATA chunk without data is an error (RFC 9260 3.3.10.9). */
static uint32_t value_min(uint8_t type)
{
	switch (type) {
	case SCTP_DATA: return DATA_BYTES + 1;
	case SCTP_I_DATA: return I_DATA_BYTES + 1;
	case SCTP_INIT:
	case SCTP_INIT_ACK: return 16;
	case SCTP_SACK: return 12;
	case SCTP_SHUTDOWN:
	case SCTP_FORWARD_TSN:
	case SCTP_I_FORWARD_TSN: return 4;
	default: return 0;
	}
}

int sctp_next(struct sctp_walk *walk, struct sctp_chunk *ret_chunk)
{
	struct rd rd = rd_make(walk->rest);
	uint32_t len, step;

	if (!walk->wire)
		return 0;
	if (walk->wire < HEAD_BYTES)
		return -1;
	ret_chunk->type = rd_u8(&rd);
	ret_chunk->flags = rd_u8(&rd);
	len = rd_u16be(&rd);
	if (rd.bad) {	/* cut off by the capture */
		walk->wire = 0;
		return 0;
	}
	if (len < HEAD_BYTES + value_min(ret_chunk->type) || len > walk->wire)
		return -1;
	ret_chunk->value = view_sub(walk->rest, HEAD_BYTES, len - HEAD_BYTES);
	ret_chunk->len = len - HEAD_BYTES;
	/* filled up to a multiple of 4, but the last one's filling may be left out */
	step = (len + 3) & ~3u;
	step = step < walk->wire ? step : walk->wire;
	walk->wire -= step;
	walk->rest = view_sub(walk->rest, step, walk->rest.len);
	return 1;
}

bool sctp_has_data(const struct packet *packet)
{
	struct sctp_walk walk = sctp_walk(packet);
	struct sctp_chunk chunk;

	while (sctp_next(&walk, &chunk) == 1)
		if (chunk.type == SCTP_DATA || chunk.type == SCTP_I_DATA)
			return true;
	return false;
}

bool sctp_data(const struct sctp_chunk *chunk, struct sctp_data *ret_data)
{
	struct rd rd = rd_make(chunk->value);
	uint32_t head = chunk->type == SCTP_DATA ? DATA_BYTES : I_DATA_BYTES;
	struct sctp_data data = { .first = chunk->flags & FLAG_FIRST, .last = chunk->flags & FLAG_LAST,
				  .unordered = chunk->flags & FLAG_UNORDERED };

	if (chunk->type != SCTP_DATA && chunk->type != SCTP_I_DATA)
		return false;
	data.tsn = rd_u32be(&rd);
	data.stream = rd_u16be(&rd);
	if (chunk->type == SCTP_DATA) {
		data.message = rd_u16be(&rd);
		data.ppid = rd_u32be(&rd);
	} else {
		data.interleaved = true;
		rd_skip(&rd, 2);
		data.message = rd_u32be(&rd);
		if (data.first)
			data.ppid = rd_u32be(&rd);
		else
			data.fsn = rd_u32be(&rd);
	}
	if (rd.bad || chunk->len < head)
		return false;
	data.bytes = view_sub(chunk->value, head, chunk->value.len);
	data.len = chunk->len - head;
	*ret_data = data;
	return true;
}

bool sctp_follows(const struct sctp_data *data, const struct sctp_data *next)
{
	if (data->last || next->first || data->interleaved != next->interleaved || data->stream != next->stream ||
	    data->unordered != next->unordered)
		return false;
	if (data->interleaved)
		return next->message == data->message && next->fsn == data->fsn + 1;
	/* of unordered messages the sequence number says nothing */
	return next->tsn == data->tsn + 1 && (data->unordered || next->message == data->message);
}

/* ---- which TSNs were there before ---- */

enum sctp_new sctp_seen_add(struct sctp_seen *seen, uint32_t tsn)
{
	uint32_t ahead = tsn - seen->highest, behind = seen->highest - tsn;

	if (!seen->any || sctp_after(tsn, seen->highest)) {
		seen->bits = seen->any && ahead < SEEN_BITS ? seen->bits << ahead | 1 : 1;
		seen->highest = tsn;
		seen->any = true;
		return SCTP_NEW;
	}
	if (behind >= SEEN_BITS || seen->bits >> behind & 1)
		return SCTP_AGAIN;
	seen->bits |= 1ull << behind;
	return SCTP_LATE;
}

/* ---- an association ---- */

static void first(uint64_t *at_ns, uint64_t time_ns)
{
	if (!*at_ns)
		*at_ns = time_ns;
}

static void take_init(struct sctp_assoc *assoc, struct sctp_dir *dir, const struct sctp_chunk *chunk, uint64_t time_ns)
{
	uint64_t *at_ns = chunk->type == SCTP_INIT ? &assoc->init_ns : &assoc->init_ack_ns;
	struct rd rd = rd_make(chunk->value);
	uint32_t tag = rd_u32be(&rd), tsn;

	rd_skip(&rd, 8);	/* window, streams each way */
	tsn = rd_u32be(&rd);
	if (*at_ns)
		assoc->ambiguous = true;
	first(at_ns, time_ns);
	if (rd.bad)
		return;
	dir->init_tag = tag;
	dir->init_tsn = tsn;
	dir->has_init = true;
}

static void take_data(struct sctp_assoc *assoc, unsigned d, const struct sctp_chunk *chunk, uint64_t time_ns,
		      struct sctp_sum *sum)
{
	struct sctp_dir *dir = &assoc->dir[d];
	struct sctp_data data;

	if (!sctp_data(chunk, &data))
		return;
	assoc->established = true;
	first(&assoc->first_data_ns, time_ns);
	if (d == 1)
		first(&assoc->first_response_ns, time_ns);
	switch (sctp_seen_add(&dir->seen, data.tsn)) {
	case SCTP_AGAIN:
		dir->retransmits++;
		dir->retransmit_bytes += data.len;
		sum->retransmits++;
		return;
	case SCTP_LATE:
		dir->out_of_order++;
		break;
	case SCTP_NEW:
		break;
	}
	sum->goodput_bytes += data.len;
}

static void take_abort(struct sctp_assoc *assoc, unsigned d)
{
	assoc->dir[d].aborts++;
	if (assoc->aborted)
		return;
	assoc->aborted = true;
	assoc->abort_dir = (uint8_t)d;
	if (assoc->shutting)
		assoc->abort_phase = RESET_closing;
	else if (assoc->first_data_ns)
		assoc->abort_phase = RESET_data;
	else if (assoc->established)
		assoc->abort_phase = RESET_idle;
	else if (assoc->init_ns && !assoc->init_ack_ns)
		assoc->abort_phase = RESET_refused;
	else
		assoc->abort_phase = assoc->init_ns || assoc->init_ack_ns ? RESET_handshake : RESET_stray;
}

void sctp_assoc_packet(struct sctp_assoc *assoc, unsigned dir, const struct packet *packet, struct sctp_sum *ret_sum)
{
	struct sctp_walk walk = sctp_walk(packet);
	struct sctp_sum sum = { 0 };
	struct sctp_chunk chunk;

	assoc->dir[dir].heard = true;
	while (sctp_next(&walk, &chunk) == 1) {
		switch (chunk.type) {
		case SCTP_INIT:
		case SCTP_INIT_ACK:
			take_init(assoc, &assoc->dir[dir], &chunk, packet->time_ns);
			break;
		case SCTP_COOKIE_ECHO:
			first(&assoc->cookie_ns, packet->time_ns);
			break;
		case SCTP_COOKIE_ACK:
			assoc->established = true;
			break;
		case SCTP_DATA:
		case SCTP_I_DATA:
			take_data(assoc, dir, &chunk, packet->time_ns, &sum);
			break;
		case SCTP_SHUTDOWN:
			assoc->shutting = true;
			break;
		case SCTP_SHUTDOWN_COMPLETE:
			assoc->closed = true;
			break;
		case SCTP_ABORT:
			take_abort(assoc, dir);
			sum.aborts++;
			break;
		default:
			break;
		}
	}
	*ret_sum = sum;
}

void sctp_assoc_reported(struct sctp_assoc *assoc)
{
	for (unsigned d = 0; d < 2; d++) {
		struct sctp_dir *dir = &assoc->dir[d];

		dir->retransmits = dir->out_of_order = dir->aborts = 0;
		dir->retransmit_bytes = 0;
	}
}

/* RFC 9260 6.10: INIT, INIT ACK and SHUTDOWN COMPLETE stand alone in their packets. */
static bool first_chunk(const struct packet *packet, struct sctp_chunk *ret_chunk)
{
	struct sctp_walk walk = sctp_walk(packet);

	return sctp_next(&walk, ret_chunk) == 1;
}

bool sctp_assoc_reuses(const struct sctp_assoc *assoc, unsigned dir, const struct packet *packet)
{
	struct sctp_chunk chunk;
	struct rd rd;
	uint32_t tag;

	if (!first_chunk(packet, &chunk) || chunk.type != SCTP_INIT)
		return false;
	rd = rd_make(chunk.value);
	tag = rd_u32be(&rd);
	if (assoc->dir[dir].has_init && !rd.bad && tag == assoc->dir[dir].init_tag)
		return false;	/* sent again */
	/* both sides may begin at once; a new one follows what was open, or over */
	return assoc->established || assoc->aborted || assoc->closed;
}

int sctp_opener(const struct packet *packet)
{
	struct sctp_chunk chunk;

	if (!first_chunk(packet, &chunk))
		return -1;
	switch (chunk.type) {
	case SCTP_INIT:
	case SCTP_COOKIE_ECHO: return 0;
	case SCTP_INIT_ACK:
	case SCTP_COOKIE_ACK: return 1;
	default: return -1;
	}
}

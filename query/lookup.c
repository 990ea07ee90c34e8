/* One flow or call by its id, and the bytes that it carried. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "query/flow_packets.h"
#include "query/verdict.h"
#include "query/rows.h"
#include "wire/sctp.h"

#define ID_SPAN_NS (1ull << SCHEMA_ID_TIME_BITS) /* an id tells its instant to within this */
#define PIECES_MAX 4096 /* TSNs a message may stretch over, with those of others between */
#define PIECES_SLACK_BYTES ((size_t)256 << 10) /* of others */
#define SLACK_NS   NS_PER_SEC /* frames of several threads and sources are not in one exact order */

/* ---- rows by id ---- */

/* Copies the texts of a row that is valid during a callback only. */
static int row_keep(const struct table *table, void *row, struct arena *arena)
{
	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];
		struct view text = { 0 };
		uint64_t value;

		if (types[col->type].phys != PHYS_BYTES || col->type == TYPE_IP ||
		    !row_get(col, row, &value, &text))
			continue;
		text = arena_copy(arena, text);
		if (!text.at)
			return E_NO_MEMORY;
		(void)row_put(col, row, 0, text);
	}
	return 0;
}

struct find {
	struct arena *arena;
	void *row; /* the result */
	uint64_t found;
	bool (*take)(struct find *find, const void *row);
	int rc;
};

static bool find_row(void *arg, const struct table *table, const void *row)
{
	struct find *find = arg;
	bool more = find->take(find, row);

	(void)table;
	find->found++;
	return more && find->rc == 0;
}

/* Rows of the table with that id and start_ns in the range, oldest first. */
static int find_id(struct store *store, enum table_id table, uint64_t id, uint64_t from_ns,
		   uint64_t to_ns, struct find *find, struct err *err)
{
	struct query_opts opts = { .from_ns = from_ns, .to_ns = to_ns };
	struct rows_want want = { .ascending = true, .limit = UINT64_MAX };
	struct query_stats stats;
	struct cursor next;
	struct plan plan;
	char filter[40];
	bool more;
	int rc;

	(void)snprintf(filter, sizeof(filter), "id == %016llx", (unsigned long long)id);
	opts.filter = view_str(filter);
	rc = plan_init(&plan, store, &opts, table, true, &stats, err);
	if (rc == 0)
		rc = rows_run(&plan, &want, find_row, find, &more, &next, err);
	plan_release(&plan);
	if (rc == 0 && find->rc < 0)
		rc = err_set(err, find->rc, "out of memory");
	return rc;
}

static int not_found(struct store *store, enum table_id table, const char *what, uint64_t id,
		     struct err *err)
{
	uint64_t time_ns = schema_id_time(id);
	struct store_horizon horizon;
	char text[CLOCK_TEXT_LEN];
	int rc = store_horizon(store, &horizon, err);

	if (rc < 0)
		return rc;
	clock_format(time_ns, text);
	if (horizon.oldest_ns[table] != UINT64_MAX &&
	    time_ns + ID_SPAN_NS <= horizon.oldest_ns[table])
		return err_set(err, E_EXPIRED, "%s %016llx of %s is no longer held", what,
			       (unsigned long long)id, text);
	return err_set(err, E_NOT_FOUND, "there is no %s %016llx (its id says %s)", what,
		       (unsigned long long)id, text);
}

/*
 * Counters are deltas of a report, so they add up; of the rest the last report
 * knows most. The unit tells which is which, but for those named here.
 */
static void flow_merge_col(const struct col *col, const struct flow_row *from, struct flow_row *to)
{
	uint64_t a = 0, b = 0;
	struct view text = { 0 }, old;
	bool sum = col->unit == UNIT_COUNT || col->unit == UNIT_BYTES;

	if (col->index == INDEX_DERIVED || !row_get(col, from, &b, &text))
		return;
	switch (col->ordinal) {
	case FLOW_id:
	case FLOW_start_ns:
	case FLOW_first_ns: return;
	case FLOW_report:
	case FLOW_tx_mss:
	case FLOW_rx_mss: sum = false; break;
	case FLOW_rtt_sum_ns: sum = true; break;
	case FLOW_rtt_min_ns:
		if (row_get(col, to, &a, &old) && a < b)
			return;
		break;
	case FLOW_rtt_sum_squares: sum = true; break;
	case FLOW_rtt_max_ns:
	case FLOW_tx_in_flight_max_bytes:
	case FLOW_rx_in_flight_max_bytes:
		sum = false;
		if (row_get(col, to, &a, &old) && a > b)
			return;
		break;
	default: break;
	}
	if (sum && row_get(col, to, &a, &old))
		b += a;
	(void)row_put(col, to, b, text);
}

static bool take_flow(struct find *find, const void *row)
{
	const struct table *table = table_get(TABLE_FLOWS);
	struct flow_row report = *(const struct flow_row *)row;
	struct flow_row *flow = find->row;

	/* The same report a second time: a file imported twice gives the same ids. */
	if (find->found && report.report <= flow->report)
		return true;
	find->rc = row_keep(table, &report, find->arena);
	if (find->rc < 0)
		return false;
	if (!find->found)
		*flow = report;
	else
		for (size_t i = 0; i < table->cols_count; i++)
			flow_merge_col(&table->cols[i], &report, flow);
	verdict_row(flow);
	return report.state != STATE_closed;
}

int query_flow(struct store *store, uint64_t id, struct arena *arena, struct flow_row *ret_row,
	       struct err *err)
{
	struct flow_row flow = { 0 };
	struct find find = { .arena = arena, .row = &flow, .take = take_flow };
	uint64_t time_ns = schema_id_time(id);
	int rc = find_id(store, TABLE_FLOWS, id, time_ns, UINT64_MAX, &find, err);

	if (rc == 0 && !find.found)
		rc = not_found(store, TABLE_FLOWS, "flow", id, err);
	if (rc == 0)
		*ret_row = flow;
	return rc;
}

static bool take_call(struct find *find, const void *row)
{
	struct call_row *call = find->row;

	*call = *(const struct call_row *)row;
	find->rc = row_keep(table_get(TABLE_CALLS), call, find->arena);
	return false;
}

int query_call(struct store *store, uint64_t id, struct arena *arena, struct call_row *ret_row,
	       struct err *err)
{
	struct call_row call = { 0 };
	struct find find = { .arena = arena, .row = &call, .take = take_call };
	uint64_t time_ns = schema_id_time(id);
	int rc = find_id(store, TABLE_CALLS, id, time_ns, time_ns + ID_SPAN_NS, &find, err);

	if (rc == 0 && !find.found)
		rc = not_found(store, TABLE_CALLS, "call", id, err);
	if (rc == 0)
		*ret_row = call;
	return rc;
}

/* ---- bytes ---- */

static uint64_t before(uint64_t ns, uint64_t slack_ns)
{
	return ns > slack_ns ? ns - slack_ns : 0;
}

static uint64_t behind(uint64_t ns, uint64_t slack_ns)
{
	return ns < UINT64_MAX - slack_ns ? ns + slack_ns : UINT64_MAX;
}

static bool count_packet(void *arg, const struct packet_rec *rec, const struct packet *packet)
{
	uint64_t *count = arg;

	(void)rec;
	(void)packet;
	++*count;
	return true;
}

static uint8_t payload_state(const struct flow_packets *walk, bool whole)
{
	if (whole && !walk->cut)
		return PAYLOAD_present;
	if (walk->expired)
		return PAYLOAD_expired;
	return walk->cut ? PAYLOAD_thinned : PAYLOAD_lost;
}

int query_payload_state(struct store *store, uint64_t flow_id, uint64_t from_ns, uint64_t to_ns,
			uint8_t *ret_state, struct err *err)
{
	uint64_t count = 0;
	struct flow_packets walk = { .flow_id = flow_id,
				     .from_ns = from_ns,
				     .to_ns = to_ns,
				     .fn = count_packet,
				     .arg = &count };
	int rc = flow_packets_walk(store, &walk, err);

	if (rc == 0)
		*ret_state = payload_state(&walk, count > 0);
	return rc;
}

int query_flow_payload(struct store *store, const struct flow_row *flow, uint8_t *ret_state, struct err *err)
{
	uint64_t from_ns = flow->first_ns ? flow->first_ns : flow->start_ns;
	uint8_t state;
	int rc = query_payload_state(store, flow->id, from_ns, flow->end_ns + 1, &state, err);

	if (rc == 0 && state == PAYLOAD_thinned && flow->view == VIEW_second && ROW_HAS(FLOW, flow, twin_id)) {
		rc = query_payload_state(store, flow->twin_id, from_ns, flow->end_ns + 1, &state, err);
		if (state == PAYLOAD_present)
			state = PAYLOAD_first_view;
	}
	if (rc == 0)
		*ret_state = state;
	return rc;
}

/* Bytes of one half of a call while they are put together. */
struct half {
	bool wanted;
	uint64_t bytes; /* on the wire */
	uint64_t from_ns, to_ns;
	struct assembly assembly;
	size_t filled; /* datagrams: so far */
	struct sctp_data *pieces; /* SCTP: what may be of the message */
	size_t pieces_count, pieces_bytes;
};

struct call_walk {
	const struct call_row *call;
	struct arena *arena;
	bool tcp, sctp, sides_known, no_memory;
	bool passed_by; /* a packet, whose side nobody knew */
	unsigned request_dir;
	struct half halves[2]; /* request, response */
};

/*
 * The source of a call is who asked, the source of its flow who opened the
 * conversation: the packets tell whether these are the same.
 */
static void learn_sides(struct call_walk *walk, const struct packet_rec *rec,
			const struct packet *packet)
{
	const struct call_row *call = walk->call;

	if (walk->sides_known || !packet->has_ports)
		return;
	if (packet->sport == call->src_port && packet->dport == call->dst_port &&
	    ip_eq(&packet->src, &call->src_ip)) {
		walk->request_dir = rec->dir;
		walk->sides_known = true;
	} else if (packet->sport == call->dst_port && packet->dport == call->src_port &&
		   ip_eq(&packet->dst, &call->src_ip)) {
		walk->request_dir = 1 - rec->dir;
		walk->sides_known = true;
	}
}

static void add_datagram(struct half *half, const struct packet_rec *rec,
			 const struct packet *packet)
{
	size_t room = half->assembly.len - half->filled, len = packet->payload.len;

	if (rec->time_ns < half->from_ns || rec->time_ns > half->to_ns || room == 0)
		return;
	assembly_add(&half->assembly, (uint32_t)half->filled,
		     view_sub(packet->payload, 0, len < room ? len : room));
	half->filled += packet->payload_len < room ? packet->payload_len : room;
}

/* Keep the pieces that may be of the message whose first one has the half's TSN. */
static int add_pieces(struct half *half, const struct packet *packet, struct arena *arena)
{
	struct sctp_walk chunks = sctp_walk(packet);
	struct sctp_chunk chunk;
	struct sctp_data data;

	while (sctp_next(&chunks, &chunk) == 1) {
		bool known = false;

		if (!sctp_data(&chunk, &data) || data.tsn - half->assembly.seq >= PIECES_MAX)
			continue;
		for (size_t i = 0; i < half->pieces_count; i++)
			known |= half->pieces[i].tsn == data.tsn;
		if (known || half->pieces_bytes > half->assembly.len + PIECES_SLACK_BYTES)
			continue;
		if (!half->pieces)
			half->pieces = arena_array(arena, PIECES_MAX, sizeof(*half->pieces));
		data.bytes = arena_copy(arena, data.bytes);
		if (!half->pieces || !data.bytes.at)
			return E_NO_MEMORY;
		half->pieces_bytes += data.bytes.len;
		half->pieces[half->pieces_count++] = data;
	}
	return 0;
}

/* Piece after piece, as wire/sctp_reasm.c does. */
static void join_pieces(struct half *half)
{
	const struct sctp_data *piece = NULL;
	uint32_t off = 0;
	bool more = true;

	for (size_t i = 0; i < half->pieces_count && !piece; i++)
		if (half->pieces[i].tsn == half->assembly.seq && half->pieces[i].first)
			piece = &half->pieces[i];
	while (piece && more && off < half->assembly.len) {
		const struct sctp_data *last = piece;

		assembly_add(&half->assembly, half->assembly.seq + off, piece->bytes);
		off += piece->len;
		more = false;
		for (size_t i = 0; i < half->pieces_count && !more; i++) {
			more = sctp_follows(last, &half->pieces[i]);
			if (more)
				piece = &half->pieces[i];
		}
	}
}

static bool add_call_packet(void *arg, const struct packet_rec *rec, const struct packet *packet)
{
	struct call_walk *walk = arg;
	struct half *half;

	learn_sides(walk, rec, packet);
	walk->passed_by |= !walk->sides_known;
	half = &walk->halves[rec->dir != walk->request_dir];
	if (!half->wanted || !walk->sides_known)
		return true;
	if (walk->tcp && packet->has_tcp) /* a SYN takes a sequence number of its own */
		assembly_add(&half->assembly, packet->seq + !!(packet->flags & TCP_SYN),
			     packet->payload);
	else if (walk->sctp)
		walk->no_memory |= add_pieces(half, packet, walk->arena) < 0;
	else if (!walk->tcp)
		add_datagram(half, rec, packet);
	return true;
}

static int half_init(struct half *half, bool wanted, uint64_t bytes, uint32_t seq, uint64_t from_ns,
		     uint64_t to_ns, size_t bytes_max, struct arena *arena)
{
	half->wanted = wanted && bytes;
	half->bytes = bytes;
	half->from_ns = from_ns;
	half->to_ns = to_ns;
	half->assembly.seq = seq;
	half->assembly.len = !half->wanted ? 0 : bytes < bytes_max ? (size_t)bytes : bytes_max;
	half->assembly.at = arena_array(arena, half->assembly.len + 1, 1);
	half->assembly.mask = arena_array(arena, half->assembly.len / 8 + 1, 1);
	return half->assembly.at && half->assembly.mask ? 0 : E_NO_MEMORY;
}

/* Both halves of a call: what the row says of them. */
static int call_walk_init(struct call_walk *walk, const struct call_row *call, size_t bytes_max,
			  struct arena *arena)
{
	bool tcp = !ROW_HAS(CALL, call, proto) || call->proto == PROTO_tcp;
	const struct proto_ops *ops = proto_by_id(call->l7);
	uint64_t req_last = ops && ops->request_outlasts ? call->end_ns :
			    ROW_HAS(CALL, call, req_last_ns) ? call->req_last_ns : call->start_ns;
	bool sctp = !tcp && call->proto == PROTO_sctp, by_seq = tcp || sctp;
	uint64_t rsp_first = ROW_HAS(CALL, call, rsp_first_ns) ? call->rsp_first_ns : call->end_ns;
	int rc;

	*walk = (struct call_walk){ .call = call, .arena = arena, .tcp = tcp, .sctp = sctp };
	rc = half_init(&walk->halves[0],
		       ROW_HAS(CALL, call, req_bytes) && (!by_seq || ROW_HAS(CALL, call, req_seq)),
		       ROW_HAS(CALL, call, req_span_bytes) ? call->req_span_bytes : call->req_bytes,
		       by_seq ? call->req_seq : 0, call->start_ns, req_last,
		       bytes_max, arena);
	if (rc < 0)
		return rc;
	return half_init(&walk->halves[1],
			 ROW_HAS(CALL, call, rsp_bytes) && (!by_seq || ROW_HAS(CALL, call, rsp_seq)),
			 ROW_HAS(CALL, call, rsp_span_bytes) ? call->rsp_span_bytes : call->rsp_bytes,
			 by_seq ? call->rsp_seq : 0, rsp_first, call->end_ns,
			 bytes_max, arena);
}

/* Translation may hide the caller's address from its packets: then the flow's row knows the sides. */
static void sides_of_flow(struct store *store, struct call_walk *walk, struct arena *arena)
{
	struct flow_row flow;

	if (!walk->sides_known && query_flow(store, walk->call->flow_id, arena, &flow, NULL) == 0)
		walk->request_dir = ROW_HAS(FLOW, &flow, src_ip) &&
				    !(ip_eq(&flow.src_ip, &walk->call->src_ip) &&
				      flow.src_port == walk->call->src_port);
}

/* One reading of the call's packets, of so much more time than it took. */
static int call_walk_run(struct store *store, struct call_walk *walk, uint64_t slack_ns, size_t bytes_max,
			 struct arena *arena, struct flow_packets *packets, struct err *err)
{
	const struct call_row *call = walk->call;
	int rc = call_walk_init(walk, call, bytes_max, arena);

	if (rc < 0)
		return err_set(err, rc, "call %016llx: no memory for %zu bytes", (unsigned long long)call->id,
			       bytes_max);
	*packets = (struct flow_packets){ .flow_id = call->flow_id,
					  .from_ns = before(call->start_ns, slack_ns),
					  .to_ns = behind(call->end_ns, slack_ns),
					  .fn = add_call_packet,
					  .arg = walk };
	rc = flow_packets_walk(store, packets, err);
	if (rc < 0)
		return rc;
	sides_of_flow(store, walk, arena);
	if (walk->passed_by) { /* from the beginning, knowing it */
		unsigned request_dir = walk->request_dir;

		rc = call_walk_init(walk, call, bytes_max, arena);
		walk->request_dir = request_dir;
		walk->sides_known = true;
		if (rc == 0)
			rc = flow_packets_walk(store, packets, err);
	}
	if (rc == 0 && walk->no_memory)
		rc = err_set(err, E_NO_MEMORY, "call %016llx: no memory for its pieces", (unsigned long long)call->id);
	for (unsigned i = 0; i < 2 && rc == 0; i++)
		join_pieces(&walk->halves[i]);
	return rc;
}

static bool half_is_whole(const struct half *half)
{
	return half->assembly.len == half->assembly.have;
}

int query_call_bytes(struct store *store, const struct call_row *call, size_t bytes_max,
		     struct arena *arena, struct query_bytes *ret_bytes, struct err *err)
{
	/* Most calls lie where their times say; a little of a flow is read for far less than a second of it. */
	static const uint64_t slacks_ns[] = { NS_PER_MS, SLACK_NS };
	struct call_walk walk = { .call = call };
	struct flow_packets packets;
	struct half *request = &walk.halves[0], *response = &walk.halves[1];

	for (unsigned i = 0; i < 2; i++) {
		int rc = call_walk_run(store, &walk, slacks_ns[i], bytes_max, arena, &packets, err);

		if (rc < 0)
			return rc;
		if ((walk.tcp || walk.sctp) && half_is_whole(request) && half_is_whole(response))
			break;
	}
	*ret_bytes = (struct query_bytes){
		.request = view_make(request->assembly.at, request->assembly.len),
		.response = view_make(response->assembly.at, response->assembly.len),
		.request_missing = request->assembly.len - request->assembly.have,
		.response_missing = response->assembly.len - response->assembly.have,
		.request_dir = (uint8_t)walk.request_dir,
	};
	ret_bytes->payload = payload_state(&packets, !ret_bytes->request_missing &&
							     !ret_bytes->response_missing);
	/* Frames of other calls on the same flow may be cut: ours are whole. */
	if (!ret_bytes->request_missing && !ret_bytes->response_missing && packets.count)
		ret_bytes->payload = PAYLOAD_present;
	return 0;
}

/* ---- a flow's stream ---- */

struct stream_walk {
	unsigned dir;
	bool tcp, sctp, begun;
	struct sctp_seen seen;
	uint32_t base;	  /* sequence number of stream offset 0 */
	uint64_t next;	  /* offset behind the last segment */
	uint64_t highest; /* offset behind the furthest byte */
	uint64_t off;	  /* of the window */
	struct assembly window;
};

static void window_add(struct stream_walk *walk, uint64_t off, struct view payload)
{
	uint64_t end = walk->off + walk->window.len;

	if (off >= end || off + payload.len <= walk->off)
		return;
	if (off < walk->off) {
		payload = view_sub(payload, (size_t)(walk->off - off), payload.len);
		off = walk->off;
	}
	assembly_add(&walk->window, (uint32_t)(off - walk->off), payload);
}

/* User data alone, in the order it came, each piece once. */
static void add_user_data(struct stream_walk *walk, const struct packet *packet)
{
	struct sctp_walk chunks = sctp_walk(packet);
	struct sctp_chunk chunk;
	struct sctp_data data;

	while (sctp_next(&chunks, &chunk) == 1) {
		if (!sctp_data(&chunk, &data) || sctp_seen_add(&walk->seen, data.tsn) == SCTP_AGAIN)
			continue;
		window_add(walk, walk->next, data.bytes);
		walk->next += data.len;
		walk->highest = walk->next;
	}
}

static bool add_stream_packet(void *arg, const struct packet_rec *rec, const struct packet *packet)
{
	struct stream_walk *walk = arg;
	uint64_t off;
	uint32_t seq;

	if (rec->dir != walk->dir || (walk->tcp && !packet->has_tcp))
		return true;
	if (walk->sctp) {
		add_user_data(walk, packet);
		return true;
	}
	if (!walk->tcp) {
		off = walk->next;
	} else {
		seq = packet->seq + !!(packet->flags & TCP_SYN);
		if (!walk->begun)
			walk->base = seq;
		walk->begun = true;
		/* 32 bits wrap: the offset nearest to where the stream is. */
		off = walk->next +
		      (uint64_t)(int64_t)(int32_t)(seq - (walk->base + (uint32_t)walk->next));
		if (off > UINT64_MAX / 2) /* before the first segment seen */
			return true;
	}
	walk->next = off + packet->payload_len;
	if (walk->next > walk->highest && packet->payload_len)
		walk->highest = walk->next;
	window_add(walk, off, packet->payload);
	return true;
}

int query_flow_stream(struct store *store, const struct flow_row *flow, unsigned dir, uint64_t off,
		      size_t bytes_max, struct arena *arena, struct view *ret_bytes,
		      uint64_t *ret_missing, struct err *err)
{
	struct stream_walk walk = { .dir = dir,
				    .tcp = ROW_HAS(FLOW, flow, proto) && flow->proto == PROTO_tcp,
				    .sctp = ROW_HAS(FLOW, flow, proto) && flow->proto == PROTO_sctp,
				    .off = off };
	bool twin = flow->view == VIEW_second && ROW_HAS(FLOW, flow, twin_id);
	struct flow_packets packets = {
		.flow_id = twin ? flow->twin_id : flow->id,
		.from_ns = before(flow->first_ns, SLACK_NS),
		.fn = add_stream_packet,
		.arg = &walk,
		.to_ns = flow->state == STATE_closed ? behind(flow->end_ns, SLACK_NS) : UINT64_MAX,
	};
	uint64_t len;
	int rc;

	if (dir > 1 || bytes_max > UINT32_MAX / 2)
		return err_set(
			err, E_RANGE,
			"a stream has directions 0 and 1, and at most %u bytes come at a time",
			UINT32_MAX / 2);
	walk.window.len = bytes_max;
	walk.window.at = arena_array(arena, bytes_max + 1, 1);
	walk.window.mask = arena_array(arena, bytes_max / 8 + 1, 1);
	if (!walk.window.at || !walk.window.mask)
		return err_set(err, E_NO_MEMORY, "no memory for %zu bytes of a stream", bytes_max);
	rc = flow_packets_walk(store, &packets, err);
	if (rc < 0)
		return rc;
	len = walk.highest > off ? walk.highest - off : 0;
	if (len > bytes_max)
		len = bytes_max;
	*ret_bytes = view_make(walk.window.at, (size_t)len);
	*ret_missing = len - walk.window.have;
	return 0;
}

/*
 * The table of packets: frames of the packet log, decoded when asked for.
 *
 * Frames come in the order of capture, which need not be that of time, so rows
 * are sorted within windows of time. A window is small at first and doubles
 * while it does not fill the answer: the newest hundred packets of a busy hour
 * cost a second of it, those of a quiet one the hour.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "query/rows.h"
#include "wire/decode.h"

#define WINDOW_NS    NS_PER_SEC
#define FLOW_IDS_MAX 1000

struct packet_rows {
	struct plan *plan;
	const struct rows_want *want;
	struct store_view *view;
	uint64_t flow_ids[FLOW_IDS_MAX];
	size_t flow_count;
	bool by_flow;
	struct packet_row *rows; /* of the window, the first heap_max in order once full */
	size_t count, cap, max;
	uint64_t left;
	struct cursor last;
	bool stopped;
	bool (*row)(void *arg, const struct table *table, const void *row);
	void *arg;
};

static void row_of(const struct packet_rec *rec, uint64_t source, struct packet_row *row)
{
	struct packet packet = { .time_ns = rec->time_ns,
				 .frame = rec->frame,
				 .orig_len = rec->orig_len,
				 .link = rec->link,
				 .segments = rec->segments };
	enum decode_status status = decode_frame(&packet);

	memset(row, 0, sizeof(*row));
	ROW_SET(PACKET, row, number, rec->number);
	ROW_SET(PACKET, row, start_ns, rec->time_ns);
	ROW_SET(PACKET, row, len, rec->orig_len);
	ROW_SET(PACKET, row, cap_len, (uint32_t)rec->frame.len);
	ROW_SET(PACKET, row, link, rec->link);
	ROW_SET(PACKET, row, source, source);
	ROW_SET(PACKET, row, iface, rec->iface);
	if (rec->flow_id) {
		ROW_SET(PACKET, row, flow_id, rec->flow_id);
		ROW_SET(PACKET, row, dir, rec->dir);
	}
	if (packet.ip_version) {
		ROW_SET(PACKET, row, src_ip, packet.src);
		ROW_SET(PACKET, row, dst_ip, packet.dst);
		ROW_SET(PACKET, row, proto, packet.proto);
	}
	if (packet.has_ports) {
		ROW_SET(PACKET, row, src_port, packet.sport);
		ROW_SET(PACKET, row, dst_port, packet.dport);
		ROW_SET(PACKET, row, payload_bytes, packet.payload_len);
	}
	if (packet.has_tcp) {
		ROW_SET(PACKET, row, tcp_flags, packet.flags);
		ROW_SET(PACKET, row, tcp_seq, packet.seq);
		ROW_SET(PACKET, row, tcp_ack, packet.ack);
		ROW_SET(PACKET, row, tcp_window, packet.window);
	}
	if (packet.carrier.vlan)
		ROW_SET(PACKET, row, vlan, packet.carrier.vlan);
	if (packet.carrier.inner_vlan)
		ROW_SET(PACKET, row, inner_vlan, packet.carrier.inner_vlan);
	if (packet.carrier.tunnel) {
		ROW_SET(PACKET, row, tunnel, packet.carrier.tunnel);
		ROW_SET(PACKET, row, tunnel_src_ip, packet.carrier.src);
		ROW_SET(PACKET, row, tunnel_dst_ip, packet.carrier.dst);
		if (packet.carrier.has_id)
			ROW_SET(PACKET, row, tunnel_id, packet.carrier.id);
	}
	if (status != DECODE_OK)
		ROW_SET(PACKET, row, undecoded, view_str(decode_status_name(status)));
}

static int place_cmp(uint64_t a_ns, uint64_t a_number, uint64_t b_ns, uint64_t b_number)
{
	if (a_ns != b_ns)
		return a_ns < b_ns ? -1 : 1;
	return (a_number > b_number) - (a_number < b_number);
}

static int row_cmp(const void *a, const void *b)
{
	const struct packet_row *x = a, *y = b;
	int order = place_cmp(x->start_ns, x->number, y->start_ns, y->number);

	return order ? order : (x->source > y->source) - (x->source < y->source);
}

static int row_cmp_down(const void *a, const void *b)
{
	return -row_cmp(a, b);
}

/* Keep the first max of them. Called when there are twice as many. */
static void rows_sort(struct packet_rows *rows)
{
	if (rows->count > 1)
		qsort(rows->rows, rows->count, sizeof(*rows->rows),
		      rows->want->ascending ? row_cmp : row_cmp_down);
	if (rows->count > rows->max)
		rows->count = rows->max;
}

static bool behind_cursor(const struct packet_rows *rows, const struct packet_row *row)
{
	int order;

	if (!rows->want->resume)
		return true;
	order = place_cmp(row->start_ns, row->number, rows->want->cursor.start_ns,
			  rows->want->cursor.id);
	return rows->want->ascending ? order >= 0 : order <= 0;
}

static int rec_add(struct packet_rows *rows, const struct packet_rec *rec, uint64_t source,
		   struct err *err)
{
	struct packet_row row;
	int rc = 1;

	row_of(rec, source, &row);
	rows->plan->stats->rows_scanned++;
	rows->plan->stats->bytes_read += rec->frame.len;
	if (!behind_cursor(rows, &row))
		return 0;
	for (size_t i = 0; i < rows->plan->filters_count && rc == 1; i++)
		rc = filter_row(rows->plan->filters[i], &row, err);
	if (rc != 1)
		return rc;
	if (rows->count >= 2 * rows->max)
		rows_sort(rows);
	if (mem_grow((void **)&rows->rows, &rows->cap, rows->count, sizeof(row)) < 0)
		return err_set(err, E_NO_MEMORY, "out of memory");
	rows->rows[rows->count++] = row;
	return 0;
}

static int part_window(struct packet_rows *rows, size_t part, uint64_t from_ns, uint64_t to_ns,
		       struct err *err)
{
	struct store_packets *packets = NULL;
	struct packet_rec rec;
	struct err open_why = { 0 };
	uint64_t source;
	int rc = store_packets_open(rows->view, part, from_ns, to_ns,
				    rows->by_flow ? rows->flow_ids : NULL, rows->flow_count,
				    &packets, &open_why);

	/* Retention was faster, or the table of blocks is damaged: other partitions are whole. */
	if (rc == E_EXPIRED || rc == E_CORRUPT) {
		rows->plan->stats->payload_expired |= rc == E_EXPIRED;
		rows->plan->stats->damaged_row_groups += rc == E_CORRUPT;
		return 0;
	}
	if (rc < 0)
		return err_set(err, rc, "%s", open_why.text);
	for (unsigned n = 0; rc >= 0; n++) {
		struct err why = { 0 };

		if (n % 1024 == 0 && (rc = plan_check(rows->plan, err)) < 0)
			break;
		rc = store_packets_next(packets, &rec, &source, &why);
		if (rc == 0)
			break;
		if (rc == E_CORRUPT) {
			rows->plan->stats->damaged_row_groups++;
			rc = 0;
		} else if (rc < 0) {
			(void)err_set(err, rc, "%s", why.text);
		} else {
			rc = rec_add(rows, &rec, source, err);
		}
	}
	rows->plan->stats->payload_expired |= store_packets_expired(packets) ||
					      store_view_part(rows->view, part)->packets_thinned;
	store_packets_close(packets);
	return rc;
}

static void window_hand(struct packet_rows *rows)
{
	const struct table *table = rows->plan->table;
	uint32_t skip = rows->want->resume ? rows->want->cursor.same : 0;

	rows_sort(rows);
	for (size_t i = 0; i < rows->count && !rows->stopped; i++) {
		const struct packet_row *row = &rows->rows[i];

		/* Only the first window has rows of the cursor's own place. */
		if (skip && place_cmp(row->start_ns, row->number, rows->want->cursor.start_ns,
				      rows->want->cursor.id) == 0) {
			skip--;
			continue;
		}
		if (rows->left == 0) {
			rows->stopped = rows->plan->stats->truncated = true;
			return;
		}
		if (rows->last.same && rows->last.start_ns == row->start_ns &&
		    rows->last.id == row->number)
			rows->last.same++;
		else
			rows->last = (struct cursor){ row->start_ns, row->number, 1 };
		rows->left--;
		rows->plan->stats->rows_matched++;
		if (!rows->row(rows->arg, table, row))
			rows->stopped = rows->plan->stats->truncated = true;
	}
	rows->count = 0;
}

/* All windows of the hour of partitions [from, to), in the direction of the answer. */
static int hour_windows(struct packet_rows *rows, size_t from, size_t to, struct err *err)
{
	const struct plan *plan = rows->plan;
	uint64_t low = store_view_part(rows->view, from)->hour * NS_PER_HOUR,
		 high = low + NS_PER_HOUR;
	uint64_t window_ns = WINDOW_NS;
	int rc = 0;

	low = low < plan->start_from_ns ? plan->start_from_ns : low;
	high = high > plan->start_to_ns ? plan->start_to_ns : high;
	while (rc >= 0 && low < high && !rows->stopped) {
		uint64_t width = window_ns < high - low ? window_ns : high - low;
		uint64_t begin = rows->want->ascending ? low : high - width;

		rows->max = (size_t)(rows->left < (1u << 20) ? rows->left : 1u << 20) + 1 +
			    (rows->want->resume ? rows->want->cursor.same : 0);
		for (size_t part = from; rc >= 0 && part < to; part++) {
			const struct store_part_info *info = store_view_part(rows->view, part);

			if (info->has_packets)
				rc = part_window(rows, part, begin, begin + width, err);
			else if (info->packets_expired && info->start_min < begin + width && info->end_max >= begin)
				rows->plan->stats->payload_expired = true;
		}
		if (rc < 0)
			return rc;
		if (rows->count > (1u << 20) && rows->left > (1u << 20))
			return err_set(
				err, E_BUDGET,
				"more than %u packets in %llu ms: narrow the range or the limit",
				1u << 20, (unsigned long long)(width / NS_PER_MS));
		window_hand(rows);
		if (rows->want->ascending)
			low += width;
		else
			high -= width;
		window_ns *= 2;
	}
	return rc < 0 ? rc : 0;
}

static int rows_walk(struct packet_rows *rows, struct err *err)
{
	size_t from = 0, to = store_view_parts(rows->view);
	int rc = 0;

	while (rc == 0 && from < to && !rows->stopped) {
		size_t first = from, end = to;
		uint64_t hour =
			store_view_part(rows->view, rows->want->ascending ? from : to - 1)->hour;

		if (rows->want->ascending) {
			for (end = from; end < to && store_view_part(rows->view, end)->hour == hour;
			     end++)
				;
			from = end;
		} else {
			for (first = to;
			     first > from && store_view_part(rows->view, first - 1)->hour == hour;
			     first--)
				;
			to = first;
		}
		rows->plan->stats->partitions += end - first;
		rc = hour_windows(rows, first, end, err);
		if (rc == 0)
			rc = store_view_renew(rows->view, err);
	}
	return rc;
}

int rows_packets(struct plan *plan, const struct rows_want *want,
		 bool (*row)(void *arg, const struct table *table, const void *row), void *arg,
		 bool *ret_more, struct cursor *ret_next, struct err *err)
{
	struct packet_rows *rows = mem_zalloc(sizeof(*rows));
	const struct col *flow_id = &plan->table->cols[PACKET_flow_id];
	int rc;

	if (!rows)
		return err_set(err, E_NO_MEMORY, "out of memory");
	rows->plan = plan;
	rows->want = want;
	rows->row = row;
	rows->arg = arg;
	rows->left = want->limit;
	if (want->resume)
		rows->last = want->cursor;
	rows->by_flow = plan->filters_count && filter_ids(plan->filters[0], flow_id, rows->flow_ids,
							  FLOW_IDS_MAX, &rows->flow_count);
	if (want->resume && want->ascending)
		plan_narrow(plan, want->cursor.start_ns, UINT64_MAX);
	else if (want->resume && want->cursor.start_ns < UINT64_MAX)
		plan_narrow(plan, 0, want->cursor.start_ns + 1);
	rc = store_view_open(plan->store, plan->start_from_ns, plan->start_to_ns, &rows->view, err);
	if (rc == 0)
		rc = rows_walk(rows, err);
	if (rc == 0) {
		*ret_more = plan->stats->truncated;
		*ret_next = rows->last;
	}
	store_view_close(rows->view);
	mem_free(rows->rows);
	mem_free(rows);
	return rc;
}

#include "ingest/import.h"
#include "tests/query_store.h"

/* ---- real captures, imported ---- */

struct kept { /* rows of calls, kept behind the callback */
	struct call_row rows[600];
	size_t count;
	struct arena *arena;
};

static bool keep_call(void *arg, const struct table *table, const void *row)
{
	struct kept *kept = arg;
	struct call_row *call = &kept->rows[kept->count];

	CHECK_EQ(table->id, TABLE_CALLS);
	*call = *(const struct call_row *)row;
	call->method = arena_copy(kept->arena, call->method);
	call->target = arena_copy(kept->arena, call->target);
	return ++kept->count < 600;
}

static const char *import_one(const char *captures, const char *name, bool seal)
{
	char path[1024];
	const char *paths[] = { path };
	struct import_opts opts = {
		.paths = paths, .paths_count = 1, .data_dir = check_tmpdir(), .no_seal = !seal
	};
	struct import_totals totals;
	struct err err = { 0 };

	(void)snprintf(path, sizeof(path), "%s/%s", captures, name);
	CHECK_OK(import_run(&opts, &totals, &err), err);
	return opts.data_dir;
}

static void find_calls(struct store *store, const char *filter, struct kept *kept)
{
	struct query_rows rows = { .table = TABLE_CALLS, .limit = 600, .ascending = true };
	struct query_opts opts = { .filter = view_str(filter) };
	struct query_stats stats;
	struct err err = { 0 };
	struct view cursor;

	kept->count = 0;
	CHECK_OK(query_rows(store, &opts, &rows, keep_call, kept, kept->arena, &stats, &cursor,
			    &err),
		 err);
}

/* The same row by its id, from the index of ids. */
static void check_by_id(struct store *store, const struct call_row *call, struct arena *arena)
{
	struct call_row same;
	struct err err = { 0 };

	CHECK_OK(query_call(store, call->id, arena, &same, &err), err);
	CHECK_U64(same.id, call->id);
	CHECK_U64(same.start_ns, call->start_ns);
	CHECK_U64(same.number, call->number);
	CHECK(view_eq(same.target, call->target));
}

/* Where translation hides the call's addresses from its packets, its flow's row knows who asked. */
static void check_translated(struct store *store, const struct call_row *call, const struct query_bytes *bytes,
			     struct arena *arena)
{
	struct call_row translated = *call;
	struct query_bytes same;
	struct err err = { 0 };

	translated.dst_port ^= 1;
	CHECK_OK(query_call_bytes(store, &translated, 1u << 20, arena, &same, &err), err);
	CHECK(view_eq(same.request, bytes->request) && view_eq(same.response, bytes->response), "call %u", call->number);
	CHECK_U64(same.request_missing + same.response_missing, bytes->request_missing + bytes->response_missing);
}

/* Request and response lie in the flow's streams, where the sequence numbers say. */
static void check_http_bytes(struct store *store, const struct call_row *call, struct arena *arena)
{
	struct query_bytes bytes;
	struct flow_row flow;
	struct err err = { 0 };
	struct view stream;
	uint64_t missing;
	char start[300];

	CHECK_OK(query_call_bytes(store, call, 1u << 20, arena, &bytes, &err), err);
	if (ROW_HAS(CALL, call, missing_bytes) && call->missing_bytes)
		return;
	if (ROW_HAS(CALL, call, req_bytes)) {
		(void)snprintf(start, sizeof(start), "%.*s ", (int)call->method.len,
			       (const char *)call->method.at);
		CHECK_U64(bytes.request.len, call->req_bytes);
		CHECK_U64(bytes.request_missing, 0);
		CHECK(view_starts(bytes.request, start), "call %u: '%.20s'", call->number,
		      (const char *)bytes.request.at);
	}
	if (ROW_HAS(CALL, call, rsp_bytes) && call->rsp_bytes) {
		CHECK_U64(bytes.response.len, call->rsp_bytes);
		CHECK_U64(bytes.response_missing, 0);
		CHECK(view_starts(bytes.response, "HTTP/1."), "call %u: '%.20s'", call->number,
		      (const char *)bytes.response.at);
	}
	CHECK_EQ(bytes.payload, PAYLOAD_present);
	CHECK_OK(query_flow(store, call->flow_id, arena, &flow, &err), err);
	CHECK_OK(query_flow_stream(store, &flow, 0, 0, 8u << 20, arena, &stream, &missing, &err),
		 err);
	if (bytes.request.len && ip_eq(&flow.src_ip, &call->src_ip) &&
	    flow.src_port == call->src_port) {
		CHECK(view_find(stream, bytes.request) >= 0,
		      "call %u is not in its stream of %zu bytes", call->number, stream.len);
		check_translated(store, call, &bytes, arena);
	}
}

static void http_capture(const char *captures, const char *name, bool seal, size_t least)
{
	static struct kept kept;
	struct store *store;
	struct arena arena;
	struct err err = { 0 };

	arena_init(&arena, 0);
	kept.arena = &arena;
	CHECK_OK(store_open(import_one(captures, name, seal), &store, &err), err);
	find_calls(store, "http", &kept);
	CHECK(kept.count >= least, "%s: %zu calls", name, kept.count);
	for (size_t i = 0; i < kept.count && i < 40; i++) {
		check_by_id(store, &kept.rows[i], &arena);
		check_http_bytes(store, &kept.rows[i], &arena);
	}
	store_close(store);
	arena_release(&arena);
}

TEST(lookup, finds_the_bytes_of_http_calls, .timeout = 60)
{
	const char *captures = check_need_captures();

	if (!captures)
		return;
	http_capture(captures, "http/http_chunk.pcap", false, 1);
	http_capture(captures, "http/pipelined-requests.pcap", true, 2);
	http_capture(captures, "http/v6-http.pcap", true, 1);
	http_capture(captures, "http/1000-requests-one-dropped-response.pcap", true, 100);
}

TEST(lookup, finds_the_datagrams_of_dns_calls, .timeout = 60)
{
	static struct kept kept;
	const char *captures = check_need_captures();
	struct store *store;
	struct arena arena;
	struct err err = { 0 };
	size_t whole = 0;

	if (!captures)
		return;
	arena_init(&arena, 0);
	kept.arena = &arena;
	CHECK_OK(store_open(import_one(captures, "dns/dns-wiresharkrepo.pcap", true), &store, &err),
		 err);
	find_calls(store, "dns && udp && end_reason == complete", &kept);
	CHECK_GT(kept.count, 5);
	for (size_t i = 0; i < kept.count; i++) {
		struct query_bytes bytes;

		CHECK_OK(query_call_bytes(store, &kept.rows[i], 65536, &arena, &bytes, &err), err);
		CHECK_U64(bytes.request.len, kept.rows[i].req_bytes);
		CHECK_U64(bytes.response.len, kept.rows[i].rsp_bytes);
		CHECK_U64(bytes.request_missing + bytes.response_missing, 0);
		/* one transaction: the same id; a query, and a response */
		CHECK(memcmp(bytes.request.at, bytes.response.at, 2) == 0, "call %zu", i);
		CHECK((bytes.request.at[2] & 0x80) == 0 && (bytes.response.at[2] & 0x80) != 0,
		      "call %zu", i);
		check_translated(store, &kept.rows[i], &bytes, &arena);
		whole++;
	}
	CHECK_GT(whole, 5);
	store_close(store);
	arena_release(&arena);
}

/* ---- flows of several reports ---- */

TEST(lookup, merges_the_reports_of_a_flow)
{
	struct fixture fixture;
	struct flow_row flow;
	struct err err = { 0 };
	uint64_t id = schema_id(T0, 77);

	fixture_open(&fixture);
	for (uint32_t i = 0; i < 90; i++) { /* an hour and a half of minutes */
		struct flow_row row = { .id = id,
					.start_ns = T0 + i * NS_PER_MIN,
					.end_ns = T0 + (i + 1) * NS_PER_MIN - 1,
					.first_ns = T0,
					.report = i,
					.state = i == 89 ? STATE_closed : STATE_open,
					.tx_bytes = 100 + i,
					.tx_packets = 2,
					.view = VIEW_first };

		ROW_SET(FLOW, &row, tx_mss, 1460);
		ROW_SET(FLOW, &row, rtt_min_ns, 1000 + (i * 7) % 90);
		ROW_SET(FLOW, &row, rtt_max_ns, 2000 + (i * 7) % 90);
		ROW_SET(FLOW, &row, rtt_sum_ns, 3);
		ROW_SET(FLOW, &row, completeness, (uint8_t)(i == 0 ? 7 : 15));
		if (i == 89)
			ROW_SET(FLOW, &row, end_reason, FLOW_END_fin);
		if (i >= 3)
			ROW_SET(FLOW, &row, src_comm, VIEW_LIT("psql"));
		fixture_write(&fixture, TABLE_FLOWS, &row, 1);
		if (i == 5) /* once more, as a file imported twice would */
			fixture_write(&fixture, TABLE_FLOWS, &row, 1);
		if (i == 40)
			fixture_seal(&fixture);
	}
	CHECK_OK(query_flow(fixture.store, id, &fixture.arena, &flow, &err), err);
	CHECK_U64(flow.tx_bytes, 90 * 100 + 89 * 90 / 2);
	CHECK_U64(flow.tx_packets, 180);
	CHECK_U64(flow.start_ns, T0);
	CHECK_U64(flow.end_ns, T0 + 90 * NS_PER_MIN - 1);
	CHECK_U64(flow.report, 89);
	CHECK_EQ(flow.state, STATE_closed);
	CHECK_EQ(flow.end_reason, FLOW_END_fin);
	CHECK_EQ(flow.completeness, 15);
	CHECK_EQ(flow.tx_mss, 1460);
	CHECK_U64(flow.rtt_min_ns, 1000);
	CHECK_U64(flow.rtt_max_ns, 2089);
	CHECK_U64(flow.rtt_sum_ns, 270);
	CHECK_VIEW(flow.src_comm, "psql");
	CHECK_EQ(query_flow(fixture.store, id + 1, &fixture.arena, &flow, &err), E_NOT_FOUND);
	err_clear(&err);
	CHECK_EQ(query_flow(fixture.store, schema_id(T0 - NS_PER_DAY, 1), &fixture.arena, &flow,
			    &err),
		 E_EXPIRED);
	fixture_close(&fixture);
}

/* ---- a moment ---- */

struct moment {
	uint64_t flows[32], calls[32], entities[32];
	size_t flows_count, calls_count, entities_count;
};

static bool moment_row(void *arg, const struct table *table, const void *row)
{
	struct moment *moment = arg;
	struct view none;
	uint64_t id = 0;

	CHECK(row_get(&table->cols[table->id_ord], row, &id, &none));
	if (table->id == TABLE_FLOWS)
		moment->flows[moment->flows_count++] = id;
	else if (table->id == TABLE_CALLS)
		moment->calls[moment->calls_count++] = id;
	else
		moment->entities[moment->entities_count++] = id;
	return true;
}

static bool ids_are(const uint64_t *ids, size_t count, uint64_t want) /* want: a bit an id */
{
	uint64_t got = 0;

	for (size_t i = 0; i < count; i++) {
		if (got >> ids[i] & 1)
			return false; /* twice */
		got |= 1ull << ids[i];
	}
	return got == want;
}

static void add_flow(struct fixture *fixture, uint64_t id, uint32_t report, uint64_t first_s,
		     uint64_t from_s, uint64_t to_s, bool open)
{
	struct flow_row row = { .id = id,
				.report = report,
				.first_ns = T0 + first_s * NS_PER_SEC,
				.start_ns = T0 + from_s * NS_PER_SEC,
				.end_ns = T0 + to_s * NS_PER_SEC,
				.state = open ? STATE_open : STATE_closed };

	ROW_SET(FLOW, &row, dst_port, (uint16_t)(80 + id));
	fixture_write(fixture, TABLE_FLOWS, &row, 1);
}

static void add_entity(struct fixture *fixture, uint64_t id, uint64_t from_s, uint64_t to_s)
{
	struct entity_row row = { .id = id,
				  .start_ns = T0 + from_s * NS_PER_SEC,
				  .end_ns = T0 + to_s * NS_PER_SEC,
				  .kind = ENTITY_process,
				  .name = VIEW_LIT("x") };

	fixture_write(fixture, TABLE_ENTITIES, &row, 1);
}

TEST(lookup, shows_a_moment)
{
	struct moment moment = { 0 };
	struct query_opts opts = { 0 };
	struct query_stats stats;
	struct fixture fixture;
	struct err err = { 0 };
	struct call_row calls[3] = {
		{ .id = 1,
		  .start_ns = T0 + 90 * NS_PER_SEC,
		  .end_ns = T0 + 110 * NS_PER_SEC,
		  .l7 = L7_http },
		{ .id = 2,
		  .start_ns = T0 + 90 * NS_PER_SEC,
		  .end_ns = T0 + 99 * NS_PER_SEC,
		  .l7 = L7_http },
		{ .id = 3,
		  .start_ns = T0 + 101 * NS_PER_SEC,
		  .end_ns = T0 + 110 * NS_PER_SEC,
		  .l7 = L7_http },
	};

	fixture_open(&fixture);
	/* the moment: 100 s */
	add_flow(&fixture, 1, 0, 50, 50, 120, false);  /* around it */
	add_flow(&fixture, 2, 0, 50, 50, 90, false);   /* closed before */
	add_flow(&fixture, 3, 0, 101, 101, 120, true); /* began after */
	add_flow(&fixture, 4, 0, 10, 10, 70, true);    /* silent: a report before ... */
	add_flow(&fixture, 4, 1, 10, 900, 960, false); /* ... and one long after */
	add_flow(&fixture, 5, 0, 10, 10, 70, true);    /* silent, and nothing since */
	add_flow(&fixture, 6, 0, 10, 10, 70, true);    /* two reports, closed before */
	add_flow(&fixture, 6, 1, 10, 71, 95, false);
	add_flow(&fixture, 7, 0, 10, 10, 70, true); /* three reports, the middle one around it */
	add_flow(&fixture, 7, 1, 10, 71, 130, true);
	add_flow(&fixture, 7, 2, 10, 131, 140, false);
	fixture_write(&fixture, TABLE_CALLS, calls, 3);
	add_entity(&fixture, 1, 10, 10); /* began; nothing more is known */
	add_entity(&fixture, 2, 10, 10); /* began, last seen before */
	add_entity(&fixture, 2, 10, 60);
	add_entity(&fixture, 3, 10, 10); /* began, seen before and after */
	add_entity(&fixture, 3, 10, 60);
	add_entity(&fixture, 3, 10, 160);
	add_entity(&fixture, 4, 101, 101); /* began after */
	for (unsigned sealed = 0; sealed < 2; sealed++) {
		memset(&moment, 0, sizeof(moment));
		CHECK_OK(query_at(fixture.store, &opts, T0 + 100 * NS_PER_SEC, 0, moment_row,
				  &moment, &fixture.arena, &stats, &err),
			 err);
		CHECK(ids_are(moment.flows, moment.flows_count, 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7));
		CHECK(ids_are(moment.calls, moment.calls_count, 1 << 1));
		CHECK(ids_are(moment.entities, moment.entities_count, 1 << 1 | 1 << 3));
		fixture_seal(&fixture);
	}
	/* A filter leaves out the tables that it does not fit. */
	memset(&moment, 0, sizeof(moment));
	opts.filter = VIEW_LIT("dst.port == 84 || dst.port == 85");
	CHECK_OK(query_at(fixture.store, &opts, T0 + 100 * NS_PER_SEC, 0, moment_row, &moment,
			  &fixture.arena, &stats, &err),
		 err);
	CHECK(ids_are(moment.flows, moment.flows_count, 1 << 4 | 1 << 5));
	CHECK_EQ(moment.calls_count, 0);
	opts.filter = VIEW_LIT("nonsense == 1");
	CHECK_EQ(query_at(fixture.store, &opts, T0, 0, moment_row, &moment, &fixture.arena, &stats,
			  &err),
		 E_UNKNOWN_NAME);
	fixture_close(&fixture);
}

/* ---- replay ---- */

struct replayed {
	uint64_t last_ns, slept_ns;
	size_t count, rows_of[TABLE_MAX + 1];
};

static bool replay_row(void *arg, const struct table *table, const void *row)
{
	struct replayed *replayed = arg;
	struct view none;
	uint64_t ns = 0;

	CHECK(row_get(&table->cols[table->start_ord], row, &ns, &none));
	CHECK_GE(ns, replayed->last_ns);
	replayed->last_ns = ns;
	replayed->rows_of[table->id]++;
	replayed->count++;
	return true;
}

static bool replay_sleep(void *arg, uint64_t ns)
{
	struct replayed *replayed = arg;

	replayed->slept_ns =
		ns; /* from now to the row's moment: grows, since no time really passes */
	return true;
}

TEST(lookup, replays_in_order_of_time)
{
	struct replayed replayed = { 0 };
	struct query_opts opts = { .from_ns = T0, .to_ns = T0 + 2 * NS_PER_HOUR };
	struct query_stats stats;
	struct fixture fixture;
	struct err err = { 0 };

	random_state = 5;
	fixture_open(&fixture);
	for (unsigned i = 0; i < 1200; i++) { /* more than a page of each */
		uint64_t ns = T0 + random_below(2 * NS_PER_HOUR);
		struct call_row call = { .id = i, .start_ns = ns, .end_ns = ns };
		struct event_row event = {
			.id = i, .start_ns = ns / 2 + T0 / 2, .end_ns = ns, .kind = EVENT_connect
		};

		CHECK_OK(store_write_rows(fixture.writer, TABLE_CALLS, &call, 1, &err), err);
		CHECK_OK(store_write_rows(fixture.writer, TABLE_EVENTS, &event, 1, &err), err);
	}
	add_flow(&fixture, 1, 0, 7199, 7199, 7300, false);
	CHECK_OK(query_replay(fixture.store, &opts, 0, replay_row, replay_sleep, &replayed, &stats,
			      &err),
		 err);
	CHECK_EQ(replayed.count, 2401);
	CHECK_EQ(replayed.rows_of[TABLE_CALLS], 1200);
	CHECK_EQ(replayed.rows_of[TABLE_FLOWS], 1);
	CHECK_EQ(replayed.slept_ns, 0);
	memset(&replayed, 0, sizeof(replayed));
	CHECK_OK(query_replay(fixture.store, &opts, 10, replay_row, replay_sleep, &replayed, &stats,
			      &err),
		 err);
	/* the last row stands near the end of two hours: twelve minutes at ten times the speed */
	CHECK(replayed.slept_ns > 11 * NS_PER_MIN && replayed.slept_ns < 12 * NS_PER_MIN);
	fixture_close(&fixture);
}

TEST(lookup, lists_values)
{
	struct query_opts opts = { .from_ns = T0 };
	const struct col *col = table_col(table_get(TABLE_CALLS), VIEW_LIT("method"));
	const struct col *l7 = table_col(table_get(TABLE_CALLS), VIEW_LIT("l7"));
	static const char *const methods[] = { "GET", "GET", "PUT", "POST", "GET", "POST" };
	struct fixture fixture;
	struct err err = { 0 };
	struct view *values;
	size_t count;

	fixture_open(&fixture);
	for (unsigned i = 0; i < 6; i++) {
		struct call_row call = { .id = i,
					 .start_ns = T0 + i,
					 .end_ns = T0 + i,
					 .l7 = i % 2 ? L7_http : L7_dns };

		ROW_SET(CALL, &call, method, view_str(methods[i]));
		fixture_write(&fixture, TABLE_CALLS, &call, 1);
	}
	for (unsigned sealed = 0; sealed < 2; sealed++) {
		opts.filter = VIEW_LIT("has(method)"); /* counted */
		CHECK_OK(query_values(fixture.store, &opts, TABLE_CALLS, col, (struct view){ 0 },
				      10, &fixture.arena, &values, &count, &err),
			 err);
		CHECK_EQ(count, 3);
		CHECK_VIEW(values[0], "GET");
		CHECK_VIEW(values[1], "POST");
		CHECK_VIEW(values[2], "PUT");
		opts.filter = (struct view){ 0 }; /* from dictionaries, then from the index */
		CHECK_OK(query_values(fixture.store, &opts, TABLE_CALLS, col, (struct view){ 0 },
				      10, &fixture.arena, &values, &count, &err),
			 err);
		CHECK_EQ(count, 3);
		CHECK_VIEW(values[0], "GET");
		CHECK_VIEW(values[2], "PUT");
		CHECK_OK(query_values(fixture.store, &opts, TABLE_CALLS, col, VIEW_LIT("P"), 1,
				      &fixture.arena, &values, &count, &err),
			 err);
		CHECK_EQ(count, 1);
		CHECK_VIEW(values[0], "POST");
		CHECK_OK(query_values(fixture.store, &opts, TABLE_CALLS, l7, (struct view){ 0 }, 10,
				      &fixture.arena, &values, &count, &err),
			 err);
		CHECK_EQ(count, 2);
		CHECK_VIEW(values[0], "dns");
		CHECK_VIEW(values[1], "http");
		fixture_seal(&fixture);
	}
	fixture_close(&fixture);
}

/* ---- packets ---- */

struct packets_got {
	uint64_t numbers[400];
	size_t count;
};

static bool packet_row(void *arg, const struct table *table, const void *row)
{
	const struct packet_row *packet = row;
	struct packets_got *got = arg;

	CHECK_EQ(table->id, TABLE_PACKETS);
	CHECK_LT(got->count, 400);
	got->numbers[got->count++] = packet->number;
	return true;
}

TEST(lookup, pages_through_packets, .timeout = 60)
{
	const char *captures = check_need_captures();
	struct query_rows rows = { .table = TABLE_PACKETS, .limit = 300 };
	struct query_opts opts = { .filter = VIEW_LIT(
					   "tcp && tcp.flags == 16 && payload_bytes == 0") };
	struct packets_got all = { 0 }, paged = { 0 };
	struct query_stats stats;
	struct err err = { 0 };
	struct view cursor = { 0 };
	struct store *store;
	struct arena arena;

	if (!captures)
		return;
	arena_init(&arena, 0);
	CHECK_OK(store_open(import_one(captures, "http/http_chunk.pcap", true), &store, &err), err);
	CHECK_OK(query_rows(store, &opts, &rows, packet_row, &all, &arena, &stats, &cursor, &err),
		 err);
	CHECK(all.count > 3 && cursor.len == 0, "%zu", all.count);
	rows.limit = 2;
	do {
		rows.cursor = cursor;
		CHECK_OK(query_rows(store, &opts, &rows, packet_row, &paged, &arena, &stats,
				    &cursor, &err),
			 err);
	} while (cursor.len);
	CHECK_EQ(paged.count, all.count);
	for (size_t i = 0; i < all.count; i++)
		CHECK_U64(paged.numbers[i], all.numbers[i]);
	rows = (struct query_rows){ .table = TABLE_PACKETS, .limit = 300, .ascending = true };
	memset(&paged, 0, sizeof(paged));
	CHECK_OK(query_rows(store, &opts, &rows, packet_row, &paged, &arena, &stats, &cursor, &err),
		 err);
	CHECK_EQ(paged.count, all.count);
	for (size_t i = 0; i < all.count; i++)
		CHECK_U64(paged.numbers[i], all.numbers[all.count - 1 - i]);
	store_close(store);
	arena_release(&arena);
}

/* Sealed partitions hold what the hot ones held, and find it by index. */
#include "tests/unit/store_kit.h"

static struct store_writer_opts inline_opts(void)
{
	return (struct store_writer_opts){ .seal_inline = true, .group_gid = -1 };
}

TEST(store_seal, rows_are_the_same)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store_view *view = NULL;
	struct store *store;
	struct err err = { 0 };

	for (unsigned i = 0; i < 5; i++) {
		kit_write_flows(writer, i * 1000, 1000, KIT_START, NS_PER_SEC);
		CHECK_OK(store_commit(writer, &err), err);
	}
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_U64(kit_check_flows(dir, 5000, KIT_START, NS_PER_SEC), 5000);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_U64(store_view_parts(view), 2);
	for (size_t part = 0; part < 2; part++) {
		CHECK(store_view_part(view, part)->sealed && store_view_part(view, part)->has_packets);
		CHECK_U64(store_rg_count(view, part, TABLE_FLOWS), 1);
	}
	CHECK_STR(store_view_part(view, 1)->path, "parts/2026-09-12T09.0");
	store_view_close(view);
	store_close(store);
}

TEST(store_seal, rows_are_sorted_by_minute_workload_and_port)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store *store;
	struct store_view *view = NULL;
	struct flow_row *rows = NULL;
	struct err err = { 0 };
	struct arena arena;
	struct rg rg;

	arena_init(&arena, 0);
	kit_write_flows(writer, 0, 3000, KIT_START, NS_PER_SEC);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_OK(store_rg_open(view, 0, TABLE_FLOWS, 0, &rg, &err), err);
	CHECK_OK(rg_read_rows(&rg, &arena, (void **)&rows, &err), err);
	CHECK_U64(rg.zone.rows, 3000);
	for (uint32_t i = 1; i < rg.zone.rows; i++) {
		const struct flow_row *a = &rows[i - 1], *b = &rows[i];
		uint64_t minute_a = a->start_ns / NS_PER_MIN, minute_b = b->start_ns / NS_PER_MIN;
		struct view dst_a = ROW_HAS(FLOW, a, dst_workload) ? a->dst_workload : view_make(NULL, 0);
		struct view dst_b = ROW_HAS(FLOW, b, dst_workload) ? b->dst_workload : view_make(NULL, 0);

		CHECK_LE(minute_a, minute_b);
		if (minute_a == minute_b) {
			CHECK_LE(view_cmp(dst_a, dst_b), 0);
			if (view_eq(dst_a, dst_b))
				CHECK_LE(a->dst_port, b->dst_port);
		}
	}
	store_view_close(view);
	store_close(store);
	arena_release(&arena);
}

/* Minutes lie by destination, in small row groups, of which one destination has few; nothing is lost or counted twice. */
static void coarse_rollups_check(bool bulk)
{
	enum { EDGES = 150, MINUTES = 60, SECONDS = 500 };
	const struct store_writer_opts opts = { .bulk = bulk, .seal_inline = true, .group_gid = -1, .zstd_level = 1 };
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, &opts);
	uint64_t flows[3] = { 0 }, random = 5;
	size_t groups_of_one = 0, minutes = 0;
	struct view dst_before = view_make(NULL, 0);
	struct store_view *view = NULL;
	struct store *store;
	struct err err = { 0 };
	struct arena arena;

	arena_init(&arena, 0);
	for (unsigned i = 0; i < EDGES * MINUTES + SECONDS; i++) {
		uint32_t tier = i < EDGES * MINUTES ? 60 : 1;
		uint64_t at = tier == 60 ? i / EDGES * NS_PER_MIN : kit_random(&random) % 3600 * NS_PER_SEC;
		struct rollup_row row = { .start_ns = KIT_START - KIT_START % NS_PER_HOUR + at, .tier = tier, .flows = i };
		char src[16], dst[16];

		row.end_ns = row.start_ns + tier * NS_PER_SEC;
		(void)snprintf(dst, sizeof(dst), "dst-%03u", (unsigned)(tier == 60 ? i % EDGES / 2 * 37 % 75 : 3));
		(void)snprintf(src, sizeof(src), "src-%u", i % 2);
		ROW_SET(ROLLUP, &row, src_workload, view_str(src));
		if (i % EDGES)
			ROW_SET(ROLLUP, &row, dst_workload, view_str(dst));
		CHECK_OK(store_write_rows(writer, TABLE_ROLLUPS, &row, 1, &err), err);
		if (i % 4000 == 3999)
			CHECK_OK(store_commit(writer, &err), err);
		flows[tier == 60] += i;
	}
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_EQ(kit_findings(dir), 0);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_EQ(store_view_parts(view), 1);
	for (size_t g = 0; g < store_rg_count(view, 0, TABLE_ROLLUPS); g++) {
		struct rollup_row *rows = NULL;
		bool has_one = false;
		struct rg rg;

		CHECK_OK(store_rg_open(view, 0, TABLE_ROLLUPS, g, &rg, &err), err);
		CHECK_OK(rg_read_rows(&rg, &arena, (void **)&rows, &err), err);
		for (uint32_t i = 0; i < rg.zone.rows; i++) {
			CHECK_EQ(rows[i].tier, rows[0].tier);
			flows[rows[i].tier == 60] -= rows[i].flows;
			if (rows[0].tier != 60)
				continue;
			minutes++;
			has_one |= view_eq(rows[i].dst_workload, VIEW_LIT("dst-042"));
			CHECK_LE(view_cmp(dst_before, rows[i].dst_workload), 0);
			if (i && view_eq(dst_before, rows[i].dst_workload))
				CHECK_LE(rows[i - 1].start_ns, rows[i].start_ns);
			dst_before = rows[i].dst_workload;
		}
		if (rows[0].tier == 60)
			CHECK_LE(rg.zone.rows, 4096);
		groups_of_one += has_one;
	}
	CHECK_EQ(minutes, EDGES * MINUTES);
	CHECK_U64(flows[0] | flows[1], 0);
	CHECK(groups_of_one == 1 || groups_of_one == 2);
	store_view_close(view);
	store_close(store);
	arena_release(&arena);
}

TEST(store_seal, rollups_of_minutes_lie_by_destination)
{
	coarse_rollups_check(false);
	coarse_rollups_check(true);
}

/* Several slices and several row groups. */
TEST(store_seal, many_rows, .timeout = 110)
{
	const uint64_t count = 200000;
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	for (uint64_t from = 0; from < count; from += 50000) {
		kit_write_flows(writer, from, 50000, KIT_START, 10 * NS_PER_MS);
		CHECK_OK(store_commit(writer, &err), err);
	}
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_U64(kit_check_flows(dir, count, KIT_START, 10 * NS_PER_MS), count);
}

TEST(store_seal, packets_are_the_same)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	kit_write_packets(writer, 1, 0, 20000, KIT_START, 100 * NS_PER_MS, 500);
	kit_write_packets(writer, 2, 0, 5000, KIT_START, 100 * NS_PER_MS, 100);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_U64(kit_check_packets(dir, KIT_START, 100 * NS_PER_MS, 0, UINT64_MAX, 0), 25000);
	CHECK_U64(kit_check_packets(dir, KIT_START, 100 * NS_PER_MS, KIT_START + NS_PER_SEC, KIT_START + 2 * NS_PER_SEC, 0),
		  20);
	CHECK_U64(kit_check_packets(dir, KIT_START, 100 * NS_PER_MS, 0, UINT64_MAX, 1005), 198 + 50);
	CHECK_U64(kit_check_packets(dir, KIT_START, 100 * NS_PER_MS, 0, UINT64_MAX, 999999), 0);
}

/* More than a window of 64 MiB. */
TEST(store_seal, packets_of_several_windows, .timeout = 60)
{
	const char *dir = check_tmpdir();
	struct store_writer_opts opts = inline_opts();
	struct store_writer *writer;
	struct err err = { 0 };

	opts.zstd_level = 1;
	writer = kit_writer(dir, &opts);
	kit_write_packets(writer, 3, 0, 120000, KIT_START, NS_PER_MS, 3000);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_MS, 0, UINT64_MAX, 0), 120000);
	CHECK_U64(kit_check_packets(dir, KIT_START, NS_PER_MS, 0, UINT64_MAX, 1050), 1188);
}

TEST(store_seal, late_rows_make_a_generation)
{
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store_view *view = NULL;
	struct store *store;
	struct err err = { 0 };

	kit_write_flows(writer, 0, 100, KIT_START, NS_PER_SEC);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	for (unsigned i = 1; i < 3; i++) {
		writer = kit_writer(dir, NULL);
		kit_write_flows(writer, i * 100, 100, KIT_START, NS_PER_SEC);
		CHECK_OK(store_writer_close(writer, i == 2, &err), err);
	}
	CHECK_U64(kit_check_flows(dir, 300, KIT_START, NS_PER_SEC), 300);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_U64(store_view_parts(view), 2);	/* the second and the third writer shared one */
	CHECK_STR(store_view_part(view, 0)->path, "parts/2026-09-12T08.0");
	CHECK_STR(store_view_part(view, 1)->path, "parts/2026-09-12T08.1");
	store_view_close(view);
	store_close(store);
}

TEST(store_seal, at_most_so_many_are_hot)
{
	const char *dir = check_tmpdir();
	struct store_writer_opts opts = { .hot_partitions_max = 2, .group_gid = -1, .seal_inline = true };
	struct store_writer *writer = kit_writer(dir, &opts);
	struct store_view *view = NULL;
	struct store *store;
	struct err err = { 0 };
	size_t hot = 0;

	kit_write_flows(writer, 0, 600, KIT_START, 60 * NS_PER_SEC);	/* ten hours */
	CHECK_OK(store_commit(writer, &err), err);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_U64(store_view_parts(view), 10);
	for (size_t part = 0; part < 10; part++)
		hot += !store_view_part(view, part)->sealed;
	CHECK_U64(hot, 2);
	store_view_close(view);
	store_close(store);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	CHECK_U64(kit_check_flows(dir, 600, KIT_START, 60 * NS_PER_SEC), 600);
}

/* The thread seals while rows keep coming and a reader looks. */
TEST(store_seal, beside_the_writer)
{
	const char *dir = check_tmpdir();
	struct store_writer_opts opts = { .hot_partitions_max = 2, .group_gid = -1 };
	struct store_writer *writer = kit_writer(dir, &opts);
	struct store *store = kit_store(dir);
	struct err err = { 0 };

	for (unsigned i = 0; i < 20; i++) {
		struct store_view *view = NULL;
		uint64_t rows = 0;

		kit_write_flows(writer, i * 60, 60, KIT_START, 60 * NS_PER_SEC);
		CHECK_OK(store_commit(writer, &err), err);
		CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
		for (size_t part = 0; part < store_view_parts(view); part++)
			rows += store_view_part(view, part)->rows[TABLE_FLOWS];
		CHECK_U64(rows, (i + 1) * 60);
		store_view_close(view);
	}
	CHECK_OK(store_writer_close(writer, true, &err), err);
	store_close(store);
	CHECK_U64(kit_check_flows(dir, 1200, KIT_START, 60 * NS_PER_SEC), 1200);
}

struct value_list {
	unsigned count;
	bool numeric_order;
	uint64_t last;
};

static bool count_value(struct view value, void *arg)
{
	struct value_list *list = arg;
	uint64_t v = 0;

	if (value.len == 8)
		memcpy(&v, value.at, 8);
	if (list->count && v <= list->last)
		list->numeric_order = false;
	list->last = v;
	list->count++;
	return true;
}

TEST(store_seal, indexes_find_what_is_there)
{
	const struct table *flows = table_get(TABLE_FLOWS);
	const struct col *dst_port = &flows->cols[FLOW_dst_port], *workload = &flows->cols[FLOW_dst_workload];
	const struct col *src_ip = &flows->cols[FLOW_src_ip], *id = &flows->cols[FLOW_id];
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct value_list list = { .numeric_order = true };
	struct store_view *view = NULL;
	struct bitmap *bitmap = NULL;
	struct store *store;
	struct err err = { 0 };
	struct ip ip = ip_from_v4(0x0100000a);
	uint64_t port, missing = 0;
	size_t groups;

	kit_write_flows(writer, 0, 200000, KIT_START, 10 * NS_PER_MS);
	CHECK_OK(store_commit(writer, &err), err);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_OK(store_index_lookup(view, 0, TABLE_FLOWS, dst_port, view_make("", 0), &bitmap, &err), err);
	CHECK_NULL(bitmap);	/* a hot one has none */
	CHECK_RC(store_index_values(view, 0, TABLE_FLOWS, dst_port, count_value, &list, NULL), E_UNSUPPORTED);
	CHECK_RC(store_bloom_may_have(view, 0, TABLE_FLOWS, 0, id, view_make(&missing, 8), &err), 1);
	store_view_close(view);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	groups = store_rg_count(view, 0, TABLE_FLOWS);
	CHECK_U64(groups, 4);
	for (port = 79; port <= 85; port++) {
		CHECK_OK(store_index_lookup(view, 0, TABLE_FLOWS, dst_port, view_make(&port, 8), &bitmap, &err), err);
		CHECK_U64(bitmap_count(bitmap), port >= 80 && port < 85 ? groups : 0);
		bitmap_free(bitmap);
	}
	CHECK_OK(store_index_values(view, 0, TABLE_FLOWS, dst_port, count_value, &list, &err), err);
	CHECK(list.count == 5 && list.numeric_order && list.last == 84, "%u values", list.count);
	CHECK_OK(store_index_lookup(view, 0, TABLE_FLOWS, workload, VIEW_LIT("workload-3"), &bitmap, &err), err);
	CHECK_U64(bitmap_count(bitmap), groups);
	bitmap_free(bitmap);
	CHECK_OK(store_index_lookup(view, 0, TABLE_FLOWS, workload, VIEW_LIT("workload-"), &bitmap, &err), err);
	CHECK_U64(bitmap_count(bitmap), 0);
	bitmap_free(bitmap);
	CHECK_OK(store_index_lookup(view, 0, TABLE_FLOWS, src_ip, view_make(ip.b, 16), &bitmap, &err), err);
	CHECK_U64(bitmap_count(bitmap), groups);
	bitmap_free(bitmap);
	for (unsigned n = 0; n < 200000; n += 997) {
		uint64_t flow_id = schema_id(KIT_START + n * 10 * NS_PER_MS, n);
		unsigned may = 0;

		for (size_t g = 0; g < groups; g++)
			may += (unsigned)store_bloom_may_have(view, 0, TABLE_FLOWS, g, id, view_make(&flow_id, 8), &err);
		CHECK(may >= 1, "flow %u is in no group", n);
		missing += may - 1;
	}
	CHECK(missing < 60, "%llu of 600 filters say yes for nothing", (unsigned long long)missing);
	store_view_close(view);
	store_close(store);
}

/* Values longer than a key are found too, and listed whole. */
static bool check_long(struct view value, void *arg)
{
	CHECK(value.len == *(size_t *)arg && value.at[0] == 'w' && value.at[value.len - 1] == 'w');
	return true;
}

TEST(store_seal, long_values_are_indexed)
{
	const struct col *col = &table_get(TABLE_FLOWS)->cols[FLOW_dst_workload];
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store_view *view = NULL;
	struct bitmap *bitmap = NULL;
	struct store *store;
	struct err err = { 0 };
	char text[64], name[3000];
	struct flow_row row = kit_flow(1, KIT_START, text);
	size_t len = sizeof(name);

	memset(name, 'w', sizeof(name));
	ROW_SET(FLOW, &row, dst_workload, view_make(name, len));
	CHECK_OK(store_write_rows(writer, TABLE_FLOWS, &row, 1, &err), err);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_OK(store_index_lookup(view, 0, TABLE_FLOWS, col, view_make(name, len), &bitmap, &err), err);
	CHECK_U64(bitmap_count(bitmap), 1);
	bitmap_free(bitmap);
	CHECK_OK(store_index_lookup(view, 0, TABLE_FLOWS, col, view_make(name, len - 1), &bitmap, &err), err);
	CHECK_U64(bitmap_count(bitmap), 0);
	bitmap_free(bitmap);
	CHECK_OK(store_index_values(view, 0, TABLE_FLOWS, col, check_long, &len, &err), err);
	store_view_close(view);
	store_close(store);
}

TEST(store_seal, of_the_ends_of_time)
{
	const uint64_t times[] = { 0, 7, UINT64_MAX, UINT64_MAX - 5 };
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct store_view *view = NULL;
	struct store *store;
	struct err err = { 0 };
	uint64_t rows = 0;

	for (size_t i = 0; i < 4; i++) {
		char text[64];
		struct flow_row row = kit_flow(i, times[i], text);

		CHECK_OK(store_write_rows(writer, TABLE_FLOWS, &row, 1, &err), err);
	}
	kit_write_packets(writer, 1, 0, 1, 0, 0, 10);
	kit_write_packets(writer, 1, 0, 1, UINT64_MAX, 0, 10);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_U64(store_view_parts(view), 2);
	for (size_t part = 0; part < 2; part++) {
		struct store_packets *packets = NULL;
		struct packet_rec rec;
		uint64_t source;

		rows += store_view_part(view, part)->rows[TABLE_FLOWS];
		CHECK(store_view_part(view, part)->sealed);
		CHECK_OK(store_packets_open(view, part, 0, UINT64_MAX, NULL, 0, &packets, &err), err);
		CHECK_RC(store_packets_next(packets, &rec, &source, &err), 1);
		CHECK_RC(store_packets_next(packets, &rec, &source, &err), 0);
		store_packets_close(packets);
	}
	CHECK_U64(rows, 4);
	store_view_close(view);
	store_close(store);
}

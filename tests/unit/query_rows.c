#include "tests/query_store.h"

static struct call_row call_at(struct fixture *fixture, uint64_t start_ns, uint64_t length_ns)
{
	static const char *const methods[] = { "GET", "PUT", "POST" };
	struct call_row row = { 0 };

	row.id = schema_id(start_ns, fixture->next_id);
	row.start_ns = start_ns;
	row.end_ns = start_ns + length_ns;
	row.flow_id = fixture->next_id % 7;
	row.number = (uint32_t)fixture->next_id++;
	row.end_reason = CALL_END_complete;
	row.l7 = row.number % 3 ? L7_http : L7_dns;
	row.status_class = row.number % 10 == 0 ? CLASS_server_error : CLASS_ok;
	ROW_SET(CALL, &row, method, view_str(methods[row.number % 3]));
	ROW_SET(CALL, &row, latency_ns, length_ns);
	if (row.number % 4)
		ROW_SET(CALL, &row, status, (uint16_t)(row.number % 10 == 0 ? 503 : 200));
	return row;
}

static void write_calls(struct fixture *fixture, const struct call_row *rows, size_t count)
{
	fixture_write(fixture, TABLE_CALLS, rows, count);
}

/* ---- what a query hands out ---- */

struct got {
	uint64_t *numbers;
	size_t count, cap, stop_after;
	uint64_t last_start_ns, last_id;
	bool ascending;
};

static bool got_row(void *arg, const struct table *table, const void *row)
{
	const struct call_row *call = row;
	struct got *got = arg;

	CHECK_EQ(table->id, TABLE_CALLS);
	if (got->count) {
		bool later = call->start_ns > got->last_start_ns ||
			     (call->start_ns == got->last_start_ns && call->id >= got->last_id);

		CHECK(got->ascending ? later
				     : !later || (call->start_ns == got->last_start_ns &&
						  call->id == got->last_id),
		      "row %zu is out of order", got->count);
	}
	got->last_start_ns = call->start_ns;
	got->last_id = call->id;
	CHECK_EQ(mem_grow((void **)&got->numbers, &got->cap, got->count, sizeof(*got->numbers)), 0);
	got->numbers[got->count++] = call->number;
	return got->count != got->stop_after;
}

static int run(struct fixture *fixture, const struct query_opts *opts,
	       const struct query_rows *rows, struct got *got, struct query_stats *stats,
	       struct view *cursor, struct err *err)
{
	got->ascending = rows->ascending;
	return query_rows(fixture->store, opts, rows, got_row, got, &fixture->arena, stats, cursor,
			  err);
}

static bool contains(const struct got *got, uint64_t number)
{
	for (size_t i = 0; i < got->count; i++)
		if (got->numbers[i] == number)
			return true;
	return false;
}

TEST(rows, come_in_order_over_hours_hot_and_sealed)
{
	struct fixture fixture;
	struct query_rows rows = { .table = TABLE_CALLS, .limit = 10000 };
	struct query_opts opts = { .from_ns = T0, .to_ns = T0 + 4 * NS_PER_HOUR };
	struct query_stats stats;
	struct err err = { 0 };
	struct view cursor;

	fixture_open(&fixture);
	for (unsigned round = 0; round < 4; round++) {
		struct call_row batch[100];

		for (unsigned i = 0; i < 100; i++)
			batch[i] = call_at(&fixture, T0 + (i * 137 % 400) * 30 * NS_PER_SEC + round,
					   NS_PER_MS);
		write_calls(&fixture, batch, 100);
		if (round == 1)
			fixture_seal(&fixture);
	}
	for (unsigned ascending = 0; ascending < 2; ascending++) {
		struct got got = { 0 };

		rows.ascending = ascending;
		CHECK_OK(run(&fixture, &opts, &rows, &got, &stats, &cursor, &err), err);
		CHECK_U64(got.count, 400);
		CHECK_U64(stats.rows_matched, 400);
		CHECK_EQ(cursor.len, 0);
		CHECK_NOT(stats.truncated);
		mem_free(got.numbers);
	}
	fixture_close(&fixture);
}

TEST(rows, keep_what_overlaps_or_what_begins_in_the_range)
{
	struct fixture fixture;
	struct query_rows rows = { .table = TABLE_CALLS, .limit = 100 };
	struct query_opts opts = { .from_ns = T0 + 10 * NS_PER_SEC, .to_ns = T0 + 20 * NS_PER_SEC };
	struct query_stats stats;
	struct err err = { 0 };
	struct view cursor;
	struct got got = { 0 };
	struct call_row batch[6];

	fixture_open(&fixture);
	batch[0] = call_at(&fixture, T0, 5 * NS_PER_SEC); /* ends before */
	batch[1] = call_at(&fixture, T0 + 1,
			   10 * NS_PER_SEC - 1); /* ends just at the begin: overlaps */
	batch[2] = call_at(&fixture, T0 + 5 * NS_PER_SEC, 60 * NS_PER_SEC); /* around it */
	batch[3] = call_at(&fixture, T0 + 10 * NS_PER_SEC, 0);		    /* begins with it */
	batch[4] = call_at(&fixture, T0 + 20 * NS_PER_SEC - 1,
			   NS_PER_SEC);			       /* begins at its last instant */
	batch[5] = call_at(&fixture, T0 + 20 * NS_PER_SEC, 0); /* begins at its end: outside */
	write_calls(&fixture, batch, 6);
	CHECK_OK(run(&fixture, &opts, &rows, &got, &stats, &cursor, &err), err);
	CHECK_U64(got.count, 4);
	CHECK(contains(&got, 1) && contains(&got, 2) && contains(&got, 3) && contains(&got, 4));
	got.count = 0;
	rows.starts_within = true;
	CHECK_OK(run(&fixture, &opts, &rows, &got, &stats, &cursor, &err), err);
	CHECK_U64(got.count, 2);
	CHECK(contains(&got, 3) && contains(&got, 4));
	mem_free(got.numbers);
	fixture_close(&fixture);
}

/* Pages of random size, while the recorder goes on writing. */
static void page_through(bool ascending, const char *filter)
{
	struct fixture fixture;
	struct query_rows rows = { .table = TABLE_CALLS, .ascending = ascending };
	struct query_opts opts = { .from_ns = T0, .filter = view_str(filter) };
	struct query_stats stats;
	struct got all = { 0 }, paged = { 0 };
	struct err err = { 0 };
	struct view cursor = { 0 };
	uint64_t seed = clock_mono_ns() | 1;

	random_state = seed;
	fixture_open(&fixture);
	for (unsigned round = 0; round < 8; round++) {
		struct call_row batch[150];

		/* few distinct instants: pages end amid equal ones */
		for (unsigned i = 0; i < 150; i++)
			batch[i] = call_at(&fixture, T0 + random_below(60) * 2 * NS_PER_MIN,
					   random_below(NS_PER_SEC));
		if (round == 3) /* the same rows twice: equal start and id */
			batch[7] = batch[8] = batch[9];
		write_calls(&fixture, batch, 150);
		if (round == 4)
			fixture_seal(&fixture);
	}
	rows.limit = 100000;
	CHECK_OK(run(&fixture, &opts, &rows, &all, &stats, &cursor, &err), err);
	for (unsigned page = 0;; page++) {
		rows.limit = 1 + random_below(90);
		rows.cursor = cursor;
		paged.stop_after = 0;
		CHECK_OK(run(&fixture, &opts, &rows, &paged, &stats, &cursor, &err), err);
		CHECK_EQ(stats.truncated, cursor.len > 0);
		if (!cursor.len)
			break;
		if (!ascending) { /* newer ones, which the pages have passed */
			struct call_row late = call_at(&fixture, T0 + 3 * NS_PER_HOUR + page, 0);

			write_calls(&fixture, &late, 1);
		}
		CHECK(page < 5000);
	}
	CHECK(paged.count == all.count, "seed %" PRIu64 ": %zu rows in pages, %zu at once", seed,
	      paged.count, all.count);
	for (size_t i = 0; i < all.count; i++)
		CHECK(paged.numbers[i] == all.numbers[i], "seed %" PRIu64 ": row %zu", seed, i);
	mem_free(all.numbers);
	mem_free(paged.numbers);
	fixture_close(&fixture);
}

TEST(rows, pages_add_up_newest_first)
{
	page_through(false, "");
}

TEST(rows, pages_add_up_oldest_first)
{
	page_through(true, "");
}

TEST(rows, pages_add_up_under_a_filter)
{
	page_through(false, "http && (status == 200 || method == PUT)");
}

TEST(rows, stop_when_told)
{
	struct fixture fixture;
	struct query_rows rows = { .table = TABLE_CALLS, .limit = 50 };
	struct query_opts opts = { .from_ns = T0 };
	struct got got = { .stop_after = 7 };
	struct query_stats stats;
	struct call_row batch[20];
	struct err err = { 0 };
	struct view cursor;

	fixture_open(&fixture);
	for (unsigned i = 0; i < 20; i++)
		batch[i] = call_at(&fixture, T0 + i * NS_PER_SEC, 0);
	write_calls(&fixture, batch, 20);
	CHECK_OK(run(&fixture, &opts, &rows, &got, &stats, &cursor, &err), err);
	CHECK_U64(got.count, 7);
	CHECK(cursor.len > 0);
	rows.cursor = cursor;
	got.stop_after = 0;
	CHECK_OK(run(&fixture, &opts, &rows, &got, &stats, &cursor, &err), err);
	CHECK_U64(got.count, 20);
	for (unsigned i = 0; i < 20; i++)
		CHECK_U64(got.numbers[i], 19 - i);
	mem_free(got.numbers);
	fixture_close(&fixture);
}

static void check_refused(struct fixture *fixture, const struct query_opts *opts,
			  const struct query_rows *rows, int want)
{
	struct query_stats stats;
	struct got got = { 0 };
	struct err err = { 0 };
	struct view cursor;
	int rc = run(fixture, opts, rows, &got, &stats, &cursor, &err);

	CHECK(rc == want, "%s: %s, not %s", err_name(rc), err.text, err_name(want));
	CHECK(err.code == want && err.text[0]);
	mem_free(got.numbers);
}

TEST(rows, refuse_a_cursor_of_another_query)
{
	struct fixture fixture;
	struct query_rows rows = { .table = TABLE_CALLS, .limit = 5 };
	struct query_opts opts = { .from_ns = T0, .filter = VIEW_LIT("http") };
	struct call_row batch[50];
	struct query_stats stats;
	struct got got = { 0 };
	struct err err = { 0 };
	struct view cursor, cut;
	char bent[64];

	fixture_open(&fixture);
	for (unsigned i = 0; i < 50; i++)
		batch[i] = call_at(&fixture, T0 + i * NS_PER_SEC, 0);
	write_calls(&fixture, batch, 50);
	CHECK_OK(run(&fixture, &opts, &rows, &got, &stats, &cursor, &err), err);
	CHECK(cursor.len > 0 && cursor.len < sizeof(bent));
	rows.cursor = cursor;
	opts.filter = VIEW_LIT("dns");
	check_refused(&fixture, &opts, &rows, E_FORMAT);
	opts.filter = VIEW_LIT("http");
	rows.ascending = true;
	check_refused(&fixture, &opts, &rows, E_FORMAT);
	rows.ascending = false;
	rows.table = TABLE_FLOWS;
	check_refused(&fixture, &opts, &rows, E_FORMAT);
	rows.table = TABLE_CALLS;
	cut = view_sub(cursor, 0, cursor.len - 1);
	rows.cursor = cut;
	check_refused(&fixture, &opts, &rows, E_FORMAT);
	for (size_t i = 0; i < cursor.len; i++) {
		memcpy(bent, cursor.at, cursor.len);
		bent[i] = bent[i] == 'A' ? 'B' : 'A';
		rows.cursor = view_make(bent, cursor.len);
		check_refused(&fixture, &opts, &rows, E_FORMAT);
		bent[i] = '!';
		check_refused(&fixture, &opts, &rows, E_FORMAT);
	}
	mem_free(got.numbers);
	fixture_close(&fixture);
}

TEST(rows, keep_to_their_budgets)
{
	struct fixture fixture;
	struct query_rows rows = { .table = TABLE_CALLS, .limit = 100 };
	struct query_opts opts = { .from_ns = T0 };
	struct call_row batch[50];
	atomic_bool cancel = true;

	fixture_open(&fixture);
	for (unsigned i = 0; i < 50; i++)
		batch[i] = call_at(&fixture, T0 + i * NS_PER_MIN, 0);
	write_calls(&fixture, batch, 30);
	write_calls(&fixture, batch + 30, 20);
	opts.budget.rows = 10;
	check_refused(&fixture, &opts, &rows, E_BUDGET);
	opts.budget.rows = 0;
	opts.budget.time_ns = 1;
	check_refused(&fixture, &opts, &rows, E_TIMEOUT);
	opts.budget.time_ns = 0;
	opts.cancel = &cancel;
	check_refused(&fixture, &opts, &rows, E_CANCELLED);
	opts.cancel = NULL;
	opts.budget.memory = 100;
	check_refused(&fixture, &opts, &rows, E_BUDGET);
	opts.budget.memory = 0;
	opts.from_ns = T0 + 1;
	opts.to_ns = T0;
	check_refused(&fixture, &opts, &rows, E_RANGE);
	opts.to_ns = 0;
	opts.filter = VIEW_LIT("nope == 1");
	check_refused(&fixture, &opts, &rows, E_UNKNOWN_NAME);
	fixture_close(&fixture);
}

/* ---- damage ---- */

/* Flip one bit of every row group's bytes in the first sealed partition's file; of the file where it is packed whole. */
static unsigned damage(const char *dir, size_t behind_magic)
{
	static const char magic[] = "TDRG";
	unsigned found = 0;
	char command[600], path[512];
	FILE *list;

	(void)snprintf(command, sizeof(command), "ls -d %s/parts/*/data.seg", dir);
	list = popen(command, "re");
	CHECK(list && fgets(path, sizeof(path), list));
	path[strcspn(path, "\n")] = '\0';
	(void)pclose(list);
	{
		FILE *file = fopen(path, "r+e");
		struct wr bytes;
		uint8_t *space;
		long len;

		CHECK(file);
		wr_init(&bytes, 0);
		CHECK_EQ(fseek(file, 0, SEEK_END), 0);
		len = ftell(file);
		rewind(file);
		space = wr_space(&bytes, (size_t)len);
		CHECK_EQ(fread(space, 1, (size_t)len, file), (size_t)len);
		for (size_t at = 0; at + behind_magic < (size_t)len; at++) {
			if (memcmp(space + at, magic, 4) != 0)
				continue;
			space[at + behind_magic] ^= 0x10;
			found++;
			at += behind_magic;
		}
		if (!found && memcmp(space, "TDSP", 4) == 0) {
			space[behind_magic % (size_t)len] ^= 0x10;
			found = 1;
		}
		rewind(file);
		CHECK_EQ(fwrite(space, 1, (size_t)len, file), (size_t)len);
		CHECK_EQ(fclose(file), 0);
		wr_release(&bytes);
	}
	return found;
}

TEST(rows, skip_and_count_what_is_damaged)
{
	static const size_t places[] = { 9, 40, 200, 600, 800, 1000, 1200, 9, 200, 1000 };
	static uint8_t texts[600][700];
	unsigned hit = 0;
	uint64_t random = 4;

	for (size_t i = 0; i < sizeof(texts); i++)
		texts[i / 700][i % 700] = (uint8_t)((random = random * 6364136223846793005u + 1) >> 56);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct query_rows rows = { .table = TABLE_CALLS, .limit = 10000 };
		struct query_opts opts = { .filter = VIEW_LIT("status == 200 || has(method)") };
		struct query_aggregate what = { .table = TABLE_CALLS,
						.by = VIEW_LIT("method"),
						.agg = VIEW_LIT("count, p50(latency)") };
		static struct call_row batch[600];
		struct query_groups groups;
		struct query_stats stats;
		struct fixture fixture;
		struct got got = { 0 };
		struct err err = { 0 };
		struct view cursor;

		fixture_open(&fixture);
		for (unsigned k = 0; k < 600; k++)
			batch[k] = call_at(&fixture, T0 + k * 20 * NS_PER_SEC, NS_PER_MS + k);
		for (unsigned k = 0; k < 600 && i < 7; k++)	/* else the partition is packed whole */
			ROW_SET(CALL, &batch[k], target, view_make(texts[k], sizeof(texts[k])));
		write_calls(&fixture, batch, 600);
		fixture_seal(&fixture);
		CHECK_GT(damage(fixture.dir, places[i]), 0);
		CHECK_OK(run(&fixture, &opts, &rows, &got, &stats, &cursor, &err), err);
		/* The first hour is lost, the rest is not; or the bit fell between two chunks. */
		CHECK(got.count == (stats.damaged_row_groups ? 420 : 600), "byte %zu: %zu rows",
		      places[i], got.count);
		hit += stats.damaged_row_groups > 0;
		CHECK_OK(query_aggregate(fixture.store, &opts, &what, &fixture.arena, &groups,
					 &stats, &err),
			 err);
		mem_free(got.numbers);
		fixture_close(&fixture);
		check_fini();
	}
	CHECK_GE(hit, 7);
}

/* Retention by scope: payload classes, tables and tiers, each by its own rule. */
#include "store/part.h"
#include "tests/unit/store_kit.h"

#define HOURS 6u

/* ------------------------------------------------------------------ scopes */

/* Six sealed hours: in each ten flows, of which the first fails, the second is of a namespace, the third speaks redis. */
#define SCOPE_FLOWS 10u
#define SCOPE_FRAMES 40u	/* of each flow and hour */

static uint64_t scope_flow_id(uint64_t hour, unsigned flow)
{
	return schema_id(KIT_START + hour * NS_PER_HOUR, flow + 1);
}

static void write_scope_hour(struct store_writer *writer, uint64_t hour)
{
	static const uint32_t tiers[ROLLUP_TIERS_COUNT] = ROLLUP_TIERS;
	uint64_t start_ns = KIT_START + hour * NS_PER_HOUR, number = hour * SCOPE_FLOWS * SCOPE_FRAMES;
	uint8_t bytes[KIT_FRAME_MAX];
	struct packet_block block;
	struct err err = { 0 };

	CHECK_RC(packet_block_init(&block, 1), 0);
	for (unsigned f = 0; f < SCOPE_FLOWS; f++) {
		uint64_t at_ns = start_ns + f * NS_PER_MIN;
		struct flow_row flow = { .id = scope_flow_id(hour, f), .start_ns = at_ns, .end_ns = at_ns + NS_PER_SEC,
					 .first_ns = at_ns };
		struct call_row call = { .id = flow.id + SCOPE_FLOWS, .start_ns = at_ns, .end_ns = at_ns + NS_PER_SEC,
					 .flow_id = flow.id, .end_reason = CALL_END_complete, .l7 = L7_http,
					 .status_class = f == 0 ? CLASS_server_error : CLASS_ok };
		struct event_row event = { .id = flow.id, .start_ns = at_ns, .end_ns = at_ns, .kind = EVENT_connect };

		if (f == 1)
			ROW_SET(FLOW, &flow, dst_namespace, VIEW_LIT("payments"));
		if (f == 2)
			ROW_SET(FLOW, &flow, l7, L7_redis);
		CHECK_OK(store_write_rows(writer, TABLE_FLOWS, &flow, 1, &err), err);
		CHECK_OK(store_write_rows(writer, TABLE_CALLS, &call, 1, &err), err);
		CHECK_OK(store_write_rows(writer, TABLE_EVENTS, &event, 1, &err), err);
		for (int t = 0; t < ROLLUP_TIERS_COUNT; t++) {
			uint64_t tier_ns = tiers[t] * NS_PER_SEC;
			struct rollup_row rollup = { .start_ns = at_ns / tier_ns * tier_ns, .tier = tiers[t], .calls = 1 };

			rollup.end_ns = rollup.start_ns + tier_ns;
			CHECK_OK(store_write_rows(writer, TABLE_ROLLUPS, &rollup, 1, &err), err);
		}
		for (unsigned n = 0; n < SCOPE_FRAMES; n++) {
			struct packet_rec rec = kit_packet(number++, start_ns, NS_PER_SEC, bytes);

			rec.time_ns = at_ns + n * NS_PER_MS;
			rec.flow_id = flow.id;
			CHECK_GE(packet_block_add(&block, &rec), 0);
		}
	}
	CHECK_OK(store_write_packets(writer, &block, &err), err);
	packet_block_release(&block);
}

static struct store_policy scope_policy(const struct store_rule *rules, size_t count)
{
	struct store_policy policy = { 0 };
	struct err err = { 0 };

	for (size_t i = 0; i < count; i++)
		CHECK_OK(store_policy_put(&policy, &rules[i], &err), err);
	return policy;
}

/* bulk: as an import does, else through hot partitions. */
static const char *make_scopes(const struct store_policy *policy, bool bulk)
{
	const struct store_writer_opts opts = { .seal_inline = true, .bulk = bulk };
	const char *dir = check_tmpdir();
	struct store_writer *writer = kit_writer(dir, NULL);
	struct err err = { 0 };

	CHECK_OK(store_policy_set(dir, policy, &err), err);
	CHECK_OK(store_writer_close(writer, false, &err), err);
	writer = kit_writer(dir, &opts);
	for (uint64_t hour = 0; hour < HOURS; hour++)
		write_scope_hour(writer, hour);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_U64(kit_findings(dir), 0);
	return dir;
}

/* Frames of a flow that are held, of those only the first cut bytes (0: whole); *ret_expired: some were. */
static uint64_t scope_frames_cut(const char *dir, uint64_t hour, unsigned flow, size_t cut, bool *ret_expired)
{
	struct store *store = kit_store(dir);
	struct store_view *view = NULL;
	uint64_t id = scope_flow_id(hour, flow), count = 0;
	struct err err = { 0 };

	*ret_expired = false;
	CHECK_OK(store_view_open(store, KIT_START + hour * NS_PER_HOUR, KIT_START + (hour + 1) * NS_PER_HOUR, &view, &err), err);
	for (size_t part = 0; part < store_view_parts(view); part++) {
		struct store_packets *packets = NULL;
		struct packet_rec rec;
		uint64_t source;
		int rc;

		if (store_view_part(view, part)->hour != KIT_HOUR + hour)
			continue;	/* rollups of the hour before reach into this one */
		rc = store_packets_open(view, part, 0, UINT64_MAX, &id, 1, &packets, &err);
		if (rc == E_EXPIRED) {
			*ret_expired = true;
			err_clear(&err);
			continue;
		}
		CHECK_OK(rc, err);
		while ((rc = store_packets_next(packets, &rec, &source, &err)) > 0) {
			uint8_t bytes[KIT_FRAME_MAX];
			struct packet_rec want = kit_packet(rec.number - 1, 0, 0, bytes);

			if (cut && want.frame.len > cut)
				want.frame.len = cut;
			CHECK(view_eq(rec.frame, want.frame) && rec.orig_len == want.orig_len && rec.dir == want.dir,
			      "frame %llu differs", (unsigned long long)rec.number);
			count++;
		}
		CHECK_OK(rc, err);
		*ret_expired |= store_packets_expired(packets);
		store_packets_close(packets);
	}
	store_view_close(view);
	store_close(store);
	return count;
}

static uint64_t scope_frames(const char *dir, uint64_t hour, unsigned flow, bool *ret_expired)
{
	return scope_frames_cut(dir, hour, flow, 0, ret_expired);
}

/* Rows of a table that begin in an hour; all of a table are read. */
static uint64_t scope_rows(const char *dir, uint64_t hour, enum table_id table)
{
	struct store *store = kit_store(dir);
	struct store_view *view = NULL;
	uint64_t count = 0;
	struct err err = { 0 };
	struct arena arena;

	arena_init(&arena, 0);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	for (size_t part = 0; part < store_view_parts(view); part++) {
		for (size_t g = 0; store_view_part(view, part)->hour == KIT_HOUR + hour && g < store_rg_count(view, part, table); g++) {
			void *rows = NULL;
			struct rg rg;

			CHECK_OK(store_rg_open(view, part, table, g, &rg, &err), err);
			CHECK_OK(rg_verify(&rg, &err), err);
			CHECK_OK(rg_read_rows(&rg, &arena, &rows, &err), err);
			count += rg.zone.rows;
		}
	}
	store_view_close(view);
	store_close(store);
	arena_release(&arena);
	return count;
}

static uint64_t oldest_of(const char *dir, enum table_id table)
{
	struct store *store = kit_store(dir);
	struct store_horizon horizon;
	struct err err = { 0 };

	CHECK_OK(store_horizon(store, &horizon, &err), err);
	store_close(store);
	return horizon.oldest_ns[table];
}

static void check_classes(bool bulk)
{
	const struct store_rule rules[] = {
		{ .scope = "packets/error", .age_ns = 9 * NS_PER_HOUR },
		{ .scope = "packets/namespace=payments", .age_ns = 8 * NS_PER_HOUR },
		{ .scope = "packets/protocol=redis", .age_ns = 5 * NS_PER_HOUR },
	};
	struct store_policy policy = scope_policy(rules, 3);
	const char *dir = make_scopes(&policy, bulk);
	bool expired;

	for (unsigned f = 0; f < SCOPE_FLOWS; f++) {
		CHECK_U64(scope_frames(dir, 0, f, &expired), SCOPE_FRAMES);
		CHECK_NOT(expired);
	}
	policy.packet_age_ns = 7 * NS_PER_HOUR;
	/* Hours 0..5 are 9..4 hours old and a bit: redis goes of 0..4, the default of 0..2, payments of 0..1, errors of 0. */
	CHECK_U64(kit_retain(dir, &policy).count, 5 + 3 + 2 + 1);
	for (uint64_t hour = 0; hour < HOURS; hour++) {
		for (unsigned f = 0; f < SCOPE_FLOWS; f++) {
			bool gone = f == 2 ? hour < 5 : hour < (f == 0 ? 1 : f == 1 ? 2 : 3);

			CHECK(scope_frames(dir, hour, f, &expired) == (gone ? 0 : SCOPE_FRAMES) && expired == gone,
			      "hour %llu flow %u: %llu frames, expired %d", (unsigned long long)hour, f,
			      (unsigned long long)scope_frames(dir, hour, f, &expired), expired);
		}
		CHECK_U64(scope_rows(dir, hour, TABLE_FLOWS), SCOPE_FLOWS);
	}
	CHECK_U64(oldest_of(dir, TABLE_PACKETS), KIT_START + NS_PER_HOUR);
	CHECK_U64(oldest_of(dir, TABLE_FLOWS), KIT_START);
	CHECK_U64(kit_findings(dir), 0);
}

TEST(store_scopes, payload_classes_expire_apart)
{
	check_classes(false);
}

#define CUT 128u	/* of frames that are no TCP */

/* What hour h holds of a flow: whole, headers, nothing. */
static void check_thinned(const char *dir, uint64_t hour, unsigned flow, bool thin, bool gone)
{
	bool expired;
	uint64_t frames = scope_frames_cut(dir, hour, flow, thin ? CUT : 0, &expired);

	CHECK(frames == (gone ? 0 : SCOPE_FRAMES) && expired == gone, "hour %llu flow %u: %llu frames, expired %d",
	      (unsigned long long)hour, flow, (unsigned long long)frames, expired);
}

/* First the payload, then the headers, then the rows; what fails is whole for longer. */
TEST(store_scopes, headers_stay_longer_than_payload)
{
	const struct store_rule rules[] = {
		{ .scope = "packets/error", .age_ns = 8 * NS_PER_HOUR },
		{ .scope = "packets/headers", .age_ns = 9 * NS_PER_HOUR },
		{ .scope = "packets/protocol=redis", .age_ns = 5 * NS_PER_HOUR },
	};
	struct store_policy policy = scope_policy(rules, 3);
	const char *dir = make_scopes(&policy, false);
	struct store_view *view = NULL;
	struct kit_victims done;
	struct store *store;
	struct err err = { 0 };

	policy.packet_age_ns = 7 * NS_PER_HOUR;
	/* Hours 0..5 are 9..4 hours old and a bit: all goes of 0; of 1 error is cut as well, of 1 and 2 the default, of 1..4 redis. */
	done = kit_retain(dir, &policy);
	CHECK_U64(done.count, 3 + 3 + 2 + 1 + 1);
	CHECK_STR(done.list[3].why, "payload older than 7h, headers stay");
	for (uint64_t hour = 0; hour < HOURS; hour++) {
		for (unsigned f = 0; f < SCOPE_FLOWS; f++) {
			bool thin = f == 2 ? hour < 5 : hour < (f == 0 ? 2 : 3);

			check_thinned(dir, hour, f, thin, hour == 0);
		}
		CHECK_U64(scope_rows(dir, hour, TABLE_FLOWS), SCOPE_FLOWS);
		CHECK_U64(scope_rows(dir, hour, TABLE_CALLS), SCOPE_FLOWS);
	}
	CHECK_U64(kit_findings(dir), 0);
	store = kit_store(dir);
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	CHECK_U64(store_view_part(view, 1)->packets_thinned, SCOPE_FLOWS * SCOPE_FRAMES);
	CHECK_U64(store_view_part(view, 3)->packets_thinned, SCOPE_FRAMES);
	CHECK(store_view_part(view, 1)->packet_bytes < store_view_part(view, 5)->packet_bytes / 2);
	store_view_close(view);
	store_close(store);
	/* A class that is thinned later joins the headers that are there. */
	policy.packet_age_ns = 5 * NS_PER_HOUR;
	CHECK_U64(kit_retain(dir, &policy).count, 2);
	for (unsigned f = 0; f < SCOPE_FLOWS; f++)
		check_thinned(dir, 3, f, f != 0, false);
	/* The headers' own age, and bytes, take them as whole files. */
	policy.rules[1].age_ns = 8 * NS_PER_HOUR;
	done = kit_retain(dir, &policy);
	CHECK_U64(done.count, 1);
	CHECK_STR(done.list[0].scope, "packets/headers");
	check_thinned(dir, 1, 5, true, true);
	check_thinned(dir, 2, 5, true, false);
	CHECK_U64(kit_findings(dir), 0);
}

TEST(store_scopes, payload_classes_of_a_bulk_load)
{
	check_classes(true);
}

/* A flow of two classes is of the one that is kept longer; no age is longest. */
TEST(store_scopes, of_two_classes_the_longer_one)
{
	const struct store_rule rules[] = {
		{ .scope = "packets/error", .age_ns = NS_PER_HOUR },
		{ .scope = "packets/protocol=http", .age_ns = 0 },
	};
	const struct store_policy policy = scope_policy(rules, 2);
	const char *dir = make_scopes(&policy, false);
	bool expired;

	CHECK_U64(kit_retain(dir, &policy).count, 0);	/* all calls are of http, the failed ones too */
	CHECK_U64(scope_frames(dir, 0, 0, &expired), SCOPE_FRAMES);
	CHECK_NOT(expired);
}

TEST(store_scopes, tables_and_tiers_expire_apart)
{
	const struct store_rule rules[] = {
		{ .scope = "calls", .age_ns = 8 * NS_PER_HOUR },
		{ .scope = "rollups", .age_ns = 9 * NS_PER_HOUR },
		{ .scope = "rollups/1s", .age_ns = 6 * NS_PER_HOUR },
		{ .scope = "rollups/1h", .age_ns = 100 * NS_PER_HOUR },
	};
	struct store_policy policy = scope_policy(rules, 4);
	const char *dir = make_scopes(&(struct store_policy){ 0 }, false);
	bool expired;

	policy.data_age_ns = 7 * NS_PER_HOUR;
	(void)kit_retain(dir, &policy);
	for (uint64_t hour = 0; hour < HOURS; hour++) {
		bool rows_gone = hour < 3, calls_gone = hour < 2;

		CHECK_U64(scope_rows(dir, hour, TABLE_FLOWS), rows_gone ? 0 : SCOPE_FLOWS);
		CHECK_U64(scope_rows(dir, hour, TABLE_EVENTS), rows_gone ? 0 : SCOPE_FLOWS);
		CHECK_U64(scope_rows(dir, hour, TABLE_CALLS), calls_gone ? 0 : SCOPE_FLOWS);
		CHECK_U64(scope_rows(dir, hour, TABLE_ROLLUPS), hour < 1 ? SCOPE_FLOWS : hour < 4 ? 3 * SCOPE_FLOWS : 4 * SCOPE_FLOWS);
		/* Packets without a rule go with the rows of their flows. */
		CHECK_U64(scope_frames(dir, hour, 3, &expired), rows_gone ? 0 : SCOPE_FRAMES);
		CHECK_U64(expired, rows_gone);
	}
	CHECK_U64(oldest_of(dir, TABLE_CALLS), KIT_START + 2 * NS_PER_HOUR);
	CHECK_U64(oldest_of(dir, TABLE_FLOWS), KIT_START + 3 * NS_PER_HOUR);
	CHECK_U64(oldest_of(dir, TABLE_ROLLUPS), KIT_START);
	CHECK_U64(kit_findings(dir), 0);
}

/* Rows stay with packets that are kept longer, and no other rows; then they go with them. */
TEST(store_scopes, rows_stay_with_kept_packets)
{
	const struct store_rule rules[] = { { .scope = "packets/error", .age_ns = 9 * NS_PER_HOUR } };
	struct store_policy policy = scope_policy(rules, 1);
	const char *dir = make_scopes(&policy, false);
	struct store *store;
	struct err err = { 0 };
	bool expired;

	policy.data_age_ns = 7 * NS_PER_HOUR;
	(void)kit_retain(dir, &policy);
	for (uint64_t hour = 0; hour < HOURS; hour++) {
		uint64_t rows = hour < 1 ? 0 : hour < 3 ? 1 : SCOPE_FLOWS;

		CHECK_U64(scope_rows(dir, hour, TABLE_FLOWS), rows);
		CHECK_U64(scope_rows(dir, hour, TABLE_CALLS), rows);
		CHECK_U64(scope_frames(dir, hour, 0, &expired), hour < 1 ? 0 : SCOPE_FRAMES);
		CHECK_U64(scope_frames(dir, hour, 3, &expired), hour < 3 ? 0 : SCOPE_FRAMES);
	}
	/* A rest is not how far the table reaches, but how far the packets do. */
	CHECK_U64(oldest_of(dir, TABLE_FLOWS), KIT_START + 3 * NS_PER_HOUR);
	CHECK_U64(oldest_of(dir, TABLE_PACKETS), KIT_START + NS_PER_HOUR);
	CHECK_U64(kit_findings(dir), 0);
	CHECK_OK(store_policy_drop(&policy, "packets/error", &err), err);
	(void)kit_retain(dir, &policy);
	store = kit_store(dir);
	store_close(store);
	CHECK_U64(scope_rows(dir, 1, TABLE_FLOWS), 0);
	CHECK_U64(scope_rows(dir, 3, TABLE_FLOWS), SCOPE_FLOWS);
	CHECK_U64(oldest_of(dir, TABLE_PACKETS), KIT_START + 3 * NS_PER_HOUR);
}

/* Bytes run out: the cheapest payload, other payload, calls, flows and events, rollups from fine to coarse. */
TEST(store_scopes, victims_in_order)
{
	const struct store_rule rules[] = {
		{ .scope = "packets/error", .age_ns = 1000 * NS_PER_HOUR },
		{ .scope = "packets/protocol=redis", .age_ns = 10 * NS_PER_HOUR },
	};
	static const char *const order[] = { "packets/protocol=redis", "packets/error", "packets", "calls", "flows", "rollups/1s",
					     "rollups/10s", "rollups/1m" };
	const size_t orders = sizeof(order) / sizeof(order[0]);
	struct store_policy policy = scope_policy(rules, 2);
	const char *dir = make_scopes(&policy, false);
	struct store *store = kit_store(dir);
	struct store_horizon horizon;
	uint64_t seen = 0;
	struct err err = { 0 };

	CHECK_OK(store_horizon(store, &horizon, &err), err);
	policy.packet_age_ns = 2000 * NS_PER_HOUR;
	policy.total_bytes = horizon.data_bytes + horizon.packet_bytes + (1u << 20);
	while (horizon.parts && policy.total_bytes > 300) {
		struct store_plan plan = { 0 };
		struct arena arena;

		arena_init(&arena, 0);
		policy.total_bytes -= horizon.packet_bytes > 20000 ? 10000 : 300;
		CHECK_OK(store_policy_set(dir, &policy, &err), err);
		CHECK_OK(store_retention_plan(store, KIT_NOW, &arena, &plan, &err), err);
		for (size_t i = 0; i < plan.victims_count; i++) {
			size_t is = 0;

			while (is < orders && strcmp(order[is], plan.victims[i].scope) != 0)
				is++;
			if (is == orders)
				continue;
			seen |= 1u << is;
			/* Nothing that goes before it is left. */
			for (size_t r = 0; r < plan.reaches_count; r++)
				for (size_t before = 0; before < is; before++)
					CHECK(strcmp(plan.reaches[r].scope, order[before]) != 0 ||
					      plan.reaches[r].oldest_ns == UINT64_MAX,
					      "%s goes, and there are %s", order[is], order[before]);
		}
		CHECK_OK(store_retention_apply(dir, KIT_NOW, NULL, NULL, &err), err);
		CHECK_OK(store_horizon(store, &horizon, &err), err);
		arena_release(&arena);
	}
	/* The last ones are a few bytes: a page more of the catalog may take several at once, up to the whole partition. */
	CHECK_U64(seen & 63, 63);
	CHECK_U64(horizon.parts, 0);
	store_close(store);
	CHECK_U64(kit_findings(dir), 0);
}

/* A minimum age stands before bytes, unless the bytes do: then it is said. */
TEST(store_scopes, minimum_age)
{
	const struct store_rule rules[] = { { .scope = "packets", .min_age_ns = 7 * NS_PER_HOUR + 1 } };
	struct store_policy policy = scope_policy(rules, 1);
	const char *dir = make_scopes(&(struct store_policy){ 0 }, false);
	struct store *store = kit_store(dir);
	struct store_plan plan = { 0 };
	struct kit_victims done;
	struct err err = { 0 };
	struct arena arena;

	arena_init(&arena, 0);
	policy.packet_bytes = 1;
	policy.horizon_first = 1;
	done = kit_retain(dir, &policy);
	CHECK_U64(done.count, 3);	/* hours 0..2: the newest of 2 is 7 h and 51 min old */
	CHECK_OK(store_retention_plan(store, KIT_NOW, &arena, &plan, &err), err);
	CHECK_NOT(plan.below_horizon);
	CHECK_GT(plan.over_bytes, 0);
	policy.horizon_first = 0;
	CHECK_OK(store_policy_set(dir, &policy, &err), err);
	CHECK_OK(store_retention_plan(store, KIT_NOW, &arena, &plan, &err), err);
	CHECK_U64(plan.victims_count, 3);
	CHECK(plan.below_horizon);
	CHECK_U64(plan.over_bytes, 0);
	CHECK_STR(plan.reaches[0].scope, "packets");
	CHECK(plan.reaches[0].below && plan.reaches[0].oldest_ns == UINT64_MAX);
	CHECK_U64(kit_retain(dir, &policy).count, 3);
	store_close(store);
	arena_release(&arena);
}

/* The limit of one scope leaves the others alone. */
TEST(store_scopes, bytes_of_a_scope)
{
	const struct store_rule rules[] = { { .scope = "packets/error", .bytes = 1 }, { .scope = "rollups/1s", .bytes = 1 } };
	const struct store_policy policy = scope_policy(rules, 2);
	const char *dir = make_scopes(&policy, false);
	bool expired;

	CHECK_U64(kit_retain(dir, &policy).count, 2 * HOURS);
	CHECK_U64(scope_frames(dir, 5, 0, &expired), 0);
	CHECK(expired);
	CHECK_U64(scope_frames(dir, 0, 1, &expired), SCOPE_FRAMES);
	CHECK_NOT(expired);
	CHECK_U64(scope_rows(dir, 0, TABLE_ROLLUPS), 3 * SCOPE_FLOWS);
	CHECK_U64(scope_rows(dir, 0, TABLE_CALLS), SCOPE_FLOWS);
	CHECK_U64(kit_findings(dir), 0);
}

static void shell(const char *dir, const char *what)
{
	char command[1200];

	(void)snprintf(command, sizeof(command), "cd '%s' && %s", dir, what);
	CHECK_RC(system(command), 0);
}

/* kill -9 while a partition is made anew: each state that the two renames and the transaction can leave. */
TEST(store_scopes, a_crash_leaves_the_old_or_the_new)
{
	const struct store_rule rules[] = { { .scope = "calls", .age_ns = NS_PER_HOUR } };
	const struct store_policy policy = scope_policy(rules, 1);

	for (int state = 0; state < 3; state++) {
		const char *dir = make_scopes(&(struct store_policy){ 0 }, false);
		struct store_writer *writer;
		struct err err = { 0 };
		bool old;

		shell(dir, "cp -a parts parts.old && cp -a catalog catalog.old");
		CHECK_U64(kit_retain(dir, &policy).count, HOURS);
		old = state == 0;
		/* 0: the new ones are in, the old ones are still there. 1: those are gone. Both: the catalog knows the old. */
		if (state < 2)
			shell(dir, "rm -r catalog && mv catalog.old catalog");
		if (old)
			shell(dir, "cp -a parts.old/* parts/");
		shell(dir, "rm -rf parts.old catalog.old");
		writer = kit_writer(dir, NULL);
		CHECK_OK(store_writer_close(writer, false, &err), err);
		for (uint64_t hour = 0; hour < HOURS; hour++) {
			bool expired;

			CHECK_U64(scope_rows(dir, hour, TABLE_CALLS), old ? SCOPE_FLOWS : 0);
			CHECK_U64(scope_rows(dir, hour, TABLE_FLOWS), SCOPE_FLOWS);
			CHECK_U64(scope_rows(dir, hour, TABLE_ROLLUPS), 4 * SCOPE_FLOWS);
			CHECK_U64(scope_frames(dir, hour, 0, &expired), SCOPE_FRAMES);
			CHECK_NOT(expired);
		}
		CHECK_U64(kit_findings(dir), 0);
	}
}

/* The child: makes room in three ways, again and again a little more, until it is killed. */
static void retain_for_ever(const char *dir, int out)
{
	struct store_rule rules[] = { { .scope = "calls" }, { .scope = "packets/error", .age_ns = 100 * NS_PER_HOUR },
				      { .scope = "rollups/1s" } };

	if (write(out, "x", 1) != 1)
		_exit(3);
	for (uint64_t hours = 9; hours > 3; hours--) {
		struct store_policy policy;

		rules[0].age_ns = rules[2].age_ns = hours * NS_PER_HOUR;
		policy = scope_policy(rules, 3);
		policy.packet_age_ns = (hours + 1) * NS_PER_HOUR;
		if (store_policy_set(dir, &policy, NULL) < 0 || store_retention_apply(dir, KIT_NOW, NULL, NULL, NULL) < 0)
			_exit(4);
	}
	pause();
	_exit(0);
}

/* Whatever is gone is gone whole, and nothing else is. */
static void check_retained(const char *dir)
{
	bool gone_before = true, expired;

	for (uint64_t hour = 0; hour < HOURS; hour++) {
		uint64_t calls = scope_rows(dir, hour, TABLE_CALLS), rollups = scope_rows(dir, hour, TABLE_ROLLUPS);
		uint64_t frames = scope_frames(dir, hour, 5, &expired);

		CHECK_U64(scope_rows(dir, hour, TABLE_FLOWS), SCOPE_FLOWS);
		CHECK_U64(scope_rows(dir, hour, TABLE_EVENTS), SCOPE_FLOWS);
		/* Calls of packets that stay longer stay with them: those of the flow that failed. */
		CHECK(calls == SCOPE_FLOWS || calls == 1, "hour %llu: %llu calls", (unsigned long long)hour,
		      (unsigned long long)calls);
		CHECK_U64(rollups, calls == 1 ? 3 * SCOPE_FLOWS : 4 * SCOPE_FLOWS);	/* one partition, one round */
		CHECK(frames == SCOPE_FRAMES || (frames == 0 && expired), "hour %llu: %llu frames", (unsigned long long)hour,
		      (unsigned long long)frames);
		CHECK(frames == 0 ? gone_before : true, "hour %llu went before an older one", (unsigned long long)hour);
		gone_before = frames == 0;
		CHECK_U64(scope_frames(dir, hour, 0, &expired), SCOPE_FRAMES);
	}
	CHECK_U64(kit_findings(dir), 0);
}

TEST(store_scopes, kill_at_any_moment, .timeout = 100)
{
	const struct store_rule rules[] = { { .scope = "packets/error", .age_ns = 100 * NS_PER_HOUR } };
	const struct store_policy policy = scope_policy(rules, 1);
	const char *dir = make_scopes(&policy, false), *text = getenv("SEED");
	uint64_t random = text && *text ? strtoull(text, NULL, 10) : 20261123;

	printf("seed %llu\n", (unsigned long long)random);
	shell(dir, "mkdir first && cp -a parts catalog tmp trash hot snap first/");
	for (unsigned round = 0; round < 12; round++) {
		long wait_us = (long)(kit_random(&random) % 60000);
		struct store_writer *writer;
		struct err err = { 0 };

		shell(dir, "rm -rf parts catalog tmp trash hot snap && cp -a first/* .");
		kit_kill_child(retain_for_ever, dir, wait_us);
		writer = kit_writer(dir, NULL);
		CHECK_OK(store_writer_close(writer, false, &err), err);
		shell(dir, "test -z \"$(find tmp trash -mindepth 1)\"");
		check_retained(dir);
	}
}

/* What was dropped of the fine tiers is known by who asks for them. */
TEST(store_scopes, horizon_of_a_tier)
{
	const struct store_rule rules[] = { { .scope = "rollups/1s", .age_ns = 7 * NS_PER_HOUR } };
	const struct store_policy policy = scope_policy(rules, 1);
	const char *dir = make_scopes(&(struct store_policy){ 0 }, false);
	struct store *store;
	struct store_horizon horizon;
	struct err err = { 0 };

	CHECK_U64(kit_retain(dir, &policy).count, 3);
	store = kit_store(dir);
	CHECK_OK(store_horizon(store, &horizon, &err), err);
	CHECK_U64(horizon.tier_from_ns[0], KIT_START + 3 * NS_PER_HOUR);
	CHECK_U64(horizon.tier_from_ns[1], 0);
	store_close(store);
}

TEST(store_scopes, scopes_are_checked)
{
	struct store_policy policy = { 0 }, again;
	struct store_rule rule = { .scope = "packets/error", .age_ns = 5, .bytes = 6, .min_age_ns = 7 };
	const char *dir = make_scopes(&policy, false);
	struct store *store = kit_store(dir);
	struct err err = { 0 };

	CHECK_OK(store_policy_put(&policy, &rule, &err), err);
	for (unsigned i = 0; i < PART_SEGS_MAX - 2; i++) {
		(void)snprintf(rule.scope, sizeof(rule.scope), "packets/namespace=n%u", i);
		CHECK_OK(store_policy_put(&policy, &rule, &err), err);
	}
	CHECK_OK(store_policy_set(dir, &policy, &err), err);
	CHECK_OK(store_policy_get(store, &again, &err), err);
	CHECK_U64(again.rules_count, PART_SEGS_MAX - 1);
	CHECK(memcmp(&policy, &again, sizeof(policy)) == 0);
	(void)snprintf(rule.scope, sizeof(rule.scope), "packets/namespace=one-more");
	CHECK_RC(store_policy_put(&policy, &rule, &err), E_LIMIT);
	err_clear(&err);
	(void)snprintf(rule.scope, sizeof(rule.scope), "packets/protocol=nosuch");
	CHECK_RC(store_policy_put(&policy, &rule, &err), E_FORMAT);
	CHECK(strstr(err.text, "nosuch"), "%s", err.text);
	err_clear(&err);
	(void)snprintf(rule.scope, sizeof(rule.scope), "packet");
	CHECK_RC(store_policy_put(&policy, &rule, &err), E_FORMAT);
	CHECK(strstr(err.text, "rollups/1m"), "%s", err.text);
	err_clear(&err);
	(void)snprintf(rule.scope, sizeof(rule.scope), "packets/namespace=../x");
	CHECK_RC(store_policy_put(&policy, &rule, NULL), E_FORMAT);
	CHECK_OK(store_policy_drop(&policy, "packets/error", &err), err);
	CHECK_RC(store_policy_drop(&policy, "packets/error", NULL), E_NOT_FOUND);
	CHECK_OK(store_policy_set(dir, &policy, &err), err);
	CHECK_OK(store_policy_get(store, &again, &err), err);
	CHECK_U64(again.rules_count, PART_SEGS_MAX - 2);
	store_close(store);
}

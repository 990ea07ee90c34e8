/*
 * Retention by namespace, of real frames: what an import made of captures of our own traffic is told the namespaces of
 * its ends, as Kubernetes would, over six hours before now, and `tapedeck retention` is asked as its user asks.
 * Which packets are there afterwards must follow from the rules, flow by flow.
 */
#include "ingest/import.h"
#include "tests/unit/store_kit.h"

#define NS_HOURS 6u
#define NS_FLOWS_MAX 64u

/* A flow of the import. */
struct ns_flow {
	uint64_t id;
	uint64_t packets;
};

/* src and dst of each kind; kept: hours, by the rules below. */
static const struct ns_kind {
	const char *src, *dst;
	uint64_t kept;
} kinds[] = {
	{ NULL, NULL, 2 }, { "shop", NULL, 5 }, { NULL, "shop", 5 }, { "infra", NULL, 1 }, { NULL, "infra", 1 },
	{ "infra", "shop", 5 }, { "shop", "infra", 5 }, { "other", "infra", 1 }, { "shopping", NULL, 2 },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct ns_world {
	const char *from, *to;
	struct ns_flow flows[NS_FLOWS_MAX];
	size_t flows_count;
	uint64_t newest_ns, now_ns;
};

/* Another one each hour, so that a few flows are of all kinds. */
static const struct ns_kind *kind_of(const struct ns_world *world, const struct ns_flow *flow, unsigned hour)
{
	return &kinds[((size_t)(flow - world->flows) + 2 * hour) % KINDS];
}

static struct ns_flow *flow_of(struct ns_world *world, uint64_t id)
{
	for (size_t i = 0; i < world->flows_count; i++)
		if (world->flows[i].id == id)
			return &world->flows[i];
	return NULL;
}

/* Whole steps of an identifier's clock, so that flows, calls and packets still name each other. */
static uint64_t shift_of(const struct ns_world *world, unsigned hour)
{
	uint64_t to_ns = world->now_ns - NS_PER_MIN - hour * NS_PER_HOUR;

	return (to_ns - world->newest_ns) >> 20 << 20;
}

static uint64_t shifted_id(uint64_t id, uint64_t shift_ns)
{
	return id ? id + ((shift_ns >> 20) << 23) : 0;
}

static void import_own_traffic(struct ns_world *world)
{
	static const char *const paths[] = { "tests/golden/http-keepalive/input.pcap", "tests/golden/refused-and-dns/input.pcap",
					     "tests/golden/lost-segments/input.pcap" };
	struct import_opts opts = { .paths = paths, .paths_count = 3, .data_dir = world->from };
	struct import_totals totals;
	struct err err = { 0 };

	CHECK_OK(import_run(&opts, &totals, &err), err);
	world->newest_ns = totals.last_ns;
}

static void tell_flow(struct ns_world *world, struct flow_row *row, unsigned hour)
{
	struct ns_flow *flow = flow_of(world, row->id);
	const struct ns_kind *kind;

	if (!flow) {
		CHECK(world->flows_count < NS_FLOWS_MAX);
		flow = &world->flows[world->flows_count];
		*flow = (struct ns_flow){ .id = row->id };
		world->flows_count++;
	}
	kind = kind_of(world, flow, hour);
	if (kind->src)
		ROW_SET(FLOW, row, src_namespace, view_str(kind->src));
	if (kind->dst)
		ROW_SET(FLOW, row, dst_namespace, view_str(kind->dst));
}

static void copy_rows(struct ns_world *world, struct store_view *view, size_t part, struct store_writer *writer, unsigned hour)
{
	uint64_t shift_ns = shift_of(world, hour);
	struct err err = { 0 };
	struct arena arena;

	arena_init(&arena, 0);
	for (size_t g = 0; g < store_rg_count(view, part, TABLE_FLOWS); g++) {
		void *rows = NULL;
		struct rg rg;

		CHECK_OK(store_rg_open(view, part, TABLE_FLOWS, g, &rg, &err), err);
		CHECK_OK(rg_read_rows(&rg, &arena, &rows, &err), err);
		for (uint32_t i = 0; i < rg.zone.rows; i++) {
			struct flow_row row = ((const struct flow_row *)rows)[i];

			tell_flow(world, &row, hour);
			row.id = shifted_id(row.id, shift_ns);
			row.start_ns += shift_ns;
			row.end_ns += shift_ns;
			row.first_ns += shift_ns;
			CHECK_OK(store_write_rows(writer, TABLE_FLOWS, &row, 1, &err), err);
		}
	}
	arena_release(&arena);
}

static void copy_packets(struct ns_world *world, struct store_view *view, size_t part, struct store_writer *writer, unsigned hour)
{
	uint64_t shift_ns = shift_of(world, hour);
	struct store_packets *packets = NULL;
	struct packet_block block;
	struct packet_rec rec;
	uint64_t source;
	struct err err = { 0 };
	int rc;

	CHECK_RC(packet_block_init(&block, 1), 0);
	CHECK_OK(store_packets_open(view, part, 0, UINT64_MAX, NULL, 0, &packets, &err), err);
	while ((rc = store_packets_next(packets, &rec, &source, &err)) > 0) {
		struct ns_flow *flow = flow_of(world, rec.flow_id);

		if (flow)
			flow->packets++;
		rec.flow_id = shifted_id(rec.flow_id, shift_ns);
		rec.time_ns += shift_ns;
		rc = packet_block_add(&block, &rec);
		if (rc == E_RANGE) {	/* another hour */
			CHECK_OK(store_write_packets(writer, &block, &err), err);
			packet_block_reset(&block);
			rc = packet_block_add(&block, &rec);
		}
		CHECK_GE(rc, 0);
	}
	CHECK_OK(rc, err);
	if (block.count)
		CHECK_OK(store_write_packets(writer, &block, &err), err);
	packet_block_release(&block);
	store_packets_close(packets);
}

static void copy_with_namespaces(struct ns_world *world)
{
	const struct store_writer_opts opts = { .seal_inline = true, .bulk = true };
	struct store *from = kit_store(world->from);
	struct store_writer *writer = kit_writer(world->to, &opts);
	struct store_view *view = NULL;
	struct err err = { 0 };

	CHECK_OK(store_view_open(from, 0, UINT64_MAX, &view, &err), err);
	for (unsigned hour = NS_HOURS; hour-- > 0;) {
		for (size_t i = 0; i < world->flows_count; i++)
			world->flows[i].packets = 0;
		for (size_t part = 0; part < store_view_parts(view); part++) {
			copy_rows(world, view, part, writer, hour);
			copy_packets(world, view, part, writer, hour);
		}
	}
	store_view_close(view);
	store_close(from);
	CHECK_OK(store_writer_close(writer, true, &err), err);
	CHECK_GE(world->flows_count, 4);
}

/* Frames of a flow, of all hours or so many hours ago. */
static uint64_t frames_of(struct ns_world *world, const struct ns_flow *flow, unsigned hour, bool *ret_expired)
{
	uint64_t id = shifted_id(flow->id, shift_of(world, hour)), count = 0;
	struct store *store = kit_store(world->to);
	struct store_view *view = NULL;
	struct err err = { 0 };

	*ret_expired = false;
	CHECK_OK(store_view_open(store, 0, UINT64_MAX, &view, &err), err);
	for (size_t part = 0; part < store_view_parts(view); part++) {
		struct store_packets *packets = NULL;
		struct packet_rec rec;
		uint64_t source;
		int rc = store_packets_open(view, part, 0, UINT64_MAX, &id, 1, &packets, &err);

		if (rc == E_EXPIRED) {
			*ret_expired = true;
			err_clear(&err);
			continue;
		}
		CHECK_OK(rc, err);
		while ((rc = store_packets_next(packets, &rec, &source, &err)) > 0)
			count++;
		CHECK_OK(rc, err);
		*ret_expired |= store_packets_expired(packets);
		store_packets_close(packets);
	}
	store_view_close(view);
	store_close(store);
	return count;
}

/* Everything younger than what its flow's rules keep is there whole, everything else is gone. */
static void check_kept(struct ns_world *world, bool applied)
{
	unsigned gone = 0, kept = 0;
	bool expired;

	for (unsigned hour = 0; hour < NS_HOURS; hour++)
		for (size_t i = 0; i < world->flows_count; i++) {
			const struct ns_flow *flow = &world->flows[i];
			const struct ns_kind *kind = kind_of(world, flow, hour);
			bool is_kept = !applied || hour < kind->kept;
			uint64_t frames = frames_of(world, flow, hour, &expired);

			CHECK(frames == (is_kept ? flow->packets : 0), "%u hours ago, %s -> %s: %llu frames of %llu", hour,
			      kind->src ? kind->src : "-", kind->dst ? kind->dst : "-", (unsigned long long)frames,
			      (unsigned long long)flow->packets);
			CHECK(is_kept || expired);
			gone += !is_kept;
			kept += is_kept;
		}
	CHECK(kept > KINDS && (gone > KINDS) == applied);
}

static int tool(const struct ns_world *world, const char *what)
{
	char command[1200];

	(void)snprintf(command, sizeof(command), "\"$TAPEDECK\" %s --data '%s' >'%s.out' 2>&1", what, world->to, world->to);
	return system(command);
}

static void says(const struct ns_world *world, const char *words)
{
	char command[1200];

	(void)snprintf(command, sizeof(command), "grep -q '%s' '%s.out' || { cat '%s.out'; exit 1; }", words, world->to, world->to);
	CHECK(system(command) == 0, "it does not say \"%s\"", words);
}

TEST(store_namespaces, the_longer_one_survives, .timeout = 60)
{
	struct ns_world *world = mem_zalloc(sizeof(*world));
	char out[600];

	if (!getenv("TAPEDECK"))
		cr_skip_test("no TAPEDECK: the program to ask");
	world->from = check_tmpdir();
	world->to = check_tmpdir();
	world->now_ns = clock_now_ns();
	/* The flow's class is chosen when it is sealed: the rules are there before. */
	CHECK_RC(tool(world, "retention set packets/namespace=shop --age 5h"), 0);
	CHECK_RC(tool(world, "retention set packets/namespace=infra --age 1h"), 0);
	import_own_traffic(world);
	copy_with_namespaces(world);
	CHECK_RC(tool(world, "retention set --packet-age 2h"), 0);
	says(world, "packets/namespace=shop  *5h");
	check_kept(world, false);
	CHECK_RC(tool(world, "retention plan"), 0);
	says(world, "packets/namespace=infra .*older than 1h");
	says(world, "packets/namespace=shop .*older than 5h");
	check_kept(world, false);	/* a plan is a plan */
	CHECK_RC(tool(world, "retention apply --yes"), 0);
	check_kept(world, true);
	CHECK_RC(tool(world, "retention plan -o json"), 0);
	says(world, "\"victims\": *\\[\\]");
	CHECK_RC(tool(world, "check"), 0);
	(void)snprintf(out, sizeof(out), "%s.out", world->to);
	CHECK_RC(unlink(out), 0);
	mem_free(world);
}

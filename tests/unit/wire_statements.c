#include "tests/wire_kit.h"
#include "wire/statements.h"

struct world {
	struct call_pool *pool;
	struct call_sink sink;
	struct statements all;
	uint64_t next_id;
};

static void drop_call(void *arg, const struct call *call)
{
	(void)arg;
	(void)call;
}

static void world_init(struct world *world, size_t text_bytes_max)
{
	*world = (struct world){ .pool = call_pool_new(&(struct call_pool_opts){ .text_bytes_max = text_bytes_max }) };
	CHECK(world->pool);
	world->sink = (struct call_sink){ .pool = world->pool, .next_id = &world->next_id, .emit = drop_call };
}

static void world_release(struct world *world)
{
	statements_release(&world->all, &world->sink);
	call_pool_free(world->pool);	/* asserts that every block is back */
}

TEST(statements, keep_texts_by_id)
{
	struct world world;
	char text[STATEMENT_SQL + 9], name[32];

	world_init(&world, 0);
	CHECK_VIEW(statement_sql(&world.all, 0), "");
	statement_put(&world.all, &world.sink, 0, VIEW_LIT("SELECT 0"));	/* 0 is an id like any other */
	statement_put(&world.all, &world.sink, 7, VIEW_LIT("SELECT 7"));
	CHECK_VIEW(statement_sql(&world.all, 0), "SELECT 0");
	CHECK_VIEW(statement_sql(&world.all, 7), "SELECT 7");
	statement_put(&world.all, &world.sink, 7, VIEW_LIT("a longer one of the same name"));
	CHECK_VIEW(statement_sql(&world.all, 7), "a longer one of the same name");
	statement_put(&world.all, &world.sink, 7, view_make("", 0));
	CHECK_VIEW(statement_sql(&world.all, 7), "");
	memset(text, 'x', sizeof(text));
	statement_put(&world.all, &world.sink, 7, view_make(text, sizeof(text)));
	CHECK_U64(statement_sql(&world.all, 7).len, STATEMENT_SQL);
	statement_drop(&world.all, &world.sink, 7);
	statement_drop(&world.all, &world.sink, 8);
	CHECK_VIEW(statement_sql(&world.all, 7), "");
	/* What was closed left a place: 0 stays until there are more than STATEMENTS_MAX. */
	for (uint64_t id = 100; id < 100 + STATEMENTS_MAX - 1; id++) {
		(void)snprintf(name, sizeof(name), "SELECT %u", (unsigned)id);
		statement_put(&world.all, &world.sink, id, view_str(name));
	}
	CHECK_VIEW(statement_sql(&world.all, 0), "SELECT 0");
	statement_put(&world.all, &world.sink, 200, VIEW_LIT("SELECT 200"));
	CHECK_VIEW(statement_sql(&world.all, 0), "");
	CHECK_VIEW(statement_sql(&world.all, 100), "SELECT 100");
	CHECK_VIEW(statement_sql(&world.all, 200), "SELECT 200");
	world_release(&world);
}

/* What connections remember leaves a quarter of the budget to the texts of their calls. */
TEST(statements, leave_room_for_calls)
{
	struct world world;
	struct statements many[64];
	struct call *call;
	char text[STATEMENT_SQL];
	unsigned known = 0;

	world_init(&world, 64 << 10);
	memset(many, 0, sizeof(many));
	memset(text, 's', sizeof(text));
	for (unsigned i = 0; i < 64; i++)
		for (unsigned id = 0; id < STATEMENTS_MAX; id++) {
			statement_put(&many[i], &world.sink, id, view_make(text, sizeof(text)));
			known += statement_sql(&many[i], id).len == sizeof(text);
		}
	CHECK(known > 60 && known < 110, "%u statements in 48 KiB", known);
	call = call_open(&world.sink, L7_postgresql);
	CHECK(call);
	CHECK_U64(call_text(&world.sink, call, view_make(text, sizeof(text)), sizeof(text)).len, sizeof(text));
	call_end(&world.sink, call, CALL_END_closed);
	for (unsigned i = 0; i < 64; i++)
		statements_release(&many[i], &world.sink);
	world_release(&world);
}

/* Pools of applications hold hundreds of thousands of connections open; --stream-bytes is for all of their states. */
TEST(statements, states_are_small)
{
	static const uint8_t with_memory[] = { L7_postgresql, L7_mysql, L7_nats, L7_cassandra };

	for (size_t i = 0; i < sizeof(with_memory); i++) {
		const struct proto_ops *ops = proto_by_id(with_memory[i]);

		CHECK(ops && ops->conn_size <= 900, "%s: %zu bytes a connection", ops->name, ops->conn_size);
	}
}

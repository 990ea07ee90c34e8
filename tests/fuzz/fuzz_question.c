/* What else a client writes: cursors, lists of fields, aggregates and orders. An error with words, or a result. */
#include "query/agg.h"
#include "query/cursor.h"

#include <assert.h>

static void fuzz_cursor(struct view text)
{
	struct cursor_of of = { TABLE_CALLS, false, true, VIEW_LIT("http") };
	struct cursor cursor = { 0 };
	struct err err = { 0 };
	struct arena arena;
	struct view again;

	arena_init(&arena, 0);
	if (cursor_read(text, &of, &cursor, &err) < 0)
		assert(err.code < 0 && err.text[0]);
	/* Whatever was read, or nothing: it can be written and read again. */
	again = cursor_write(&cursor, &of, &arena);
	err_clear(&err);
	assert(cursor_read(again, &of, &cursor, &err) == 0);
	arena_release(&arena);
}

static void fuzz_lists(const struct table *table, struct view text)
{
	ptrdiff_t bar = view_find(text, VIEW_LIT("|"));
	struct view rest = bar < 0 ? (struct view){ 0 } : view_sub(text, (size_t)bar + 1, text.len);
	struct query_aggregate what = { .table = table->id,
					.agg = bar < 0 ? text : view_sub(text, 0, (size_t)bar) };
	struct agg_spec spec;
	struct err err = { 0 };
	struct arena arena;
	uint16_t *fields;
	size_t count;

	bar = view_find(rest, VIEW_LIT("|"));
	what.by = bar < 0 ? rest : view_sub(rest, 0, (size_t)bar);
	what.order = bar < 0 ? (struct view){ 0 } : view_sub(rest, (size_t)bar + 1, rest.len);
	arena_init(&arena, 0);
	if (agg_parse(table, &what, &arena, &spec, &err) < 0)
		assert(err.code < 0 && err.text[0] && err.position <= text.len);
	else
		assert(spec.aggs_count > 0 && spec.aggs_count <= AGGS_MAX &&
		       spec.bys_count <= BYS_MAX);
	err_clear(&err);
	if (query_fields(table, text, &arena, &fields, &count, &err) < 0)
		assert(err.code < 0 && err.text[0] && err.position <= text.len);
	arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	if (len == 0)
		return 0;
	if (at[0] % 7 == 0)
		fuzz_cursor(view_make(at + 1, len - 1));
	else
		fuzz_lists(table_get(1 + (at[0] % 7 - 1)), view_make(at + 1, len - 1));
	return 0;
}

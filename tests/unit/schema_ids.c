/* What is stored, or promised to clients, about names and numbers: tests/golden/schema-ids/README.md. */
#include "base/wr.h"
#include "schema/counters.h"
#include "schema/schema.h"
#include "store/chunk.h"
#include "store/codec.h"
#include "tests/check.h"

#define EXPECT "tests/golden/schema-ids/expect.txt"

static const char *const presences[] = { [PRESENCE_REQ] = "required", [PRESENCE_OPT] = "optional" };
static const char *const units[] = { [UNIT_NONE] = "-", [UNIT_TIME] = "time", [UNIT_DURATION] = "duration",
				     [UNIT_BYTES] = "bytes", [UNIT_COUNT] = "count" };
static const char *const indexes[] = { [INDEX_NONE] = "-", [INDEX_BITMAP] = "bitmap", [INDEX_BLOOM] = "bloom",
				       [INDEX_DERIVED] = "derived" };
static const char *const sym_tables[] = {
	[SYMS_NONE] = "-", [SYMS_PROTO] = "PROTO", [SYMS_L7] = "L7", [SYMS_VANTAGE] = "VANTAGE",
	[SYMS_VIEW] = "VIEW", [SYMS_STATE] = "STATE", [SYMS_FLOW_END] = "FLOW_END", [SYMS_CALL_END] = "CALL_END",
	[SYMS_CLASS] = "CLASS", [SYMS_EVENT] = "EVENT", [SYMS_ENTITY] = "ENTITY", [SYMS_DIR] = "DIR",
	[SYMS_PAYLOAD] = "PAYLOAD", [SYMS_RESET] = "RESET", [SYMS_TUNNEL] = "TUNNEL", [SYMS_VERDICT] = "VERDICT",
	[SYMS_BOTTLENECK] = "BOTTLENECK",
};

#define NAME_OF(names, at) name_of(names, sizeof(names) / sizeof((names)[0]), (at), #names)

/* A value that has no name yet is one to add above, not what happens to lie behind the names. */
static const char *name_of(const char *const *names, size_t count, unsigned at, const char *what)
{
	CHECK(at < count && names[at], "%s: no name for %u", what, at);
	return names[at];
}

static void dump_table(const struct table *table, struct wr *out)
{
	wr_printf(out, "\ntable %d %s\n", (int)table->id, table->name);
	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];

		wr_printf(out, "%s %u %s %s %s %s %s %s [%s]\n", table->name, col->id, col->name, col->key,
			  types[col->type].name, NAME_OF(units, col->unit), NAME_OF(presences, col->presence),
			  NAME_OF(indexes, col->index),
			  col->aliases);
	}
}

static void dump(struct wr *out)
{
	static const struct {
		const char *name;
		int number, http;
	} errors[] = {
#define ERROR(name, number, http, text) { #name, number, http },
#include "base/errors.def"
#undef ERROR
	};

	wr_str(out, "type: number name physical symbols bytes\n");
	for (unsigned i = 0; i < TYPE_COUNT; i++)
		wr_printf(out, "type %u %s %s %s %u\n", i, types[i].name,
			  types[i].phys == PHYS_INT ? "int" : "bytes", NAME_OF(sym_tables, types[i].syms), types[i].row_bytes);
	wr_str(out, "\ntable: id name; below it: table id name key type unit presence index [aliases]\n");
	for (unsigned i = 0; i <= TABLE_MAX; i++)
		if (table_get((enum table_id)i))
			dump_table(table_get((enum table_id)i), out);
	wr_str(out, "\nsymbol: table number name\n");
	for (size_t i = 0; i < syms_count; i++)
		wr_printf(out, "symbol %s %u %s\n", NAME_OF(sym_tables, syms[i].table), syms[i].number, syms[i].name);
	wr_str(out, "\nencoding: number name\n");
	for (unsigned i = 0; i < 256; i++)
		if (strcmp(chunk_enc_name(i), "unknown") != 0)
			wr_printf(out, "encoding %u %s\n", i, chunk_enc_name(i));
	wr_str(out, "\ncodec: number name\n");
	for (unsigned i = 0; i < 256; i++)
		if (strcmp(codec_name((enum codec)i), "unknown") != 0)
			wr_printf(out, "codec %u %s\n", i, codec_name((enum codec)i));
	wr_str(out, "\ncounter: name kind\n");
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		wr_printf(out, "counter %s %s\n", counter_infos[i].name,
			  counter_infos[i].kind == COUNTER_TOTAL ? "total" : "gauge");
	wr_str(out, "\nerror: number name http\n");
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		wr_printf(out, "error %d %s %d\n", errors[i].number, errors[i].name, errors[i].http);
}

static struct wr file_read(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t part[4096];
	struct wr out;
	size_t len;

	wr_init(&out, 0);
	while (file && (len = fread(part, 1, sizeof(part), file)) > 0)
		wr_bytes(&out, view_make(part, len));
	if (file)
		CHECK_EQ(fclose(file), 0);
	return out;
}

static void file_write(const char *path, struct view bytes)
{
	FILE *file = fopen(path, "wb");

	CHECK(file && fwrite(bytes.at, 1, bytes.len, file) == bytes.len && fclose(file) == 0, "cannot write %s", path);
}

/* The first line in which two texts differ, for a person. */
static void check_same_text(struct view got, struct view want)
{
	size_t line = 1, at = 0, begin = 0;

	if (view_eq(got, want))
		return;
	for (; at < got.len && at < want.len && got.at[at] == want.at[at]; at++) {
		if (got.at[at] == '\n') {
			line++;
			begin = at + 1;
		}
	}
	CHECK(false, "%s:%zu: now it is\n%.*s\nsee tests/golden/schema-ids/README.md", EXPECT, line,
	      (int)strcspn((const char *)got.at + begin, "\n"), (const char *)got.at + begin);
}

TEST(schema, ids_are_as_they_were)
{
	struct wr now, before;

	wr_init(&now, 0);
	dump(&now);
	CHECK_NOT(now.bad);
	if (getenv("GOLDEN_UPDATE"))
		file_write(EXPECT, wr_view(&now));
	before = file_read(EXPECT);
	wr_u8(&now, '\0');	/* for strcspn */
	check_same_text(view_sub(wr_view(&now), 0, now.len - 1), wr_view(&before));
	wr_release(&now);
	wr_release(&before);
}

/* ---- what must hold of any schema ---- */

static bool word_in(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = strstr(words, word); at; at = strstr(at + 1, word))
		if ((at == words || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

TEST(schema, ids_and_names_are_told_apart)
{
	for (unsigned t = 1; t <= TABLE_MAX; t++) {
		const struct table *table = table_get((enum table_id)t);

		CHECK(table && table->id == t);
		for (size_t i = 0; i < table->cols_count; i++) {
			const struct col *a = &table->cols[i];

			CHECK_NE(a->id, 0, "0 is the mark of bitmaps in a row group");
			CHECK_U64(a->ordinal, i);
			for (size_t j = 0; j < table->cols_count; j++) {
				const struct col *b = &table->cols[j];

				CHECK(i == j || a->id != b->id, "%s: id %u twice", table->name, a->id);
				CHECK(i == j || (strcmp(a->key, b->key) && strcmp(a->name, b->name)),
				      "%s: %s twice", table->name, a->key);
				CHECK(i == j || !word_in(b->aliases, a->key), "%s: %s is an alias of %s too",
				      table->name, a->key, b->key);
				CHECK(i == j || strcmp(a->name, b->key) != 0, "%s: name %s is a key too",
				      table->name, a->name);
			}
		}
	}
}

TEST(schema, an_alias_stands_for_one_column)
{
	for (unsigned t = 1; t <= TABLE_MAX; t++) {
		const struct table *table = table_get((enum table_id)t);

		for (size_t i = 0; i < table->cols_count; i++) {
			char words[512], *save = NULL;

			(void)snprintf(words, sizeof(words), "%s", table->cols[i].aliases);
			for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
				CHECK(table_col(table, view_str(word)) == &table->cols[i], "%s: %s is %s, not %s",
				      table->name, word, table_col(table, view_str(word))->key,
				      table->cols[i].key);
			}
		}
	}
}

TEST(schema, symbols_are_told_apart)
{
	for (size_t i = 0; i < syms_count; i++) {
		for (size_t j = 0; j < i; j++) {
			CHECK(syms[i].table != syms[j].table ||
				      (syms[i].number != syms[j].number && strcmp(syms[i].name, syms[j].name)),
			      "%s %s", NAME_OF(sym_tables, syms[i].table), syms[i].name);
		}
		CHECK_LE(syms[i].number, 255, "symbols are stored in a byte");
	}
}

/* store/rg_write.c takes these for granted. */
TEST(schema, every_row_has_a_start)
{
	for (unsigned t = 1; t <= TABLE_MAX; t++) {
		const struct table *table = table_get((enum table_id)t);

		CHECK_STR(table->cols[table->start_ord].name, "start_ns");
		CHECK_EQ(table->cols[table->start_ord].presence, PRESENCE_REQ);
		CHECK_EQ(table->cols[table->start_ord].type, TYPE_U64);
		if (table->end_ord >= 0) {
			CHECK_STR(table->cols[table->end_ord].name, "end_ns");
			CHECK_EQ(table->cols[table->end_ord].presence, PRESENCE_REQ);
			CHECK_EQ(table->cols[table->end_ord].type, TYPE_U64);
		}
		if (table->id_ord >= 0)
			CHECK_EQ(table->cols[table->id_ord].type, TYPE_ID);
	}
}

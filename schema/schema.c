#include "schema/schema.h"

#include <strings.h>

const struct sym syms[] = {
#define SYM(table_, number_, name_, text_) { SYMS_##table_, number_, #name_, text_ },
#include "schema/enums.def"
#undef SYM
};
const size_t syms_count = sizeof(syms) / sizeof(syms[0]);

const char *sym_name(enum sym_table table, uint64_t number)
{
	for (size_t i = 0; i < syms_count; i++)
		if (syms[i].table == table && syms[i].number == number)
			return syms[i].name;
	return NULL;
}

int sym_number(enum sym_table table, struct view name, uint32_t *ret_number)
{
	for (size_t i = 0; i < syms_count; i++) {
		if (syms[i].table == table && view_ieq(name, syms[i].name)) {
			*ret_number = syms[i].number;
			return 0;
		}
	}
	return E_UNKNOWN_NAME;
}

const struct type types[TYPE_COUNT] = {
#define TYPE(name_, ctype_, phys_, syms_, text_) \
	[TYPE_##name_] = { #name_, PHYS_##phys_, SYMS_##syms_, sizeof(ctype_), text_ },
#include "schema/types.def"
#undef TYPE
};

#define COL_OF(row_, prefix_, id_, name_, key_, type_, unit_, presence_, index_, aliases_, text_)  \
	[prefix_##_##name_] = { id_, prefix_##_##name_, offsetof(struct row_, name_), TYPE_##type_, \
				UNIT_##unit_, PRESENCE_##presence_, INDEX_##index_, #name_, key_,   \
				aliases_, text_ },
#define COL(...) COL_OF(flow_row, FLOW, __VA_ARGS__)
static const struct col flow_cols[] = {
#include "schema/flow.def"
};
#undef COL
#define COL(...) COL_OF(call_row, CALL, __VA_ARGS__)
static const struct col call_cols[] = {
#include "schema/call.def"
};
#undef COL
#define COL(...) COL_OF(packet_row, PACKET, __VA_ARGS__)
static const struct col packet_cols[] = {
#include "schema/packet.def"
};
#undef COL
#define COL(...) COL_OF(event_row, EVENT_ROW, __VA_ARGS__)
static const struct col event_cols[] = {
#include "schema/event.def"
};
#undef COL
#define COL(...) COL_OF(entity_row, ENTITY_ROW, __VA_ARGS__)
static const struct col entity_cols[] = {
#include "schema/entity.def"
};
#undef COL
#define COL(...) COL_OF(rollup_row, ROLLUP, __VA_ARGS__)
static const struct col rollup_cols[] = {
#include "schema/rollup.def"
};
#undef COL

_Static_assert((int)FLOW_COLS <= 64 * SCHEMA_HAS_WORDS, "widen has[]");
_Static_assert((int)CALL_COLS <= 64 * SCHEMA_HAS_WORDS, "widen has[]");

static const struct table tables[] = {
	{ TABLE_FLOWS, "flows", flow_cols, FLOW_COLS, sizeof(struct flow_row),
	  FLOW_start_ns, FLOW_end_ns, FLOW_id },
	{ TABLE_CALLS, "calls", call_cols, CALL_COLS, sizeof(struct call_row),
	  CALL_start_ns, CALL_end_ns, CALL_id },
	{ TABLE_PACKETS, "packets", packet_cols, PACKET_COLS, sizeof(struct packet_row),
	  PACKET_start_ns, -1, -1 },
	{ TABLE_EVENTS, "events", event_cols, EVENT_COLS, sizeof(struct event_row),
	  EVENT_ROW_start_ns, EVENT_ROW_end_ns, EVENT_ROW_id },
	{ TABLE_ENTITIES, "entities", entity_cols, ENTITY_COLS, sizeof(struct entity_row),
	  ENTITY_ROW_start_ns, ENTITY_ROW_end_ns, ENTITY_ROW_id },
	{ TABLE_ROLLUPS, "rollups", rollup_cols, ROLLUP_COLS, sizeof(struct rollup_row),
	  ROLLUP_start_ns, ROLLUP_end_ns, -1 },
};

const struct table *table_get(enum table_id id)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (tables[i].id == id)
			return &tables[i];
	return NULL;
}

const struct table *table_by_name(struct view name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (view_is(name, tables[i].name))
			return &tables[i];
	return NULL;
}

static bool alias_has(const char *aliases, struct view name)
{
	while (*aliases) {
		size_t len = strcspn(aliases, " ");

		if (view_eq(name, view_make(aliases, len)))
			return true;
		aliases += len;
		aliases += strspn(aliases, " ");
	}
	return false;
}

const struct col *table_col(const struct table *table, struct view name)
{
	for (size_t i = 0; i < table->cols_count; i++)
		if (view_is(name, table->cols[i].key) || view_is(name, table->cols[i].name))
			return &table->cols[i];
	for (size_t i = 0; i < table->cols_count; i++)
		if (name.len && alias_has(table->cols[i].aliases, name))
			return &table->cols[i];
	return NULL;
}

const struct col *table_col_id(const struct table *table, uint16_t id)
{
	for (size_t i = 0; i < table->cols_count; i++)
		if (table->cols[i].id == id)
			return &table->cols[i];
	return NULL;
}

bool row_get(const struct col *col, const void *row, uint64_t *ret_int, struct view *ret_bytes)
{
	const uint64_t *has = row;
	const uint8_t *at = (const uint8_t *)row + col->offset;

	if (col->presence == PRESENCE_OPT && !row_has(has, col->ordinal))
		return false;
	if (col->type == TYPE_IP) {
		*ret_bytes = view_make(at, sizeof(struct ip));
		return true;
	}
	if (types[col->type].phys == PHYS_BYTES) {
		memcpy(ret_bytes, at, sizeof(*ret_bytes));
		return true;
	}
	switch (types[col->type].row_bytes) {
	case 1:
		*ret_int = *at;
		return true;
	case 2: {
		uint16_t v;

		memcpy(&v, at, sizeof(v));
		*ret_int = v;
		return true;
	}
	case 4: {
		uint32_t v;

		memcpy(&v, at, sizeof(v));
		*ret_int = v;
		return true;
	}
	default:
		memcpy(ret_int, at, sizeof(*ret_int));
		return true;
	}
}

int row_put(const struct col *col, void *row, uint64_t value, struct view bytes)
{
	uint8_t *at = (uint8_t *)row + col->offset;

	if (col->type == TYPE_IP) {
		if (bytes.len != sizeof(struct ip))
			return E_CORRUPT;
		memcpy(at, bytes.at, bytes.len);
	} else if (types[col->type].phys == PHYS_BYTES) {
		memcpy(at, &bytes, sizeof(bytes));
	} else {
		memcpy(at, &value, types[col->type].row_bytes);	/* little-endian: low bytes first */
	}
	row_mark(row, col->ordinal);
	return 0;
}

static uint64_t fnv(uint64_t h, const void *at, size_t len)
{
	const uint8_t *p = at;

	while (len--)
		h = (h ^ *p++) * 0x100000001b3ull;
	return h;
}

uint64_t table_fingerprint(const struct table *table)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];
		uint8_t type = (uint8_t)col->type, presence = (uint8_t)col->presence;

		h = fnv(h, &col->id, sizeof(col->id));
		h = fnv(h, col->key, strlen(col->key));
		h = fnv(h, &type, 1);
		h = fnv(h, &presence, 1);
	}
	return h;
}

/*
 * The tables, as generated from schema/NAME.def: the only place that knows columns.
 *
 * A row in memory is a plain struct (struct flow_row, call_row, ...), with one
 * member a column and a bit a column in has[]: an OPT column whose bit is not
 * set is null, whatever the member holds. Strings in a row are views; whoever
 * makes the row says how long they live. ROW_SET sets value and bit at once.
 */
#ifndef SCHEMA_SCHEMA_H
#define SCHEMA_SCHEMA_H

#include "base/err.h"
#include "base/ip.h"
#include "base/view.h"

enum table_id {		/* stored: never renumber */
	TABLE_FLOWS = 1,
	TABLE_CALLS = 2,
	TABLE_PACKETS = 3,
	TABLE_EVENTS = 4,
	TABLE_ENTITIES = 5,
	TABLE_ROLLUPS = 6,
	TABLE_MAX = 6,
};

enum phys { PHYS_INT, PHYS_BYTES };
enum unit { UNIT_NONE, UNIT_TIME, UNIT_DURATION, UNIT_BYTES, UNIT_COUNT };	/* TIME, DURATION: ns */
enum presence { PRESENCE_REQ, PRESENCE_OPT };
/* DERIVED: never stored; the query side works it out of other columns (query/verdict.def). */
enum col_index { INDEX_NONE, INDEX_BITMAP, INDEX_BLOOM, INDEX_DERIVED };

enum col_type {
#define TYPE(name, ctype, phys, syms, text) TYPE_##name,
#include "schema/types.def"
#undef TYPE
	TYPE_COUNT
};

enum sym_table {
	SYMS_NONE, SYMS_PROTO, SYMS_L7, SYMS_VANTAGE, SYMS_VIEW, SYMS_STATE, SYMS_FLOW_END,
	SYMS_CALL_END, SYMS_CLASS, SYMS_EVENT, SYMS_ENTITY, SYMS_DIR, SYMS_PAYLOAD, SYMS_RESET, SYMS_TUNNEL, SYMS_VERDICT,
	SYMS_BOTTLENECK,
};

/* The named values as constants: PROTO_tcp, L7_http, CALL_END_complete ... */
enum {
#define SYM(table, number, name, text) table##_##name = (number),
#include "schema/enums.def"
#undef SYM
};

struct sym {
	enum sym_table table;
	uint32_t number;
	const char *name;
	const char *text;
};
extern const struct sym syms[];
extern const size_t syms_count;

/* The name of a value, or NULL. */
const char *sym_name(enum sym_table table, uint64_t number);
/* The value of a name (case ignored): 0, or E_UNKNOWN_NAME. */
int sym_number(enum sym_table table, struct view name, uint32_t *ret_number);

struct type {
	const char *name;
	enum phys phys;
	enum sym_table syms;
	uint8_t row_bytes;	/* size of the member in a row */
	const char *text;
};
extern const struct type types[TYPE_COUNT];

struct col {
	uint16_t id;		/* stored */
	uint16_t ordinal;	/* position in the .def: index into table->cols, bit in has[] */
	uint16_t offset;	/* of the member in the row */
	enum col_type type;
	enum unit unit;
	enum presence presence;
	enum col_index index;
	const char *name;	/* C name */
	const char *key;	/* JSON key, filter name */
	const char *aliases;	/* blank-separated */
	const char *text;
};

struct table {
	enum table_id id;
	const char *name;
	const struct col *cols;
	size_t cols_count;
	size_t row_bytes;
	uint16_t start_ord;	/* ordinal of start_ns */
	int end_ord;		/* ordinal of end_ns, or -1 */
	int id_ord;		/* ordinal of id, or -1 */
};

/* NULL when there is none of that number or name. */
const struct table *table_get(enum table_id id);
const struct table *table_by_name(struct view name);
/* By key, C name or alias; NULL. */
const struct col *table_col(const struct table *table, struct view name);
const struct col *table_col_id(const struct table *table, uint16_t id);

#define SCHEMA_HAS_WORDS 3	/* up to 192 columns a table */

#define TYPE(name, ctype, phys, syms, text) typedef ctype ctype_##name;
#include "schema/types.def"	/* the one place where a typedef makes the tables readable */
#undef TYPE

#define COL(id_, name_, key_, type_, unit_, presence_, index_, aliases_, text_) ctype_##type_ name_;
struct flow_row {
	uint64_t has[SCHEMA_HAS_WORDS];
#include "schema/flow.def"
};
struct call_row {
	uint64_t has[SCHEMA_HAS_WORDS];
#include "schema/call.def"
};
struct packet_row {
	uint64_t has[SCHEMA_HAS_WORDS];
#include "schema/packet.def"
};
struct event_row {
	uint64_t has[SCHEMA_HAS_WORDS];
#include "schema/event.def"
};
struct entity_row {
	uint64_t has[SCHEMA_HAS_WORDS];
#include "schema/entity.def"
};
struct rollup_row {
	uint64_t has[SCHEMA_HAS_WORDS];
#include "schema/rollup.def"
};
#undef COL

/* Ordinals: FLOW_start_ns, CALL_status ... */
#define COL(id_, name_, ...) FLOW_##name_,
enum {
#include "schema/flow.def"
	FLOW_COLS
};
#undef COL
#define COL(id_, name_, ...) CALL_##name_,
enum {
#include "schema/call.def"
	CALL_COLS
};
#undef COL
#define COL(id_, name_, ...) PACKET_##name_,
enum {
#include "schema/packet.def"
	PACKET_COLS
};
#undef COL
#define COL(id_, name_, ...) EVENT_ROW_##name_,
enum {
#include "schema/event.def"
	EVENT_COLS
};
#undef COL
#define COL(id_, name_, ...) ENTITY_ROW_##name_,
enum {
#include "schema/entity.def"
	ENTITY_COLS
};
#undef COL
#define COL(id_, name_, ...) ROLLUP_##name_,
enum {
#include "schema/rollup.def"
	ROLLUP_COLS
};
#undef COL

static inline bool row_has(const uint64_t *has, unsigned ordinal)
{
	return has[ordinal / 64] >> (ordinal % 64) & 1;
}

static inline void row_mark(uint64_t *has, unsigned ordinal)
{
	has[ordinal / 64] |= 1ull << (ordinal % 64);
}

static inline void row_unmark(uint64_t *has, unsigned ordinal)
{
	has[ordinal / 64] &= ~(1ull << (ordinal % 64));
}

/* ROW_SET(FLOW, row, syn_rtt_ns, 17): prefix is FLOW CALL PACKET EVENT_ROW ENTITY_ROW ROLLUP. */
#define ROW_SET(prefix, row, member, ...)			\
	do {							\
		(row)->member = __VA_ARGS__;			\
		row_mark((row)->has, prefix##_##member);	\
	} while (0)
#define ROW_HAS(prefix, row, member) row_has((row)->has, prefix##_##member)

/*
 * The value of one column of a row, whatever its C type. False when it is null.
 * INT columns give *ret_int, BYTES columns *ret_bytes (borrowed from the row).
 */
bool row_get(const struct col *col, const void *row, uint64_t *ret_int, struct view *ret_bytes);
/* The reverse; marks the column. bytes of an IP column must be 16 long, else E_CORRUPT. */
int row_put(const struct col *col, void *row, uint64_t value, struct view bytes);

/* FNV-1a over id, key, type, presence of all columns of a table: stored with the data. */
uint64_t table_fingerprint(const struct table *table);

/*
 * Identifiers: time in units of 2^20 ns (41 bits) over a counter (23 bits), so
 * an id tells when its flow or call began, to about a millisecond.
 */
#define SCHEMA_ID_TIME_BITS 20
#define SCHEMA_ID_COUNT_BITS 23
static inline uint64_t schema_id(uint64_t start_ns, uint64_t counter)
{
	return start_ns >> SCHEMA_ID_TIME_BITS << SCHEMA_ID_COUNT_BITS |
	       (counter & ((1u << SCHEMA_ID_COUNT_BITS) - 1));
}
/* The earliest instant an id can stand for; the latest is 2^20 ns later, exclusive. */
static inline uint64_t schema_id_time(uint64_t id)
{
	return id >> SCHEMA_ID_COUNT_BITS << SCHEMA_ID_TIME_BITS;
}

/* Lengths of rollup buckets in seconds; each divides the next. All hold the same traffic. */
#define ROLLUP_TIERS { 1, 10, 60, 3600 }
#define ROLLUP_TIERS_COUNT 4

#endif

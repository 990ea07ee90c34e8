/*
 * Rows and groups as text: tables for people, JSON, NDJSON and CSV for
 * programs. CLI and REST write through here, so every format has the same
 * fields with the same precision everywhere.
 */
#ifndef QUERY_OUTPUT_H
#define QUERY_OUTPUT_H

#include "query/query.h"

enum output_format { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_NDJSON, OUTPUT_CSV };

/* "table" ...; E_UNKNOWN_NAME lists the formats. */
int output_format_parse(struct view name, enum output_format *ret_format, struct err *err);
const char *output_content_type(enum output_format format);

struct output_opts {
	enum output_format format;
	enum table_id table;		/* of rows; ignored for groups */
	const uint16_t *fields;		/* ordinals; NULL: the usual ones for tables, all else */
	size_t fields_count;
	bool no_headers;
	bool color;
};

struct output;	/* begin, rows, end */

/* Text is appended to out; the caller may take and reset it after any call. NULL: out of memory. */
struct output *output_new(const struct output_opts *opts, struct wr *out);
void output_free(struct output *output);
/* JSON is {"data":[rows...],"completeness":{...},"stats":{...},"next":cursor}. */
void output_row(struct output *output, const struct table *table, const void *row);
void output_end(struct output *output, const struct query_opts *opts, const struct query_stats *stats,
		struct view cursor);
/* All groups at once, with their end. bucketed: there is a time step. */
void output_groups(struct output *output, const struct query_opts *opts, const struct query_groups *groups,
		   bool bucketed, const struct query_stats *stats);

/* The columns shown in a table when none are asked for. */
const uint16_t *output_default_fields(enum table_id table, bool wide, size_t *ret_count);

#endif

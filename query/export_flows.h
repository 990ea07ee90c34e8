/*
 * Which frames an export wants: those of the flows that match, of the calls that
 * match, or all; what is said of each flow in a comment; and what the sources
 * say of their interfaces.
 */
#ifndef QUERY_EXPORT_FLOWS_H
#define QUERY_EXPORT_FLOWS_H

#include "query/plan.h"

struct flow_comment {
	uint64_t flow_id;
	struct view text;
	bool told;
};

struct flow_span {		/* a call's time on its flow */
	uint64_t flow_id, from_ns, to_ns;
};

struct export_flows {
	bool all;		/* no filter: every frame, those without a flow too */
	uint64_t *ids;		/* ascending, distinct */
	size_t count, cap;
	struct flow_comment *comments;	/* ascending by flow */
	size_t comments_count, comments_cap;
	struct flow_span *spans;	/* ascending by flow, then from; disjoint */
	size_t spans_count, spans_cap;
	bool by_calls;
	size_t at;		/* of the comment last asked for */
	struct arena texts;
};

/* plan: of FLOWS, with the flows' filter. */
int export_flows_find(struct export_flows *flows, struct plan *plan, const struct query_export *what, struct err *err);
void export_flows_release(struct export_flows *flows);
bool export_flows_want(const struct export_flows *flows, const struct packet_rec *rec);
/* The comment of a flow the first time it is asked for, then empty. */
struct view export_flows_comment(struct export_flows *flows, uint64_t flow_id);

/* ---- sources ---- */

struct export_iface {
	uint64_t source;
	uint32_t iface;
	uint16_t link;
	uint8_t tsresol;
	bool second;	/* its frames are those of conversations whose other end is recorded too */
	struct view name;
};

struct export_sources {
	struct export_iface *ifaces;
	size_t count, cap;
	bool unknown;		/* a source does not tell */
};

/* Texts in arena. */
int export_sources_find(struct export_sources *sources, const struct plan *plan, struct arena *arena, struct err *err);
void export_sources_release(struct export_sources *sources);
/* All sources have one link type, and their precision is known. */
bool export_sources_agree(const struct export_sources *sources, uint16_t *ret_link, bool *ret_nanos);
bool export_sources_second(const struct export_sources *sources, uint64_t source, uint32_t iface);
struct view export_sources_iface(const struct export_sources *sources, uint64_t source, uint32_t iface);

#endif

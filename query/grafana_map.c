/* The service map: a frame of nodes and one of edges, for the Node graph panel. */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "query/grafana.h"

#define EDGES_DEFAULT 200
#define NODES_MAX     2000

struct node {
	struct view name;
	double rate, errors; /* of the calls it answers */
	double bytes;
};

enum { A_RATE, A_ERRORS, A_BYTES, A_LATENCY };

static struct node *node_of(struct node *nodes, size_t *count, struct view name)
{
	for (size_t i = 0; i < *count; i++)
		if (view_eq(nodes[i].name, name))
			return &nodes[i];
	if (*count == NODES_MAX)
		return NULL;
	nodes[*count].name = name;
	return &nodes[(*count)++];
}

static double or_zero(double value)
{
	return isnan(value) ? 0 : value;
}

static struct view key_of(const struct query_group *group, size_t k)
{
	return group->keys[k].at ? group->keys[k] : VIEW_LIT("(unknown)");
}

static size_t collect(const struct query_groups *groups, struct node *nodes)
{
	size_t count = 0;

	for (size_t i = 0; i < groups->count; i++) {
		const struct query_group *group = &groups->groups[i];
		struct node *server;

		(void)node_of(nodes, &count, key_of(group, 0));
		server = node_of(nodes, &count, key_of(group, 1));
		if (!server)
			continue;
		server->rate += or_zero(group->values[A_RATE]);
		server->errors += or_zero(group->values[A_RATE]) * or_zero(group->values[A_ERRORS]);
		server->bytes += or_zero(group->values[A_BYTES]);
	}
	return count;
}

static int write_nodes(struct grafana_target *target, const struct node *nodes, size_t count,
		       const char *notice, struct json *json, struct err *err)
{
	static const struct {
		const char *name, *type, *unit;
	} fields[] = {
		{ "id", "string", NULL },	   { "title", "string", NULL },
		{ "mainstat", "number", "reqps" }, { "secondarystat", "number", "Bps" },
		{ "arc__ok", "number", NULL },	   { "arc__errors", "number", NULL },
	};
	struct frame frame;
	int rc = 0;

	frame_init(&frame, target->ref_id, "nodes");
	frame.visual = "nodeGraph";
	frame.notice = notice;
	for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]) && rc >= 0; f++)
		if (!frame_add(&frame, fields[f].name, fields[f].type, fields[f].unit))
			rc = err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count && rc >= 0; i++) {
		double bad = nodes[i].rate > 0 ? nodes[i].errors / nodes[i].rate : 0;

		frame_put_str(&frame.fields[0], nodes[i].name);
		frame_put_str(&frame.fields[1], nodes[i].name);
		frame_put_f64(&frame.fields[2], nodes[i].rate);
		frame_put_f64(&frame.fields[3], nodes[i].bytes);
		frame_put_f64(&frame.fields[4], 1 - bad);
		frame_put_f64(&frame.fields[5], bad);
	}
	if (rc >= 0)
		rc = frame_write(&frame, GRAFANA_COLUMNS, json, err);
	frame_release(&frame);
	return rc;
}

static int write_edges(struct grafana_target *target, const struct query_groups *groups,
		       struct json *json, struct err *err)
{
	static const struct {
		const char *name, *type, *unit;
	} fields[] = {
		{ "id", "string", NULL },
		{ "source", "string", NULL },
		{ "target", "string", NULL },
		{ "mainstat", "number", "reqps" },
		{ "secondarystat", "number", "ns" },
		{ "thickness", "number", NULL },
	};
	struct frame frame;
	char id[24];
	int rc = 0;

	frame_init(&frame, target->ref_id, "edges");
	frame.visual = "nodeGraph";
	for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]) && rc >= 0; f++)
		if (!frame_add(&frame, fields[f].name, fields[f].type, fields[f].unit))
			rc = err_set(err, E_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < groups->count && rc >= 0; i++) {
		const struct query_group *group = &groups->groups[i];
		double bytes = or_zero(group->values[A_BYTES]);

		(void)snprintf(id, sizeof(id), "e%zu", i);
		frame_put_str(&frame.fields[0], view_str(id));
		frame_put_str(&frame.fields[1], key_of(group, 0));
		frame_put_str(&frame.fields[2], key_of(group, 1));
		frame_put_f64(&frame.fields[3], or_zero(group->values[A_RATE]));
		frame_put_f64(&frame.fields[4], group->values[A_LATENCY]);
		frame_put_f64(&frame.fields[5], bytes > 1 ? 1 + log10(bytes) : 1);
	}
	if (rc >= 0)
		rc = frame_write(&frame, GRAFANA_COLUMNS, json, err);
	frame_release(&frame);
	return rc;
}

int grafana_run_map(struct grafana_target *target, struct json *json, struct err *err)
{
	struct query_aggregate what = {
		.table = TABLE_ROLLUPS,
		.by = VIEW_LIT("src.workload,dst.workload"),
		.agg = VIEW_LIT("rate(calls),error_ratio,rate(tx_bytes),p99(latency)"),
		.order = VIEW_LIT("-rate(tx_bytes)")
	};
	struct query_groups groups = { 0 };
	struct query_stats stats = { 0 };
	struct node *nodes;
	int rc = grafana_option_u64(target, "limit", EDGES_DEFAULT, NODES_MAX, &what.top, err);

	if (rc < 0)
		return rc;
	nodes = arena_array(&target->req->arena, NODES_MAX, sizeof(*nodes));
	if (!nodes)
		return err_set(err, E_NO_MEMORY, "out of memory");
	target->opts.filter = target->filter;
	rc = query_aggregate(target->store, &target->opts, &what, &target->req->arena, &groups,
			     &stats, err);
	if (rc >= 0)
		rc = write_nodes(target, nodes, collect(&groups, nodes),
				 grafana_notice(&stats, &target->opts, &target->req->arena), json,
				 err);
	if (rc >= 0)
		rc = write_edges(target, &groups, json, err);
	target->req->rows += groups.count;
	return rc;
}

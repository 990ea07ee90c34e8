#include "wire/protocols.h"

#include <stdio.h>

#include "base/distance.h"
#include "wire/proto.h"

#define NAME_BYTES_MAX	32
#define NEAR_EDITS	2	/* as a slip of the finger */

/* Calls that are read out of the calls of another protocol: they need it. */
static const struct {
	uint8_t l7, carrier, or_else;
} carried[] = {
	{ L7_grpc, L7_http2, L7_http2 }, { L7_grpc_web, L7_http, L7_http2 }, { L7_graphql, L7_http, L7_http2 },
	{ L7_sse, L7_http, L7_http2 },
};

static void turn(struct protocols *set, uint8_t l7, bool on)
{
	uint64_t bit = 1ull << (l7 & 63);

	if (on)
		set->off[l7 >> 6] &= ~bit;
	else
		set->off[l7 >> 6] |= bit;
}

static void turn_all(struct protocols *set, bool on)
{
	for (size_t i = 0; protos[i]; i++)
		turn(set, protos[i]->id, on);
}

/* "grpc-web" is grpc_web, as flags are written. */
static const struct proto_ops *find(struct view name)
{
	char text[NAME_BYTES_MAX];

	if (name.len > sizeof(text))
		return NULL;
	for (size_t i = 0; i < name.len; i++)
		text[i] = (char)(name.at[i] == '-' ? '_' : name.at[i]);
	for (size_t i = 0; protos[i]; i++)
		if (view_ieq(view_make(text, name.len), protos[i]->name))
			return protos[i];
	return NULL;
}

/* How far the name is from one it may have been meant for: 0 where that begins so. */
static size_t edits(struct view name, struct view other)
{
	if (name.len > 2 && name.len < other.len && memcmp(name.at, other.at, name.len) == 0)
		return 0;
	return distance_edits(name, other);
}

/* Names of protocols at most so far from the name, with commas between. */
static void list(struct wr *out, struct view name, size_t edits_max)
{
	for (size_t i = 0; protos[i]; i++) {
		if (edits(name, view_str(protos[i]->name)) > edits_max)
			continue;
		if (out->len)
			wr_str(out, ", ");
		wr_str(out, protos[i]->name);
	}
}

static int unknown(struct view name, struct err *err)
{
	struct wr names;
	bool near;
	int rc;

	wr_init(&names, 0);
	for (size_t n = 0; n <= NEAR_EDITS && !names.len; n++)
		list(&names, name, n);
	near = names.len > 0;
	if (!near)
		list(&names, name, SIZE_MAX);
	wr_u8(&names, 0);
	rc = err_set(err, E_USAGE, near ? "no protocol is called \"%.*s\"; did you mean %s?" :
		     "no protocol is called \"%.*s\"; there are all, none, %s", (int)(name.len < 64 ? name.len : 64),
		     (const char *)name.at, names.bad ? "others" : (const char *)names.at);
	wr_release(&names);
	return rc;
}

struct reading {
	struct protocols set;
	struct protocols named;		/* off: asked for by name, and not taken away again */
	bool begun;
};

static int apply(struct reading *reading, struct view word, struct err *err)
{
	bool off = word.len && word.at[0] == '-';
	struct view name = view_sub(word, off, word.len);
	const struct proto_ops *ops;

	if (!name.len)
		return err_set(err, E_USAGE, "a name is missing: say for example http,dns or -kafka, or all or none");
	if (!reading->begun)
		turn_all(&reading->set, off);
	reading->begun = true;
	if (view_ieq(name, "all") || view_ieq(name, "none")) {
		turn_all(&reading->set, view_ieq(name, "all") != off);
		return 0;
	}
	ops = find(name);
	if (!ops)
		return unknown(name, err);
	turn(&reading->set, ops->id, !off);
	turn(&reading->named, ops->id, off);	/* a bit that is set means off: here, named */
	return 0;
}

/* What another protocol carries goes off with it, unless it was asked for. */
static int follow_carriers(struct reading *reading, struct view text, struct err *err)
{
	for (size_t i = 0; i < sizeof(carried) / sizeof(carried[0]); i++) {
		const struct proto_ops *ops = proto_by_id(carried[i].l7), *carrier = proto_by_id(carried[i].carrier);

		if (protocols_has(&reading->set, carrier->id) || protocols_has(&reading->set, carried[i].or_else))
			continue;
		if (protocols_has(&reading->set, ops->id) && !protocols_has(&reading->named, ops->id))
			return err_set(err, E_USAGE, "%s is read out of %s, which is off: say %.*s,%s", ops->name, carrier->name,
				       (int)(text.len < 200 ? text.len : 200), (const char *)text.at, carrier->name);
		turn(&reading->set, ops->id, false);
	}
	return 0;
}

int protocols_parse(struct view text, struct protocols *ret_set, struct err *err)
{
	struct reading reading = { .begun = false };
	struct view left = text;
	bool more = true;
	int rc = 0;

	while (rc == 0 && more) {
		ptrdiff_t comma = view_find(left, VIEW_LIT(","));

		more = comma >= 0;
		rc = apply(&reading, view_trim(more ? view_sub(left, 0, (size_t)comma) : left), err);
		left = view_sub(left, (size_t)(comma + 1), left.len);
	}
	if (rc == 0)
		rc = follow_carriers(&reading, text, err);
	if (rc == 0)
		*ret_set = reading.set;
	return rc;
}

void protocols_text(const struct protocols *set, struct wr *out)
{
	unsigned on = 0, off = 0;
	bool more = false;

	for (size_t i = 0; protos[i]; i++) {
		on += protocols_has(set, protos[i]->id);
		off += !protocols_has(set, protos[i]->id);
	}
	if (!on || !off)
		wr_str(out, on ? "all" : "none");
	for (size_t i = 0; protos[i] && on && off; i++) {
		if (protocols_has(set, protos[i]->id) != (on <= off))
			continue;
		wr_printf(out, "%s%s%s", more ? "," : "", on <= off ? "" : "-", protos[i]->name);
		more = true;
	}
}

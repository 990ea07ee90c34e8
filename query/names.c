#include "query/names.h"

#include <stdio.h>

#define NAME_LEN_MAX 96 /* longer ones have no neighbours */
#define NEAREST_MAX  3

/* Either side, under the names other tools give it. */
static const struct {
	const char *name, *ours;
} either_aliases[] = {
	{ "ip.addr", "ip" },
	{ "ipv6.addr", "ip" },
	{ "tcp.port", "port" },
	{ "udp.port", "port" },
	{ "host.ip", "ip" },
	{ "pod.name", "pod" },
	{ "pod.namespace", "namespace" },
	{ "process.name", "comm" },
	{ "container.id", "container" },
	{ "node.name", "node" },
	{ "service.name", "service" },
};

static const char *const unit_suffixes[] = { "_ns", "_bytes" };

static const struct col *col_joined(const struct table *table, const char *before, struct view name,
				    const char *behind)
{
	char text[NAME_LEN_MAX + 16];
	int len;

	if (name.len == 0 || name.len > NAME_LEN_MAX)
		return NULL;
	len = snprintf(text, sizeof(text), "%s%.*s%s", before, (int)name.len, (const char *)name.at,
		       behind);
	return table_col(table, view_make(text, (size_t)len));
}

static bool resolve_with(const struct table *table, struct view name, const char *behind,
			 struct name_cols *ret_cols)
{
	const struct col *one = col_joined(table, "", name, behind);
	struct name_cols cols = { .bare = *behind != '\0' };

	if (one) {
		cols.cols[cols.count++] = one;
	} else {
		const struct col *src = col_joined(table, "src.", name, behind);
		const struct col *dst = col_joined(table, "dst.", name, behind);

		if (src)
			cols.cols[cols.count++] = src;
		if (dst && dst != src)
			cols.cols[cols.count++] = dst;
	}
	if (cols.count == 0)
		return false;
	*ret_cols = cols;
	return true;
}

bool name_resolve(const struct table *table, struct view name, struct name_cols *ret_cols)
{
	if (resolve_with(table, name, "", ret_cols))
		return true;
	for (size_t i = 0; i < sizeof(either_aliases) / sizeof(either_aliases[0]); i++)
		if (view_is(name, either_aliases[i].name))
			return resolve_with(table, view_str(either_aliases[i].ours), "", ret_cols);
	for (size_t i = 0; i < sizeof(unit_suffixes) / sizeof(unit_suffixes[0]); i++)
		if (resolve_with(table, name, unit_suffixes[i], ret_cols))
			return true;
	return false;
}

static const struct col *col_of_syms(const struct table *table, enum sym_table syms_of)
{
	for (size_t i = 0; i < table->cols_count; i++)
		if (types[table->cols[i].type].syms == syms_of)
			return &table->cols[i];
	return NULL;
}

bool name_flag(const struct table *table, struct view name, struct name_flag *ret_flag)
{
	/* `icmp` is both: every packet of it, not only the echoes that are calls. */
	static const enum sym_table flag_syms[] = { SYMS_PROTO, SYMS_L7, SYMS_TUNNEL };
	uint32_t value;

	for (size_t i = 0; i < sizeof(flag_syms) / sizeof(flag_syms[0]); i++) {
		const struct col *col = col_of_syms(table, flag_syms[i]);

		if (col && !view_is(name, "none") && sym_number(flag_syms[i], name, &value) == 0) {
			*ret_flag = (struct name_flag){ col, value };
			return true;
		}
	}
	return false;
}

/* ---- nearest ---- */

struct nearest {
	struct view name;
	struct {
		struct view name;
		unsigned distance;
	} best[NEAREST_MAX];
	size_t count;
};

static uint8_t fold(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* Optimal string alignment: insert, delete, replace, swap of neighbours; case is free. */
static unsigned edit_distance(struct view a, struct view b)
{
	unsigned rows[3][NAME_LEN_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= b.len; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a.len; i++) {
		unsigned *spare = before;

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			bool same = fold(a.at[i - 1]) == fold(b.at[j - 1]);
			unsigned cost = last[j - 1] + !same;

			if (last[j] + 1 < cost)
				cost = last[j] + 1;
			if (now[j - 1] + 1 < cost)
				cost = now[j - 1] + 1;
			if (i > 1 && j > 1 && fold(a.at[i - 1]) == fold(b.at[j - 2]) &&
			    fold(a.at[i - 2]) == fold(b.at[j - 1]) && before[j - 2] + 1 < cost)
				cost = before[j - 2] + 1;
			now[j] = cost;
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b.len];
}

static void nearest_offer(struct nearest *nearest, struct view name)
{
	unsigned distance, most;
	size_t at;

	if (name.len == 0 || name.len > NAME_LEN_MAX)
		return;
	most = (unsigned)(nearest->name.len <= 3      ? 1
			  : nearest->name.len / 3 > 4 ? 4
						      : 1 + nearest->name.len / 4);
	distance = edit_distance(nearest->name, name);
	/* A word that is part of a name is near it, however long the rest: `stat` of `status_text`. */
	if (distance > most && nearest->name.len >= 3 && view_find(name, nearest->name) >= 0)
		distance = most;
	if (distance > most)
		return;
	for (size_t i = 0; i < nearest->count; i++)
		if (view_eq(nearest->best[i].name, name))
			return;
	for (at = 0; at < nearest->count && nearest->best[at].distance <= distance; at++)
		;
	if (at == NEAREST_MAX)
		return;
	if (nearest->count < NEAREST_MAX)
		nearest->count++;
	for (size_t i = nearest->count - 1; i > at; i--)
		nearest->best[i] = nearest->best[i - 1];
	nearest->best[at].name = name;
	nearest->best[at].distance = distance;
}

static void nearest_text(const struct nearest *nearest, char *text, size_t cap)
{
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < nearest->count && len < cap; i++)
		len += (size_t)snprintf(text + len, cap - len, "%s%.*s", i ? ", " : "",
					(int)nearest->best[i].name.len,
					(const char *)nearest->best[i].name.at);
}

static struct view without_unit(struct view key)
{
	for (size_t i = 0; i < sizeof(unit_suffixes) / sizeof(unit_suffixes[0]); i++) {
		size_t len = strlen(unit_suffixes[i]);

		if (key.len > len && view_is(view_sub(key, key.len - len, len), unit_suffixes[i]))
			return view_sub(key, 0, key.len - len);
	}
	return key;
}

void name_nearest(const struct table *table, struct view name, bool flags, char *text, size_t cap)
{
	struct nearest nearest = { .name = name };

	text[0] = '\0';
	if (name.len == 0 || name.len > NAME_LEN_MAX)
		return;
	for (size_t i = 0; i < table->cols_count; i++) {
		const struct col *col = &table->cols[i];
		const char *alias = col->aliases;

		nearest_offer(&nearest, view_str(col->key));
		nearest_offer(&nearest, without_unit(view_str(col->key)));
		/* `port` is a name too, and may be what was meant */
		if (view_starts(view_str(col->key), "src."))
			nearest_offer(&nearest, view_str(col->key + 4));
		for (; *alias; alias += strspn(alias, " ")) {
			size_t len = strcspn(alias, " ");

			nearest_offer(&nearest, view_make(alias, len));
			alias += len;
		}
	}
	for (size_t i = 0; flags && i < syms_count; i++) {
		struct name_flag flag;

		if ((syms[i].table == SYMS_L7 || syms[i].table == SYMS_PROTO || syms[i].table == SYMS_TUNNEL) &&
		    name_flag(table, view_str(syms[i].name), &flag))
			nearest_offer(&nearest, view_str(syms[i].name));
	}
	nearest_text(&nearest, text, cap);
}

void name_nearest_sym(enum sym_table syms_of, struct view name, char *text, size_t cap)
{
	struct nearest nearest = { .name = name };

	text[0] = '\0';
	if (name.len == 0 || name.len > NAME_LEN_MAX)
		return;
	for (size_t i = 0; i < syms_count; i++)
		if (syms[i].table == syms_of)
			nearest_offer(&nearest, view_str(syms[i].name));
	nearest_text(&nearest, text, cap);
}

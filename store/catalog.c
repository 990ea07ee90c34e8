#include "store/catalog.h"

#include <assert.h>
#include <stdio.h>

#include "base/mem.h"
#include "store/catalog_file.h"

enum { CAT_META, CAT_PART, CAT_GAP, CAT_STATUS, CAT_PIN, CAT_NOTE };
const char *const catalog_dbs[] = { "meta+", "part+", "gap+", "status+", "pin+", "note+", NULL };

#define RULE_KEY "rule "	/* and the scope: in META */
#define CATALOG_MAP_BYTES (4ull << 30)
/* Texts are cut in pieces so that replacing one never frees a run of pages (kv.h). */
#define STATUS_PIECE_BYTES 960
_Static_assert(STATUS_PIECE_BYTES < KV_SMALL_MAX, "a piece stays on a shared page");

static struct view key_u64(uint8_t at[8], uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(at, &v, sizeof(v));
	return view_make(at, 8);
}

static struct view key_part(uint8_t at[12], uint64_t hour, uint32_t gen)
{
	(void)key_u64(at, hour);
	gen = __builtin_bswap32(gen);
	memcpy(at + 8, &gen, sizeof(gen));
	return view_make(at, 12);
}

/* Put what wr holds, and release it. */
static int put_wr(struct kv_txn *txn, unsigned db, enum kv_put how, struct view key, struct wr *wr, struct err *err)
{
	int rc = wr->bad ? err_set(err, E_NO_MEMORY, "catalog: out of memory")
			 : kv_put(txn, db, how, key, wr_view(wr), err);

	assert(wr->bad || wr->len <= KV_SMALL_MAX);
	wr_release(wr);
	return rc;
}

static int check_format(struct kv *kv, bool for_write, struct err *err)
{
	struct kv_txn *txn = NULL;
	struct view value;
	int rc = kv_txn_begin(kv, false, &txn, err);
	struct wr wr;

	if (rc < 0)
		return rc;
	rc = kv_get(txn, CAT_META, VIEW_LIT("format"), &value, err);
	if (rc > 0) {
		struct rd rd = rd_make(value);
		uint32_t format = rd_u32le(&rd);

		if (rd.bad || format != CATALOG_FORMAT)
			rc = err_set(err, E_UNSUPPORTED, "the store has format %u, and this program knows %u", format,
				     CATALOG_FORMAT);
	}
	kv_txn_abort(txn);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (!for_write)
		return err_set(err, E_NOT_FOUND, "the catalog has no format: no store here yet");
	rc = kv_txn_begin(kv, true, &txn, err);
	if (rc < 0)
		return rc;
	wr_init(&wr, 0);
	wr_u32le(&wr, CATALOG_FORMAT);
	rc = put_wr(txn, CAT_META, KV_PUT, VIEW_LIT("format"), &wr, err);
	if (rc == 0)
		return kv_txn_commit(txn, err);
	kv_txn_abort(txn);
	return rc;
}

int catalog_open(const char *dir, bool for_write, int group_gid, struct kv **ret_kv, struct err *err)
{
	struct kv_opts opts = { .mode = for_write ? KV_WRITE : KV_READ, .dbs = catalog_dbs,
				.map_bytes = CATALOG_MAP_BYTES, .group_gid = group_gid };
	char path[STORE_PATH_MAX];
	struct kv *kv = NULL;
	int rc;

	rc = for_write ? catalog_file_drop_unmade(dir, err) : 0;
	if (rc == 0)
		rc = files_path(path, err, dir, "catalog", NULL);
	if (rc < 0)
		return rc;
	rc = kv_open(path, &opts, &kv, err);
	if (rc == E_NOT_FOUND)
		(void)err_prefix(err, "%s holds no store", dir);
	if (rc < 0)
		return rc;
	if (for_write)
		catalog_file_reserve(path);
	rc = check_format(kv, for_write, err);
	if (rc < 0) {
		kv_close(kv);
		return rc;
	}
	*ret_kv = kv;
	return 0;
}

/* -------------------------------------------------------------- partitions */

int catalog_part_put(struct kv_txn *txn, const struct part_entry *entry, struct err *err)
{
	uint8_t key[12];
	struct wr wr;

	wr_init(&wr, 0);
	part_entry_write(entry, &wr);
	return put_wr(txn, CAT_PART, KV_PUT, key_part(key, entry->hour, entry->gen), &wr, err);
}

int catalog_part_get(struct kv_txn *txn, uint64_t hour, uint32_t gen, struct part_entry *ret_entry, struct err *err)
{
	struct view value;
	uint8_t key[12];
	int rc = kv_get(txn, CAT_PART, key_part(key, hour, gen), &value, err);

	if (rc <= 0)
		return rc;
	rc = part_entry_read(value, ret_entry, err);
	return rc < 0 ? rc : 1;
}

int catalog_part_del(struct kv_txn *txn, uint64_t hour, uint32_t gen, struct err *err)
{
	uint8_t key[12];

	return kv_del(txn, CAT_PART, key_part(key, hour, gen), err);
}

/* "gen " and the hour */
#define RESERVED_KEY_LEN 12
static struct view key_reserved(uint8_t at[RESERVED_KEY_LEN], uint64_t hour)
{
	memcpy(at, "gen ", 4);
	(void)key_u64(at + 4, hour);
	return view_make(at, RESERVED_KEY_LEN);
}

int catalog_part_next_gen(struct kv_txn *txn, uint64_t hour, uint32_t *ret_gen, struct err *err)
{
	struct kv_cursor *cursor = NULL;
	struct view found, value;
	uint8_t key[12], reserved[RESERVED_KEY_LEN];
	uint32_t gen = 0;
	int rc = kv_cursor_open(txn, CAT_PART, &cursor, err);

	if (rc < 0)
		return rc;
	rc = kv_cursor_below(cursor, key_part(key, hour + 1, 0), &found, &value, err);
	if (rc >= 0) {
		struct rd rd = rd_make(found);

		gen = rc && rd_u64be(&rd) == hour ? rd_u32be(&rd) + 1 : 0;
		rc = kv_get(txn, CAT_META, key_reserved(reserved, hour), &value, err);
	}
	kv_cursor_close(cursor);
	if (rc > 0) {
		struct rd rd = rd_make(value);
		uint32_t above = rd_u32le(&rd) + 1;

		gen = above > gen ? above : gen;
	}
	if (rc < 0)
		return rc;
	*ret_gen = gen;
	return 0;
}

int catalog_gen_reserve(struct kv_txn *txn, uint64_t hour, uint32_t *ret_gen, struct err *err)
{
	uint8_t key[RESERVED_KEY_LEN];
	uint32_t gen;
	struct wr wr;
	int rc = catalog_part_next_gen(txn, hour, &gen, err);

	if (rc < 0)
		return rc;
	wr_init(&wr, 0);
	wr_u32le(&wr, gen);
	rc = put_wr(txn, CAT_META, KV_PUT, key_reserved(key, hour), &wr, err);
	if (rc == 0)
		*ret_gen = gen;
	return rc;
}

int catalog_gen_release(struct kv_txn *txn, uint64_t hour, struct err *err)
{
	uint8_t key[RESERVED_KEY_LEN];
	int rc = kv_del(txn, CAT_META, key_reserved(key, hour), err);

	return rc < 0 ? rc : 0;
}

/* Call fn with every entry of db, in order, until it answers other than 0. */
static int each(struct kv_txn *txn, unsigned db, int (*fn)(struct view key, struct view value, void *arg, struct err *err),
		void *arg, struct err *err)
{
	struct kv_cursor *cursor = NULL;
	struct view key, value;
	int rc = kv_cursor_open(txn, db, &cursor, err);

	if (rc < 0)
		return rc;
	while ((rc = kv_cursor_next(cursor, &key, &value, err)) > 0) {
		rc = fn(key, value, arg, err);
		if (rc)
			break;
	}
	kv_cursor_close(cursor);
	return rc < 0 ? rc : 0;
}

/* An array that grows in an arena: doubling leaves the old halves behind, at most as much again. */
struct list {
	struct arena *arena;
	void *items;
	size_t item_bytes, count, cap;
	uint64_t from_ns, to_ns;
};

static void *list_add(struct list *list)
{
	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 16;
		void *items = arena_array(list->arena, cap, list->item_bytes);

		if (!items)
			return NULL;
		if (list->count)
			memcpy(items, list->items, list->count * list->item_bytes);
		list->items = items;
		list->cap = cap;
	}
	return (uint8_t *)list->items + list->count++ * list->item_bytes;
}

static int add_part(struct view key, struct view value, void *arg, struct err *err)
{
	struct part_entry *entry = list_add(arg);

	(void)key;
	if (!entry)
		return err_set(err, E_NO_MEMORY, "catalog: out of memory");
	return part_entry_read(value, entry, err);
}

int catalog_parts(struct kv_txn *txn, struct arena *arena, struct part_entry **ret_entries, size_t *ret_count,
		  struct err *err)
{
	struct list list = { .arena = arena, .item_bytes = sizeof(struct part_entry) };
	int rc = each(txn, CAT_PART, add_part, &list, err);

	if (rc < 0)
		return rc;
	*ret_entries = list.items;
	*ret_count = list.count;
	return 0;
}

/* ---------------------------------------------------------------- progress */

int catalog_progress_put(struct kv_txn *txn, const struct catalog_progress *progress, struct err *err)
{
	struct wr wr;

	wr_init(&wr, 0);
	wr_u8(&wr, progress->clean);
	wr_u64le(&wr, progress->last_commit_ns);
	wr_u64le(&wr, progress->newest_ns);
	return put_wr(txn, CAT_META, KV_PUT, VIEW_LIT("progress"), &wr, err);
}

int catalog_progress_get(struct kv_txn *txn, struct catalog_progress *ret_progress, struct err *err)
{
	struct catalog_progress progress = { .clean = true };
	struct view value;
	int rc = kv_get(txn, CAT_META, VIEW_LIT("progress"), &value, err);

	if (rc < 0)
		return rc;
	if (rc > 0) {
		struct rd rd = rd_make(value);

		progress.clean = rd_u8(&rd) != 0;
		progress.last_commit_ns = rd_u64le(&rd);
		progress.newest_ns = rd_u64le(&rd);
		if (rd.bad)
			return err_set(err, E_CORRUPT, "catalog: progress mark of %zu bytes", value.len);
	}
	*ret_progress = progress;
	return 0;
}

/* -------------------------------------------------------------------- gaps */

static void copy_text(char *to, size_t cap, struct view from)
{
	size_t len = from.len < cap - 1 ? from.len : cap - 1;

	if (len)
		memcpy(to, from.at, len);
	to[len] = '\0';
}

int catalog_gap_add(struct kv_txn *txn, const struct store_gap *gap, struct err *err)
{
	uint8_t key[12];
	struct wr wr;
	int rc;

	for (uint32_t n = 0;; n++) {	/* several gaps may begin at one instant */
		wr_init(&wr, 0);
		wr_u64le(&wr, gap->to_ns);
		wr_u64le(&wr, gap->source);
		wr_u64le(&wr, gap->packets);
		wr_u64le(&wr, gap->bytes);
		wr_vbytes(&wr, view_make(gap->reason, strnlen(gap->reason, sizeof(gap->reason))));
		rc = put_wr(txn, CAT_GAP, KV_PUT_NEW, key_part(key, gap->from_ns, n), &wr, NULL);
		if (rc != E_EXISTS)
			break;
	}
	return rc < 0 ? err_set(err, rc, "catalog: gap not written: %s", err_text(rc)) : 0;
}

static int read_gap(struct view key, struct view value, struct store_gap *ret_gap, struct err *err)
{
	struct rd rk = rd_make(key), rd = rd_make(value);
	struct store_gap gap = { .from_ns = rd_u64be(&rk) };

	gap.to_ns = rd_u64le(&rd);
	gap.source = rd_u64le(&rd);
	gap.packets = rd_u64le(&rd);
	gap.bytes = rd_u64le(&rd);
	copy_text(gap.reason, sizeof(gap.reason), rd_vbytes(&rd));
	if (rk.bad || rd.bad)
		return err_set(err, E_CORRUPT, "catalog: gap of %zu bytes", value.len);
	*ret_gap = gap;
	return 0;
}

static int add_gap(struct view key, struct view value, void *arg, struct err *err)
{
	struct list *list = arg;
	struct store_gap gap, *added;
	int rc = read_gap(key, value, &gap, err);

	if (rc < 0)
		return rc;
	if (gap.from_ns >= list->to_ns)
		return 1;
	if (gap.to_ns <= list->from_ns)
		return 0;
	added = list_add(list);
	if (!added)
		return err_set(err, E_NO_MEMORY, "catalog: out of memory");
	*added = gap;
	return 0;
}

int catalog_gaps(struct kv_txn *txn, uint64_t from_ns, uint64_t to_ns, struct arena *arena,
		 struct store_gap **ret_gaps, size_t *ret_count, struct err *err)
{
	struct list list = { .arena = arena, .item_bytes = sizeof(struct store_gap), .from_ns = from_ns,
			     .to_ns = to_ns };
	int rc = each(txn, CAT_GAP, add_gap, &list, err);

	if (rc < 0)
		return rc;
	*ret_gaps = list.items;
	*ret_count = list.count;
	return 0;
}

int catalog_gaps_drop(struct kv_txn *txn, uint64_t instant_ns, struct err *err)
{
	struct kv_cursor *cursor = NULL;
	struct view key, value;
	uint8_t copy[12] = { 0 };
	int rc;

	for (;;) {	/* a delete ends what the cursor borrowed: one at a time */
		struct store_gap gap;

		rc = kv_cursor_open(txn, CAT_GAP, &cursor, err);
		if (rc < 0)
			return rc;
		rc = kv_cursor_seek(cursor, view_make(copy, sizeof(copy)), &key, &value, err);
		if (rc > 0)
			rc = read_gap(key, value, &gap, err) < 0 ? E_CORRUPT : 1;
		if (rc > 0 && key.len == sizeof(copy))
			memcpy(copy, key.at, sizeof(copy));
		kv_cursor_close(cursor);
		if (rc <= 0 || gap.from_ns >= instant_ns)
			return rc < 0 ? rc : 0;
		if (gap.to_ns <= instant_ns)
			rc = kv_del(txn, CAT_GAP, view_make(copy, sizeof(copy)), err);
		if (rc < 0)
			return rc;
		for (size_t i = sizeof(copy); i-- > 0 && ++copy[i] == 0;)	/* the next possible key */
			;
	}
}

/* ------------------------------------------------------------------ status */

static struct view key_status(uint8_t at[CATALOG_STATUS_NAME_MAX + 3], const char *name, uint16_t piece)
{
	size_t len = strlen(name);

	memcpy(at, name, len + 1);
	at[len + 1] = (uint8_t)(piece >> 8);
	at[len + 2] = (uint8_t)piece;
	return view_make(at, len + 3);
}

int catalog_status_put(struct kv_txn *txn, const char *name, struct view text, struct err *err)
{
	uint8_t key[CATALOG_STATUS_NAME_MAX + 3];
	uint16_t piece = 0;
	int rc = 0;

	if (!*name || strlen(name) >= CATALOG_STATUS_NAME_MAX || text.len > CATALOG_STATUS_BYTES_MAX)
		return err_set(err, E_LIMIT, "status %.80s: a name of 1 to %d characters and at most %u bytes", name,
			       CATALOG_STATUS_NAME_MAX - 1, CATALOG_STATUS_BYTES_MAX);
	while (rc == 0 && text.len) {
		struct view head = view_sub(text, 0, STATUS_PIECE_BYTES);

		rc = kv_put(txn, CAT_STATUS, KV_PUT, key_status(key, name, piece++), head, err);
		text = view_sub(text, head.len, text.len);
	}
	if (rc == 0 && piece == 0)	/* an empty text is a text too */
		rc = kv_put(txn, CAT_STATUS, KV_PUT, key_status(key, name, piece++), view_make("", 0), err);
	if (rc < 0)
		return rc;
	do	/* what a longer text left behind */
		rc = kv_del(txn, CAT_STATUS, key_status(key, name, piece++), err);
	while (rc > 0);
	return rc;
}

int catalog_status_get(struct kv_txn *txn, const char *name, struct arena *arena, struct view *ret_text,
		       struct err *err)
{
	uint8_t key[CATALOG_STATUS_NAME_MAX + 3];
	uint16_t piece = 0;
	struct view value;
	struct wr wr;
	int rc;

	if (!*name || strlen(name) >= CATALOG_STATUS_NAME_MAX)
		return err_set(err, E_NOT_FOUND, "no status of that name");
	wr_init(&wr, 0);
	while ((rc = kv_get(txn, CAT_STATUS, key_status(key, name, piece), &value, err)) > 0) {
		wr_bytes(&wr, value);
		piece++;
	}
	if (rc == 0 && piece == 0)
		rc = err_set(err, E_NOT_FOUND, "no status \"%s\"", name);
	if (rc == 0) {
		struct view text = arena_copy(arena, wr_view(&wr));

		if (wr.bad || (!text.at && wr.len))
			rc = err_set(err, E_NO_MEMORY, "status %s: out of memory", name);
		else
			*ret_text = text;
	}
	wr_release(&wr);
	return rc;
}

int catalog_repacked_put(struct kv_txn *txn, const struct store_repacked *total, struct err *err)
{
	struct wr wr;

	wr_init(&wr, 0);
	wr_u64le(&wr, total->parts);
	wr_u64le(&wr, total->left);
	wr_u64le(&wr, total->bytes_before);
	wr_u64le(&wr, total->bytes_after);
	return put_wr(txn, CAT_META, KV_PUT, VIEW_LIT("repacked"), &wr, err);
}

int catalog_repacked_get(struct kv_txn *txn, struct store_repacked *ret_total, struct err *err)
{
	struct store_repacked total = { 0 };
	struct view value;
	int rc = kv_get(txn, CAT_META, VIEW_LIT("repacked"), &value, err);

	if (rc > 0) {
		struct rd rd = rd_make(value);

		total.parts = rd_u64le(&rd);
		total.left = rd_u64le(&rd);
		total.bytes_before = rd_u64le(&rd);
		total.bytes_after = rd_u64le(&rd);
		if (rd.bad)
			return err_set(err, E_CORRUPT, "catalog: totals of %zu bytes", value.len);
	}
	if (rc < 0)
		return rc;
	*ret_total = total;
	return 0;
}

/* --------------------------------------------------------- policy and pins */

/* The limits in the order of policy.def; a rule a key, so that every value stays small. */
static struct view key_rule(char at[sizeof(RULE_KEY) + STORE_SCOPE_MAX], const char *scope)
{
	(void)snprintf(at, sizeof(RULE_KEY) + STORE_SCOPE_MAX, "%s%s", RULE_KEY, scope);
	return view_str(at);
}

static int drop_rules(struct kv_txn *txn, struct err *err)
{
	for (;;) {	/* a delete ends what the cursor borrowed: one at a time */
		uint8_t copy[sizeof(RULE_KEY) + STORE_SCOPE_MAX];
		struct kv_cursor *cursor = NULL;
		struct view key = { 0 }, value;
		int rc = kv_cursor_open(txn, CAT_META, &cursor, err);

		if (rc == 0)
			rc = kv_cursor_seek(cursor, VIEW_LIT(RULE_KEY), &key, &value, err);
		if (rc > 0 && view_starts(key, RULE_KEY) && key.len <= sizeof(copy))
			memcpy(copy, key.at, key.len);
		else if (rc > 0)
			rc = 0;
		kv_cursor_close(cursor);
		if (rc > 0)
			rc = kv_del(txn, CAT_META, view_make(copy, key.len), err);
		if (rc <= 0)
			return rc;
	}
}

int catalog_policy_put(struct kv_txn *txn, const struct store_policy *policy, struct err *err)
{
	char key[sizeof(RULE_KEY) + STORE_SCOPE_MAX];
	struct wr wr;
	int rc;

	wr_init(&wr, 0);
#define LIMIT(name, member, type, arg, text) wr_u64le(&wr, policy->member);
#include "store/policy.def"
#undef LIMIT
	rc = put_wr(txn, CAT_META, KV_PUT, VIEW_LIT("policy"), &wr, err);
	if (rc == 0)
		rc = drop_rules(txn, err);
	for (size_t i = 0; i < policy->rules_count && rc == 0; i++) {
		wr_init(&wr, 0);
		wr_u64le(&wr, policy->rules[i].age_ns);
		wr_u64le(&wr, policy->rules[i].bytes);
		wr_u64le(&wr, policy->rules[i].min_age_ns);
		rc = put_wr(txn, CAT_META, KV_PUT, key_rule(key, policy->rules[i].scope), &wr, err);
	}
	return rc;
}

static int read_rules(struct kv_txn *txn, struct store_policy *policy, struct err *err)
{
	struct kv_cursor *cursor = NULL;
	struct view key, value;
	int rc = kv_cursor_open(txn, CAT_META, &cursor, err);

	if (rc == 0)
		rc = kv_cursor_seek(cursor, VIEW_LIT(RULE_KEY), &key, &value, err);
	while (rc > 0 && view_starts(key, RULE_KEY)) {
		struct rd rd = rd_make(value);
		struct store_rule rule = { .age_ns = rd_u64le(&rd) };

		rule.bytes = rd_u64le(&rd);
		rule.min_age_ns = rd_u64le(&rd);
		key = view_sub(key, sizeof(RULE_KEY) - 1, key.len);
		if (rd.bad || key.len >= sizeof(rule.scope) || policy->rules_count == STORE_RULES_MAX) {
			rc = err_set(err, E_CORRUPT, "catalog: rule of %zu bytes", value.len);
			break;
		}
		copy_text(rule.scope, sizeof(rule.scope), key);
		policy->rules[policy->rules_count++] = rule;
		rc = kv_cursor_next(cursor, &key, &value, err);
	}
	kv_cursor_close(cursor);
	return rc < 0 ? rc : 0;
}

int catalog_policy_get(struct kv_txn *txn, struct store_policy *ret_policy, struct err *err)
{
	struct store_policy policy = { 0 };
	struct view value;
	int rc = kv_get(txn, CAT_META, VIEW_LIT("policy"), &value, err);

	if (rc > 0) {
		struct rd rd = rd_make(value);

		/* One that an older program wrote ends before. */
#define LIMIT(name, member, type, arg, text) policy.member = rd_left(&rd) ? rd_u64le(&rd) : 0;
#include "store/policy.def"
#undef LIMIT
		if (rd.bad)
			return err_set(err, E_CORRUPT, "catalog: policy of %zu bytes", value.len);
		rc = read_rules(txn, &policy, err);
	}
	if (rc < 0)
		return rc;
	*ret_policy = policy;
	return 0;
}

int catalog_pin_put(struct kv_txn *txn, const struct store_pin *pin, struct err *err)
{
	struct wr wr;

	wr_init(&wr, 0);
	wr_u64le(&wr, pin->from_ns);
	wr_u64le(&wr, pin->to_ns);
	return put_wr(txn, CAT_PIN, KV_PUT_NEW, view_str(pin->name), &wr, err);
}

int catalog_pin_del(struct kv_txn *txn, const char *name, struct err *err)
{
	int rc = *name && strlen(name) < KV_KEY_MAX ? kv_del(txn, CAT_PIN, view_str(name), err) : 0;

	return rc ? (rc < 0 ? rc : 0) : err_set(err, E_NOT_FOUND, "there is no pin \"%.80s\"", name);
}

static int add_pin(struct view key, struct view value, void *arg, struct err *err)
{
	struct store_pin *pin = list_add(arg);
	struct rd rd = rd_make(value);

	if (!pin)
		return err_set(err, E_NO_MEMORY, "catalog: out of memory");
	*pin = (struct store_pin){ .from_ns = rd_u64le(&rd) };
	pin->to_ns = rd_u64le(&rd);
	copy_text(pin->name, sizeof(pin->name), key);
	return rd.bad ? err_set(err, E_CORRUPT, "catalog: pin of %zu bytes", value.len) : 0;
}

int catalog_pins(struct kv_txn *txn, struct arena *arena, struct store_pin **ret_pins, size_t *ret_count,
		 struct err *err)
{
	struct list list = { .arena = arena, .item_bytes = sizeof(struct store_pin) };
	int rc = each(txn, CAT_PIN, add_pin, &list, err);

	if (rc < 0)
		return rc;
	*ret_pins = list.items;
	*ret_count = list.count;
	return 0;
}

/* ------------------------------------------------------------------- notes */

int catalog_note_add(struct kv_txn *txn, const struct catalog_note *note, struct err *err)
{
	static const uint8_t past[9] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct kv_cursor *cursor = NULL;
	struct view key, value;
	uint64_t number = 1;
	uint8_t at[8];
	struct wr wr;
	int rc = kv_cursor_open(txn, CAT_NOTE, &cursor, err);

	if (rc < 0)
		return rc;
	rc = kv_cursor_below(cursor, view_make(past, sizeof(past)), &key, &value, err);
	if (rc > 0) {
		struct rd rd = rd_make(key);

		number = rd_u64be(&rd) + 1;
	}
	kv_cursor_close(cursor);
	if (rc < 0)
		return rc;
	wr_init(&wr, 0);
	wr_u64le(&wr, note->at_ns);
	wr_u64le(&wr, note->value);
	wr_u8(&wr, note->kind);
	wr_vbytes(&wr, view_make(note->reason, strnlen(note->reason, sizeof(note->reason))));
	wr_vbytes(&wr, view_make(note->text, strnlen(note->text, sizeof(note->text))));
	return put_wr(txn, CAT_NOTE, KV_PUT_NEW, key_u64(at, number), &wr, err);
}

struct note_list {
	struct list list;
	size_t max;
	uint64_t last_key;
};

static int add_note(struct view key, struct view value, void *arg, struct err *err)
{
	struct note_list *notes = arg;
	struct rd rk = rd_make(key), rd = rd_make(value);
	struct catalog_note *note;

	if (notes->list.count == notes->max)
		return 1;
	note = list_add(&notes->list);
	if (!note)
		return err_set(err, E_NO_MEMORY, "catalog: out of memory");
	notes->last_key = rd_u64be(&rk);
	note->at_ns = rd_u64le(&rd);
	note->value = rd_u64le(&rd);
	note->kind = rd_u8(&rd);
	copy_text(note->reason, sizeof(note->reason), rd_vbytes(&rd));
	copy_text(note->text, sizeof(note->text), rd_vbytes(&rd));
	return rd.bad || rk.bad ? err_set(err, E_CORRUPT, "catalog: note of %zu bytes", value.len) : 0;
}

int catalog_notes(struct kv_txn *txn, size_t max, struct arena *arena, struct catalog_note **ret_notes,
		  size_t *ret_count, uint64_t *ret_last_key, struct err *err)
{
	struct note_list notes = { .list = { .arena = arena, .item_bytes = sizeof(struct catalog_note) }, .max = max };
	int rc = each(txn, CAT_NOTE, add_note, &notes, err);

	if (rc < 0)
		return rc;
	*ret_notes = notes.list.items;
	*ret_count = notes.list.count;
	*ret_last_key = notes.last_key;
	return 0;
}

int catalog_notes_drop(struct kv_txn *txn, uint64_t last_key, struct err *err)
{
	struct kv_cursor *cursor = NULL;
	struct view key, value;
	uint64_t number;
	uint8_t at[8];
	int rc;

	do {
		rc = kv_cursor_open(txn, CAT_NOTE, &cursor, err);
		if (rc < 0)
			return rc;
		rc = kv_cursor_next(cursor, &key, &value, err);
		if (rc > 0) {
			struct rd rd = rd_make(key);

			number = rd_u64be(&rd);
		}
		kv_cursor_close(cursor);
		if (rc <= 0 || number > last_key)
			return rc < 0 ? rc : 0;
		rc = kv_del(txn, CAT_NOTE, key_u64(at, number), err);
	} while (rc > 0);
	return rc;
}

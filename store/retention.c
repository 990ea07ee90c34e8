/*
 * Retention: doing what retention_plan.c says. Apply makes the plan inside of the
 * catalog's write transaction and removes what it names: files of payload
 * classes, partitions. Then the partitions that lose a part of their rows are
 * made anew, one by one (retention_rewrite.c).
 *
 * Hot and pinned partitions are never victims. Whole files only.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/reader.h"
#include "store/retention_plan.h"
#include "store/retention_rewrite.h"
#include "store/writer.h"

static int make(const char *dir, struct kv *catalog, struct kv_txn *txn, uint64_t now_ns, struct arena *arena,
		struct plan *ret_plan, struct store_plan *ret_out, struct err *err)
{
	struct statvfs fs;
	int rc;

	if (statvfs(dir, &fs) < 0)
		return err_errno(err, errno, "%s: free space", dir);
	rc = plan_make(txn, kv_used_bytes(catalog), (uint64_t)fs.f_bavail * fs.f_frsize, now_ns, arena, ret_plan, err);
	return rc == 0 ? plan_report(ret_plan, arena, ret_out, err) : rc;
}

int store_retention_plan(struct store *store, uint64_t now_ns, struct arena *arena, struct store_plan *ret_plan,
			 struct err *err)
{
	struct kv_txn *txn = NULL;
	struct plan plan;
	int rc = kv_txn_begin(store->catalog, false, &txn, err);

	if (rc < 0)
		return rc;
	rc = make(store->dir, store->catalog, txn, now_ns, arena, &plan, ret_plan, err);
	kv_txn_abort(txn);
	return rc;
}

int store_policy_set(const char *dir, const struct store_policy *policy, struct err *err)
{
	struct kv_txn *txn = NULL;
	struct kv *catalog = NULL;
	int rc = catalog_open(dir, false, -1, &catalog, err);

	if (rc < 0)
		return rc;
	rc = kv_txn_begin(catalog, true, &txn, err);
	if (rc == 0) {
		rc = catalog_policy_put(txn, policy, err);
		if (rc == 0)
			rc = kv_txn_commit(txn, err);
		else
			kv_txn_abort(txn);
	}
	kv_close(catalog);
	return rc;
}

/* -------------------------------------------------------------------- doing */

static int trash_path(const char *dir, const struct part_entry *entry, char path[STORE_PATH_MAX], struct err *err)
{
	char name[PART_NAME_LEN + 16], part[PART_NAME_LEN];

	part_name(entry->hour, entry->gen, part);
	(void)snprintf(name, sizeof(name), "%s.expired", part);
	return files_path(path, err, dir, "trash", name);
}

static int add_note(struct kv_txn *txn, uint64_t now_ns, uint64_t value, const char *reason, const char *text,
		    struct err *err)
{
	struct catalog_note note = { .at_ns = now_ns, .value = value, .kind = EVENT_retention };

	(void)snprintf(note.reason, sizeof(note.reason), "%s", reason);
	(void)snprintf(note.text, sizeof(note.text), "%s", text);
	return catalog_note_add(txn, &note, err);
}

int retention_note(struct kv_txn *txn, uint64_t now_ns, const struct store_victim *victim, struct err *err)
{
	char text[160];

	(void)snprintf(text, sizeof(text), "%s: %s", victim->part.path, victim->why);
	return add_note(txn, now_ns, victim->bytes, victim->packets_only ? "payload" : "metadata", text, err);
}

/* Segments of one partition that go: the catalog lets go of them first. */
static int drop_segs(struct kv_txn *txn, const struct plan_part *part, struct err *err)
{
	struct part_entry entry = part->entry;

	for (unsigned s = 0; s < entry.segs_count; s++)
		if (part->segs_gone & 1u << s)
			entry.segs[s].held = false;
	part_entry_settle(&entry);
	return catalog_part_put(txn, &entry, err);
}

/* A whole partition is moved aside first: see apply_drops. */
static int drop_part(const char *dir, struct kv_txn *txn, const struct plan_part *part, struct err *err)
{
	char from[STORE_PATH_MAX], to[STORE_PATH_MAX], name[PART_NAME_LEN];
	int rc = catalog_part_del(txn, part->entry.hour, part->entry.gen, err);

	part_name(part->entry.hour, part->entry.gen, name);
	if (rc >= 0)
		rc = files_path(from, err, dir, "parts", name);
	if (rc == 0)
		rc = trash_path(dir, &part->entry, to, err);
	if (rc == 0)
		rc = files_remove_tree(to, err);	/* of a round that died between rename and remove */
	if (rc == 0 && rename(from, to) < 0 && errno != ENOENT)
		rc = err_errno(err, errno, "%s: rename to %s", from, to);
	return rc;
}

/* The transaction did not happen: bring partitions back under their names. */
static void undo_drops(const char *dir, const struct plan *plan, size_t count)
{
	char from[STORE_PATH_MAX], to[STORE_PATH_MAX], name[PART_NAME_LEN];

	for (size_t i = 0; i < count; i++) {
		part_name(plan->parts[i].entry.hour, plan->parts[i].entry.gen, name);
		if (plan->parts[i].all && files_path(to, NULL, dir, "parts", name) == 0 &&
		    trash_path(dir, &plan->parts[i].entry, from, NULL) == 0 && rename(from, to) < 0 && errno != ENOENT)
			log_warn("partition not brought back from trash part=%s", name);
	}
}

static void remove_files(const char *dir, const struct plan_part *part)
{
	char path[STORE_PATH_MAX], below[STORE_PATH_MAX], name[PART_NAME_LEN];
	struct err err = { 0 };
	int rc = 0;

	part_name(part->entry.hour, part->entry.gen, name);
	if (part->all) {
		rc = trash_path(dir, &part->entry, path, &err);
		if (rc == 0)
			rc = files_remove_tree(path, &err);
	}
	for (unsigned s = 0; s < part->entry.segs_count && rc == 0 && !part->all; s++) {
		if (!(part->segs_gone & 1u << s))
			continue;
		rc = files_path(below, &err, dir, "parts", name);
		if (rc == 0)
			rc = files_path(path, &err, below, part_seg_file(s), NULL);
		if (rc == 0)
			rc = files_remove_tree(path, &err);
	}
	if (rc < 0)	/* the catalog has let go of it; the next start of the writer tries again */
		log_warn("expired files not removed part=%s error=\"%s\"", name, err.text);
}

/* Gaps older than everything held say nothing to anybody. */
static int drop_old_gaps(struct kv_txn *txn, const struct plan *plan, struct err *err)
{
	uint64_t oldest = UINT64_MAX;

	for (size_t i = 0; i < plan->count; i++)
		if (!plan->parts[i].all && part_entry_start_min(&plan->parts[i].entry) < oldest)
			oldest = part_entry_start_min(&plan->parts[i].entry);
	return oldest == UINT64_MAX ? 0 : catalog_gaps_drop(txn, oldest, err);
}

/* What the policy promises and cannot keep is said where people look: the log, and an event. */
static int tell(struct kv_txn *txn, uint64_t now_ns, const struct store_plan *out, struct err *err)
{
	char text[160];

	for (size_t i = 0; i < out->reaches_count && out->below_horizon; i++) {
		if (!out->reaches[i].below)
			continue;
		(void)snprintf(text, sizeof(text), "%s reaches back less than its minimum age: the limits of bytes do not allow it",
			       out->reaches[i].scope);
		log_warn("retention below its horizon scope=%s", out->reaches[i].scope);
		if (add_note(txn, now_ns, out->reaches[i].bytes, "below_horizon", text, err) < 0)
			return err ? err->code : E_IO;
	}
	return 0;
}

static bool drops_files(const struct plan_part *part)
{
	return part->all || part->segs_gone;
}

/*
 * One transaction for all files. Partitions are renamed into trash/ before it
 * commits: then a crash leaves an entry without its directory, which recovery
 * drops, and never a directory that nobody knows, which it would take for data.
 */
static int apply_drops(const char *dir, struct kv *catalog, uint64_t now_ns, struct arena *arena,
		       struct plan *ret_plan, struct store_plan *ret_out, struct err *err)
{
	struct store_plan out = { .victims_count = 0 };
	struct kv_txn *txn = NULL;
	struct plan plan;
	size_t done = 0;
	int rc = kv_txn_begin(catalog, true, &txn, err);

	if (rc < 0)
		return rc;
	rc = make(dir, catalog, txn, now_ns, arena, &plan, &out, err);
	if (rc < 0 || out.victims_count == 0) {
		kv_txn_abort(txn);
		goto out;
	}
	for (size_t i = 0; i < out.victims_count && rc == 0; i++)
		if (!out.victims[i].anew)
			rc = retention_note(txn, now_ns, &out.victims[i], err);
	for (; done < plan.count && rc == 0; done++)
		if (drops_files(&plan.parts[done]))
			rc = plan.parts[done].all ? drop_part(dir, txn, &plan.parts[done], err)
						  : drop_segs(txn, &plan.parts[done], err);
	if (rc == 0)
		rc = drop_old_gaps(txn, &plan, err);
	if (rc == 0)
		rc = tell(txn, now_ns, &out, err);
	if (rc == 0)
		rc = kv_txn_commit(txn, err);
	else
		kv_txn_abort(txn);
	if (rc < 0)
		undo_drops(dir, &plan, done);
out:
	if (rc < 0)
		return rc;
	*ret_plan = plan;
	*ret_out = out;
	return 0;
}

/*
 * A partition was to be made anew without some rows because bytes ran out, and there is no room for that: all of it
 * goes, or nothing would ever get free.
 */
static int drop_instead(const char *dir, struct kv *catalog, const struct store_victim *victim, uint64_t now_ns,
			struct err *err)
{
	struct store_victim all = *victim;
	struct plan_part part = { .all = true };
	struct kv_txn *txn = NULL;
	int rc = kv_txn_begin(catalog, true, &txn, err);

	if (rc < 0)
		return rc;
	rc = catalog_part_get(txn, victim->part.hour, victim->part.gen, &part.entry, err);
	if (rc <= 0 || part.entry.state != PART_SEALED) {
		kv_txn_abort(txn);
		return rc < 0 ? rc : 0;
	}
	(void)snprintf(all.why, sizeof(all.why), "no room to keep a part of it");
	all.bytes = part.entry.data_bytes + part_entry_packet_bytes(&part.entry);
	log_warn("no room to drop some rows of a partition, all of it goes part=%s", all.part.path);
	rc = retention_note(txn, now_ns, &all, err);
	if (rc == 0)
		rc = drop_part(dir, txn, &part, err);
	if (rc == 0)
		rc = kv_txn_commit(txn, err);
	else
		kv_txn_abort(txn);
	if (rc == 0)
		remove_files(dir, &part);
	return rc;
}

int store_retention_apply(const char *dir, uint64_t now_ns, void (*fn)(const struct store_victim *victim, void *arg),
			  void *arg, struct err *err)
{
	struct store_plan out = { .victims_count = 0 };
	struct kv *catalog = NULL;
	struct arena arena;
	struct plan plan = { .count = 0 };
	size_t at = 0;
	int rc = catalog_open(dir, false, -1, &catalog, err);

	if (rc < 0)
		return rc;
	arena_init(&arena, 0);
	rc = apply_drops(dir, catalog, now_ns, &arena, &plan, &out, err);
	if (rc == 0 && out.over_bytes)
		log_warn("retention cannot hold a limit of bytes: what is left is hot, pinned or too young over_bytes=%llu",
			 (unsigned long long)out.over_bytes);
	for (size_t i = 0; i < plan.count && rc == 0 && out.victims_count; i++)
		if (drops_files(&plan.parts[i]))
			remove_files(dir, &plan.parts[i]);
	for (; at < out.victims_count && rc == 0; at++) {
		if (out.victims[at].anew)
			break;
		if (fn)
			fn(&out.victims[at], arg);
	}
	/* Victims of one partition stand together. */
	for (size_t next; at < out.victims_count && rc == 0; at = next) {
		for (next = at + 1; next < out.victims_count; next++)
			if (strcmp(out.victims[next].part.path, out.victims[at].part.path) != 0)
				break;
		rc = retention_rewrite(dir, catalog, &plan, out.victims + at, next - at, now_ns, err);
		if (rc == E_NO_SPACE && !strstr(out.victims[at].why, "older than")) {
			err_clear(err);
			rc = drop_instead(dir, catalog, &out.victims[at], now_ns, err);
		}
		for (size_t i = at; i < next && rc == 0 && fn; i++)
			fn(&out.victims[i], arg);
	}
	arena_release(&arena);
	kv_close(catalog);
	return rc;
}

/*
 * Retention: which sealed partitions lose their packets or all they have, and
 * doing it. Plan and apply are the same code; apply runs it inside the
 * catalog's write transaction and removes what the plan names.
 *
 * Hot and pinned partitions are never victims. Whole files only, the oldest
 * first, payload before metadata, and no more than the policy asks for.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/pins.h"
#include "store/reader.h"
#include "store/writer.h"

enum fate { FATE_KEEP, FATE_PACKETS, FATE_ALL };

struct candidate {
	struct part_entry entry;
	bool fixed;		/* hot or pinned */
	bool pinned;
	enum fate fate;
	char why[48];
};

struct plan {
	struct store_policy policy;
	struct candidate *parts;	/* the oldest first */
	size_t count;
	uint64_t data_bytes, packet_bytes;	/* what would be left */
	uint64_t reserve_bytes;			/* kept free of total_bytes while somebody records */
	uint64_t free_bytes;			/* of the file system, then */
};

static uint64_t packets_of(const struct candidate *part)
{
	return part->entry.has_packets ? part->entry.packet_bytes : 0;
}

/* Mark a partition; does nothing when it is to lose as much already. */
static bool doom(struct plan *plan, struct candidate *part, enum fate fate, const char *why)
{
	if (part->fixed || part->fate >= fate || (fate == FATE_PACKETS && packets_of(part) == 0))
		return false;
	if (part->fate == FATE_KEEP && packets_of(part)) {
		plan->packet_bytes -= packets_of(part);
		plan->free_bytes += packets_of(part);
	}
	if (fate == FATE_ALL) {
		plan->data_bytes -= part->entry.data_bytes;
		plan->free_bytes += part->entry.data_bytes;
	}
	part->fate = fate;
	(void)snprintf(part->why, sizeof(part->why), "%s", why);
	return true;
}

/* "7d", "36h": in the largest unit that is exact, as a user writes it. */
static void age_text(uint64_t age_ns, char *text, size_t cap)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = { { NS_PER_DAY, "d" }, { NS_PER_HOUR, "h" }, { NS_PER_MIN, "m" }, { NS_PER_SEC, "s" }, { 1, "ns" } };
	size_t i = 0;

	while (age_ns % units[i].ns)
		i++;
	(void)snprintf(text, cap, "%llu%s", (unsigned long long)(age_ns / units[i].ns), units[i].name);
}

static void doom_by_age(struct plan *plan, enum fate fate, uint64_t age_ns, uint64_t now_ns)
{
	char text[24], why[48];

	if (age_ns == 0 || age_ns > now_ns)
		return;
	age_text(age_ns, text, sizeof(text));
	(void)snprintf(why, sizeof(why), "%s older than %s", fate == FATE_ALL ? "metadata" : "payload", text);
	for (size_t i = 0; i < plan->count; i++) {
		/* The newest it holds is that old. Later data of the same hour makes a new generation. */
		if (part_entry_newest(&plan->parts[i].entry) < now_ns - age_ns)
			(void)doom(plan, &plan->parts[i], fate, why);
	}
}

#define RESERVE_PART 16	/* of the bytes in all; store/writer.c asks for a round more often than so many are written */

enum measure { DATA_BYTES, PACKET_BYTES, TOTAL_BYTES, FREE_BYTES };

static bool exceeded(const struct plan *plan, enum measure measure)
{
	const struct store_policy *policy = &plan->policy;

	switch (measure) {
	case DATA_BYTES:
		return policy->data_bytes && plan->data_bytes > policy->data_bytes;
	case PACKET_BYTES:
		return policy->packet_bytes && plan->packet_bytes > policy->packet_bytes;
	case TOTAL_BYTES:
		return policy->total_bytes && plan->data_bytes + plan->packet_bytes + plan->reserve_bytes > policy->total_bytes;
	default:
		return policy->free_bytes && plan->free_bytes < policy->free_bytes;
	}
}

static void doom_by_bytes(struct plan *plan, enum measure measure, enum fate fate, const char *why)
{
	for (size_t i = 0; i < plan->count && exceeded(plan, measure); i++)
		(void)doom(plan, &plan->parts[i], fate, why);
}

static int plan_make(const char *dir, struct kv_txn *txn, uint64_t now_ns, struct arena *arena, struct plan *plan,
		     struct err *err)
{
	struct part_entry *entries;
	struct store_pin *pins;
	struct statvfs fs;
	size_t pins_count;
	int rc;

	*plan = (struct plan){ 0 };
	rc = catalog_policy_get(txn, &plan->policy, err);
	if (rc == 0)
		rc = catalog_parts(txn, arena, &entries, &plan->count, err);
	if (rc == 0)
		rc = catalog_pins(txn, arena, &pins, &pins_count, err);
	if (rc < 0)
		return rc;
	if (statvfs(dir, &fs) < 0)
		return err_errno(err, errno, "%s: free space", dir);
	plan->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	plan->parts = arena_array(arena, plan->count + 1, sizeof(*plan->parts));
	if (!plan->parts)
		return err_set(err, E_NO_MEMORY, "retention: out of memory");
	for (size_t i = 0; i < plan->count; i++) {
		struct candidate *part = &plan->parts[i];

		part->entry = entries[i];
		part->pinned = pins_hold(&entries[i], pins, pins_count);
		part->fixed = part->pinned || entries[i].state != PART_SEALED;
		plan->data_bytes += entries[i].data_bytes;
		plan->packet_bytes += packets_of(part);
		if (entries[i].state != PART_SEALED)
			plan->reserve_bytes += entries[i].data_bytes + packets_of(part);
	}
	/* A recorder goes on writing until the next round, and a seal needs a hot partition's room a second time. */
	if (plan->reserve_bytes && plan->reserve_bytes < plan->policy.total_bytes / RESERVE_PART)
		plan->reserve_bytes = plan->policy.total_bytes / RESERVE_PART;
	doom_by_age(plan, FATE_ALL, plan->policy.data_age_ns, now_ns);
	doom_by_age(plan, FATE_PACKETS, plan->policy.packet_age_ns, now_ns);
	doom_by_bytes(plan, DATA_BYTES, FATE_ALL, "metadata above its bytes");
	doom_by_bytes(plan, PACKET_BYTES, FATE_PACKETS, "payload above its bytes");
	doom_by_bytes(plan, TOTAL_BYTES, FATE_PACKETS, "store above its bytes");
	doom_by_bytes(plan, TOTAL_BYTES, FATE_ALL, "store above its bytes");
	doom_by_bytes(plan, FREE_BYTES, FATE_PACKETS, "file system nearly full");
	doom_by_bytes(plan, FREE_BYTES, FATE_ALL, "file system nearly full");
	return 0;
}

static int list_victims(const struct plan *plan, struct arena *arena, struct store_victim **ret_victims,
			size_t *ret_count, struct err *err)
{
	struct store_victim *victims = arena_array(arena, plan->count + 1, sizeof(*victims));
	size_t count = 0;

	if (!victims)
		return err_set(err, E_NO_MEMORY, "retention: out of memory");
	for (int fate = FATE_PACKETS; fate <= FATE_ALL; fate++) {
		for (size_t i = 0; i < plan->count; i++) {
			const struct candidate *part = &plan->parts[i];
			struct store_victim *victim = &victims[count];

			if ((int)part->fate != fate)
				continue;
			part_entry_info(&part->entry, part->pinned, &victim->part);
			victim->packets_only = fate == FATE_PACKETS;
			victim->bytes = packets_of(part) + (fate == FATE_ALL ? part->entry.data_bytes : 0);
			memcpy(victim->why, part->why, sizeof(victim->why));
			count++;
		}
	}
	*ret_victims = victims;
	*ret_count = count;
	return 0;
}

int store_retention_plan(struct store *store, uint64_t now_ns, struct arena *arena, struct store_victim **ret_victims,
			 size_t *ret_count, struct err *err)
{
	struct kv_txn *txn = NULL;
	struct plan plan;
	int rc = kv_txn_begin(store->catalog, false, &txn, err);

	if (rc < 0)
		return rc;
	rc = plan_make(store->dir, txn, now_ns, arena, &plan, err);
	kv_txn_abort(txn);
	return rc < 0 ? rc : list_victims(&plan, arena, ret_victims, ret_count, err);
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

static int trash_path(const char *dir, const struct store_victim *victim, char path[STORE_PATH_MAX], struct err *err)
{
	char name[PART_NAME_LEN + 16], part[PART_NAME_LEN];

	part_name(victim->part.hour, victim->part.gen, part);
	(void)snprintf(name, sizeof(name), "%s.expired", part);
	return files_path(path, err, dir, "trash", name);
}

/* What the catalog is told of one victim. A whole partition is moved aside first: see apply_victims. */
static int drop_victim(const char *dir, struct kv_txn *txn, const struct store_victim *victim, uint64_t now_ns,
		       struct err *err)
{
	struct catalog_note note = { .at_ns = now_ns, .value = victim->bytes, .kind = EVENT_retention };
	char from[STORE_PATH_MAX], to[STORE_PATH_MAX];
	struct part_entry entry;
	int rc;

	(void)snprintf(note.reason, sizeof(note.reason), "%s", victim->packets_only ? "payload" : "metadata");
	(void)snprintf(note.text, sizeof(note.text), "%s: %s", victim->part.path, victim->why);
	rc = catalog_note_add(txn, &note, err);
	if (rc < 0)
		return rc;
	rc = catalog_part_get(txn, victim->part.hour, victim->part.gen, &entry, err);
	if (rc <= 0)
		return rc < 0 ? rc : err_set(err, E_INTERNAL, "%s: vanished from the catalog", victim->part.path);
	if (victim->packets_only) {
		entry.has_packets = false;
		return catalog_part_put(txn, &entry, err);
	}
	rc = catalog_part_del(txn, victim->part.hour, victim->part.gen, err);
	if (rc >= 0)
		rc = files_path(from, err, dir, victim->part.path, NULL);
	if (rc == 0)
		rc = trash_path(dir, victim, to, err);
	if (rc == 0)
		rc = files_remove_tree(to, err);	/* of a round that died between rename and remove */
	if (rc == 0 && rename(from, to) < 0 && errno != ENOENT)
		rc = err_errno(err, errno, "%s: rename to %s", from, to);
	return rc;
}

/* The transaction did not happen: bring partitions back under their names. */
static void undo_victims(const char *dir, const struct store_victim *victims, size_t count)
{
	char from[STORE_PATH_MAX], to[STORE_PATH_MAX];

	for (size_t i = 0; i < count; i++)
		if (!victims[i].packets_only && files_path(to, NULL, dir, victims[i].part.path, NULL) == 0 &&
		    trash_path(dir, &victims[i], from, NULL) == 0 && rename(from, to) < 0 && errno != ENOENT)
			log_warn("partition not brought back from trash part=%s", victims[i].part.path);
}

static void remove_victim(const char *dir, const struct store_victim *victim)
{
	char path[STORE_PATH_MAX];
	struct err err = { 0 };
	int rc;

	if (victim->packets_only)
		rc = files_path(path, &err, dir, victim->part.path, PART_SEG_FILE);
	else
		rc = trash_path(dir, victim, path, &err);
	if (rc == 0)
		rc = files_remove_tree(path, &err);
	if (rc < 0)	/* the catalog has let go of it; the next start of the writer tries again */
		log_warn("expired files not removed part=%s error=\"%s\"", victim->part.path, err.text);
}

/* Gaps older than everything held say nothing to anybody. */
static int drop_old_gaps(struct kv_txn *txn, const struct plan *plan, struct err *err)
{
	uint64_t oldest = UINT64_MAX;

	for (size_t i = 0; i < plan->count; i++)
		if (plan->parts[i].fate != FATE_ALL && part_entry_start_min(&plan->parts[i].entry) < oldest)
			oldest = part_entry_start_min(&plan->parts[i].entry);
	return oldest == UINT64_MAX ? 0 : catalog_gaps_drop(txn, oldest, err);
}

/*
 * One transaction for all victims. Partitions are renamed into trash/ before it
 * commits: then a crash leaves an entry without its directory, which recovery
 * drops, and never a directory that nobody knows, which it would take for data.
 */
static int apply_victims(const char *dir, struct kv *catalog, uint64_t now_ns, struct arena *arena,
			 struct store_victim **ret_victims, size_t *ret_count, struct err *err)
{
	struct store_victim *victims = NULL;
	struct kv_txn *txn = NULL;
	size_t count = 0, done = 0;
	struct plan plan;
	int rc = kv_txn_begin(catalog, true, &txn, err);

	if (rc < 0)
		return rc;
	rc = plan_make(dir, txn, now_ns, arena, &plan, err);
	if (rc == 0)
		rc = list_victims(&plan, arena, &victims, &count, err);
	if (rc < 0 || count == 0) {
		kv_txn_abort(txn);
		return rc;
	}
	for (; done < count && rc == 0; done++)
		rc = drop_victim(dir, txn, &victims[done], now_ns, err);
	if (rc == 0)
		rc = drop_old_gaps(txn, &plan, err);
	if (rc == 0)
		rc = kv_txn_commit(txn, err);
	else
		kv_txn_abort(txn);
	if (rc < 0) {
		undo_victims(dir, victims, done);
		return rc;
	}
	*ret_victims = victims;
	*ret_count = count;
	return 0;
}

int store_retention_apply(const char *dir, uint64_t now_ns, void (*fn)(const struct store_victim *victim, void *arg),
			  void *arg, struct err *err)
{
	struct store_victim *victims = NULL;
	struct kv *catalog = NULL;
	struct arena arena;
	size_t count = 0;
	int rc = catalog_open(dir, false, -1, &catalog, err);

	if (rc < 0)
		return rc;
	arena_init(&arena, 0);
	rc = apply_victims(dir, catalog, now_ns, &arena, &victims, &count, err);
	for (size_t i = 0; i < count; i++) {
		remove_victim(dir, &victims[i]);
		if (fn)
			fn(&victims[i], arg);
	}
	arena_release(&arena);
	kv_close(catalog);
	return rc;
}

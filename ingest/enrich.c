#include "ingest/enrich.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

#define BUCKETS 4096u		/* of parties and of cgroups */
#define CGROUPS_MAX 65536u
#define WALK_DIRS_MAX 20000u	/* directories looked at for one unknown cgroup */
#define HANDLE_KERNFS 0xfe	/* FILEID_KERNFS of linux/exportfs.h, not exported to user space */

struct cgroup {
	struct cgroup *next;
	uint64_t id;
	char *path;		/* below the mount; "" when it is gone */
	bool container_told;
};

struct enrich {
	char *proc_dir;
	char *cgroup_dir;	/* NULL: no cgroup v2 here */
	int cgroup_fd;
	char *node;
	uint64_t boot_ns;	/* 1970 UTC, to the second */
	long ticks_per_second;
	size_t parties_max;
	void (*entity)(void *arg, const struct entity_row *row);
	void *arg;

	struct party *buckets[BUCKETS];
	size_t parties, idle;	/* idle: of them held by nobody */
	unsigned sweep_at;
	struct cgroup *cgroups[BUCKETS];
	size_t cgroups_count;
	uint64_t walk_after_ns;	/* monotonic: the next walk not before */
};

/* ---- set-up ---- */

/* The first cgroup2 mount of mountinfo: "36 25 0:31 / /sys/fs/cgroup/unified rw,... - cgroup2 cgroup2 rw". */
static char *find_cgroup2(const char *proc_dir)
{
	char line[4096], path[4096], *found = NULL;
	FILE *in;

	(void)snprintf(path, sizeof(path), "%s/self/mountinfo", proc_dir);
	in = fopen(path, "re");
	if (!in)
		return NULL;
	while (!found && fgets(line, sizeof(line), in)) {
		char *kind = strstr(line, " - cgroup2 ");
		char *at = line;

		if (!kind)
			continue;
		for (int i = 0; i < 4 && at; i++) {
			at = strchr(at, ' ');
			if (at)
				at++;
		}
		if (!at || at > kind)
			continue;
		at[strcspn(at, " ")] = '\0';
		found = mem_strdup(at);
	}
	(void)fclose(in);
	return found;
}

static uint64_t read_boot_ns(const char *proc_dir)
{
	unsigned long long sec = 0;
	char line[1024];
	FILE *in;

	(void)snprintf(line, sizeof(line), "%s/stat", proc_dir);
	in = fopen(line, "re");
	if (!in)
		return 0;
	while (fgets(line, sizeof(line), in))
		if (sscanf(line, "btime %llu", &sec) == 1)
			break;
	(void)fclose(in);
	return sec * NS_PER_SEC;
}

int enrich_new(const struct enrich_opts *opts, struct enrich **ret_enrich, struct err *err)
{
	struct enrich *enrich = mem_zalloc(sizeof(*enrich));
	char host[256] = "";

	if (!enrich)
		return err_set(err, E_NO_MEMORY, "no memory for process names");
	enrich->cgroup_fd = -1;
	enrich->parties_max = opts->parties_max ? opts->parties_max : 16384;
	enrich->entity = opts->entity;
	enrich->arg = opts->arg;
	enrich->ticks_per_second = sysconf(_SC_CLK_TCK);
	enrich->proc_dir = mem_strdup(opts->proc_dir ? opts->proc_dir : "/proc");
	(void)gethostname(host, sizeof(host) - 1);
	enrich->node = mem_strdup(opts->node && *opts->node ? opts->node : host);
	if (!enrich->proc_dir || !enrich->node) {
		enrich_free(enrich);
		return err_set(err, E_NO_MEMORY, "no memory for process names");
	}
	enrich->boot_ns = read_boot_ns(enrich->proc_dir);
	enrich->cgroup_dir = opts->cgroup_dir ? mem_strdup(opts->cgroup_dir) : find_cgroup2(enrich->proc_dir);
	if (enrich->cgroup_dir)
		enrich->cgroup_fd = open(enrich->cgroup_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*ret_enrich = enrich;
	return 0;
}

void enrich_free(struct enrich *enrich)
{
	if (!enrich)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (enrich->buckets[i]) {
			struct party *party = enrich->buckets[i];

			enrich->buckets[i] = party->next;
			mem_free(party);
		}
		while (enrich->cgroups[i]) {
			struct cgroup *cgroup = enrich->cgroups[i];

			enrich->cgroups[i] = cgroup->next;
			mem_free(cgroup->path);
			mem_free(cgroup);
		}
	}
	if (enrich->cgroup_fd >= 0)
		(void)close(enrich->cgroup_fd);
	mem_free(enrich->cgroup_dir);
	mem_free(enrich->proc_dir);
	mem_free(enrich->node);
	mem_free(enrich);
}

struct view enrich_node(const struct enrich *enrich)
{
	return view_str(enrich->node);
}

/* ---- cgroups ---- */

static size_t hex_run(struct view v)
{
	size_t n = 0;

	while (n < v.len && ((v.at[n] >= '0' && v.at[n] <= '9') || (v.at[n] >= 'a' && v.at[n] <= 'f')))
		n++;
	return n;
}

/* One path component: docker-<64 hex>.scope, cri-containerd-<64 hex>.scope, crio-..., libpod-..., <64 hex>, lxc.payload.NAME */
static bool component_container(struct view part, struct view *ret_container)
{
	static const char lxc[] = "lxc.payload.";

	if (view_starts(part, lxc)) {
		*ret_container = view_sub(part, sizeof(lxc) - 1, part.len);
		return ret_container->len > 0;
	}
	if (view_find(part, VIEW_LIT("conmon")) >= 0)	/* the container's monitor, not the container */
		return false;
	for (size_t from = 0; from + 64 <= part.len; from++) {
		struct view rest = view_sub(part, from, part.len);
		size_t run = hex_run(rest);
		bool bounded = from == 0 || part.at[from - 1] == '-' || part.at[from - 1] == ':';

		if (run == 64 && bounded) {
			*ret_container = view_sub(rest, 0, 64);
			return true;
		}
	}
	return false;
}

/* "pod<36 characters>" of cgroupfs, "kubepods-burstable-pod<uid>.slice" of systemd. */
static bool component_pod(struct view part, struct view *ret_pod_uid)
{
	ptrdiff_t at = view_starts(part, "pod") ? 0 : view_find(part, VIEW_LIT("-pod"));
	struct view uid;

	if (at < 0)
		return false;
	uid = view_sub(part, (size_t)at + (at == 0 ? 3 : 4), 36);
	for (size_t i = 0; i < uid.len; i++)
		if (hex_run(view_sub(uid, i, 1)) == 0 && uid.at[i] != '-' && uid.at[i] != '_')
			uid.len = i;
	if (uid.len != 36 && uid.len != 32)	/* 32: a static pod, named by its manifest's hash */
		return false;
	*ret_pod_uid = uid;
	return true;
}

void enrich_cgroup_names(struct view path, struct view *ret_container, struct view *ret_pod_uid)
{
	bool kube = view_find(path, VIEW_LIT("kubepods")) >= 0;
	size_t at = 0;

	*ret_container = *ret_pod_uid = (struct view){ 0 };
	while (at < path.len) {
		size_t len = 0;
		struct view part;

		while (at + len < path.len && path.at[at + len] != '/')
			len++;
		part = view_sub(path, at, len);
		if (kube)
			(void)component_pod(part, ret_pod_uid);
		/* The innermost one wins: a container within a container's tree is that container. */
		(void)component_container(part, ret_container);
		at += len + 1;
	}
}

/* kernfs hands out file handles that are the bare 64-bit id: no walk, and no race with the process. */
static bool path_by_handle(const struct enrich *enrich, uint64_t id, char *path, size_t cap)
{
	union {
		struct file_handle handle;
		uint8_t room[sizeof(struct file_handle) + 8];
	} u = { 0 };
	char link[64], full[4096];
	size_t mount_len = strlen(enrich->cgroup_dir);
	ssize_t len;
	int fd;

	u.handle.handle_bytes = 8;
	u.handle.handle_type = HANDLE_KERNFS;
	memcpy(u.handle.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(enrich->cgroup_fd, &u.handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, full, sizeof(full) - 1);
	(void)close(fd);
	if (len < 0)
		return false;
	full[len] = '\0';
	if ((size_t)len < mount_len || strncmp(full, enrich->cgroup_dir, mount_len) != 0)
		return false;
	(void)snprintf(path, cap, "%s", full[mount_len] ? full + mount_len : "/");
	return true;
}

/* The process's own word for where it is; checked by the inode, which is the id. */
static bool path_by_process(const struct enrich *enrich, uint32_t pid, uint64_t id, char *path, size_t cap)
{
	char name[4352], line[4096];
	bool found = false;
	struct stat st;
	FILE *in;

	(void)snprintf(name, sizeof(name), "%s/%u/cgroup", enrich->proc_dir, pid);
	in = fopen(name, "re");
	if (!in)
		return false;
	while (!found && fgets(line, sizeof(line), in)) {
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		(void)snprintf(name, sizeof(name), "%s%s", enrich->cgroup_dir, line + 3);
		if (stat(name, &st) == 0 && st.st_ino == id) {
			(void)snprintf(path, cap, "%s", line + 3);
			found = true;
		}
	}
	(void)fclose(in);
	return found;
}

static bool walk(const char *dir, size_t skip, uint64_t id, unsigned *left, char *path, size_t cap)
{
	DIR *in = opendir(dir);
	bool found = false;
	struct dirent *entry;

	if (!in)
		return false;
	while (!found && (entry = readdir(in)) && *left) {
		char below[4096];

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		--*left;
		if ((size_t)snprintf(below, sizeof(below), "%s/%s", dir, entry->d_name) >= sizeof(below))
			continue;
		if (entry->d_ino == id) {
			(void)snprintf(path, cap, "%s", below + skip);
			found = true;
		} else {
			found = walk(below, skip, id, left, path, cap);
		}
	}
	(void)closedir(in);
	return found;
}

static struct cgroup *cgroup_get(struct enrich *enrich, uint64_t id, uint32_t pid)
{
	struct cgroup **at = &enrich->cgroups[hash_u64(id) % BUCKETS], *cgroup;
	unsigned dirs_left = WALK_DIRS_MAX;
	char path[4096] = "";
	bool found;

	if (!id || !enrich->cgroup_dir)
		return NULL;
	for (cgroup = *at; cgroup; cgroup = cgroup->next)
		if (cgroup->id == id)
			return cgroup;
	if (enrich->cgroups_count >= CGROUPS_MAX)
		return NULL;
	found = path_by_handle(enrich, id, path, sizeof(path)) ||
		path_by_process(enrich, pid, id, path, sizeof(path));
	if (!found && clock_mono_ns() >= enrich->walk_after_ns) {
		found = walk(enrich->cgroup_dir, strlen(enrich->cgroup_dir), id, &dirs_left, path, sizeof(path));
		enrich->walk_after_ns = clock_mono_ns() + NS_PER_SEC;
	}
	if (!found)
		return NULL;
	cgroup = mem_zalloc(sizeof(*cgroup));
	if (!cgroup)
		return NULL;
	cgroup->id = id;
	cgroup->path = mem_strdup(path);
	if (!cgroup->path) {
		mem_free(cgroup);
		return NULL;
	}
	cgroup->next = *at;
	*at = cgroup;
	enrich->cgroups_count++;
	return cgroup;
}

/* ---- parties ---- */

/* ppid, and whether the process of that pid is the one that started then (not one that got its number later). */
static bool same_process(const struct enrich *enrich, const struct sock_owner *owner, uint32_t *ret_ppid)
{
	unsigned long long start_ticks;
	char name[256], line[1024];
	char *after;
	int64_t off;
	size_t len;
	FILE *in;
	int ppid;

	(void)snprintf(name, sizeof(name), "%s/%u/stat", enrich->proc_dir, owner->pid);
	in = fopen(name, "re");
	if (!in)
		return false;
	len = fread(line, 1, sizeof(line) - 1, in);
	(void)fclose(in);
	line[len] = '\0';
	after = strrchr(line, ')');	/* the command may hold anything but a last ')' */
	if (!after || sscanf(after + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
					"%*d %*d %llu", &ppid, &start_ticks) != 2)
		return false;
	if (!owner->pid_start_ns || !enrich->boot_ns || enrich->ticks_per_second <= 0) {
		*ret_ppid = (uint32_t)ppid;
		return true;
	}
	off = (int64_t)(enrich->boot_ns + start_ticks * (NS_PER_SEC / (uint64_t)enrich->ticks_per_second) -
			owner->pid_start_ns);
	/* The time of boot is known to the second only. */
	if (off <= -3 * (int64_t)NS_PER_SEC || off >= 3 * (int64_t)NS_PER_SEC)
		return false;
	*ret_ppid = (uint32_t)ppid;
	return true;
}

static void tell_container(struct enrich *enrich, const struct party *party, uint64_t time_ns)
{
	struct entity_row row = { 0 };

	row.id = hash_bytes(party->container.at, party->container.len, 3) | 1;
	row.start_ns = row.end_ns = time_ns;
	row.kind = ENTITY_container;
	row.name = view_sub(party->container, 0, 12);
	ROW_SET(ENTITY_ROW, &row, uid, party->container);
	ROW_SET(ENTITY_ROW, &row, node, party->node);
	ROW_SET(ENTITY_ROW, &row, cgroup, party->cgroup);
	ROW_SET(ENTITY_ROW, &row, cgroup_path, party->cgroup_path);
	if (party->pod_uid.len)
		ROW_SET(ENTITY_ROW, &row, parent, party->pod_uid);
	enrich->entity(enrich->arg, &row);
}

static uint64_t process_id(const struct party *party)
{
	uint64_t key[2] = { party->pid, party->pid_start_ns };

	return hash_bytes(key, sizeof(key), hash_bytes(party->node.at, party->node.len, 2)) | 1;
}

static void tell_process(struct enrich *enrich, const struct party *party, uint64_t from_ns, uint64_t to_ns)
{
	struct entity_row row = { 0 };

	row.id = process_id(party);
	row.start_ns = from_ns;
	row.end_ns = to_ns;
	row.kind = ENTITY_process;
	row.name = party->comm;
	ROW_SET(ENTITY_ROW, &row, pid, party->pid);
	if (party->pid_start_ns)
		ROW_SET(ENTITY_ROW, &row, pid_start_ns, party->pid_start_ns);
	if (party->ppid)
		ROW_SET(ENTITY_ROW, &row, ppid, party->ppid);
	if (party->exe.len)
		ROW_SET(ENTITY_ROW, &row, exe, party->exe);
	if (party->cgroup)
		ROW_SET(ENTITY_ROW, &row, cgroup, party->cgroup);
	if (party->cgroup_path.len)
		ROW_SET(ENTITY_ROW, &row, cgroup_path, party->cgroup_path);
	if (party->container.len)
		ROW_SET(ENTITY_ROW, &row, parent, party->container);
	if (party->netns)
		ROW_SET(ENTITY_ROW, &row, netns, party->netns);
	ROW_SET(ENTITY_ROW, &row, node, party->node);
	enrich->entity(enrich->arg, &row);
}

static uint64_t owner_hash(const struct sock_owner *owner)
{
	uint64_t key[4] = { owner->pid, owner->pid_start_ns, owner->cgroup, owner->netns };

	return hash_bytes(key, sizeof(key), hash_bytes(owner->comm, strnlen(owner->comm, sizeof(owner->comm)), 1));
}

static bool owner_is(const struct party *party, const struct sock_owner *owner)
{
	return party->pid == owner->pid && party->pid_start_ns == owner->pid_start_ns &&
	       party->cgroup == owner->cgroup && party->netns == owner->netns && !party->stale &&
	       view_eq(party->comm, view_make(owner->comm, strnlen(owner->comm, sizeof(owner->comm))));
}

static char *put_text(char *at, struct view text, struct view *ret_view)
{
	if (!text.len) {
		*ret_view = (struct view){ 0 };
		return at;
	}
	memcpy(at, text.at, text.len);
	*ret_view = view_make(at, text.len);
	return at + text.len;
}

static struct party *party_new(struct enrich *enrich, const struct sock_owner *owner, uint64_t time_ns)
{
	struct cgroup *cgroup = cgroup_get(enrich, owner->cgroup, owner->pid);
	struct view path = cgroup ? view_str(cgroup->path) : (struct view){ 0 };
	struct view comm = view_make(owner->comm, strnlen(owner->comm, sizeof(owner->comm)));
	struct view exe = { 0 }, container, pod_uid;
	char name[256], exe_text[4096];
	struct party *party;
	uint32_t ppid = 0;
	char *at;

	if (same_process(enrich, owner, &ppid)) {
		ssize_t len;

		(void)snprintf(name, sizeof(name), "%s/%u/exe", enrich->proc_dir, owner->pid);
		len = readlink(name, exe_text, sizeof(exe_text));
		if (len > 0)
			exe = view_make(exe_text, (size_t)len);
	}
	enrich_cgroup_names(path, &container, &pod_uid);
	party = mem_zalloc(sizeof(*party) + comm.len + exe.len + path.len + container.len + pod_uid.len +
			   strlen(enrich->node));
	if (!party)
		return NULL;
	party->pid = owner->pid;
	party->pid_start_ns = owner->pid_start_ns;
	party->ppid = ppid;
	party->netns = owner->netns;
	party->cgroup = owner->cgroup;
	party->since_ns = time_ns;
	at = put_text((char *)(party + 1), comm, &party->comm);
	at = put_text(at, exe, &party->exe);
	at = put_text(at, path, &party->cgroup_path);
	at = put_text(at, container, &party->container);
	at = put_text(at, pod_uid, &party->pod_uid);
	(void)put_text(at, view_str(enrich->node), &party->node);
	for (size_t i = 0; i < party->pod_uid.len; i++)	/* our copy: a slice name has '_' for '-' */
		if (party->pod_uid.at[i] == '_')
			((char *)party->pod_uid.at)[i] = '-';
	party->workload = party->container.len ? view_sub(party->container, 0, 12) : party->comm;
	if (enrich->entity && party->container.len && cgroup && !cgroup->container_told) {
		cgroup->container_told = true;
		tell_container(enrich, party, time_ns);
	}
	if (enrich->entity)
		tell_process(enrich, party, time_ns, time_ns);
	return party;
}

/* Forget parties nobody holds, a few buckets at a time, while there are too many of them. */
static void forget_some(struct enrich *enrich)
{
	for (unsigned n = 0; n < 64 && enrich->idle > enrich->parties_max; n++) {
		struct party **at = &enrich->buckets[enrich->sweep_at++ % BUCKETS];

		while (*at) {
			struct party *party = *at;

			if (party->refs) {
				at = &party->next;
				continue;
			}
			*at = party->next;
			mem_free(party);
			enrich->parties--;
			enrich->idle--;
		}
	}
}

struct party *enrich_find(struct enrich *enrich, const struct sock_owner *owner)
{
	uint64_t hash = owner_hash(owner);

	for (struct party *party = enrich->buckets[hash % BUCKETS]; party; party = party->next) {
		if (party->hash == hash && owner_is(party, owner)) {
			enrich->idle -= party->refs == 0;
			return party_take(party);
		}
	}
	return NULL;
}

struct party *enrich_take(struct enrich *enrich, const struct sock_owner *owner, uint64_t time_ns)
{
	struct party *party;
	uint64_t hash;

	if (!owner->pid)
		return NULL;
	party = enrich_find(enrich, owner);
	if (party)
		return party;
	party = party_new(enrich, owner, time_ns);
	if (!party)
		return NULL;
	hash = owner_hash(owner);
	party->hash = hash;
	party->refs = 1;
	party->next = enrich->buckets[hash % BUCKETS];
	enrich->buckets[hash % BUCKETS] = party;
	enrich->parties++;
	forget_some(enrich);
	return party;
}

struct party *party_take(struct party *party)
{
	if (party)
		party->refs++;
	return party;
}

void party_put(struct enrich *enrich, struct party *party)
{
	if (party && --party->refs == 0)
		enrich->idle++;
}

static bool of_process(const struct party *party, const struct sock_owner *owner)
{
	return party->pid == owner->pid && party->pid_start_ns == owner->pid_start_ns && !party->stale;
}

void enrich_exec(struct enrich *enrich, const struct sock_owner *owner, uint64_t time_ns)
{
	/* What the process was before is of the past. */
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct party *party = enrich->buckets[i]; party; party = party->next)
			if (of_process(party, owner))
				party->stale = true;
	/* Look now: a process that lives for a millisecond is gone when its first packet arrives. */
	party_put(enrich, enrich_take(enrich, owner, time_ns));
}

void enrich_exit(struct enrich *enrich, const struct sock_owner *owner, uint64_t time_ns)
{
	/* The party stays: rows of its last packets are still to be written, and /proc has forgotten it. */
	for (unsigned i = 0; i < BUCKETS; i++) {
		for (struct party *party = enrich->buckets[i]; party; party = party->next) {
			uint64_t hour_ns = time_ns - time_ns % NS_PER_HOUR;

			if (!of_process(party, owner) || party->ended)
				continue;
			party->ended = true;
			/* A version that begins in an earlier hour would have to go into a sealed partition. */
			if (enrich->entity)
				tell_process(enrich, party, party->since_ns > hour_ns ? party->since_ns : hour_ns,
					     time_ns);
		}
	}
}

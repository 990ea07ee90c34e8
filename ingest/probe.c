#include "ingest/probe.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "shared.skel.h"

#define PROBES_MAX 32
#define LINKS_MAX 64
#define SHARED_MAPS_MAX 16
#define RING_NEAR_BYTES ((size_t)1 << 20)	/* half of a processor's second cache, and some 10 ms of a busy one */
#define RING_FAR_BYTES_MIN 65536u

struct probe_set {
	struct bpf_object *shared;
	struct bpf_object *objects[PROBES_MAX];
	const struct probe_ops *ops[PROBES_MAX];
	unsigned object_count;
	struct bpf_link *links[LINKS_MAX];
	unsigned link_count;
	struct ring rings[RING_COUNT_MAX + 1];
	unsigned ring_count;
	struct ring_config config;
	int cgroup_fd;
	int counters_fd;
	int control_fd;
	int excluded_fd;
	unsigned cpu_count;
	uint64_t *counter_slots;	/* cpu_count times all counters, scratch */
};

#define PROBE(name) extern const struct probe_ops probe_##name;
#include "probes.def"
#undef PROBE

const struct probe_ops *const probe_all[] = {
#define PROBE(name) &probe_##name,
#include "probes.def"
#undef PROBE
	NULL,
};

/* ---- libbpf's words ---- */

/* libbpf's printer has no argument: the last complaint of this thread waits here for whoever reports. */
static __thread char last_words[512];

__attribute__((format(printf, 2, 0)))
static int keep_words(enum libbpf_print_level level, const char *fmt, va_list args)
{
	static const char prefix[] = "libbpf: ";
	size_t len;

	/*
	 * The first warning names the cause, the later ones its consequences. libbpf takes
	 * "not permitted" for an old kernel and tries to raise a limit that has no part in it.
	 */
	if (level != LIBBPF_WARN || last_words[0] || strstr(fmt, "RLIMIT_MEMLOCK"))
		return 0;
	if (strncmp(fmt, prefix, sizeof(prefix) - 1) == 0)
		fmt += sizeof(prefix) - 1;
	(void)vsnprintf(last_words, sizeof(last_words), fmt, args);
	len = strlen(last_words);
	while (len && last_words[len - 1] == '\n')
		last_words[--len] = '\0';
	for (size_t i = 0; i < len; i++) {
		if (last_words[i] == '\n')
			last_words[i] = ' ';
	}
	return 0;
}

static int refused(struct err *err, int errno_value, const char *what, const char *name)
{
	int code = errno_value == EPERM || errno_value == EACCES ? E_PERMISSION :
		   errno_value == ENOMEM ? E_NO_MEMORY : E_UNSUPPORTED;

	return err_set(err, code, "%s %s: %s%s%s", what, name, strerror(errno_value),
		       last_words[0] ? ": " : "", last_words);
}

/* ---- what is missing ---- */

static uint64_t capabilities(void)
{
	char line[256];
	uint64_t caps = 0;
	FILE *file = fopen("/proc/self/status", "re");

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, "CapEff:", 7) == 0)
			caps = strtoull(line + 7, NULL, 16);
	}
	(void)fclose(file);
	return caps;
}

/* Where the cgroup-v2 tree is mounted, alone or beside version 1. */
static int find_cgroup(char *path, size_t cap, struct err *err)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096];
	int rc = E_UNSUPPORTED;

	if (!file)
		return err_errno(err, errno, "read /proc/self/mountinfo");
	/* id parent major:minor root mountpoint options ... - type source ... */
	while (rc < 0 && fgets(line, sizeof(line), file)) {
		char *kind = strstr(line, " - ");
		char root[1024], at[1024];

		if (!kind || strncmp(kind + 3, "cgroup2 ", 8) != 0 ||
		    sscanf(line, "%*s %*s %*s %1023s %1023s", root, at) != 2)
			continue;
		if (snprintf(path, cap, "%s", at) < (int)cap)
			rc = 0;
	}
	(void)fclose(file);
	if (rc < 0)
		return err_set(err, rc, "no cgroup-v2 tree is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified "
			       "(in a container: give it the host's /sys/fs/cgroup)");
	return 0;
}

static void append(char *text, size_t cap, const char *words)
{
	size_t len = strlen(text);

	(void)snprintf(text + len, cap - len, "%s%s", len ? "; " : "", words);
}

void probe_explain(char *text, size_t cap)
{
	static const struct { unsigned bit; const char *name; } wanted[] = {
		{ 39, "CAP_BPF" }, { 38, "CAP_PERFMON" }, { 12, "CAP_NET_ADMIN" },
	};
	uint64_t caps = capabilities();
	bool all = caps & (1ull << 21);		/* CAP_SYS_ADMIN stands for the first two */
	char path[1024], missing[128] = "";

	assert(cap > 0);
	text[0] = '\0';
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (caps & (1ull << wanted[i].bit) || (all && wanted[i].bit != 12))
			continue;
		(void)snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing), "%s%s",
			       missing[0] ? ", " : "", wanted[i].name);
	}
	if (missing[0]) {
		append(text, cap, "missing capabilities: ");
		(void)snprintf(text + strlen(text), cap - strlen(text),
			       "%s (run as root, or give the container these)", missing);
	}
	if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
		append(text, cap, "no /sys/kernel/btf/vmlinux: the kernel needs CONFIG_DEBUG_INFO_BTF");
	if (find_cgroup(path, sizeof(path), NULL) < 0)
		append(text, cap, "no cgroup-v2 tree is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified");
	if (!text[0])
		append(text, cap, "the capabilities are there: a container's seccomp profile, lockdown=confidentiality or a kernel "
				  "before 5.11 may refuse bpf(2)");
	append(text, cap, "capture files can be imported without any of this");
}

/* The kernel says EINVAL, too, when a capability is missing. */
static int explain(struct err *err, int rc)
{
	char text[512];

	probe_explain(text, sizeof(text));
	if (strstr(text, "missing capabilities"))
		rc = E_PERMISSION;
	if (!err)
		return rc;
	err->code = rc;
	(void)snprintf(err->text + strlen(err->text), sizeof(err->text) - strlen(err->text), ". %s", text);
	return rc;
}

/* ---- shared maps ---- */

static int make_packet_ring(struct probe_set *set, size_t bytes, uint32_t slot, struct err *err)
{
	struct bpf_map *outer = bpf_object__find_map_by_name(set->shared, "packet_rings");
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "packet_ring", 0, 0, (uint32_t)bytes, NULL);
	int rc;

	assert(outer);
	if (fd < 0)
		return refused(err, errno, "make", "a packet ring");
	if (bpf_map_update_elem(bpf_map__fd(outer), &slot, &fd, BPF_ANY) < 0)
		rc = refused(err, errno, "place", "a packet ring");
	else
		rc = ring_open(&set->rings[set->ring_count], fd, bytes, err);
	(void)close(fd);	/* the outer map holds it */
	if (rc < 0)
		return rc;
	set->rings[set->ring_count++].spills = slot < RING_NEAR_MAX;
	return 0;
}

/* Sizes are powers of two and whole pages. In a small ring near ones would leave no room: it is alone. */
static int make_packet_rings(struct probe_set *set, size_t far_bytes, struct err *err)
{
	size_t near_bytes = RING_NEAR_BYTES, page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	unsigned near = 1, far = 1;
	int rc = 0;

	while (near < set->cpu_count && near < RING_NEAR_MAX)
		near *= 2;
	while (near_bytes * near > far_bytes / 8)
		near_bytes /= 2;
	if (near_bytes < page_bytes)
		near = 0;
	while (far * 4 < set->cpu_count && far < RING_FAR_MAX && far_bytes / far >= 2 * RING_FAR_BYTES_MIN)
		far *= 2;
	for (uint32_t i = 0; i < near && rc >= 0; i++)
		rc = make_packet_ring(set, near_bytes, i, err);
	for (uint32_t i = 0; i < far && rc >= 0; i++)
		rc = make_packet_ring(set, far_bytes / far, RING_NEAR_MAX + i, err);
	set->config.near_mask = near ? near - 1 : 0;
	set->config.far_mask = far - 1;
	return rc;
}

static int make_maps(struct probe_set *set, const struct probe_settings *settings, struct err *err)
{
	struct bpf_map *control;
	size_t elf_bytes;
	const void *elf = shared_bpf__elf_bytes(&elf_bytes);
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "tapedeck");
	int rc;

	last_words[0] = '\0';
	set->shared = bpf_object__open_mem(elf, elf_bytes, &opts);
	if (!set->shared)
		return refused(err, errno, "read", "the BPF object of the shared maps");
	rc = bpf_object__load(set->shared);
	if (rc < 0)
		return explain(err, refused(err, -rc, "make", "BPF maps"));
	rc = make_packet_rings(set, settings->ring_bytes, err);
	if (rc < 0)
		return rc;
	control = bpf_object__find_map_by_name(set->shared, "control_ring");
	assert(control);
	rc = ring_open(&set->rings[set->ring_count], bpf_map__fd(control), bpf_map__max_entries(control), err);
	if (rc < 0)
		return rc;
	set->ring_count++;
	set->config.snaplen = settings->snaplen;
	set->config.second = settings->second;
	set->control_fd = bpf_object__find_map_fd_by_name(set->shared, "control");
	set->counters_fd = bpf_object__find_map_fd_by_name(set->shared, "counters");
	set->excluded_fd = bpf_object__find_map_fd_by_name(set->shared, "excluded");
	return 0;
}

int probe_set_open(const struct probe_settings *settings, struct probe_set **ret_set, struct err *err)
{
	struct probe_set *set = mem_zalloc(sizeof(*set));
	char found[1024];
	const char *cgroup = settings->cgroup;
	int rc = E_NO_MEMORY;

	if (!set)
		goto out;
	set->cgroup_fd = -1;
	(void)libbpf_set_print(keep_words);
	set->cpu_count = (unsigned)libbpf_num_possible_cpus();
	set->counter_slots = mem_array(set->cpu_count, RING_COUNTER_COUNT * sizeof(*set->counter_slots));
	if (!set->counter_slots)
		goto out;
	rc = make_maps(set, settings, err);
	if (rc < 0)
		goto out;
	if (!cgroup) {
		rc = find_cgroup(found, sizeof(found), err);
		if (rc < 0)
			goto out;
		cgroup = found;
	}
	set->cgroup_fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (set->cgroup_fd < 0) {
		rc = err_errno(err, errno, "open the cgroup-v2 tree %s", cgroup);
		goto out;
	}
	*ret_set = set;
	set = NULL;
out:
	if (rc == E_NO_MEMORY)
		(void)err_set(err, rc, "no memory for the probes");
	probe_set_close(set);
	return rc;
}

void probe_set_close(struct probe_set *set)
{
	if (!set)
		return;
	for (unsigned i = set->link_count; i-- > 0;)
		(void)bpf_link__destroy(set->links[i]);
	for (unsigned i = set->object_count; i-- > 0;)
		bpf_object__close(set->objects[i]);
	for (unsigned i = 0; i < set->ring_count; i++)
		ring_close(&set->rings[i]);
	bpf_object__close(set->shared);
	if (set->cgroup_fd >= 0)
		(void)close(set->cgroup_fd);
	mem_free(set->counter_slots);
	mem_free(set);
}

/* ---- one probe ---- */

static int share_maps(struct probe_set *set, struct bpf_object *object, const char *name, struct err *err)
{
	struct bpf_map *map, *ours;

	bpf_object__for_each_map(map, object) {
		if (strcmp(bpf_map__name(map), ".rodata.config") == 0) {
			if (bpf_map__set_initial_value(map, &set->config, sizeof(set->config)) < 0)
				return refused(err, errno, "configure", name);
			continue;
		}
		ours = bpf_object__find_map_by_name(set->shared, bpf_map__name(map));
		if (ours && !bpf_map__is_internal(map) && bpf_map__reuse_fd(map, bpf_map__fd(ours)) < 0)
			return refused(err, errno, "share the maps with", name);
	}
	return 0;
}

static bool is_cgroup_program(const struct bpf_program *program)
{
	switch (bpf_program__type(program)) {
	case BPF_PROG_TYPE_CGROUP_SKB:
	case BPF_PROG_TYPE_CGROUP_SOCK:
	case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
		return true;
	default:
		return false;
	}
}

static int keep_link(struct probe_set *set, struct bpf_link *link)
{
	assert(set->link_count < LINKS_MAX);
	set->links[set->link_count++] = link;
	return 0;
}

/* An iterator does its work while it is read. */
static int run_iterator(struct bpf_program *program, struct err *err)
{
	struct bpf_link *link = bpf_program__attach_iter(program, NULL);
	const char *name = bpf_program__name(program);
	char buf[256];
	ssize_t got;
	int fd, rc = 0;

	if (!link)
		return refused(err, errno, "attach", name);
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0) {
		rc = refused(err, errno, "start", name);
		goto out;
	}
	do
		got = read(fd, buf, sizeof(buf));
	while (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN)));
	if (got < 0)
		rc = refused(err, errno, "run", name);
	(void)close(fd);
out:
	(void)bpf_link__destroy(link);
	return rc;
}

static int attach(struct probe_set *set, const struct probe_ops *ops, struct bpf_object *object, struct err *err)
{
	struct bpf_program *program;
	int rc = 0;

	bpf_object__for_each_program(program, object) {
		struct bpf_link *link;

		if (ops->phase == PROBE_CENSUS) {
			rc = run_iterator(program, err);
		} else {
			link = is_cgroup_program(program) ? bpf_program__attach_cgroup(program, set->cgroup_fd) :
							    bpf_program__attach(program);
			rc = link ? keep_link(set, link) :
				    refused(err, errno, "attach", bpf_program__name(program));
		}
		if (rc < 0)
			break;
	}
	return rc;
}

int probe_set_add(struct probe_set *set, const struct probe_ops *ops, struct err *err)
{
	unsigned links_before = set->link_count;
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = ops->name);
	struct bpf_object *object;
	size_t elf_bytes;
	const void *elf = ops->elf(&elf_bytes);
	int rc;

	assert(set->object_count < PROBES_MAX);
	last_words[0] = '\0';
	object = bpf_object__open_mem(elf, elf_bytes, &opts);
	if (!object)
		return refused(err, errno, "read the BPF object of", ops->name);
	rc = share_maps(set, object, ops->name, err);
	if (rc < 0)
		goto out;
	rc = bpf_object__load(object);
	if (rc < 0) {
		rc = refused(err, -rc, "load", ops->name);
		if (ops->phase == PROBE_PACKETS)
			rc = explain(err, rc);
		goto out;
	}
	rc = attach(set, ops, object, err);
	if (rc < 0)
		goto out;
	set->ops[set->object_count] = ops;
	set->objects[set->object_count++] = object;
	object = NULL;
out:
	while (rc < 0 && set->link_count > links_before)
		(void)bpf_link__destroy(set->links[--set->link_count]);
	bpf_object__close(object);
	return rc;
}

/* ---- while it runs ---- */

unsigned probe_set_rings(const struct probe_set *set)
{
	return set->ring_count;
}

struct ring *probe_set_ring(struct probe_set *set, unsigned index)
{
	assert(index < set->ring_count);
	return &set->rings[index];
}

uint64_t probe_set_missed(const struct probe_set *set, const struct probe_ops *ops)
{
	struct bpf_program *program;
	uint64_t missed = 0;

	for (unsigned i = 0; i < set->object_count; i++) {
		if (set->ops[i] != ops)
			continue;
		bpf_object__for_each_program(program, set->objects[i]) {
			struct bpf_prog_info info = { 0 };
			uint32_t bytes = sizeof(info);

			if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &bytes) == 0)
				missed += info.recursion_misses;
		}
	}
	return missed;
}

int probe_set_control(struct probe_set *set, enum ring_control slot, uint32_t value, struct err *err)
{
	uint32_t key = slot;

	if (bpf_map_update_elem(set->control_fd, &key, &value, BPF_ANY) < 0)
		return err_errno(err, errno, "set capture control %u to %u", key, value);
	return 0;
}

int probe_set_exclude(struct probe_set *set, uint32_t pid, struct err *err)
{
	uint32_t yes = 1, slot = RING_CONTROL_EXCLUDED, generation = 0;

	if (bpf_map_update_elem(set->excluded_fd, &pid, &yes, BPF_ANY) < 0)
		return err_errno(err, errno, "exclude process %u from capture", pid);
	if (bpf_map_lookup_elem(set->control_fd, &slot, &generation) == 0)
		generation++;
	if (bpf_map_update_elem(set->control_fd, &slot, &generation, BPF_ANY) < 0)
		return err_errno(err, errno, "exclude process %u from capture", pid);
	return 0;
}

void probe_set_counters(struct probe_set *set, uint64_t ret_counters[RING_COUNTER_COUNT])
{
	uint32_t zero = 0;

	memset(ret_counters, 0, RING_COUNTER_COUNT * sizeof(*ret_counters));
	if (bpf_map_lookup_elem(set->counters_fd, &zero, set->counter_slots) < 0)
		return;
	for (unsigned cpu = 0; cpu < set->cpu_count; cpu++)
		for (unsigned i = 0; i < RING_COUNTER_COUNT; i++)
			ret_counters[i] += set->counter_slots[cpu * RING_COUNTER_COUNT + i];
}

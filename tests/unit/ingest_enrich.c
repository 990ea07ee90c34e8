#include "ingest/enrich.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "tests/ingest_kit.h"

#define ID64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

TEST(enrich, reads_names_out_of_cgroup_paths)
{
	static const struct {
		const char *path, *container, *pod;
	} cases[] = {
		{ "/system.slice/docker-" ID64 ".scope", ID64, NULL },
		{ "/docker/" ID64, ID64, NULL },
		{ "/machine.slice/libpod-" ID64 ".scope/container", ID64, NULL },
		{ "/machine.slice/libpod-conmon-" ID64 ".scope", NULL, NULL },
		{ "/kubepods.slice/kubepods-burstable.slice/"
		  "kubepods-burstable-pod11111111_2222_3333_4444_555555555555.slice/cri-containerd-" ID64 ".scope",
		  ID64, "11111111_2222_3333_4444_555555555555" },
		{ "/kubepods/besteffort/pod11111111-2222-3333-4444-555555555555/" ID64, ID64,
		  "11111111-2222-3333-4444-555555555555" },
		{ "/kubepods.slice/kubepods-pod0123456789abcdef0123456789abcdef.slice/crio-" ID64 ".scope", ID64,
		  "0123456789abcdef0123456789abcdef" },
		{ "/lxc.payload.web01/system.slice/nginx.service", "web01", NULL },
		{ "/user.slice/user-1000.slice", NULL, NULL },
		{ "/system.slice/podman-pause.scope", NULL, NULL },
		{ "/", NULL, NULL },
		{ "", NULL, NULL },
		{ "/docker/" ID64 "0", NULL, NULL },	/* 65 digits are no id */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct view container, pod;

		enrich_cgroup_names(view_str(cases[i].path), &container, &pod);
		CHECK_VIEW(container, cases[i].container ? cases[i].container : "");
		CHECK_VIEW(pod, cases[i].pod ? cases[i].pod : "");
	}
}

/* ---- a machine made of files ---- */

struct seen {
	unsigned processes, containers;
	uint32_t ppid;
	char exe[64], container[80], parent[80], path[256];
	uint64_t end_ns;
};

static void on_entity(void *arg, const struct entity_row *row)
{
	struct seen *seen = arg;

	if (row->kind == ENTITY_container) {
		seen->containers++;
		(void)snprintf(seen->container, sizeof(seen->container), "%.*s", (int)row->uid.len,
			       (const char *)row->uid.at);
		return;
	}
	seen->processes++;
	seen->ppid = ROW_HAS(ENTITY_ROW, row, ppid) ? row->ppid : 0;
	seen->end_ns = row->end_ns;
	if (ROW_HAS(ENTITY_ROW, row, exe))
		(void)snprintf(seen->exe, sizeof(seen->exe), "%.*s", (int)row->exe.len, (const char *)row->exe.at);
	if (ROW_HAS(ENTITY_ROW, row, parent))
		(void)snprintf(seen->parent, sizeof(seen->parent), "%.*s", (int)row->parent.len,
			       (const char *)row->parent.at);
	if (ROW_HAS(ENTITY_ROW, row, cgroup_path))
		(void)snprintf(seen->path, sizeof(seen->path), "%.*s", (int)row->cgroup_path.len,
			       (const char *)row->cgroup_path.at);
}

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[512];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	(void)close(fd);
}

static void make_dir(const char *dir, const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	CHECK_U64(mkdir(path, 0755), 0);
}

/* Process 42, "sh" with a bracket in its name, started 5 s after boot, in a docker container. */
static uint64_t make_machine(const char *proc, const char *cgroups)
{
	char path[512];
	struct stat st;

	make_dir(cgroups, "docker");
	make_dir(cgroups, "docker/" ID64);
	(void)snprintf(path, sizeof(path), "%s/docker/" ID64, cgroups);
	CHECK_U64(stat(path, &st), 0);
	make_dir(proc, "42");
	write_file(proc, "stat", "cpu 1 2 3\nbtime 1700000000\n");
	write_file(proc, "42/stat", "42 (s) h) S 7 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 500 0 0\n");
	write_file(proc, "42/cgroup", "0::/docker/" ID64 "\n");
	(void)snprintf(path, sizeof(path), "%s/42/exe", proc);
	CHECK_U64(symlink("/bin/dash", path), 0);
	return st.st_ino;
}

TEST(enrich, looks_a_process_up_once_and_remembers)
{
	const char *proc = check_tmpdir(), *cgroups = check_tmpdir();
	struct seen seen = { 0 };
	struct enrich_opts opts = { .proc_dir = proc, .cgroup_dir = cgroups, .node = "host-a", .entity = on_entity,
				    .arg = &seen };
	struct sock_owner owner = { .pid = 42, .pid_start_ns = 1700000005 * NS_PER_SEC, .netns = 9, .comm = "s) h" };
	struct enrich *enrich = NULL;
	struct party *party, *again;
	struct err err = { 0 };

	owner.cgroup = make_machine(proc, cgroups);
	CHECK_OK(enrich_new(&opts, &enrich, &err), err);
	party = enrich_take(enrich, &owner, KIT_T0);
	CHECK(party);
	CHECK_VIEW(party->exe, "/bin/dash");
	CHECK_VIEW(party->container, ID64);
	CHECK_VIEW(party->workload, "0123456789ab");
	CHECK_VIEW(party->cgroup_path, "/docker/" ID64);
	CHECK_VIEW(party->node, "host-a");
	CHECK_U64(party->ppid, 7);
	CHECK_U64(seen.processes, 1);
	CHECK_U64(seen.containers, 1);
	CHECK_STR(seen.container, ID64);
	CHECK_STR(seen.parent, ID64);
	/* The process is gone; what is known of it is not. */
	check_rmtree(proc);
	enrich_exit(enrich, &owner, KIT_T0 + NS_PER_SEC);
	CHECK_U64(seen.processes, 2);
	CHECK_U64(seen.end_ns, KIT_T0 + NS_PER_SEC);
	again = enrich_take(enrich, &owner, KIT_T0 + 2 * NS_PER_SEC);
	CHECK_EQ((void *)again, (void *)party);
	CHECK_U64(seen.processes, 2);
	party_put(enrich, again);
	party_put(enrich, party);
	enrich_free(enrich);
}

TEST(enrich, does_not_take_a_later_process_of_the_same_number)
{
	const char *proc = check_tmpdir(), *cgroups = check_tmpdir();
	struct enrich_opts opts = { .proc_dir = proc, .cgroup_dir = cgroups, .node = "n" };
	struct sock_owner owner = { .pid = 42, .pid_start_ns = 1700000900 * NS_PER_SEC, .comm = "old" };
	struct enrich *enrich = NULL;
	struct party *party;
	struct err err = { 0 };

	(void)make_machine(proc, cgroups);
	CHECK_OK(enrich_new(&opts, &enrich, &err), err);
	party = enrich_take(enrich, &owner, KIT_T0);
	CHECK(party);
	CHECK_NULL(party->exe.at);
	CHECK_U64(party->ppid, 0);
	CHECK_VIEW(party->workload, "old");
	party_put(enrich, party);
	owner.pid = 0;
	CHECK_NULL(enrich_take(enrich, &owner, KIT_T0));
	enrich_free(enrich);
}

TEST(enrich, gives_a_new_program_a_new_party)
{
	const char *proc = check_tmpdir(), *cgroups = check_tmpdir();
	struct enrich_opts opts = { .proc_dir = proc, .cgroup_dir = cgroups, .node = "n" };
	struct sock_owner owner = { .pid = 42, .pid_start_ns = 1700000005 * NS_PER_SEC, .comm = "sh" };
	struct party *before, *after;
	struct enrich *enrich = NULL;
	struct err err = { 0 };
	char path[512];

	owner.cgroup = make_machine(proc, cgroups);
	CHECK_OK(enrich_new(&opts, &enrich, &err), err);
	before = enrich_take(enrich, &owner, KIT_T0);
	(void)snprintf(path, sizeof(path), "%s/42/exe", proc);
	CHECK(unlink(path) == 0 && symlink("/usr/bin/curl", path) == 0);
	enrich_exec(enrich, &owner, KIT_T0 + 1);
	after = enrich_take(enrich, &owner, KIT_T0 + 2);
	CHECK_VIEW(before->exe, "/bin/dash");
	CHECK_VIEW(after->exe, "/usr/bin/curl");
	party_put(enrich, before);
	party_put(enrich, after);
	enrich_free(enrich);
}

TEST(enrich, forgets_parties_nobody_holds)
{
	struct enrich_opts opts = { .proc_dir = "/nonexistent", .cgroup_dir = "/nonexistent", .node = "n",
				    .parties_max = 100 };
	struct sock_owner owner = { .pid = 1, .comm = "x" };
	struct enrich *enrich = NULL;
	struct party *held;
	struct err err = { 0 };
	int64_t before;

	CHECK_OK(enrich_new(&opts, &enrich, &err), err);
	held = enrich_take(enrich, &owner, KIT_T0);
	before = mem_live();
	for (owner.pid = 2; owner.pid < 50000; owner.pid++)
		party_put(enrich, enrich_take(enrich, &owner, KIT_T0));
	CHECK_LT(mem_live() - before, 5000);
	CHECK_U64(held->pid, 1);
	party_put(enrich, held);
	enrich_free(enrich);
}

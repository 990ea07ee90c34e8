/* Who made, bound, connected or sent through a socket. See bpf/owner.bpf.c. */
#include "ingest/probe.h"

#include "owner.skel.h"

static const char *const columns[] = {
	"src.pid", "src.pid_start_ns", "src.comm", "src.exe", "src.cgroup", "src.container",
	"src.pod", "src.namespace", "src.workload", "dst.pid", "dst.pid_start_ns", "dst.comm",
	"dst.exe", "dst.cgroup", "dst.container", "dst.pod", "dst.namespace", "dst.workload",
	NULL,
};

const struct probe_ops probe_owner = {
	.name = "owner",
	.phase = PROBE_OWNERS,
	.elf = owner_bpf__elf_bytes,
	.columns = columns,
	.note = "owners are known only of sockets that send or receive; UDP sockets have no end",
};

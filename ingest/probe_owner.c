/* Who made, bound, connected or sent through a socket. See bpf/owner.bpf.c. */
#include "ingest/probe.h"

#include "owner.skel.h"

static const char *const columns[] = {
	"src.pid",
	"src.pid_start_ns",
	"src.comm",
	"src.exe",
	"src.cgroup",
	"src.container",
	"src.pod",
	"dst.pid",
	"dst.comm",
	"dst.exe",
	"dst.container",
	"dst.pod",
	NULL,
};

const struct probe_ops probe_owner = {
	.name = "owner",
	.phase = PROBE_OWNERS,
	.elf = owner_bpf__elf_bytes,
	.columns = columns,
};

/* Sockets that were open before the recorder. See bpf/census.bpf.c. */
#include "ingest/probe.h"

#include "census.skel.h"

static const char *const columns[] = {
	"src.pid", "src.pid_start_ns", "src.comm", "src.exe", "src.cgroup", "src.container",
	"src.pod", "src.namespace", "src.workload", "dst.pid", "dst.pid_start_ns", "dst.comm",
	"dst.exe", "dst.cgroup", "dst.container", "dst.pod", "dst.namespace", "dst.workload",
	NULL,
};

const struct probe_ops probe_census = {
	.name = "census",
	.phase = PROBE_CENSUS,
	.elf = census_bpf__elf_bytes,
	.columns = columns,
	.note = "connections older than the recorder have no owner until they send or receive",
};

/* The process that really sends and receives. See bpf/io.bpf.c. */
#include "ingest/probe.h"

#include "io.skel.h"

static const char *const columns[] = {
	"src.pid", "src.pid_start_ns", "src.comm", "src.exe", "src.cgroup", "src.container",
	"src.pod", "src.namespace", "src.workload", "dst.pid", "dst.pid_start_ns", "dst.comm",
	"dst.exe", "dst.cgroup", "dst.container", "dst.pod", "dst.namespace", "dst.workload",
	NULL,
};

const struct probe_ops probe_io = {
	.name = "io",
	.phase = PROBE_OWNERS,
	.elf = io_bpf__elf_bytes,
	.columns = columns,
	.note = "workers that accept on their parent's socket, and sockets passed between processes, keep their first owner",
};

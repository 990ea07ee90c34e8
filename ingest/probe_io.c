/* The process that really sends and receives. See bpf/io.bpf.c. */
#include "ingest/probe.h"

#include "io.skel.h"

static const char *const columns[] = {
	"dst.pid of workers that accept on an inherited socket",
	"src.pid of sockets passed between processes",
	NULL,
};

const struct probe_ops probe_io = {
	.name = "io",
	.phase = PROBE_OWNERS,
	.elf = io_bpf__elf_bytes,
	.columns = columns,
};

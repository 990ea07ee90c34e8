/* Sockets that were open before the recorder. See bpf/census.bpf.c. */
#include "ingest/probe.h"

#include "census.skel.h"

static const char *const columns[] = {
	"src.pid and dst.pid of connections older than the recorder",
	NULL,
};

const struct probe_ops probe_census = {
	.name = "census",
	.phase = PROBE_CENSUS,
	.elf = census_bpf__elf_bytes,
	.columns = columns,
};

/* Processes that start and end. See bpf/process.bpf.c. */
#include "ingest/probe.h"

#include "process.skel.h"

static const char *const columns[] = {
	"events of kind process_start, process_exit",
	"src.exe of short-lived processes",
	NULL,
};

const struct probe_ops probe_process = {
	.name = "process",
	.phase = PROBE_FACTS,
	.elf = process_bpf__elf_bytes,
	.columns = columns,
};

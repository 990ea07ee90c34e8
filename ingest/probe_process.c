/* Processes that start and end. See bpf/process.bpf.c. */
#include "ingest/probe.h"

#include "process.skel.h"

static const char *const columns[] = {
	"src.exe", "dst.exe", "events.kind",
	NULL,
};

const struct probe_ops probe_process = {
	.name = "process",
	.phase = PROBE_FACTS,
	.elf = process_bpf__elf_bytes,
	.columns = columns,
	.note = "no events of kind process_start and process_exit; programs of short-lived processes are not found",
};

/* Resets sent and received. See bpf/reset.bpf.c. */
#include "ingest/probe.h"

#include "reset.skel.h"

static const char *const columns[] = {
	"events.kind",
	NULL,
};

const struct probe_ops probe_reset = {
	.name = "reset",
	.phase = PROBE_FACTS,
	.elf = reset_bpf__elf_bytes,
	.columns = columns,
	.note = "no events of kind reset",
};

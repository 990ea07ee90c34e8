/* Segments sent again, by class. See bpf/retransmit.bpf.c. */
#include "ingest/probe.h"

#include "retransmit.skel.h"

static const char *const columns[] = {
	"tx_kernel_retransmits", "tx_fast_retransmits", "events.kind",
	NULL,
};

const struct probe_ops probe_retransmit = {
	.name = "retransmit",
	.phase = PROBE_FACTS,
	.elf = retransmit_bpf__elf_bytes,
	.columns = columns,
	.note = "no events of kind retransmit",
};

/* Every packet at every socket. See bpf/packets.bpf.c. */
#include "ingest/probe.h"

#include "packets.skel.h"

static const char *const columns[] = {
	"flows", "calls", "packets",
	NULL,
};

const struct probe_ops probe_packets = {
	.name = "packets",
	.phase = PROBE_PACKETS,
	.elf = packets_bpf__elf_bytes,
	.columns = columns,
	.note = "nothing is captured",
};

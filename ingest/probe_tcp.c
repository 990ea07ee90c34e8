/* The life of TCP connections. See bpf/tcp.bpf.c. */
#include "ingest/probe.h"

#include "tcp.skel.h"

static const char *const columns[] = {
	"end_reason", "events.kind",
	NULL,
};

const struct probe_ops probe_tcp = {
	.name = "tcp",
	.phase = PROBE_FACTS,
	.elf = tcp_bpf__elf_bytes,
	.columns = columns,
	.note = "no events of kind connect failed, accept and close; connections end by FIN, RST or timeout only",
};

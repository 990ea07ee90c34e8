/* The life of TCP connections. See bpf/tcp.bpf.c. */
#include "ingest/probe.h"

#include "tcp.skel.h"

static const char *const columns[] = {
	"events of kind connect, accept, close",
	"end_reason closed",
	"src or dst of connections whose SYN was not seen",
	NULL,
};

const struct probe_ops probe_tcp = {
	.name = "tcp",
	.phase = PROBE_FACTS,
	.elf = tcp_bpf__elf_bytes,
	.columns = columns,
};

/*
 * The door to libbpf: loading and attaching probes. A probe is one BPF object
 * (bpf/NAME.bpf.c) with its ops in ingest/probe_NAME.c; each is loaded on its
 * own and shares the maps of a probe_set. One thread.
 */
#ifndef INGEST_PROBE_H
#define INGEST_PROBE_H

#include "base/err.h"
#include "base/view.h"
#include "ingest/ring.h"
#include "schema/event.h"

/* Probes of an earlier phase are attached first: nothing may slip between knowing and seeing. */
enum probe_phase {
	PROBE_OWNERS,		/* follow sockets from now on */
	PROBE_CENSUS,		/* run once over what is there */
	PROBE_FACTS,		/* report on them */
	PROBE_PACKETS,		/* the reason for it all: without it nothing is recorded */
};
#define PROBE_PHASES (PROBE_PACKETS + 1)

struct probe_ops {
	const char *name;
	enum probe_phase phase;
	const void *(*elf)(size_t *ret_bytes);
	const char *const *columns;	/* what stays empty, or less true, without it; ends with NULL */
	const char *note;		/* how that shows, in words */
};

struct probe_settings {
	uint32_t snaplen;		/* 1..RING_SNAPLEN_MAX */
	size_t ring_bytes;		/* all packet rings together; a power of two */
	enum ring_second second;	/* see struct live_opts */
	const char *cgroup;		/* NULL = find the cgroup-v2 root */
};

struct probe_set;

/* Make the shared maps. E_PERMISSION, E_UNSUPPORTED: err says what is missing and what to do. */
int probe_set_open(const struct probe_settings *settings, struct probe_set **ret_set, struct err *err);
void probe_set_close(struct probe_set *set);	/* detaches everything; takes NULL */

/* Load and attach one; the set keeps it. A census runs before this returns. */
int probe_set_add(struct probe_set *set, const struct probe_ops *ops, struct err *err);
/*
 * How often the kernel passed over a program of this probe, because the same one was
 * interrupted on that CPU: facts that are missing, though nothing was full. 0 when not added.
 */
uint64_t probe_set_missed(const struct probe_set *set, const struct probe_ops *ops);

/* Rings: packets first, the last one is control's. Borrowed. */
unsigned probe_set_rings(const struct probe_set *set);
struct ring *probe_set_ring(struct probe_set *set, unsigned index);

int probe_set_control(struct probe_set *set, enum ring_control slot, uint32_t value, struct err *err);
int probe_set_exclude(struct probe_set *set, uint32_t pid, struct err *err);
/* Sum over the CPUs, all counters at once. */
void probe_set_counters(struct probe_set *set, uint64_t ret_counters[RING_COUNTER_COUNT]);

/* Why BPF cannot be used here, and what to do about it; never empty. */
void probe_explain(char *text, size_t cap);

/* Every probe_NAME.c, in the order of gen/probes.def; ends with NULL. */
extern const struct probe_ops *const probe_all[];

#endif

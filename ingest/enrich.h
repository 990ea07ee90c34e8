/*
 * From what the kernel knows of a socket's owner to what a person calls it:
 * executable, container, pod, workload, node. Everything is looked up while the
 * process lives and remembered; nothing is asked again when rows are written.
 * One thread.
 */
#ifndef INGEST_ENRICH_H
#define INGEST_ENRICH_H

#include "base/err.h"
#include "ingest/source.h"
#include "schema/schema.h"

/*
 * Who is at one end of a flow: interned and counted. Immutable; a process that
 * executes another program gets a new party. Views live as long as the party.
 */
struct party {
	uint32_t pid;			/* 0 = unknown */
	uint32_t ppid;			/* 0 = unknown */
	uint32_t netns;
	uint64_t pid_start_ns;
	uint64_t cgroup;
	struct view comm, exe;		/* at NULL: unknown */
	struct view cgroup_path;
	struct view container;		/* id */
	struct view pod_uid;
	struct view workload;		/* container in short, else command */
	struct view node;
	/* enrich's own */
	struct party *next;
	uint32_t refs;
	uint64_t hash, since_ns;
	bool stale, ended;
};

struct enrich;

struct enrich_opts {
	const char *proc_dir;		/* NULL = /proc */
	const char *cgroup_dir;		/* mount of cgroup v2; NULL = found in proc_dir/self/mountinfo */
	const char *node;		/* NULL = the host name */
	size_t parties_max;		/* remembered while nobody uses them; 0 = 16,384 */
	/* A process or container is known for the first time, or ended. Texts are valid during the call. */
	void (*entity)(void *arg, const struct entity_row *row);
	void *arg;
};

int enrich_new(const struct enrich_opts *opts, struct enrich **ret_enrich, struct err *err);
void enrich_free(struct enrich *enrich);		/* no party may be held any more */
struct view enrich_node(const struct enrich *enrich);	/* name of this machine */

/* The party of an owner; the caller gives it back with party_put. NULL when the owner is unknown or memory is out. */
struct party *enrich_take(struct enrich *enrich, const struct sock_owner *owner, uint64_t time_ns);
/* The same, but only if it is known already. */
struct party *enrich_find(struct enrich *enrich, const struct sock_owner *owner);
struct party *party_take(struct party *party);		/* one more holder; takes NULL */
void party_put(struct enrich *enrich, struct party *party);	/* takes NULL */
/* A process began another program; or ended at time_ns. */
void enrich_exec(struct enrich *enrich, const struct sock_owner *owner, uint64_t time_ns);
void enrich_exit(struct enrich *enrich, const struct sock_owner *owner, uint64_t time_ns);

/*
 * The container id (64 hexadecimal digits, or an LXC name) and pod uid a cgroup path tells. Views into
 * path; the pod uid of a systemd slice has '_' for '-'. at is NULL where there is none.
 */
void enrich_cgroup_names(struct view path, struct view *ret_container, struct view *ret_pod_uid);

#endif

/* The recorder's event loop: timers and signals. The one door to libevent on this side. One thread. */
#ifndef INGEST_LOOP_H
#define INGEST_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop *loop_new(void);			/* NULL: out of memory */
void loop_free(struct loop *loop);		/* and what was registered */
/* Call fn every interval_ns, until the loop is freed. E_NO_MEMORY. */
int loop_every(struct loop *loop, uint64_t interval_ns, void (*fn)(void *arg), void *arg);
int loop_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg);
/* From now on call fn, registered by loop_every, at this interval: first when it has passed. */
void loop_pace(struct loop *loop, void (*fn)(void *arg), uint64_t interval_ns);
/* Returns when loop_stop was called: 0, or E_IO. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif

/*
 * Packs cold partitions again in the background (recompress.c), as the policy
 * says: one thread, at the lowest priority, for half of its time, and only while
 * the recorder is calm. Called by the writer's thread alone.
 */
#ifndef STORE_COLD_H
#define STORE_COLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct cold;

/* inline_: no thread, the work is done in cold_look. dir outlives it. */
int cold_new(const char *dir, bool inline_, struct cold **ret_cold, struct err *err);
/* What is being packed is given up. Takes NULL. */
void cold_free(struct cold *cold);
/* Look for cold partitions as of now_ns. The thread is made when the policy asks for one for the first time. */
void cold_look(struct cold *cold, uint64_t now_ns, uint64_t age_ns);
/* Others want the machine, or do not: between two row groups it waits until they do not. */
void cold_calm(struct cold *cold, bool calm);
/* Wait until it has nothing to do: tests. */
void cold_wait(struct cold *cold);

#endif

/*
 * The thread that seals partitions and applies retention beside the writer.
 * Called by the writer's thread alone.
 */
#ifndef STORE_SEALER_H
#define STORE_SEALER_H

#include "store/seal.h"

struct sealer;

/* inline_: no thread, the work is done in the calls. opts is copied, what it points to outlives the sealer. */
int sealer_new(const struct seal_opts *opts, bool inline_, struct sealer **ret_sealer, struct err *err);
/* Ends what runs, leaves what waits: it is still hot. Takes NULL. */
void sealer_free(struct sealer *sealer);
/* Takes hot, which has nothing pending and is in the catalog. Waits while more than limit wait. */
void sealer_put(struct sealer *sealer, struct hot *hot, size_t limit);
/* Apply the policy as of now_ns when there is time. */
void sealer_retain(struct sealer *sealer, uint64_t now_ns);
/* Wait until nothing is left to do. */
void sealer_wait(struct sealer *sealer);
/* Nothing is left to do, as of now. */
bool sealer_idle(struct sealer *sealer);
/* A partition that could not be sealed, closed and the caller's again; NULL when there is none. err says why. */
struct hot *sealer_take_failed(struct sealer *sealer, struct err *err);

#endif

/*
 * Which class of payload a flow's frames belong to, as far as its rows tell
 * when they are sealed: the rules "packets/..." of the policy. Of several
 * classes the one that is kept longest. One thread.
 */
#ifndef STORE_PAYLOAD_CLASS_H
#define STORE_PAYLOAD_CLASS_H

#include "store/policy.h"

struct payload_classes;

/* *ret_classes NULL: the policy has no such rule, all is of the default class. E_NO_MEMORY. */
int payload_classes_new(const struct store_policy *policy, struct payload_classes **ret_classes);
/* Classes of these names, numbered from 0 in that order; all frames are of one: see below. E_NO_MEMORY. */
int payload_classes_named(const char *const *names, unsigned count, struct payload_classes **ret_classes);
void payload_classes_free(struct payload_classes *classes);	/* takes NULL */
/* A row of flows or calls; those of other tables say nothing. Takes NULL. E_NO_MEMORY. */
int payload_classes_note(struct payload_classes *classes, enum table_id table, const void *row);
/* Every flow is of this class from now on. */
void payload_classes_take(struct payload_classes *classes, unsigned class_id);
/* 0: the default class; else it has a name. Takes NULL. */
unsigned payload_classes_of(const struct payload_classes *classes, uint64_t flow_id);
const char *payload_classes_name(const struct payload_classes *classes, unsigned class_id);	/* "" of 0, unless it was named */

#endif

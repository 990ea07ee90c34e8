/* Pins from the inside: what the seal and retention ask of them. */
#ifndef STORE_PINS_H
#define STORE_PINS_H

#include "store/catalog.h"

bool pins_hold(const struct part_entry *entry, const struct store_pin *pins, size_t count);
/*
 * Hard links to a sealed partition's files in the directory of every pin whose
 * range it overlaps. txn: of the catalog. Links that are there already are fine.
 */
int pins_link(const char *dir, struct kv_txn *txn, const struct part_entry *entry, struct err *err);

#endif

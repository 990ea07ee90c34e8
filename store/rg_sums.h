/*
 * The sums of a stored row group, left out where what holds it has one for everything: they are random bytes, 8 a
 * chunk, and half of what a group of few rows takes when it is packed again. FORMAT.md, "Sealed file".
 */
#ifndef STORE_RG_SUMS_H
#define STORE_RG_SUMS_H

#include "base/err.h"
#include "base/view.h"

bool rg_sums_is_group(struct view value);
/* Make the sums of header and chunks 0; E_CORRUPT, and nothing has changed, when they are not what rg_sums_fill makes. */
int rg_sums_clear(uint8_t *group, size_t len);
/* And make them again. E_CORRUPT: directory or chunks lie outside; some sums may be there by then. */
int rg_sums_fill(uint8_t *group, size_t len);

#endif

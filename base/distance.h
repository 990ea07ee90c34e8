/* How far two short words are apart, for "did you mean". Pure: any thread. */
#ifndef BASE_DISTANCE_H
#define BASE_DISTANCE_H

#include "base/view.h"

#define DISTANCE_BYTES_MAX 63

/* Single-byte edits from one to the other (Levenshtein); SIZE_MAX when either is longer than DISTANCE_BYTES_MAX. */
size_t distance_edits(struct view a, struct view b);

#endif

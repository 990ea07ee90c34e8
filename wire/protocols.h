/*
 * Which protocols are dissected. A protocol that is switched off is still recognised, so that nobody else takes its
 * bytes for his own, and then left alone: the flow stays, and so do its bytes.
 */
#ifndef WIRE_PROTOCOLS_H
#define WIRE_PROTOCOLS_H

#include "base/err.h"
#include "base/view.h"
#include "base/wr.h"

/* A bit for each L7_... that is off; zeroed: all are on. */
struct protocols {
	uint64_t off[4];
};

static inline bool protocols_has(const struct protocols *set, uint8_t l7)
{
	return !(set->off[l7 >> 6] >> (l7 & 63) & 1);
}

/*
 * Names with commas between: "http,dns" are these alone, "-kafka,-quic" all but these; "all" and "none" are names too, a
 * later name overrules an earlier one. E_USAGE says the nearest names to an unknown one, or who carries one that is
 * asked for alone.
 */
int protocols_parse(struct view text, struct protocols *ret_set, struct err *err);
/* The same as text, in its shorter form: "all", "http,dns" or "-kafka". Appended. */
void protocols_text(const struct protocols *set, struct wr *out);

#endif

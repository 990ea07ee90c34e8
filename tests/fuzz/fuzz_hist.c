/* Any bytes as a stored histogram: refused without a trace, or merged; what is merged is written and read again. */
#include "store/hist.h"

#include <assert.h>

static void written(const struct hist *hist, struct wr *wr)
{
	wr_init(wr, 0);
	hist_write(hist, wr);
	assert(!wr->bad);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len)
{
	struct hist *hist = hist_new(), *again = hist_new();
	struct err err = { 0 };
	struct wr first, second;
	int rc;

	assert(hist && again);
	/* Two of them, so that buckets meet buckets. */
	(void)hist_merge_bytes(hist, view_make(at, len / 2), NULL);
	rc = hist_merge_bytes(hist, view_make(at + len / 2, len - len / 2), &err);
	assert((rc < 0) == (err.text[0] != '\0'));
	written(hist, &first);
	rc = hist_merge_bytes(again, wr_view(&first), &err);
	assert(rc == 0);
	written(again, &second);
	assert(view_eq(wr_view(&first), wr_view(&second)));
	for (unsigned i = 0; i <= 10; i++) {
		double q = hist_quantile(hist, i / 10.0);

		assert(q >= (double)hist_min(hist) && q <= (double)hist_max(hist));
	}
	wr_release(&first);
	wr_release(&second);
	hist_free(hist);
	hist_free(again);
	return 0;
}

/* A text of limited length, in the caller's memory. */
#ifndef WIRE_TXT_H
#define WIRE_TXT_H

#include "base/view.h"

struct txt {
	char *at;
	size_t len, cap;
	bool cut;	/* something did not fit */
};
void txt_put(struct txt *txt, struct view bytes);
void txt_str(struct txt *txt, const char *s);
void txt_printf(struct txt *txt, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void txt_hex(struct txt *txt, struct view bytes);	/* two digits each, in small letters */
/* UTF-8 without control characters, but for those of lines. */
bool txt_is_text(struct view bytes);
/* What is there so far. */
static inline struct view txt_view(const struct txt *txt)
{
	return view_make(txt->at, txt->len);
}

#endif

/* Bytes somebody else owns. A view never frees; it is valid as long as its owner says. */
#ifndef BASE_VIEW_H
#define BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
	const uint8_t *at;	/* may be NULL when len is 0 */
	size_t len;
};

#define VIEW_LIT(s) ((struct view){ (const uint8_t *)(s), sizeof(s) - 1 })

static inline struct view view_make(const void *at, size_t len)
{
	return (struct view){ at, len };
}

static inline struct view view_str(const char *s)
{
	return (struct view){ (const uint8_t *)s, s ? strlen(s) : 0 };
}

static inline bool view_eq(struct view a, struct view b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool view_is(struct view a, const char *s)
{
	return view_eq(a, view_str(s));
}

/* Bytes [from, from + len), cut to what is there. */
static inline struct view view_sub(struct view a, size_t from, size_t len)
{
	if (from > a.len)
		from = a.len;
	if (len > a.len - from)
		len = a.len - from;
	return (struct view){ a.at ? a.at + from : NULL, len };
}

/* memcmp order, the shorter first on a tie. */
int view_cmp(struct view a, struct view b);
/* ASCII case folded equality with a C string. */
bool view_ieq(struct view a, const char *s);
bool view_starts(struct view a, const char *prefix);
bool view_istarts(struct view a, const char *prefix);
/* Offset of needle in a, or -1. */
ptrdiff_t view_find(struct view a, struct view needle);
/* Without blanks and tabs at both ends. */
struct view view_trim(struct view a);
/* The whole view as a decimal number: 0 and *ret, or E_FORMAT, or E_RANGE beyond max. */
int view_u64(struct view a, uint64_t max, uint64_t *ret_value);

#endif

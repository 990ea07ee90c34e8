#include "base/view.h"

#include "base/err.h"

int view_cmp(struct view a, struct view b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.at, b.at, len) : 0;

	if (order)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

/* Not strncasecmp: that follows the locale, and stops at a NUL inside the view. */
static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

bool view_starts(struct view a, const char *prefix)
{
	size_t len = strlen(prefix);

	return a.len >= len && (len == 0 || memcmp(a.at, prefix, len) == 0);
}

bool view_istarts(struct view a, const char *prefix)
{
	size_t i;

	for (i = 0; prefix[i]; i++) {
		if (i == a.len || lower(a.at[i]) != lower((uint8_t)prefix[i]))
			return false;
	}
	return true;
}

bool view_ieq(struct view a, const char *s)
{
	size_t i = 0;

	/* most comparisons of a list of words end at the first letter: no strlen() before */
	while (i < a.len && s[i] && lower(a.at[i]) == lower((uint8_t)s[i]))
		i++;
	return i == a.len && !s[i];
}

ptrdiff_t view_find(struct view a, struct view needle)
{
	const uint8_t *found;

	if (needle.len == 0)
		return 0;
	if (a.len < needle.len)
		return -1;
	found = memmem(a.at, a.len, needle.at, needle.len);
	return found ? found - a.at : -1;
}

struct view view_trim(struct view a)
{
	while (a.len && (a.at[0] == ' ' || a.at[0] == '\t')) {
		a.at++;
		a.len--;
	}
	while (a.len && (a.at[a.len - 1] == ' ' || a.at[a.len - 1] == '\t'))
		a.len--;
	return a;
}

int view_u64(struct view a, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;
	bool over = false;

	if (a.len == 0)
		return E_FORMAT;
	for (size_t i = 0; i < a.len; i++) {
		if (a.at[i] < '0' || a.at[i] > '9')
			return E_FORMAT;
		over |= __builtin_mul_overflow(value, 10, &value);
		over |= __builtin_add_overflow(value, (uint64_t)(a.at[i] - '0'), &value);
	}
	if (over || value > max)
		return E_RANGE;
	*ret_value = value;
	return 0;
}

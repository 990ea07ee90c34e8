#include "base/distance.h"

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t distance_edits(struct view a, struct view b)
{
	size_t row[DISTANCE_BYTES_MAX + 1];

	if (a.len > DISTANCE_BYTES_MAX || b.len > DISTANCE_BYTES_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t above = row[j], change = corner + (a.at[i - 1] != b.at[j - 1]);

			row[j] = least(change, least(above, row[j - 1]) + 1);
			corner = above;
		}
	}
	return row[b.len];
}

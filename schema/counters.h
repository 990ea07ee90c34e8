/* The recorder's counters; counters.def names them. Any thread. */
#ifndef SCHEMA_COUNTERS_H
#define SCHEMA_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum counter_kind { COUNTER_TOTAL, COUNTER_GAUGE };

enum counter {
#define COUNTER(name, kind, text) COUNTER_##name,
#include "schema/counters.def"
#undef COUNTER
	COUNTER_COUNT
};

struct counter_info {
	const char *name;
	enum counter_kind kind;
	const char *text;
};
extern const struct counter_info counter_infos[COUNTER_COUNT];

struct counters {
	_Atomic uint64_t values[COUNTER_COUNT];
};

static inline void counter_add(struct counters *counters, enum counter counter, uint64_t n)
{
	atomic_fetch_add_explicit(&counters->values[counter], n, memory_order_relaxed);
}

/* The same, cheaper, of a counter that no other thread adds to: for what is done every frame. */
static inline void counter_bump(struct counters *counters, enum counter counter, uint64_t n)
{
	uint64_t value = atomic_load_explicit(&counters->values[counter], memory_order_relaxed);

	atomic_store_explicit(&counters->values[counter], value + n, memory_order_relaxed);
}

static inline void counter_set(struct counters *counters, enum counter counter, uint64_t value)
{
	atomic_store_explicit(&counters->values[counter], value, memory_order_relaxed);
}

static inline uint64_t counter_get(const struct counters *counters, enum counter counter)
{
	return atomic_load_explicit(&counters->values[counter], memory_order_relaxed);
}

#endif

#include "schema/counters.h"

const struct counter_info counter_infos[COUNTER_COUNT] = {
#define COUNTER(name_, kind_, text_) [COUNTER_##name_] = { #name_, COUNTER_##kind_, text_ },
#include "schema/counters.def"
#undef COUNTER
};

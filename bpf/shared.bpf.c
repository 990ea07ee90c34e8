/* Makes the maps that all probes share; holds no program. */
#include "bpf/maps.h"

char LICENSE[] SEC("license") = "GPL";

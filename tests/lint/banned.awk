# Calls that we do not use: each has a form that knows the size or tells the error.
# usage: awk -f tests/lint/banned.awk FILES

BEGIN {
	instead["strcpy"] = "memcpy with a length"
	instead["strcat"] = "wr_str"
	instead["strncpy"] = "memcpy with a length"
	instead["strncat"] = "wr_str"
	instead["sprintf"] = "snprintf or wr_printf"
	instead["vsprintf"] = "vsnprintf"
	instead["gets"] = "a reading cursor"
	instead["strtok"] = "struct view"
	instead["atoi"] = "view_u64"
	instead["atol"] = "view_u64"
	instead["atof"] = "strtod with its end checked"
	# base/mem counts what lives and can fail on demand
	instead["malloc"] = instead["calloc"] = instead["realloc"] = instead["reallocarray"] = "base/mem.h"
	instead["strdup"] = "mem_strdup"
	instead["strndup"] = instead["asprintf"] = "arena_printf"
	# a test sets the clock
	instead["clock_gettime"] = instead["gettimeofday"] = instead["time"] = "base/clock.h"
}

function allowed(name)
{
	if (FILENAME ~ /^tests\//)
		return name ~ /alloc|dup$|asprintf|time/
	if (FILENAME ~ /^bpf\//)
		return 1
	if (FILENAME == "base/mem.c")
		return name ~ /alloc$/
	if (FILENAME == "base/clock.c")
		return name == "clock_gettime"
	return 0
}

{
	line = $0
	# Good enough for our own layout: comments, strings and members are no calls.
	if (in_comment) {
		if (!sub(/^.*\*\//, "", line))
			next
		in_comment = 0
	}
	gsub(/\\./, "", line)
	gsub(/"[^"]*"/, "\"\"", line)
	gsub(/\/\*[^*]*(\*[^\/][^*]*)*\*\//, "", line)
	sub(/\/\/.*/, "", line)
	if (sub(/\/\*.*/, "", line))
		in_comment = 1
	while (match(line, /[A-Za-z_][A-Za-z0-9_]*\(/)) {
		name = substr(line, RSTART, RLENGTH - 1)
		before = RSTART > 1 ? substr(line, RSTART - 1, 1) : ""
		if (name in instead && before != "." && before != ">" && !allowed(name)) {
			printf "%s:%d: %s() is not used here: %s\n", FILENAME, FNR, name, instead[name]
			bad = 1
		}
		line = substr(line, RSTART + RLENGTH)
	}
}

END { exit bad }

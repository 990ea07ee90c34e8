# Holds the layers: who may include whom, and which single file may include a library.
# usage: awk -f tests/lint/layers.awk FILES, from the top. One line for each break, status 1 if any.

BEGIN {
	may["base"] = "base"
	may["schema"] = "base schema"
	may["wire"] = "base schema wire"
	may["store"] = "base schema store"
	may["ingest"] = "base schema wire store ingest"
	may["query"] = "base schema wire store query"
	may["tools"] = may["tests"] = "base schema wire store ingest query tools tests"
	may["bpf"] = "bpf"

	# library header (pattern) -> files that may include it (pattern)
	door("^lmdb\\.h$", "^store/kv\\.c$")
	door("^(zstd(_errors)?|zdict)\\.h$", "^base/zstd\\.c$")
	door("^(lz4[a-z]*|xxhash)\\.h$", "^store/codec\\.c$")
	door("^roaring/", "^store/bitmap\\.c$")
	door("^(event2/|evhttp\\.h$|event\\.h$)", "^(query/http(_[a-z0-9_]+)?|ingest/loop)\\.c$")
	door("^bpf/(libbpf|bpf|btf)\\.h$", "^ingest/probe(_[a-z0-9_]+)?\\.c$")
	door("\\.skel\\.h$", "^ingest/probe(_[a-z0-9_]+)?\\.c$")
	door("^jansson\\.h$", "^base/json\\.c$")
	door("^pcre2", "^query/regex\\.c$")
	door("^pcap(/|\\.h$)", "^(query/pcap_filter|ingest/source_file)\\.c$")
	door("^nghttp2/", "^wire/hpack\\.c$")
	door("^nettle/", "^wire/crypt\\.c$")
	door("^brotli/", "^wire/[a-z0-9_]+\\.c$")
	door("^zlib\\.h$", "^(wire|query)/[a-z0-9_]+\\.c$")
	door("^curl/", "^(ingest/kube|store/clickhouse|tools/client)\\.c$")
	door("^hs(/|\\.h$)", "^ingest/detect\\.c$")
}

function door(header, file)
{
	doors++
	door_header[doors] = header
	door_file[doors] = file
}

function broken(why)
{
	printf "%s:%d: %s\n", FILENAME, FNR, why
	bad = 1
}

function contains(list, word)
{
	return index(" " list " ", " " word " ") > 0
}

function check_own(header, from, to)
{
	to = header
	if (to !~ /\//) {
		# Made by the Makefile into gen/: protos.def, web_assets.inc, NAME.skel.h.
		if (to !~ /^(protos|probes)\.def$|\.inc$|\.skel\.h$/)
			broken("\"" header "\" names no folder")
		return
	}
	sub(/\/.*/, "", to)
	if (from == "bpf" && header == "schema/event.h")
		return
	if (!(from in may))
		broken(from "/ is no known folder")
	else if (!contains(may[from], to))
		broken(from "/ may not include \"" header "\"")
}

/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
	own = $0 ~ /include[ \t]*"/
	header = $0
	sub(/^[^<"]*[<"]/, "", header)
	sub(/[>"].*/, "", header)
	folder = FILENAME
	sub(/\/.*/, "", folder)
	if (own)
		check_own(header, folder)
	if (folder == "tests" || folder == "bpf")
		next
	for (i = 1; i <= doors; i++)
		if (header ~ door_header[i] && FILENAME !~ door_file[i])
			broken("<" header "> belongs to " door_file[i] " alone")
}

END { exit bad }

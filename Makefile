# Tapedeck: one Makefile, run at the top, no recursion into folders. `make help` lists the targets.
#
#   MODE=release|asan|tsan|fuzz   objects in build/MODE/, generated code in build/MODE/gen/
#   V=1                           show the commands
#   WERROR=1 (or CI=true)         warnings are errors

MODE   ?= release
B      := build/$(MODE)
GEN    := $(B)/gen
Q      := $(if $(V),,@)
say     = $(if $(V),,@printf '  %-5s %s\n' "$(1)" "$(2)")
prefix ?= /usr/local
DATA   ?= ./tape
FUZZ_SECONDS ?= 60

.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all
.PHONY: all help clean install test check check-unit check-asan check-tsan check-lint check-layers \
	check-headers check-banned check-format check-truth check-torture check-mangle fuzz-smoke fuzz-run bench bench-peers bench-flat docs \
	run need-libs FORCE
FORCE:

# ---- compiler and libraries ----------------------------------------------------------------------

ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(MODE)),clang,gcc)
endif
CLANG   ?= clang
BPFTOOL ?= $(or $(shell PATH="$$PATH:/usr/sbin:/sbin" command -v bpftool),bpftool)

PKGS := lmdb libzstd liblz4 libxxhash libevent libevent_pthreads libnghttp2 jansson libpcre2-8 \
	libbpf libcap libbrotlidec zlib libelf nettle
LIB_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIB_LDLIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
LIB_LACK   := $(shell pkg-config --exists --print-errors $(PKGS) 2>&1 | sed -n "s/^Package '\([^']*\)'.*/\1/p" | sort -u)

SAN_release :=
SAN_asan    := -fsanitize=address,undefined -fno-sanitize-recover=undefined
SAN_tsan    := -fsanitize=thread
SAN_fuzz    := -fsanitize=fuzzer-no-link,address
OPT         := $(if $(filter release,$(MODE)),-O2,-O1)
HOT_OPT     := $(if $(filter release,$(MODE)),-O3,-O1)
WERROR_FLAG := $(if $(filter true 1,$(CI) $(WERROR)),-Werror)

CPPFLAGS += -D_GNU_SOURCE -I. -I$(GEN) $(LIB_CFLAGS)
CFLAGS   += -std=gnu11 $(OPT) -g -fno-omit-frame-pointer -pthread $(SAN_$(MODE)) \
	-Wall -Wextra -Wshadow -Wformat=2 -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Werror=implicit $(WERROR_FLAG)
LDFLAGS  += -pthread $(SAN_$(MODE))
LDLIBS   += $(LIB_LDLIBS) -lroaring -lm

# ---- what there is -------------------------------------------------------------------------------

LIB_SRC  := $(foreach dir,base schema wire store ingest query,$(wildcard $(dir)/*.c))
TOOL_SRC := $(wildcard tools/*.c)
# Criterion cannot run under ThreadSanitizer: there a small runner of ours takes its place.
UNIT_SRC := $(wildcard tests/unit/*.c) $(if $(filter tsan,$(MODE)),tests/check_plain.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
BPF_SRC  := $(wildcard bpf/*.bpf.c)
WEB_SRC  := $(shell find query/web -type f ! -name '.*' ! -name '*.md' 2>/dev/null | LC_ALL=C sort)

LIB_OBJ  := $(LIB_SRC:%.c=$(B)/%.o)
TOOL_OBJ := $(TOOL_SRC:%.c=$(B)/%.o)
UNIT_OBJ := $(UNIT_SRC:%.c=$(B)/%.o)
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(B)/%)
SKELS    := $(BPF_SRC:bpf/%.bpf.c=$(GEN)/%.skel.h)
GENERATED := $(GEN)/protos.def $(GEN)/probes.def $(GEN)/web_assets.inc

LIB := $(B)/libtapedeck.a
BIN := $(if $(TOOL_SRC),$(B)/tapedeck)

all: $(LIB) $(if $(BIN),build/tapedeck)

# The binary people call is always the release one.
build/tapedeck: build/release/tapedeck
	$(Q)ln -sfn release/tapedeck $@

$(B)/tapedeck: $(TOOL_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(TOOL_OBJ) $(LIB) $(LDLIBS)

$(LIB): $(LIB_OBJ) $(GEN)/objects.list
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcsP $@ $(LIB_OBJ)

$(B)/%.o: %.c | $(GENERATED) need-libs
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Bytes are decoded and columns scanned here.
$(B)/wire/%.o $(B)/store/%.o: OPT := $(HOT_OPT)
# The skeletons carry the kernel side; after the first build the .d files know who includes which.
$(filter $(B)/ingest/%,$(LIB_OBJ)): | $(SKELS)

need-libs:
ifneq ($(LIB_LACK),)
	@echo "missing libraries: $(LIB_LACK); run deploy/deps.sh build" >&2; exit 1
endif
	@command -v pkg-config $(CC) >/dev/null || { echo "missing pkg-config or $(CC); run deploy/deps.sh build" >&2; exit 1; }

-include $(LIB_OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(UNIT_OBJ:.o=.d) $(FUZZ_BIN:%=%.d) $(wildcard $(B)/tests/bench/*.d $(B)/tests/bench/*/*.d) $(SKELS:.skel.h=.bpf.d)

# ---- generated code ------------------------------------------------------------------------------

# Lists are made every time, but written only when changed: a file that comes or goes rebuilds its
# registry, and nothing else does.
define write_list
	$(Q)mkdir -p $(@D)
	$(Q)printf '%s\n' $(1) | sed '/^$$/d' >$@.new
	$(Q)if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
endef

$(GEN)/protos.def: FORCE
	$(call write_list,$(patsubst wire/proto_%.c,'PROTO(%)',$(wildcard wire/proto_*.c)))
$(GEN)/probes.def: FORCE
	$(call write_list,$(patsubst ingest/probe_%.c,'PROBE(%)',$(wildcard ingest/probe_*.c)))
$(GEN)/objects.list: FORCE
	$(call write_list,$(LIB_OBJ))
$(GEN)/web.list: FORCE
	$(call write_list,$(WEB_SRC))

# { "path", "content type", bytes, length }, for query/ to include in a table.
$(GEN)/web_assets.inc: $(WEB_SRC) $(GEN)/web.list
	$(call say,GEN,$@)
	$(Q)for file in $(WEB_SRC); do \
		case $$file in \
		*.html) type='text/html; charset=utf-8' ;; *.css) type='text/css; charset=utf-8' ;; \
		*.js) type='text/javascript; charset=utf-8' ;; *.json | *.map) type=application/json ;; \
		*.svg) type=image/svg+xml ;; *.png) type=image/png ;; *.ico) type=image/x-icon ;; \
		*.woff2) type=font/woff2 ;; *.txt) type='text/plain; charset=utf-8' ;; \
		*) type=application/octet-stream ;; esac; \
		printf '{ "%s", "%s", (const unsigned char *)""\n' "$${file#query/web/}" "$$type"; \
		od -An -v -tx1 "$$file" | sed 's/ /\\x/g; s/.*/"&"/'; \
		printf ', %s },\n' "$$(wc -c <"$$file")"; \
	done >$@

BPF_ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(shell uname -m)))
BPF_INC  := $(if $(BPF_SRC),$(addprefix -idirafter /usr/include/,$(shell gcc -print-multiarch 2>/dev/null)))
need_tool = $(Q)command -v $(1) >/dev/null || { echo "missing $(1), which builds bpf/; run deploy/deps.sh build" >&2; exit 1; }

$(GEN)/%.bpf.o: bpf/%.bpf.c | $(GENERATED)
	$(call need_tool,$(CLANG))
	$(call say,BPF,$<)
	$(Q)$(CLANG) -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) -Wall $(WERROR_FLAG) -I. $(BPF_INC) \
		-MMD -MP -c -o $@ $<
$(GEN)/%.skel.h: $(GEN)/%.bpf.o
	$(call need_tool,$(BPFTOOL))
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf >$@

# ---- tests: DEPS=0 skips the look at the installed packages --------------------------------------

# The packages come first, and pkg-config is read when make starts: hence a second make of this file.
test check:
	$(Q)$(if $(filter 0,$(DEPS)),true,deploy/deps.sh test)
	$(Q)$(MAKE) --no-print-directory check-unit SCENARIO=1

check-unit: $(B)/unit $(if $(SCENARIO),$(B)/live_dump) $(BIN) $(if $(BIN),build/$(if $(filter release,$(MODE)),tapedeck))
	$(Q)SCENARIO=$(SCENARIO) tests/run-tests.sh $(B)

# What the live scenarios look through; the binary shows only stored rows.
$(B)/live_dump: $(B)/tests/live_dump.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

# Every capture mangled at random for so many seconds, in any MODE: make check-mangle MODE=asan MANGLE_SECONDS=600
check-mangle: $(B)/unit
	$(Q)CAPTURES='$(or $(CAPTURES),../shared/captures)' MANGLE_SECONDS='$(or $(MANGLE_SECONDS),120)' \
		ASAN_OPTIONS=leak_check_at_exit=0 $(B)/unit --filter 'mangle/*' --color=never

check-asan check-tsan: check-%:
	$(Q)$(MAKE) --no-print-directory MODE=$* check-unit

$(B)/unit: $(UNIT_OBJ) $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(UNIT_OBJ) $(LIB) $(LDLIBS) $(if $(filter tsan,$(MODE)),,-lcriterion)

check-truth check-torture: check-%: all
	$(Q)if [ -x tests/$*/run.sh ]; then TAPEDECK=$(CURDIR)/build/tapedeck tests/$*/run.sh; \
	else echo "tests/$*/run.sh is not there yet"; fi

fuzz-smoke:
	$(Q)$(MAKE) --no-print-directory MODE=fuzz fuzz-run
fuzz-run: $(FUZZ_BIN)
	$(Q)tests/run-fuzz.sh $(FUZZ_SECONDS) $(FUZZ_BIN)
$(FUZZ_BIN): $(B)/fuzz_%: tests/fuzz/fuzz_%.c $(LIB)
	$(call say,FUZZ,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer,address -MMD -MP -MF $@.d -o $@ $< $(LIB) $(LDLIBS)

# ---- lint ----------------------------------------------------------------------------------------

C_FILES := $(foreach dir,base schema wire store ingest query tools tests/unit tests/fuzz tests bpf,\
	$(wildcard $(dir)/*.c $(dir)/*.h))

check-lint: check-layers check-headers check-banned $(if $(FORMAT),check-format)
check-layers:
	$(Q)awk -f tests/lint/layers.awk $(C_FILES)
check-banned:
	$(Q)awk -f tests/lint/banned.awk $(C_FILES)
check-headers: $(GENERATED) $(SKELS) | need-libs
	$(Q)CC='$(CC)' tests/lint/headers.sh $(CPPFLAGS) $(CFLAGS)
check-format:
	$(Q)clang-format --dry-run --Werror $(C_FILES)

# ---- using it ------------------------------------------------------------------------------------

run:
	$(Q)deploy/deps.sh run
	$(Q)$(MAKE) --no-print-directory all
	$(Q)exec build/tapedeck run --data $(DATA) $(if $(CAPTURE),--capture $(CAPTURE))

BENCHES := bench_dissect bench_recorder bench_rows bench_scan
-include $(BENCHES:%=$(B)/tests/bench/%.d)
$(addprefix $(B)/,$(BENCHES)): $(B)/%: $(B)/tests/bench/%.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

bench: all $(B)/bench_dissect $(B)/bench_rows
	$(Q)deploy/deps.sh bench
	$(Q)TAPEDECK=$(CURDIR)/build/tapedeck CAPTURE='$(CAPTURE)' tests/bench/run.sh

# Questions against DuckDB and ClickHouse on the same rows: SCALE=1 is 50 M flows and 20 M calls.
bench-peers: all $(B)/bench_gen
	$(Q)deploy/deps.sh bench
	$(Q)TAPEDECK=$(CURDIR)/build/tapedeck GEN=$(CURDIR)/$(B)/bench_gen tests/bench/peers/run.sh
# Ten GB of store: the better part of an hour. SIZES="100 1000" makes it shorter.
bench-flat: all
	$(Q)deploy/deps.sh bench
	$(Q)TAPEDECK=$(CURDIR)/build/tapedeck CAPTURE='$(CAPTURE)' tests/bench/flat.sh
$(B)/bench_gen: $(B)/tests/bench/peers/gen.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

docs: all
	$(Q)if [ -x build/tapedeck ]; then build/tapedeck docs docs/; fi

install: all
	install -D -m 755 build/release/tapedeck $(DESTDIR)$(prefix)/bin/tapedeck
	install -D -m 644 LICENSE $(DESTDIR)$(prefix)/share/doc/tapedeck/LICENSE
	for page in $(wildcard docs/man/*.[1-8]); do install -D -m 644 $$page \
		$(DESTDIR)$(prefix)/share/man/man$${page##*.}/$${page##*/} || exit 1; done
	install -D -m 644 docs/completion/tapedeck.bash $(DESTDIR)$(prefix)/share/bash-completion/completions/tapedeck
	install -D -m 644 docs/completion/_tapedeck $(DESTDIR)$(prefix)/share/zsh/vendor-completions/_tapedeck
	install -D -m 644 docs/completion/tapedeck.fish $(DESTDIR)$(prefix)/share/fish/vendor_completions.d/tapedeck.fish

clean:
	rm -rf build

help:
	@printf '%s\n' \
	'make               the binary build/tapedeck' \
	'make run           record and serve (CAPTURE=file.pcap to import first, DATA=folder)' \
	'make test          all tests, packages included (same as make check)' \
	'make check-asan    unit tests with address and undefined-behaviour checks (SCENARIO=1: all)' \
	'make check-tsan    unit tests with data-race checks (SCENARIO=1: all)' \
	'make check-lint    layers, headers alone, banned calls (FORMAT=1: layout too)' \
	'make check-truth   against independent tools   make check-torture  failing memory and disk' \
	'make check-mangle  captures with packets lost, swapped, doubled, cut (MANGLE_SECONDS=120)' \
	'make fuzz-smoke    every fuzz target, FUZZ_SECONDS=60 in all' \
	'make bench         the benchmarks (CAPTURE=file.pcap); bench-peers: questions against other stores (SCALE=0.1);' \
	'                   bench-flat: cost at 0.1, 1 and 10 GB of store (SIZES)' \
	'make docs          write docs/ from the tables' \
	'make install       DESTDIR= prefix=/usr/local' \
	'make clean         MODE=release|asan|tsan|fuzz  V=1  WERROR=1'

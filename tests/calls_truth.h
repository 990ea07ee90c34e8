/*
 * Calls of real captures against the messages tshark saw in them. A protocol's test
 * turns tshark's lines and our calls into keys ("GET user:1"); what is compared is
 * how often each key occurs in a file.
 */
#ifndef TESTS_CALLS_TRUTH_H
#define TESTS_CALLS_TRUTH_H

#include <stdlib.h>

#include "tests/wire_kit.h"

#define TRUTH_KEYS_MAX	32768
#define TRUTH_KEY_LEN	200
#define TRUTH_LINE_MAX	(1 << 16)

/* One line "protocol frame time stream+direction key=value...". */
struct truth_line {
	const char *where;	/* "tcp:3>" */
	uint64_t frame;
	bool from_a;		/* from the sender of the stream's first packet */
	char *fields;		/* "key=value", tab-separated */
};

/* The value of a field, copied; false when the line has none. */
static inline bool truth_field(const struct truth_line *line, const char *key, char *value, size_t cap)
{
	size_t len = strlen(key);

	for (const char *at = line->fields; at && *at; at = strchr(at, '\t') ? strchr(at, '\t') + 1 : NULL) {
		if (strncmp(at, key, len) == 0 && at[len] == '=') {
			size_t n = strcspn(at + len + 1, "\t\n");

			n = n < cap - 1 ? n : cap - 1;
			memcpy(value, at + len + 1, n);
			value[n] = 0;
			return true;
		}
	}
	return false;
}

struct truth_keys {
	char (*at)[TRUTH_KEY_LEN];
	unsigned count;
	bool more;	/* set by expect(): a line does not name all it stands for */
};

static inline void truth_key(struct truth_keys *keys, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void truth_key(struct truth_keys *keys, const char *fmt, ...)
{
	va_list args;

	cr_assert(keys->count < TRUTH_KEYS_MAX, "more than %d keys", TRUTH_KEYS_MAX);
	va_start(args, fmt);
	(void)vsnprintf(keys->at[keys->count++], TRUTH_KEY_LEN, fmt, args);
	va_end(args);
}

struct truth_test {
	const char *folder;
	const char *proto;	/* tshark's name */
	uint8_t l7;
	void (*expect)(const struct truth_line *line, struct truth_keys *keys);
	void (*got)(const struct kit_call *call, struct truth_keys *keys);
};

struct truth_score {
	unsigned expected, found, extra, files;
	bool more;		/* tshark's list of the file is not whole */
};

static inline int truth_key_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

static inline void truth_compare(const char *file, struct truth_keys *want, struct truth_keys *got,
				 struct truth_score *score)
{
	const char *show = getenv("TRUTH_SHOW");
	unsigned i = 0, k = 0;

	qsort(want->at, want->count, TRUTH_KEY_LEN, truth_key_cmp);
	qsort(got->at, got->count, TRUTH_KEY_LEN, truth_key_cmp);
	while (i < want->count || k < got->count) {
		int cmp = i == want->count ? 1 : k == got->count ? -1 : strcmp(want->at[i], got->at[k]);

		if (cmp && show && (cmp < 0 || !score->more))
			printf("  %s: %s %s\n", file, cmp < 0 ? "not found:" : "extra:", cmp < 0 ? want->at[i] : got->at[k]);
		score->expected += cmp <= 0;
		score->found += cmp == 0;
		score->extra += cmp > 0 && !score->more;
		i += cmp <= 0;
		k += cmp >= 0;
	}
}

/* One file; adds to score. False: no such capture. */
static inline bool truth_run(const struct truth_test *test, const char *file, struct truth_score *score)
{
	const char *captures = getenv("CAPTURES") ? getenv("CAPTURES") : "../shared/captures";
	struct truth_keys want = { .count = 0 }, got = { .count = 0 };
	struct truth_score one = { .files = 1 };
	char path[512], *text, *field[5], *save;
	struct kit kit;
	FILE *in;

	(void)snprintf(path, sizeof(path), "%s/truth/%s/%s.tsv", captures, test->folder, file);
	in = fopen(path, "r");
	if (!in)
		return false;
	text = mem_alloc(TRUTH_LINE_MAX);
	want.at = mem_array(TRUTH_KEYS_MAX, TRUTH_KEY_LEN);
	got.at = mem_array(TRUTH_KEYS_MAX, TRUTH_KEY_LEN);
	CHECK(text && want.at && got.at);
	while (fgets(text, TRUTH_LINE_MAX, in)) {
		struct truth_line line = { .where = "" };
		unsigned n = 0;

		save = text;
		while (n < 4 && (field[n] = strsep(&save, "\t")))
			n++;
		if (n >= 2 && strcmp(field[0], "more") == 0 && strcmp(field[1], test->proto) == 0)
			one.more = true;
		if (n < 4 || strcmp(field[0], test->proto) != 0)
			continue;
		line.where = field[3];
		line.frame = strtoull(field[1], NULL, 10);
		line.from_a = strchr(field[3], '>') != NULL;
		line.fields = save ? save : field[3] + strlen(field[3]);
		test->expect(&line, &want);
	}
	(void)fclose(in);
	one.more |= want.more;
	kit_init_scaled(&kit, NULL, 4);
	(void)snprintf(path, sizeof(path), "%s/%s/%s", captures, test->folder, file);
	CHECK(kit_run_file(&kit, path), "%s", path);
	for (unsigned i = 0; i < kit.count; i++)
		if (kit.call[i].row.l7 == test->l7)
			test->got(&kit.call[i], &got);
	truth_compare(file, &want, &got, &one);
	printf("%-12s %-44s expected %5u found %5u extra %4u%s\n", test->folder, file, one.expected, one.found, one.extra,
	       one.more ? " (list cut)" : "");
	score->expected += one.expected;
	score->found += one.found;
	score->extra += one.extra;
	score->files++;
	kit_release(&kit);
	mem_free(text);
	mem_free(want.at);
	mem_free(got.at);
	return true;
}

/* All the files named, NULL-terminated; prints the sum. Skips the test when none is there. */
static inline struct truth_score truth_run_all(const struct truth_test *test, const char *const *files)
{
	struct truth_score score = { .files = 0 };

	for (; *files; files++)
		(void)truth_run(test, *files, &score);
	if (!score.files)
		SKIP("no captures: set CAPTURES");
	printf("%-12s %-44s expected %5u found %5u extra %4u\n", test->folder, "all", score.expected, score.found,
	       score.extra);
	return score;
}

/* Calls of a flow of hand-made bytes: '>' from the client, '<' from the server, 'F' 'f' FINs, 'X' 'x' lost. */
struct talk_step {
	char what;
	const char *bytes;
	size_t len;		/* 0: a C string */
};
#define TALK(what, s) { what, s, sizeof(s) - 1 }

static inline void talk_run(struct kit *kit, uint16_t port, const struct talk_step *step, unsigned max)
{
	kit_flow(kit, PROTO_tcp, 40000, port);
	kit_handshake(kit);
	for (unsigned i = 0; i < max && step[i].what; i++) {
		struct view bytes = view_make(step[i].bytes, step[i].len ? step[i].len :
					      step[i].bytes ? strlen(step[i].bytes) : 0);

		switch (step[i].what) {
		case '>':
		case '<':
			kit_sendv(kit, step[i].what == '<', bytes);
			break;
		case 'X':
		case 'x':
			kit->sent[step[i].what == 'x'] += bytes.len;
			break;
		case 'F':
		case 'f':
			kit_fin(kit, step[i].what == 'f');
			break;
		default:
			CHECK(false, "step '%c'", step[i].what);
		}
	}
	kit_end(kit, CALL_END_closed);
}

static inline void talk_whole(uint16_t port, const struct talk_step *step, unsigned max, struct wr *out)
{
	struct kit kit;

	kit_init(&kit, NULL);
	talk_run(&kit, port, step, max);
	(void)kit_lines(&kit, out);
	kit_release(&kit);
}

/* The calls that a dialogue (name, step[STEPS_MAX], calls) tells. */
#define TALK_WHOLE(d, port)											\
	do {													\
		struct wr talk_out;										\
														\
		wr_init(&talk_out, 0);										\
		talk_whole(port, (d)->step, STEPS_MAX, &talk_out);						\
		CHECK(strcmp((const char *)talk_out.at, (d)->calls) == 0, "%s:\n%s\nnot\n%s", (d)->name,	\
		      (const char *)talk_out.at, (d)->calls);							\
		wr_release(&talk_out);										\
	} while (0)

/*
 * The same bytes again, each step cut at each byte and one byte at a time: the calls must not change.
 * Losses and FINs stay what they are.
 */
static inline void talk_cut(uint16_t port, const struct talk_step *step, unsigned max, const char *want)
{
	size_t longest = 0;

	for (unsigned i = 0; i < max && step[i].what; i++) {
		size_t len = step[i].len ? step[i].len : step[i].bytes ? strlen(step[i].bytes) : 0;

		longest = len > longest ? len : longest;
	}
	for (size_t cut = 0; cut < longest && cut < 600; cut++) {	/* 0: one byte at a time */
		struct kit kit;

		kit_init(&kit, NULL);
		kit_flow(&kit, PROTO_tcp, 40000, port);
		kit_handshake(&kit);
		for (unsigned i = 0; i < max && step[i].what; i++) {
			struct view bytes = view_make(step[i].bytes, step[i].len ? step[i].len :
						      step[i].bytes ? strlen(step[i].bytes) : 0);
			unsigned d = step[i].what == '<' || step[i].what == 'x' || step[i].what == 'f';

			if (step[i].what == 'X' || step[i].what == 'x') {
				kit.sent[d] += bytes.len;
			} else if (step[i].what == 'F' || step[i].what == 'f') {
				kit_fin(&kit, d);
			} else if (cut) {
				kit_sendv(&kit, d, view_sub(bytes, 0, cut));
				if (bytes.len > cut)
					kit_sendv(&kit, d, view_sub(bytes, cut, bytes.len));
			} else {
				for (size_t k = 0; k < bytes.len; k++)
					kit_sendv(&kit, d, view_sub(bytes, k, 1));
			}
		}
		kit_end(&kit, CALL_END_closed);
		struct wr out;

		wr_init(&out, 0);
		CHECK(strcmp(kit_lines(&kit, &out), want) == 0, "cut at %zu:\n%s\nnot\n%s", cut, (const char *)out.at, want);
		wr_release(&out);
		kit_release(&kit);
	}
}

#endif

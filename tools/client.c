/* The HTTP client behind --server: the one door to libcurl. */
#define CURL_DISABLE_TYPECHECK	/* its macros would call by the library's own names */
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>

#include "base/mem.h"
#include "tools/tools.h"

/*
 * Opened when it is asked for: with the thirty libraries behind it, it would take more than half of the time in
 * which every other command starts.
 */
#define CURL_SONAME "libcurl.so.4"
#define CURL_CALLS(CALL)	\
	CALL(global_init)	\
	CALL(easy_init)		\
	CALL(easy_setopt)	\
	CALL(easy_perform)	\
	CALL(easy_getinfo)	\
	CALL(easy_escape)	\
	CALL(easy_strerror)	\
	CALL(easy_cleanup)	\
	CALL(slist_append)	\
	CALL(slist_free_all)	\
	CALL(free)

static struct {
#define CALL(name) typeof(curl_##name) *name;
	CURL_CALLS(CALL)
#undef CALL
} curl;

static int curl_open(struct err *err)
{
	void *lib = dlopen(CURL_SONAME, RTLD_NOW);

	if (!lib)
		return err_set(err, E_UNSUPPORTED, "--server needs libcurl: %s", dlerror());
#define CALL(name)									\
	curl.name = (typeof(curl.name))dlsym(lib, "curl_" #name);			\
	if (!curl.name)									\
		return err_set(err, E_UNSUPPORTED, "--server needs another libcurl: %s", dlerror());
	CURL_CALLS(CALL)
#undef CALL
	return 0;
}

struct transfer {
	int (*write)(void *arg, struct view bytes);
	void *arg;
	CURL *easy;
	struct wr error;	/* the body of an error answer */
	bool stopped;
	uint64_t rows;		/* X-Rows; UINT64_MAX: not said */
	char complete[16];	/* X-Complete; empty: not said */
};

/* What the end of an answer says in its headers, see api_end_headers(). */
static size_t on_header(char *at, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;
	struct view line = view_make(at, size * count), name, value;
	ptrdiff_t colon;

	while (line.len && (line.at[line.len - 1] == '\n' || line.at[line.len - 1] == '\r'))
		line.len--;
	colon = view_find(line, VIEW_LIT(":"));

	if (colon < 0)
		return size * count;
	name = view_sub(line, 0, (size_t)colon);
	value = view_trim(view_sub(line, (size_t)colon + 1, line.len));
	if (view_ieq(name, "X-Rows"))
		(void)view_u64(value, UINT64_MAX, &transfer->rows);
	else if (view_ieq(name, "X-Complete"))
		(void)snprintf(transfer->complete, sizeof(transfer->complete), "%.*s", (int)value.len,
			       (const char *)value.at);
	return size * count;
}

/* As tool_query_end(), from what the server said. */
static int end_code(const struct tool *tool, const struct transfer *transfer)
{
	const char *complete = transfer->complete;

	if (tool->set.fail_empty && transfer->rows == 0)
		return EXIT_EMPTY;
	if (!tool->set.strict || strcmp(complete, "yes") == 0 || strcmp(complete, "truncated") == 0)
		return EXIT_DONE;
	fprintf(stderr, "note: the answer is not complete: %s\n",
		*complete ? complete : "it was too long for the server to say");
	return EXIT_PARTIAL;
}

static size_t on_body(char *at, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;
	long status = 0;

	curl.easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 400) {
		wr_bytes(&transfer->error, view_make(at, size * count));
		return size * count;
	}
	if (transfer->write(transfer->arg, view_make(at, size * count)) < 0) {
		transfer->stopped = true;
		return 0;
	}
	return size * count;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	(void)arg;
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return atomic_load(&tool_interrupted);
}

static int add_url(struct tool *tool, CURL *easy, struct wr *url, const char *path,
		   const struct client_param *list, size_t count)
{
	struct view base = view_str(tool->set.server);
	bool first = true;

	while (base.len && base.at[base.len - 1] == '/')
		base.len--;
	wr_bytes(url, base);
	wr_str(url, path);
	for (size_t i = 0; i < count; i++) {
		char *value;

		if (!list[i].value || !*list[i].value)
			continue;
		value = curl.easy_escape(easy, list[i].value, 0);
		if (!value)
			return err_set(&tool->err, E_NO_MEMORY, "out of memory");
		wr_printf(url, "%c%s=%s", first ? '?' : '&', list[i].name, value);
		curl.free(value);
		first = false;
	}
	wr_u8(url, 0);
	return url->bad ? err_set(&tool->err, E_NO_MEMORY, "out of memory") : 0;
}

static int add_token(struct tool *tool, struct curl_slist **headers)
{
	char line[4200] = "Authorization: Bearer ";
	size_t at = strlen(line);
	FILE *file;

	if (!*tool->set.token_file)
		return 0;
	file = fopen(tool->set.token_file, "re");
	if (!file || !fgets(line + at, (int)(sizeof(line) - at), file)) {
		if (file)
			fclose(file);
		return err_errno(&tool->err, errno ? errno : EIO, "token file %s", tool->set.token_file);
	}
	fclose(file);
	line[strcspn(line, "\r\n")] = '\0';
	*headers = curl.slist_append(*headers, line);
	return 0;
}

/* The server's error by its name, so that the exit code is the same as without a server. */
static int code_of(struct view name, long status)
{
#define ERROR(name_, ...)			\
	if (view_is(name, #name_))		\
		return name_;
#include "base/errors.def"
#undef ERROR
	return status < 500 ? E_USAGE : E_IO;
}

static void explain_status(struct tool *tool, long status, struct view body)
{
	struct json_doc *doc = NULL;

	if (json_parse(body, &doc, NULL) >= 0) {
		const struct json_val *error = json_get(json_root(doc), "error");
		struct view words = json_get_str(json_get(json_root(doc), "message"), VIEW_LIT(""));
		struct view code = json_get_str(json_get(error, "code"), VIEW_LIT(""));

		(void)err_set(&tool->err, code_of(code, status), "%.*s (HTTP %ld)", (int)words.len,
			      (const char *)words.at, status);
		tool->err.position = (size_t)json_get_i64(json_get(error, "position"), 0);
		json_doc_free(doc);
	} else {
		(void)err_set(&tool->err, E_IO, "%s answers HTTP %ld", tool->set.server, status);
	}
}

int client_get(struct tool *tool, const char *path, const struct client_param *list, size_t count,
	       int (*write)(void *arg, struct view bytes), void *arg)
{
	struct transfer transfer = { .write = write, .arg = arg, .rows = UINT64_MAX };
	struct curl_slist *headers = NULL;
	char words[CURL_ERROR_SIZE] = "";
	struct wr url;
	CURLcode result;
	long status = 0;
	int code = EXIT_FAILED;

	if (curl_open(&tool->err) < 0)
		return tool_fail(tool);
	wr_init(&url, 0);
	wr_init(&transfer.error, 1 << 20);
	curl.global_init(CURL_GLOBAL_DEFAULT);
	transfer.easy = curl.easy_init();
	if (!transfer.easy || add_url(tool, transfer.easy, &url, path, list, count) < 0 ||
	    add_token(tool, &headers) < 0) {
		code = tool_fail(tool);
		goto out;
	}
	curl.easy_setopt(transfer.easy, CURLOPT_URL, (const char *)url.at);
	curl.easy_setopt(transfer.easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl.easy_setopt(transfer.easy, CURLOPT_HTTPHEADER, headers);
	curl.easy_setopt(transfer.easy, CURLOPT_NOPROXY, "*");
	curl.easy_setopt(transfer.easy, CURLOPT_WRITEFUNCTION, on_body);
	curl.easy_setopt(transfer.easy, CURLOPT_WRITEDATA, &transfer);
	curl.easy_setopt(transfer.easy, CURLOPT_HEADERFUNCTION, on_header);
	curl.easy_setopt(transfer.easy, CURLOPT_HEADERDATA, &transfer);
	curl.easy_setopt(transfer.easy, CURLOPT_NOPROGRESS, 0L);
	curl.easy_setopt(transfer.easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl.easy_setopt(transfer.easy, CURLOPT_ERRORBUFFER, words);
	curl.easy_setopt(transfer.easy, CURLOPT_CONNECTTIMEOUT, 10L);
	curl.easy_setopt(transfer.easy, CURLOPT_NOSIGNAL, 1L);
	tool_catch_signals();
	result = curl.easy_perform(transfer.easy);
	curl.easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
	if (atomic_load(&tool_interrupted)) {
		code = EXIT_INTERRUPTED;
	} else if (result != CURLE_OK && !transfer.stopped) {
		(void)err_set(&tool->err, E_IO, "%s: %s", tool->set.server, *words ? words : curl.easy_strerror(result));
		code = tool_fail(tool);
	} else if (status >= 400) {
		explain_status(tool, status, wr_view(&transfer.error));
		code = tool_fail(tool);
		if (tool->err.code == E_FORMAT)	/* of a parameter */
			code = EXIT_USAGE;
	} else if (transfer.stopped) {	/* the other end of our pipe went away, or a disk is full */
		code = tool->err.code && tool->err.code != E_CANCELLED ? tool_fail(tool) : EXIT_DONE;
	} else {
		code = end_code(tool, &transfer);
	}
out:
	curl.slist_free_all(headers);
	if (transfer.easy)
		curl.easy_cleanup(transfer.easy);
	wr_release(&transfer.error);
	wr_release(&url);
	return code;
}

/* From root with an open socket to nobody with a read-only view of the store. */
#include "query/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crew.h"
#include "base/log.h"
#include "base/mem.h"
#include "query/api.h"

#define TOKEN_BYTES_MIN 8
#define TOKEN_BYTES_MAX 4096
#define STREAMS_MAX	4
#define QUEUE_MAX	64

/* ---- the token ---- */

static int read_token(const char *path, struct arena *arena, struct view *ret_token,
		      struct err *err)
{
	char text[TOKEN_BYTES_MAX + 2];
	FILE *file = fopen(path, "re");
	struct view token;
	size_t len;

	if (!file)
		return err_errno(err, errno, "token file %s", path);
	len = fread(text, 1, sizeof(text), file);
	fclose(file);
	token = view_make(text, len);
	while (token.len && (token.at[token.len - 1] == '\n' || token.at[token.len - 1] == '\r'))
		token.len--;
	token = view_trim(token);
	if (token.len < TOKEN_BYTES_MIN || token.len > TOKEN_BYTES_MAX)
		return err_set(err, E_USAGE,
			       "token file %s: a token has %d to %d characters, not %zu", path,
			       TOKEN_BYTES_MIN, TOKEN_BYTES_MAX, token.len);
	*ret_token = arena_copy(arena, token);
	explicit_bzero(text, sizeof(text));
	return ret_token->at ? 0 : err_set(err, E_NO_MEMORY, "out of memory");
}

/* ---- privileges ---- */

static int become(const char *wanted, struct err *err)
{
	struct passwd *user = wanted && *wanted ? getpwnam(wanted) : getpwnam("tapedeck");

	if (!user && wanted && *wanted)
		return err_set(err, E_USAGE, "there is no user \"%s\"", wanted);
	if (!user)
		user = getpwnam("nobody");
	if (!user)
		return err_set(err, E_USAGE,
			       "there is neither a user tapedeck nor nobody: name one");
	/* The groups first: afterwards it is not allowed any more. */
	if (initgroups(user->pw_name, user->pw_gid) < 0 ||
	    setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		return err_errno(err, errno, "become user %s", user->pw_name);
	log_info("privileges dropped user=%s uid=%u gid=%u", user->pw_name, (unsigned)user->pw_uid,
		 (unsigned)user->pw_gid);
	return 0;
}

/* No capability in any set, and no program started from here can get one back. */
static int drop_capabilities(struct err *err)
{
	cap_t none = cap_init();
	int rc = 0;

	if (!none || cap_set_proc(none) < 0)
		rc = err_errno(err, errno, "drop capabilities");
	cap_free(none);
	if (rc >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		rc = err_errno(err, errno, "no_new_privs");
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return rc;
}

static int drop_privileges(const char *user, struct err *err)
{
	int rc = 0;

	if (geteuid() == 0) {
		/* The bounding set has to be cut while CAP_SETPCAP is still there. */
		for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
		rc = become(user, err);
	}
	if (rc >= 0)
		rc = drop_capabilities(err);
	return rc;
}

/* ---- start ---- */

static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void say_ready(const struct serve *serve)
{
	const char *address = http_server_address(serve->http);

	if (serve->opts.on_ready) {
		serve->opts.on_ready(address, serve->opts.on_ready_arg);
		return;
	}
	printf("listening on %s\n", address);
	fflush(stdout);
}

static int make_server(struct serve *serve, struct arena *arena, struct err *err)
{
	struct http_opts http = {
		.listen = serve->opts.listen && *serve->opts.listen ? serve->opts.listen
								    : "127.0.0.1:9800",
		.routes = api_routes,
		.routes_count = api_routes_count,
		.ctx = serve,
		.cors = serve->opts.cors,
		.threads = { serve->opts.workers ? serve->opts.workers : 2, STREAMS_MAX, 1 },
		/* A stream behind another would wait for its client's pleasure: better refused at once. */
		.queues = { QUEUE_MAX, 0, QUEUE_MAX },
	};
	int rc = 0;

	if (serve->opts.token_file && *serve->opts.token_file)
		rc = read_token(serve->opts.token_file, arena, &http.token, err);
	if (rc >= 0)
		rc = http_server_new(&http, &serve->http, err);
	if (rc >= 0 && !http_server_is_local(serve->http) && !http.token.len)
		log_warn(
			"anybody who can reach this address can read recorded traffic: use --token-file address=%s",
			http_server_address(serve->http));
	return rc;
}

static void try_store(struct serve *serve)
{
	struct err err = { 0 };
	struct store *store;

	if (serve_store(serve, &store, &err) < 0)
		log_warn("store not open yet, every request tries again error=\"%s\"", err.text);
}

int serve_run(const struct serve_opts *opts, struct err *err)
{
	struct serve serve = { .opts = *opts,
			       .version = opts->version ? opts->version : "dev",
			       .start_ns = clock_now_ns(),
			       .routes = api_routes,
			       .routes_count = api_routes_count };
	struct arena arena;
	int rc;

	if (!serve.opts.budget.time_ns)
		serve.opts.budget.time_ns = 30 * NS_PER_SEC;
	arena_init(&arena, 1 << 20);
	lock_init(&serve.lock);
	raise_descriptors();
	rc = make_server(&serve, &arena, err);
	if (rc < 0)
		goto out;
	/*
	 * From inside the directory its parents need not be open to the user we
	 * become: a store below /root can be served once the directory itself lets us in.
	 */
	if (chdir(opts->data) < 0) {
		rc = err_errno(err, errno, "data directory %s", opts->data);
		goto out;
	}
	rc = drop_privileges(opts->user, err);
	if (rc < 0)
		goto out;
	serve.crew = crew_new((opts->threads ? opts->threads : crew_cores()) - 1);
	if (!serve.crew) {
		rc = err_set(err, E_NO_MEMORY, "out of memory");
		goto out;
	}
	try_store(&serve);
	say_ready(&serve);
	log_info("serving address=%s data=%s", http_server_address(serve.http), opts->data);
	rc = http_server_run(serve.http, true, err);
out:
	http_server_free(serve.http);
	crew_free(serve.crew);
	store_close(serve.store);
	lock_release(&serve.lock);
	arena_release(&arena);
	return rc;
}

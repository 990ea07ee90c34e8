/*
 * `tapedeck serve`: answer questions about a store over HTTP, with no
 * privilege. Binds the socket, goes into the data directory, gives up root and
 * every capability, and only then opens the store.
 */
#ifndef QUERY_SERVE_H
#define QUERY_SERVE_H

#include "query/query.h"

struct serve_opts {	  /* texts are borrowed and may be NULL: the default */
	const char *data; /* data directory */
	const char *
		listen; /* ADDR:PORT, [ADDR]:PORT; NULL = 127.0.0.1:9800. Port 0 takes a free one */
	unsigned workers;	    /* query threads; 0 = 2 */
	unsigned threads;	    /* that share one aggregation; 0 = one a core */
	struct query_budget budget; /* of one query; a request can ask for less, not for more */
	const char *cors; /* origins whose pages may ask, comma-separated, or *; none by default */
	const char *token_file; /* holds the token every request must carry */
	const char *user;	/* to run as when started by root; NULL = tapedeck, else nobody */
	const char *version;	/* of the program, for people; NULL = "dev" */
	/* Called once requests are answered: "http://127.0.0.1:9800". NULL: "listening on ADDRESS" goes to stdout. */
	void (*on_ready)(const char *address, void *arg);
	void *on_ready_arg;
};

/*
 * Runs until SIGTERM or SIGINT (0), or until it cannot (<0). A store that
 * cannot be opened yet is no error: /readyz says so and every request tries again.
 */
int serve_run(const struct serve_opts *opts, struct err *err);

#endif

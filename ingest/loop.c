#include "ingest/loop.h"

#include <event2/event.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#define WATCHES_MAX 16

struct watch {
	struct event *event;
	void (*tick)(void *arg);
	void (*signal)(void *arg, int signo);
	void *arg;
};

struct loop {
	struct event_base *base;
	struct watch watches[WATCHES_MAX];
	unsigned watches_count;
};

struct loop *loop_new(void)
{
	struct loop *loop = mem_zalloc(sizeof(*loop));
	struct event_config *config = event_config_new();

	if (!loop || !config)
		goto fail;
	/* Timers of a few milliseconds: the coarse clock would double them. */
	(void)event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NOLOCK);
	loop->base = event_base_new_with_config(config);
	if (!loop->base)
		goto fail;
	event_config_free(config);
	return loop;
fail:
	if (config)
		event_config_free(config);
	mem_free(loop);
	return NULL;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	for (unsigned i = 0; i < loop->watches_count; i++)
		event_free(loop->watches[i].event);
	event_base_free(loop->base);
	mem_free(loop);
}

static void fired(evutil_socket_t fd, short what, void *arg)
{
	struct watch *watch = arg;

	(void)what;
	if (watch->signal)
		watch->signal(watch->arg, (int)fd);
	else
		watch->tick(watch->arg);
}

static int add(struct loop *loop, int fd, short what, const struct timeval *interval, struct watch watch)
{
	struct watch *at = &loop->watches[loop->watches_count];

	if (loop->watches_count == WATCHES_MAX)
		return E_LIMIT;
	*at = watch;
	at->event = event_new(loop->base, fd, what, fired, at);
	if (!at->event)
		return E_NO_MEMORY;
	loop->watches_count++;
	return event_add(at->event, interval) == 0 ? 0 : E_NO_MEMORY;
}

static struct timeval timeval_of(uint64_t ns)
{
	return (struct timeval){ .tv_sec = (time_t)(ns / NS_PER_SEC),
				 .tv_usec = (suseconds_t)(ns % NS_PER_SEC / NS_PER_US) };
}

int loop_every(struct loop *loop, uint64_t interval_ns, void (*fn)(void *arg), void *arg)
{
	struct timeval interval = timeval_of(interval_ns);

	return add(loop, -1, EV_PERSIST, &interval, (struct watch){ .tick = fn, .arg = arg });
}

void loop_pace(struct loop *loop, void (*fn)(void *arg), uint64_t interval_ns)
{
	struct timeval interval = timeval_of(interval_ns);

	for (unsigned i = 0; i < loop->watches_count; i++)
		if (loop->watches[i].tick == fn)
			(void)event_add(loop->watches[i].event, &interval);
}

int loop_signal(struct loop *loop, int signo, void (*fn)(void *arg, int signo), void *arg)
{
	return add(loop, signo, EV_SIGNAL | EV_PERSIST, NULL, (struct watch){ .signal = fn, .arg = arg });
}

int loop_run(struct loop *loop)
{
	return event_base_dispatch(loop->base) < 0 ? E_IO : 0;
}

void loop_stop(struct loop *loop)
{
	(void)event_base_loopbreak(loop->base);
}

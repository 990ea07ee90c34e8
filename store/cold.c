#include "store/cold.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"

#define REST_NS_MAX (2 * NS_PER_SEC)

struct cold {
	const char *dir;
	bool inline_;
	bool running;			/* the thread was made */
	pthread_t thread;
	struct lock lock;
	struct cond cond;		/* something of the below changed */
	uint64_t now_ns, age_ns;	/* guarded by lock; now_ns 0: nothing asked */
	bool calm, busy, stop;		/* guarded by lock */
	uint64_t since_ns;		/* of the thread that packs: when its last rest was over */
};

/* As long a rest as the work was long, and longer while others are busy. */
static int rest(void *arg)
{
	struct cold *cold = arg;
	uint64_t worked_ns = clock_mono_ns() - cold->since_ns, until_ns;
	int rc;

	lock_take(&cold->lock);
	until_ns = clock_mono_ns() + (worked_ns < REST_NS_MAX ? worked_ns : REST_NS_MAX);
	while (!cold->stop && !cold->inline_) {
		uint64_t now_ns = clock_mono_ns();

		if (cold->calm && now_ns >= until_ns)
			break;
		(void)cond_wait(&cold->cond, &cold->lock, cold->calm ? until_ns - now_ns : 0);
	}
	rc = cold->stop ? E_CANCELLED : 0;
	lock_drop(&cold->lock);
	cold->since_ns = clock_mono_ns();
	return rc;
}

static void pack(struct cold *cold, uint64_t now_ns, uint64_t age_ns)
{
	const struct store_recompress_opts opts = { .now_ns = now_ns, .age_ns = age_ns, .step = rest, .arg = cold };
	struct store_repacked total = { 0 };
	struct err err = { 0 };
	int rc;

	cold->since_ns = clock_mono_ns();
	rc = store_recompress(cold->dir, &opts, &total, &err);
	if (rc < 0 && rc != E_CANCELLED)
		log_warn("cold partitions not packed again error=\"%s\"", err.text);
	if (total.parts)
		log_info("cold partitions packed again parts=%llu before_bytes=%llu after_bytes=%llu",
			 (unsigned long long)total.parts, (unsigned long long)total.bytes_before,
			 (unsigned long long)total.bytes_after);
}

static void *cold_run(void *arg)
{
	struct cold *cold = arg;

	(void)pthread_setname_np(pthread_self(), "tapedeck-cold");
	lock_take(&cold->lock);
	while (!cold->stop) {
		uint64_t now_ns = cold->now_ns, age_ns = cold->age_ns;

		if (!now_ns) {
			(void)cond_wait(&cold->cond, &cold->lock, 0);
			continue;
		}
		cold->now_ns = 0;
		cold->busy = true;
		lock_drop(&cold->lock);
		pack(cold, now_ns, age_ns);
		lock_take(&cold->lock);
		cold->busy = false;
		cond_wake_all(&cold->cond);
	}
	lock_drop(&cold->lock);
	return NULL;
}

int cold_new(const char *dir, bool inline_, struct cold **ret_cold, struct err *err)
{
	struct cold *cold = mem_zalloc(sizeof(*cold));

	if (!cold)
		return err_set(err, E_NO_MEMORY, "out of memory");
	cold->dir = dir;
	cold->inline_ = inline_;
	cold->calm = true;
	lock_init(&cold->lock);
	cond_init(&cold->cond);
	*ret_cold = cold;
	return 0;
}

void cold_free(struct cold *cold)
{
	if (!cold)
		return;
	lock_take(&cold->lock);
	cold->stop = true;
	cond_wake_all(&cold->cond);
	lock_drop(&cold->lock);
	if (cold->running)
		(void)pthread_join(cold->thread, NULL);
	cond_release(&cold->cond);
	lock_release(&cold->lock);
	mem_free(cold);
}

void cold_look(struct cold *cold, uint64_t now_ns, uint64_t age_ns)
{
	if (!age_ns)
		return;
	if (cold->inline_) {
		pack(cold, now_ns, age_ns);
		return;
	}
	if (!cold->running)
		cold->running = pthread_create(&cold->thread, NULL, cold_run, cold) == 0;
	if (!cold->running)
		log_warn("no thread to pack cold partitions in");
	lock_take(&cold->lock);
	if (!cold->busy) {
		cold->now_ns = now_ns;
		cold->age_ns = age_ns;
		cond_wake_all(&cold->cond);
	}
	lock_drop(&cold->lock);
}

void cold_calm(struct cold *cold, bool calm)
{
	lock_take(&cold->lock);
	if (cold->calm != calm) {
		cold->calm = calm;
		cond_wake_all(&cold->cond);
	}
	lock_drop(&cold->lock);
}

void cold_wait(struct cold *cold)
{
	lock_take(&cold->lock);
	while (cold->running && (cold->now_ns || cold->busy))
		(void)cond_wait(&cold->cond, &cold->lock, 0);
	lock_drop(&cold->lock);
}

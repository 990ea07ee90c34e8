#include "base/queue.h"

#include <assert.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"

struct queue {
	struct lock lock;
	struct cond not_empty;
	struct cond not_full;
	void **items;		/* ring; all below guarded by lock */
	size_t limit;
	size_t head;		/* the oldest */
	size_t len;
	unsigned getters;	/* waiting: without one, a wake-up is a wasted system call */
	unsigned putters;
	bool closed;
};

struct queue *queue_new(size_t limit)
{
	struct queue *queue;

	assert(limit > 0);
	queue = mem_zalloc(sizeof(*queue));
	if (!queue)
		return NULL;
	queue->items = mem_array(limit, sizeof(*queue->items));
	if (!queue->items) {
		mem_free(queue);
		return NULL;
	}
	queue->limit = limit;
	lock_init(&queue->lock);
	cond_init(&queue->not_empty);
	cond_init(&queue->not_full);
	return queue;
}

void queue_free(struct queue *queue)
{
	if (!queue)
		return;
	cond_release(&queue->not_full);
	cond_release(&queue->not_empty);
	lock_release(&queue->lock);
	mem_free(queue->items);
	mem_free(queue);
}

static void put_locked(struct queue *queue, void *item)
{
	lock_assert_held(&queue->lock);
	queue->items[(queue->head + queue->len) % queue->limit] = item;
	queue->len++;
	if (queue->getters)
		cond_wake_one(&queue->not_empty);
}

bool queue_try_put(struct queue *queue, void *item)
{
	bool fits;

	assert(item);
	lock_take(&queue->lock);
	fits = !queue->closed && queue->len < queue->limit;
	if (fits)
		put_locked(queue, item);
	lock_drop(&queue->lock);
	return fits;
}

bool queue_put_front(struct queue *queue, void *item)
{
	bool fits;

	assert(item);
	lock_take(&queue->lock);
	fits = !queue->closed && queue->len < queue->limit;
	if (fits) {
		queue->head = (queue->head + queue->limit - 1) % queue->limit;
		queue->items[queue->head] = item;
		queue->len++;
		if (queue->getters)
			cond_wake_one(&queue->not_empty);
	}
	lock_drop(&queue->lock);
	return fits;
}

bool queue_put(struct queue *queue, void *item)
{
	bool open;

	assert(item);
	lock_take(&queue->lock);
	while (!queue->closed && queue->len == queue->limit) {
		queue->putters++;
		(void)cond_wait(&queue->not_full, &queue->lock, 0);
		queue->putters--;
	}
	open = !queue->closed;
	if (open)
		put_locked(queue, item);
	lock_drop(&queue->lock);
	return open;
}

/* Until there is an item, the queue is closed, or the time is over. */
static void wait_item_locked(struct queue *queue, uint64_t timeout_ns)
{
	uint64_t until_ns = 0;

	lock_assert_held(&queue->lock);
	if (queue->len || queue->closed || timeout_ns == 0)
		return;
	if (__builtin_add_overflow(clock_mono_ns(), timeout_ns, &until_ns))
		until_ns = UINT64_MAX;
	while (!queue->len && !queue->closed) {
		uint64_t now_ns = until_ns == UINT64_MAX ? 0 : clock_mono_ns();

		if (now_ns >= until_ns)
			return;
		queue->getters++;
		(void)cond_wait(&queue->not_empty, &queue->lock,
				until_ns == UINT64_MAX ? 0 : until_ns - now_ns);
		queue->getters--;
	}
}

void *queue_get(struct queue *queue, uint64_t timeout_ns)
{
	void *item = NULL;

	lock_take(&queue->lock);
	wait_item_locked(queue, timeout_ns);
	if (queue->len) {
		item = queue->items[queue->head];
		queue->head = (queue->head + 1) % queue->limit;
		queue->len--;
		if (queue->putters)
			cond_wake_one(&queue->not_full);
	}
	lock_drop(&queue->lock);
	return item;
}

void queue_close(struct queue *queue)
{
	lock_take(&queue->lock);
	queue->closed = true;
	cond_wake_all(&queue->not_empty);
	cond_wake_all(&queue->not_full);
	lock_drop(&queue->lock);
}

bool queue_closed(struct queue *queue)
{
	bool closed;

	lock_take(&queue->lock);
	closed = queue->closed;
	lock_drop(&queue->lock);
	return closed;
}

size_t queue_len(struct queue *queue)
{
	size_t len;

	lock_take(&queue->lock);
	len = queue->len;
	lock_drop(&queue->lock);
	return len;
}

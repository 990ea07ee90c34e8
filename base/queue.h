/*
 * A bounded queue of pointers between threads. Any number of threads on both
 * ends; items come out in the order they went in, but for those put in front.
 */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue;

struct queue *queue_new(size_t limit);		/* NULL when memory is out */
void queue_free(struct queue *queue);		/* takes NULL; items left are the caller's concern */
/* False when full (try) or closed (both). */
bool queue_try_put(struct queue *queue, void *item);
bool queue_put(struct queue *queue, void *item);	/* waits while full */
/* As queue_try_put, but next to come out: of things to be used again, the one whose memory is still near. */
bool queue_put_front(struct queue *queue, void *item);
/* NULL on timeout, or when closed and empty. timeout_ns 0 does not wait, UINT64_MAX waits for ever. */
void *queue_get(struct queue *queue, uint64_t timeout_ns);
void queue_close(struct queue *queue);		/* wakes everybody; what is inside still comes out */
bool queue_closed(struct queue *queue);
size_t queue_len(struct queue *queue);

#endif

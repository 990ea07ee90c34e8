#include "ingest/owners.h"

#include "base/hash.h"
#include "base/mem.h"

#define NONE UINT32_MAX

struct slot {
	struct owned_sock sock;
	uint32_t cookie_next, tuple_next;	/* chains */
	uint32_t prev, next;			/* of the list by age: open or closed */
	bool used;
};

struct list {
	uint32_t first, last;	/* first: longest unheard of */
};

struct owners {
	struct enrich *enrich;
	struct slot *slots;
	size_t slots_count, slots_cap, slots_max;
	uint32_t free_first;
	uint32_t *by_cookie, *by_tuple;
	uint32_t mask;
	struct list open, closed;
	size_t count;
};

struct owners *owners_new(struct enrich *enrich, size_t socks_max)
{
	struct owners *owners = mem_zalloc(sizeof(*owners));
	size_t buckets = 1024;

	if (!owners)
		return NULL;
	owners->enrich = enrich;
	owners->slots_max = socks_max ? socks_max : 131072;
	while (buckets < owners->slots_max)
		buckets *= 2;
	owners->mask = (uint32_t)buckets - 1;
	owners->by_cookie = mem_array(buckets, sizeof(uint32_t));
	owners->by_tuple = mem_array(buckets, sizeof(uint32_t));
	owners->free_first = NONE;
	owners->open = owners->closed = (struct list){ NONE, NONE };
	if (!owners->by_cookie || !owners->by_tuple) {
		owners_free(owners);
		return NULL;
	}
	memset(owners->by_cookie, 0xff, buckets * sizeof(uint32_t));
	memset(owners->by_tuple, 0xff, buckets * sizeof(uint32_t));
	return owners;
}

void owners_free(struct owners *owners)
{
	if (!owners)
		return;
	for (size_t i = 0; i < owners->slots_count; i++)
		if (owners->slots[i].used)
			party_put(owners->enrich, owners->slots[i].sock.party);
	mem_free(owners->slots);
	mem_free(owners->by_cookie);
	mem_free(owners->by_tuple);
	mem_free(owners);
}

/* Without the namespace: it may be unknown on one side. */
static uint32_t tuple_hash(const struct sock_tuple *tuple)
{
	uint64_t h = hash_bytes(tuple->local.b, 16, tuple->lport);

	return (uint32_t)hash_bytes(tuple->remote.b, 16, h ^ (uint64_t)tuple->rport << 16 ^ tuple->proto);
}

static bool tuple_fits(const struct sock_tuple *a, const struct sock_tuple *b)
{
	return a->lport == b->lport && a->rport == b->rport && a->proto == b->proto &&
	       ip_eq(&a->local, &b->local) && ip_eq(&a->remote, &b->remote) &&
	       (a->netns == b->netns || !a->netns || !b->netns);
}

static uint32_t *chain_of_cookie(const struct owners *owners, uint64_t cookie)
{
	return &owners->by_cookie[(uint32_t)hash_u64(cookie) & owners->mask];
}

static uint32_t *chain_of_tuple(const struct owners *owners, const struct sock_tuple *tuple)
{
	return &owners->by_tuple[tuple_hash(tuple) & owners->mask];
}

/* ---- the two lists by age ---- */

static void list_put(struct owners *owners, struct list *list, uint32_t index)
{
	struct slot *slot = &owners->slots[index];

	slot->prev = list->last;
	slot->next = NONE;
	if (list->last != NONE)
		owners->slots[list->last].next = index;
	else
		list->first = index;
	list->last = index;
}

static void list_cut(struct owners *owners, struct list *list, uint32_t index)
{
	struct slot *slot = &owners->slots[index];

	if (slot->prev != NONE)
		owners->slots[slot->prev].next = slot->next;
	else
		list->first = slot->next;
	if (slot->next != NONE)
		owners->slots[slot->next].prev = slot->prev;
	else
		list->last = slot->prev;
}

static struct list *list_of(struct owners *owners, const struct slot *slot)
{
	return slot->sock.closed ? &owners->closed : &owners->open;
}

static void cut_tuple(struct owners *owners, uint32_t index)
{
	struct slot *slot = &owners->slots[index];
	uint32_t *at;

	if (!slot->sock.has_tuple)
		return;
	for (at = chain_of_tuple(owners, &slot->sock.tuple); *at != index; at = &owners->slots[*at].tuple_next)
		;
	*at = slot->tuple_next;
	slot->sock.has_tuple = false;
}

static void forget(struct owners *owners, uint32_t index)
{
	struct slot *slot = &owners->slots[index];
	uint32_t *at;

	for (at = chain_of_cookie(owners, slot->sock.cookie); *at != index; at = &owners->slots[*at].cookie_next)
		;
	*at = slot->cookie_next;
	cut_tuple(owners, index);
	list_cut(owners, list_of(owners, slot), index);
	party_put(owners->enrich, slot->sock.party);
	memset(slot, 0, sizeof(*slot));
	slot->next = owners->free_first;
	owners->free_first = index;
	owners->count--;
}

static uint32_t new_slot(struct owners *owners)
{
	uint32_t index;

	if (owners->free_first == NONE && owners->slots_count >= owners->slots_max)
		forget(owners, owners->closed.first != NONE ? owners->closed.first : owners->open.first);
	if (owners->free_first != NONE) {
		index = owners->free_first;
		owners->free_first = owners->slots[index].next;
		return index;
	}
	if (mem_grow((void **)&owners->slots, &owners->slots_cap, owners->slots_count,
		     sizeof(*owners->slots)) < 0)
		return NONE;
	index = (uint32_t)owners->slots_count++;
	memset(&owners->slots[index], 0, sizeof(owners->slots[index]));
	return index;
}

static uint32_t find_cookie(const struct owners *owners, uint64_t cookie)
{
	uint32_t index = *chain_of_cookie(owners, cookie);

	while (index != NONE && owners->slots[index].sock.cookie != cookie)
		index = owners->slots[index].cookie_next;
	return index;
}

const struct owned_sock *owners_open(struct owners *owners, const struct sock_event *event)
{
	uint32_t index = find_cookie(owners, event->cookie);
	struct party *party;
	struct slot *slot;

	if (index == NONE) {
		uint32_t *at;

		index = new_slot(owners);
		if (index == NONE)
			return NULL;
		slot = &owners->slots[index];
		slot->used = true;
		slot->sock.cookie = event->cookie;
		at = chain_of_cookie(owners, event->cookie);
		slot->cookie_next = *at;
		*at = index;
		owners->count++;
	} else {
		slot = &owners->slots[index];
		list_cut(owners, list_of(owners, slot), index);
		slot->sock.closed = false;
	}
	list_put(owners, &owners->open, index);
	if (event->kind == SOCK_OPEN) {
		slot->sock.accepted = event->accepted;
		slot->sock.existing = event->existing;
	}
	if (event->has_tuple) {
		uint32_t *at;

		cut_tuple(owners, index);
		slot->sock.tuple = (struct sock_tuple){ event->local, event->remote, event->lport, event->rport,
							event->proto, event->owner.netns };
		slot->sock.has_tuple = true;
		at = chain_of_tuple(owners, &slot->sock.tuple);
		slot->tuple_next = *at;
		*at = index;
	}
	party = enrich_take(owners->enrich, &event->owner, event->time_ns);
	if (party) {
		party_put(owners->enrich, slot->sock.party);
		slot->sock.party = party;
	}
	return &slot->sock;
}

void owners_closed(struct owners *owners, uint64_t cookie)
{
	uint32_t index = find_cookie(owners, cookie);
	struct slot *slot;

	if (index == NONE)
		return;
	slot = &owners->slots[index];
	list_cut(owners, list_of(owners, slot), index);
	slot->sock.closed = true;
	list_put(owners, &owners->closed, index);
}

const struct owned_sock *owners_by_cookie(const struct owners *owners, uint64_t cookie)
{
	uint32_t index = cookie ? find_cookie(owners, cookie) : NONE;

	return index == NONE ? NULL : &owners->slots[index].sock;
}

const struct owned_sock *owners_by_tuple(const struct owners *owners, const struct sock_tuple *tuple)
{
	const struct owned_sock *closed = NULL;

	for (uint32_t index = *chain_of_tuple(owners, tuple); index != NONE;
	     index = owners->slots[index].tuple_next) {
		const struct owned_sock *sock = &owners->slots[index].sock;

		if (!tuple_fits(&sock->tuple, tuple))
			continue;
		if (!sock->closed)
			return sock;
		if (!closed)	/* the latest: new ones go in front */
			closed = sock;
	}
	return closed;
}

size_t owners_count(const struct owners *owners)
{
	return owners->count;
}

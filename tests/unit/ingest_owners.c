#include "ingest/owners.h"

#include "tests/ingest_kit.h"

static struct enrich *make_enrich(void)
{
	struct enrich_opts opts = { .proc_dir = "/nonexistent", .cgroup_dir = "/nonexistent", .node = "n" };
	struct enrich *enrich = NULL;
	struct err err = { 0 };

	CHECK_OK(enrich_new(&opts, &enrich, &err), err);
	return enrich;
}

static struct sock_event event_of(uint64_t cookie, uint16_t lport, uint32_t pid)
{
	struct sock_event event = { .time_ns = KIT_T0, .kind = SOCK_OPEN, .cookie = cookie, .proto = 6,
				    .has_tuple = true, .lport = lport, .rport = 80 };

	event.local.b[15] = 1;
	event.remote.b[15] = 2;
	event.owner = (struct sock_owner){ .pid = pid, .pid_start_ns = 1, .netns = 5, .comm = "app" };
	return event;
}

static struct sock_tuple tuple_of(const struct sock_event *event)
{
	return (struct sock_tuple){ event->local, event->remote, event->lport, event->rport, event->proto,
				    event->owner.netns };
}

TEST(owners, finds_by_cookie_and_by_tuple)
{
	struct enrich *enrich = make_enrich();
	struct owners *owners = owners_new(enrich, 0);
	struct sock_event event = event_of(1, 1000, 42);
	struct sock_tuple tuple = tuple_of(&event);

	CHECK(owners_open(owners, &event));
	CHECK_U64(owners_by_cookie(owners, 1)->party->pid, 42);
	CHECK_NULL(owners_by_cookie(owners, 2));
	CHECK_NULL(owners_by_cookie(owners, 0));
	CHECK_U64(owners_by_tuple(owners, &tuple)->party->pid, 42);
	tuple.netns = 6;
	CHECK_NULL(owners_by_tuple(owners, &tuple));
	tuple.netns = 0;	/* unknown fits any */
	CHECK(owners_by_tuple(owners, &tuple));
	tuple.lport++;
	CHECK_NULL(owners_by_tuple(owners, &tuple));
	/* another owner, another address: a socket that was passed on and connected again */
	event.kind = SOCK_OWNER;
	event.owner.pid = 43;
	event.lport++;
	CHECK(owners_open(owners, &event));
	CHECK_U64(owners_by_tuple(owners, &tuple)->party->pid, 43);
	CHECK_U64(owners_count(owners), 1);
	owners_free(owners);
	enrich_free(enrich);
}

TEST(owners, prefers_the_open_socket_on_used_ports)
{
	struct enrich *enrich = make_enrich();
	struct owners *owners = owners_new(enrich, 0);
	struct sock_event event = event_of(1, 1000, 42);
	struct sock_tuple tuple = tuple_of(&event);

	CHECK(owners_open(owners, &event));
	owners_closed(owners, 1);
	CHECK_U64(owners_by_tuple(owners, &tuple)->party->pid, 42);	/* late packets */
	event = event_of(2, 1000, 50);
	CHECK(owners_open(owners, &event));
	CHECK_U64(owners_by_tuple(owners, &tuple)->party->pid, 50);
	owners_closed(owners, 99);	/* never heard of */
	owners_free(owners);
	enrich_free(enrich);
}

TEST(owners, forgets_closed_sockets_first_when_full)
{
	struct enrich *enrich = make_enrich();
	struct owners *owners = owners_new(enrich, 100);

	for (uint64_t cookie = 1; cookie <= 10000; cookie++) {
		struct sock_event event = event_of(cookie, (uint16_t)cookie, (uint32_t)cookie);

		CHECK(owners_open(owners, &event));
		if (cookie > 50)
			owners_closed(owners, cookie);
	}
	CHECK_U64(owners_count(owners), 100);
	for (uint64_t cookie = 1; cookie <= 50; cookie++)
		CHECK(owners_by_cookie(owners, cookie), "open socket %" PRIu64 " is gone", cookie);
	CHECK_NULL(owners_by_cookie(owners, 60));
	CHECK(owners_by_cookie(owners, 10000));
	owners_free(owners);
	enrich_free(enrich);
}

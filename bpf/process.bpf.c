/* Processes that begin to be another program, and processes that end. */
#include "bpf/sock.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline void tell(struct task_struct *task, __u8 kind)
{
	struct ring_sock *event = event_new(kind, bpf_ktime_get_ns());

	if (!event)
		return;
	owner_of_task(&event->owner, task);
	event->owner.netns = netns_of_task(task);
	if (kind == RING_PROC_EXIT) {
		__s32 group_code = BPF_CORE_READ(task, signal, group_exit_code);

		event->value = (__u32)(group_code ? group_code : BPF_CORE_READ(task, exit_code));
	}
	event_submit(event);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task)
{
	tell(task, RING_PROC_EXEC);
	return 0;
}

/* Runs for each thread; the last one to go ends the process. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	__u32 pid;

	if (BPF_CORE_READ(task, signal, live.counter) != 0)
		return 0;
	tell(task, RING_PROC_EXIT);
	/* The next process of this number is another one. */
	pid = task->tgid;
	(void)bpf_map_delete_elem(&excluded, &pid);
	return 0;
}

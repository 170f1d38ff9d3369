//! What makes the events happen, group by group, and which events nothing here makes happen.

use std::fs;

use tests::{cgroup, needs};

/// Events that are made to happen at once.
pub struct Group {
    /// `CATEGORY:NAME`.
    pub events: &'static [&'static str],
    /// Whose events are looked at.
    pub recorded: Recorded,
    /// Shell lines, one command; `peer` is in PATH, `$SCOPE` is the workload's cgroup, `$DISK` a folder on a disk.
    pub workload: &'static str,
    /// What the machine must have.
    pub needs: Option<Need>,
}

/// Whose events are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Everybody's: the scope is the machine.
    Machine,
    /// The workload's: the scope is its cgroup, and what its threads do is recorded.
    Workload,
    /// The workload's, by the scope; what the whole machine does is recorded, as its events happen in interrupts, too.
    Scope,
}

/// What a group needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A file system on a disk.
    Disk,
    /// The controller of memory in the tree of cgroups of version 2.
    Memory,
}

impl Group {
    /// Why the machine cannot have these events.
    pub fn unmet(&self) -> Option<String> {
        match self.needs? {
            Need::Disk => needs::Need::Disk.unmet(),
            Need::Memory => {
                let controllers =
                    cgroup::root().map(|root| fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default());
                let has = controllers.is_ok_and(|controllers| controllers.split_whitespace().any(|c| c == "memory"));
                (!has).then(|| "needs the controller of memory in cgroups of version 2".to_owned())
            }
        }
    }
}

/// All groups.
pub const GROUPS: &[Group] = &[
    Group {
        events: &[
            "sched:sched_switch",
            "sched:sched_wakeup",
            "sched:sched_waking",
            "sched:sched_wakeup_new",
            "sched:sched_migrate_task",
            "sched:sched_stat_runtime",
            "sched:sched_process_fork",
            "sched:sched_process_exec",
            "sched:sched_process_exit",
            "sched:sched_process_free",
            "sched:sched_process_wait",
            "task:task_newtask",
            "task:task_rename",
            "oom:oom_score_adj_update",
            "signal:signal_generate",
            "signal:signal_deliver",
            "workqueue:workqueue_queue_work",
        ],
        recorded: Recorded::Scope,
        workload: "\
            peer name=other fork=3 thread nap=3 && peer signal=3 nap=10 yield=10 && echo 77 > /proc/self/oom_score_adj && \
            sh -c 'trap : USR1; kill -USR1 $$' && (sh -c 'kill -KILL $$'; true) && (sh -c 'echo a; echo b' | cat)",
        needs: None,
    },
    Group {
        events: &[
            "timer:hrtimer_start",
            "timer:hrtimer_cancel",
            "timer:hrtimer_expire_entry",
            "timer:hrtimer_expire_exit",
            "timer:timer_start",
            "timer:timer_expire_entry",
            "timer:timer_expire_exit",
            "timer:tick_stop",
            "irq:softirq_entry",
            "irq:softirq_exit",
            "irq:softirq_raise",
            "irq:irq_handler_entry",
            "irq:irq_handler_exit",
            "workqueue:workqueue_activate_work",
            "workqueue:workqueue_execute_start",
            "workqueue:workqueue_execute_end",
            "power:cpu_idle",
        ],
        recorded: Recorded::Machine,
        workload: "\
            peer nap=200 && echo > /dev/kmsg && \
            dd if=/dev/zero of=${DISK:-/tmp}/ctrace-interrupt count=1 conv=fsync && rm ${DISK:-/tmp}/ctrace-interrupt",
        needs: None,
    },
    Group {
        events: &["net:net_dev_xmit", "net:netif_rx", "net:netif_receive_skb", "napi:napi_poll"],
        recorded: Recorded::Machine,
        workload: "peer echo=3 undelivered=3",
        needs: None,
    },
    Group {
        events: &[
            "timer:hrtimer_init",
            "timer:hrtimer_setup",
            "timer:timer_init",
            "timer:timer_cancel",
            "exceptions:page_fault_user",
            "exceptions:page_fault_kernel",
            "kmem:mm_page_alloc",
            "kmem:mm_page_free",
            "tlb:tlb_flush",
            "percpu:percpu_alloc_percpu",
        ],
        recorded: Recorded::Workload,
        workload: "peer touch=50 fork=2 nap=3 echo=1 && peer connect=1 cgroup=below getppid=1",
        needs: None,
    },
    Group {
        events: &["kmem:kmalloc", "kmem:kfree", "kmem:kmem_cache_alloc", "kmem:kmem_cache_free"],
        recorded: Recorded::Workload,
        workload: "peer getppid=1",
        needs: None,
    },
    Group {
        events: &[
            "sock:inet_sock_set_state",
            "sock:inet_sk_error_report",
            "sock:sock_send_length",
            "sock:sock_recv_length",
            "tcp:tcp_retransmit_skb",
            "tcp:tcp_send_reset",
            "tcp:tcp_receive_reset",
            "tcp:tcp_destroy_sock",
            "tcp:tcp_rcv_space_adjust",
            "tcp:tcp_probe",
            "skb:kfree_skb",
            "skb:consume_skb",
            "skb:skb_copy_datagram_iovec",
            "net:net_dev_queue",
            "net:net_dev_start_xmit",
        ],
        recorded: Recorded::Scope,
        workload: "peer echo=3 refused=3 unread=3 undelivered=3 unanswered=1 connect=1 pair=3",
        needs: None,
    },
    Group {
        events: &[
            "block:block_bio_queue",
            "block:block_bio_complete",
            "block:block_getrq",
            "block:block_plug",
            "block:block_unplug",
            "block:block_rq_issue",
            "block:block_rq_complete",
            "block:block_io_start",
            "block:block_io_done",
        ],
        recorded: Recorded::Scope,
        workload: "\
            dd if=/dev/zero of=\"$DISK/ctrace-test\" bs=4096 count=64 conv=fsync 2>/dev/null && \
            dd if=\"$DISK/ctrace-test\" of=/dev/null bs=4096 iflag=direct 2>/dev/null && rm \"$DISK/ctrace-test\" && sync",
        needs: Some(Need::Disk),
    },
    Group {
        events: &[
            "filemap:mm_filemap_add_to_page_cache",
            "filemap:mm_filemap_delete_from_page_cache",
            "writeback:writeback_dirty_inode",
            "writeback:writeback_dirty_inode_start",
            "writeback:writeback_mark_inode_dirty",
        ],
        recorded: Recorded::Workload,
        workload: "\
            dd if=/dev/zero of=\"$DISK/ctrace-test\" bs=4096 count=64 2>/dev/null && chmod 600 \"$DISK/ctrace-test\" && \
            rm \"$DISK/ctrace-test\"",
        needs: Some(Need::Disk),
    },
    Group {
        events: &[
            "writeback:writeback_queue",
            "writeback:writeback_exec",
            "writeback:writeback_start",
            "writeback:writeback_written",
        ],
        recorded: Recorded::Machine,
        workload: "dd if=/dev/zero of=\"$DISK/ctrace-test\" bs=4096 count=64 2>/dev/null && sync && rm \"$DISK/ctrace-test\"",
        needs: Some(Need::Disk),
    },
    Group {
        events: &["oom:mark_victim", "vmscan:mm_vmscan_memcg_reclaim_begin", "vmscan:mm_vmscan_memcg_reclaim_end"],
        recorded: Recorded::Machine,
        workload: "\
            root=${SCOPE%/*} && echo +memory > $root/cgroup.subtree_control && mkdir $root/small && \
            echo 4M > $root/small/memory.max && (sh -c \"echo \\$\\$ > $root/small/cgroup.procs; exec peer touch=4000\"; true) && rmdir $root/small",
        needs: Some(Need::Memory),
    },
];

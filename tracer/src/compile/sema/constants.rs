//! Numbers that headers define as macros, so that no BTF tells them: scripts that include the headers use their names.

/// Name and value; from include/linux/socket.h, include/linux/sched.h and include/linux/stat.h, where they never change.
const CONSTANTS: [(&str, i64); 14] = [
    ("AF_UNSPEC", 0),
    ("AF_UNIX", 1),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("TASK_RUNNING", 0),
    ("TASK_INTERRUPTIBLE", 1),
    ("TASK_UNINTERRUPTIBLE", 2),
    ("S_IFMT", 0o170_000),
    ("S_IFREG", 0o100_000),
    ("S_IFDIR", 0o040_000),
    ("S_IFSOCK", 0o140_000),
    // bpftrace's own: the kernel describes its types, without which no script is compiled here.
    ("BPFTRACE_HAVE_BTF", 1),
];

/// The value of a constant.
pub fn value(name: &str) -> Option<i64> {
    CONSTANTS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

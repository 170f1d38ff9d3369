//! Names of errors, signals and the flags of memory allocations: what `strerror()`, `signal_name()` and `%gr` show.

/// The error of this number, whatever its sign.
pub fn error(number: i32) -> &'static str {
    let text = ERRORS.get(number.unsigned_abs() as usize).copied().unwrap_or_default();
    if text.is_empty() { "Unknown error" } else { text }
}

/// The signal of this number, as strsignal(3) describes it.
pub fn signal(number: i32) -> String {
    const FIRST_REAL_TIME: i32 = 34;
    const LAST_REAL_TIME: i32 = 64;
    match number {
        0 | 32 | 33 => format!("Unknown signal {number}"),
        1..=31 => SIGNALS[number as usize - 1].to_owned(),
        FIRST_REAL_TIME..=LAST_REAL_TIME => format!("Real-time signal {}", number - FIRST_REAL_TIME),
        _ => "N/A".to_owned(),
    }
}

/// The errors that are shown as this text.
pub fn errors_called(text: &str) -> Vec<i64> {
    (0..).zip(ERRORS).filter(|(_, known)| *known == text).map(|(number, _)| number).collect()
}

/// The signals that are shown as this text.
pub fn signals_called(text: &str) -> Vec<i64> {
    (0..=64).filter(|&number| signal(number) == text).map(i64::from).collect()
}

/// What all errors are called.
pub fn error_names() -> impl Iterator<Item = &'static str> {
    ERRORS.into_iter().filter(|name| !name.is_empty())
}

/// What all signals are called.
pub fn signal_names() -> impl Iterator<Item = &'static str> {
    SIGNALS.into_iter()
}

/// Flags of an allocation: names for usual combinations first, then for single flags, then what is left as a number.
pub fn allocation_flags(mut flags: u64) -> String {
    let mut names: Vec<String> = Vec::new();
    for &(name, mask) in &ALLOCATION_FLAGS {
        if flags & mask == mask {
            names.push(name.to_owned());
            flags &= !mask;
        }
    }
    match (flags, names.is_empty()) {
        (0, true) => return "0".to_owned(),
        (0, false) => {}
        (rest, _) => names.push(format!("{rest:#x}")),
    }
    names.join("|")
}

/// What the kernel's own traces call them, largest combinations first (include/linux/gfp_types.h and
/// include/trace/events/mmflags.h as of 6.10; older kernels differ in those above `__GFP_ZEROTAGS`).
const ALLOCATION_FLAGS: [(&str, u64); 36] = [
    ("GFP_TRANSHUGE", 0x21c_24ca),
    ("GFP_TRANSHUGE_LIGHT", 0x21c_20ca),
    ("GFP_HIGHUSER_MOVABLE", 0x210_0cca),
    ("GFP_HIGHUSER", 0x10_0cc2),
    ("GFP_USER", 0x10_0cc0),
    ("GFP_KERNEL_ACCOUNT", 0x40_0cc0),
    ("GFP_KERNEL", 0xcc0),
    ("GFP_NOFS", 0xc40),
    ("GFP_ATOMIC", 0x820),
    ("GFP_NOIO", 0xc00),
    ("GFP_NOWAIT", 0x2800),
    ("GFP_DMA", 0x1),
    ("GFP_DMA32", 0x4),
    ("__GFP_HIGHMEM", 0x2),
    ("__GFP_MOVABLE", 0x8),
    ("__GFP_RECLAIMABLE", 0x10),
    ("__GFP_HIGH", 0x20),
    ("__GFP_IO", 0x40),
    ("__GFP_FS", 0x80),
    ("__GFP_ZERO", 0x100),
    ("__GFP_DIRECT_RECLAIM", 0x400),
    ("__GFP_KSWAPD_RECLAIM", 0x800),
    ("__GFP_WRITE", 0x1000),
    ("__GFP_NOWARN", 0x2000),
    ("__GFP_RETRY_MAYFAIL", 0x4000),
    ("__GFP_NOFAIL", 0x8000),
    ("__GFP_NORETRY", 0x1_0000),
    ("__GFP_MEMALLOC", 0x2_0000),
    ("__GFP_COMP", 0x4_0000),
    ("__GFP_NOMEMALLOC", 0x8_0000),
    ("__GFP_HARDWALL", 0x10_0000),
    ("__GFP_THISNODE", 0x20_0000),
    ("__GFP_ACCOUNT", 0x40_0000),
    ("__GFP_ZEROTAGS", 0x80_0000),
    ("__GFP_SKIP_ZERO", 0x100_0000),
    ("__GFP_SKIP_KASAN", 0x200_0000),
];

/// By number, as the comments in include/uapi/asm-generic/errno-base.h and errno.h describe them.
#[rustfmt::skip]
const ERRORS: [&str; 134] = [
    "Success",
    "Operation not permitted",
    "No such file or directory",
    "No such process",
    "Interrupted system call",
    "I/O error",
    "No such device or address",
    "Argument list too long",
    "Exec format error",
    "Bad file number",
    "No child processes",
    "Try again (operation would block)",
    "Out of memory",
    "Permission denied",
    "Bad address",
    "Block device required",
    "Device or resource busy",
    "File exists",
    "Cross-device link",
    "No such device",
    "Not a directory",
    "Is a directory",
    "Invalid argument",
    "File table overflow",
    "Too many open files",
    "Not a typewriter",
    "Text file busy",
    "File too large",
    "No space left on device",
    "Illegal seek",
    "Read-only file system",
    "Too many links",
    "Broken pipe",
    "Math argument out of domain of func",
    "Math result not representable",
    "Resource deadlock would occur",
    "File name too long",
    "No record locks available",
    "Invalid system call number",
    "Directory not empty",
    "Too many symbolic links encountered",
    "",
    "No message of desired type",
    "Identifier removed",
    "Channel number out of range",
    "Level 2 not synchronized",
    "Level 3 halted",
    "Level 3 reset",
    "Link number out of range",
    "Protocol driver not attached",
    "No CSI structure available",
    "Level 2 halted",
    "Invalid exchange",
    "Invalid request descriptor",
    "Exchange full",
    "No anode",
    "Invalid request code",
    "Invalid slot",
    "",
    "Bad font file format",
    "Device not a stream",
    "No data available",
    "Timer expired",
    "Out of streams resources",
    "Machine is not on the network",
    "Package not installed",
    "Object is remote",
    "Link has been severed",
    "Advertise error",
    "Srmount error",
    "Communication error on send",
    "Protocol error",
    "Multihop attempted",
    "RFS specific error",
    "Not a data message",
    "Value too large for defined data type",
    "Name not unique on network",
    "File descriptor in bad state",
    "Remote address changed",
    "Can not access a needed shared library",
    "Accessing a corrupted shared library",
    ".lib section in a.out corrupted",
    "Attempting to link in too many shared libraries",
    "Cannot exec a shared library directly",
    "Illegal byte sequence",
    "Interrupted system call should be restarted",
    "Streams pipe error",
    "Too many users",
    "Socket operation on non-socket",
    "Destination address required",
    "Message too long",
    "Protocol wrong type for socket",
    "Protocol not available",
    "Protocol not supported",
    "Socket type not supported",
    "Operation not supported on transport endpoint",
    "Protocol family not supported",
    "Address family not supported by protocol",
    "Address already in use",
    "Cannot assign requested address",
    "Network is down",
    "Network is unreachable",
    "Network dropped connection because of reset",
    "Software caused connection abort",
    "Connection reset by peer",
    "No buffer space available",
    "Transport endpoint is already connected",
    "Transport endpoint is not connected",
    "Cannot send after transport endpoint shutdown",
    "Too many references: cannot splice",
    "Connection timed out",
    "Connection refused",
    "Host is down",
    "No route to host",
    "Operation already in progress",
    "Operation now in progress",
    "Stale file handle",
    "Structure needs cleaning",
    "Not a XENIX named type file",
    "No XENIX semaphores available",
    "Is a named type file",
    "Remote I/O error",
    "Quota exceeded",
    "No medium found",
    "Wrong medium type",
    "Operation Canceled",
    "Required key not available",
    "Key has expired",
    "Key has been revoked",
    "Key was rejected by service",
    "Owner died",
    "State not recoverable",
    "Operation not possible due to RF-kill",
    "Memory page has hardware error",
];

/// From 1 on.
#[rustfmt::skip]
const SIGNALS: [&str; 31] = [
    "Hangup",
    "Interrupt",
    "Quit",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Aborted",
    "Bus error",
    "Floating point exception",
    "Killed",
    "User defined signal 1",
    "Segmentation fault",
    "User defined signal 2",
    "Broken pipe",
    "Alarm clock",
    "Terminated",
    "Stack fault",
    "Child exited",
    "Continued",
    "Stopped (signal)",
    "Stopped",
    "Stopped (tty input)",
    "Stopped (tty output)",
    "Urgent I/O condition",
    "CPU time limit exceeded",
    "File size limit exceeded",
    "Virtual timer expired",
    "Profiling timer expired",
    "Window changed",
    "I/O possible",
    "Power failure",
    "Bad system call",
];

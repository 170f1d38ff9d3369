//! What the runtime says of itself with `ctrace -v`, through aya-log.
//!
//! Each message has a function, so that the code of its formatting stands once, and apart from what runs without it.
//! Without the feature `log` the functions are empty and vanish.

macro_rules! messages {
    ($($(#[$doc:meta])* $function:ident($argument:ident), $symbol:ident: $message:literal;)+) => {$(
        #[cfg(feature = "log")]
        $(#[$doc])*
        #[unsafe(export_name = stringify!($symbol))]
        #[inline(never)]
        pub extern "C" fn $function($argument: i64) {
            aya_log_ebpf::warn!((), target: "kernel", $message, $argument);
        }

        #[cfg(not(feature = "log"))]
        $(#[$doc])*
        #[inline(always)]
        pub fn $function(_: i64) {}
    )+};
}

messages! {
    /// A key could not be added to a map; the kernel gave this errno, negative.
    map_full(error), ct_diagnose_map_full: "a map takes no more keys: error {}";
    /// A record of so many bytes could not be reserved.
    ring_full(size), ct_diagnose_ring_full: "the ring has no room for {} bytes";
    /// A process could not be followed; the kernel gave this errno, negative.
    not_followed(error), ct_diagnose_not_followed: "a process cannot be followed: error {}";
}

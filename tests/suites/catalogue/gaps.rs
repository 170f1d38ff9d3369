//! What the catalogue leaves out of the kernel's records on purpose. Whatever else is missing is a mistake, and so is what
//! is listed here and there all the same.

/// Events, their field, and why they are without it.
const GAPS: &[(&[&str], &str, &str)] = &[
    (
        &["mm_page_alloc", "mm_page_free", "mm_filemap_add_to_page_cache", "mm_filemap_delete_from_page_cache"],
        "pfn",
        "counted from where the kernel has put its array of pages, which it shows to no container",
    ),
    (
        &["tcp_receive_reset", "tcp_destroy_sock", "tcp_rcv_space_adjust", "tcp_probe"],
        "sock_cookie",
        "given to a socket when it is first asked for, which a program that only reads cannot do",
    ),
    (&["tcp_send_reset"], "saddr", "a `struct sockaddr`, from the packet's headers where there is no socket"),
    (&["tcp_send_reset"], "daddr", "as `saddr`"),
    (&["tcp_probe"], "saddr", "a `struct sockaddr`, of ports that are fields, too"),
    (&["tcp_probe"], "daddr", "as `saddr`"),
    (&["block_io_done"], "comm", "of whoever is interrupted by the end of the request, who has no part in it"),
];

/// Why the catalogue does not have this field, if it leaves it out on purpose.
pub fn reason(event: &str, field: &str) -> Option<&'static str> {
    let listed = GAPS.iter().find(|(events, name, _)| events.contains(&event) && *name == field);
    listed.map(|&(.., reason)| reason)
}

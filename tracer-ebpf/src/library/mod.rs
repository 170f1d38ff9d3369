//! The functions that generated code calls, and what they need.
//!
//! # Calling convention
//! A BPF subprogram's: arguments in r1 to r5, the result in r0, r6 to r9 preserved. The verifier follows a call with
//! the caller's register types, so a pointer may be anything that its use below permits. No function takes the
//! program's context except where said. None uses more than 96 bytes of stack.
//!
//! | function | what |
//! |---|---|
//! | `ct_in_scope(task) -> u64` | 1 if `task`, the current one, is to be traced, else 0; first in every program |
//! | `ct_pid_tgid() -> u64` | tgid << 32 \| tid as the container sees them; 0 for a task it cannot see |
//! | `ct_parent_pid() -> u64` | the parent's tgid, likewise |
//! | `ct_swap_bytes(n) -> u64` | the bytes of `n` in reverse order |
//! | `ct_text_length(text, size) -> u64` | bytes before the NUL; `size`, here and below, is a constant |
//! | `ct_find_text(text, size, wanted, size) -> i64` | where `wanted` is first found, or -1 |
//! | `ct_join(to, array, user) -> u64` | writes the texts that an array of addresses points to, one behind the other; how many bytes, and an error in the high half |
//! | `ct_compare_bytes(a, b, size, count) -> i64` | the first difference in the first `count` of `size` bytes, or 0 |
//! | `ct_follow_fork(ctx) -> u64` | body of a raw tracepoint program on `sched_process_fork` |
//! | `ct_forget_task(ctx) -> u64` | body of a raw tracepoint program on `sched_process_free` |
//! | `ct_in_scope_of(task) -> u64` | `ct_in_scope` for any task |
//! | `ct_task_ids(task) -> u64` | `ct_pid_tgid` for any task |
//! | `ct_pid_number(pid) -> u64` | the number of a `struct pid` as the container sees it, or 0 |
//! | `ct_owns_socket(sock) -> u64` | 1 if a socket belongs to the scope, else 0 |
//! | `ct_owns_packet(skb) -> u64` | 1 if a packet belongs to a socket of the scope, else 0 |
//! | `ct_note_request(ctx) -> u64` | body of a raw tracepoint program on `block_bio_queue` |
//! | `ct_note_started(ctx, bio) -> u64` | body of a raw tracepoint program on `block_io_start`, `bio` being an offset |
//! | `ct_owns_request(bio) -> u64` | 1 if `ct_note_request` has seen the scope make the request, else 0 |
//! | `ct_request_letters(flags) -> u64` | what a block request is, as up to 8 letters |
//! | `ct_insert(map, key) -> i64` | makes an entry of zeros: 0, or a negative errno; an existing key is 0 |
//! | `ct_admit(list, key, map, limit) -> i64` | lists a key of a map unless so many are listed: 0, or a negative errno |
//! | `ct_add_key(map, key, number, limit) -> i64` | makes an entry of zeros in a map that is whole in the kernel, likewise |
//! | `ct_delete_key(map, key, number)` | deletes one there |
//! | `ct_hdr_update(*mut Hdr, v)` | adds a value to an entry of a per-CPU map |
//! | `ct_hdr_update_atomic(*mut Hdr, v)` | the same where another program may come between |
//! | `ct_log2_index(v, bits) -> u64` | bucket of a signed value; the caller compares it with the number of buckets |
//! | `ct_linear_index(v, min, max, step) -> u64` | the same for equal steps |
//! | `ct_reserve_control(size, spare) -> *mut u8` | for a record that must not be lost and that `EVENTS` has no room for, room in the other ring, or null |
//! | `ct_stamp(record, size)` | after `ct_reserve_control`: where among the others it belongs |
//! | `ct_ring_full(size)` | counts a record that there is no room for |
//! | `ct_raise(*mut u64, n)` | puts `n` in the place of a smaller number, whoever comes between |
//! | `ct_claim() -> *mut u64` | scratch memory, or null; given back by writing 0 to its first 8 bytes |
//! | `ct_differ(a, b, words) -> u64` | 1 if two texts are different in so many words, a constant; else 0 |
//! | `ct_stack(ctx, *mut StackId, what)` | names the stack here; sends its frames if they are new |
//! | `ct_address(*mut StackId, n)` | the same for one address of the process |
//! | `ct_failed(kind, start, end, error)` | counts a [`tracer_common::failure::Failure`] at a place of the script |
//! | `ct_lost(kind)` | counts a [`tracer_common::loss::Loss`] |
//!
//! | symbol | section | what |
//! |---|---|---|
//! | `SCOPE` | `.rodata` | [`tracer_common::scope::Scope`], set before loading |
//! | `START_TIME` | `.rodata` | `u64`: when the script began, set before loading; for generated code |
//! | `UNKNOWN_ZERO` | `.data` | `u64`: 0, which the verifier does not know; for generated code |
//! | `GENERATIONS` | `.data` | `[u64; MAX_MAPS]`: the generation each map writes to, moved on by user space |
//! | `EVENTS` | `maps` | the ring of records |
//! | `CONTROL` | `maps` | the ring of records that must not be lost and that `EVENTS` had no room for |
//! | `SCRATCH` | `maps` | array of areas, [`tracer_common::scratch::AREAS`] for each CPU; the linker says how large |
//! | `KEYS` | `maps` | array of `u64`: how many keys each aggregation has ([`tracer_common::agg::key_count`]) |
//! | `LOSSES` | `maps` | per-CPU array of `u64`: how often each `Loss` occurred |
//! | `STACKS` | `maps` | the ring that the frames of stacks are sent through |
//! | `SEEN` | `maps` | which stacks have been sent |
//! | `STACK_AREAS` | `maps` | where stacks are written to, on each CPU |
//! | `FAILURES` | `maps` | hash of [`tracer_common::failure::Failed`]: how often each failure occurred where |
//! | `TRACED` | `maps` | hash of the tasks that `ProcessFilter::Tree` follows |
//! | `REQUESTS` | `maps` | hash of the block requests that the scope has made |

mod aggregate;
mod atomic;
mod diagnose;
mod failure;
mod follow;
mod join;
mod keys;
mod loss;
mod ring;
mod scope;
mod scratch;
mod stack;
mod subject;
mod task;
mod text;

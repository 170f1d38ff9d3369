//! Probes of the test program's own (USDT), made as `<sys/sdt.h>` makes them: an instruction, and a note that tells of it.

#![expect(unsafe_code, reason = "only assembly can say in which register a value is")]

use std::arch::asm;
use std::sync::atomic::{AtomicI32, AtomicU16, Ordering};

/// A probe of the provider `peer`: its name, its semaphore or 0, where its arguments are, and the values of those.
macro_rules! marker {
    ($name:literal, $semaphore:literal, $arguments:literal, $($operands:tt)*) => {
        // SAFETY: one instruction that does nothing; the rest lies in sections of its own.
        unsafe {
            asm!(
                "990: nop",
                ".pushsection .note.stapsdt,\"\",\"note\"",
                ".balign 4",
                ".4byte 992f-991f, 994f-993f, 3",
                "991: .asciz \"stapsdt\"",
                "992: .balign 4",
                "993: .8byte 990b",
                ".8byte _.stapsdt.base",
                concat!(".8byte ", $semaphore),
                ".asciz \"peer\"",
                concat!(".asciz \"", $name, "\""),
                concat!(".asciz \"", $arguments, "\""),
                "994: .balign 4",
                ".popsection",
                ".ifndef _.stapsdt.base",
                ".pushsection .stapsdt.base,\"aGR\",\"progbits\",.stapsdt.base,comdat",
                ".weak _.stapsdt.base",
                ".hidden _.stapsdt.base",
                "_.stapsdt.base: .space 1",
                ".size _.stapsdt.base, 1",
                ".popsection",
                ".endif",
                $($operands)*
                options(att_syntax, nostack, preserves_flags, readonly)
            );
        }
    };
}

/// How many listen to `peer:guarded`. The kernel raises it.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".probes")]
static PEER_GUARDED_SEMAPHORE: Semaphore = Semaphore(AtomicU16::new(0));

/// What the kernel counts up, in a page of its own: where the file's page is mapped twice, as lld lets the read-only data
/// end and the writable begin in one, the kernel may count in the other mapping.
#[repr(align(4096))]
struct Semaphore(AtomicU16);

/// What `peer:place` gives as its last argument, from where it lies.
#[unsafe(no_mangle)]
static PEER_NUMBER: AtomicI32 = AtomicI32::new(0);

/// `peer:place`, at two places, each with its arguments elsewhere: first `(i, -i, -7, 200)` in registers and as numbers,
/// then `(1000 + i, -3, 30, -i)` in memory.
#[inline(never)]
pub fn place(i: u32) {
    let negative = -(i as i32);
    marker!("place", "0", "8@{i} -4@{negative:e} -4@$-7 1@{byte:l}",
        i = in(reg) u64::from(i), negative = in(reg) negative, byte = in(reg) 0xff00_u64 + 200,);

    PEER_NUMBER.store(negative, Ordering::Relaxed);
    let memory: [u64; 6] = [1000 + u64::from(i), u64::from(-3_i32 as u32) | 5 << 32, 10, 20, 30, 40];
    marker!("place", "0", "8@({memory}) -4@8({memory}) 8@16({memory},{index},8) -4@PEER_NUMBER(%rip)",
        memory = in(reg) &raw const memory, index = in(reg) 2_u64,);
}

/// `peer:guarded(i)`, if anybody listens.
#[inline(never)]
pub fn guarded(i: u32) {
    if PEER_GUARDED_SEMAPHORE.0.load(Ordering::Relaxed) > 0 {
        marker!("guarded", "PEER_GUARDED_SEMAPHORE", "4@{i:e} 8f@%xmm0", i = in(reg) i,);
    }
}

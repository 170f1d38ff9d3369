//! The registers of a process, as probes in its code and the kernel's see them.

use super::typed::Register;

/// Their names and places in `struct pt_regs` (arch/x86/include/uapi/asm/ptrace.h, an ABI).
const NAMES: [(&str, Register); 21] = [
    ("r15", Register(0)),
    ("r14", Register(8)),
    ("r13", Register(16)),
    ("r12", Register(24)),
    ("bp", Register(32)),
    ("bx", Register(40)),
    ("r11", Register(48)),
    ("r10", Register(56)),
    ("r9", Register(64)),
    ("r8", Register(72)),
    ("ax", Register(80)),
    ("cx", Register(88)),
    ("dx", Register(96)),
    ("si", Register(104)),
    ("di", Register(112)),
    ("orig_ax", Register(120)),
    ("ip", Register(128)),
    ("cs", Register(136)),
    ("flags", Register(144)),
    ("sp", Register(152)),
    ("ss", Register(160)),
];

/// Where functions find their arguments: di, si, dx, cx, r8, r9 (System V ABI for AMD64, 3.2.3).
pub const ARGUMENTS: [Register; 6] =
    [Register(112), Register(104), Register(96), Register(88), Register(72), Register(64)];

/// Where functions leave their result: ax.
pub const RESULT: Register = Register(80);

/// The stack pointer.
pub const STACK: Register = Register(152);

/// The code segment: how privileged the code is that was running.
pub const CODE_SEGMENT: Register = Register(136);

/// The register of this name.
pub fn by_name(name: &str) -> Option<Register> {
    // Other machines have no `ip`; scripts for all of them ask for `pc`.
    let name = if name == "pc" { "ip" } else { name };
    NAMES.iter().find(|(known, _)| *known == name).map(|&(_, register)| register)
}

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

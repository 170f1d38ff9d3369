//! What the arguments of each event are: names, types, and where the kernel keeps them.

use super::probes::Event;
use super::types::Ty;

/// One field of `args`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its type, as bpftrace gives it: numbers in registers are `uint64` whatever C calls them.
    pub ty: Ty,
    /// Where it is.
    pub source: Source,
}

/// Where an argument comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An argument register of the system call, 0 to 5.
    Register(u8),
    /// All six of them.
    Registers,
    /// The system call's number.
    Number,
    /// What it returned.
    Result,
    /// A word of the context.
    Word(u8),
}

/// The argument of this name, if it is known without the kernel's types.
pub fn field(event: Event, name: &str) -> Option<Field> {
    fields(event).into_iter().find(|(known, _)| known == name).map(|(_, field)| field)
}

/// All arguments with their names, in order, so far as they are known without the kernel's types.
pub fn fields(event: Event) -> Vec<(String, Field)> {
    let result = ("ret".to_string(), Field { ty: Ty::I64, source: Source::Result });
    let id = ("id".to_string(), Field { ty: Ty::I64, source: Source::Number });
    let number = ("__syscall_nr".to_string(), Field { ty: Ty::I32, source: Source::Number });
    match event {
        Event::Begin
        | Event::End
        | Event::Interval(_)
        | Event::Signal
        | Event::Iterator { .. }
        | Event::Uprobe { .. }
        | Event::Usdt { .. }
        | Event::RawTracepoint { .. }
        | Event::Sample(_)
        | Event::KernelFunction { .. }
        | Event::KernelCall { .. }
        | Event::Tracepoint { .. }
        | Event::Record { .. } => Vec::new(),
        Event::AnySyscall { exit: true, .. } => vec![id, result],
        Event::AnySyscall { exit: false, raw: true } => vec![id],
        Event::AnySyscall { exit: false, raw: false } => {
            let registers = Field { ty: Ty::Array(Box::new(Ty::U64), 6), source: Source::Registers };
            vec![id, ("args".to_string(), registers)]
        }
        Event::Syscall { exit: true, .. } => vec![number, result],
        Event::Syscall { exit: false, syscall } => {
            let parameters = syscall.parameters().enumerate().map(|(register, parameter)| {
                (
                    parameter.name.to_string(),
                    Field { ty: c_type(parameter.ty), source: Source::Register(register as u8) },
                )
            });
            std::iter::once(number).chain(parameters).collect()
        }
    }
}

/// The type of a system call's parameter that C declares so.
fn c_type(declared: &str) -> Ty {
    let words = declared.split(' ').filter(|word| !["const", ""].contains(word));
    let plain = words.collect::<Vec<_>>().join(" ");
    match plain.as_str() {
        // Pointers behind a typedef, as include/uapi/linux/capability.h declares them.
        "cap_user_header_t" => return pointer(Ty::Named("struct __user_cap_header_struct".into())),
        "cap_user_data_t" => return pointer(Ty::Named("struct __user_cap_data_struct".into())),
        _ => {}
    }
    match plain.rsplit_once('*') {
        None => Ty::U64,
        Some((to, _)) => pointer(pointee(to.trim_end_matches("const").trim())),
    }
}

fn pointee(declared: &str) -> Ty {
    match declared.rsplit_once('*') {
        Some((to, _)) => pointer(pointee(to.trim_end_matches("const").trim())),
        None => Ty::named(declared).unwrap_or_else(|| Ty::Named(declared.into())),
    }
}

fn pointer(to: Ty) -> Ty {
    Ty::Pointer { to: Box::new(to), user: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::sema::syscalls;

    fn types(name: &str) -> Vec<String> {
        let event = Event::Syscall { exit: false, syscall: syscalls::by_name(name).unwrap() };
        fields(event).into_iter().map(|(name, field)| format!("{name}: {}", field.ty)).collect()
    }

    /// As `bpftrace -d types` 0.27.1 gives them.
    #[test]
    fn arguments_of_system_calls_have_bpftraces_types() {
        assert_eq!(
            types("openat"),
            ["__syscall_nr: int32", "dfd: uint64", "filename: uint8 *", "flags: uint64", "mode: uint64"]
        );
        assert_eq!(types("execve")[1..], ["filename: uint8 *", "argv: uint8 * *", "envp: uint8 * *"]);
        assert_eq!(
            types("capget")[1..],
            ["header: struct __user_cap_header_struct *", "dataptr: struct __user_cap_data_struct *"]
        );
        assert_eq!(types("futex")[1], "uaddr: uint32 *");
        assert_eq!(types("futex")[4], "utime: struct __kernel_timespec *");
        assert_eq!(types("getpid"), ["__syscall_nr: int32"]);
    }

    #[test]
    fn the_register_of_an_argument_is_its_place() {
        let event = Event::Syscall { exit: false, syscall: syscalls::by_name("openat").unwrap() };
        assert_eq!(field(event, "flags").unwrap().source, Source::Register(2));
        assert_eq!(field(event, "nothing"), None);
    }
}

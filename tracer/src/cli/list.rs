//! `ctrace -l`: the probes there are, with `-v` their arguments.

use crate::compile::sema::syscalls::{self, Syscall};
use crate::host::elf::usdt::{Argument, Marker};
use crate::host::elf::{Binary, Function};
use crate::pattern::matches;

/// A probe, as a script would name it, and its arguments as C would declare them.
struct Probe {
    name: String,
    arguments: Vec<String>,
}

/// The lines for the probes that `pattern` matches, `*` standing for anything; all of them if there is none.
pub fn lines(pattern: Option<&str>, arguments: bool) -> String {
    let mut text = String::new();
    for probe in probes().filter(|probe| pattern.is_none_or(|pattern| matches(pattern, &probe.name))) {
        text += &probe.name;
        text.push('\n');
        for argument in probe.arguments.iter().filter(|_| arguments) {
            text += &format!("    {argument}\n");
        }
    }
    text
}

/// The lines for functions of a program or library.
pub fn functions<'b>(provider: &str, binary: &Binary, functions: impl Iterator<Item = &'b Function>) -> String {
    let path = binary.path.display();
    functions.map(|function| format!("{provider}:{path}:{}\n", function.name)).collect()
}

/// The lines for probes that authors have put into a file.
pub fn markers(markers: &[(String, &Marker)], arguments: bool) -> String {
    let mut text = String::new();
    for (name, marker) in markers {
        text += &format!("{name}\n");
        for (index, argument) in marker.arguments.iter().enumerate().filter(|_| arguments) {
            text += &match argument {
                Ok(Argument { size, signed, .. }) => {
                    let sign = if *signed { "" } else { "u" };
                    format!("    {sign}int{}_t arg{index}\n", 8 * size)
                }
                Err(_) => format!("    unsupported arg{index}\n"),
            };
        }
    }
    text
}

fn probes() -> impl Iterator<Item = Probe> {
    let plain = ["begin", "end", "interval:hz", "interval:ms", "interval:s", "interval:us"];
    let raw = [
        ("rawtracepoint:sys_enter", ["struct pt_regs * regs", "long id"]),
        ("rawtracepoint:sys_exit", ["struct pt_regs * regs", "long ret"]),
        ("tracepoint:raw_syscalls:sys_enter", ["long id", "unsigned long args[6]"]),
        ("tracepoint:raw_syscalls:sys_exit", ["long id", "long ret"]),
    ];
    let plain = plain.into_iter().map(|name| Probe { name: name.to_owned(), arguments: Vec::new() });
    let raw = raw
        .into_iter()
        .map(|(name, arguments)| Probe { name: name.to_owned(), arguments: arguments.map(str::to_owned).to_vec() });
    plain.chain(raw).chain(syscalls::all().iter().flat_map(of_syscall))
}

fn of_syscall(syscall: &Syscall) -> Vec<Probe> {
    let Some(name) = syscall.tracepoint else { return Vec::new() };
    let number = "int __syscall_nr".to_owned();
    let parameters = syscall.parameters().map(|parameter| format!("{} {}", parameter.ty, parameter.name));
    vec![
        Probe {
            name: format!("tracepoint:syscalls:sys_enter_{name}"),
            arguments: [number.clone()].into_iter().chain(parameters).collect(),
        },
        Probe { name: format!("tracepoint:syscalls:sys_exit_{name}"), arguments: vec![number, "long ret".to_owned()] },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_call_with_its_arguments() {
        let expected = "\
tracepoint:syscalls:sys_enter_openat
    int __syscall_nr
    int dfd
    const char * filename
    int flags
    umode_t mode
";
        assert_eq!(lines(Some("tracepoint:*:sys_enter_openat"), true), expected);
        assert_eq!(lines(Some("*raw_syscalls:sys_exit"), false), "tracepoint:raw_syscalls:sys_exit\n");
    }
}

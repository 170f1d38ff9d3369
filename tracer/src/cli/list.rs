//! `ctrace -l`: the probes there are, with `-v` their arguments.

use crate::compile::sema::syscalls::{self, Syscall};
use crate::host::elf::{Binary, Function};

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

/// Whether `pattern`, in which `*` stands for any text, is all of `name`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("a*c*e", "abcde") && matches("*", "") && matches("abc", "abc") && matches("a*", "abc"));
        assert!(
            !matches("a*c*e", "abcd") && !matches("abc", "abcd") && !matches("a*ba", "aba-") && !matches("aa*a", "aa")
        );
    }

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

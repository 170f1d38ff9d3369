//! The x86-64 kernel's system calls: number, names, parameters. What `args` holds comes from here, and the names of numbers
//! that the plan carries.
//!
//! `syscalls.txt` has one line for each number of the 64-bit table, as of Linux 6.18:
//! `number name[=tracepoint](type parameter, …)`. Without parentheses there is a number but no tracepoint.
//! Names and parameters are those of tracefs (`events/syscalls/sys_enter_*/format`); where a kernel configuration lacks
//! one, those of its `SYSCALL_DEFINE`.

use std::sync::LazyLock;

/// A system call of the 64-bit table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syscall {
    /// Its number in `rax`.
    pub number: u32,
    /// As the manual pages call it: `stat`.
    pub name: &'static str,
    /// As its tracepoints call it, after `sys_enter_`: `newstat`. `None`: it has none.
    pub tracepoint: Option<&'static str>,
    /// The C declarations of its parameters, separated by `, `.
    parameters: &'static str,
}

/// A parameter of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its C type with the stars: `const char *`.
    pub ty: &'static str,
}

impl Syscall {
    /// Its parameters, in the order of the argument registers; at most six.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter> {
        self.parameters.split(", ").filter(|text| !text.is_empty()).map(|text| {
            let start = text.rfind([' ', '*']).map_or(0, |at| at + 1);
            Parameter { name: &text[start..], ty: text[..start].trim_end() }
        })
    }
}

static TABLE: LazyLock<Vec<Syscall>> = LazyLock::new(|| include_str!("syscalls.txt").lines().map(parse).collect());

/// All of them, by number.
pub fn all() -> &'static [Syscall] {
    &TABLE
}

/// The system call with this number.
pub fn by_number(number: u32) -> Option<&'static Syscall> {
    TABLE.binary_search_by_key(&number, |syscall| syscall.number).ok().map(|at| &TABLE[at])
}

/// The system call that is called so, by the manual pages or by its tracepoint.
pub fn by_name(name: &str) -> Option<&'static Syscall> {
    TABLE.iter().find(|syscall| syscall.name == name || syscall.tracepoint == Some(name))
}

/// One line of the table, which is part of the program and tested whole.
fn parse(line: &'static str) -> Syscall {
    let (number, rest) = line.split_once(' ').expect("a number and a name");
    let (names, parameters) = match rest.split_once('(') {
        Some((names, parameters)) => (names, Some(parameters.trim_end_matches(')'))),
        None => (rest, None),
    };
    let (name, tracepoint) = names.split_once('=').unwrap_or((names, names));
    Syscall {
        number: number.parse().expect("a number"),
        name,
        tracepoint: parameters.is_some().then_some(tracepoint),
        parameters: parameters.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_well_formed_and_in_order() {
        for pair in all().windows(2) {
            assert!(pair[0].number < pair[1].number, "{pair:?}");
        }
        for syscall in all() {
            assert!(syscall.parameters().count() <= 6, "{syscall:?}");
            for parameter in syscall.parameters() {
                assert!(!parameter.name.is_empty() && !parameter.ty.is_empty(), "{syscall:?}");
            }
        }
    }

    #[test]
    fn names_and_numbers_find_their_system_call() {
        let openat = by_name("openat").unwrap();
        assert_eq!(openat.number, 257);
        let parameters: Vec<_> = openat.parameters().map(|parameter| (parameter.ty, parameter.name)).collect();
        assert_eq!(parameters, [("int", "dfd"), ("const char *", "filename"), ("int", "flags"), ("umode_t", "mode")]);
        assert_eq!(by_name("newstat"), by_name("stat"));
        assert_eq!(by_number(4).unwrap().name, "stat");
        assert_eq!(by_number(39).unwrap().parameters().count(), 0);
        assert_eq!(by_name("tuxcall").unwrap().tracepoint, None);
        assert_eq!(by_number(5000), None);
    }
}

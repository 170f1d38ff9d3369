//! Lines of this very program, and what is no debugging information.

use std::collections::BTreeSet;

use super::super::{Naming, symbols};
use super::*;

#[inline(always)]
fn put_into_others(n: u64) -> u64 {
    std::hint::black_box(n) * 3
}

#[inline(never)]
fn function_with_another_in_it(n: u64) -> u64 {
    put_into_others(n) + 1
}

#[test]
fn a_function_that_was_put_into_another_one_is_found_with_the_lines_of_both() {
    assert_eq!(function_with_another_in_it(5), 16);
    let file = File::open("/proc/self/exe").expect("it runs");
    let naming = Naming::read(&file, None);
    let binary = symbols::read(&file, true).expect("a program");
    let meant = "tracer::host::elf::lines::tests::function_with_another_in_it";
    let mut functions = binary.functions.iter();
    let function = functions.find(|function| function.demangled.as_deref() == Some(meant)).expect("it is there");
    let mut lines = Lines::read(&file, None).expect("tests are built with lines");
    let mut seen = BTreeSet::new();
    for address in function.address..function.address + function.size {
        let frames = lines.frames(address);
        let show = |Frame { function, place }: &Frame| {
            let place = place.as_deref().unwrap_or_default();
            let place = place.rsplit('/').next().unwrap_or_default();
            let name = function.as_deref().unwrap_or_default().rsplit("::").next().unwrap_or_default().to_owned();
            format!("{name} {place}")
        };
        seen.insert(frames.iter().map(show).collect::<Vec<_>>().join(", "));
        assert!(naming.function(address).is_some());
    }
    let inlined = "put_into_others tests.rs:10, function_with_another_in_it tests.rs:15";
    assert!(seen.contains(inlined), "{seen:?}");
    assert!(seen.contains("function_with_another_in_it tests.rs:14"), "{seen:?}");
    assert!(!lines.is_exhausted());
    assert_eq!(lines.frames(u64::MAX), [], "there is nothing");
}

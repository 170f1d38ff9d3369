//! A program that the kernel's verifier does not accept: a defect of ours, whatever the script, unless the script asks for
//! more than the verifier looks at. The user is shown what it is about, not the verifier's log, which is for us: `-v` adds it.

use std::io;

use thiserror::Error;

use crate::compile::diagnostics::Diagnostic;
use crate::compile::source::Span;
use crate::plan::Plan;
use crate::run;

/// What is said of it.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Rejection(String);

/// The error of a load as it is shown; `places` are those of the plan's programs in the script, `render` makes text of what
/// is found.
pub fn shown(
    error: run::Error,
    plan: &Plan,
    places: &[Span],
    verbose: bool,
    render: impl Fn(&[Diagnostic]) -> String,
) -> anyhow::Error {
    let run::Error::Verifier { program, error, log } = error else { return error.into() };
    let number = plan.programs.iter().position(|candidate| candidate.symbol == program);
    let place = number.and_then(|number| places.get(number)).copied().unwrap_or_default();
    let finding = match too_much(&error, &log) {
        Some(what) => Diagnostic::error(place, format!("this is too much for one program: {what}"))
            .help("make the action shorter, or leave a part of it to another probe"),
        None => Diagnostic::error(place, format!("the kernel's verifier does not accept this ({error})"))
            .label("what this was made into")
            .help(
                "this is a defect of ctrace, not of the script: please report it, with the script and what `-v` says",
            ),
    };
    let mut text = render(&[finding]);
    if verbose {
        text += &format!("\n\n{program}:\n{}", log.trim_end());
    }
    Rejection(text).into()
}

/// The limit of the verifier's that a program goes beyond, if it is that (`kernel/bpf/verifier.c`: BPF_COMPLEXITY_LIMIT_JMP_SEQ,
/// BPF_COMPLEXITY_LIMIT_INSNS, MAX_USED_MAPS).
fn too_much(error: &io::Error, log: &str) -> Option<&'static str> {
    // What it says comes behind all that it has looked at, and before a few lines of numbers.
    let end = || log.trim_end().lines().rev().take(10);
    let says = |start: &str| end().any(|line| line.starts_with(start));
    if says("The sequence of ") && log.contains("jumps is too complex.") {
        Some("the kernel follows 8192 branches in a row, and here are more")
    } else if says("BPF program is too large. Processed ") {
        Some("the kernel looks at a million instructions on all ways through it, and here are more")
    } else if error.raw_os_error() == Some(TOO_BIG) && says("processed 0 insns") {
        // Before Linux 6.12 it says no more than that, and nothing else is too big before it has begun.
        Some("the kernel allows 64 maps, and this names more, with those that ctrace needs itself")
    } else {
        None
    }
}

/// E2BIG
const TOO_BIG: i32 = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::diagnostics::render_all;
    use crate::compile::source::Source;
    use crate::plan::{Attach, Program};

    fn shown_to(verbose: bool) -> String {
        shown_with(13, "0: (bf) r0 = r9\nR9 !read_ok\n", verbose)
    }

    fn shown_with(error: i32, log: &str, verbose: bool) -> String {
        let source = Source::new("a.bt", "BEGIN { }\nEND { exit(); }\n");
        let program = |symbol: &str, attach| Program { symbol: symbol.to_owned(), attach, probes: Vec::new() };
        let plan =
            Plan { programs: vec![program("begin", Attach::Begin), program("end", Attach::End)], ..Plan::default() };
        let error = run::Error::Verifier {
            program: "end".to_owned(),
            error: io::Error::from_raw_os_error(error),
            log: log.to_owned(),
        };
        let render = |findings: &[Diagnostic]| render_all(findings, &source, false);
        shown(error, &plan, &[Span::new(0, 9), Span::new(10, 13)], verbose, render).to_string()
    }

    #[test]
    fn the_user_sees_the_place_and_not_the_log() {
        let text = shown_to(false);
        assert!(text.contains("--> a.bt:2:1") && text.contains("a defect of ctrace"), "{text}");
        assert!(!text.contains("R9"), "{text}");
    }

    #[test]
    fn whoever_asks_is_shown_the_log_too() {
        assert!(shown_to(true).ends_with("end:\n0: (bf) r0 = r9\nR9 !read_ok"), "{}", shown_to(true));
    }

    #[test]
    fn what_is_too_much_for_the_kernel_is_no_defect() {
        let numbers = "verification time 5860030 usec\nstack depth 200+0\nprocessed 399740 insns (limit 1000000)\n";
        for (said, shown) in [
            ("The sequence of 8193 jumps is too complex.", "8192 branches in a row"),
            ("BPF program is too large. Processed 1000001 insn", "a million instructions"),
        ] {
            let text = shown_with(12, &format!("816: (85) call bpf_loop#181\n{said}\n{numbers}"), false);
            assert!(text.contains("--> a.bt:2:1") && text.contains(shown), "{text}");
            assert!(!text.contains("defect") && !text.contains("processed"), "{text}");
        }
        let maps = shown_with(7, "processed 0 insns (limit 1000000) max_states_per_insn 0\n", false);
        assert!(maps.contains("64 maps") && !maps.contains("defect"), "{maps}");
    }

    #[test]
    fn other_errors_are_left_alone() {
        let error = run::Error::Missing { name: "end".to_owned() };
        let shown = shown(error, &Plan::default(), &[], false, |_| unreachable!("nothing is found in the script"));
        assert_eq!(shown.to_string(), "the object has no end");
    }
}

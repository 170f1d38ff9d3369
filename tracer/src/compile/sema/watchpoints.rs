//! `watchpoint:0xADDRESS:8:w`: accesses to a place in memory, which the processor watches.

use super::probes::{Event, Site};
use crate::compile::diagnostics::Diagnostic;
use crate::compile::syntax::ast;
use crate::compile::target::Target;
use crate::plan::{Access, Every, Sample, SampleEvent};
use tracer_common::scope::ProcessFilter;

const USAGE: &str = "write `watchpoint:0xADDRESS:LENGTH:MODE`, with a length of 1, 2, 4 or 8 and a mode of w, rw or x";

/// Addresses of the kernel are above.
const KERNEL: u64 = 1 << 63;

/// The place that a specification stands for.
pub fn expand(spec: &ast::ProbeSpec, rest: &[ast::Name], target: &Target) -> Result<Site, Diagnostic> {
    let [place, length, mode] = rest else {
        return Err(Diagnostic::error(spec.span, "a watchpoint needs an address, a length and a mode").help(USAGE));
    };
    let number = match place.text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => place.text.parse().ok(),
    };
    let Some(address) = number else {
        let error = Diagnostic::error(place.span, format!("`{}` is not an address", place.text));
        return Err(match place.text.contains('+') {
            true => error.help(
                "what an argument of a function points to cannot be watched: bpftrace has left that form in 0.25, as it takes \
                 stopping the process; print the argument with a `uprobe`, and watch that address",
            ),
            false => error.help(USAGE),
        });
    };
    let access = match mode.text.as_str() {
        "w" => Access::Write,
        "rw" | "wr" => Access::ReadWrite,
        "x" => Access::Execute,
        "r" => {
            let error = Diagnostic::error(mode.span, "this processor cannot watch for reads alone");
            return Err(error.help("watch for both with `rw`"));
        }
        other => return Err(Diagnostic::error(mode.span, format!("there is no mode `{other}`")).help(USAGE)),
    };
    let bytes = match length.text.as_str() {
        "1" => 1,
        "2" => 2,
        "4" => 4,
        "8" => 8,
        other => {
            let error = Diagnostic::error(length.span, format!("`{other}` bytes cannot be watched"));
            return Err(error.help("the length is 1, 2, 4 or 8"));
        }
    };
    if access == Access::Execute && bytes != 8 {
        let error = Diagnostic::error(length.span, "the length of a watchpoint on code is 8");
        return Err(error.help(format!("write `watchpoint:{}:8:x`", place.text)));
    }
    if access != Access::Execute && !address.is_multiple_of(bytes.into()) {
        let message = format!("the address of {bytes} bytes that are watched must be a multiple of {bytes}");
        return Err(Diagnostic::error(place.span, message));
    }
    let has_process = target.command_pid.is_some() || target.scope.filter == ProcessFilter::Process as u32;
    if address < KERNEL && !has_process {
        let error = Diagnostic::error(spec.span, "an address is one of a process, and none is named");
        return Err(error.help("run with `-p PID` or `-c COMMAND`"));
    }
    let event = SampleEvent::Breakpoint { address, length: bytes, access };
    let name = format!("watchpoint:{}:{}:{}", place.text, length.text, mode.text);
    Ok(Site { name, event: Event::Sample(Sample { event, every: Every::Count(1) }), span: spec.span })
}

/// Why there is no such kind any more.
pub fn no_async(kind: &ast::Name) -> Diagnostic {
    Diagnostic::error(kind.span, format!("there is no probe kind `{}`: bpftrace has had none since 0.25", kind.text))
        .help("it watched what a function's argument points to; an address is watched with `watchpoint:0xADDRESS:LENGTH:MODE`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::source::Span;

    fn expand_text(text: &str, command_pid: Option<u32>) -> Result<Site, String> {
        let fields: Vec<ast::Name> =
            text.split(':').map(|field| ast::Name { text: field.into(), span: Span::default() }).collect();
        let spec = ast::ProbeSpec { fields, span: Span::default() };
        let target = Target { command_pid, ..Target::default() };
        expand(&spec, &spec.fields[1..], &target).map_err(|error| error.message)
    }

    #[test]
    fn a_place_of_the_command_is_watched() {
        let site = expand_text("watchpoint:0x4028:8:w", Some(7)).unwrap();
        assert_eq!(site.name, "watchpoint:0x4028:8:w");
        let event = SampleEvent::Breakpoint { address: 0x4028, length: 8, access: Access::Write };
        assert_eq!(site.event, Event::Sample(Sample { event, every: Every::Count(1) }));
    }

    #[test]
    fn what_cannot_be_watched_is_refused() {
        let refusal = |text| expand_text(text, Some(7)).unwrap_err();
        assert_eq!(refusal("w:0x4029:8:w"), "the address of 8 bytes that are watched must be a multiple of 8");
        assert_eq!(refusal("w:0x4028:3:w"), "`3` bytes cannot be watched");
        assert_eq!(refusal("w:0x4028:8:r"), "this processor cannot watch for reads alone");
        assert_eq!(refusal("w:0x4028:8:q"), "there is no mode `q`");
        assert_eq!(refusal("w:0x4028:4:x"), "the length of a watchpoint on code is 8");
        assert_eq!(refusal("w:main+arg0:8:w"), "`main+arg0` is not an address");
        assert_eq!(refusal("w:0x4028"), "a watchpoint needs an address, a length and a mode");
        let nobody = expand_text("w:0x4028:8:w", None).unwrap_err();
        assert_eq!(nobody, "an address is one of a process, and none is named");
        assert!(expand_text("w:0xffffffff81000000:8:w", None).is_ok(), "the kernel is everybody's");
    }
}

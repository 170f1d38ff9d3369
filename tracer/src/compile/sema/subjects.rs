//! Whose the events of a raw tracepoint are: one rule for `rawtracepoint` and `tracepoint`, with and without tracefs.
//!
//! The catalogue says it. What the catalogue does not know, or of what this kernel does not have the argument that it goes
//! by, may happen in an interrupt or in a thread of the kernel, while a task runs that has no part in it: its events are
//! the machine's, and are traced only where the scope is the machine.

use super::typed::Subject;
use super::{catalogue, words};
use crate::compile::target::Target;
use crate::host::btf::{Btf, TypeId};

/// Whose the events are of the raw tracepoint that this function stands for; if the scope cannot be asked about them, why.
pub fn of(function: TypeId, target: &Target) -> Result<Subject, &'static str> {
    let everybody = target.sees_everybody();
    let types = target.types.as_deref();
    let named = types.and_then(|types| Some((types, words::raw_tracepoint_name(types, function)?)));
    let known = named.and_then(|(types, name)| Some((types, catalogue::subject(name)?)));
    let subject = match known {
        Some((_, catalogue::Subject::Nobody)) => {
            Err("it happens in interrupts or threads of the kernel, and belongs to no task")
        }
        Some((types, subject)) => resolved(types, function, subject).ok_or(UNKNOWN),
        None => Err(UNKNOWN),
    };
    if everybody { Ok(subject.unwrap_or(Subject::Anybody)) } else { subject }
}

/// Why events cannot be traced for a part of the machine that nobody has said anything of.
pub const UNKNOWN: &str = "it is not known which task its events belong to";

/// What the catalogue says in the words of this kernel's raw tracepoint; nothing if that has no such argument.
fn resolved(types: &Btf, function: TypeId, subject: catalogue::Subject) -> Option<Subject> {
    let word = |argument| words::word(types, function, argument);
    let request = |argument, or_current| {
        let word = word(argument)?;
        if argument == "bio" {
            return Some(Subject::Request { word, bio: None, or_current });
        }
        Some(Subject::Request { word, bio: Some(bio_of_request(types)?), or_current })
    };
    match subject {
        catalogue::Subject::Current => Some(Subject::Current),
        catalogue::Subject::Nobody => None,
        catalogue::Subject::Task(argument) => word(argument).map(Subject::Task),
        catalogue::Subject::Either(argument) => word(argument).map(Subject::Either),
        catalogue::Subject::Socket(argument) => word(argument).map(Subject::Socket),
        catalogue::Subject::Packet(argument) => word(argument).map(Subject::Packet),
        catalogue::Subject::Request(argument) => request(argument, true),
        catalogue::Subject::Done(argument) => request(argument, false),
        catalogue::Subject::Started(argument) => {
            Some(Subject::Request { word: word(argument)?, bio: None, or_current: false })
        }
    }
}

/// Where a request's pointer to its `struct bio` is.
pub fn bio_of_request(types: &Btf) -> Option<u32> {
    let request = types.composite("request").ok()?;
    types.field(request, "bio").ok().map(|field| field.offset())
}

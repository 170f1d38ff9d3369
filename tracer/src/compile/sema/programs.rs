//! Which clauses share a BPF program, and where each program is attached.
//!
//! All clauses at one raw tracepoint are one program, so that an event costs one call and one scope check; only what names
//! more maps than a program may have is several, one after the other. All `begin`
//! clauses are one, all `end` clauses another; each `interval` is its own, since it has its own timer, and so is each clause at functions of programs or of the kernel, which it has all to
//! itself.

use std::collections::{BTreeSet, HashSet};

use super::check::CheckedClause;
use super::clauses::Instance;
use super::probes::Event;
use super::typed::{Clause, Context, Program, Subject};
use super::{catalogue, iterators, subjects, usdt, words};
use crate::compile::target::Target;
use crate::host::elf::usdt::Marker;
use crate::host::functions::Function;
use crate::plan::{self, Attach, FentrySite, KprobeSite, MapId, ProbeId, UprobeSite};
use tracer_common::scope::ProcessFilter;

/// Most maps of a script that a program names, if it has more than one clause. The kernel allows a program 64
/// (MAX_USED_MAPS in include/linux/bpf_verifier.h), of which the runtime library has up to sixteen; a map may have a table
/// before it and a list of its keys, which are two others.
const MAX_MAPS: usize = 16;

/// The programs, typed and in the plan, in the same order: that of their first clauses.
pub fn assemble(
    instances: &[Instance<'_>],
    clauses: Vec<CheckedClause>,
    target: &Target,
) -> (Vec<Program>, Vec<plan::Program>) {
    let mut programs: Vec<Program> = Vec::new();
    let mut planned: Vec<plan::Program> = Vec::new();
    // Functions of the kernel are called by interrupts, too, and these come in the midst of other programs. Among
    // themselves such programs do not (the kernel's bpf_prog_active).
    let (in_kernel, others): (Vec<&Instance<'_>>, Vec<&Instance<'_>>) = (instances.iter())
        .filter(|instance| instance.sites[0].event.has_subject())
        .partition(|instance| matches!(instance.sites[0].event, Event::KernelFunction { .. }));
    let mixed = !in_kernel.is_empty() && !others.is_empty();
    // What each program has: maps, and probes.
    let mut contents: Vec<(BTreeSet<MapId>, HashSet<ProbeId>)> = Vec::new();
    for (instance, clause) in instances.iter().zip(clauses) {
        let event = instance.sites[0].event;
        let attach = attach(event, instance, target);
        let shared = !matches!(
            attach,
            Attach::Interval { .. }
                | Attach::Iterator { .. }
                | Attach::Uprobe { .. }
                | Attach::Kprobe { .. }
                | Attach::Fentry { .. }
        );
        // The last one: clauses run in their order.
        let known = planned.iter().rposition(|program| shared && program.attach == attach);
        let known = known.filter(|&at| contents[at].0.union(&clause.maps).count() <= MAX_MAPS);
        let at = known.unwrap_or_else(|| {
            planned.push(plan::Program { symbol: symbol(&attach, &planned), attach, probes: Vec::new() });
            programs.push(Program {
                context: context(event, target),
                subject: subject(event, target),
                preemptible: matches!(
                    event,
                    Event::Uprobe { .. } | Event::Usdt { .. } | Event::KernelCall { .. } | Event::Iterator { .. }
                ) || mixed && event.has_subject(),
                clauses: Vec::new(),
            });
            contents.push(Default::default());
            planned.len() - 1
        });
        let (maps, probes) = &mut contents[at];
        maps.extend(&clause.maps);
        planned[at].probes.extend(instance.ids.iter().filter(|id| probes.insert(**id)));
        programs[at].clauses.push(Clause {
            selector: instance.selector(),
            of_current: instance.of_current,
            probes: instance.ids.clone(),
            locals: clause.locals,
            predicate: clause.predicate,
            body: clause.body,
            span: instance.probe.span,
        });
    }
    // Samples are taken in interrupts, which come between the instructions of any other program; and so are many events.
    let interrupts = |program: &Program| matches!(program.context, Context::Sample | Context::Words | Context::Record);
    if programs.len() > 1 && programs.iter().any(interrupts) {
        programs.iter_mut().for_each(|program| program.preemptible = true);
    }
    let notes_requests = programs.iter().any(|program| matches!(program.subject, Subject::Request { .. }));
    let is_of_started = |program: &plan::Program| match &program.attach {
        Attach::RawTracepoint { event } => matches!(catalogue::subject(event), Some(catalogue::Subject::Started(_))),
        _ => false,
    };
    let notes_started = planned.iter().any(is_of_started);
    let mut add = |symbol: &str, event: &str, context| {
        let attach = Attach::RawTracepoint { event: event.into() };
        planned.push(plan::Program { symbol: symbol.into(), attach, probes: Vec::new() });
        programs.push(Program { context, subject: Subject::Anybody, preemptible: false, clauses: Vec::new() });
    };
    if notes_requests && !target.sees_everybody() {
        add("note_request", "block_bio_queue", Context::NoteRequest);
        if notes_started && let Some(bio) = target.types.as_deref().and_then(subjects::bio_of_request) {
            add("note_started", "block_io_start", Context::NoteStarted { bio });
        }
    }
    if target.scope.filter == ProcessFilter::Tree as u32 {
        add("follow_fork", "sched_process_fork", Context::FollowFork);
        add("forget_task", "sched_process_free", Context::ForgetTask);
    }
    (programs, planned)
}

/// Whose an event is.
fn subject(event: Event, target: &Target) -> Subject {
    match event {
        Event::RawTracepoint { function } | Event::Tracepoint { function, .. } => {
            subjects::of(function, target).expect("analysis has refused the others")
        }
        Event::Iterator { function } => {
            let task = target.types.as_deref().and_then(|types| iterators::task_word(types, function));
            task.map_or(Subject::Anybody, Subject::Task)
        }
        // Analysis lets them through only where the scope is the machine.
        Event::Record { .. } => Subject::Anybody,
        event if event.has_subject() => Subject::Current,
        _ => Subject::Anybody,
    }
}

fn attach(event: Event, instance: &Instance<'_>, target: &Target) -> Attach {
    match event {
        Event::RawTracepoint { function } | Event::Tracepoint { function, .. } => {
            let types = target.types.as_deref().expect("analysis has taken it from there");
            let name = words::raw_tracepoint_name(types, function).expect("analysis has found it by its name");
            Attach::RawTracepoint { event: name.into() }
        }
        Event::Record { format } => {
            let format = &target.formats[format];
            Attach::Tracepoint { event: format.full_name(), id: format.id }
        }
        Event::Begin => Attach::Begin,
        Event::End => Attach::End,
        Event::Interval(period) => Attach::Interval { period },
        Event::Signal => Attach::Signal,
        Event::Iterator { function } => {
            let types = target.types.as_deref().expect("analysis has taken it from there");
            let over = iterators::name(types, function).expect("analysis has found it by its name");
            Attach::Iterator { over: over.into(), ty: function.0 }
        }
        Event::AnySyscall { exit, .. } | Event::Syscall { exit, .. } => {
            Attach::RawTracepoint { event: if exit { "sys_exit" } else { "sys_enter" }.into() }
        }
        Event::Uprobe { file, exit, .. } => {
            let file = file_name(file, target);
            let sites = sites(instance, |event, probe| match event {
                Event::Uprobe { offset, .. } => Some(UprobeSite { offset, probe, semaphore: None }),
                _ => None,
            });
            Attach::Uprobe { file, exit, sites }
        }
        Event::Usdt { file, .. } => {
            let sites = sites(instance, |event, probe| match event {
                Event::Usdt { file, marker } => {
                    let Marker { offset, semaphore, .. } = *usdt::marker(target, file, marker);
                    Some(UprobeSite { offset, probe, semaphore })
                }
                _ => None,
            });
            Attach::Uprobe { file: file_name(file, target), exit: false, sites }
        }
        Event::Sample(sample) => Attach::Sample(sample),
        Event::KernelFunction { exit, .. } => {
            let sites = sites(instance, |event, probe| match event {
                Event::KernelFunction { function, offset, missing, .. } => {
                    let Function { name, module, .. } = &target.kernel_functions[function];
                    let function = match module {
                        None => name.clone(),
                        Some(module) => format!("{module}:{name}"),
                    };
                    Some(KprobeSite { function, offset, probe, missing })
                }
                _ => None,
            });
            Attach::Kprobe { exit, sites }
        }
        Event::KernelCall { exit, .. } => {
            let sites = sites(instance, |event, probe| match event {
                Event::KernelCall { function, missing, .. } => {
                    let Function { name, ty, .. } = &target.kernel_functions[function];
                    Some(FentrySite { function: name.clone(), ty: ty.as_ref()?.0, probe, missing })
                }
                _ => None,
            });
            Attach::Fentry { exit, sites }
        }
    }
}

/// What is made of each place that a clause is for, in their order.
fn sites<T>(instance: &Instance<'_>, make: impl Fn(Event, ProbeId) -> Option<T>) -> Vec<T> {
    instance.sites.iter().zip(&instance.ids).filter_map(|(site, &probe)| make(site.event, probe)).collect()
}

/// What the script calls a file.
fn file_name(file: usize, target: &Target) -> String {
    target.binaries.keys().nth(file).expect("analysis has taken it from there").clone()
}

fn context(event: Event, target: &Target) -> Context {
    match event {
        Event::Begin | Event::End | Event::Interval(_) | Event::Signal => Context::None,
        Event::AnySyscall { exit: false, .. } | Event::Syscall { exit: false, .. } => Context::SysEnter,
        Event::AnySyscall { exit: true, .. } | Event::Syscall { exit: true, .. } => Context::SysExit,
        Event::RawTracepoint { .. } | Event::Tracepoint { .. } => Context::Words,
        Event::KernelCall { .. } => Context::TypedWords,
        Event::Iterator { .. } => {
            let output = target.types.as_deref().and_then(iterators::output_offset);
            Context::Iterator { output: output.expect("every kernel with iterators has it") }
        }
        Event::Uprobe { .. } | Event::Usdt { .. } | Event::KernelFunction { .. } => Context::Registers,
        Event::Sample(_) => Context::Sample,
        Event::Record { .. } => Context::Record,
    }
}

/// A name for the program's function that no other program has.
fn symbol(attach: &Attach, planned: &[plan::Program]) -> String {
    let index = planned.len();
    let name = match attach {
        Attach::Begin => "begin".into(),
        Attach::End => "end".into(),
        Attach::Interval { .. } => format!("interval_{index}"),
        Attach::Signal => "signal".into(),
        Attach::Iterator { .. } => format!("iter_{index}"),
        Attach::RawTracepoint { event } => event.clone(),
        Attach::Tracepoint { .. } => format!("tracepoint_{index}"),
        Attach::Sample(_) => format!("sample_{index}"),
        Attach::Uprobe { exit: false, .. } => format!("uprobe_{index}"),
        Attach::Uprobe { exit: true, .. } => format!("uretprobe_{index}"),
        Attach::Kprobe { exit: false, .. } => format!("kprobe_{index}"),
        Attach::Kprobe { exit: true, .. } => format!("kretprobe_{index}"),
        Attach::Fentry { exit: false, .. } => format!("fentry_{index}"),
        Attach::Fentry { exit: true, .. } => format!("fexit_{index}"),
    };
    if planned.iter().any(|program| program.symbol == name) { format!("{name}_{index}") } else { name }
}

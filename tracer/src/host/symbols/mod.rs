//! Addresses → names: of the kernel, and of processes, those that have ended included.
//!
//! Collected early, looked up late. The frames of a stack come once, when it is first seen, and with them the process that
//! they are of. Then and there its mappings are read and the files that the frames lie in are opened, because a moment
//! later there may be no such process. What is in the files is looked at when a name is asked for.
//!
//! In reading order:
//! - [`maps`][]: /proc/PID/maps
//! - [`files`][]: what is mapped, open, and the names in it
//! - [`history`][]: what the kernel has noted of processes that are gone
//! - [`process`][]: the mappings of an address space, and what a just-in-time compiler says of itself
//! - [`kernel`][]: /proc/kallsyms

mod files;
mod history;
mod kernel;
mod maps;
mod process;

pub use kernel::addresses as kernel_addresses;

use std::cell::{OnceCell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use bytes::Buf;
use tracer_common::stack::{HEAD_SIZE, MAX_FRAMES, StackHead, StackId};

use crate::host::elf::Frame;
use crate::plan::{FrameStyle, Frames};
use files::Files;
use history::History;
use kernel::Kernel;
use process::{Process, Space};

/// Every stack that has been seen, and whatever gives names to its frames.
#[derive(Default)]
pub struct Symbols {
    stacks: HashMap<u64, Stack>,
    processes: HashMap<Space, Process>,
    files: RefCell<Files>,
    history: History,
    /// Files that stacks end in before they have come to where threads begin.
    cut_in: RefCell<BTreeSet<String>>,
    kernel: OnceCell<Kernel>,
}

/// The frames of a stack, innermost first.
#[derive(Debug, PartialEq, Eq)]
struct Stack {
    frames: Vec<u64>,
    /// Whose they are; `None`: the kernel's.
    space: Option<Space>,
}

/// A name, and how far behind its beginning the address lies.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Symbol {
    name: String,
    offset: u64,
}

impl Symbols {
    /// Takes in what the kernel has noted of a process: a side-band record of a perf event.
    pub fn note(&mut self, record: &[u8]) {
        self.history.note(record);
    }

    /// Takes a stack in, as `STACKS` has it, and looks at the process that it is of.
    pub fn learn(&mut self, record: &[u8]) {
        let Some((head, frames)) = parse(record) else { return };
        let space = (head.user != 0).then_some(Space { pid: head.pid, id: head.space });
        if let Some(space) = space {
            let process = self.processes.entry(space).or_default();
            process.look_at((space.pid, head.time), &frames, &self.history, self.files.get_mut());
        }
        if let Entry::Vacant(place) = self.stacks.entry(head.id.digest) {
            place.insert(Stack { frames, space });
        }
    }

    /// A stack as it is printed: each frame on a line, and an empty one before them. A symbol is its name only.
    pub fn show(&self, id: StackId, Frames { user: _, style, lines }: Frames) -> String {
        let stack = (id.frames != 0).then(|| self.stacks.get(&id.digest));
        if style == FrameStyle::Symbol {
            let (stack, address) = match stack.flatten() {
                Some(stack) => (stack, stack.frames.first().copied().unwrap_or(0)),
                None => return "[unknown]".to_owned(),
            };
            return self.symbol(stack, address).map_or_else(|| hexadecimal(address), |symbol| symbol.name);
        }
        let mut text = "\n".to_owned();
        match stack {
            None => {}
            Some(None) => text += "        [frames lost]\n",
            Some(Some(stack)) => {
                self.look_at_end(stack);
                for (index, &address) in self.without_tracing(stack).iter().take(id.frames as usize).enumerate() {
                    // Where a call returns to may be of another line than the call.
                    let looked_at = if index == 0 { address } else { address.wrapping_sub(1) };
                    let frames = if lines { self.frames(stack, looked_at) } else { Vec::new() };
                    self.show_frame(stack, address, style, &frames, &mut text);
                }
            }
        }
        text
    }

    /// The frames that a script asked for: the innermost may be one of what calls our programs.
    fn without_tracing<'s>(&self, stack: &'s Stack) -> &'s [u64] {
        let is_tracing =
            |symbol: Symbol| symbol.name.starts_with("__traceiter_") || symbol.name.starts_with("__bpf_trace_");
        match stack.frames.split_first() {
            Some((&first, rest)) if stack.space.is_none() && self.symbol(stack, first).is_some_and(is_tracing) => rest,
            _ => &stack.frames,
        }
    }

    /// The name of what is at an address of the kernel.
    pub fn kernel_symbol(&self, address: u64) -> String {
        self.kernel().symbol(address).map_or_else(|| hexadecimal(address), |symbol| symbol.name)
    }

    /// Notes a stack of a process that is not whole. The kernel follows frame pointers; where a library is built without, it
    /// takes whatever is in the register for one.
    fn look_at_end(&self, stack: &Stack) {
        /// Functions that threads begin with, or that only those call.
        const FIRST: [&str; 8] =
            ["main", "_start", "start_thread", "clone", "clone3", "__clone", "__clone3", "__libc_start_main"];
        let Some(space) = stack.space else { return };
        let Some(process) = self.processes.get(&space) else { return };
        let whole = |&address: &u64| {
            let symbol = self.symbol(stack, address);
            symbol.is_some_and(|symbol| FIRST.contains(&symbol.name.as_str()) || symbol.name.ends_with("thread_start"))
        };
        if stack.frames.len() == 1 || stack.frames.len() >= MAX_FRAMES || stack.frames.iter().any(whole) {
            return;
        }
        let last = stack.frames.iter().rev().find_map(|&address| process.mapping(address));
        if let Some(mapping) = last.filter(|mapping| mapping.file.1 != 0) {
            self.cut_in.borrow_mut().insert(mapping.path.clone());
        }
    }

    fn show_frame(&self, stack: &Stack, address: u64, style: FrameStyle, frames: &[Frame], text: &mut String) {
        let (function, inlined) = match frames.split_last() {
            Some((function, inlined)) => (Some(function), inlined),
            None => (None, frames),
        };
        for Frame { function, place } in inlined {
            let name = function.as_deref().unwrap_or("??");
            let line = match style {
                FrameStyle::Named => writeln!(text, "        [inlined] {name}{}", at(place)),
                FrameStyle::Perf => writeln!(text, "\t{address:x} {name} (inlined)"),
                FrameStyle::Raw | FrameStyle::Build | FrameStyle::Symbol => Ok(()),
            };
            line.expect("a string takes all");
        }
        let line = match style {
            FrameStyle::Raw => writeln!(text, "{address:x}"),
            FrameStyle::Named => {
                let place = function.map(|function| at(&function.place)).unwrap_or_default();
                writeln!(text, "        {}{place}", self.named(stack, address))
            }
            FrameStyle::Symbol => writeln!(text, "        {}", self.named(stack, address)),
            FrameStyle::Perf => match self.module(stack, address) {
                Some(module) => writeln!(text, "\t{address:x} {} ({module})", self.named(stack, address)),
                None => writeln!(text, "\t{address:x} {}", self.named(stack, address)),
            },
            FrameStyle::Build => match self.build(stack, address) {
                Some((id, offset)) => writeln!(text, "{id} {offset:#x}"),
                None => writeln!(text, "{address:#x}"),
            },
        };
        line.expect("a string takes all");
    }

    /// `function+offset`, or the address.
    fn named(&self, stack: &Stack, address: u64) -> String {
        match self.symbol(stack, address) {
            Some(Symbol { name, offset }) => format!("{name}+{offset}"),
            None => hexadecimal(address),
        }
    }

    fn symbol(&self, stack: &Stack, address: u64) -> Option<Symbol> {
        match stack.space {
            None => self.kernel().symbol(address),
            Some(space) => self.processes.get(&space)?.symbol(address, &mut self.files.borrow_mut()),
        }
    }

    /// The functions and lines of source at an address, innermost first.
    fn frames(&self, stack: &Stack, address: u64) -> Vec<Frame> {
        let process = stack.space.and_then(|space| self.processes.get(&space));
        process.map(|process| process.frames(address, &mut self.files.borrow_mut()).to_vec()).unwrap_or_default()
    }

    /// The file or the kernel's module that an address lies in.
    fn module(&self, stack: &Stack, address: u64) -> Option<String> {
        let Some(space) = stack.space else { return self.kernel().module(address) };
        let mapping = self.processes.get(&space).and_then(|process| process.mapping(address));
        // bpftrace names the file only where it knows the function.
        let known = mapping.filter(|_| self.symbol(stack, address).is_some());
        Some(known.map_or_else(|| "[unknown]".to_owned(), |mapping| mapping.path.clone()))
    }

    /// Which build of a file an address lies in, in hexadecimal, and where in the file.
    fn build(&self, stack: &Stack, address: u64) -> Option<(String, u64)> {
        let mapping = self.processes.get(&stack.space?)?.mapping(address)?;
        let id = self.files.borrow_mut().build_id(mapping)?;
        Some((id, mapping.file_offset(address)))
    }

    fn kernel(&self) -> &Kernel {
        self.kernel.get_or_init(Kernel::read)
    }

    /// Why addresses that were shown have no names, and what to do about it.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.kernel.get().is_some_and(Kernel::is_hidden) {
            remarks.push(
                "addresses of the kernel have no names here: /proc/kallsyms shows them to CAP_SYSLOG only \
                 (docker run --cap-add SYSLOG …)"
                    .to_owned(),
            );
        }
        remarks.extend(self.cut_in.borrow().iter().map(|file| {
            format!(
                "stacks end early in {file}: it seems to be built without frame pointers, so callers may be missing"
            )
        }));
        remarks.extend(self.files.borrow().given_up().map(|file| {
            format!("the debugging information of {file} takes too long to look through: lines may be missing")
        }));
        let (gone, forbidden) =
            self.processes.values().fold((0, 0), |(gone, forbidden), process| match process.unseen() {
                Some(process::Unseen::Gone) => (gone + 1, forbidden),
                Some(process::Unseen::Forbidden) => (gone, forbidden + 1),
                None => (gone, forbidden),
            });
        if gone > 0 {
            remarks.push(format!("{gone} processes had ended before their stacks could be named"));
        }
        if forbidden > 0 {
            remarks.push(format!(
                "the stacks of {forbidden} processes have no names: their mappings may be read by their own user only, \
                 or with CAP_SYS_PTRACE"
            ));
        }
        if self.history.lost > 0 {
            remarks.push(format!(
                "{} notes of what processes mapped were lost: stacks of those that have ended may have no names",
                self.history.lost
            ));
        }
        remarks
    }
}

/// Where a function is, as bpftrace shows it behind its name.
fn at(place: &Option<String>) -> String {
    place.as_ref().map(|place| format!("@{place}")).unwrap_or_default()
}

/// An address without a name, as bpftrace shows it.
fn hexadecimal(address: u64) -> String {
    if address == 0 { "0".to_owned() } else { format!("{address:#x}") }
}

fn parse(record: &[u8]) -> Option<(StackHead, Vec<u64>)> {
    let (mut head, frames) = record.split_at_checked(HEAD_SIZE)?;
    let id = StackId { digest: head.get_u64_le(), frames: head.get_u64_le() };
    let head = StackHead {
        id,
        pid: head.get_u32_le(),
        user: head.get_u32_le(),
        space: head.get_u64_le(),
        time: head.get_u64_le(),
    };
    let frames: Vec<u64> = frames.as_chunks().0.iter().map(|&frame| u64::from_le_bytes(frame)).collect();
    (frames.len() as u64 == head.id.frames).then_some((head, frames))
}

#[cfg(test)]
mod tests;

//! A session: begin, attach, the event loop, end.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::programs::perf_event::PerfEventLink;
use aya::programs::raw_trace_point::RawTracePointLink;
use aya::programs::{RawTracePointRunOptions, TestRun};
use tokio::io::unix::AsyncFdReadyGuard;
use tracer_common::failure::Failed;
use tracer_common::loss::{LOSS_KINDS, Loss};

use super::Error;
use super::attach::iter::Iterators;
use super::attach::sample;
use super::attach::uprobe::{self, Places};
use super::attach::{fentry, kprobe, tracepoint};
use super::command::Command;
use super::events::{Events, Happens};
use super::load::{Loaded, raw_tracepoint};
use super::log::Log;
use super::maps::Maps;
use super::records::Records;
use super::sys;
use crate::plan::{Attach, Plan, Program, Record, UprobeSite};

/// Most records that are handled before timers, signals and the command are looked at again.
const RECORDS_AT_ONCE: usize = 4096;

/// Bytes of the ring, unless the plan says otherwise: as the runtime library declares it.
const RING_SIZE: u32 = 1 << 20;

/// Whoever is told what happens, in order.
pub trait Sink {
    /// What makes it impossible to go on.
    type Error: From<Error>;

    /// Everything is attached, so many probes in all.
    fn attached(&mut self, probes: usize) -> Result<(), Self::Error>;

    /// A record of the ring, header included.
    fn record(&mut self, record: &[u8], maps: &mut Maps) -> Result<Flow, Self::Error>;

    /// Stacks have been sent ([`Maps::take_stacks`]): the moment to look at the processes that they are of.
    fn stacks(&mut self, maps: &mut Maps);

    /// The runtime library in the kernel says something of itself; only if the object was linked to talk.
    fn diagnostic(&mut self, message: &str);

    /// Something is not as the script asks for, and the session goes on.
    fn warning(&mut self, message: &str);

    /// One of [`Options::interval`] is over; the end programs have run, and their records have been handed over.
    fn interval(&mut self, maps: &mut Maps) -> Result<(), Self::Error>;

    /// Time to take out of the kernel what would fill its maps ([`ROOM_EVERY`]), if the plan has such maps.
    fn make_room(&mut self, maps: &mut Maps) -> Result<(), Self::Error>;

    /// No more records for now: the moment to flush.
    fn idle(&mut self) -> Result<(), Self::Error>;
}

/// How often the intervals of series are taken out of the kernel, which has a key for each.
const ROOM_EVERY: Duration = Duration::from_millis(100);

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Continue,
    /// End, for this reason.
    End(Reason),
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The script called `exit` with this code.
    Exit(i64),
    /// This signal came.
    Signal(i32),
    /// The duration asked for is over.
    Duration,
    /// The command has ended, like this.
    CommandEnded(ExitStatus),
    /// The only process that is traced has ended.
    ProcessEnded,
    /// Nobody reads the output any more.
    OutputClosed,
    /// There is nothing to wait for: the script has begin and end probes only.
    Complete,
}

/// What a session is asked for besides its script.
#[derive(Debug, Default)]
pub struct Options {
    /// Ends the session after this time.
    pub duration: Option<Duration>,
    /// Reports every so often what the end would report.
    pub interval: Option<Duration>,
    /// A process to start once everything is attached, with whose end the session ends.
    pub command: Option<Command>,
    /// Where the sink writes to: once nobody reads that any more, the session ends.
    pub output: Option<OwnedFd>,
    /// The files that the plan's probes are in.
    pub places: Places,
}

/// While it lives, a program is attached.
#[expect(dead_code, reason = "what counts is that they are kept")]
enum Link {
    RawTracepoint(RawTracePointLink),
    Uprobe(uprobe::Link),
    Sample(Vec<PerfEventLink>),
    Kprobe(Vec<OwnedFd>),
    Fentry(Vec<OwnedFd>),
    Tracepoint(OwnedFd),
}

/// What there is to say at the end.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Why it ended.
    pub reason: Reason,
    /// From the first attachment to the last detachment.
    pub duration: Duration,
    /// Probes that were attached.
    pub probes: usize,
    /// How often each kind of loss occurred, indexed by `tracer_common::loss::Loss`.
    pub losses: [u64; LOSS_KINDS],
    /// What has failed where, and how often, by place.
    pub failures: Vec<(Failed, u64)>,
}

/// Runs a session to its end. The maps are handed back for a last look: nothing writes to them any more.
pub fn run<S: Sink>(loaded: Loaded, plan: &Plan, options: Options, sink: &mut S) -> Result<(Outcome, Maps), S::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("cannot make an event loop"))?;
    runtime.block_on(async {
        let mut session = Session::new(loaded, plan, sink)?;
        let outcome = session.run(options).await?;
        Ok((outcome, session.maps))
    })
}

struct Session<'a, S> {
    ebpf: Ebpf,
    maps: Maps,
    records: Records,
    log: Option<Log>,
    multi: BTreeMap<String, OwnedFd>,
    many_kprobes: bool,
    calls: BTreeMap<String, Vec<Option<OwnedFd>>>,
    links: Vec<Link>,
    iterators: Iterators,
    /// The process of `-p` or `-c`.
    process: Option<u32>,
    plan: &'a Plan,
    sink: &'a mut S,
}

impl<'a, S: Sink> Session<'a, S> {
    fn new(loaded: Loaded, plan: &'a Plan, sink: &'a mut S) -> Result<Self, Error> {
        let Loaded { mut ebpf, mut maps, multi, many_kprobes, calls } = loaded;
        let records = Records::new(&mut ebpf)?;
        let log = Log::new(&mut ebpf)?;
        maps.listen(&mut ebpf)?;
        let (links, iterators, process) = (Vec::new(), Iterators::default(), None);
        Ok(Self { ebpf, maps, records, log, multi, many_kprobes, calls, links, iterators, process, plan, sink })
    }

    async fn run(&mut self, options: Options) -> Result<Outcome, S::Error> {
        // Before anything is attached: from here on a signal ends the session, and not the process.
        let mut events = Events::new(&options)?;
        let Options { duration, interval, mut command, output: _, places } = options;

        self.process = places.pid.or(command.as_ref().map(Command::pid));
        self.run_programs(|attach| *attach == Attach::Begin)?;
        // As in bpftrace, what begin probes have sent is handled once everything is attached. Only an `exit` comes
        // before: then nothing has to be.
        let sent = self.hold_records()?;
        let start = Instant::now();
        if !sent.iter().any(|record| self.is_exit(record)) {
            self.attach(&places)?;
        }
        self.sink.attached(self.plan.probes.len())?;
        let mut reason = match self.give_records(&sent)? {
            Flow::End(reason) => reason,
            Flow::Continue => {
                if let Some(command) = &mut command {
                    command.start().map_err(Error::from)?;
                }
                let timers = Timers::new(self.plan, interval);
                self.wait_for_end(&mut events, command.as_ref(), duration, timers).await?
            }
        };
        self.links.clear();
        self.iterators = Iterators::default();
        let duration = start.elapsed();
        self.maps.detached().map_err(Error::io("cannot wait for the programs to end"))?;

        if let (Some(command), false) = (&command, matches!(reason, Reason::CommandEnded(_))) {
            command.terminate().map_err(Error::from)?;
        }
        // An `exit` that is still on its way, as when the command ends right after it, is the script's word on how it ended.
        reason = self.take_rest(reason)?;
        self.run_programs(|attach| *attach == Attach::End)?;
        // As in bpftrace, what the end programs say of the status is the last word.
        if let last @ Reason::Exit(_) = self.take_rest(Reason::Complete)? {
            reason = last;
        }
        self.pass_diagnostics();
        let mut losses = self.maps.losses().map_err(Error::io("cannot read the loss counters"))?;
        losses[Loss::Missed as usize] += self.missed_runs()?;
        let failures = self.maps.failures().map_err(Error::io("cannot read the failures"))?;
        Ok(Outcome { reason, duration, probes: self.plan.probes.len(), losses, failures })
    }

    /// How often the kernel has left out a program that interrupted itself.
    fn missed_runs(&self) -> Result<u64, Error> {
        let missed = |program| sys::missed_runs(program).map_err(Error::io("cannot read what a program has missed"));
        let own = self.multi.values().chain(self.calls.values().flatten().flatten());
        let mut sum = own.map(|program| missed(program.as_fd())).sum::<Result<u64, Error>>()?;
        for (_, program) in self.ebpf.programs() {
            // Some are loaded only where they are attached.
            if let Ok(program) = program.fd() {
                sum += missed(program.as_fd())?;
            }
        }
        Ok(sum)
    }

    /// Handles all records that are left; the first `exit` of a script is the reason why it ends.
    fn take_rest(&mut self, mut reason: Reason) -> Result<Reason, S::Error> {
        while let Flow::End(end) = self.take_records(usize::MAX)? {
            if !matches!(reason, Reason::Exit(_)) {
                reason = end;
            }
        }
        Ok(reason)
    }

    /// The event loop.
    async fn wait_for_end(
        &mut self,
        events: &mut Events,
        command: Option<&Command>,
        duration: Option<Duration>,
        mut timers: Timers<'a>,
    ) -> Result<Reason, S::Error> {
        let waits = timers.run_programs() || self.plan.programs.iter().any(|program| program.attach == Attach::Signal);
        let is_complete = |session: &Self| session.links.is_empty() && session.iterators.is_done() && !waits;
        if is_complete(self) && command.is_none() {
            return Ok(Reason::Complete);
        }
        let end = duration.map(|duration| Instant::now() + duration);
        loop {
            // Records come last: however many there are, the rest is seen to.
            // However late we are, what was due before the end comes before it.
            let due = timers.next().filter(|&next| end.is_none_or(|end| next <= end));
            let event = tokio::select! {
                biased;
                happens = events.next(command) => match happens? {
                    Happens::End(reason) => return Ok(reason),
                    Happens::OwnSignal => Event::OwnSignal,
                },
                () = sleep_until(due) => Event::Timer,
                () = sleep_until(end) => return Ok(Reason::Duration),
                guard = ready(self.log.as_ref()) => {
                    guard?.clear_ready();
                    Event::Diagnostics
                }
                sent = self.maps.stacks_sent() => {
                    sent?;
                    Event::Stacks
                }
                ready = self.records.ready() => {
                    ready?;
                    Event::Records
                }
                // Whatever else comes is seen to between two steps.
                () = tokio::task::yield_now(), if !self.iterators.is_done() => Event::Iterate,
            };
            let flow = match event {
                Event::Records => {
                    let flow = self.take_records(RECORDS_AT_ONCE)?;
                    // As long as nothing is waited for, nobody asks the kernel for signals, timers and the command's end.
                    tokio::task::yield_now().await;
                    flow
                }
                Event::Iterate => {
                    self.iterators.advance()?;
                    match self.take_records(usize::MAX)? {
                        Flow::Continue if is_complete(self) && command.is_none() => Flow::End(Reason::Complete),
                        flow => flow,
                    }
                }
                Event::OwnSignal => {
                    self.run_programs(|attach| *attach == Attach::Signal)?;
                    Flow::Continue
                }
                Event::Timer => {
                    let mut flow = Flow::Continue;
                    for due in timers.due() {
                        match due {
                            Due::Program(program) => self.run_program(program)?,
                            Due::Report => flow = self.report()?,
                            Due::Room => self.sink.make_room(&mut self.maps)?,
                        }
                    }
                    flow
                }
                Event::Stacks => {
                    self.sink.stacks(&mut self.maps);
                    Flow::Continue
                }
                Event::Diagnostics => {
                    self.pass_diagnostics();
                    Flow::Continue
                }
            };
            if let Flow::End(reason) = flow {
                return Ok(reason);
            }
        }
    }

    /// Attaches whatever is to be attached.
    fn attach(&mut self, places: &Places) -> Result<(), Error> {
        let plan = self.plan;
        if plan.programs.iter().all(|program| program.attach.is_ours()) {
            return Ok(());
        }
        self.maps.attached().map_err(Error::io("cannot make a map of maps"))?;
        for program in &plan.programs {
            let link = self.attach_program(program, places)?;
            self.links.extend(link);
        }
        let at_functions = |program: &Program| matches!(program.attach, Attach::Kprobe { .. } | Attach::Fentry { .. });
        if self.links.is_empty() && plan.programs.iter().all(at_functions) {
            return Err(Error::NothingAttached);
        }
        Ok(())
    }

    /// Attaches a program, unless it is user space that runs it.
    fn attach_program(&mut self, program: &Program, places: &Places) -> Result<Option<Link>, Error> {
        let Program { symbol, attach, probes } = program;
        Ok(match attach {
            Attach::Sample(event) => {
                let probe = probes.first().map_or("", |probe| &self.plan.probes[probe.0 as usize]);
                Some(Link::Sample(sample::attach(&mut self.ebpf, symbol, probe, *event, self.process)?))
            }
            Attach::Begin | Attach::End | Attach::Interval { .. } | Attach::Signal => None,
            Attach::RawTracepoint { event } => {
                let program = raw_tracepoint(&mut self.ebpf, symbol)?;
                let link = program.attach(event).and_then(|link| program.take_link(link));
                Some(Link::RawTracepoint(link.map_err(|error| Error::Attach { event: event.clone(), error })?))
            }
            Attach::Tracepoint { event, id } => {
                let program = self.multi.get(symbol).ok_or_else(|| Error::missing(symbol))?;
                Some(Link::Tracepoint(tracepoint::attach(program, event, *id)?))
            }
            Attach::Uprobe { file, exit, sites } => Some(Link::Uprobe(match self.multi.get(symbol) {
                Some(program) => {
                    let (link, refused) = uprobe::attach_multi(program, places, file, *exit, sites)?;
                    let name = |site: &UprobeSite| self.plan.probes[site.probe.0 as usize].as_str();
                    let names: Vec<&str> = refused.iter().map(name).collect();
                    if !names.is_empty() {
                        self.sink.warning(&format!("the kernel cannot probe {}", names.join(", ")));
                    }
                    link
                }
                None => uprobe::attach_perf(&mut self.ebpf, symbol, places, file, *exit, sites)?,
            })),
            Attach::Iterator { over, .. } => {
                let program = self.multi.get(symbol).ok_or_else(|| Error::missing(symbol))?;
                self.iterators.add(program, over)?;
                None
            }
            Attach::Fentry { exit, sites } => {
                let programs = self.calls.get(symbol).ok_or_else(|| Error::missing(symbol))?;
                let (links, refused) = fentry::attach(programs, *exit, sites)?;
                if !refused.is_empty() {
                    self.sink.warning(&format!("the kernel does not let these be traced: {}", refused.join(", ")));
                }
                (!links.is_empty()).then_some(Link::Fentry(links))
            }
            Attach::Kprobe { exit, sites } => {
                let program = self.multi.get(symbol).ok_or_else(|| Error::missing(symbol))?;
                let (links, refused) = kprobe::attach(program, sites, *exit, self.many_kprobes)?;
                if !refused.is_empty() {
                    self.sink.warning(&format!("the kernel does not let these be probed: {}", refused.join(", ")));
                }
                (!links.is_empty()).then_some(Link::Kprobe(links))
            }
        })
    }

    /// Runs the programs that are attached to nothing and chosen so.
    fn run_programs(&mut self, chosen: impl Fn(&Attach) -> bool) -> Result<(), Error> {
        let plan = self.plan;
        plan.programs.iter().filter(|program| chosen(&program.attach)).try_for_each(|program| self.run_program(program))
    }

    /// Runs a program here and now, in our own context.
    fn run_program(&mut self, Program { symbol, .. }: &Program) -> Result<(), Error> {
        raw_tracepoint(&mut self.ebpf, symbol)?
            .test_run(RawTracePointRunOptions::new())
            .map(drop)
            .map_err(|error| Error::TestRun { program: symbol.clone(), error })
    }

    /// Does what is done at the end, while all goes on.
    fn report(&mut self) -> Result<Flow, S::Error> {
        self.run_programs(|attach| *attach == Attach::End)?;
        // As many as the ring has room for, each of 16 bytes at least: those of the end programs are among them. Behind
        // them, others may come for ever.
        let room = self.plan.ring_size.unwrap_or(RING_SIZE) / 16;
        let flow = self.take_records(room as usize)?;
        self.sink.interval(&mut self.maps)?;
        self.sink.idle()?;
        Ok(flow)
    }

    fn pass_diagnostics(&mut self) {
        for message in self.log.iter_mut().flat_map(Log::take) {
            self.sink.diagnostic(&message);
        }
    }

    /// Takes all records, to be given to the sink later.
    fn hold_records(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let mut held = Vec::new();
        let flow = self.records.take(usize::MAX, |record| {
            held.push(record.to_vec());
            Ok::<_, Error>(Flow::Continue)
        })?;
        debug_assert_eq!(flow, Flow::Continue);
        Ok(held)
    }

    /// Whether a record ends the session.
    fn is_exit(&self, record: &[u8]) -> bool {
        let id = record.first_chunk().map(|id| u32::from_ne_bytes(*id) as usize);
        id.is_some_and(|id| matches!(self.plan.records.get(id), Some(Record::Exit)))
    }

    /// Hands records to the sink that have been held, but none after one that ends the session.
    fn give_records(&mut self, held: &[Vec<u8>]) -> Result<Flow, S::Error> {
        for record in held {
            let flow = self.sink.record(record, &mut self.maps)?;
            if flow != Flow::Continue {
                return Ok(flow);
            }
        }
        self.sink.idle()?;
        Ok(Flow::Continue)
    }

    /// Hands records to the sink, at most so many and none after one that ends the session.
    fn take_records(&mut self, most: usize) -> Result<Flow, S::Error> {
        let Self { records, maps, sink, .. } = self;
        let flow = records.take(most, |record| sink.record(record, maps))?;
        if records.exhausted() {
            sink.idle()?;
        }
        Ok(flow)
    }
}

/// What the event loop wakes up for.
enum Event {
    Timer,
    Iterate,
    OwnSignal,
    Stacks,
    Diagnostics,
    Records,
}

/// Returns when there may be diagnostics; never, if nobody gives any.
async fn ready(log: Option<&Log>) -> Result<AsyncFdReadyGuard<'_, OwnedFd>, Error> {
    match log {
        Some(log) => log.ready().await,
        None => std::future::pending().await,
    }
}

/// Returns at an instant; never, if there is none.
async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

/// What is done from time to time.
#[derive(Clone, Copy)]
enum Due<'a> {
    /// An interval program runs.
    Program(&'a Program),
    /// What the end would report is reported.
    Report,
    /// Maps that would become full are emptied.
    Room,
}

/// What is done from time to time, how often, and when next.
struct Timers<'a>(Vec<(Due<'a>, Duration, Instant)>);

impl<'a> Timers<'a> {
    fn new(plan: &'a Plan, report: Option<Duration>) -> Self {
        let now = Instant::now();
        let program = |program: &'a Program| match program.attach {
            Attach::Interval { period } => Some((Due::Program(program), Duration::from_nanos(period))),
            _ => None,
        };
        let report = report.map(|period| (Due::Report, period));
        let room = plan.maps.iter().any(|map| map.series().is_some()).then_some((Due::Room, ROOM_EVERY));
        let all = plan.programs.iter().filter_map(program).chain(report).chain(room);
        Self(all.map(|(due, period)| (due, period, now + period)).collect())
    }

    /// Whether there is an interval program.
    fn run_programs(&self) -> bool {
        self.0.iter().any(|(due, ..)| matches!(due, Due::Program(_)))
    }

    /// When the first of them is to run.
    fn next(&self) -> Option<Instant> {
        self.0.iter().map(|&(_, _, next)| next).min()
    }

    /// Those that are to run now. Runs that have been missed are left out, and the rhythm is kept.
    fn due(&mut self) -> Vec<Due<'a>> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (timer, period, next) in &mut self.0 {
            if *next <= now {
                due.push(*timer);
                let missed = (now - *next).as_nanos() / period.as_nanos().max(1);
                *next += period.saturating_mul(missed as u32 + 1);
            }
        }
        due
    }
}

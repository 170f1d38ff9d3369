//! Makes known numbers of events, for the tests to count: `peer STEP…`, each step in turn.
//!
//! | step | does |
//! |---|---|
//! | `getppid=N`, `yield=N` | N calls of getppid, of sched_yield |
//! | `missing=N` | N calls of openat that fail with ENOENT |
//! | `long=N` | a call of openat with a name of N bytes, `/aaa…a`, which fails |
//! | `read=N`, `write=N` | N reads of one byte from /dev/zero, N writes of one byte to /dev/null |
//! | `call=N` | N calls of `peer_call(i, "call", 3, 4, 5, 6, 7)`, which returns `i * 2`, for i from 0 on |
//! | `signal=N` | N times SIGURG, which is ignored, to itself |
//! | `place=N`, `guarded=N` | N times the probes (USDT) `peer:place` at two places, and `peer:guarded` if anybody listens |
//! | `burn=N` | N milliseconds of processor time in the function `peer_burn` |
//! | `nap=N` | sleeps N times, for 2 ms |
//! | `touch=N` | writes to N fresh pages from address 0x7e0000000000 on, once each |
//! | `connect=N` | N TCP connections to itself, port 47613 of an address 127.….1 of its own |
//! | `echo=N`, `refused=N`, `unread=N` | N TCP connections: a text goes there and back; nobody listens; reset with a byte unread |
//! | `unanswered=N` | N TCP connections that are given up after 1.5 s, as the listener takes no more |
//! | `pair=N` | N texts through a pair of sockets (AF_UNIX) |
//! | `undelivered=N` | N datagrams (UDP) to a port of its own where nobody receives |
//! | `name=NAME` | renames the thread |
//! | `cgroup=NAME` | makes a cgroup below its own and moves there |
//! | `enter=FOLDER` | moves to the cgroup of that folder |
//! | `only=CAP,…` | gives up all capabilities but these (`bpf`, `perfmon`, `sys_admin`) for what it becomes next; `only=` gives up all |
//! | `exec` | becomes the command that the rest is |
//! | `words=FILE` | becomes the command whose words, quoted as for a shell, are the text of that file |
//! | `thread` | runs the rest in another thread |
//! | `fork`, `fork=N` | runs the rest in another process, in N of them one after the other, and waits for each |
//! | `busy` | calls getppid until stdin is closed |
//! | `hold` | waits until stdin is closed |

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use rustix::thread::CapabilitySet;

use anyhow::{Context, Result, bail, ensure};
use tests::{markers, sockets};

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(steps: &[String]) -> Result<()> {
    let Some((step, rest)) = steps.split_first() else { return Ok(()) };
    match step.split_once('=') {
        None if step == "thread" => {
            return std::thread::scope(|scope| scope.spawn(|| run(rest)).join())
                .map_err(|_| anyhow::anyhow!("the thread panicked"))?;
        }
        None if step == "fork" => return fork(1, rest),
        Some(("fork", times)) => return fork(times.parse().context("not a number of processes")?, rest),
        None if step == "exec" => return exec(rest),
        None if step == "busy" => busy()?,
        None if step == "hold" => hold()?,
        None => bail!("unknown step `{step}`"),
        Some(("only", kept)) => keep_only(kept)?,
        Some(("name", name)) => rustix::thread::set_name(&CString::new(name)?)?,
        Some(("cgroup", name)) => enter_below(name)?,
        Some(("enter", folder)) => fs::write(format!("{folder}/cgroup.procs"), std::process::id().to_string())?,
        Some(("words", file)) => {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
            return exec(&shlex::split(&text).with_context(|| format!("no words of a shell: {text}"))?);
        }
        Some((call, times)) => repeat(call, times.parse().context("not a number of calls")?)?,
    }
    run(rest)
}

/// Root's programs have the capabilities that are in the bounding set.
fn keep_only(kept: &str) -> Result<()> {
    // include/uapi/linux/capability.h
    let number = |name: &str| match name {
        "sys_admin" => Ok(21),
        "perfmon" => Ok(38),
        "bpf" => Ok(39),
        _ => bail!("unknown capability `{name}`"),
    };
    let kept: Vec<u32> = kept.split(',').filter(|name| !name.is_empty()).map(number).collect::<Result<_>>()?;
    let last: u32 = fs::read_to_string("/proc/sys/kernel/cap_last_cap")?.trim().parse()?;
    for capability in (0..=last).filter(|capability| !kept.contains(capability)) {
        rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << capability))
            .with_context(|| format!("cannot drop capability {capability}"))?;
    }
    Ok(())
}

fn fork(times: u64, steps: &[String]) -> Result<()> {
    let program = std::env::current_exe()?;
    for _ in 0..times {
        let status = Command::new(&program).args(steps).status()?;
        ensure!(status.success(), "the process ended with {status}");
    }
    Ok(())
}

fn exec(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command to become")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot become {program}"))
}

fn repeat(call: &str, times: u64) -> Result<()> {
    match call {
        "getppid" => (0..times).for_each(|_| getppid()),
        "yield" => (0..times).for_each(|_| rustix::thread::sched_yield()),
        "missing" => {
            for _ in 0..times {
                let opened = File::open("/nonexistent");
                ensure!(opened.is_err_and(|error| error.kind() == ErrorKind::NotFound), "/nonexistent exists");
            }
        }
        "signal" => {
            for _ in 0..times {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::URG)?;
            }
        }
        "nap" => (0..times).for_each(|_| std::thread::sleep(Duration::from_millis(2))),
        "touch" => touch(times as usize)?,
        "connect" => sockets::connect(times)?,
        "refused" => sockets::refused(times)?,
        "echo" => sockets::echo(times)?,
        "pair" => sockets::pair(times)?,
        "unread" => sockets::unread(times)?,
        "unanswered" => sockets::unanswered(times)?,
        "undelivered" => sockets::undelivered(times)?,
        "long" => {
            let name = format!("/{}", "a".repeat(usize::try_from(times)? - 1));
            ensure!(File::open(name).is_err(), "there is a file of that name");
        }
        "read" => {
            let mut zero = File::open("/dev/zero")?;
            for _ in 0..times {
                zero.read_exact(&mut [0])?;
            }
        }
        "write" => {
            let mut null = File::create("/dev/null")?;
            for _ in 0..times {
                null.write_all(&[0])?;
            }
        }
        "burn" => peer_burn(times),
        "call" => {
            for i in 0..times {
                PEER_CALLS.store(i + 1, Ordering::Relaxed);
                PEER_HALF.store(7, Ordering::Relaxed);
                ensure!(peer_call(i, c"call".as_ptr(), 3, 4, 5, 6, 7) == i * 2, "the call returned something else");
            }
        }
        "place" => (0..times as u32).for_each(markers::place),
        "guarded" => (0..times as u32).for_each(markers::guarded),
        _ => bail!("unknown call `{call}`"),
    }
    Ok(())
}

/// How often `call` has called so far.
#[expect(unsafe_code, reason = "scripts name it, so its symbol is as it is written here")]
#[unsafe(no_mangle)]
static PEER_CALLS: AtomicU64 = AtomicU64::new(0);

/// Two bytes, for their size: 7 once `call` has called.
#[expect(unsafe_code, reason = "scripts name it, so its symbol is as it is written here")]
#[unsafe(no_mangle)]
static PEER_HALF: AtomicU16 = AtomicU16::new(0);

/// Returns twice its first argument. Its text is read, so that it is in memory when the next call is probed.
#[expect(unsafe_code, reason = "scripts name it, so its symbol is as it is written here")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn peer_call(i: u64, text: *const std::ffi::c_char, c: u64, d: u64, e: u64, f: u64, g: u64) -> u64 {
    std::hint::black_box((text, c, d, e, f, g));
    i * 2
}

/// Takes so many milliseconds of processor time, almost all of them in its own code.
#[expect(unsafe_code, reason = "profiles name it, so its symbol is as it is written here")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn peer_burn(milliseconds: u64) {
    let used = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
    };
    let end = used() + milliseconds;
    let mut sum = 0u64;
    while used() < end {
        let mut round = 0u64;
        while round < 2_000_000 {
            sum ^= round;
            round += 1;
        }
        std::hint::black_box(sum);
    }
}

/// Pages are small ones, so that each write is the first to its page.
#[expect(unsafe_code, reason = "memory at an address that scripts know")]
fn touch(pages: usize) -> Result<()> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    const PAGE: usize = 4096;
    let wanted = std::ptr::without_provenance_mut::<std::ffi::c_void>(0x7e00_0000_0000);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE;
    // SAFETY: nothing else is mapped there, or the call fails; the writes are to what it has mapped.
    unsafe {
        let start = mmap_anonymous(wanted, pages * PAGE, ProtFlags::READ | ProtFlags::WRITE, flags)?;
        madvise(start, pages * PAGE, Advice::LinuxNoHugepage)?;
        (0..pages).for_each(|page| start.cast::<u8>().add(page * PAGE).write_volatile(1));
    }
    Ok(())
}

fn getppid() {
    let _ = rustix::process::getppid();
}

fn busy() -> Result<()> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                getppid();
            }
        });
        let held = hold();
        done.store(true, Ordering::Relaxed);
        held
    })
}

fn hold() -> Result<()> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// The cgroup file system may be mounted in either place; in a container it is there when it was given to it.
fn enter_below(name: &str) -> Result<()> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).context("no cgroup of version 2")?;
    let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .into_iter()
        .find(|root| fs::exists(format!("{root}/cgroup.procs")).unwrap_or(false))
        .context("cgroups of version 2 are not mounted")?;
    let below = format!("{root}{own}/{name}");
    fs::create_dir(&below).with_context(|| format!("cannot make {below}"))?;
    fs::write(format!("{below}/cgroup.procs"), std::process::id().to_string())?;
    Ok(())
}

//! Each kind of probe in a container, counted exactly, while another container that runs the very same file makes the same
//! events all the time.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::functions::Attached;
use crate::world::{PRIVILEGED, World, exec, exec_held};

/// What a container makes, as a peer's steps.
struct Kind {
    /// What counts it, with `@` for what is expected.
    script: &'static str,
    steps: &'static [&'static str],
    expected: &'static str,
}

/// Kinds that this kernel has in every container that may trace.
const KINDS: [Kind; 9] = [
    Kind {
        script: "uprobe:/bin/peer:peer_call { @ = count(); @sum = sum(arg0); }",
        steps: &["call=50"],
        expected: "@: 50\n@sum: 1225",
    },
    Kind { script: "uprobe:/bin/pee*:peer_cal* { @ = count(); }", steps: &["call=20"], expected: "@: 20" },
    Kind {
        script: "uretprobe:/bin/peer:peer_call { @ = count(); @sum = sum(retval); }",
        steps: &["call=50"],
        expected: "@: 50\n@sum: 2450",
    },
    Kind { script: "usdt:/bin/peer:peer:place { @ = count(); }", steps: &["place=30"], expected: "@: 60" },
    Kind { script: "usdt:/bin/peer:guarded { @ = sum(arg0); }", steps: &["guarded=40"], expected: "@: 780" },
    Kind {
        script: "tracepoint:syscalls:sys_enter_getppid / comm == \"peer\" / { @ = count(); }",
        steps: &["getppid=70"],
        expected: "@: 70",
    },
    Kind {
        script: "rawtracepoint:sys_enter / arg1 == 110 && comm == \"peer\" / { @ = count(); }",
        steps: &["getppid=70"],
        expected: "@: 70",
    },
    Kind {
        script: "tracepoint:sched:sched_process_fork / comm == \"peer\" / { @ = count(); }",
        steps: &["fork=7", "yield=1"],
        expected: "@: 7",
    },
    // 100 fresh pages: the kernel takes a fault for each.
    Kind {
        script: "tracepoint:exceptions:page_fault_user
                 / args.address >= 0x7e0000000000 && args.address < 0x7e0000064000 / { @ = count(); }",
        steps: &["touch=100"],
        expected: "@: 100",
    },
];

/// What the neighbour does.
const BUSY: &str = "while :; do peer call=100 place=100 guarded=100 getppid=100 touch=100 fork=2 yield=1; done";

/// What is counted in a container, for each kind.
pub fn exact(world: &World) -> Result<()> {
    let image = world.application()?;
    let _neighbour = world.docker.run(&[], &image, &["sh", "-c", BUSY])?;
    let app = world.docker.run(PRIVILEGED, &image, &["sleep", "1000"])?;
    for Kind { script, steps, expected } in KINDS {
        // The last event of all: whoever makes it has the name that nobody else has.
        let script = format!("{script} tracepoint:syscalls:sys_enter_sched_yield / comm == \"done\" / {{ exit(); }}");
        let ctrace = Attached::new(&app, &["-e", &script])?;
        exec(&app, &[&["peer"], steps].concat())?;
        exec(&app, &["peer", "name=done", "yield=1"])?;
        let printed = ctrace.output()?;
        ensure!(printed == expected, "expected {expected:?} of {script}\ngot {printed:?}");
    }
    Ok(())
}

/// With `-p`, another container's process that runs the very same file is not told that somebody listens to its probes.
pub fn listeners(world: &World) -> Result<()> {
    let image = world.application()?;
    let other = world.docker.run(&["--interactive"], &image, &["peer", "hold"])?;
    let app = world.docker.run(&[PRIVILEGED, &["--interactive"]].concat(), &image, &["sleep", "1000"])?;
    let held = exec_held(&app, &["peer", "hold", "guarded=5"])?;
    let pid = loop {
        // It is there once `docker exec` has started it.
        let found = app.exec(&["pidof", "peer"])?;
        if found.status.success() {
            break String::from_utf8(found.stdout)?.trim().to_owned();
        }
    };
    let ctrace = Attached::new(&app, &["-p", &pid, "-e", "usdt:/bin/peer:guarded { @ = count(); }"])?;
    let listeners = listeners_of(world.peer(), world.docker.pid(&other)?)?;
    ensure!(listeners == 0, "{listeners} listen to another container's process");
    drop(held);
    let printed = ctrace.output()?;
    ensure!(printed == "@: 5", "expected 5 calls of a process, got {printed}");
    Ok(())
}

/// How many listen to `peer:guarded` in a process: its semaphore.
fn listeners_of(peer: &Path, pid: u32) -> Result<u16> {
    let listed = Command::new("nm").arg(peer).output().context("cannot run nm")?;
    let listed = String::from_utf8(listed.stdout)?;
    let symbol =
        listed.lines().find(|line| line.ends_with(" PEER_GUARDED_SEMAPHORE")).context("nm shows no semaphore")?;
    let address = u64::from_str_radix(symbol.split(' ').next().unwrap_or_default(), 16)?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let first = maps.lines().find(|line| line.ends_with("/bin/peer")).with_context(|| format!("no peer in {maps}"))?;
    let start = u64::from_str_radix(first.split('-').next().unwrap_or_default(), 16)?;
    let mut bytes = [0; 2];
    fs::File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut bytes, start + address)?;
    Ok(u16::from_le_bytes(bytes))
}

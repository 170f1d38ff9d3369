//! Functions of programs and libraries in containers: the files are the container's own, and so is what is counted.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tests::docker::{Container, Image};
use tests::process::NOTIFY;

use crate::world::{PRIVILEGED, World, exec, libraries, stderr};

/// Where musl's library is, which is its dynamic linker too.
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";
/// Where Debian's is.
const GLIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

/// What `calls` asks malloc for, and the end of each batch.
const COUNT: &str =
    "uprobe:libc:malloc / arg0 == 4711 / { @ = count(); } uprobe:libc:malloc / arg0 == 4712 / { exit(); }";

/// A container without glibc.
pub fn musl(world: &World) -> Result<()> {
    let programs = Programs::new("musl")?;
    let calls = programs.compile("musl-gcc", "calls.c", "calls", &[])?;
    let image = world.image(&[(&calls, "/bin/calls"), (Path::new(MUSL), MUSL)])?;
    counts_malloc(world, &image, &programs, MUSL)
}

/// A container with glibc.
pub fn glibc(world: &World) -> Result<()> {
    let programs = Programs::new("glibc")?;
    let calls = programs.compile("cc", "calls.c", "calls", &[])?;
    let image = world.image(&with_libraries(&[(&calls, "/bin/calls")])?.borrowed())?;
    counts_malloc(world, &image, &programs, GLIBC)
}

/// `uprobe:libc:malloc` counts exactly what a program calls. Another container that runs code of the very same file is not
/// counted, and with `-p` its code stays as it is.
fn counts_malloc(world: &World, image: &Image<'_>, programs: &Programs, library: &str) -> Result<()> {
    // One file for both, whatever Docker keeps images in; and no other process of the machine has it.
    let shared = programs.folder.join("libc");
    fs::copy(library, &shared)?;
    let volume = format!("{}:{library}:ro", shared.display());
    let options = [PRIVILEGED, &["--volume", &volume]].concat();
    let other = world.docker.run(&options, image, &["calls", "0", "busy"])?;
    let app = world.docker.run(&options, image, &["calls", "100", "wait"])?;

    let printed = exec(&app, &["ctrace", "-q", "-e", COUNT, "-c", "calls 1000"])?;
    ensure!(printed.trim() == "@: 1000", "expected 1000 calls of a command, got {printed}");

    let malloc = address(&shared, "malloc")?;
    let [app_pid, other_pid] = [&app, &other].map(|container| world.docker.pid(container));
    let (app_pid, other_pid) = (app_pid?, other_pid?);
    let ctrace = Attached::new(&app, &["-p", "1", "-e", COUNT])?;
    let patched = (is_patched(app_pid, library, malloc)?, is_patched(other_pid, library, malloc)?);
    world.docker.read(&["kill", "--signal", "USR1", &app.name])?;
    let counted = ctrace.output()?;
    ensure!(patched == (true, false), "the code of (the process of `-p`, another container's) is patched: {patched:?}");
    ensure!(counted == "@: 100", "expected 100 calls of a process, got {counted}");
    Ok(())
}

/// With `--follow`, what a process starts is traced, too: functions and probes (USDT) of another program, and that one is
/// told that somebody listens.
pub fn follow(world: &World) -> Result<()> {
    let image = world.application()?;
    let start = "trap 'peer call=5 guarded=5' USR1; while :; do sleep 1000 & wait; done";
    let app = world.docker.run(PRIVILEGED, &image, &["sh", "-c", start])?;
    let script = "uprobe:/bin/peer:peer_call { @calls = count(); } usdt:/bin/peer:guarded { @guarded = count(); }
                  usdt:/bin/peer:guarded / arg0 == 4 / { exit(); }";
    let ctrace = Attached::new(&app, &["-p", "1", "--follow", "-e", script])?;
    world.docker.read(&["kill", "--signal", "USR1", &app.name])?;
    let counted = ctrace.output()?;
    ensure!(counted == "@calls: 5\n@guarded: 5", "expected 5 calls of each, got {counted}");
    Ok(())
}

/// ctrace in a container, attached.
pub struct Attached {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Attached {
    /// Starts it, and waits until it is attached.
    pub fn new(app: &Container<'_>, arguments: &[&str]) -> Result<Self> {
        let environment = format!("{NOTIFY}=1");
        let mut process = app.exec_with(&["--env", &environment], &[&["ctrace"], arguments].concat());
        let mut process = process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(process.stdout.take().context("no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        if line.trim() != NOTIFY {
            let ended = process.wait_with_output()?;
            bail!("ctrace is not attached: {line}{}", stderr(&ended));
        }
        Ok(Self { process, output })
    }

    /// What it prints until it ends by itself.
    pub fn output(mut self) -> Result<String> {
        let mut printed = String::new();
        self.output.read_to_string(&mut printed)?;
        let ended = self.process.wait_with_output()?;
        ensure!(ended.status.success(), "ctrace ended with {}:\n{}", ended.status, stderr(&ended));
        Ok(printed.trim().to_owned())
    }
}

/// The time that a function takes, in programs of several languages and with symbols in several places.
pub fn latencies(world: &World) -> Result<()> {
    let programs = Programs::new("latencies")?;
    let stripped = programs.compile("cc", "slow.c", "slow-stripped", &["-s", "-rdynamic"])?;
    let mini = programs.compile("cc", "slow.c", "slow-mini", &[])?;
    programs.minimize(&mini)?;
    let cpp = programs.compile("c++", "slow.cc", "slow-cpp", &[])?;
    let rust = programs.compile("rustc", "slow.rs", "slow-rust", &[])?;
    let files = [
        (&*stripped, "/bin/slow-stripped"),
        (&*mini, "/bin/slow-mini"),
        (&*cpp, "/bin/slow-cpp"),
        (&*rust, "/bin/slow-rust"),
    ];
    let image = world.image(&with_libraries(&files)?.borrowed())?;
    let app = world.docker.run(PRIVILEGED, &image, &["sleep", "1000"])?;
    for (program, function) in [
        ("slow-stripped", "slow_function"),
        ("slow-mini", "slow_function"),
        ("slow-cpp", "\"slow::Worker::work\""),
        ("slow-cpp", "cpp:\"slow::Worker::work(int)\""),
        ("slow-rust", "\"slow::work\""),
    ] {
        let script = format!(
            "uprobe:/bin/{program}:{function} {{ @start[tid] = nsecs; }}
             uretprobe:/bin/{program}:{function} / @start[tid] / {{
                 @calls = count(); @least = min(nsecs - @start[tid]); @p = hdr(nsecs - @start[tid]); delete(@start, tid);
             }}"
        );
        let command = format!("/bin/{program} 5");
        let printed = exec(&app, &["ctrace", "-q", "-e", &script, "-c", &command])?;
        let value = |name: &str| -> Result<u64> {
            let line = printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            Ok(line.with_context(|| format!("no {name} for {program} in:\n{printed}"))?.parse()?)
        };
        ensure!(value("@calls")? == 5, "{program}: expected 5 calls:\n{printed}");
        ensure!((2_000_000..1_000_000_000).contains(&value("@least")?), "{program}: the least time:\n{printed}");
    }
    Ok(())
}

/// Python's own probe names the functions of a script.
pub fn python(world: &World) -> Result<()> {
    let python = fs::canonicalize("/usr/bin/python3").context("Debian's Python is not here")?;
    let version = python.file_name().and_then(|name| name.to_str()).context("a program has a name")?;
    let library = format!("/usr/lib/{version}");
    let mut files = with_libraries(&[(&python, "/bin/python3")])?;
    // What it cannot start without.
    for module in ["os.py", "encodings/__init__.py", "encodings/aliases.py", "encodings/utf_8.py"] {
        let path = format!("{library}/{module}");
        files.0.push((path.clone().into(), path));
    }
    files.0.push((source("functions.py"), "/functions.py".to_owned()));
    let image = world.image(&files.borrowed())?;
    let app = world.docker.run(PRIVILEGED, &image, &["sleep", "1000"])?;
    let listed = exec(&app, &["ctrace", "-l", "usdt:python3:function__entry"])?;
    ensure!(listed == "usdt:/bin/python3:python:function__entry\n", "{listed}");

    let script = "usdt:/bin/python3:function__entry / str(arg0) == \"/functions.py\" / { @[str(arg1)] = count(); }";
    let home = "--env=PYTHONHOME=/usr";
    let mut ctrace = app.exec_with(&[home], &["ctrace", "-q", "-e", script, "-c", "/bin/python3 -S /functions.py"]);
    let output = ctrace.stdin(Stdio::null()).output()?;
    let printed = String::from_utf8(output.stdout.clone())?;
    ensure!(output.status.success(), "ctrace ended with {}: {}", output.status, stderr(&output));
    for expected in ["@[one]: 4", "@[two]: 2"] {
        ensure!(printed.lines().any(|line| line == expected), "expected {expected} in:\n{printed}{}", stderr(&output));
    }
    Ok(())
}

/// From outside of a container: its files are its own, and no link in there leads out of it.
pub fn links(world: &World) -> Result<()> {
    let image = world.application()?;
    let app = world.docker.run(&["--interactive"], &image, &["peer", "hold"])?;
    let outside = fs::canonicalize(world.peer())?.display().to_string();
    exec(&app, &["ln", "-s", &outside, "/absolute"])?;
    exec(&app, &["ln", "-s", &format!("../../../../../..{outside}"), "/relative"])?;
    exec(&app, &["ln", "-s", &format!("/proc/1/root{outside}"), "/magic"])?;
    exec(&app, &["mkfifo", "/fifo"])?;
    let pid = world.docker.pid(&app)?.to_string();
    for (path, why) in [
        ("/absolute", "cannot open /absolute: No such file or directory"),
        ("/relative", "cannot open /relative: No such file or directory"),
        ("/magic", "cannot open /magic: "),
        ("/fifo", "/fifo is a FIFO, not a file with a program"),
        ("/dev/zero", "/dev/zero is a device, not a file with a program"),
        ("/proc/self/maps", "/proc/self/maps"),
        ("/etc", "/etc is a directory, not a file with a program"),
    ] {
        let output = Command::new(world.ctrace())
            .args(["-p", &pid, "-e", &format!("uprobe:{path}:main {{ exit(); }}")])
            .stdin(Stdio::null())
            .output()?;
        let said = stderr(&output);
        ensure!(output.status.code() == Some(2), "{path}: ended with {}:\n{said}", output.status);
        ensure!(said.contains(why), "{path}: expected {why}:\n{said}");
    }
    let listed = Command::new(world.ctrace()).args(["-l", "-p", &pid, "uprobe:/bin/peer:peer_call"]).output()?;
    ensure!(listed.stdout == b"uprobe:/bin/peer:peer_call\n", "{}{}", stderr(&listed), listed.status);
    Ok(())
}

/// Files for an image: where they are here, and where there.
pub struct Files(pub Vec<(PathBuf, String)>);

impl Files {
    /// For [`World::image`].
    pub fn borrowed(&self) -> Vec<(&Path, &str)> {
        self.0.iter().map(|(from, to)| (from.as_path(), to.as_str())).collect()
    }
}

/// Programs, and the libraries that they need.
pub fn with_libraries(programs: &[(&Path, &str)]) -> Result<Files> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for (from, to) in programs {
        files.push((from.to_path_buf(), (*to).to_owned()));
        let program = from.to_str().context("a path is text")?;
        files.extend(libraries(program)?.into_iter().map(|library| (library.clone().into(), library)));
    }
    files.sort();
    files.dedup();
    Ok(Files(files))
}

/// Test programs, compiled here; gone with their folder.
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// A folder of that name.
    pub fn new(name: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ctrace-test-programs-{}-{name}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Self { folder })
    }

    /// Compiles a program with optimisation.
    pub fn compile(&self, compiler: &str, name: &str, program: &str, options: &[&str]) -> Result<PathBuf> {
        let path = self.folder.join(program);
        run(Command::new(compiler).arg("-O").args(options).arg("-o").arg(&path).arg(source(name)))?;
        Ok(path)
    }

    /// Strips a program, and leaves what it had as symbols inside it, compressed.
    fn minimize(&self, program: &Path) -> Result<()> {
        let symbols = self.folder.join("symbols");
        run(Command::new("objcopy").arg("--only-keep-debug").arg(program).arg(&symbols))?;
        run(Command::new("strip").arg(program))?;
        run(Command::new("xz").arg(&symbols))?;
        let section = format!(".gnu_debugdata={}.xz", symbols.display());
        run(Command::new("objcopy").args(["--add-section", &section]).arg(program))
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("left behind: {}: {error}", self.folder.display());
        }
    }
}

/// A test program's text.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} ended with {}:\n{}", output.status, stderr(&output));
    Ok(())
}

/// The address of a library's function, before the library is moved anywhere.
fn address(library: &Path, function: &str) -> Result<u64> {
    let listed = Command::new("nm").arg("--dynamic").arg(library).output().context("cannot run nm")?;
    let listed = String::from_utf8(listed.stdout)?;
    let found = listed.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        [address, "T" | "W", name] if name.split('@').next() == Some(function) => Some(address),
        _ => None,
    });
    Ok(u64::from_str_radix(found.with_context(|| format!("nm shows no {function}"))?, 16)?)
}

/// Whether a breakpoint is at an address of a library in a process.
fn is_patched(pid: u32, library: &str, address: u64) -> Result<bool> {
    /// `int3`.
    const BREAKPOINT: u8 = 0xcc;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let first = maps.lines().find(|line| line.ends_with(library)).with_context(|| format!("no {library} in {maps}"))?;
    let start = u64::from_str_radix(first.split('-').next().unwrap_or_default(), 16)?;
    let mut byte = [0];
    fs::File::open(format!("/proc/{pid}/mem"))?.read_exact_at(&mut byte, start + address)?;
    Ok(byte == [BREAKPOINT])
}

//! PostgreSQL's own probes, in Debian's build of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tests::docker::Container;

use crate::functions::{Attached, Files, with_libraries};
use crate::world::{PRIVILEGED, World, exec};

/// Starts a server whose files lie in memory; PostgreSQL does not run as root.
const START: &str = "mkdir /data && chown postgres /data && exec su postgres -c \
    'initdb --no-sync --auth trust -D /data && exec postgres -D /data -k /data -c listen_addresses='";

/// The queries that are told from the server's own by their text, and the transactions that begin in them.
const SCRIPT: &str = "
    usdt:POSTGRES:query__start / str(arg0) == \"SELECT 4711\" / { @queries = count(); @in[pid] = 1; }
    usdt:POSTGRES:transaction__start / @in[pid] / { @transactions = count(); }
    usdt:POSTGRES:query__done / @in[pid] / { @done = count(); @texts[str(arg0)] = count(); delete(@in, pid); }
    usdt:POSTGRES:query__start / str(arg0) == \"SELECT 4712\" / { clear(@in); exit(); }";

/// Queries and transactions of clients are counted to the last one, and have their texts.
pub fn queries(world: &World) -> Result<()> {
    let folder = newest("/usr/lib/postgresql")?.join("bin");
    let programs = ["postgres", "initdb", "psql"].map(|name| folder.join(name));
    let borrowed: Vec<(&Path, &str)> =
        programs.iter().map(|path| Ok((&**path, path.to_str().context("text")?))).collect::<Result<_>>()?;
    let mut files = with_libraries(&borrowed)?;
    add_folder(&mut files, &newest("/usr/share/postgresql")?)?;
    for library in ["plpgsql.so", "dict_snowball.so"] {
        let path = folder.with_file_name("lib").join(library);
        files.0.push((path.clone(), path.display().to_string()));
    }
    // Who it runs as, and the time zones that it knows.
    let passwd = std::env::temp_dir().join(format!("ctrace-test-passwd-{}", std::process::id()));
    fs::write(&passwd, "root:x:0:0::/root:/bin/sh\npostgres:x:1000:1000::/tmp:/bin/sh\n")?;
    files.0.push((passwd.clone(), "/etc/passwd".to_owned()));
    add_folder(&mut files, Path::new("/usr/share/zoneinfo/Etc"))?;
    let image = world.image(&files.borrowed());
    fs::remove_file(&passwd)?;
    let image = image?;

    let path = format!("PATH={}:/bin", folder.display());
    let options = [PRIVILEGED, &["--env", &path, "--shm-size", "256m"]].concat();
    let app = world.docker.run(&options, &image, &["sh", "-c", START])?;
    wait_until_ready(world, &app)?;
    let script = SCRIPT.replace("POSTGRES", &programs[0].display().to_string());
    let listed = exec(&app, &["ctrace", "-l", &format!("usdt:{}:transaction__*", programs[0].display())])?;
    ensure!(listed.lines().count() == 3, "start, commit, abort:\n{listed}");
    let ctrace = Attached::new(&app, &["-e", &script])?;
    let psql = |query: &str, times: usize| {
        let queries: Vec<&str> = std::iter::repeat_n(["-c", query], times).flatten().collect();
        exec(&app, &[&["psql", "-q", "-h", "/data", "-U", "postgres"], &queries[..]].concat())
    };
    psql("SELECT 4711", 20)?;
    psql("SELECT 4711", 5)?;
    psql("SELECT 4712", 1)?;
    let printed = ctrace.output()?;
    let expected = "@done: 25\n@queries: 25\n@texts[SELECT 4711]: 25\n@transactions: 25";
    let lines: Vec<&str> = printed.lines().filter(|line| !line.is_empty()).collect();
    ensure!(lines.join("\n") == expected, "expected {expected}\ngot {printed}");
    Ok(())
}

/// The folder of the newest version there.
fn newest(folder: &str) -> Result<PathBuf> {
    let versions = fs::read_dir(folder).with_context(|| format!("PostgreSQL is not here: no {folder}"))?;
    let versions = versions.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    versions.into_iter().filter(|path| number(path).is_some()).max_by_key(number).context("no version of PostgreSQL")
}

/// All files of a folder, where they are.
fn add_folder(files: &mut Files, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        match fs::metadata(&path) {
            Ok(status) if status.is_dir() => add_folder(files, &path)?,
            Ok(_) => files.0.push((path.clone(), path.display().to_string())),
            // A link to a page of a manual that is not installed.
            Err(_) => {}
        }
    }
    Ok(())
}

/// Waits for the line of the server's log that says so.
fn wait_until_ready(world: &World, app: &Container<'_>) -> Result<()> {
    let mut follow = world.docker.command();
    follow.args(["logs", "--follow", &app.name]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut follow: Child = follow.spawn().context("cannot run docker")?;
    let lines = BufReader::new(follow.stderr.take().context("no output")?);
    let mut log = String::new();
    for line in lines.lines() {
        let line = line?;
        if line.contains("ready to accept connections") {
            follow.kill()?;
            follow.wait()?;
            return Ok(());
        }
        log += &format!("{line}\n");
    }
    follow.wait()?;
    bail!("the server has ended:\n{log}")
}

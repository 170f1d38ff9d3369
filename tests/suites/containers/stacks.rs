//! Stacks have the names that are in the container's own files.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::functions::{Programs, with_libraries};
use crate::world::{PRIVILEGED, World, exec, json};

/// A profile names the function that takes the time, of a program that is nowhere but in the container, and of a process
/// that has ended before anything is printed.
pub fn hot_function(world: &World) -> Result<()> {
    let image = world.application()?;
    let app = world.docker.run(PRIVILEGED, &image, &["sleep", "1000"])?;
    let script = "profile:hz:99 { @[ustack, kstack, comm] = count(); }";
    let printed = exec(&app, &["ctrace", "-f", "json", "-e", script, "-c", "peer fork burn=1000"])?;

    let samples = json(&printed, "map")?;
    let samples = samples["@"].as_object().context("stacks with their counts")?;
    let count = |of: &dyn Fn(&str) -> bool| -> u64 {
        samples.iter().filter(|(stack, _)| of(stack)).filter_map(|(_, count)| count.as_u64()).sum()
    };
    let hot = count(&|stack| stack.starts_with("\n        peer_burn+") && stack.ends_with(",peer"));
    let all = count(&|_| true);
    // A second of processor time is 99 samples; whatever else is sampled is the start and the end of programs.
    ensure!(hot * 2 > all && hot > 49, "{hot} of {all} samples in peer_burn:\n{printed}");
    Ok(())
}

/// What a profile of a command in the container shows: stacks and how often they were seen.
fn profile(world: &World, programs: &[(&Path, &str)], settings: &str, command: &str) -> Result<Vec<(String, u64)>> {
    let image = world.image(&with_libraries(programs)?.borrowed())?;
    let app = world.docker.run(PRIVILEGED, &image, &["sleep", "1000"])?;
    let script = format!("{settings} profile:hz:99 {{ @[ustack] = count(); }}");
    let printed = exec(&app, &["ctrace", "-f", "json", "-e", &script, "-c", command])?;
    let samples = json(&printed, "map")?;
    let samples = samples["@"].as_object().context("stacks with their counts")?;
    Ok(samples.iter().map(|(stack, count)| (stack.clone(), count.as_u64().unwrap_or(0))).collect())
}

fn count(samples: &[(String, u64)], of: impl Fn(&str) -> bool) -> u64 {
    samples.iter().filter(|(stack, _)| of(stack)).map(|(_, count)| count).sum()
}

/// With `show_debug_info`, a function that the compiler has put into another one has a frame, and both have lines; without,
/// there is the one that it was put into.
pub fn inlined(world: &World) -> Result<()> {
    let programs = Programs::new("inlined")?;
    let inlined = programs.compile("cc", "inlined.c", "inlined", &["-g"])?;
    let files = [(&*inlined, "/bin/inlined")];
    let samples = profile(world, &files, "config = { show_debug_info = true }", "inlined")?;
    let is_hot = |stack: &str| {
        let mut lines = stack.lines().filter(|line| !line.is_empty()).map(str::trim);
        let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let in_loop = [6, 7].iter().any(|line| first.ends_with(&format!("/inlined.c:{line}")));
        // The two calls of it.
        let of_call = [11, 12].iter().any(|line| second.ends_with(&format!("/inlined.c:{line}")));
        first.starts_with("[inlined] hot@") && in_loop && second.starts_with("outer+") && of_call
    };
    let (hot, all) = (count(&samples, is_hot), count(&samples, |_| true));
    ensure!(hot * 2 > all && hot > 9, "{hot} of {all} samples in hot: {samples:?}");

    let samples = profile(world, &files, "", "inlined")?;
    let (outer, all) = (count(&samples, |stack| stack.starts_with("\n        outer+")), count(&samples, |_| true));
    ensure!(outer * 2 > all && count(&samples, |stack| stack.contains("inlined")) == 0, "{samples:?}");
    Ok(())
}

/// Code that is in no file has the name that its program has written down, unless somebody else has.
pub fn generated(world: &World) -> Result<()> {
    let programs = Programs::new("generated")?;
    let generated = programs.compile("cc", "generated.c", "generated", &[])?;
    let files = [(&*generated, "/bin/generated")];
    let is_named = |stack: &str| stack.starts_with("\n        made_while_running+");
    let samples = profile(world, &files, "", "generated")?;
    let (named, all) = (count(&samples, is_named), count(&samples, |_| true));
    ensure!(named * 2 > all && named > 9, "{named} of {all} samples in made_while_running: {samples:?}");

    let samples = profile(world, &files, "", "generated another")?;
    let (named, all) = (count(&samples, is_named), count(&samples, |_| true));
    ensure!(named == 0 && all > 9, "{named} of {all} samples have a stranger's name: {samples:?}");
    Ok(())
}

/// A program that cuts off the file of a library that it has run: what is there has no names, and all else goes on.
pub fn cut_off(world: &World) -> Result<()> {
    let programs = Programs::new("cut")?;
    let library = programs.compile("cc", "cut.c", "libhot.so", &["-DLIBRARY", "-shared", "-fPIC"])?;
    let folder = library.parent().context("it lies in a folder")?.to_str().context("a path is text")?;
    let options = ["-L", folder, "-Wl,--no-as-needed,-z,now,-rpath,/lib", "-l:libhot.so", "-fno-omit-frame-pointer"];
    let cut = programs.compile("cc", "cut.c", "cut", &options)?;
    let mut files = with_libraries(&[(Path::new("/bin/true"), "/bin/of-libc")])?;
    files.0.push((cut, "/bin/cutting".to_owned()));
    files.0.push((library, "/lib/libhot.so".to_owned()));
    let samples = {
        let image = world.image(&files.borrowed())?;
        let app = world.docker.run(PRIVILEGED, &image, &["sleep", "1000"])?;
        let script = "profile:hz:99 { @[ustack] = count(); }";
        let printed = exec(&app, &["ctrace", "-f", "json", "-e", script, "-c", "cutting"])?;
        json(&printed, "map")?
    };
    let samples = samples["@"].as_object().context("stacks with their counts")?;
    let all: u64 = samples.values().filter_map(|count| count.as_u64()).sum();
    ensure!(all > 0 && !samples.keys().any(|stack| stack.contains("hot_in_library")), "{samples:?}");
    Ok(())
}

//! ctrace in real Docker containers: what it is for.

mod counts;
mod functions;
mod kinds;
mod lifetime;
mod postgres;
mod privilege;
mod scope;
mod stacks;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Arguments, Trial};

use self::world::World;

/// A test: what runs it.
type Test = fn(&World) -> Result<()>;

const TESTS: &[(&str, Test)] = &[
    ("one_file_is_enough_from_scratch", privilege::from_scratch),
    ("a_default_container_is_told_the_way_out_and_it_works", privilege::way_out),
    ("doctor_says_what_a_default_container_lacks", privilege::doctor),
    ("counts_are_those_of_strace", counts::equal_strace),
    ("a_container_sees_its_own_processes_only", scope::own_processes_only),
    ("a_sidecar_sees_the_processes_of_its_application", scope::sidecar),
    ("malloc_is_counted_in_a_container_with_musl", functions::musl),
    ("malloc_is_counted_in_a_container_with_glibc", functions::glibc),
    ("what_a_process_starts_is_followed", functions::follow),
    ("functions_are_timed_in_stripped_cpp_and_rust_programs", functions::latencies),
    ("python_names_its_functions", functions::python),
    ("each_kind_of_probe_counts_its_own_container_to_the_last_event", kinds::exact),
    ("a_process_of_another_container_is_not_told_that_somebody_listens", kinds::listeners),
    ("postgresql_is_counted_by_its_own_probes", postgres::queries),
    ("no_path_leads_out_of_a_container", functions::links),
    ("a_profile_names_the_hot_function_of_a_program_in_the_container", stacks::hot_function),
    ("inlined_functions_have_frames_and_lines_of_their_own", stacks::inlined),
    ("code_that_a_program_has_made_is_named_by_its_perf_map", stacks::generated),
    ("a_library_that_is_cut_off_meanwhile_has_no_names_and_does_no_harm", stacks::cut_off),
    ("nothing_is_left_after_kill_9", lifetime::killed),
];

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let world = Arc::new(World::new()?);
    let trials = TESTS.iter().map(|&(name, test)| {
        let world = Arc::clone(&world);
        Trial::test(name, move || test(&world).map_err(|error| format!("{error:#}").into()))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // Not `exit`: the daemon's guard must see the end of this function.
    Ok(conclusion.exit_code())
}

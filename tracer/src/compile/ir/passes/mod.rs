//! What is done to the IR between lowering and generation.
//!
//! Lowering is straightforward and makes more than is needed: the same constant many times, a value and then a test of
//! it, blocks of one jump. None of the passes needs to be clever, for the verifier does not forgive it.

mod blocks;
mod dead;
mod fold;
mod numbering;
mod order;
mod thread;

use super::{Function, Module, verify};

/// Changes a function so that it does the same with less.
type Pass = fn(&mut Function);

/// All passes, in order.
const PASSES: &[(&str, Pass)] = &[
    // Constants, identities, branches that are decided, parameters that are always the same.
    ("fold", fold::run),
    // What has been computed already is not computed again.
    ("numbering", numbering::run),
    // A jump to a branch that it decides goes where the branch would.
    ("thread", thread::run),
    // Blocks of nothing but a jump, and blocks that only one jump leads to.
    ("blocks", blocks::run),
    // The branches that the last two brought together with their operands.
    ("fold", fold::run),
    ("numbering", numbering::run),
    // What nobody uses.
    ("dead", dead::run),
    // The branches around it.
    ("blocks", blocks::run),
    ("dead", dead::run),
    // The final numbers; what is cold goes last.
    ("order", order::run),
];

/// Runs all passes over all functions. A debug build checks the contract after each.
pub fn optimise(module: &mut Module) {
    for function in &mut module.functions {
        function.callbacks.iter_mut().for_each(optimise_function);
        optimise_function(function);
    }
}

fn optimise_function(function: &mut Function) {
    check(function, "lowering");
    for (name, pass) in PASSES {
        pass(function);
        check(function, name);
    }
}

fn check(function: &Function, after: &str) {
    if cfg!(debug_assertions)
        && let Err(breach) = verify::check(function)
    {
        panic!("after {after}: {breach}\n{function}");
    }
}

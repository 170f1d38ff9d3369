//! Script text → object bytes and plan. No I/O, no globals, no kernel: facts in, bytes out.

pub mod bpf;
mod btf;
pub mod diagnostics;
pub mod elf;
mod expand;
pub mod ir;
mod named;
pub mod sema;
pub mod source;
pub mod syntax;
pub mod target;

use thiserror::Error;

use crate::host::elf::Mention;
use crate::host::functions;
use crate::host::tracefs;
use crate::plan::Plan;
use bpf::runtime::Library;
use diagnostics::Diagnostic;
use sema::{Analysed, typed};
use source::{Source, Span};
use syntax::ast;
use target::Target;

/// What a script has become.
#[derive(Debug)]
pub struct Compiled {
    /// An ELF file for aya to load.
    pub object: Vec<u8>,
    /// Everything else that the run half is told.
    pub plan: Plan,
    /// Where in the script the plan's programs come from, in their order: the first probe of each.
    pub places: Vec<Span>,
    /// What is likely not meant.
    pub warnings: Vec<Diagnostic>,
}

/// Why there is no object.
#[derive(Debug, Error)]
pub enum Failure {
    /// What is wrong with the script, errors and warnings in order of place.
    #[error("the script is wrong")]
    Script(Vec<Diagnostic>),
    /// The script is right, but asks for more than a program can hold.
    #[error(transparent)]
    Limit(#[from] bpf::Limit),
}

/// All stages, one after the other.
pub fn compile(source: &Source, target: &Target, library: &Library) -> Result<Compiled, Failure> {
    let (tree, mut warnings) = parse(source, target)?;
    let analysed = analyse(tree, target)?;
    let object = generate(&analysed.script, target, library)?;
    warnings.extend(analysed.warnings);
    let Analysed { script: typed::Script { programs, plan }, .. } = analysed;
    let place = |program: &typed::Program| program.clauses.first().map_or_else(Span::default, |clause| clause.span);
    Ok(Compiled { object: elf::write(&object), plan, places: programs.iter().map(place).collect(), warnings })
}

/// What is to be looked at before a script is compiled.
pub struct Mentions {
    /// Of programs and libraries.
    pub files: Vec<Mention>,
    /// Of the kernel's functions.
    pub kernel_functions: Vec<functions::Mention>,
    /// Of tracepoints that only tracefs may know.
    pub formats: Vec<tracefs::Mention>,
    /// Of cgroups, by their paths.
    pub cgroups: Vec<String>,
    /// Of the kernel's symbols whose addresses are wanted.
    pub kernel_symbols: Vec<String>,
}

/// What a script wants to know, so far as it can be read.
pub fn mentions(source: &Source, positional: &[String]) -> Mentions {
    let mut script = syntax::parse_with_parameters(source, positional).script;
    let globals = named::first_arguments(&mut script, &["uaddr"]);
    Mentions {
        files: sema::uprobes::mentions(&script, &globals),
        kernel_functions: sema::kprobes::mentions(&script),
        formats: sema::tracepoints::mentions(&script),
        cgroups: named::first_arguments(&mut script, &["cgroupid"]),
        kernel_symbols: kernel_symbols(&mut script),
    }
}

/// The kernel's symbols whose addresses are wanted, and what finding a CPU's own takes.
fn kernel_symbols(script: &mut syntax::ast::Script) -> Vec<String> {
    let mut symbols = named::first_arguments(script, &["kaddr"]);
    let of_cpus = named::first_arguments(script, &["percpu_kaddr"]);
    if !of_cpus.is_empty() {
        symbols.extend(of_cpus);
        symbols.push(target::CPU_OFFSETS.to_owned());
    }
    symbols
}

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The words of the script.
    Tokens,
    /// The syntax tree.
    Ast,
    /// The typed program.
    Typed,
    /// The intermediate code.
    Ir,
    /// The BPF instructions, beside the source.
    Bpf,
    /// The object.
    Elf,
    /// What the run half is told besides, as JSON.
    Plan,
}

/// What one stage hands to the next, as text; the object as it is.
pub fn emit(stage: Stage, source: &Source, target: &Target, library: &Library) -> Result<Vec<u8>, Failure> {
    let tree = || parse(source, target).map(|(tree, _)| tree);
    let script = || analyse(tree()?, target).map(|analysed| analysed.script);
    let object = || generate(&script()?, target, library);
    Ok(match stage {
        Stage::Tokens => {
            let (tokens, errors) = syntax::tokens(source);
            refuse(errors)?;
            syntax::print::tokens(&tokens, source).into_bytes()
        }
        Stage::Ast => syntax::print::ast(&tree()?, false).into_bytes(),
        Stage::Typed => sema::print::script(&script()?).into_bytes(),
        Stage::Ir => lower(&script()?, target, ir::Frames::Roomy).to_string().into_bytes(),
        Stage::Bpf => {
            let script = script()?;
            let names: Vec<&str> = script.plan.maps.iter().map(|map| map.name.as_str()).collect();
            bpf::disassemble(&generate(&script, target, library)?, &names, source).into_bytes()
        }
        Stage::Elf => elf::write(&object()?),
        Stage::Plan => {
            (serde_json::to_string_pretty(&script()?.plan).expect("a plan is plain data") + "\n").into_bytes()
        }
    })
}

/// The tree, and warnings.
fn parse(source: &Source, target: &Target) -> Result<(ast::Script, Vec<Diagnostic>), Failure> {
    let parsed = syntax::parse_with_parameters(source, &target.positional);
    refuse(parsed.errors)?;
    Ok((parsed.script, parsed.warnings))
}

fn analyse(tree: ast::Script, target: &Target) -> Result<Analysed, Failure> {
    let expand::Expanded { script, uncalled, mut diagnostics } = expand::expand(tree).map_err(Failure::Script)?;
    diagnostics.extend(sema::uncalled::check(&script, uncalled, target));
    sema::analyse(&script, diagnostics, target).map_err(Failure::Script)
}

fn lower(script: &typed::Script, target: &Target, frames: ir::Frames) -> ir::Module {
    let mut module = ir::lower(script, target, frames);
    ir::optimise(&mut module);
    module
}

/// Programs whose frames are too small are made once more with as little in them as can be.
fn generate(script: &typed::Script, target: &Target, library: &Library) -> Result<bpf::Object, Failure> {
    let with = |frames| bpf::generate(&lower(script, target, frames), &script.plan, library, &target.scope);
    match with(ir::Frames::Roomy) {
        Err(bpf::Limit::Stack { .. }) => Ok(with(ir::Frames::Tight)?),
        result => Ok(result?),
    }
}

fn refuse(errors: Vec<Diagnostic>) -> Result<(), Failure> {
    if errors.is_empty() { Ok(()) } else { Err(Failure::Script(errors)) }
}

//! The built-ins and functions of the language, one row each: what it takes, what it gives, how it becomes typed, and
//! what it reads or does, which the policy is asked about.

use super::check::functions::{bytes, clock, globals, join, kernel, known, net, process, refused, text};
use super::check::{Argument, Checker, Operand, calls, naming, output, stacks};
use super::policy::{Action, Data};
use super::typed::{Builtin, StmtKind};
use super::types::Ty;
use crate::compile::source::Span;

/// A built-in or function.
pub struct Row {
    /// As scripts call it.
    pub name: &'static str,
    /// What is between the parentheses, in order. A row without parameters is written without parentheses too.
    pub parameters: &'static [Parameter],
    /// How many of them must be given.
    pub required: usize,
    /// The last parameter may be given any number of times.
    pub variadic: bool,
    /// What it reads.
    pub data: Data,
    /// What it does.
    pub action: Action,
    /// Its typed form.
    pub becomes: Becomes,
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Any value.
    Value,
    /// An integer.
    Integer,
    /// A text.
    Text,
    /// A number that is written out.
    Number,
    /// A text that is written out.
    Literal,
    /// A variable, which is assigned to.
    Variable,
    /// A map, without a key.
    Map,
    /// A map or an entry of one, not evaluated.
    Entry,
    /// A map without a key, or any value.
    MapOrValue,
    /// A word that is not looked up, or a number that is written out.
    WordOrNumber,
}

/// What checks a call and gives its typed form.
pub type Expression = fn(&mut Checker<'_>, Vec<Argument<'_>>, Span) -> Operand;

/// What checks a call that gives no value.
pub type Statement = fn(&mut Checker<'_>, Vec<Argument<'_>>, Span) -> Vec<StmtKind>;

/// How a row becomes typed.
pub enum Becomes {
    /// A value that the kernel has.
    Value {
        /// Which.
        builtin: Builtin,
        /// As the kernel gives it.
        kernel: Ty,
        /// As the language has it.
        ty: Ty,
    },
    /// A value.
    Expression(Expression),
    /// An effect.
    Statement(Statement),
    /// What a map is assigned to count, sum up, ….
    Aggregation(Function),
}

/// The functions that make aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// How many.
    Count,
    /// The total.
    Sum,
    /// The mean.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Count, mean, total.
    Stats,
    /// Powers of two.
    Hist,
    /// Equal steps.
    Lhist,
    /// Percentiles; ours.
    Hdr,
    /// What comes of each interval of time.
    Series,
}

/// A value that needs no arguments.
const fn value(name: &'static str, builtin: Builtin, kernel: Ty, ty: Ty, data: Data) -> Row {
    row(name, &[], 0, data, Becomes::Value { builtin, kernel, ty })
}

const fn row(
    name: &'static str,
    parameters: &'static [Parameter],
    required: usize,
    data: Data,
    becomes: Becomes,
) -> Row {
    Row { name, parameters, required, variadic: false, data, action: Action::Report, becomes }
}

/// A function whose last parameter may be given any number of times.
const fn variadic(name: &'static str, parameters: &'static [Parameter], becomes: Becomes) -> Row {
    Row { name, parameters, required: 1, variadic: true, data: Data::Machine, action: Action::Report, becomes }
}

/// The same for one that changes what is traced.
const fn changing(name: &'static str, parameters: &'static [Parameter], becomes: Becomes) -> Row {
    Row { name, parameters, required: 1, variadic: true, data: Data::Machine, action: Action::Change, becomes }
}

/// A function that changes what is traced, all of whose arguments must be given.
const fn alters(name: &'static str, parameters: &'static [Parameter], becomes: Becomes) -> Row {
    let required = parameters.len();
    Row { name, parameters, required, variadic: false, data: Data::Machine, action: Action::Change, becomes }
}

const fn aggregation(name: &'static str, parameters: &'static [Parameter], required: usize, function: Function) -> Row {
    row(name, parameters, required, Data::Machine, Becomes::Aggregation(function))
}

use Becomes::{Expression as Gives, Statement as Does};
use Parameter as P;

/// The table. Widths are bpftrace's: `uid` and its like are 8 bytes there, though the kernel has 4.
static TABLE: &[Row] = &[
    // Who, where, and as whom.
    row("pid", &[P::WordOrNumber], 0, Data::Identity, Gives(process::pid)),
    row("tid", &[P::WordOrNumber], 0, Data::Identity, Gives(process::tid)),
    value("uid", Builtin::Uid, Ty::U32, Ty::U64, Data::Identity),
    value("gid", Builtin::Gid, Ty::U32, Ty::U64, Data::Identity),
    row("comm", &[P::Value], 0, Data::Identity, Gives(process::comm)),
    value("cgroup", Builtin::Cgroup, Ty::U64, Ty::U64, Data::Identity),
    row("username", &[], 0, Data::Identity, Gives(naming::username)),
    row("cgroup_path", &[P::Integer, P::Literal], 1, Data::Machine, Gives(naming::cgroup_path)),
    row("ppid", &[P::Value], 0, Data::Identity, Gives(process::ppid)),
    row("pcomm", &[P::Value], 0, Data::Identity, Gives(process::pcomm)),
    row("leader_tid", &[P::Value], 0, Data::Identity, Gives(process::leader_tid)),
    row("leader_comm", &[P::Value], 0, Data::Identity, Gives(process::leader_comm)),
    row("cgroupid", &[P::Literal], 1, Data::Machine, Gives(known::cgroupid)),
    row("usermode", &[], 0, Data::Machine, Gives(process::usermode)),
    row("config", &[], 0, Data::Machine, Gives(known::config)),
    row("has_cpid", &[], 0, Data::Machine, Gives(known::has_cpid)),
    row("cpid", &[], 0, Data::Identity, Gives(calls::cpid)),
    row("getopt", &[P::Literal, P::Value, P::Literal], 1, Data::Machine, Gives(calls::getopt)),
    // When, and with what luck.
    row("nsecs", &[P::WordOrNumber], 0, Data::Machine, Gives(clock::nsecs)),
    value("elapsed", Builtin::Elapsed, Ty::U64, Ty::U64, Data::Machine),
    value("cpu", Builtin::Cpu, Ty::U32, Ty::U64, Data::Machine),
    value("rand", Builtin::Rand, Ty::U32, Ty::U64, Data::Machine),
    row("jiffies", &[], 0, Data::Machine, Gives(process::jiffies)),
    row("numaid", &[], 0, Data::Machine, Gives(process::numaid)),
    row("ncpus", &[], 0, Data::Machine, Gives(known::ncpus)),
    row("strftime", &[P::Literal, P::Integer], 2, Data::Machine, Gives(naming::strftime)),
    // The probe, and what it is about.
    value("probe", Builtin::Probe, Ty::Probe, Ty::Probe, Data::Machine),
    row("probetype", &[], 0, Data::Machine, Gives(known::probetype)),
    row("retval", &[], 0, Data::Machine, Gives(calls::retval)),
    row("func", &[], 0, Data::Machine, Gives(naming::func)),
    row("reg", &[P::Literal], 1, Data::Machine, Gives(calls::reg)),
    row("curtask", &[], 0, Data::KernelMemory, Gives(calls::curtask)),
    row("syscall_name", &[P::Integer], 1, Data::Machine, Gives(calls::syscall_name)),
    row("strerror", &[P::Integer], 1, Data::Machine, Gives(naming::strerror)),
    row("signal_name", &[P::Integer], 1, Data::Machine, Gives(naming::signal_name)),
    // Where it is.
    row("ustack", &[P::WordOrNumber, P::WordOrNumber], 0, Data::UserMemory, Gives(stacks::ustack)),
    row("kstack", &[P::WordOrNumber, P::WordOrNumber], 0, Data::KernelMemory, Gives(stacks::kstack)),
    row("stack_len", &[P::Value], 1, Data::Machine, Gives(stacks::stack_len)),
    row("usym", &[P::Value], 1, Data::UserMemory, Gives(stacks::usym)),
    row("ksym", &[P::Value], 1, Data::KernelMemory, Gives(stacks::ksym)),
    // Texts.
    row("str", &[P::Value, P::Integer], 1, Data::Machine, Gives(calls::str)),
    row("strncmp", &[P::Text, P::Text, P::Number], 3, Data::Machine, Gives(calls::strncmp)),
    row("strlen", &[P::Value], 1, Data::Machine, Gives(text::strlen)),
    row("strcap", &[P::Value], 1, Data::Machine, Gives(text::strcap)),
    row("str_concat", &[P::Value, P::Value], 2, Data::Machine, Gives(text::str_concat)),
    row("default_str_length", &[], 0, Data::Machine, Gives(text::default_str_length)),
    row("strstr", &[P::Value, P::Value], 2, Data::Machine, Gives(text::strstr)),
    row("strcontains", &[P::Value, P::Value], 2, Data::Machine, Gives(text::strcontains)),
    // Other bytes.
    row("memcmp", &[P::Value, P::Value, P::Integer], 3, Data::Machine, Gives(text::memcmp)),
    row("buf", &[P::Value, P::Integer], 1, Data::Machine, Gives(bytes::buf)),
    row("bswap", &[P::Integer], 1, Data::Machine, Gives(bytes::bswap)),
    row("ntop", &[P::Value, P::Value], 1, Data::Machine, Gives(net::ntop)),
    row("pton", &[P::Literal], 1, Data::Machine, Gives(net::pton)),
    row("macaddr", &[P::Value], 1, Data::Machine, Gives(net::macaddr)),
    // What is known beforehand.
    row("is_str", &[P::Value], 1, Data::Machine, Gives(known::is_str)),
    row("is_ptr", &[P::Value], 1, Data::Machine, Gives(known::is_ptr)),
    row("is_array", &[P::Value], 1, Data::Machine, Gives(known::is_array)),
    row("is_integer", &[P::Value], 1, Data::Machine, Gives(known::is_integer)),
    row("is_unsigned_integer", &[P::Value], 1, Data::Machine, Gives(known::is_unsigned_integer)),
    row("is_literal", &[P::Value], 1, Data::Machine, Gives(known::is_literal)),
    row("is_err", &[P::Value], 1, Data::Machine, Gives(process::is_err)),
    row("assert_str", &[P::Value], 1, Data::Machine, Does(text::assert_str)),
    row("kfunc_exist", &[P::Literal], 1, Data::Machine, Gives(known::kfunc_exist)),
    row("kfunc_allowed", &[P::Literal], 1, Data::Machine, Gives(known::kfunc_allowed)),
    row("static_assert", &[P::Value, P::Literal], 2, Data::Machine, Does(known::static_assert)),
    variadic("fail", &[P::Literal, P::Value], Does(known::fail)),
    // Maps.
    row("find", &[P::Map, P::Value, P::Variable], 3, Data::Machine, Gives(calls::find)),
    row("len", &[P::MapOrValue], 1, Data::Machine, Gives(calls::len)),
    row("has_key", &[P::Map, P::Value], 2, Data::Machine, Gives(calls::has_key)),
    row("delete", &[P::Entry, P::Value], 1, Data::Machine, Does(calls::delete)),
    row("clear", &[P::Map], 1, Data::Machine, Does(output::clear)),
    row("zero", &[P::Map], 1, Data::Machine, Does(output::zero)),
    aggregation("count", &[], 0, Function::Count),
    aggregation("sum", &[P::Integer], 1, Function::Sum),
    aggregation("avg", &[P::Integer], 1, Function::Avg),
    aggregation("min", &[P::Integer], 1, Function::Min),
    aggregation("max", &[P::Integer], 1, Function::Max),
    aggregation("stats", &[P::Integer], 1, Function::Stats),
    aggregation("hist", &[P::Integer, P::Number], 1, Function::Hist),
    aggregation("lhist", &[P::Integer, P::Number, P::Number, P::Number], 4, Function::Lhist),
    aggregation("hdr", &[P::Integer], 1, Function::Hdr),
    aggregation("tseries", &[P::Integer, P::Number, P::Number, P::Literal], 3, Function::Series),
    // Output.
    variadic("printf", &[P::Literal, P::Value], Does(output::printf)),
    variadic("cat", &[P::Literal, P::Value], Does(output::cat)),
    row("join", &[P::Value, P::Literal], 1, Data::Machine, Does(join::join)),
    variadic("warnf", &[P::Literal, P::Value], Does(output::warnf)),
    variadic("errorf", &[P::Literal, P::Value], Does(output::errorf)),
    changing("system", &[P::Literal, P::Value], Does(output::system)),
    alters("signal", &[P::Value], Does(process::signal)),
    alters("signal_thread", &[P::Value], Does(process::signal_thread)),
    row("assert", &[P::Value, P::Value], 2, Data::Machine, Does(output::assert)),
    row("time", &[P::Literal], 0, Data::Machine, Does(output::time)),
    row("print", &[P::MapOrValue, P::Number, P::Number], 1, Data::Machine, Does(output::print)),
    variadic("table", &[P::Map, P::MapOrValue], Does(output::table)),
    row("exit", &[P::Integer], 0, Data::Machine, Does(output::exit)),
    // As words that older scripts may write as calls.
    row("kptr", &[P::Value], 1, Data::Machine, Gives(calls::kptr)),
    row("uptr", &[P::Value], 1, Data::Machine, Gives(calls::uptr)),
    // The kernel's own.
    row("kaddr", &[P::Literal], 1, Data::KernelMemory, Gives(kernel::kaddr)),
    row("uaddr", &[P::Literal], 1, Data::Machine, Gives(globals::uaddr)),
    row("percpu_kaddr", &[P::Literal, P::Integer], 1, Data::KernelMemory, Gives(kernel::percpu_kaddr)),
    row("path", &[P::Value, P::Integer], 1, Data::KernelMemory, Gives(kernel::path)),
    row("socket_cookie", &[P::Value], 1, Data::Machine, Gives(kernel::socket_cookie)),
    // What cannot be had.
    variadic("skboutput", &[P::Value], Gives(refused::skboutput)),
    variadic("write_user", &[P::Value], Gives(refused::write_user)),
    variadic("unwatch", &[P::Value], Does(refused::unwatch)),
    variadic("debugf", &[P::Literal, P::Value], Does(refused::debugf)),
    variadic("override", &[P::Value], Does(refused::override_return)),
    row("dw_ustack", &[P::WordOrNumber, P::WordOrNumber], 0, Data::UserMemory, Gives(refused::dw_ustack)),
];

/// What older scripts may write with `__builtin_` before it, as bpftrace's own library does.
const INTERNAL: &[&str] = &[
    "comm",
    "cpid",
    "cpu",
    "elapsed",
    "func",
    "is_literal",
    "kfunc_allowed",
    "kfunc_exist",
    "ncpus",
    "probe",
    "probetype",
    "retval",
    "usermode",
];

/// The row of a word that is written without parentheses.
pub fn word(name: &str) -> Option<&'static Row> {
    // `exit`, `time` and their like do something: they are calls always.
    let bare =
        |row: &&Row| row.parameters.is_empty() || row.required == 0 && matches!(row.becomes, Becomes::Expression(_));
    function(name).filter(bare).filter(|row| !matches!(row.becomes, Becomes::Aggregation(_)))
}

/// The row of this name.
pub fn function(name: &str) -> Option<&'static Row> {
    let name = name.strip_prefix("__builtin_").filter(|plain| INTERNAL.contains(plain)).unwrap_or(name);
    TABLE.iter().find(|row| row.name == name)
}

/// Whether it is about the current task: who that is, what is in its memory, how it came here.
pub fn asks_for_current(name: &str) -> bool {
    const OTHERS: [&str; 7] = ["curtask", "kstack", "ustack", "ppid", "usermode", "uaddr", "usym"];
    // The command's number is one the compiler knows.
    let identity = || function(name).is_some_and(|row| row.data == Data::Identity && name != "cpid");
    OTHERS.contains(&name) || identity()
}

/// The names of all words, for proposals.
pub fn words() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.name).filter(|name| word(name).is_some()).chain(["args"])
}

/// The names of all functions, for proposals.
pub fn functions() -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(|row| word(row.name).is_none()).map(|row| row.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_row() {
        for (i, row) in TABLE.iter().enumerate() {
            assert!(TABLE[i + 1..].iter().all(|other| other.name != row.name), "{}", row.name);
            assert!(row.required <= row.parameters.len(), "{}", row.name);
        }
    }
}

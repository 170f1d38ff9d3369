//! How functions are called: what an error about their arguments shows.

/// What stands between the parentheses, by the function's name. What may be left out is in brackets.
const USAGES: &[(&str, &str)] = &[
    ("assert", "condition, message"),
    ("assert_str", "text"),
    ("avg", "number"),
    ("bswap", "number"),
    ("buf", "data[, length]"),
    ("cat", "format, …"),
    ("cgroup_path", "id[, \"hierarchies\"]"),
    ("cgroupid", "\"path\""),
    ("clear", "@map"),
    ("comm", "[pid]"),
    ("delete", "@map, key"),
    ("errorf", "format, …"),
    ("exit", "[code]"),
    ("fail", "format, …"),
    ("find", "@map, key, $variable"),
    ("getopt", "\"name\"[, default[, \"description\"]]"),
    ("has_key", "@map, key"),
    ("hdr", "number"),
    ("hist", "number[, bits]"),
    ("is_array", "value"),
    ("is_err", "pointer"),
    ("is_integer", "value"),
    ("is_literal", "value"),
    ("is_ptr", "value"),
    ("is_str", "value"),
    ("is_unsigned_integer", "value"),
    ("join", "array[, \"separator\"]"),
    ("kaddr", "\"symbol\""),
    ("kfunc_allowed", "\"function\""),
    ("kfunc_exist", "\"function\""),
    ("kptr", "pointer"),
    ("kstack", "[mode, ][depth]"),
    ("ksym", "address"),
    ("len", "@map"),
    ("lhist", "number, least, greatest, step"),
    ("macaddr", "bytes"),
    ("max", "number"),
    ("memcmp", "a, b, count"),
    ("min", "number"),
    ("nsecs", "[clock]"),
    ("ntop", "[family, ]address"),
    ("path", "path[, size]"),
    ("percpu_kaddr", "\"symbol\"[, cpu]"),
    ("pid", "[namespace]"),
    ("print", "@map[, top[, div]]"),
    ("printf", "format, …"),
    ("pton", "\"address\""),
    ("reg", "\"name\""),
    ("signal", "signal"),
    ("signal_name", "number"),
    ("signal_thread", "signal"),
    ("socket_cookie", "socket"),
    ("static_assert", "condition, \"message\""),
    ("stats", "number"),
    ("str", "address[, length]"),
    ("str_concat", "a, b"),
    ("strcap", "text"),
    ("strcontains", "text, wanted"),
    ("strerror", "number"),
    ("strftime", "\"format\", nanoseconds"),
    ("strlen", "text"),
    ("strncmp", "a, b, count"),
    ("strstr", "text, wanted"),
    ("sum", "number"),
    ("syscall_name", "number"),
    ("system", "format, …"),
    ("table", "@map, …"),
    ("tid", "[namespace]"),
    ("time", "[\"format\"]"),
    ("tseries", "number, interval, intervals[, \"function\"]"),
    ("uptr", "pointer"),
    ("ustack", "[mode, ][depth]"),
    ("usym", "address"),
    ("warnf", "format, …"),
    ("zero", "@map"),
];

/// A call of the function as it can be written.
pub fn usage(function: &str) -> Option<String> {
    let (_, arguments) = USAGES.iter().find(|(name, _)| *name == function)?;
    Some(format!("{function}({arguments})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::sema::builtins;

    #[test]
    fn usages_are_those_of_functions() {
        for (name, _) in USAGES {
            assert!(builtins::function(name).is_some(), "{name}");
        }
        assert!(USAGES.is_sorted_by_key(|(name, _)| *name));
    }
}

//! Names with `*` in them, as probes and files are asked for.

/// Whether `pattern`, in which `*` stands for any text, is all of `name`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("a*c*e", "abcde") && matches("*", "") && matches("abc", "abc") && matches("a*", "abc"));
        assert!(
            !matches("a*c*e", "abcd") && !matches("abc", "abcd") && !matches("a*ba", "aba-") && !matches("aa*a", "aa")
        );
    }
}

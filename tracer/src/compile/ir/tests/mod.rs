//! Lowering and the passes, on typed programs made by hand; scripts are tested in `tracer/tests/ir`.

mod arithmetic;
mod lower;
mod passes;
mod typed;
mod verify;

/// Panics with both texts where they differ. Indentation common to all lines of the expected text does not count.
fn assert_text(actual: &str, expected: &str) {
    let expected = dedent(expected);
    assert!(actual.trim_end() == expected, "expected:\n{expected}\n\ngot:\n{actual}");
}

fn dedent(text: &str) -> String {
    let lines = || text.lines().skip_while(|line| line.trim().is_empty());
    let indent = lines().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len()).min();
    let lines: Vec<&str> = lines().map(|line| line.get(indent.unwrap_or(0)..).unwrap_or("").trim_end()).collect();
    lines.join("\n").trim_end().to_owned()
}

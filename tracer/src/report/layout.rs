//! Text in columns.

/// A field of a line of aligned text.
#[derive(Clone, Debug)]
pub struct Field {
    /// The text itself, on one line.
    pub text: String,
    /// Whether it ends where its column ends, and does not begin where that begins.
    pub right: bool,
}

impl Field {
    /// Text that begins where its column begins.
    pub fn left(text: String) -> Field {
        Field { text, right: false }
    }

    /// Text that ends where its column ends.
    pub fn right(text: String) -> Field {
        Field { text, right: true }
    }
}

/// Lines whose columns stand below each other, two spaces apart. All lines have as many fields as the first; control
/// characters, which a key may hold, show as `?`.
pub fn align(lines: &[Vec<Field>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].text.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut fields = String::new();
        for (Field { text, right }, &width) in line.iter().zip(&widths) {
            let text = text.replace(char::is_control, "?");
            let field = if *right { format!("{text:>width$}  ") } else { format!("{text:<width$}  ") };
            fields.push_str(&field);
        }
        text.push_str(fields.trim_end());
        text.push('\n');
    }
    text
}

/// A time with three significant digits: `415 ns`, `1.06 us`, `12.3 ms`, `1.20 s `.
pub fn duration(ns: i128) -> String {
    if ns < 1000 {
        return format!("{ns} ns");
    }
    let (value, unit) = [(1e3, "us"), (1e6, "ms"), (1e9, "s ")]
        .into_iter()
        .map(|(size, unit)| (ns as f64 / size, unit))
        .find(|&(value, unit)| value < 999.5 || unit == "s ")
        .unwrap_or((ns as f64, "ns"));
    let decimals = match value {
        _ if value < 9.995 => 2,
        _ if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

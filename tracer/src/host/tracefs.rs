//! What tracefs tells of tracepoints, where it can be read: that they are there, and how the records of their events are
//! laid out (`events/CATEGORY/NAME/format`). System calls' are left out: what those are is known without it.

use std::fs;

use super::names::matches;

/// Where tracefs may be mounted.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Bytes of the largest format that is read; the longest of Linux 6.18 has a tenth of it.
const LONGEST: usize = 1 << 20;

/// Which tracepoints are wanted; `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Before the colon.
    pub category: String,
    /// Behind it.
    pub event: String,
}

/// A tracepoint and the record of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Before the colon.
    pub category: String,
    /// Behind it.
    pub event: String,
    /// The number by which perf events name it.
    pub id: u64,
    /// In the order of the record, but for those that all records have.
    pub fields: Vec<Field>,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type as C has it, without the length of an array: `unsigned long`, `__data_loc char[]`.
    pub ty: String,
    /// How many elements it has, if it is an array.
    pub count: Option<u32>,
    /// Bytes from the record's beginning.
    pub offset: u32,
    /// Bytes, of all elements.
    pub size: u32,
    /// Whether it is a number with a sign.
    pub signed: bool,
}

impl Format {
    /// `kmem:rss_stat`.
    pub fn full_name(&self) -> String {
        format!("{}:{}", self.category, self.event)
    }
}

impl Field {
    /// As C declares it.
    pub fn declaration(&self) -> String {
        let count = self.count.map(|count| format!("[{count}]")).unwrap_or_default();
        format!("{} {}{count}", self.ty, self.name)
    }
}

/// The tracepoints that are wanted, sorted, each once; none where tracefs cannot be read.
pub fn look(mentions: &[Mention]) -> Vec<Format> {
    if mentions.is_empty() {
        return Vec::new();
    }
    let readable =
        |place: &&&str| fs::read_dir(format!("{place}/events")).is_ok_and(|mut found| found.next().is_some());
    let Some(place) = PLACES.iter().find(readable) else { return Vec::new() };
    let mut found: Vec<Format> = names(place, mentions)
        .into_iter()
        .filter_map(|(category, event)| {
            let file = format!("{place}/events/{category}/{event}/format");
            let text = fs::read_to_string(file).ok().filter(|text| text.len() <= LONGEST)?;
            let (id, fields) = parse(&text)?;
            Some(Format { category, event, id, fields })
        })
        .collect();
    found.sort_by(|a, b| (&a.category, &a.event).cmp(&(&b.category, &b.event)));
    found.dedup_by(|a, b| (&a.category, &a.event) == (&b.category, &b.event));
    found
}

/// The names that are wanted, of those that there are.
fn names(place: &str, mentions: &[Mention]) -> Vec<(String, String)> {
    // `CATEGORY:NAME` a line, without ftrace's own, which no program can be attached to.
    let known = fs::read_to_string(format!("{place}/available_events")).unwrap_or_default();
    let pairs = known.lines().filter_map(|line| line.split_once(':'));
    let wanted = |(category, event): &(&str, &str)| {
        !matches!(*category, "syscalls" | "raw_syscalls")
            && mentions.iter().any(|mention| matches(&mention.category, category) && matches(&mention.event, event))
    };
    pairs.filter(wanted).map(|(category, event)| (category.to_owned(), event.to_owned())).collect()
}

/// The number and the fields of a format; `None` if it is none.
fn parse(text: &str) -> Option<(u64, Vec<Field>)> {
    let id = text.lines().find_map(|line| line.strip_prefix("ID: "))?.trim().parse().ok()?;
    let fields = text.lines().filter_map(|line| line.trim_start().strip_prefix("field:")).map(field);
    let fields: Vec<Field> = fields.collect::<Option<_>>()?;
    Some((id, fields.into_iter().filter(|field| !field.name.starts_with("common_")).collect()))
}

/// `char comm[16];\toffset:8;\tsize:16;\tsigned:0;`
fn field(line: &str) -> Option<Field> {
    let mut parts = line.split(';').map(str::trim);
    let declared = parts.next()?;
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", number)) => offset = number.parse().ok(),
            Some(("size", number)) => size = number.parse().ok(),
            Some(("signed", number)) => signed = number == "1",
            _ => {}
        }
    }
    // The length of an array stands behind its name.
    let (declared, count) = match declared.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
        Some((rest, count)) => (rest, Some(count)),
        None => (declared, None),
    };
    let (ty, name) = declared.rsplit_once([' ', '*'])?;
    let star = if declared[ty.len()..].starts_with('*') { " *" } else { "" };
    let (offset, size): (u32, u32) = (offset?, size?);
    // A length may be written as an expression of C, which only the size tells.
    let count = count.map(|count| count.parse().unwrap_or(size / element(ty.trim())));
    Some(Field { name: name.to_owned(), ty: format!("{}{star}", ty.trim_end()), count, offset, size, signed })
}

/// Bytes of an element of this type.
fn element(ty: &str) -> u32 {
    match ty.trim_start_matches("const ") {
        "char" | "signed char" | "unsigned char" | "u8" | "s8" | "__u8" | "__s8" | "uint8_t" | "int8_t" | "bool" => 1,
        "short" | "unsigned short" | "u16" | "s16" | "__u16" | "__s16" | "__le16" | "__be16" | "uint16_t" => 2,
        "int" | "unsigned int" | "u32" | "s32" | "__u32" | "__s32" | "__le32" | "__be32" | "uint32_t" => 4,
        _ => 8,
    }
}

impl Field {
    /// Bytes of an element, or of the whole if it is no array.
    pub fn unit(&self) -> u32 {
        match self.count {
            Some(count) if count > 0 => self.size / count,
            Some(_) => element(&self.ty),
            None => self.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_read_as_the_kernel_writes_it() {
        let text = "\
name: ext4_sample
ID: 512
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:const void *ptr;\toffset:24;\tsize:8;\tsigned:0;
\tfield:struct page * page;\toffset:32;\tsize:8;\tsigned:0;
\tfield:__data_loc char[] name;\toffset:40;\tsize:4;\tsigned:0;
\tfield:long member;\toffset:48;\tsize:8;\tsigned:1;
\tfield:u8 address[6 + 2];\toffset:56;\tsize:8;\tsigned:0;

print fmt: \"%s\", REC->comm
";
        let (id, fields) = parse(text).unwrap();
        assert_eq!(id, 512);
        let shown: Vec<String> =
            fields.iter().map(|field| format!("{} @{} {}", field.declaration(), field.offset, field.unit())).collect();
        assert_eq!(
            shown,
            [
                "char comm[16] @8 1",
                "const void * ptr @24 8",
                "struct page * page @32 8",
                "__data_loc char[] name @40 4",
                "long member @48 8",
                "u8 address[8] @56 1"
            ]
        );
        assert!(fields[4].signed && !fields[3].signed);
    }

    #[test]
    fn what_is_no_format_is_none() {
        assert_eq!(parse("name: x\nformat:\n"), None);
        assert_eq!(parse("ID: 7\nformat:\n\tfield:int x;\toffset:none;\n"), None);
    }
}

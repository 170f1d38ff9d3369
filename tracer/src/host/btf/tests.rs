use proptest::prelude::*;

use super::*;
use crate::host::offsets::kernel_offsets;

/// Writes BTF type by type.
#[derive(Default)]
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Writer {
    fn new() -> Self {
        Self { strings: vec![0], ..Self::default() }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(text.bytes().chain([0]));
        at
    }

    /// Name, `kind << 24 | count` with the flag in bit 31, size or type, and the words that follow.
    fn ty(&mut self, name: &str, info: u32, size_or_type: u32, tail: &[u32]) -> u32 {
        let name = self.string(name);
        for word in [name, info, size_or_type].iter().chain(tail) {
            self.types.extend(word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    fn bytes(&self) -> Vec<u8> {
        let types = self.types.len() as u32;
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, types, types, self.strings.len() as u32] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

/// struct pid { int count; unsigned level:4; union { struct { const long deep; }; }; struct upid numbers[3]; };
fn sample() -> Vec<u8> {
    let mut writer = Writer::new();
    let int = writer.ty("int", kind::INT << 24, 4, &[1 << 24 | 32]);
    let long = writer.ty("long", kind::INT << 24, 8, &[1 << 24 | 64]);
    let constant = writer.ty("", kind::CONST << 24, long, &[]);
    let nr = writer.string("nr");
    let upid = writer.ty("upid", kind::STRUCT << 24 | 1, 16, &[nr, int, 0]);
    let array = writer.ty("", kind::ARRAY << 24, 0, &[upid, int, 3]);
    let deep = writer.string("deep");
    let inner = writer.ty("", kind::STRUCT << 24 | 1, 8, &[deep, constant, 0]);
    let union = writer.ty("", kind::UNION << 24 | 1, 8, &[0, inner, 0]);
    let [count, level, numbers] = ["count", "level", "numbers"].map(|name| writer.string(name));
    writer.ty(
        "pid",
        1 << 31 | kind::STRUCT << 24 | 4,
        64,
        &[count, int, 0, level, int, 4 << 24 | 32, 0, union, 64, numbers, array, 128],
    );
    let [a, b] = ["A", "B"].map(|name| writer.string(name));
    writer.ty("narrow", 1 << 31 | kind::ENUM << 24 | 2, 4, &[a, 1, b, -2i32 as u32]);
    writer.ty("wide", kind::ENUM64 << 24 | 1, 8, &[a, 5, 1]);
    let prototype = writer.ty("", kind::PROTOTYPE << 24 | 2, int, &[a, long, 0, 0]);
    writer.ty("sum", kind::FUNCTION << 24 | 1, prototype, &[]);
    writer.bytes()
}

#[test]
fn members_are_found_by_path() {
    let btf = Btf::parse(sample()).unwrap();
    let pid = btf.composite("pid").unwrap();
    let at = |path| {
        let field = btf.field(pid, path).unwrap();
        (field.bit_offset, field.bits)
    };
    assert_eq!(at("count"), (0, None));
    assert_eq!(at("level"), (32, Some(4)));
    assert_eq!(at("deep"), (64, None));
    assert_eq!(btf.field(pid, "numbers").unwrap().offset(), 16);
    assert_eq!(btf.size(btf.field(pid, "numbers").unwrap().ty).unwrap(), 48);
    assert_eq!(btf.size(btf.field(pid, "deep").unwrap().ty).unwrap(), 8);
    assert_eq!(btf.field(pid, "nothing").unwrap_err().to_string(), "the kernel's types have no pid.nothing");
    assert_eq!(btf.composite("task").unwrap_err().to_string(), "the kernel's types have no task");
}

#[test]
fn enumerations_and_functions_are_read() {
    let btf = Btf::parse(sample()).unwrap();
    let find = |kind, name| btf.find(&[kind], name).unwrap();
    assert_eq!(btf.enumerators(find(kind::ENUM, "narrow")).collect::<Vec<_>>(), [("A", 1), ("B", -2)]);
    assert_eq!(btf.enumerators(find(kind::ENUM64, "wide")).collect::<Vec<_>>(), [("A", 1 << 32 | 5)]);

    let Type::Function { name: "sum", prototype } = btf.ty(btf.function("sum").unwrap()).unwrap() else { panic!() };
    let Type::Prototype { result } = btf.ty(prototype).unwrap() else { panic!() };
    assert_eq!(btf.ty(result).unwrap(), Type::Int { name: "int", size: 4, signed: true });
    let parameters: Vec<_> = btf.parameters(prototype).map(|parameter| (parameter.name, parameter.ty.0)).collect();
    assert_eq!(parameters, [("A", 2), ("", 0)]);
}

#[test]
fn circles_end() {
    let mut writer = Writer::new();
    // Each refers to itself.
    let circle = writer.ty("circle", kind::TYPEDEF << 24, 1, &[]);
    let array = writer.ty("", kind::ARRAY << 24, 0, &[2, 2, 1]);
    let nested = writer.ty("nested", kind::STRUCT << 24 | 2, 8, &[0, 3, 0, 0, 3, 0]);
    let btf = Btf::parse(writer.bytes()).unwrap();
    let leads_nowhere = |result: Result<(), BtfError>| assert!(matches!(result, Err(BtfError::BadReference(_))));
    leads_nowhere(btf.resolve(TypeId(circle)).map(drop));
    leads_nowhere(btf.size(TypeId(array)).map(drop));
    leads_nowhere(btf.field(TypeId(nested), "x").map(drop));
    leads_nowhere(btf.ty(TypeId(99)).map(drop));
}

#[test]
fn damage_is_named() {
    let error = |bytes: &[u8]| Btf::parse(bytes.to_vec()).err().unwrap().to_string();
    assert_eq!(error(b""), "not BTF of this machine's byte order");
    assert_eq!(error(&[0xeb, 0x9f]), "not BTF of this machine's byte order");
    let whole = sample();
    assert_eq!(error(&whole[..10]), "BTF is cut short in the header");
    assert_eq!(error(&whole[..100]), "BTF is cut short in the types");
    assert_eq!(error(&whole[..whole.len() - 1]), "BTF is cut short in the names");
    let mut unknown = Writer::new();
    unknown.ty("new", 31 << 24, 0, &[]);
    assert_eq!(error(&unknown.bytes()), "BTF has a kind of type (31) that is not known");
}

/// Follows everything that can be followed; returns how much there was.
fn walk(btf: &Btf) -> usize {
    (0..=btf.count())
        .map(TypeId)
        .map(|id| {
            let sizes = [btf.ty(id).is_ok(), btf.size(id).is_ok(), btf.field(id, "numbers.nr").is_ok()];
            let parts = btf.members(id).count() + btf.parameters(id).count() + btf.enumerators(id).count();
            parts + sizes.iter().filter(|&&ok| ok).count()
        })
        .sum()
}

proptest! {
    #[test]
    fn damaged_data_never_panics(changes in prop::collection::vec((0usize..400, any::<u8>()), 1..8), cut in 0usize..500) {
        let mut bytes = sample();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(cut.max(30));
        if let Ok(btf) = Btf::parse(bytes) {
            prop_assert!(walk(&btf) > 0);
        }
    }
}

/// The kernel that runs the test: what must hold on any of them.
#[test]
fn reads_the_running_kernel() {
    let btf = Btf::of_kernel().unwrap();
    let task = btf.composite("task_struct").unwrap();
    let pointee = |field: Field| match btf.ty(field.ty).unwrap() {
        Type::Pointer(to) => btf.ty(btf.resolve(to).unwrap()).unwrap(),
        other => panic!("{other:?}"),
    };
    let thread_pid = pointee(btf.field(task, "thread_pid").unwrap());
    assert!(matches!(thread_pid, Type::Composite { name: "pid", union: false, .. }), "{thread_pid:?}");
    let leader = pointee(btf.field(task, "group_leader").unwrap());
    assert_eq!(leader, btf.ty(task).unwrap());
    let comm = btf.field(task, "comm").unwrap();
    assert_eq!(btf.size(comm.ty).unwrap(), 16);

    let offsets = kernel_offsets(&btf).unwrap();
    assert_eq!((offsets.upid_size, offsets.upid_nr, offsets.upid_ns), (16, 0, 8));
    assert!(offsets.pid_level < offsets.pid_numbers && offsets.task_thread_pid > 0);
    assert!(walk(&btf) > btf.count() as usize);
}

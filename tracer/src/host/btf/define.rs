//! Types as their authors define them: `struct list_head { … }`, in the layout of `bpftool btf dump format c`.

use super::{Btf, MAX_DEPTH, Type, TypeId, kind};

impl Btf {
    /// The named structures, unions and enumerations: `struct list_head`.
    pub fn definitions(&self) -> impl Iterator<Item = (String, TypeId)> {
        (1..=self.count()).map(TypeId).filter_map(|id| match self.ty(id) {
            Ok(Type::Composite { name, union, .. }) if !name.is_empty() => {
                Some((format!("{} {name}", if union { "union" } else { "struct" }), id))
            }
            Ok(Type::Enum { name, .. }) if !name.is_empty() => Some((format!("enum {name}"), id)),
            _ => None,
        })
    }

    /// The definition of a structure, a union or an enumeration, with its name and without a semicolon.
    pub fn definition(&self, id: TypeId) -> String {
        self.body(id, 0)
    }

    /// `struct name {`, its members, each on a line, and `}`; by how far the line is indented it begins on.
    fn body(&self, id: TypeId, indent: usize) -> String {
        let inner = "\t".repeat(indent + 1);
        let (keyword, name, lines) = match self.ty(id) {
            Ok(Type::Composite { name, union, .. }) => {
                let lines = self.members(id).map(|(member, field)| {
                    let bits = field.bits.map(|bits| format!(": {bits}")).unwrap_or_default();
                    let declared = self.declare(field.ty, member.name.to_owned(), indent + 1);
                    format!("{inner}{declared}{bits};\n")
                });
                (if union { "union" } else { "struct" }, name, lines.collect::<String>())
            }
            Ok(Type::Enum { name, .. }) => {
                let lines = self.enumerators(id).map(|(name, value)| format!("{inner}{name} = {value},\n"));
                ("enum", name, lines.collect())
            }
            _ => return "void".to_owned(),
        };
        let space = if name.is_empty() { "" } else { " " };
        format!("{keyword}{space}{name} {{\n{lines}{}}}", "\t".repeat(indent))
    }

    /// Something of a type, `declarator` being its name with what stands around it so far. What has no name is defined
    /// in place.
    fn declare(&self, ty: TypeId, declarator: String, indent: usize) -> String {
        let (mut at, mut declarator, mut qualifier) = (ty, declarator, String::new());
        for _ in 0..MAX_DEPTH {
            let base = match self.ty(at) {
                Ok(Type::Pointer(to)) => {
                    declarator = match qualifier.as_str() {
                        "" => format!("*{declarator}"),
                        qualifier => format!("* {qualifier}{declarator}"),
                    };
                    qualifier.clear();
                    // `*` binds less than what stands behind a name.
                    if self.binds_behind(to) {
                        declarator = format!("({declarator})");
                    }
                    at = to;
                    continue;
                }
                Ok(Type::Array { element, len }) => {
                    declarator += &format!("[{len}]");
                    at = element;
                    continue;
                }
                Ok(Type::Prototype { result }) => {
                    let parameters =
                        self.parameters(at).map(|parameter| match (self.ty(parameter.ty), parameter.name) {
                            (Ok(Type::Void), "") => "...".to_owned(),
                            _ => self.declare(parameter.ty, String::new(), indent),
                        });
                    declarator += &format!("({})", parameters.collect::<Vec<_>>().join(", "));
                    at = result;
                    continue;
                }
                Ok(Type::Qualified(of)) => {
                    match self.record(at).map(|record| record.kind()) {
                        Ok(kind::CONST) => qualifier += "const ",
                        Ok(kind::VOLATILE) => qualifier += "volatile ",
                        _ => {}
                    }
                    at = of;
                    continue;
                }
                Ok(Type::Int { name, .. } | Type::Typedef { name, .. }) => name.to_owned(),
                Ok(Type::Float { size }) => if size == 4 { "float" } else { "double" }.to_owned(),
                Ok(Type::Composite { name: "", .. } | Type::Enum { name: "", .. }) => self.body(at, indent),
                Ok(Type::Composite { name, union: false, .. } | Type::Forward { name }) => format!("struct {name}"),
                Ok(Type::Composite { name, .. }) => format!("union {name}"),
                Ok(Type::Enum { name, .. }) => format!("enum {name}"),
                _ => "void".to_owned(),
            };
            let space = if declarator.is_empty() { "" } else { " " };
            return format!("{qualifier}{base}{space}{declarator}");
        }
        format!("void {declarator}")
    }

    /// Whether what a type adds to a declaration stands behind the name: arrays and functions.
    fn binds_behind(&self, ty: TypeId) -> bool {
        let mut at = ty;
        for _ in 0..MAX_DEPTH {
            match self.ty(at) {
                Ok(Type::Qualified(of)) => at = of,
                Ok(Type::Array { .. } | Type::Prototype { .. }) => return true,
                _ => return false,
            }
        }
        false
    }
}

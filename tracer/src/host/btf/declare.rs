//! Types as C declares them, the way tracefs and bpftrace write it: `const void * skaddr`, `char comm[16]`.

use super::{Btf, MAX_DEPTH, Type, TypeId, kind};

impl Btf {
    /// The declaration of something of a type. Pointers to functions are `void *`, as in tracefs.
    pub fn declaration(&self, ty: TypeId, name: &str) -> String {
        let (mut at, mut lengths) = (ty, String::new());
        for _ in 0..MAX_DEPTH {
            match self.ty(at) {
                Ok(Type::Array { element, len }) => {
                    lengths += &format!("[{len}]");
                    at = element;
                }
                _ => return format!("{} {name}{lengths}", self.type_name(at)),
            }
        }
        format!("void {name}")
    }

    /// A type by its name, with stars behind it.
    fn type_name(&self, ty: TypeId) -> String {
        let (mut at, mut stars, mut constant) = (ty, String::new(), "");
        for _ in 0..MAX_DEPTH {
            let name = match self.ty(at) {
                Ok(Type::Pointer(to)) => {
                    // What is behind the pointer is what may be constant: the pointer itself is a value here.
                    constant = "";
                    stars += " *";
                    at = to;
                    continue;
                }
                Ok(Type::Qualified(of)) => {
                    if self.record(at).is_ok_and(|record| record.kind() == kind::CONST) {
                        constant = "const ";
                    }
                    at = of;
                    continue;
                }
                Ok(Type::Int { name, .. }) => usual(name).to_owned(),
                Ok(Type::Float { size }) => if size == 4 { "float" } else { "double" }.to_owned(),
                Ok(Type::Composite { name, union: false, .. } | Type::Forward { name }) => format!("struct {name}"),
                Ok(Type::Composite { name, .. }) => format!("union {name}"),
                Ok(Type::Enum { name, .. }) => format!("enum {name}"),
                Ok(Type::Typedef { name, .. }) => name.to_owned(),
                _ => "void".to_owned(),
            };
            return format!("{constant}{name}{stars}");
        }
        "void".to_owned()
    }
}

/// What people call an integer that the compiler calls `long unsigned int`.
fn usual(name: &str) -> &str {
    match name {
        "long int" => "long",
        "long unsigned int" => "unsigned long",
        "long long int" => "long long",
        "long long unsigned int" => "unsigned long long",
        "short int" => "short",
        "short unsigned int" => "unsigned short",
        "_Bool" => "bool",
        other => other,
    }
}

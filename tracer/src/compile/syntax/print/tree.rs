//! The syntax tree as nested lists, and their layout.

use super::super::ast::*;
use crate::compile::source::Span;

/// A word, or a list that begins with it.
pub(super) struct Node {
    head: String,
    children: Vec<Node>,
    span: Option<Span>,
}

/// Lists that fit in so many bytes stand on one line; of longer ones, the words they begin with do.
const WIDTH: usize = 100;

impl Node {
    fn list(head: impl Into<String>, children: Vec<Node>) -> Self {
        Self { head: head.into(), children, span: None }
    }

    fn word(head: impl Into<String>) -> Self {
        Self::list(head, Vec::new())
    }

    fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Adds itself to `text`.
    pub(super) fn write(&self, text: &mut String, spans: bool) {
        self.write_at(text, 0, spans);
    }

    fn write_at(&self, text: &mut String, indent: usize, spans: bool) {
        let start = text.len();
        let end = if self.is_word() { usize::MAX } else { start + WIDTH.saturating_sub(indent) };
        if self.write_line(text, end, spans) {
            return;
        }
        text.truncate(start);
        text.push('(');
        self.write_head(text, spans);
        let words = self.children.iter().take_while(|child| child.is_word()).count();
        for word in &self.children[..words] {
            text.push(' ');
            word.write_head(text, spans);
        }
        for child in &self.children[words..] {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent + 2));
            child.write_at(text, indent + 2, spans);
        }
        text.push(')');
    }

    /// On one line; `false`: given up, since the text has grown beyond `end`.
    fn write_line(&self, text: &mut String, end: usize, spans: bool) -> bool {
        if self.is_word() {
            self.write_head(text, spans);
            return text.len() <= end;
        }
        text.push('(');
        self.write_head(text, spans);
        for child in &self.children {
            text.push(' ');
            if !child.write_line(text, end, spans) {
                return false;
            }
        }
        text.push(')');
        text.len() <= end
    }

    fn is_word(&self) -> bool {
        // A list without elements, such as an empty block, is still one.
        const LISTS: [&str; 9] = ["block", "then", "else", "do", "tuple", "break", "continue", "return", "error"];
        self.children.is_empty() && !LISTS.contains(&self.head.as_str())
    }

    fn write_head(&self, text: &mut String, spans: bool) {
        text.push_str(&self.head);
        if let Some(span) = self.span.filter(|_| spans) {
            text.push_str(&format!("@{span:?}"));
        }
    }
}

/// Every item, grouped as the tree has them.
pub(super) fn script(script: &Script) -> Vec<Node> {
    let Script { config, imports, definitions, maps, macros, functions, probes } = script;
    let mut items = Vec::new();
    if !config.is_empty() {
        let entries =
            config.iter().map(|entry| Node::list(&entry.name.text, vec![expr(&entry.value)]).at(entry.name.span));
        items.push(Node::list("config", entries.collect()));
    }
    items.extend(imports.iter().map(import));
    items.extend(definitions.iter().map(definition));
    items.extend(maps.iter().map(|map| {
        let mut children = vec![name("@", &map.name), name("", &map.kind)];
        children.extend(map.size.as_ref().map(expr));
        Node::list("map", children).at(map.span)
    }));
    items.extend(macros.iter().map(macro_definition));
    items.extend(functions.iter().map(function));
    items.extend(probes.iter().map(probe));
    items
}

fn name(sigil: &str, name: &Name) -> Node {
    Node::word(format!("{sigil}{}", name.text)).at(name.span)
}

fn import(import: &Import) -> Node {
    Node::list("import", vec![Node::word(format!("{:?}", import.path))]).at(import.span)
}

fn definition(definition: &Definition) -> Node {
    let (keyword, mut members): (_, Vec<Node>) = match &definition.kind {
        DefinitionKind::Struct(members) => ("struct", members.iter().map(member).collect()),
        DefinitionKind::Union(members) => ("union", members.iter().map(member).collect()),
        DefinitionKind::Enum(enumerators) => {
            let enumerator = |(label, value): &(Name, Option<Expr>)| match value {
                Some(value) => Node::list("=", vec![name("", label), expr(value)]),
                None => name("", label),
            };
            ("enum", enumerators.iter().map(enumerator).collect())
        }
    };
    members.insert(0, name("", &definition.name));
    if definition.packed {
        members.insert(1, Node::word("packed"));
    }
    Node::list(keyword, members).at(definition.span)
}

fn member(member: &Member) -> Node {
    let mut children = vec![type_name(&member.ty)];
    children.extend(member.name.as_ref().map(|member| name("", member)));
    children.extend(member.bits.map(|bits| Node::list("bits", vec![Node::word(bits.to_string())])));
    Node::list("member", children)
}

fn macro_definition(definition: &Macro) -> Node {
    let parameters = definition.parameters.iter().map(|parameter| match parameter {
        MacroParameter::Variable(parameter) => name("$", parameter),
        MacroParameter::Map(parameter) => name("@", parameter),
        MacroParameter::Expression(parameter) => name("", parameter),
    });
    let mut children = vec![name("", &definition.name)];
    children.extend(parameters);
    children.push(block("do", &definition.body));
    Node::list("macro", children).at(definition.span)
}

fn function(function: &Function) -> Node {
    let mut children = vec![name("", &function.name)];
    children.extend(
        function.parameters.iter().map(|(parameter, ty)| Node::list(":", vec![name("$", parameter), type_name(ty)])),
    );
    children.push(Node::list("returns", vec![type_name(&function.returns)]));
    children.push(block("do", &function.body));
    Node::list("fn", children).at(function.span)
}

fn probe(probe: &Probe) -> Node {
    let mut children: Vec<Node> = probe
        .specs
        .iter()
        .map(|spec| {
            let fields = spec.fields.iter().map(|field| Node::word(format!("{:?}", field.text)).at(field.span));
            Node::list("spec", fields.collect()).at(spec.span)
        })
        .collect();
    children.extend(probe.predicate.as_ref().map(|predicate| Node::list("when", vec![expr(predicate)])));
    children.push(block("do", &probe.body));
    Node::list("probe", children).at(probe.span)
}

fn block(head: &str, block: &Block) -> Node {
    let mut children: Vec<Node> = block.statements.iter().map(statement).collect();
    children.extend(block.value.as_ref().map(|value| Node::list("value", vec![expr(value)])));
    Node::list(head, children).at(block.span)
}

fn statement(statement: &Stmt) -> Node {
    let (head, children) = match &statement.kind {
        StmtKind::Expr(value) => return expr(value),
        StmtKind::Let { name: variable, ty, value } => {
            let mut children = vec![name("$", variable)];
            children.extend(ty.as_ref().map(|ty| Node::list(":", vec![type_name(ty)])));
            children.extend(value.as_ref().map(expr));
            ("let".into(), children)
        }
        StmtKind::Assign { target, op, value } => {
            let head = format!("{}=", op.map_or("", BinaryOp::spelling));
            (head, vec![expr(target), expr(value)])
        }
        StmtKind::If { condition, then, otherwise } => {
            let mut children = vec![expr(condition), block("then", then)];
            children.extend(otherwise.as_ref().map(|otherwise| block("else", otherwise)));
            ("if".into(), children)
        }
        StmtKind::While { condition, body } => ("while".into(), vec![expr(condition), block("do", body)]),
        StmtKind::Unroll { count, body } => ("unroll".into(), vec![expr(count), block("do", body)]),
        StmtKind::For { variable, iterable, body } => {
            let iterable = match iterable {
                Iterable::Map(map) => name("@", map),
                Iterable::Range(start, end) => Node::list("..", vec![expr(start), expr(end)]),
            };
            ("for".into(), vec![name("$", variable), iterable, block("do", body)])
        }
        StmtKind::Block(inner) => return block("block", inner),
        StmtKind::Return(value) => ("return".into(), value.iter().map(expr).collect()),
        StmtKind::Discard(value) => ("discard".into(), vec![expr(value)]),
        StmtKind::Import(path) => return import(path),
        StmtKind::Break => ("break".to_string(), Vec::new()),
        StmtKind::Continue => ("continue".into(), Vec::new()),
    };
    Node::list(head, children).at(statement.span)
}

fn expr(expression: &Expr) -> Node {
    let node = match &expression.kind {
        ExprKind::Integer { value, unsigned } => Node::word(format!("{value}{}", if *unsigned { "u" } else { "" })),
        ExprKind::String(text) => Node::word(format!("{text:?}")),
        ExprKind::Bool(value) => Node::word(value.to_string()),
        ExprKind::Identifier(name) => Node::word(name),
        ExprKind::Variable(name) => Node::word(format!("${name}")),
        ExprKind::Map { name, key: None } => Node::word(format!("@{name}")),
        ExprKind::Map { name, key: Some(key) } => Node::list(format!("@{name}"), vec![expr(key)]),
        ExprKind::Positional(number) => Node::word(format!("${number}")),
        ExprKind::PositionalCount => Node::word("$#"),
        ExprKind::Call { name: function, arguments } => {
            let mut children = vec![name("", function)];
            children.extend(arguments.iter().map(expr));
            Node::list("call", children)
        }
        ExprKind::TypeQuery { query, of } => type_query(query, of),
        ExprKind::Unary { op, operand } => Node::list(op.spelling(), vec![expr(operand)]),
        ExprKind::Binary { op, left, right, .. } => Node::list(op.spelling(), vec![expr(left), expr(right)]),
        ExprKind::Ternary { condition, then, otherwise } => {
            let mut children = vec![expr(condition)];
            children.extend(then.as_deref().map(expr));
            children.push(expr(otherwise));
            Node::list("?:", children)
        }
        ExprKind::Cast { ty, operand } => Node::list("cast", vec![type_name(ty), expr(operand)]),
        ExprKind::Field { base, field } => Node::list(".", vec![expr(base), name("", field)]),
        ExprKind::Arrow { base, field } => Node::list("->", vec![expr(base), name("", field)]),
        ExprKind::Index { base, index } => Node::list("[]", vec![expr(base), expr(index)]),
        ExprKind::Tuple(parts) => Node::list("tuple", parts.iter().map(expr).collect()),
        ExprKind::Record(fields) => {
            let field = |(label, value): &(Name, Expr)| Node::list("=", vec![name("", label), expr(value)]);
            Node::list("record", fields.iter().map(field).collect())
        }
        ExprKind::Block(inner) => block("block", inner),
        ExprKind::If { condition, then, otherwise } => {
            Node::list("if", vec![expr(condition), block("then", then), block("else", otherwise)])
        }
        ExprKind::Type(ty) => Node::list("type", vec![type_name(ty)]),
        ExprKind::Comptime(operand) => Node::list("comptime", vec![expr(operand)]),
        ExprKind::Error => Node::word("error"),
    };
    node.at(expression.span)
}

fn type_query(query: &TypeQuery, of: &TypeOrExpr) -> Node {
    let of = match of {
        TypeOrExpr::Type(ty) => Node::list("type", vec![type_name(ty)]),
        TypeOrExpr::Expr(value) => expr(value),
    };
    match query {
        TypeQuery::SizeOf => Node::list("sizeof", vec![of]),
        TypeQuery::TypeInfo => Node::list("typeinfo", vec![of]),
        TypeQuery::OffsetOf(fields) => {
            let mut children = vec![of];
            children.extend(fields.iter().map(|field| name("", field)));
            Node::list("offsetof", children)
        }
    }
}

fn type_name(ty: &TypeName) -> Node {
    let node = match &ty.kind {
        TypeNameKind::Named(name) => Node::word(name),
        TypeNameKind::Struct(tag) => Node::word(format!("struct {tag}")),
        TypeNameKind::Union(tag) => Node::word(format!("union {tag}")),
        TypeNameKind::Enum(tag) => Node::word(format!("enum {tag}")),
        TypeNameKind::Sized(name, size) => Node::word(format!("{name}[{size}]")),
        TypeNameKind::Pointer(to) => Node::list("*", vec![type_name(to)]),
        TypeNameKind::Array(of, None) => Node::list("[]", vec![type_name(of)]),
        TypeNameKind::Array(of, Some(size)) => Node::list(format!("[{size}]"), vec![type_name(of)]),
        TypeNameKind::Tuple(members) => Node::list("tuple", members.iter().map(type_name).collect()),
        TypeNameKind::TypeOf(of) => Node::list("typeof", vec![expr(&of.0)]),
    };
    node.at(ty.span)
}

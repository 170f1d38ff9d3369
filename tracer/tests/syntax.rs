//! The language's grammar, by example: `syntax/valid` holds scripts and their trees, `syntax/invalid` scripts and what
//! is said about them. With `UPDATE_EXPECT=1` in the environment the expected texts are written anew, to be reviewed.

use proptest::prelude::*;
use std::path::Path;
use tracer::compile::diagnostics::render_all;
use tracer::compile::source::Source;
use tracer::compile::syntax;

/// Compares what `show` makes of every script in a folder with the text beside it.
fn check(folder: &str, extension: &str, show: impl Fn(&Source) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/syntax").join(folder);
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bt"))
        .collect();
    scripts.sort();
    assert!(scripts.len() > 20, "{} cases in {}", scripts.len(), folder.display());
    let mut differing = Vec::new();
    for path in scripts {
        let text = std::fs::read_to_string(&path).expect("a script");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let shown = show(&Source::new(name.clone(), text));
        let expected = path.with_extension(extension);
        if update {
            std::fs::write(&expected, &shown).expect("the expected text can be written");
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        if shown != wanted {
            differing.push(format!("== {name}: expected\n{wanted}\n== {name}: found\n{shown}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn valid_scripts_have_these_trees() {
    check("valid", "ast", |source| {
        let parameters = ["/bin/app".to_string(), "read".to_string()];
        let parsed = syntax::parse_with_parameters(source, &parameters);
        assert!(parsed.errors.is_empty(), "{}", render_all(&parsed.errors, source, false));
        let mut text = syntax::print::ast(&parsed.script, false);
        if !parsed.warnings.is_empty() {
            text.push_str(&format!("\n{}\n", render_all(&parsed.warnings, source, false)));
        }
        text
    });
}

#[test]
fn invalid_scripts_are_told_why() {
    check("invalid", "err", |source| {
        let parsed = syntax::parse(source);
        assert!(!parsed.errors.is_empty(), "{} is not invalid", source.name);
        render_all(&parsed.errors, source, false) + "\n"
    });
}

/// All that may be done with a script that somebody else wrote.
fn exercise(text: &str) {
    let source = Source::new("case", text);
    let (tokens, _) = syntax::tokens(&source);
    let parsed = syntax::parse(&source);
    syntax::print::tokens(&tokens, &source);
    syntax::print::ast(&parsed.script, true);
    render_all(&parsed.errors, &source, false);
    render_all(&parsed.warnings, &source, true);
    for error in parsed.errors {
        assert!(error.span.range().end <= text.len(), "{error:?} lies outside of the script");
    }
}

/// What scripts are made of.
const PIECES: [&str; 96] = [
    "BEGIN",
    "kprobe:f",
    "tracepoint:a:b",
    "uprobe:/a:f",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "if",
    "else",
    "while",
    "for",
    "unroll",
    "let",
    "return",
    "struct",
    "union",
    "enum",
    "macro",
    "fn",
    "config",
    "import",
    "sizeof",
    "offsetof",
    "typeof",
    "comptime",
    "typeinfo",
    "int64",
    "string",
    "unsigned",
    "x",
    "_",
    "$x",
    "$1",
    "$#",
    "@x",
    "@",
    "1",
    "0x",
    "1e6",
    "5ms",
    "08",
    "\"a\"",
    "\"",
    "'a'",
    "'",
    "\\",
    "=",
    "+=",
    "==",
    "!=",
    "<",
    "<<",
    "<<=",
    ">",
    ">=",
    "&&",
    "&",
    "||",
    "|",
    "^",
    "+",
    "++",
    "-",
    "--",
    "->",
    "*",
    "/",
    "%",
    "!",
    "~",
    "?",
    ":",
    ",",
    ";",
    ".",
    "..",
    "#",
    "\n",
    " ",
    "\n#define A 1\n",
    "\n#if 0\n",
    "\n#endif\n",
    "\n#else\n",
    "//",
    "/*",
    "*/",
    "é",
    "\u{a0}",
    "\0",
    "\r\n",
    "void",
    "__attribute__((packed))",
    "print(1)",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed(text in "\\PC{0,200}|[ -~\n]{0,200}") {
        exercise(&text);
    }

    #[test]
    fn any_bytes_are_parsed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_pieces_are_parsed(pieces in prop::collection::vec((prop::sample::select(&PIECES), any::<bool>()), 0..80)) {
        let text: String = pieces.iter().map(|(piece, space)| format!("{piece}{}", if *space { " " } else { "" })).collect();
        exercise(&text);
    }

    #[test]
    fn a_damaged_script_is_parsed(script in prop::sample::select(valid_scripts()), cut in any::<[prop::sample::Index; 2]>(), put in prop::sample::select(&PIECES)) {
        let mut ends = cut.map(|index| index.index(script.len() + 1));
        ends.sort();
        let end_of = |mut at: usize| { while !script.is_char_boundary(at) { at += 1; } at };
        let [from, to] = ends.map(end_of);
        exercise(&format!("{}{}", &script[..from], &script[to..]));
        exercise(&format!("{}{put}{}", &script[..from], &script[from..]));
        exercise(&script[from..to]);
    }
}

fn valid_scripts() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/syntax/valid");
    let paths = std::fs::read_dir(folder).expect("the folder of cases").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "bt")).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).expect("a script")).collect()
}

/// Of an endless line nobody wants to see every error.
fn parse_and_print(text: &str) {
    let source = Source::new("case", text);
    let parsed = syntax::parse(&source);
    syntax::print::ast(&parsed.script, false);
    assert!(parsed.errors.len() <= 200, "{} errors", parsed.errors.len());
}

#[test]
fn hostile_scripts_are_refused_without_harm() {
    let deep = [
        "(",
        "{",
        "-",
        "!",
        "@x[",
        "$x[",
        "f(",
        "1 + (",
        "if (1) {",
        "if ",
        "1 ? ",
        "(int)",
        "(a, ",
        "(a = ",
        "sizeof(",
        "comptime ",
        "{ let $x = ",
        "for ($i : 0..",
        "while (",
        "++",
        "$x = ",
        "typeof(",
        "1 - -",
        "(struct ",
        "if 1 {} else ",
        "let $x : (",
        "let $x : typeof(",
        "let $x : typeof(sizeof(",
    ];
    let long = [
        "1 + ",
        "$x.",
        "$x->",
        "a || ",
        "a ? 1 : ",
        "1 == 2 < ",
        "print(1); ",
        "$x++; ",
        "@x[1][",
        "else ",
        "; ",
        "} ",
        ") ",
        "$x = ; ",
        "\" ",
        "' ",
        "“ ",
        "/ ",
        "x ",
        "\\ ",
        "(a)(",
        "k:f{\n",
        "\nk:f ",
        "k:f,",
        "(x *",
        "/* */",
        "0x ",
    ];
    for piece in deep.iter().chain(&long) {
        let body = piece.repeat(4_000);
        parse_and_print(&format!("BEGIN {{ {body}"));
        parse_and_print(&format!("BEGIN {{ $x = {body}1 }}"));
        parse_and_print(&body);
    }
    for piece in ["struct a {", "struct { struct a {", "int *", "int a[", "int a[1]", "A = 1 + ", "int (*", "union {"] {
        parse_and_print(&format!("struct s {{ {}", piece.repeat(4_000)));
        parse_and_print(&format!("enum s {{ {}", piece.repeat(4_000)));
    }
    parse_and_print(&format!("struct s {{ int {}a{}; }}", "*".repeat(4_000), "[1]".repeat(4_000)));
    parse_and_print(&format!("BEGIN {{ let $x : int{}; let $y : int{}; }}", "*".repeat(4_000), "[1]".repeat(4_000)));
    parse_and_print(&"#if 1\n".repeat(4_000));
    parse_and_print(&"#if 0\n#else\n".repeat(4_000));
    parse_and_print(&"#define A B + B\n".repeat(4_000));
    parse_and_print(&format!("BEGIN {{ printf(\"{}\") }}", "\\q".repeat(4_000)));
    let mut doubling = String::from("#define A0 1\n");
    for level in 0..64 {
        doubling.push_str(&format!("#define A{} A{level} + A{level}\n", level + 1));
    }
    parse_and_print(&format!("{doubling}struct s {{ int a[A64]; }}"));
    parse_and_print("#define A A\nstruct s { int a[A]; }");
}

#[test]
fn a_script_of_more_than_a_mebibyte_is_refused() {
    let fits = Source::new("case", format!("BEGIN {{ }}{}", " ".repeat(syntax::MAX_SOURCE - 9)));
    assert!(syntax::parse(&fits).errors.is_empty());
    let too_large = Source::new("case", fits.text + " ");
    assert_eq!(syntax::parse(&too_large).errors[0].message, "the script has 1048577 bytes");
    assert_eq!(syntax::tokens(&too_large).1[0].message, "the script has 1048577 bytes");
}

#[test]
fn trees_are_as_deep_as_later_stages_can_bear_and_no_deeper() {
    let errors = |text: String| syntax::parse(&Source::new("case", text)).errors;
    let nested = |depth: usize| errors(format!("BEGIN {{ $x = {}1{} }}", "(".repeat(depth), ")".repeat(depth)));
    assert_eq!(nested(120), []);
    assert_eq!(nested(130)[0].message, "this is nested too deeply");
    let chain = |length: usize| errors(format!("BEGIN {{ $x = 1{} }}", " + 1".repeat(length)));
    assert_eq!(chain(500), []);
    assert_eq!(chain(520)[0].message, "this expression is too long");
    let terms = |length: usize| errors(format!("BEGIN /pid == 1{}/ {{ }}", " || args.a[1].b == 2".repeat(length)));
    assert_eq!(terms(500), [], "the operators inside the terms do not count");
}

#[test]
fn tokens_are_printed_with_their_place_and_kind() {
    let text = "#!/x\nuprobe:\"/a b\":f* /$1/ { @x[$#] = 5ms; // no token\n$y->z += 'a' }";
    let source = Source::new("case", text);
    let (tokens, errors) = syntax::tokens(&source);
    assert_eq!(errors, []);
    assert_eq!(
        syntax::print::tokens(&tokens, &source),
        r##"0..4 directive "#!/x"
5..11 spec "uprobe"
11..12 punctuation ":"
12..18 spec "\"/a b\""
18..19 punctuation ":"
19..21 spec "f*"
22..23 punctuation "/"
23..25 parameter "$1"
25..26 punctuation "/"
27..28 punctuation "{"
29..31 map "@x"
31..32 punctuation "["
32..34 parameter "$#"
34..35 punctuation "]"
36..37 punctuation "="
38..41 integer "5ms"
41..42 punctuation ";"
55..57 variable "$y"
57..59 punctuation "->"
59..60 word "z"
61..63 punctuation "+="
64..67 character "'a'"
68..69 punctuation "}"
69..69 end ""
"##
    );
}

#[test]
fn trees_are_printed_with_places_when_asked_for() {
    let text = "k:f /pid/ { @x[1, 2] = (uint8)($y + 1); print(-3) }";
    let source = Source::new("case", text);
    let parsed = syntax::parse(&source);
    assert_eq!(
        syntax::print::ast(&parsed.script, true),
        "\
(probe@0..51
  (spec@0..3 \"k\"@0..1 \"f\"@2..3)
  (when pid@5..8)
  (do@10..51
    (=@12..38
      (@x@12..20 (tuple@15..19 1@15..16 2@18..19))
      (cast@23..38 uint8@24..29 (+@30..38 $y@31..33 1@36..37)))
    (call@40..49 print@40..45 (-@46..48 3@47..48))))
"
    );
}

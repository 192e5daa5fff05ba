//! The header of the C library against the library, and both against what programs of 2011 expect.
//!
//! Names: what the header declares is what the library exports. Types: each prototype is that of the
//! function in Rust. Numbers and layouts: a program made of the constants and structures in Rust
//! compiles with the header. What was compiled in 2011: the probes in `tests/c`, which the compiler
//! judges, as C of 1989 and of today and as C++.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, FnArg, Item, Lit, PointerMutability, ReturnType, Type, UnOp};

use crate::capi::Installed;
use crate::command::{self, Failure};
use crate::workspace::Workspace;

/// A result type and those of the arguments, as in C and without names; `enum`s are `int`s.
type Prototype = (String, Vec<String>);
type Prototypes = BTreeMap<String, Prototype>;

/// Fails with the first thing that does not agree.
pub(crate) fn check(workspace: &Workspace, installed: &Installed) -> Result<(), Failure> {
    let path = installed.prefix.join("include/libwebsockets.h");
    let text = fs::read_to_string(&path).map_err(|error| Failure::file(&path, &error))?;
    let header = prototypes_in_c(&text)?;
    let exported = exported(workspace, installed)?;
    same_names(
        "the header declares",
        header.keys(),
        "the library exports",
        &exported,
    )?;
    let rust = Rust::read(&workspace.capi("src"))?;
    for (name, prototype) in &header {
        let ours = rust
            .functions
            .get(name)
            .ok_or_else(|| Failure::new(format!("{name}: no function of this name in Rust")))?;
        if ours != prototype {
            return Err(Failure::new(format!(
                "{name} is {} in the header, {} in Rust",
                shown(prototype),
                shown(ours)
            )));
        }
    }
    compile(workspace, installed, &rust.probe(&text)?)?;
    println!(
        "the header and the library agree: {} functions, {} numbers, {} structures",
        header.len(),
        rust.numbers.len(),
        rust.structures.len()
    );
    Ok(())
}

fn shown((result, arguments): &Prototype) -> String {
    format!("{result}({})", arguments.join(", "))
}

fn same_names<'n>(
    who: &str,
    names: impl Iterator<Item = &'n String>,
    other: &str,
    others: &BTreeSet<String>,
) -> Result<(), Failure> {
    let names: BTreeSet<String> = names.cloned().collect();
    for (who, only) in [(who, &names - others), (other, others - &names)] {
        if !only.is_empty() {
            let only: Vec<String> = only.into_iter().collect();
            return Err(Failure::new(format!("only {who} {}", only.join(", "))));
        }
    }
    Ok(())
}

fn exported(workspace: &Workspace, installed: &Installed) -> Result<BTreeSet<String>, Failure> {
    let library = installed.lib("libwebsockets.so.0");
    let mut nm = workspace.command("nm");
    nm.args(["--dynamic", "--defined-only", "--format=posix"]);
    let text = command::output(nm.arg(&library))
        .ok_or_else(|| Failure::new(format!("nm cannot read {}", library.display())))?;
    let names = text.lines().filter_map(|line| line.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

/// The `extern` declarations of our own header: names are given to all arguments there.
fn prototypes_in_c(header: &str) -> Result<Prototypes, Failure> {
    let mut code = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    code.push_str(rest);

    let mut found = Prototypes::new();
    for declaration in code.split("extern ").skip(1) {
        if declaration.starts_with('"') {
            continue; // extern "C", and the types behind it
        }
        let Some((head, arguments)) = declaration.split_once('(') else {
            continue;
        };
        let Some((arguments, _)) = arguments.split_once(");") else {
            continue;
        };
        let (result, name) = type_and_name(head)?;
        let arguments = arguments
            .split(',')
            .map(|argument| type_and_name(argument).map(|(class, _)| class))
            .collect::<Result<_, _>>()?;
        found.insert(name, (result, arguments));
    }
    Ok(found)
}

fn type_and_name(text: &str) -> Result<(String, String), Failure> {
    let text = text.replace('*', " * ");
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let name = words.pop().filter(|_| !words.is_empty());
    let name = name.ok_or_else(|| Failure::new(format!("the header: {text:?} has no name")))?;
    let class = if words[0] == "enum" {
        "int".to_owned()
    } else {
        words.join(" ")
    };
    Ok((class, name.to_owned()))
}

/// What the crate says to C.
#[derive(Default)]
struct Rust {
    functions: Prototypes,
    /// Those whose names are names in C.
    numbers: BTreeMap<String, i64>,
    /// The fields of each, by names and types.
    structures: BTreeMap<String, Vec<(String, String)>>,
    aliases: BTreeMap<String, Type>,
}

impl Rust {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let mut items = Vec::new();
        for path in sources(folder)? {
            let text = fs::read_to_string(&path).map_err(|error| Failure::file(&path, &error))?;
            let file = syn::parse_file(&text)
                .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
            items.extend(file.items);
        }
        let mut rust = Self::default();
        for item in &items {
            if let Item::Type(alias) = item {
                let name = alias.ident.to_string();
                rust.aliases.insert(name, (*alias.ty).clone());
            }
        }
        for item in items {
            rust.keep(item)?;
        }
        Ok(rust)
    }

    fn keep(&mut self, item: Item) -> Result<(), Failure> {
        match item {
            Item::Fn(function) if has(&function.attrs, "no_mangle") => {
                let signature = function.sig;
                let result = match &signature.output {
                    ReturnType::Default => "void".to_owned(),
                    ReturnType::Type(_, class) => self.in_c(class)?,
                };
                let arguments = signature
                    .inputs
                    .iter()
                    .map(|argument| match argument {
                        FnArg::Typed(argument) => self.in_c(&argument.ty),
                        FnArg::Receiver(_) => Err(Failure::new("a method with a name in C")),
                    })
                    .collect::<Result<_, _>>()?;
                let name = signature.ident.to_string();
                self.functions.insert(name, (result, arguments));
            }
            Item::Const(constant) => {
                let name = constant.ident.to_string();
                if let (true, Some(value)) = (is_of_c(&name), number(&constant.expr)) {
                    self.numbers.insert(name, value);
                }
            }
            Item::Struct(structure) if has(&structure.attrs, "repr") => {
                let fields = structure
                    .fields
                    .iter()
                    .map(|field| {
                        let name = field.ident.as_ref().map(ToString::to_string);
                        Ok((name.unwrap_or_default(), self.in_c(&field.ty)?))
                    })
                    .collect::<Result<Vec<_>, Failure>>();
                // An opaque one has fields that C knows nothing of.
                if let Ok(fields) = fields {
                    self.structures.insert(structure.ident.to_string(), fields);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A type as the header writes it.
    fn in_c(&self, class: &Type) -> Result<String, Failure> {
        let unknown = || Failure::new("a type in the C library that has no name in C here");
        match class {
            Type::Ptr(pointer) => {
                let constant = match pointer.mutability {
                    PointerMutability::Const(_) => "const ",
                    PointerMutability::Mut(_) => "",
                };
                Ok(format!("{constant}{} *", self.in_c(&pointer.elem)?))
            }
            Type::Path(path) => {
                let last = path.path.segments.last().ok_or_else(unknown)?;
                let name = last.ident.to_string();
                let known = match name.as_str() {
                    "c_int" => "int",
                    "c_uint" => "unsigned int",
                    "c_char" => "char",
                    "c_uchar" => "unsigned char",
                    "c_void" => "void",
                    "usize" => "size_t",
                    // A function pointer: the probe for 2011 has its type.
                    "Option" => "void *",
                    _ => "",
                };
                match self.aliases.get(&name) {
                    _ if !known.is_empty() => Ok(known.to_owned()),
                    Some(alias) => self.in_c(alias),
                    None => Ok(format!("struct {name}")),
                }
            }
            _ => Err(unknown()),
        }
    }

    /// A program in C that compiles if the header says the same.
    fn probe(&self, header: &str) -> Result<String, Failure> {
        let mut code = String::from("#include <libwebsockets.h>\n#include <stddef.h>\n");
        let mut line = |text: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(code, "{text}");
        };
        for (name, value) in &self.numbers {
            line(format!(
                "_Static_assert((int){name} == {value}, \"{name}\");"
            ));
        }
        for (name, fields) in &self.structures {
            let body: String = fields
                .iter()
                .map(|(name, class)| format!(" {class} {name};"))
                .collect();
            line(format!("struct rust_{name} {{{body} }};"));
            let (ours, theirs) = (format!("struct rust_{name}"), format!("struct {name}"));
            line(format!(
                "_Static_assert(sizeof({ours}) == sizeof({theirs}), \"{name}\");"
            ));
            for (field, _) in fields {
                line(format!(
                    "_Static_assert(offsetof({ours}, {field}) == offsetof({theirs}, {field}), \"{name}\");"
                ));
            }
        }
        let words: BTreeSet<&str> = header
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .collect();
        let missing = self
            .numbers
            .keys()
            .find(|name| !words.contains(name.as_str()));
        match missing {
            Some(name) => Err(Failure::new(format!("{name} is not in the header"))),
            None if self.numbers.is_empty() || self.structures.is_empty() => {
                Err(Failure::new("no numbers or structures were found in Rust"))
            }
            None => Ok(code),
        }
    }
}

fn compile(workspace: &Workspace, installed: &Installed, probe: &str) -> Result<(), Failure> {
    let path = workspace.target("capi-tests/header.c");
    let folder = workspace.target("capi-tests");
    fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, &error))?;
    fs::write(&path, probe).map_err(|error| Failure::file(&path, &error))?;
    let include = format!("-I{}", installed.prefix.join("include").display());
    let tests = workspace.capi("tests/c");
    let warnings = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only"];
    for (compiler, dialect, file) in [
        ("gcc", &["-std=c11"][..], path),
        ("gcc", &["-std=c89", "-pedantic"], tests.join("layout.c")),
        (
            "gcc",
            &["-std=c89", "-pedantic"],
            tests.join("signatures.c"),
        ),
        ("g++", &["-xc++", "-std=c++98"], tests.join("signatures.c")),
        ("g++", &["-xc++", "-std=c++20"], tests.join("layout.c")),
    ] {
        let mut command = workspace.command(compiler);
        command.args(dialect).args(warnings).arg(&include);
        command::run(command.arg(file))?;
    }
    Ok(())
}

/// Names that C programs see.
fn is_of_c(name: &str) -> bool {
    [
        "LWS_",
        "CONTEXT_",
        "PENDING_TIMEOUT_",
        "NO_PENDING_TIMEOUT",
        "WSI_",
    ]
    .iter()
    .any(|start| name.starts_with(start))
}

/// Whether there is `#[name]`, `#[name(...)]` or `#[unsafe(name)]`.
fn has(attributes: &[Attribute], name: &str) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident(name)
            || attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|inner| attribute.path().is_ident("unsafe") && inner.is_ident(name))
    })
}

fn number(expression: &Expr) -> Option<i64> {
    match expression {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => number.base10_parse().ok(),
            _ => None,
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => number(&unary.expr).map(|n| -n),
        _ => None,
    }
}

/// All files of Rust below a folder.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).map_err(|error| Failure::file(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| Failure::file(folder, &error))?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prototypes_are_found_between_comments() {
        let header = "/* extern int no(int a); */\n#ifdef X\nextern \"C\" {\n#endif\n\
                      extern const char *\nname(struct a *b, /* c */ enum d e,\n unsigned int f);\n\
                      extern void g(const char *h);";
        let found = prototypes_in_c(header).unwrap();
        let all: Vec<String> = found
            .iter()
            .map(|(name, prototype)| format!("{name}: {}", shown(prototype)))
            .collect();
        assert_eq!(
            all,
            [
                "g: void(const char *)",
                "name: const char *(struct a *, int, unsigned int)"
            ]
        );
    }

    #[test]
    fn a_name_that_one_side_lacks_is_told() {
        let set = |names: &[&str]| -> BTreeSet<String> {
            names.iter().map(|&name| name.to_owned()).collect()
        };
        let told = |a: &[&str], b: &[&str]| {
            same_names("A has", set(a).iter(), "B has", &set(b)).map_err(|why| why.to_string())
        };
        assert_eq!(told(&["a", "b"], &["a", "b"]), Ok(()));
        assert_eq!(told(&["a", "b"], &["a"]), Err("only A has b".to_owned()));
        assert_eq!(told(&["a"], &["a", "b"]), Err("only B has b".to_owned()));
    }
}

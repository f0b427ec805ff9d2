//! Which module of a package imports which: read off `use` lines and paths in the code. No module may
//! import, through others, one that imports it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module's path below its crate: `["core", "log"]`. The crate itself is the empty one.
type Module = Vec<String>;

/// The modules of one package, without tests.
pub(crate) struct Modules {
    /// The code of each.
    code: BTreeMap<Module, String>,
    /// What a module offers under a name that is another's: its `pub use` lines.
    reexports: BTreeMap<(Module, String), Module>,
}

impl Modules {
    /// The modules of these files, which are named by their paths below `src`.
    pub(crate) fn of(files: &[(impl AsRef<Path>, String)]) -> Self {
        let mut code = BTreeMap::<Module, String>::new();
        for (path, text) in files {
            let module = code.entry(module(path.as_ref())).or_default();
            module.push_str(&without_tests(text));
        }
        let mut modules = Self {
            code,
            reexports: BTreeMap::new(),
        };
        modules.reexports = modules.find_reexports();
        modules
    }

    /// A cycle of imports, if there is one: each module imports the next, and the last the first.
    pub(crate) fn cycle(&self) -> Option<Vec<String>> {
        let graph: BTreeMap<_, _> = self
            .code
            .keys()
            .map(|module| (module, self.imports(module)))
            .collect();
        let found = graph.keys().find_map(|module| way_back(&graph, module))?;
        Some(found.iter().map(|module| module.join("::")).collect())
    }

    /// The modules that a module imports.
    fn imports(&self, module: &Module) -> BTreeSet<Module> {
        let (uses, rest) = split_uses(&self.code[module]);
        let mut paths = BTreeSet::new();
        for (is_public, path) in uses {
            let name = path.rsplit("::").next().unwrap_or_default();
            // A module that offers a name of another one depends on it only if it uses the name too.
            if !is_public || words(&rest).any(|word| word == name) {
                paths.insert(path);
            }
        }
        paths.extend(paths_in(&rest));
        let imports = paths.iter().filter_map(|path| self.absolute(module, path));
        let imports = imports.map(|path| self.owner(path));
        imports.filter(|import| import != module).collect()
    }

    fn find_reexports(&self) -> BTreeMap<(Module, String), Module> {
        let mut found = BTreeMap::new();
        for (module, code) in &self.code {
            for (is_public, path) in split_uses(code).0 {
                let path = self.absolute(module, &path).filter(|_| is_public);
                if let Some(path) = path
                    && let Some(name) = path.last()
                {
                    found.insert((module.clone(), name.clone()), path);
                }
            }
        }
        found
    }

    /// A path from the crate on; none if it leads to another crate, or is no path of a module at all.
    fn absolute(&self, module: &Module, path: &str) -> Option<Module> {
        let mut names = path.split("::").map(str::to_owned).peekable();
        let mut base = module.clone();
        match names.peek()?.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
            }
            child => {
                base.push(child.to_owned());
                self.code.get(&base)?;
            }
        }
        names.next();
        for name in names {
            match name.as_str() {
                "super" => drop(base.pop()),
                _ => base.push(name),
            }
        }
        Some(base)
    }

    /// The module in which that is defined what a path leads to.
    fn owner(&self, mut path: Module) -> Module {
        for _ in 0..RENAMED_AT_MOST {
            let len = (0..=path.len())
                .rev()
                .find(|len| self.code.contains_key(&path[..*len]));
            let rest = path.split_off(len.unwrap_or(0));
            let Some(name) = rest.first() else {
                return path;
            };
            match self.reexports.get(&(path.clone(), name.clone())) {
                Some(elsewhere) => path.clone_from(elsewhere),
                None => return path,
            }
        }
        path
    }
}

/// The shortest way of imports from a module back to itself.
fn way_back<'a>(
    graph: &'a BTreeMap<&Module, BTreeSet<Module>>,
    start: &'a Module,
) -> Option<Vec<&'a Module>> {
    let mut seen = BTreeSet::new();
    let mut ways = std::collections::VecDeque::from([vec![start]]);
    while let Some(way) = ways.pop_front() {
        for next in graph.get(way[way.len() - 1]).into_iter().flatten() {
            if next == start {
                return Some(way);
            }
            if seen.insert(next) {
                let mut way = way.clone();
                way.push(next);
                ways.push_back(way);
            }
        }
    }
    None
}

/// `core/log.rs` and `core/log/mod.rs` are `core::log`.
fn module(path: &Path) -> Module {
    let path = path.with_extension("");
    let names = path.iter().map(|name| name.to_string_lossy().into_owned());
    let mut module: Module = names.collect();
    module.pop_if(|name| ["lib", "main", "mod"].contains(&name.as_str()));
    module
}

/// The code without comments and tests. What an inline module calls `super` is the module itself.
fn without_tests(text: &str) -> String {
    let mut code = String::new();
    let (mut inline, mut is_test) = (false, false);
    for line in text.lines() {
        let is_begin = line.ends_with(" {") && line.trim_start_matches("pub ").starts_with("mod ");
        inline = (inline || is_begin) && line != "}";
        is_test = inline && (is_test || line == "mod tests {");
        if is_test || line.trim_start().starts_with("//") {
            continue;
        }
        let line = line.replace("pub(crate) ", "pub ");
        let line = line.replace("pub(super) ", "pub ");
        code += &if inline {
            line.replacen("super::", "self::", 1)
        } else {
            line
        };
        code.push('\n');
    }
    code
}

/// The paths of `use` lines, each with whether it is public, and the code without these lines.
fn split_uses(code: &str) -> (Vec<(bool, String)>, String) {
    let (mut uses, mut rest) = (Vec::new(), String::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let begin = line.trim_start();
        let is_public = begin.starts_with("pub use ");
        let Some(tree) = begin.trim_start_matches("pub ").strip_prefix("use ") else {
            rest += line;
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.ends_with(';') {
            tree += lines.next().expect("a `use` line ends").trim();
        }
        let paths = leaves(tree.trim_end_matches(';'));
        uses.extend(paths.into_iter().map(|path| (is_public, path)));
    }
    (uses, rest)
}

/// The paths of a tree: `a::{b, c::{self, d}}` is `a::b`, `a::c::self` and `a::c::d`.
fn leaves(tree: &str) -> Vec<String> {
    let Some((prefix, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        return vec![path.trim_end_matches("::self").to_owned()];
    };
    let group = group.trim_end().trim_end_matches('}');
    let mut depth = 0;
    let branches = group.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let branches = branches.map(str::trim).filter(|branch| !branch.is_empty());
    branches
        .flat_map(|branch| leaves(&format!("{prefix}{branch}")))
        .collect()
}

/// Paths in code: `record::decode` of `record::decode(bytes)`.
fn paths_in(code: &str) -> impl Iterator<Item = String> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let paths = code.split(move |c| !is_path(c));
    let paths = paths.map(|path| path.trim_matches(':'));
    paths.filter(|path| path.contains("::")).map(str::to_owned)
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// How often a name is offered anew, one module after the other.
const RENAMED_AT_MOST: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(files: &[(&str, &str)]) -> Option<Vec<String>> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path, (*text).to_owned()))
            .collect();
        Modules::of(&files).cycle()
    }

    #[test]
    fn cycles_are_seen() {
        let back = ("b.rs", "use crate::c::{\n    C, d::{self, D},\n};\n");
        let a = ("a.rs", "use crate::b;\n");
        let there = ("c/mod.rs", "mod d;\nfn f() {\n    crate::a::f();\n}\n");
        assert_eq!(cycle(&[a, back, there]).unwrap(), ["a", "b", "c"]);
        assert_eq!(cycle(&[a, back]), None);
    }

    #[test]
    fn a_facade_is_no_cycle_unless_it_uses_what_it_offers() {
        let child = ("m/x.rs", "use super::y::Y;\nuse crate::m::Z;\n");
        let leaf = ("m/y.rs", "pub struct Y;\npub struct Z;\n");
        let facade = "mod x;\nmod y;\npub use x::X;\npub(crate) use self::y::{Y, Z};\n";
        assert_eq!(cycle(&[child, leaf, ("m/mod.rs", facade)]), None);
        let own = ("m/x.rs", "use super::Own;\n");
        let facade = format!("{facade}pub struct Own;\n");
        assert_eq!(cycle(&[own, leaf, ("m/mod.rs", &facade)]), None);
        let facade = format!("{facade}fn f(_: X) {{}}\n");
        assert!(cycle(&[own, leaf, ("m/mod.rs", &facade)]).is_some());
    }

    #[test]
    fn tests_and_comments_do_not_count() {
        let a = (
            "a.rs",
            "// crate::b\nmod tests {\n    use crate::b::B;\n}\n",
        );
        let b = (
            "b.rs",
            "use crate::a::A;\nmod inner {\n    use super::B;\n}\n",
        );
        assert_eq!(cycle(&[a, b]), None);
    }
}

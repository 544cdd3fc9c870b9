//! How long files and functions may be. What is longer today is listed with its length,
//! which may shrink and not grow.

use super::modules::{File, lines};
use std::collections::BTreeMap;
use syn::{
    Block, ImplItemFn, ItemFn, Signature, TraitItemFn,
    spanned::Spanned as _,
    visit::{self, Visit},
};

/// Lines of a file, tests aside.
const FILE: usize = 500;
/// Lines of a function, from its signature to its end.
const FUNCTION: usize = 70;

/// A file, or a file and a function, and its lines.
type Listed = (&'static str, usize);

const LONG_FILES: &[Listed] = &[];

const LONG_FUNCTIONS: &[Listed] = &[
    ("crates/indelible-index/src/count.rs fn count_piece", 73),
    ("crates/indelible/src/commands/control.rs fn run", 74),
];

/// The files of the crates with the path of each in the repository.
pub(super) fn check<'a>(files: impl IntoIterator<Item = (String, &'a File)>) -> Vec<String> {
    let (files, functions) = measure(files);
    let mut problems = ratchet(&files, FILE, LONG_FILES);
    problems.extend(ratchet(&functions, FUNCTION, LONG_FUNCTIONS));
    problems
}

/// The lines of each file and of each function.
type Measured = (BTreeMap<String, usize>, BTreeMap<String, usize>);

fn measure<'a>(files: impl IntoIterator<Item = (String, &'a File)>) -> Measured {
    let (mut lengths, mut functions) = Measured::default();
    for (path, file) in files {
        let mut visitor = Functions { path: &path, found: &mut functions };
        visitor.visit_file(&file.syntax);
        lengths.insert(path, file.lines);
    }
    (lengths, functions)
}

fn ratchet(found: &BTreeMap<String, usize>, limit: usize, listed: &[Listed]) -> Vec<String> {
    let allowed: BTreeMap<&str, usize> = listed.iter().copied().collect();
    let mut problems = Vec::new();
    for (name, lines) in found.iter().filter(|(_, lines)| **lines > limit) {
        match allowed.get(name.as_str()) {
            None => problems.push(format!("{name}: {lines} lines, the limit is {limit}")),
            Some(allowed) if lines > allowed => {
                problems.push(format!("{name}: {lines} lines, it may not grow past {allowed}"));
            }
            Some(_) => {}
        }
    }
    for (name, _) in listed {
        if found.get(*name).is_none_or(|lines| *lines <= limit) {
            problems.push(format!("{name}: within the limit or gone, take it off the list"));
        }
    }
    problems
}

struct Functions<'a> {
    path: &'a str,
    /// Of functions of one name in one file, the longest.
    found: &'a mut BTreeMap<String, usize>,
}

impl Functions<'_> {
    fn note(&mut self, signature: &Signature, block: &Block) {
        let lines = lines(block.span()) + block.span().start().line - signature.span().start().line;
        let longest =
            self.found.entry(format!("{} fn {}", self.path, signature.ident)).or_default();
        *longest = lines.max(*longest);
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(block) = &function.default {
            self.note(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::modules::tests::package, *};

    fn found(entries: &[(&str, usize)]) -> BTreeMap<String, usize> {
        entries.iter().map(|(name, lines)| ((*name).to_owned(), *lines)).collect()
    }

    #[test]
    fn what_is_listed_may_shrink_and_not_grow() {
        let found = found(&[("a", 70), ("b", 71), ("c", 80), ("d", 81), ("e", 70)]);
        assert_eq!(
            ratchet(&found, 70, &[("c", 81), ("d", 80), ("e", 75), ("f", 90)]),
            [
                "b: 71 lines, the limit is 70",
                "d: 81 lines, it may not grow past 80",
                "e: within the limit or gone, take it off the list",
                "f: within the limit or gone, take it off the list",
            ]
        );
    }

    #[test]
    fn functions_count_from_the_signature_and_tests_not_at_all() {
        let long = |name: &str, lines: usize| format!("fn {name}() {{{}}}", "\n".repeat(lines - 1));
        let text = format!(
            "/// Doc.\n{}\nimpl A {{ {} }}\n#[cfg(test)]\nmod tests {{ {} }}\n",
            long("short", 70),
            long("inner", 71),
            long("check", 900),
        );
        let (_folder, trees) = package(&[("lib.rs", &text)]);
        let file = &trees[0].files[0];
        let (files, functions) = measure([("a.rs".to_owned(), file)]);
        // The attribute, and the tests from `mod` to their end, are no lines of the file.
        assert_eq!(files["a.rs"], text.lines().count() - 901);
        assert_eq!(functions, found(&[("a.rs fn short", 70), ("a.rs fn inner", 71)]));
    }
}

//! Dependencies that no source file names.

use super::metadata::{Dependency, Package};
use anyhow::Context as _;
use proc_macro2::{TokenStream, TokenTree};
use std::{collections::BTreeSet, fs, path::Path};

pub(super) fn check(packages: &[Package]) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for package in packages {
        let named = |places: &[&str]| words(&package.folder, places);
        let (source, build) = (named(&["src", "build.rs"])?, named(&["build.rs"])?);
        let dev = named(&["src", "tests", "benches", "examples"])?;
        for dependency in &package.dependencies {
            let (section, found) = match dependency.kind.as_deref() {
                Some("dev") => ("dev-dependencies", &dev),
                Some("build") => ("build-dependencies", &build),
                _ => ("dependencies", &source),
            };
            if let Some(problem) = unused(package, dependency, section, found) {
                problems.push(problem);
            }
        }
    }
    Ok(problems)
}

fn unused(
    package: &Package,
    dependency: &Dependency,
    section: &str,
    found: &BTreeSet<String>,
) -> Option<String> {
    let Dependency { name, word, .. } = dependency;
    let problem = || format!("{}: [{section}] {name} is named nowhere: remove it", package.name);
    (!found.contains(word)).then(problem)
}

/// The names that may stand for a crate in the files of some places: the first of a path
/// and what follows `use`. A variable or a module of the same name is none.
fn words(folder: &Path, places: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let mut words = BTreeSet::new();
    for place in places {
        for path in super::modules::rust_files(&folder.join(place))? {
            let text = fs::read_to_string(&path)?;
            let tokens: TokenStream = text
                .parse()
                .map_err(|error| anyhow::anyhow!("{error}"))
                .with_context(|| format!("could not read {}", path.display()))?;
            collect(tokens, &mut words);
        }
    }
    Ok(words)
}

fn collect(tokens: TokenStream, words: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let colon =
        |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => collect(group.stream(), words),
            TokenTree::Ident(name) => {
                let before = at.checked_sub(1).and_then(|at| tokens.get(at));
                let after_use = matches!(before, Some(TokenTree::Ident(word)) if *word == "use" || *word == "crate");
                // `a::name::` is a module of `a`, `::name::` is a crate.
                let inner = at > 2
                    && colon(at - 1)
                    && colon(at - 2)
                    && matches!(&tokens[at - 3], TokenTree::Ident(word) if *word != "use");
                if after_use || (colon(at + 1) && colon(at + 2) && !inner) {
                    words.insert(name.to_string());
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
mod tests {
    use super::{super::metadata::Dependency, *};

    fn dependency(name: &str, kind: Option<&str>) -> Dependency {
        let kind = kind.map(str::to_owned);
        Dependency { name: name.to_owned(), word: name.replace('-', "_"), ours: false, kind }
    }

    #[test]
    fn a_dependency_counts_only_where_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [
            (
                "src/lib.rs",
                "//! About csv::Reader.\nuse serde_json::json;\nmod bytes;\nfn f() { crate::bytes::g(); ::sha2::new(); let rayon = 1; }",
            ),
            ("src/bytes.rs", "pub fn g() { write!(out, tower::x) }"),
            ("tests/it/main.rs", "use proptest as p;"),
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let names = ["csv", "serde-json", "bytes", "sha2", "rayon", "tower", "proptest"];
        let mut dependencies: Vec<_> = names.iter().map(|name| dependency(name, None)).collect();
        dependencies.extend([dependency("proptest", Some("dev")), dependency("csv", Some("dev"))]);
        let package = Package { name: "a".into(), folder: folder.path().into(), dependencies };
        let problem = |section, name| format!("a: [{section}] {name} is named nowhere: remove it");
        assert_eq!(
            check(&[package]).unwrap(),
            [
                problem("dependencies", "csv"),
                problem("dependencies", "bytes"),
                problem("dependencies", "rayon"),
                problem("dependencies", "proptest"),
                problem("dev-dependencies", "csv"),
            ]
        );
    }
}

//! The source files of a crate, found as the compiler finds them: from its root, along
//! `mod` declarations. What only tests see is left out.

use anyhow::Context as _;
use proc_macro2::Span;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use syn::{Attribute, ImplItem, Item, spanned::Spanned as _};

/// The names from the crate's root to a module; empty for the root itself.
pub(super) type Module = Vec<String>;

/// One target of a crate: a library or a program.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
    /// The file where each module is written; several may share one.
    pub(super) modules: BTreeMap<Module, usize>,
    src: PathBuf,
}

pub(super) struct File {
    /// Below `src/`, as `routes/append.rs`.
    pub(super) path: String,
    pub(super) module: Module,
    /// Without what only tests see.
    pub(super) syntax: syn::File,
    /// Lines, without those that only tests see.
    pub(super) lines: usize,
}

/// The library and the programs of a crate.
pub(super) fn trees(package: &Path) -> anyhow::Result<Vec<Tree>> {
    let src = package.join("src");
    let mut roots = vec![src.join("lib.rs"), src.join("main.rs")];
    roots.extend(rust_files(&src.join("bin"))?);
    roots.retain(|root| root.is_file());
    roots.iter().map(|root| Tree::read(&src, root)).collect()
}

/// Every Rust file of a folder, or the file itself; none if there is no such place.
pub(super) fn rust_files(place: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if place.is_dir() {
        for entry in fs::read_dir(place)? {
            let path = entry?.path();
            // Installed programs of the tests are no source of ours.
            if !path.ends_with("node_modules") && !path.ends_with("venv") {
                found.extend(rust_files(&path)?);
            }
        }
    } else if place.is_file() && place.extension().is_some_and(|end| end == "rs") {
        found.push(place.to_owned());
    }
    found.sort();
    Ok(found)
}

impl Tree {
    fn read(src: &Path, root: &Path) -> anyhow::Result<Self> {
        let (files, modules) = (Vec::new(), BTreeMap::new());
        let mut tree = Self { files, modules, src: src.to_owned() };
        let folder = root.parent().unwrap_or(src);
        tree.add(root, &Module::new(), folder)?;
        Ok(tree)
    }

    /// Adds a file and those that it declares, which stand in `folder`.
    fn add(&mut self, path: &Path, module: &Module, folder: &Path) -> anyhow::Result<()> {
        let context = || format!("could not read {}", path.display());
        let text = fs::read_to_string(path).with_context(context)?;
        let mut syntax = syn::parse_file(&text).with_context(context)?;
        let tests = without_tests(&mut syntax.items);
        let declared = self.declared(&syntax.items, module, self.files.len());
        let shown = path.strip_prefix(&self.src).unwrap_or(path).display().to_string();
        let lines = text.lines().count() - tests;
        self.files.push(File { path: shown, module: module.clone(), syntax, lines });
        for (child, named) in declared {
            let below = &child[module.len()..];
            let base = below.iter().fold(folder.to_owned(), |base, name| base.join(name));
            let (flat, nested) = (base.with_extension("rs"), base.join("mod.rs"));
            let file = match named {
                Some(named) => path.with_file_name(named),
                None if flat.is_file() => flat,
                None => nested,
            };
            self.add(&file, &child, &base)?;
        }
        Ok(())
    }

    /// Notes the modules written in a file; those of other files are returned, with the
    /// file's name where an attribute gives it.
    fn declared(
        &mut self,
        items: &[Item],
        module: &Module,
        file: usize,
    ) -> Vec<(Module, Option<String>)> {
        self.modules.insert(module.clone(), file);
        let mut declared = Vec::new();
        for item in items {
            let Item::Mod(item) = item else { continue };
            let child = [module.as_slice(), &[item.ident.to_string()]].concat();
            match &item.content {
                Some((_, items)) => declared.extend(self.declared(items, &child, file)),
                None => declared.push((child, path_attribute(&item.attrs))),
            }
        }
        declared
    }
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    match &attribute.meta.require_name_value().ok()?.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

/// Removes what only tests see; the number of lines that it took.
fn without_tests(items: &mut Vec<Item>) -> usize {
    let mut taken = 0;
    items.retain(|item| {
        let test = is_test(attributes(item));
        taken += if test { lines(item.span()) } else { 0 };
        !test
    });
    for item in items {
        match item {
            Item::Mod(item) => {
                taken += item.content.as_mut().map_or(0, |(_, items)| without_tests(items));
            }
            Item::Impl(item) => item.items.retain(|item| {
                let test = matches!(item, ImplItem::Fn(function) if is_test(&function.attrs));
                taken += if test { lines(item.span()) } else { 0 };
                !test
            }),
            _ => {}
        }
    }
    taken
}

/// How many lines a piece of source covers.
pub(super) fn lines(span: Span) -> usize {
    span.end().line - span.start().line + 1
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Ok(list) = attribute.meta.require_list() else { return false };
        let condition = list.tokens.to_string().replace(' ', "");
        list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]
pub(super) mod tests {
    use super::*;

    /// A made-up package of some files below `src/`; the folder lives as long as the
    /// first of the two.
    pub(in crate::tidy) fn package(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<Tree>) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join("src").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let trees = trees(folder.path()).unwrap();
        (folder, trees)
    }

    #[test]
    fn modules_are_found_where_the_compiler_finds_them() {
        let (_folder, trees) = package(&[
            ("lib.rs", "mod a; mod b; mod c { mod d; mod e {} } #[cfg(test)] mod tests;"),
            ("a.rs", "mod x; #[path = \"other.rs\"] mod y;"),
            ("a/x.rs", ""),
            ("other.rs", ""),
            ("b/mod.rs", "mod z;"),
            ("b/z.rs", ""),
            ("c/d.rs", ""),
            ("unseen.rs", "not rust"),
            ("main.rs", "fn main() {}"),
        ]);
        let of = |tree: &Tree| {
            let shown = |(module, file): (&Module, &usize)| {
                format!("{} {}", module.join("::"), tree.files[*file].path)
            };
            tree.modules.iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(
            of(&trees[0]),
            [
                " lib.rs",
                "a a.rs",
                "a::x a/x.rs",
                "a::y other.rs",
                "b b/mod.rs",
                "b::z b/z.rs",
                "c lib.rs",
                "c::d c/d.rs",
                "c::e lib.rs",
            ]
        );
        assert_eq!(of(&trees[1]), [" main.rs"]);
    }
}

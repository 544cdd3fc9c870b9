//! Which file of a crate imports which: by `use`, and by paths written inline.
//!
//! A path belongs to the file of its longest module prefix. A name that this module has
//! from a third file, by a `use` of its own, is imported *through* the module: from its
//! file, and from the third as well.

use super::{
    modules::{Module, Tree},
    paths::{self, Binding, Found},
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The file needs something that the other defines.
    Uses,
    /// The file needs something that the other has from elsewhere.
    Through,
    /// The file passes on what a file below it defines, `pub use`.
    Passes,
}

/// Between two files of a tree, by their index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) kind: Kind,
    /// The path below the module of `to`, or the module's own name.
    pub(super) name: String,
}

pub(super) fn imports(tree: &Tree) -> BTreeSet<Import> {
    let mut names = Names { tree, bound: BTreeMap::new(), globs: BTreeMap::new() };
    let found: Vec<Found> = tree.files.iter().map(paths::find).collect();
    for found in &found {
        for Binding { module, path, name, .. } in &found.bindings {
            match name.as_deref() {
                Some("_") => {}
                Some(name) => {
                    let bound = names.bound.entry(module.clone()).or_default();
                    bound.insert(name.to_owned(), path.clone());
                }
                None => names.globs.entry(module.clone()).or_default().push(path.clone()),
            }
        }
    }
    let mut imports = BTreeSet::new();
    for (from, found) in found.iter().enumerate() {
        for binding in &found.bindings {
            let kind = if binding.public { Kind::Passes } else { Kind::Uses };
            names.import(from, kind, &binding.module, &binding.path, &mut imports);
        }
        for (module, path) in &found.paths {
            if path.len() > 1 || names.is_bound_item(module, path) {
                names.import(from, Kind::Uses, module, path, &mut imports);
            }
        }
    }
    imports
}

struct Names<'a> {
    tree: &'a Tree,
    /// What `use` binds in a module: the name, and the path as it is written there.
    bound: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
    globs: BTreeMap<Module, Vec<Vec<String>>>,
}

/// Names of names of names: more would be a ring of `use`.
const DEEP: usize = 8;

impl Names<'_> {
    fn import(
        &self,
        from: usize,
        kind: Kind,
        module: &Module,
        path: &[String],
        imports: &mut BTreeSet<Import>,
    ) {
        let Some(path) = self.absolute(module, path, DEEP) else { return };
        self.import_absolute(from, kind, &path, DEEP, imports);
    }

    fn import_absolute(
        &self,
        from: usize,
        kind: Kind,
        path: &[String],
        depth: usize,
        imports: &mut BTreeSet<Import>,
    ) {
        let (module, rest) = self.split(path);
        let to = self.tree.modules[module];
        let elsewhere = rest.first().and_then(|name| self.elsewhere(module, name, depth));
        let below = self.tree.files[to].module.starts_with(&self.tree.files[from].module);
        if from != to {
            let kind = match kind {
                Kind::Passes if below => Kind::Passes,
                _ if elsewhere.is_some() => Kind::Through,
                _ => Kind::Uses,
            };
            let name = rest.first().or(module.last()).cloned().unwrap_or_default();
            imports.insert(Import { from, to, kind, name });
        }
        if let Some(elsewhere) = elsewhere {
            let path = [elsewhere, rest[1..].to_vec()].concat();
            self.import_absolute(from, kind, &path, depth - 1, imports);
        }
    }

    /// From where in the crate a module has a name that it does not define.
    fn elsewhere(&self, module: &[String], name: &str, depth: usize) -> Option<Vec<String>> {
        let depth = depth.checked_sub(1).filter(|depth| *depth > 0)?;
        let module = module.to_vec();
        if let Some(path) = self.bound.get(&module).and_then(|bound| bound.get(name)) {
            return self.absolute(&module, path, depth);
        }
        // What a module defines goes before what a glob brings.
        let file = &self.tree.files[self.tree.modules[&module]];
        if paths::defines(file, &module, name) {
            return None;
        }
        let globs = self.globs.get(&module)?.iter();
        let mut found = globs.filter_map(|path| self.absolute(&module, path, depth));
        found.find_map(|path| {
            let (source, rest) = self.split(&path);
            let file = &self.tree.files[self.tree.modules[source]];
            let known = rest.is_empty()
                && source != module.as_slice()
                && (paths::defines(file, source, name)
                    || self.elsewhere(source, name, depth).is_some());
            known.then(|| [path.clone(), vec![name.to_owned()]].concat())
        })
    }

    /// The path from the crate's root; `None` if it leads out of the crate.
    fn absolute(&self, module: &Module, path: &[String], depth: usize) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([module.as_slice(), rest].concat()),
            "super" => {
                let parent = module.split_last()?.1.to_vec();
                match rest.first() {
                    Some(again) if again == "super" => self.absolute(&parent, rest, depth),
                    _ => Some([parent.as_slice(), rest].concat()),
                }
            }
            name => {
                let child = [module.as_slice(), &[name.to_owned()]].concat();
                if self.tree.modules.contains_key(&child) {
                    return Some([child.as_slice(), rest].concat());
                }
                let bound = self.bound.get(module)?.get(name)?;
                let depth = depth.checked_sub(1)?;
                let same = bound.first() == Some(first);
                let bound = if same { None } else { self.absolute(module, bound, depth) };
                Some([bound?.as_slice(), rest].concat())
            }
        }
    }

    /// The longest prefix that is a module, and what is left.
    fn split<'p>(&self, path: &'p [String]) -> (&'p [String], &'p [String]) {
        let known = |length: &usize| self.tree.modules.contains_key(&path[..*length]);
        path.split_at((0..=path.len()).rev().find(known).unwrap_or_default())
    }

    /// Whether a lone name is an item of another file; a module's name may be a
    /// variable's as well.
    fn is_bound_item(&self, module: &Module, path: &[String]) -> bool {
        let bound = path.first().and_then(|name| self.bound.get(module)?.get(name));
        let path = bound.and_then(|bound| self.absolute(module, bound, DEEP));
        path.is_some_and(|path| !self.split(&path).1.is_empty())
    }
}

//! The paths that a source file writes, as they stand there.

use super::modules::{File, Module};
use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Item, ItemMod, ItemUse, Macro, MetaList, Path, UseTree, Visibility,
    visit::{self, Visit},
};

#[derive(Default)]
pub(super) struct Found {
    pub(super) bindings: Vec<Binding>,
    /// Paths of expressions, types, patterns and macros, with the module around them.
    pub(super) paths: Vec<(Module, Vec<String>)>,
}

/// One name of a `use`.
pub(super) struct Binding {
    pub(super) module: Module,
    pub(super) path: Vec<String>,
    /// The name that it has from now on; `None` for a glob.
    pub(super) name: Option<String>,
    /// Whether other modules may import it from here.
    pub(super) public: bool,
}

pub(super) fn find(file: &File) -> Found {
    let mut finder = Finder { module: file.module.clone(), found: Found::default() };
    finder.visit_file(&file.syntax);
    finder.found
}

/// Whether a module of this file defines an item of this name.
pub(super) fn defines(file: &File, module: &[String], name: &str) -> bool {
    let mut items = &file.syntax.items;
    for inner in &module[file.module.len()..] {
        let found = items.iter().find_map(|item| match item {
            Item::Mod(item) if item.ident == inner => item.content.as_ref(),
            _ => None,
        });
        let Some((_, found)) = found else { return false };
        items = found;
    }
    items.iter().any(|item| match item {
        Item::Const(item) => item.ident == name,
        Item::Enum(item) => item.ident == name,
        Item::Fn(item) => item.sig.ident == name,
        Item::Macro(item) => item.ident.as_ref().is_some_and(|ident| ident == name),
        Item::Mod(item) => item.ident == name,
        Item::Static(item) => item.ident == name,
        Item::Struct(item) => item.ident == name,
        Item::Trait(item) => item.ident == name,
        Item::Type(item) => item.ident == name,
        _ => false,
    })
}

struct Finder {
    module: Module,
    found: Found,
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // `::name` is a crate, whatever modules there are.
        if item.leading_colon.is_none() {
            let public = !matches!(item.vis, Visibility::Inherited);
            self.leaves(&item.tree, &[], public);
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|segment| segment.ident.to_string());
            self.found.paths.push((self.module.clone(), names.collect()));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, found: &'ast Macro) {
        self.tokens(found.tokens.clone());
        visit::visit_macro(self, found);
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.tokens(list.tokens.clone());
        visit::visit_meta_list(self, list);
    }
}

impl Finder {
    fn leaves(&mut self, tree: &UseTree, before: &[String], public: bool) {
        let with = |name: &dyn ToString| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.leaves(&path.tree, &with(&path.ident), public),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.leaves(tree, before, public));
            }
            UseTree::Name(name) if name.ident == "self" => {
                self.bind(before.to_vec(), before.last().cloned(), public);
            }
            UseTree::Name(name) => {
                self.bind(with(&name.ident), Some(name.ident.to_string()), public);
            }
            UseTree::Rename(rename) => {
                let this = rename.ident == "self";
                let path = if this { before.to_vec() } else { with(&rename.ident) };
                self.bind(path, Some(rename.rename.to_string()), public);
            }
            UseTree::Glob(_) => self.bind(before.to_vec(), None, public),
        }
    }

    fn bind(&mut self, path: Vec<String>, name: Option<String>, public: bool) {
        self.found.bindings.push(Binding { module: self.module.clone(), path, name, public });
    }

    /// The paths in the tokens of a macro, which only the macro understands.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let punct = |at: usize, mark: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == mark);
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let before = |back: usize, mark| at.checked_sub(back).is_some_and(|at| punct(at, mark));
            // A method's name or a field's, or what follows `::` and is a crate.
            let foreign = before(1, '.') && !before(2, '.') || before(1, ':') && before(2, ':');
            let mut path = Vec::new();
            if let TokenTree::Group(group) = token {
                self.tokens(group.stream());
            }
            while let Some(TokenTree::Ident(name)) = tokens.get(at) {
                path.push(name.to_string());
                at += 1;
                if !(punct(at, ':') && punct(at + 1, ':')) {
                    break;
                }
                at += 2;
            }
            match path.is_empty() {
                true => at += 1,
                false if foreign => {}
                false => self.found.paths.push((self.module.clone(), path)),
            }
        }
    }
}

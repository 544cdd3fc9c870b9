//! No ring of files: who reads one file must not have to read all others first.
//!
//! A parent that passes on a child's name (`pub use child::Name`) is its face, and a name
//! taken through such a face is an import of the file that defines it: neither makes a
//! reader of one file a reader of the other.

use super::{
    imports::{Import, Kind, imports},
    modules::Tree,
};
use std::collections::{BTreeMap, BTreeSet};

/// Files that know each other because what they describe does: the configuration holds
/// changes that wait, and a change says what it does to the configuration.
const KNOTS: &[(&str, &str)] = &[("crates/indelible-server", "control/")];

pub(super) fn check(folder: &str, tree: &Tree) -> Vec<String> {
    let imports = without_faces(imports(tree));
    let rings = rings(tree.files.len(), &imports);
    let is_knot = |ring: &&BTreeSet<usize>| {
        KNOTS.iter().any(|(of, room)| {
            *of == folder && ring.iter().all(|file| tree.files[*file].path.starts_with(room))
        })
    };
    let rings = rings.iter().filter(|ring| !is_knot(ring));
    rings.map(|ring| shown(folder, tree, ring, &imports)).collect()
}

fn without_faces(imports: BTreeSet<Import>) -> BTreeSet<Import> {
    imports.into_iter().filter(|import| import.kind == Kind::Uses).collect()
}

/// The sets of more than one file of which each leads to each.
fn rings(files: usize, imports: &BTreeSet<Import>) -> Vec<BTreeSet<usize>> {
    let mut next: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for import in imports {
        next.entry(import.from).or_default().insert(import.to);
    }
    let reach: Vec<BTreeSet<usize>> = (0..files).map(|file| reachable(file, &next)).collect();
    let ring = |file: usize| {
        reach[file].iter().copied().filter(|other| reach[*other].contains(&file)).collect()
    };
    let found: BTreeSet<BTreeSet<usize>> = (0..files).map(ring).collect();
    found.into_iter().filter(|ring| ring.len() > 1).collect()
}

fn reachable(file: usize, next: &BTreeMap<usize, BTreeSet<usize>>) -> BTreeSet<usize> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![file]);
    while let Some(file) = open.pop() {
        open.extend(next.get(&file).into_iter().flatten().filter(|file| seen.insert(**file)));
    }
    seen
}

fn shown(folder: &str, tree: &Tree, ring: &BTreeSet<usize>, imports: &BTreeSet<Import>) -> String {
    let mut edges: BTreeMap<(&str, &str, bool), Vec<&str>> = BTreeMap::new();
    for import in imports.iter().filter(|i| ring.contains(&i.from) && ring.contains(&i.to)) {
        let path = |file: usize| tree.files[file].path.as_str();
        let edge = (path(import.from), path(import.to), import.kind == Kind::Through);
        edges.entry(edge).or_default().push(&import.name);
    }
    let mut text = format!("{folder}/src: a ring of {} files", ring.len());
    for ((from, to, through), mut names) in edges {
        names.sort_unstable();
        names.dedup();
        let names = names.join(", ");
        text.push_str(&match through {
            true => format!("\n  {from} -> {to}, which only passes on {names}"),
            false => format!("\n  {from} -> {to} ({names})"),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::modules::tests::package, *};

    fn check_files(files: &[(&str, &str)]) -> Vec<String> {
        let (_folder, trees) = package(files);
        check("a", &trees[0])
    }

    #[test]
    fn files_that_import_each_other_are_a_ring() {
        let found = check_files(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::{b::{B, Other}, d};"),
            ("b.rs", "pub struct B; fn f() { let x = vec![super::c::f(1)]; }"),
            ("c.rs", "impl X for crate::a::A {}"),
            ("d.rs", "#[cfg(test)] mod tests { use crate::a::A; }"),
        ]);
        assert_eq!(
            found,
            [
                "a/src: a ring of 3 files\n  a.rs -> b.rs (B, Other)\n  b.rs -> c.rs (f)\n  c.rs -> a.rs (A)"
            ]
        );
    }

    #[test]
    fn a_declaration_is_no_import_and_a_use_of_a_child_is() {
        let child = ("a/b.rs", "use super::Name;");
        let check = |parent| check_files(&[("lib.rs", "mod a;"), ("a.rs", parent), child]).len();
        assert_eq!(check("mod b; pub struct Name;"), 0);
        assert_eq!(check("mod b; pub struct Name; use b::X;"), 1);
        assert_eq!(check("mod b; pub struct Name; fn f() { b::x(); }"), 1);
        assert_eq!(check("mod b; pub struct Name; fn f() { m!(b::x()); }"), 1);
    }

    #[test]
    fn a_parent_may_be_the_face_of_a_child() {
        let child = ("a/b.rs", "use super::Name;");
        let check = |parent| check_files(&[("lib.rs", "mod a;"), ("a.rs", parent), child]).len();
        assert_eq!(check("mod b; pub use b::X; pub struct Name;"), 0);
        assert_eq!(check("mod b; pub(crate) use self::b::*; pub struct Name;"), 0);
        assert_eq!(check("mod b; pub use b::X; pub struct Name; impl X {}"), 1, "also used");
    }

    /// Whoever takes a name through a face needs the file that defines it.
    #[test]
    fn a_name_through_a_face_is_an_import_of_its_file() {
        let files = |b, c| {
            check_files(&[
                ("lib.rs", "mod a;"),
                ("a/mod.rs", "mod b; mod c; pub use b::B; pub use c::C;"),
                ("a/b.rs", b),
                ("a/c.rs", c),
            ])
        };
        assert_eq!(files("use super::C;", ""), Vec::<String>::new());
        assert_eq!(files("use super::C;", "use super::b::B;").len(), 1);
    }

    #[test]
    fn other_spellings_lead_to_the_same_file() {
        for spelled in [
            "use super::super::a;",
            "use crate::a as x;",
            "use crate::{a::{self}};",
            "pub use crate::a::*;",
            "use crate as it; fn f() { it::a::f() }",
            "mod inner { use super::super::super::a::A; }",
            "fn f() { use crate::a; a::f() }",
            "#[x(y(crate::a::Z))] struct S { f: u8 }",
            "type T = Vec<super::super::a::A>;",
            "macro_rules! m { () => { $crate::a::f() } }",
        ] {
            let found = check_files(&[
                ("lib.rs", "mod a; mod b;"),
                ("a.rs", "use crate::b::c::X;"),
                ("b/mod.rs", "pub mod c;"),
                ("b/c.rs", spelled),
            ]);
            assert_eq!(found.len(), 1, "{spelled}");
        }
        let outside = "use ::a::A; use std::a::A; fn f() { x.a(); m!(x.a::<u8>(), ::a::f()) }";
        let files = [("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b;"), ("b.rs", outside)];
        assert_eq!(check_files(&files), Vec::<String>::new());
    }
}

//! The server on floors: a room uses only what stands below it.

use super::{
    imports::{Import, Kind, imports},
    modules::{File, Tree},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// The crate that has rooms.
pub(super) const HOUSE: &str = "crates/indelible-server";

/// A folder or a file at the root of the crate, and its floor. Every other file at the
/// root is a word, on the ground.
const ROOMS: [(&str, u8); 14] = [
    ("serve", 8),
    ("table", 7),
    ("routes", 6),
    ("doors", 6),
    ("http", 5),
    ("app", 4),
    ("jobs", 3),
    ("chores", 3),
    ("intake", 2),
    ("reading", 2),
    ("site", 2),
    ("access", 2),
    ("control", 1),
    ("trail", 1),
];

/// What may use what on its own floor: the first the second.
const NEIGHBOURS: &[(&str, &str)] =
    &[("intake", "access"), ("reading", "access"), ("reading", "site"), ("chores", "jobs")];

const WORDS: (&str, u8) = ("words", 0);

/// The room of a file and its floor. The root of the crate is in none, as it names them
/// all; an error is a folder that has no floor.
fn room(file: &File) -> Option<Result<(&str, u8), &str>> {
    let first = file.module.first()?;
    Some(match ROOMS.iter().find(|(name, _)| name == first) {
        Some(room) => Ok(*room),
        None if file.path.contains('/') => Err(first),
        None => Ok(WORDS),
    })
}

pub(super) fn check(tree: &Tree) -> Vec<String> {
    check_with(tree, NEIGHBOURS)
}

fn check_with(tree: &Tree, neighbours: &[(&str, &str)]) -> Vec<String> {
    let homeless: BTreeSet<&str> = tree.files.iter().filter_map(|file| room(file)?.err()).collect();
    let unlisted = |name| format!("{HOUSE}/src/{name}/: a folder that has no floor");
    let mut problems: Vec<String> = homeless.into_iter().map(unlisted).collect();
    let mut climbs: BTreeMap<(&str, &str, String), BTreeSet<String>> = BTreeMap::new();
    let imports = imports(tree);
    for import in &imports {
        let (from, to) = (&tree.files[import.from], &tree.files[import.to]);
        let (Some(Ok(lower)), Some(Ok(upper))) = (room(from), room(to)) else { continue };
        let is_below = upper.1 < lower.1 || upper.0 == lower.0;
        let may = is_below || neighbours.contains(&(lower.0, upper.0));
        if !may && !is_told(tree, &imports, import) {
            let rooms = format!("{} {} -> {} {}", lower.0, lower.1, upper.0, upper.1);
            climbs.entry((&from.path, &to.path, rooms)).or_default().insert(import.name.clone());
        }
    }
    problems.extend(climbs.into_iter().map(|((from, to, rooms), names)| {
        let names: Vec<String> = names.into_iter().collect();
        format!("{HOUSE}/src: {from} -> {to} ({rooms}): {}", names.join(", "))
    }));
    problems
}

/// Whether the same name climbs to the same room already, to the face of the room that
/// passes it on: that is one climb, not two.
fn is_told(tree: &Tree, imports: &BTreeSet<Import>, import: &Import) -> bool {
    let same_room = |other: &Import| room(&tree.files[other.to]) == room(&tree.files[import.to]);
    let at_face = |other: &Import| {
        other.kind == Kind::Through && other.from == import.from && other.name == import.name
    };
    import.kind != Kind::Through && imports.iter().any(|other| at_face(other) && same_room(other))
}

/// The floors from above and the files of each room.
pub(super) fn shown(tree: &Tree) -> String {
    let mut files: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in &tree.files {
        if let Some(Ok((name, _)) | Err(name)) = room(file) {
            let path = file.path.strip_prefix(name).and_then(|path| path.strip_prefix('/'));
            let path = path.unwrap_or(&file.path).trim_end_matches(".rs");
            files.entry(name).or_default().insert(path);
        }
    }
    let mut text = String::new();
    for (name, floor) in ROOMS.into_iter().chain([WORDS]) {
        let Some(files) = files.remove(name) else { continue };
        line(&mut text, &floor.to_string(), name, &files);
    }
    for (name, files) in files {
        line(&mut text, "?", name, &files);
    }
    text
}

/// One room, wrapped below its first file.
fn line(text: &mut String, floor: &str, name: &str, files: &BTreeSet<&str>) {
    let mut line = format!("{floor}  {name:9}");
    for file in files {
        if line.len() + 1 + file.len() > 88 {
            text.push_str(&line);
            line = format!("\n{:12}", "");
        }
        // Writing to a string does not fail.
        write!(line, " {file}").unwrap_or_default();
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::{super::modules::tests::package, *};

    const FILES: [(&str, &str); 12] = [
        (
            "lib.rs",
            "mod app; mod routes; mod http; mod trail; mod control; mod error; mod origin; mod loft; pub use http::Rule; pub use error::E;",
        ),
        ("app.rs", "use crate::{trail::T, error::E}; pub struct App;"),
        ("routes/mod.rs", "mod a; use crate::{app::App, http::Rule};"),
        ("routes/a.rs", "use crate::routes; #[cfg(test)] mod tests { use crate::serve::x; }"),
        ("http/mod.rs", "pub struct Rule; fn f() { crate::routes::a::f(); crate::routes::a::g() }"),
        ("trail/mod.rs", "use crate::{Rule, control::C};"),
        ("control/mod.rs", "mod c; pub use c::C; use crate::error::E;"),
        ("control/c.rs", "pub struct C;"),
        ("error.rs", "use crate::origin::O;"),
        ("origin.rs", "use super::app::App;"),
        ("loft/mod.rs", "mod x;"),
        ("loft/x.rs", "use crate::app::App;"),
    ];

    #[test]
    fn a_file_imports_its_own_room_and_lower_floors() {
        let (_folder, trees) = package(&FILES);
        let at = |text: &str| format!("{HOUSE}/src{text}");
        let mut expected = vec![
            at("/loft/: a folder that has no floor"),
            at(": http/mod.rs -> routes/a.rs (http 5 -> routes 6): f, g"),
            at(": origin.rs -> app.rs (words 0 -> app 4): App"),
            at(": trail/mod.rs -> control/mod.rs (trail 1 -> control 1): C"),
            at(": trail/mod.rs -> http/mod.rs (trail 1 -> http 5): Rule"),
        ];
        assert_eq!(check_with(&trees[0], &[]), expected);
        assert_eq!(check_with(&trees[0], &[("control", "trail")]), expected, "the other way");
        expected.remove(3);
        assert_eq!(check_with(&trees[0], &[("trail", "control")]), expected);
    }

    #[test]
    fn the_floors_are_shown_from_above() {
        let (_folder, trees) = package(&FILES);
        assert_eq!(
            shown(&trees[0]),
            "6  routes    a mod\n5  http      mod\n4  app       app\n1  control   c mod\n\
             1  trail     mod\n0  words     error origin\n?  loft      mod x\n"
        );
    }

    #[test]
    fn long_rooms_are_wrapped() {
        let names: Vec<String> = (0..30).map(|n| format!("word{n:02}")).collect();
        let mut text = String::new();
        line(&mut text, "0", "words", &names.iter().map(String::as_str).collect());
        assert_eq!(text.lines().count(), 3);
        assert_eq!(text.split_whitespace().skip(2).collect::<Vec<_>>(), names);
        assert!(text.lines().skip(1).all(|line| line.starts_with("             w")));
        assert!(text.lines().all(|line| line.len() <= 88));
    }
}

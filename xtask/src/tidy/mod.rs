//! House rules that no other tool checks.

mod edges;
mod imports;
mod metadata;
mod modules;
mod paths;
mod rings;
mod rooms;
mod sizes;
mod unused;
mod words;

use anyhow::bail;
use metadata::Package;
use modules::Tree;
use std::path::Path;

pub(crate) fn check() -> anyhow::Result<()> {
    let packages = metadata::packages()?;
    let mut problems = edges::check(&packages);
    problems.extend(unused::check(&packages)?);
    let crates = read(&packages)?;
    problems.extend(sizes::check(files(&crates)));
    for one in &crates {
        problems.extend(one.trees.iter().flat_map(|tree| rings::check(&one.folder, tree)));
        if one.folder == rooms::HOUSE {
            problems.extend(one.trees.iter().flat_map(rooms::check));
        }
    }
    problems.extend(words::check()?);
    if problems.is_empty() { Ok(()) } else { bail!("{}", problems.join("\n")) }
}

/// The floors of the server and their files, as ARCHITECTURE.md shows them.
pub(crate) fn rooms() -> anyhow::Result<String> {
    let trees = modules::trees(Path::new(rooms::HOUSE))?;
    Ok(trees.iter().map(rooms::shown).collect())
}

/// A crate's folder in the repository and its targets.
struct Crate {
    folder: String,
    trees: Vec<Tree>,
}

fn read(packages: &[Package]) -> anyhow::Result<Vec<Crate>> {
    let repository = std::env::current_dir()?;
    let read = |package: &Package| {
        let folder = package.folder.strip_prefix(&repository).unwrap_or(&package.folder);
        Ok(Crate { folder: folder.display().to_string(), trees: modules::trees(&package.folder)? })
    };
    packages.iter().map(read).collect()
}

/// Every file with its path in the repository.
fn files(crates: &[Crate]) -> impl Iterator<Item = (String, &modules::File)> {
    crates.iter().flat_map(|one| {
        let files = one.trees.iter().flat_map(|tree| &tree.files);
        files.map(|file| (format!("{}/src/{}", one.folder, file.path), file))
    })
}

//! House rules that no other tool checks.

mod edges;
mod metadata;
mod modules;
mod unused;
mod words;

use anyhow::bail;

pub(crate) fn check() -> anyhow::Result<()> {
    let packages = metadata::packages()?;
    let mut problems = edges::check(&packages);
    problems.extend(unused::check(&packages)?);
    problems.extend(words::check()?);
    if problems.is_empty() { Ok(()) } else { bail!("{}", problems.join("\n")) }
}

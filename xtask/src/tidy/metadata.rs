//! The packages of the workspace, as cargo knows them.

use anyhow::Context as _;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

pub(super) struct Package {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) dependencies: Vec<Dependency>,
}

pub(super) struct Dependency {
    pub(super) name: String,
    /// How the source calls it: renamed, and with `_` for `-`.
    pub(super) word: String,
    /// Whether it is a crate of this workspace.
    pub(super) ours: bool,
    /// `None` for `[dependencies]`, else `dev` or `build`.
    pub(super) kind: Option<String>,
}

impl Dependency {
    pub(super) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

pub(super) fn packages() -> anyhow::Result<Vec<Package>> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("could not run cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(list(&metadata["packages"]).map(package).collect())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn package(value: &Value) -> Package {
    let manifest = text(&value["manifest_path"]);
    let dependencies = list(&value["dependencies"]).map(|dependency| {
        let name = text(&dependency["name"]);
        Dependency {
            word: dependency["rename"].as_str().unwrap_or(&name).replace('-', "_"),
            ours: dependency["path"].is_string(),
            kind: dependency["kind"].as_str().map(str::to_owned),
            name,
        }
    });
    Package {
        name: text(&value["name"]),
        folder: Path::new(&manifest).parent().map_or_else(PathBuf::new, Path::to_owned),
        dependencies: dependencies.collect(),
    }
}

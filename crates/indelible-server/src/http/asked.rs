//! What a request asks for, parsed once, before anybody decides: authority, trail and
//! handler all go by this and never by how the path was spelled.

use super::rule::{BUNDLE, HASHES, Rule};
use crate::error::{ApiError, Result};
use axum::extract::RawPathParams;
use indelible_api::Code;
use indelible_tlog::TilePath;

/// Longest name of a thing, in characters, as the trail keeps it.
const MAX_NAME: usize = 128;

/// What a request asks for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The rule of what is served.
    pub(crate) rule: &'static Rule,
    pub(crate) log: Option<String>,
    /// (type, id) of the thing in the log, as the trail names it.
    pub(crate) target: Option<(&'static str, String)>,
    /// The tile, where one is asked for.
    pub(super) tile: Option<TilePath>,
}

impl Asked {
    /// Reads the parameters of a path. Entry bundles are records, hash tiles are not:
    /// which of the two it is says the tile, not the route.
    pub(super) fn parse(rule: &'static Rule, params: &RawPathParams) -> Self {
        let mut asked = Self { rule, log: None, target: None, tile: None };
        for (name, value) in params {
            let short = || value.chars().take(MAX_NAME).collect::<String>();
            let kind = match name {
                "log" => {
                    asked.log = Some(short());
                    continue;
                }
                "path" => {
                    asked.tile = tile(rule, value);
                    if let Some(tile) = asked.tile {
                        asked.rule = if tile.level.is_none() { &BUNDLE } else { &HASHES };
                    }
                    "tile"
                }
                "record" => "record",
                "sha256" => "attachment",
                "export" => "export",
                "view" => "view",
                "id" => "entry",
                _ => continue,
            };
            asked.target = Some((kind, short()));
        }
        asked
    }

    /// The tile that the path names, with the permission that was asked for it.
    ///
    /// # Errors
    /// A path that is none of a tile.
    pub(crate) fn tile(&self) -> Result<TilePath> {
        self.tile.ok_or_else(no_such_tile)
    }
}

fn tile(rule: &Rule, rest: &str) -> Option<TilePath> {
    let prefix = if rule.path == BUNDLE.path { "tile/entries/" } else { "tile/" };
    format!("{prefix}{rest}").parse().ok()
}

/// The answer where there is no tile of that path, or not yet.
pub(crate) fn no_such_tile() -> ApiError {
    ApiError::new(Code::NotFound, "no such tile at this size of the log")
}

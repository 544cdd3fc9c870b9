//! Coordinates of C2SP tlog-tiles: levels, widths, and the paths they are served under.

use std::{fmt, str::FromStr};

/// Levels of the tree that one tile spans.
pub const TILE_HEIGHT: u8 = 8;
/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// Why text is not a tile path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a tile path: want tile/<level>/<index>[.p/<width>] or tile/entries/<index>[.p/<width>]"
)]
pub struct TileError;

/// Path of a hash tile or an entry bundle below a log's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePath {
    /// Tile level 0–63; `None` for an entry bundle.
    pub level: Option<u8>,
    /// Index of the tile in its level.
    pub index: u64,
    /// Hashes or entries it holds, 1–256; 256 is a full tile.
    pub width: u16,
}

impl TilePath {
    /// Full width.
    pub const FULL: u16 = 256;

    /// Width this tile has in a log of `size` entries; 0 where it does not exist.
    #[must_use]
    pub fn width_at(level: Option<u8>, index: u64, size: u64) -> u16 {
        let shift = u32::from(level.unwrap_or(0)).saturating_mul(u32::from(TILE_HEIGHT));
        let at_level = size.checked_shr(shift).unwrap_or(0);
        let Some(first) = index.checked_mul(TILE_WIDTH) else {
            return 0;
        };
        u16::try_from(at_level.saturating_sub(first).min(TILE_WIDTH)).unwrap_or(0)
    }

    /// Whether a log of `size` entries serves this path: the tile has at least this width.
    #[must_use]
    pub fn exists_at(&self, size: u64) -> bool {
        self.width <= Self::width_at(self.level, self.index, size)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Some(level) => write!(f, "tile/{level}/")?,
            None => f.write_str("tile/entries/")?,
        }
        let digits = self.index.to_string();
        let width = digits.len().next_multiple_of(3);
        let padded = format!("{digits:0>width$}");
        let groups: Vec<&str> = padded
            .as_bytes()
            .chunks(3)
            .filter_map(|group| std::str::from_utf8(group).ok())
            .collect();
        if let Some((last, init)) = groups.split_last() {
            for group in init {
                write!(f, "x{group}/")?;
            }
            f.write_str(last)?;
        }
        if self.width < Self::FULL {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for TilePath {
    type Err = TileError;

    fn from_str(text: &str) -> Result<Self, TileError> {
        let rest = text.strip_prefix("tile/").ok_or(TileError)?;
        let (kind, rest) = rest.split_once('/').ok_or(TileError)?;
        let level = match kind {
            "entries" => None,
            _ => Some(u8::try_from(decimal(kind, 63)?).map_err(|_| TileError)?),
        };
        let (digits, width) = match rest.split_once(".p/") {
            Some((digits, width)) => {
                let width = u16::try_from(decimal(width, 255)?).map_err(|_| TileError)?;
                (digits, width)
            }
            None => (rest, Self::FULL),
        };
        if width == 0 {
            return Err(TileError);
        }
        let index = index_from_groups(digits)?;
        let path = Self { level, index, width };
        // One tile has one path: `x000/001` and `001` must not both be served.
        if path.to_string() == text { Ok(path) } else { Err(TileError) }
    }
}

/// Canonical decimal of at most `max`.
fn decimal(text: &str, max: u64) -> Result<u64, TileError> {
    let canonical = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    let value = text.parse::<u64>().map_err(|_| TileError)?;
    if canonical && value <= max { Ok(value) } else { Err(TileError) }
}

/// `x001/x234/067` → 1234067.
fn index_from_groups(text: &str) -> Result<u64, TileError> {
    let mut index: u64 = 0;
    let mut groups = text.split('/').peekable();
    while let Some(group) = groups.next() {
        let digits =
            if groups.peek().is_some() { group.strip_prefix('x').ok_or(TileError)? } else { group };
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TileError);
        }
        let group: u64 = digits.parse().map_err(|_| TileError)?;
        index = index.checked_mul(1000).and_then(|i| i.checked_add(group)).ok_or(TileError)?;
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn specification_examples() {
        let path = TilePath { level: Some(0), index: 1_234_067, width: 256 };
        assert_eq!(path.to_string(), "tile/0/x001/x234/067");
        let path = TilePath { level: None, index: 5, width: 12 };
        assert_eq!(path.to_string(), "tile/entries/005.p/12");
    }

    #[test]
    fn widths_of_the_specification() {
        // Size 256: one full level-0 tile and tile/1/000.p/1.
        assert_eq!(TilePath::width_at(Some(0), 0, 256), 256);
        assert_eq!(TilePath::width_at(Some(0), 1, 256), 0);
        assert_eq!(TilePath::width_at(Some(1), 0, 256), 1);
        // Size 70000: 273 full + p/112; one full + p/17; p/1.
        assert_eq!(TilePath::width_at(Some(0), 272, 70_000), 256);
        assert_eq!(TilePath::width_at(Some(0), 273, 70_000), 112);
        assert_eq!(TilePath::width_at(Some(1), 1, 70_000), 17);
        assert_eq!(TilePath::width_at(Some(2), 0, 70_000), 1);
        assert_eq!(TilePath::width_at(Some(3), 0, 70_000), 0);
        assert_eq!(TilePath::width_at(None, 273, 70_000), 112);
        assert_eq!(TilePath::width_at(Some(63), u64::MAX, u64::MAX), 0);
    }

    #[test]
    fn refused_paths() {
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/1",
            "tile/0/01",
            "tile/0/0001",
            "tile/00/001",
            "tile/64/001",
            "tile/-1/001",
            "tile/0/x000/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/01",
            "tile/0/001.p/",
            "tile/0/x001",
            "tile/0/001/",
            "tile/entries/001.p/+1",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "/tile/0/001",
        ] {
            assert_eq!(bad.parse::<TilePath>(), Err(TileError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(level in proptest::option::of(0u8..64), index: u64, width in 1u16..=256) {
            let path = TilePath { level, index, width };
            prop_assert_eq!(path.to_string().parse::<TilePath>(), Ok(path));
        }

        #[test]
        fn any_text_is_refused_or_canonical(text: String) {
            if let Ok(path) = text.parse::<TilePath>() {
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }
}

//! The registry as static files (c2sp.org/tlog-tiles): hashes of the tree and its leaves, 256 to a
//! file. Mirrors and verifiers of other software read these; nothing in them ever changes once it
//! is full.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, Path};
use birthmark_ledger::merkle::Node;

use super::{App, IMMUTABLE, Shared};

/// How many hashes or entries a full tile has.
const WIDTH: u64 = 256;
/// A tile stands for this many levels of the tree.
const LEVELS: u8 = 8;

const BYTES: (header::HeaderName, HeaderValue) = (
    header::CONTENT_TYPE,
    HeaderValue::from_static("application/octet-stream"),
);

/// Which tile a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Tile {
    kind: Kind,
    index: u64,
    width: u64,
}

/// What a tile holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Hashes of the tree at this level of tiles.
    Hashes(u8),
    /// The leaves themselves, each behind its length.
    Entries,
}

impl Tile {
    /// Reads `<level or entries>/<index>[.p/<width>]`, the index in groups of three digits.
    fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.split_once('/')?;
        let kind = match kind {
            "entries" => Kind::Entries,
            level => Kind::Hashes(
                u8::try_from(number(level)?)
                    .ok()
                    .filter(|level| *level < 8)?,
            ),
        };
        let (index, width) = match rest.split_once(".p/") {
            None => (rest, WIDTH),
            Some((index, width)) => {
                let width = number(width)?;
                (
                    index,
                    Some(width).filter(|width| (1..WIDTH).contains(width))?,
                )
            }
        };
        Some(Self {
            kind,
            index: index_of(index)?,
            width,
        })
    }

    /// The first record below it.
    fn first(&self) -> Option<u64> {
        self.index.checked_mul(WIDTH)
    }
}

/// A decimal number without leading zeros.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// `x001/x234/067` is 1234067: all groups but the last begin with an `x`, and the first is not all
/// zeros unless it is alone.
fn index_of(text: &str) -> Option<u64> {
    let groups: Vec<&str> = text.split('/').collect();
    let (last, others) = groups.split_last()?;
    let mut index = group(last)?;
    let mut unit: u64 = 1;
    for (place, other) in others.iter().rev().enumerate() {
        unit = unit.checked_mul(1000)?;
        let value = group(other.strip_prefix('x')?)?;
        let is_first = place + 1 == others.len();
        if is_first && value == 0 {
            return None;
        }
        index = value.checked_mul(unit)?.checked_add(index)?;
    }
    Some(index)
}

fn group(text: &str) -> Option<u64> {
    let is_group = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_group.then(|| text.parse().ok()).flatten()
}

/// A tile of the registry's tree, or a bundle of its leaves.
#[utoipa::path(get, path = "/tile/{path}", tag = "Transparency", responses((status = 200, description = "hashes or entries"), (status = 404, description = "the registry has no such tile yet")))]
pub async fn tile(State(app): Shared, Path(path): Path<String>) -> Result<Response, ApiError> {
    let absent = || ApiError::not_found("the registry has no such tile");
    let tile = Tile::parse(&path).ok_or_else(absent)?;
    let bytes = match tile.kind {
        Kind::Hashes(level) => app.hashes(tile, level).await?,
        Kind::Entries => app.entries(tile).await?,
    };
    let bytes = bytes.ok_or_else(absent)?;
    Ok(([BYTES, IMMUTABLE], bytes).into_response())
}

impl App {
    async fn hashes(&self, tile: Tile, level: u8) -> Result<Option<Vec<u8>>, ApiError> {
        let level = level * LEVELS;
        let there = self.registry.tip().frontier().size() >> level;
        let Some(first) = tile.first().filter(|first| first + tile.width <= there) else {
            return Ok(None);
        };
        let mut bytes = Vec::with_capacity(32 * WIDTH as usize);
        for index in first..first + tile.width {
            let hash = self.registry.subtree(Node { level, index }).await?;
            bytes.extend(hash.as_bytes());
        }
        Ok(Some(bytes))
    }

    async fn entries(&self, tile: Tile) -> Result<Option<Vec<u8>>, ApiError> {
        let Some(first) = tile.first() else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        for leaf in first..first + tile.width {
            let Some(found) = self.registry.record(leaf).await? else {
                return Ok(None);
            };
            let entry = found.record().leaf_bytes(found.submitter());
            let length = u16::try_from(entry.len()).map_err(ApiError::internal)?;
            bytes.extend(length.to_be_bytes());
            bytes.extend(entry);
        }
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> Option<(Kind, u64, u64)> {
        Tile::parse(path).map(|tile| (tile.kind, tile.index, tile.width))
    }

    #[test]
    fn paths_are_read_as_the_specification_writes_them() {
        assert_eq!(parsed("0/000"), Some((Kind::Hashes(0), 0, 256)));
        assert_eq!(
            parsed("2/x001/x234/067"),
            Some((Kind::Hashes(2), 1_234_067, 256))
        );
        assert_eq!(parsed("entries/272"), Some((Kind::Entries, 272, 256)));
        assert_eq!(parsed("0/273.p/112"), Some((Kind::Hashes(0), 273, 112)));
        assert_eq!(parsed("1/000.p/17"), Some((Kind::Hashes(1), 0, 17)));
    }

    #[test]
    fn no_tile_has_two_names() {
        for path in [
            "",
            "0",
            "0/",
            "00/000",
            "0/0",
            "0/0000",
            "0/x000/001",
            "0/001/001",
            "0/x001/x002",
            "8/000",
            "-1/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p",
            "entries/",
            "entries/+12",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(parsed(path), None, "{path}");
        }
    }
}

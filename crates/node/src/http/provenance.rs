//! What an image was made from, and what was made from it. Cycles cannot exist: an original stands
//! before its edits.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, Path};
use birthmark_protocol::Digest;
use birthmark_protocol::api::Sighting;
use birthmark_verify::sentences;
use serde::Serialize;

use super::{App, FRESH, Shared, digest_of};
use crate::registry::Found;

/// How far up and how far down is looked.
const DEPTH: usize = 16;
/// How many images one answer names.
const MOST: usize = 500;
/// How many records one answer may cost to read. A stranger's camera can hang as many siblings and
/// edits on an image as it likes: what they cost to look at must not grow with them.
const READ: usize = 2000;
/// How many records of one image are looked at.
const OF_ONE: usize = 64;

/// The family of an image.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Provenance {
    #[schema(value_type = String)]
    image_hash: Digest,
    /// From the image's parent up to what came from a sensor.
    ancestors: Vec<Relative>,
    /// What was made from the image, nearest first.
    descendants: Vec<Relative>,
    /// Whether there is more than this answer holds.
    is_cut: bool,
    /// What no family proves. Quote it too.
    not_proven: Vec<&'static str>,
}

/// An image that another was made from.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Relative {
    #[schema(value_type = String)]
    image_hash: Digest,
    /// How many steps away.
    distance: usize,
    /// What its record says.
    #[serde(flatten)]
    record: Sighting,
}

/// Both directions, to a bounded depth.
#[utoipa::path(get, path = "/api/v1/provenance/{image_hash}", tag = "Verification", responses((status = 200, body = Provenance), (status = 404, description = "not registered"), (status = 422)))]
pub async fn provenance(
    State(app): Shared,
    Path(image_hash): Path<String>,
) -> Result<Response, ApiError> {
    let digest = digest_of(&image_hash)?;
    let mut walk = Walk {
        app: &app,
        left: READ,
        is_cut: false,
    };
    let own = walk.records(digest).await?;
    if own.is_empty() {
        return Err(ApiError::not_found("this image is not registered"));
    }
    let ancestors = walk.ancestors(digest, own).await?;
    let descendants = walk.descendants(digest).await?;
    let answer = Provenance {
        image_hash: digest,
        ancestors,
        descendants,
        is_cut: walk.is_cut,
        not_proven: sentences::FAMILY_LIMITS.to_vec(),
    };
    Ok(([FRESH], axum::Json(answer)).into_response())
}

/// What was withdrawn of the nearest image that this one was made from, by another record than its
/// own.
pub(super) async fn withdrawn_ancestor(
    app: &App,
    digest: Digest,
    own: Found,
) -> Result<Option<String>, ApiError> {
    let index = own.leaf;
    let mut walk = Walk {
        app,
        left: READ,
        is_cut: false,
    };
    let chain = walk.ancestors(digest, vec![own]).await?;
    let mut others = chain
        .into_iter()
        .filter(|relative| relative.record.index != index);
    Ok(others.find_map(|relative| relative.record.revocation))
}

/// A walk through a family, within what one answer may read.
struct Walk<'a> {
    app: &'a App,
    /// How many more records may be read.
    left: usize,
    is_cut: bool,
}

impl Walk<'_> {
    /// The oldest records of an image.
    async fn records(&mut self, digest: Digest) -> Result<Vec<Found>, ApiError> {
        let most = self.left.min(OF_ONE);
        let page = self.app.registry.page(&digest, None, most).await?;
        self.left -= page.found.len();
        self.is_cut |= page.more.is_some();
        Ok(page.found)
    }

    /// The oldest records edited from an image.
    async fn edits(&mut self, original: Digest) -> Result<Vec<Found>, ApiError> {
        let most = self.left.min(MOST);
        let found = self.app.registry.edits(&original, most).await?;
        self.left -= found.len();
        self.is_cut |= found.len() == most;
        Ok(found)
    }

    fn relative(&self, found: &Found, image_hash: Digest, distance: usize) -> Option<Relative> {
        Some(Relative {
            image_hash,
            distance,
            record: self.app.sighting(found, &image_hash)?,
        })
    }

    async fn ancestors(
        &mut self,
        digest: Digest,
        own: Vec<Found>,
    ) -> Result<Vec<Relative>, ApiError> {
        let (mut chain, mut seen) = (Vec::new(), BTreeSet::from([digest]));
        let (mut next, mut records) = (digest, own);
        for distance in 1..=DEPTH {
            let parent = records
                .iter()
                .find_map(|found| found.record().parent(&next));
            let Some(parent) = parent else {
                return Ok(chain);
            };
            // Two records may disagree on which image came first; nobody is asked twice.
            if !seen.insert(parent) {
                return Ok(chain);
            }
            records = self.records(parent).await?;
            let first = records.first();
            chain.extend(first.and_then(|found| self.relative(found, parent, distance)));
            next = parent;
        }
        self.is_cut = true;
        Ok(chain)
    }

    async fn descendants(&mut self, digest: Digest) -> Result<Vec<Relative>, ApiError> {
        let (mut all, mut seen, mut level) = (Vec::new(), BTreeSet::from([digest]), vec![digest]);
        for distance in 1..=DEPTH {
            let mut below = Vec::new();
            for parent in level {
                for (child, found) in self.children(parent).await? {
                    if !seen.insert(child) {
                        continue;
                    }
                    if all.len() >= MOST {
                        self.is_cut = true;
                        return Ok(all);
                    }
                    all.extend(self.relative(&found, child, distance));
                    below.push(child);
                }
            }
            if below.is_empty() {
                return Ok(all);
            }
            level = below;
        }
        self.is_cut = true;
        Ok(all)
    }

    /// Images made from this one, each with the record that says so: siblings of its own records,
    /// and edits registered later.
    async fn children(&mut self, parent: Digest) -> Result<Vec<(Digest, Found)>, ApiError> {
        let mut found = self.records(parent).await?;
        found.extend(self.edits(parent).await?);
        let made = found.into_iter().flat_map(|found| {
            let record = found.record();
            let images = record.images().iter().map(|image| image.digest);
            let made = images.filter(|digest| record.parent(digest) == Some(parent));
            let made: Vec<_> = made.collect();
            made.into_iter().map(move |digest| (digest, found.clone()))
        });
        let mut made: Vec<_> = made.collect();
        made.sort_by_key(|(digest, found)| (*digest, found.leaf));
        Ok(made)
    }
}

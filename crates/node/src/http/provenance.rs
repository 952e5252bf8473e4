//! What an image was made from, and what was made from it. Cycles cannot exist: an original stands before its edits.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, Path};
use birthmark_protocol::Digest;
use serde::Serialize;

use super::{App, FRESH, Shared, Sighting, digest_of};
use crate::registry::Found;
use crate::words;

/// How far up and how far down is looked.
const DEPTH: usize = 16;
/// How many images one answer names.
const MOST: usize = 500;

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
    if app.registry.find(&digest).await?.is_empty() {
        return Err(ApiError::not_found("this image is not registered"));
    }
    let (ancestors, upwards) = ancestors(&app, digest).await?;
    let (descendants, downwards) = descendants(&app, digest).await?;
    let answer = Provenance {
        image_hash: digest,
        ancestors,
        descendants,
        is_cut: upwards || downwards,
        not_proven: words::FAMILY_LIMITS.to_vec(),
    };
    Ok(([FRESH], axum::Json(answer)).into_response())
}

/// Every sighting of an image as a relative, in the order of the registry.
async fn sightings(app: &App, digest: Digest, distance: usize) -> Result<Vec<Relative>, ApiError> {
    let found = app.registry.find(&digest).await?;
    let relative = |found: &Found| {
        Some(Relative {
            image_hash: digest,
            distance,
            record: app.sighting(found, &digest)?,
        })
    };
    Ok(found.iter().filter_map(relative).collect())
}

async fn ancestors(app: &App, digest: Digest) -> Result<(Vec<Relative>, bool), ApiError> {
    let (mut chain, mut seen, mut next) = (Vec::new(), BTreeSet::from([digest]), digest);
    for distance in 1..=DEPTH {
        let parents = sightings(app, next, distance).await?;
        let Some(parent) = parents
            .iter()
            .find_map(|relative| relative.record.parent_image_hash)
        else {
            return Ok((chain, false));
        };
        // Two records may disagree on which image came first; nobody is asked twice.
        if !seen.insert(parent) {
            return Ok((chain, false));
        }
        chain.extend(sightings(app, parent, distance).await?.into_iter().next());
        next = parent;
    }
    Ok((chain, true))
}

async fn descendants(app: &App, digest: Digest) -> Result<(Vec<Relative>, bool), ApiError> {
    let (mut all, mut seen, mut level) = (Vec::new(), BTreeSet::from([digest]), vec![digest]);
    for distance in 1..=DEPTH {
        let mut below = Vec::new();
        for parent in level {
            for child in children(app, parent).await? {
                if !seen.insert(child) {
                    continue;
                }
                if all.len() >= MOST {
                    return Ok((all, true));
                }
                let made_from_parent = sightings(app, child, distance).await?;
                all.extend(
                    made_from_parent
                        .into_iter()
                        .find(|relative| relative.record.parent_image_hash == Some(parent)),
                );
                below.push(child);
            }
        }
        if below.is_empty() {
            return Ok((all, false));
        }
        level = below;
    }
    Ok((all, true))
}

/// Images made from this one: siblings of its own records, and edits registered later.
async fn children(app: &App, parent: Digest) -> Result<BTreeSet<Digest>, ApiError> {
    let mut found = app.registry.find(&parent).await?;
    found.extend(app.registry.edits(&parent).await?);
    let images = found.iter().map(Found::record).flat_map(|record| {
        let made = record
            .images()
            .iter()
            .filter(|image| record.parent(&image.digest) == Some(parent));
        made.map(|image| image.digest)
    });
    Ok(images.collect())
}

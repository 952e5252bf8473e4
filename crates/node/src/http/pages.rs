//! Pages for people: verify, status, interface. Self-contained; nothing is loaded from elsewhere.
//!
//! Trust: whoever serves this page decides what it shows, like every page. What it shows of a photo
//! with scripts is checked in the browser against receipts; without scripts it is this validator's
//! word and says so.

use std::sync::LazyLock;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use birthmark_http::site::{self, Policy};
use birthmark_http::{ApiError, Query};
use birthmark_protocol::Digest;
use birthmark_verify::answer::Notices;
use birthmark_verify::{Card, FileDigests, subject};
use serde::Deserialize;

use super::{App, FRESH, Shared, provenance, verify};

mod saved;
mod status;
#[cfg(test)]
mod texts;

pub use saved::saved;
pub use status::status;

/// What a page is made of, beside HTML: the bytes, and a name of their state by which browsers know
/// that they have them.
struct Asset {
    kind: &'static str,
    bytes: &'static [u8],
    tag: HeaderValue,
}

/// What a visitor without scripts asks.
#[derive(Deserialize)]
pub struct Asked {
    image_hash: Option<String>,
}

#[derive(Template)]
#[template(path = "verify.html")]
struct VerifyPage<'a> {
    operator: &'a str,
    asked: &'a str,
    problem: Option<String>,
    card: Option<Card>,
    /// The card's colour.
    tone: &'static str,
    /// What makes it a file that is kept, where it is one.
    saved: Option<saved::Saved>,
}

fn rendered(policy: Policy, template: &impl Template) -> Result<Response, ApiError> {
    let html = template.render().map_err(ApiError::internal)?;
    Ok(site::page(policy, html))
}

impl Asset {
    fn new(kind: &'static str, bytes: &'static [u8]) -> Self {
        let tag = Digest::of(bytes).with_hex(|hex| HeaderValue::from_str(&format!("\"{hex}\"")));
        #[expect(
            clippy::disallowed_methods,
            reason = "a digest in quotes is a header's value"
        )]
        Self {
            kind,
            bytes,
            tag: tag.unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }

    /// Browsers ask each time whether it is still the same: after an update all parts of a page
    /// must fit together.
    fn answer(&self, asked: &HeaderMap) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.kind)),
            (header::ETAG, self.tag.clone()),
            FRESH,
        ];
        if asked.get(header::IF_NONE_MATCH) == Some(&self.tag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, self.bytes).into_response()
    }
}

macro_rules! assets {
    ($($(#[$about:meta])* $name:ident: $kind:literal, $file:literal;)+) => {$(
        $(#[$about])*
        pub async fn $name(asked: HeaderMap) -> Response {
            static ASSET: LazyLock<Asset> =
                LazyLock::new(|| Asset::new($kind, include_bytes!(concat!("../pages/", $file))));
            ASSET.answer(&asked)
        }
    )+};
}

assets! {
    /// The script of the verify page.
    verify_script: "text/javascript; charset=utf-8", "verify.js";
    /// What lets that script call the verifier.
    verifier_script: "text/javascript; charset=utf-8", "verifier.js";
    /// The page's and the verifier's texts in German.
    german: "application/json", "texts.de.json";
    /// The verifier: the Rust code of `verify-wasm`, built by `cargo xtask wasm`.
    verifier: "application/wasm", "verifier.wasm";
}

/// The interface.
pub async fn docs() -> Response {
    site::docs(&[("/", "Verify a photo"), ("/status", "Status")])
}

/// Whatever has no page.
pub async fn nothing_here(headers: HeaderMap) -> Response {
    site::nothing_here(&headers, &[("/", "Verify a photo")])
}

/// Verify a photo, or a digest if the visitor brings one.
pub async fn verify(State(app): Shared, Query(asked): Query<Asked>) -> Result<Response, ApiError> {
    let text = asked.image_hash.as_deref().map_or("", str::trim);
    let (card, problem) = match subject::typed_digest(text) {
        _ if text.is_empty() => (None, None),
        Ok(digest) => (Some(card(&app, digest).await?), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let page = VerifyPage {
        operator: &app.operator(),
        asked: text,
        problem,
        tone: card.as_ref().map_or("", |card| card.tone.name()),
        card,
        saved: None,
    };
    rendered(Policy::WithWasm, &page)
}

impl App {
    fn operator(&self) -> String {
        let operator = self.settings.http.operator.as_deref().unwrap_or(&self.name);
        format!("A registry of photo digests. Operator: {operator}")
    }
}

/// What this validator itself says about a digest.
async fn card(app: &App, digest: Digest) -> Result<Card, ApiError> {
    let file = FileDigests::of_digest(digest);
    let page = app.registry.page(&digest, None, verify::SHOWN).await?;
    let sightings = app.sightings_of(&page, &digest).records;
    let Some((strongest, others)) = sightings.split_first() else {
        return Ok(Card::unknown(&file));
    };
    let mut found = page.found.into_iter();
    let Some(found) = found.find(|found| found.leaf == strongest.index) else {
        return Ok(Card::unknown(&file));
    };
    let parent = provenance::withdrawn_ancestor(app, digest, found.clone()).await?;
    let notices = Notices {
        own: strongest.revocation.clone(),
        parent,
        others: others
            .iter()
            .filter_map(|other| other.revocation.clone())
            .collect(),
        other_records: others.len(),
    };
    let Some(sighted) = app.sighted(&found, &digest) else {
        return Ok(Card::unknown(&file));
    };
    Ok(Card::told(&file, &sighted, &notices, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_visitors_write_stays_text() {
        let page = VerifyPage {
            operator: "<b>",
            asked: "\"><script>alert(1)</script>",
            problem: Some("<i>".into()),
            card: None,
            tone: "",
            saved: None,
        };
        let html = page.render().unwrap();
        for raw in ["<b>", "<script>alert", "<i>", "value=\"\">"] {
            assert!(!html.contains(raw), "{raw}");
        }
    }

    #[test]
    fn pages_load_nothing_from_elsewhere() {
        for text in [
            include_str!("../../templates/verify.html"),
            include_str!("../../templates/card.html"),
            include_str!("../../templates/status.html"),
            include_str!("../pages/verify.js"),
        ] {
            assert!(
                !text.contains("http://")
                    && !text.contains("https://")
                    && !text.contains("<script>")
                    && !text.contains("@import")
            );
        }
    }

    #[test]
    fn the_script_computes_nothing_itself() {
        let script = include_str!("../pages/verify.js");
        assert!(!script.contains("crypto.subtle") && !script.contains("0xff"));
    }

    #[test]
    fn a_browser_that_has_an_asset_is_not_sent_it_again() {
        let asset = Asset::new("text/plain", b"content");
        let first = asset.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut again = HeaderMap::new();
        again.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(asset.answer(&again).status(), StatusCode::NOT_MODIFIED);
        assert_ne!(Asset::new("text/plain", b"other").tag, asset.tag);
    }
}

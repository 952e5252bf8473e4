//! Pages for people: verify, status, interface. Self-contained; nothing is loaded from elsewhere.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::Response;
use birthmark_http::site::{self, Policy};
use birthmark_http::{ApiError, Query};
use birthmark_protocol::Digest;
use birthmark_protocol::api::Finding;
use serde::Deserialize;

use super::{App, Shared, finding};
use crate::words;

mod status;

pub use status::status;

const VERIFY: &str = include_str!("../pages/verify.html");

/// What a visitor without scripts asks.
#[derive(Deserialize)]
pub struct Asked {
    image_hash: Option<String>,
}

/// The script of the verify page.
pub async fn verify_script() -> Response {
    site::asset(
        "text/javascript; charset=utf-8",
        include_str!("../pages/verify.js"),
    )
}

/// The interface.
pub async fn docs() -> Response {
    site::docs(&[("/", "Verify a photo"), ("/status", "Status")])
}

/// Verify a photo, or a digest if the visitor brings one.
pub async fn verify(State(app): Shared, Query(asked): Query<Asked>) -> Result<Response, ApiError> {
    let text = asked.image_hash.unwrap_or_default();
    let result = match text.trim() {
        "" => String::new(),
        text => match text.parse::<Digest>() {
            Ok(digest) => {
                let sightings = super::verify::sightings(&app, digest).await?;
                verdict(&finding(digest, &sightings))
            }
            Err(error) => format!(
                "<p>This is no SHA-256 digest: {}.</p>",
                escape(&error.to_string())
            ),
        },
    };
    let html = VERIFY
        .replace("{{operator}}", &escape(&app.operator()))
        .replace("{{asked}}", &escape(text.trim()));
    Ok(site::page(
        Policy::Plain,
        html.replace("{{result}}", &result),
    ))
}

impl App {
    fn operator(&self) -> String {
        let operator = self.settings.http.operator.as_deref().unwrap_or(&self.name);
        format!("A registry of photo digests, kept by {operator}")
    }
}

/// The same words the script shows.
fn verdict(finding: &Finding<'_>) -> String {
    let (class, title) = match (finding.verified, &finding.revocation) {
        (true, None) => (" found", "Registered"),
        (true, Some(_)) => (" against", "Registered, but read the warning"),
        (false, _) => ("", "No record found"),
    };
    let mut html = format!(
        "<section class=\"verdict{class}\"><h2>{title}</h2><p>{}</p>",
        escape(&finding.finding)
    );
    if let Some(warning) = &finding.revocation {
        let _ = write!(html, "<p>Warning: {}</p>", escape(warning));
    }
    if finding.verified {
        html.push_str("<h3>What is not proven</h3><ul>");
        finding.not_proven.iter().for_each(|limit| {
            let _ = write!(html, "<li>{}</li>", escape(limit));
        });
        html.push_str("</ul>");
        details(&mut html, finding);
        let _ = write!(
            html,
            "<a href=\"/api/v1/receipt/{}\">Receipt (verifies offline)</a>",
            finding.image_hash
        );
    }
    html.push_str("</section>");
    html
}

fn details(html: &mut String, finding: &Finding<'_>) {
    let rows = [
        (
            "Registered before",
            finding.block_time.as_deref().map(str::to_owned),
        ),
        (
            "The device's own clock",
            finding
                .timestamp
                .and_then(|time| words::moment(time.unix())),
        ),
        (
            "Device",
            finding.device_family.as_deref().map(str::to_owned),
        ),
        (
            "Block",
            finding.block_height.map(|height| height.to_string()),
        ),
        (
            "Taken in by",
            finding.aggregator.as_deref().map(str::to_owned),
        ),
        (
            "Vouched for by",
            finding.authority.as_deref().map(str::to_owned),
        ),
        (
            "Assurance",
            finding
                .source
                .map(|source| words::assurance(source).to_owned()),
        ),
        (
            "Records of this data",
            Some(finding.records.len().to_string()),
        ),
    ];
    html.push_str("<dl>");
    for (name, value) in rows {
        let value = value.filter(|value| !value.is_empty());
        if let Some(value) = value {
            let _ = write!(html, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
        }
    }
    html.push_str("</dl>");
}

/// Text that stays text inside HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_visitors_write_stays_text() {
        assert_eq!(escape("<script>\"'&"), "&lt;script&gt;&quot;&#39;&amp;");
    }

    #[test]
    fn the_script_says_what_the_page_without_scripts_says() {
        use birthmark_ledger::Source;
        for source in [
            Source::CameraToken,
            Source::CameraCertificate,
            Source::CameraAttested,
            Source::Software,
            Source::Server,
        ] {
            let name = serde_json::to_string(&source).unwrap();
            let line = format!("{name}: \"{}\",", words::assurance(source));
            assert!(include_str!("../pages/verify.js").contains(&line), "{line}");
        }
    }

    #[test]
    fn pages_load_nothing_from_elsewhere() {
        for text in [VERIFY, include_str!("../pages/verify.js")] {
            assert!(
                !text.contains("http://")
                    && !text.contains("https://")
                    && !text.contains("<script>")
            );
        }
    }
}

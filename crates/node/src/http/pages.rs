//! Pages for people: verify, status, interface. Self-contained; nothing is loaded from elsewhere.

use std::fmt::Write as _;

use axum::extract::{Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use birthmark_http::ApiError;
use birthmark_protocol::Digest;
use serde::Deserialize;

use super::{App, Evidence, FRESH, Shared};

const VERIFY: &str = include_str!("../pages/verify.html");
const DOCS: &str = include_str!("../pages/docs.html");
/// Nothing may be loaded or reached but this node itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'";

/// What a visitor without scripts asks.
#[derive(Deserialize)]
pub struct Asked {
    image_hash: Option<String>,
}

fn page(status: StatusCode, html: String) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (
            HeaderName::from_static("content-security-policy"),
            HeaderValue::from_static(POLICY),
        ),
        FRESH,
    ];
    (status, headers, html).into_response()
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let caching = (
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    (
        [
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
            caching,
        ],
        text,
    )
        .into_response()
}

/// The house's style.
pub async fn style() -> Response {
    asset(
        "text/css; charset=utf-8",
        include_str!("../pages/style.css"),
    )
}

/// The script of the verify page.
pub async fn verify_script() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("../pages/verify.js"),
    )
}

/// The script of the interface page.
pub async fn docs_script() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("../pages/docs.js"),
    )
}

/// The interface.
pub async fn docs() -> Response {
    page(StatusCode::OK, DOCS.to_owned())
}

/// Verify a photo, or a digest if the visitor brings one.
pub async fn verify(State(app): Shared, Query(asked): Query<Asked>) -> Result<Response, ApiError> {
    let text = asked.image_hash.unwrap_or_default();
    let result = match text.trim() {
        "" => String::new(),
        text => match text.parse::<Digest>() {
            Ok(digest) => verdict(&super::verify::evidence(&app, digest).await?),
            Err(error) => format!(
                "<p>This is no SHA-256 digest: {}.</p>",
                escape(&error.to_string())
            ),
        },
    };
    let html = VERIFY
        .replace("{{operator}}", &escape(&app.operator()))
        .replace("{{asked}}", &escape(text.trim()));
    Ok(page(StatusCode::OK, html.replace("{{result}}", &result)))
}

impl App {
    fn operator(&self) -> String {
        let operator = self.settings.http.operator.as_deref().unwrap_or(&self.name);
        format!("A registry of photo digests, kept by {operator}")
    }
}

/// The same words the script shows.
fn verdict(evidence: &Evidence) -> String {
    let (class, title) = match (evidence.verified, &evidence.revocation) {
        (true, None) => (" found", "Registered"),
        (true, Some(_)) => (" against", "Registered, but read the warning"),
        (false, _) => ("", "No record found"),
    };
    let mut html = format!(
        "<section class=\"verdict{class}\"><h2>{title}</h2><p>{}</p>",
        escape(&evidence.finding)
    );
    if let Some(warning) = &evidence.revocation {
        let _ = write!(html, "<p>Warning: {}</p>", escape(warning));
    }
    if evidence.verified {
        html.push_str("<h3>What is not proven</h3><ul>");
        evidence.not_proven.iter().for_each(|limit| {
            let _ = write!(html, "<li>{}</li>", escape(limit));
        });
        html.push_str("</ul>");
        details(&mut html, evidence);
        let _ = write!(
            html,
            "<a href=\"/api/v1/receipt/{}\">Receipt (verifies offline)</a>",
            evidence.image_hash
        );
    }
    html.push_str("</section>");
    html
}

fn details(html: &mut String, evidence: &Evidence) {
    let rows = [
        ("Registered before", evidence.block_time.clone()),
        (
            "Block",
            evidence.block_height.map(|height| height.to_string()),
        ),
        ("Taken in by", evidence.aggregator.clone()),
        ("Vouched for by", evidence.authority.clone()),
        (
            "Assurance",
            Some(
                evidence
                    .assurance
                    .unwrap_or("a submission server's word")
                    .to_owned(),
            ),
        ),
        (
            "Records of this data",
            Some(evidence.records.len().to_string()),
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

/// The state of the node, for people.
pub async fn status(State(app): Shared) -> Result<Response, ApiError> {
    let status = app.status().await?;
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Status</title><link rel=\"stylesheet\" href=\"/style.css\"></head><body><header><h1>Status</h1>",
    );
    let _ = write!(
        html,
        "<p>{}</p></header><main><dl>",
        escape(&app.operator())
    );
    let values = serde_json::to_value(&status).unwrap_or_default();
    for (name, value) in values.as_object().into_iter().flatten() {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(
            html,
            "<dt>{}</dt><dd>{}</dd>",
            escape(&name.replace('_', " ")),
            escape(&value)
        );
    }
    html.push_str(
        "</dl><h2>Authorities</h2><table><tr><th>Name</th><th>State</th><th>Answered</th></tr>",
    );
    for (name, report) in &app.lanes {
        let report = report
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let state = if report.standing.is_away() {
            "away; submissions wait"
        } else {
            "answers"
        };
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{state}</td><td>{}</td></tr>",
            escape(name),
            report.answered
        );
    }
    html.push_str("</table></main><footer><nav><a href=\"/\">Verify a photo</a> <a href=\"/docs\">Programming interface</a></nav></footer></body></html>");
    Ok(page(StatusCode::OK, html))
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
    fn pages_load_nothing_from_elsewhere() {
        for text in [
            VERIFY,
            DOCS,
            include_str!("../pages/verify.js"),
            include_str!("../pages/style.css"),
        ] {
            assert!(
                !text.contains("http://")
                    && !text.contains("https://")
                    && !text.contains("<script>")
            );
        }
    }
}

//! The frame of a page, the one stylesheet, and the page that describes the interface.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;

/// What a page may do beyond showing itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Scripts, styles and requests of this site alone.
    Plain,
    /// And compile WebAssembly that comes from this site.
    WithWasm,
}

impl Policy {
    const fn text(self) -> &'static str {
        match self {
            Self::Plain => {
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                 img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
            }
            Self::WithWasm => {
                "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
                 connect-src 'self'; img-src 'self' data: blob:; form-action 'self'; \
                 base-uri 'none'; frame-ancestors 'none'"
            }
        }
    }
}

/// A page. It may say something else the next time it is asked for.
pub fn page(policy: Policy, html: impl Into<axum::body::Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, policy.text()),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, html.into()).into_response()
}

const CONTENT_SECURITY_POLICY: HeaderName = header::CONTENT_SECURITY_POLICY;

/// A script, style or picture of this version of the program.
pub fn asset(kind: &'static str, content: impl Into<axum::body::Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=3600"),
        ),
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(Policy::Plain.text()),
        ),
    ];
    (headers, content.into()).into_response()
}

/// How every page looks.
pub const fn stylesheet() -> &'static str {
    include_str!("style.css")
}

/// The same at `/style.css`.
pub async fn style() -> Response {
    asset("text/css; charset=utf-8", stylesheet())
}

/// Browsers ask for one in any case: `/favicon.ico`.
pub async fn icon() -> Response {
    asset("image/svg+xml", include_str!("icon.svg"))
}

/// The links at the foot of a site's pages: address and name.
pub type Links = &'static [(&'static str, &'static str)];

/// Whatever has no page: a sentence for programs, a page for browsers.
pub fn nothing_here(headers: &HeaderMap, links: Links) -> Response {
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|kinds| kinds.to_str().ok())
        .is_some_and(|kinds| kinds.contains("text/html"));
    if !wants_page {
        return ApiError::not_found("there is nothing at this address").into_response();
    }
    let html = include_str!("nothing.html").replace("{{links}}", &written(links));
    (StatusCode::NOT_FOUND, page(Policy::Plain, html)).into_response()
}

fn written(links: Links) -> String {
    let links: Vec<_> = links
        .iter()
        .map(|(address, name)| format!("<a href=\"{address}\">{name}</a>"))
        .collect();
    links.join(" ")
}

/// The page that describes the interface, drawn by a script from `/openapi.json`: `/docs`.
pub fn docs(links: Links) -> Response {
    page(
        Policy::Plain,
        include_str!("docs.html").replace("{{links}}", &written(links)),
    )
}

/// What draws it: `/docs.js`.
pub async fn docs_script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("docs.js"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_description_carries_its_policy_and_its_links() {
        let answer = docs(&[("/", "Verify a photo"), ("/status", "Status")]);
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
        let html = axum::body::to_bytes(answer.into_body(), 100_000)
            .await
            .unwrap();
        let html = String::from_utf8(html.to_vec()).unwrap();
        assert!(html.contains("<a href=\"/status\">Status</a>") && !html.contains("{{"));
    }

    #[test]
    fn pages_load_nothing_from_elsewhere() {
        for text in [
            include_str!("style.css"),
            include_str!("docs.html"),
            include_str!("docs.js"),
            include_str!("nothing.html"),
        ] {
            for outside in ["http://", "https://", "@import", "<style", "innerHTML"] {
                assert!(!text.contains(outside), "{outside}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_a_sentence_for_programs_and_a_page_for_people() {
        let ask = async |accept: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            let answer = nothing_here(&headers, &[("/", "Verify a photo")]);
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
            let kind = kind.to_owned();
            let body = axum::body::to_bytes(answer.into_body(), 100_000).await;
            (kind, String::from_utf8(body.unwrap().to_vec()).unwrap())
        };
        for accept in [None, Some("*/*"), Some("application/json")] {
            let (kind, text) = ask(accept).await;
            assert_eq!(kind, "application/json", "{accept:?}");
            assert!(text.contains("nothing at this address"), "{text}");
        }
        let (kind, html) = ask(Some("text/html,application/xhtml+xml;q=0.9")).await;
        assert_eq!(kind, "text/html; charset=utf-8");
        assert!(html.contains("<a href=\"/\">Verify a photo</a>"), "{html}");
        assert!(!html.contains("{{"), "{html}");
    }

    /// A page is asked for anew each time, a part of it is kept for an hour, and neither may do
    /// more than it must.
    #[test]
    fn pages_and_their_parts_say_how_long_they_hold_and_what_they_may_do() {
        let header_of = |answer: &Response, name: HeaderName| {
            answer.headers()[name].to_str().unwrap().to_owned()
        };
        let page_of = |policy| page(policy, "<p>");
        let script = asset("text/javascript; charset=utf-8", "x");
        assert_eq!(
            header_of(&script, header::CACHE_CONTROL),
            "public, max-age=3600"
        );
        let plain = page_of(Policy::Plain);
        assert_eq!(header_of(&plain, header::CACHE_CONTROL), "no-cache");
        for answer in [&script, &plain] {
            let policy = header_of(answer, CONTENT_SECURITY_POLICY);
            assert!(
                !policy.contains("wasm") && !policy.contains("blob"),
                "{policy}"
            );
        }
        let with_wasm = page_of(Policy::WithWasm);
        let policy = header_of(&with_wasm, CONTENT_SECURITY_POLICY);
        assert!(policy.contains("'wasm-unsafe-eval'") && policy.contains("blob:"));
        for policy in [policy, header_of(&plain, CONTENT_SECURITY_POLICY)] {
            for part in [
                "default-src 'none'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
            ] {
                assert!(policy.contains(part), "{part}: {policy}");
            }
            assert!(!policy.contains("'unsafe-"), "{policy}");
        }
    }
}

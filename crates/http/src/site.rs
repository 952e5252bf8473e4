//! What the sites of validator and authority have in common: rate limits, headers, the frame of
//! their pages, the page that describes their interface, and figures for monitoring. Everything
//! comes from the binary: nothing is loaded from elsewhere.

mod page;
mod rate;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::ApiError;

pub use page::{
    Links, Policy, asset, docs, docs_script, icon, nothing_here, page, style, stylesheet,
};
pub use rate::{KeyedLimit, RateLimit};

/// Headers that keep browsers from guessing, framing and telling others. What an answer says itself
/// stays.
pub fn harden(headers: &mut HeaderMap) {
    const ALWAYS: [(HeaderName, HeaderValue); 3] = [
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    headers.reserve(ALWAYS.len());
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(value);
    }
}

/// A handler that panics is our own fault, and ends neither the connection nor the process.
pub fn catch_panic()
-> CatchPanicLayer<impl Fn(Box<dyn std::any::Any + Send>) -> Response + Clone + Send> {
    CatchPanicLayer::custom(|_| ApiError::internal("a handler panicked").into_response())
}

/// The figures of a registry in the text form of OpenMetrics.
pub fn metrics(registry: &Registry) -> Response {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => ApiError::internal(error).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn what_an_answer_says_itself_stays() {
        let mut headers = HeaderMap::new();
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("origin"));
        harden(&mut headers);
        assert_eq!(headers[header::REFERRER_POLICY], "origin");
        assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_a_500_in_the_usual_form() {
        use tower::{ServiceBuilder, ServiceExt as _, service_fn};
        #[expect(unreachable_code, reason = "it panics")]
        let fails = service_fn(|_: ()| async {
            panic!("on purpose");
            Ok::<_, std::convert::Infallible>(Response::new(axum::body::Body::empty()))
        });
        let service = ServiceBuilder::new()
            .layer(catch_panic())
            .service(fails.map_request(|_: axum::http::Request<()>| ()));
        let answer = service.oneshot(axum::http::Request::new(())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn figures_are_told_in_the_standard_form() {
        let mut registry = Registry::with_prefix("birthmark_test");
        let counter = Counter::<u64>::default();
        registry.register("requests", "Requests", counter.clone());
        counter.inc();
        let answer = metrics(&registry);
        let kind = answer.headers()[header::CONTENT_TYPE]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(kind.starts_with("application/openmetrics-text"));
        let text = axum::body::to_bytes(answer.into_body(), 10_000)
            .await
            .unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("birthmark_test_requests_total 1") && text.ends_with("# EOF\n"));
    }
}

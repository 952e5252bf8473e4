//! The headers that every answer carries, whether the router made it or not.

use axum::http::{HeaderValue, header};
use axum::response::Response;
use birthmark_http::site;

/// Allows every origin, as the router's CORS layer does for its own answers.
pub(super) fn public(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let everyone = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, everyone.clone());
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, everyone);
    response
}

/// Tells browsers not to guess content types and not to send our addresses on.
pub(super) fn guarded(mut response: Response) -> Response {
    site::harden(response.headers_mut());
    response
}

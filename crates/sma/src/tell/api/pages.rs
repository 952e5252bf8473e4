//! Pages for people and the description for programs. Everything comes from the binary: nothing is
//! loaded from elsewhere.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use birthmark_http::site::{self, Policy};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::{attest, devices, metrics, one_time, overview, public, revocations, validate};

#[derive(OpenApi)]
#[openapi(
    info(title = "Birthmark manufacturer authority", description = "Certifies cameras, and says whether one stands behind a photo without learning which photo."),
    paths(
        validate::token, validate::certificate, validate::nuc, validate::batch,
        public::verdict_keys, public::root, public::intermediate, public::intermediate_der, public::health, public::stats,
        devices::provision, devices::list, devices::one, attest::begin, attest::evidence,
        attest::begin_renewal, attest::renewal_evidence, attest::renew,
        one_time::statements, one_time::begin, one_time::open,
        revocations::revoke, revocations::lift, revocations::list, revocations::feed, revocations::crl, revocations::crl_of, revocations::ocsp, revocations::ocsp_get,
        overview::overview, overview::reviewed, metrics::metrics,
    ),
    modifiers(&Bearer)
)]
struct Description;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An operator's token"))
            .build();
        description
            .components
            .get_or_insert_default()
            .add_security_scheme("operator", SecurityScheme::Http(scheme));
    }
}

/// The description of everything here, OpenAPI 3.1.
pub async fn openapi() -> Response {
    axum::Json(Description::openapi()).into_response()
}

/// The description for people.
pub async fn docs() -> Response {
    site::docs(&[("/", "Operators' page")])
}

/// Whatever has no page.
pub async fn nothing_here(headers: HeaderMap) -> Response {
    site::nothing_here(&headers, &[("/", "Operators' page")])
}

/// The page of operators.
pub async fn admin() -> Response {
    site::page(Policy::Plain, include_str!("pages/admin.html"))
}

/// What fills the page of operators.
pub async fn admin_script() -> Response {
    site::asset(
        "text/javascript; charset=utf-8",
        include_str!("pages/admin.js"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_names_what_needs_a_token() {
        let described = serde_json::to_value(Description::openapi()).unwrap();
        assert!(described["openapi"].as_str().unwrap().starts_with("3.1"));
        let open = &described["paths"]["/validate"]["post"];
        let guarded = &described["paths"]["/api/v1/revocations"]["post"];
        assert!(open["security"].is_null() && guarded["security"][0]["operator"].is_array());
        assert!(
            described["components"]["schemas"]["Provisioned"]["properties"]["master_keys"]
                .is_object()
        );
    }

    #[test]
    fn pages_load_nothing_from_elsewhere() {
        let pages = [
            include_str!("pages/admin.html"),
            include_str!("pages/admin.js"),
        ];
        for page in pages {
            // A name, not an address: nothing is loaded from a namespace.
            let page = page.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !page.contains("http://")
                    && !page.contains("https://")
                    && !page.contains("<style")
                    && !page.contains("@import")
            );
        }
    }
}

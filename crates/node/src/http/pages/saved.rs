//! The verify page as one HTML file: kept on a disk, it checks receipts without any network, and
//! photos against the registry whose address stands in it.
//!
//! Trust: the genesis in the file is the one of the validator it was saved from, and stays it.
//! Whoever can change the file decides what it shows.

use std::sync::LazyLock;

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthmark_http::{ApiError, Query, site};
use birthmark_protocol::Digest;
use serde::Deserialize;

use super::VerifyPage;
use crate::http::Shared;

/// What the file is called.
const NAME: &str = "birthmark.html";
/// The line by which the page's script loads what stands above it in the file.
const IMPORT: &str = "import init, ";

/// What every saved page has, whatever it asks.
pub(super) struct Parts {
    /// The library and the page's own script as one module.
    pub(super) script: String,
    /// The verifier, in base64.
    pub(super) verifier: String,
    /// The page's texts in German.
    pub(super) texts: String,
    /// The one stylesheet.
    pub(super) style: &'static str,
    /// By which the policy names script and style.
    hashes: [String; 2],
}

/// What a saved page has beyond the served one.
pub(super) struct Saved {
    pub(super) parts: &'static Parts,
    /// Which requests it may make: to its registry's address alone, or none.
    pub(super) policy: String,
    /// The registry's address, if it asks one.
    pub(super) registry: Option<String>,
    pub(super) genesis: String,
}

/// Where the saved page asks.
#[derive(Deserialize)]
pub struct Where {
    registry: Option<String>,
}

static PARTS: LazyLock<Parts> = LazyLock::new(|| {
    let script = one_module(
        include_str!("../../pages/verifier.js"),
        include_str!("../../pages/verify.js"),
    );
    let style = site::stylesheet();
    let hash = |text: &str| {
        let hash = STANDARD.encode(Digest::of(text.as_bytes()).as_bytes());
        format!("'sha256-{hash}'")
    };
    Parts {
        hashes: [hash(&script), hash(style)],
        // In a block of data nothing else could end the block.
        texts: include_str!("../../pages/texts.de.json").replace('<', "\\u003c"),
        verifier: STANDARD.encode(include_bytes!("../../pages/verifier.wasm")),
        script,
        style,
    }
});

/// Both scripts as one: a module in a file on a disk can load no other.
fn one_module(library: &str, page: &str) -> String {
    let mut script = String::with_capacity(library.len() + page.len());
    for line in library.lines() {
        let line = match line.strip_prefix("export ") {
            Some("{ initSync, __wbg_init as default };") => "const init = __wbg_init;",
            Some(rest) => rest,
            None => line,
        };
        script.push_str(line);
        script.push('\n');
    }
    for line in page.lines().filter(|line| !line.starts_with(IMPORT)) {
        script.push_str(line);
        script.push('\n');
    }
    script
}

/// The page as a file to keep.
pub async fn saved(State(app): Shared, Query(asked): Query<Where>) -> Result<Response, ApiError> {
    if asked
        .registry
        .as_deref()
        .is_some_and(|text| !is_origin(text))
    {
        let reason = "expected http:// or https:// and the name of a server";
        return Err(ApiError::parameter("query", "registry", reason));
    }
    let genesis = serde_json::to_string(app.registry.genesis()).map_err(ApiError::internal)?;
    let page = VerifyPage {
        operator: &app.operator(),
        asked: "",
        problem: None,
        card: None,
        tone: "",
        saved: Some(Saved::new(asked.registry, &genesis)),
    };
    let html = page.render().map_err(ApiError::internal)?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{NAME}\""),
        ),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    Ok((headers, html).into_response())
}

impl Saved {
    fn new(registry: Option<String>, genesis: &str) -> Self {
        let parts = &*PARTS;
        let [script, style] = &parts.hashes;
        let asks = registry.as_deref().unwrap_or("'none'");
        Self {
            policy: format!(
                "default-src 'none'; script-src {script} 'wasm-unsafe-eval'; style-src {style}; img-src data: blob:; \
                 connect-src {asks}; form-action 'none'; base-uri 'none'"
            ),
            // In a block of data nothing else could end the block.
            genesis: genesis.replace('<', "\\u003c"),
            registry,
            parts,
        }
    }
}

/// Whether a text is the address of a server and nothing else: it becomes part of a policy.
fn is_origin(text: &str) -> bool {
    let server = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    server.is_some_and(|server| !server.is_empty() && server.bytes().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_scripts_are_one_module_that_loads_nothing() {
        let script = &PARTS.script;
        assert!(script.contains("const init = __wbg_init;"));
        for line in script.lines() {
            assert!(
                !line.starts_with("import ") && !line.starts_with("export "),
                "{line}"
            );
        }
        assert!(!script.contains("</script"));
    }

    #[test]
    fn only_the_name_of_a_server_gets_into_the_policy() {
        for good in [
            "https://node.example",
            "http://127.0.0.1:8545",
            "http://[::1]:80",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "https://",
            "ftp://node.example",
            "https://node.example; script-src *",
            "https://node.example/path",
            "https://node.example\"",
            "https://user@node.example",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
        let saved = Saved::new(None, "{\"a\": \"</script>\"}");
        assert!(saved.policy.contains("connect-src 'none'") && !saved.genesis.contains('<'));
    }
}

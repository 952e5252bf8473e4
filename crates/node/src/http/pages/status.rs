//! The state of the node, in words for people.

use std::fmt::Write as _;
use std::sync::PoisonError;

use axum::extract::State;
use axum::response::Response;
use birthmark_http::ApiError;
use birthmark_http::site::{self, Policy};
use serde_json::Value;

use super::escape;
use crate::http::{App, Shared};

/// What the fields of `/api/v1/status` are called on the page, in its order. Others follow under their own names.
const NAMES: [(&str, &str); 13] = [
    ("total_hashes", "Records"),
    ("block_height", "Blocks"),
    ("last_block_time", "Last block (UTC)"),
    ("pending_submissions", "Waiting for an authority"),
    ("validated_submissions", "Waiting for a block"),
    ("node_id", "This validator"),
    ("validator_nodes", "Validators"),
    ("consensus_mode", "Agreement"),
    ("uptime", "Running for"),
    ("chain_id", "Registry"),
    ("genesis_hash", "Its first page (genesis)"),
    ("tree_root", "Fingerprint of all records"),
    ("version", "Version"),
];

/// The state of the node, for people.
pub async fn status(State(app): Shared) -> Result<Response, ApiError> {
    let status = serde_json::to_value(app.status().await?).unwrap_or_default();
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Status</title><link rel=\"stylesheet\" href=\"/style.css\"></head><body><header><h1>Status</h1>",
    );
    // Writing into a string cannot fail.
    let _ = write!(html, "<p>{}</p></header><main>", escape(&app.operator()));
    in_a_word(&mut html, &app, &status);
    facts(&mut html, &status);
    authorities(&mut html, &app);
    html.push_str("</main><footer><nav><a href=\"/\">Verify a photo</a> <a href=\"/docs\">Programming interface</a></nav></footer></body></html>");
    Ok(site::page(Policy::Plain, html))
}

fn in_a_word(html: &mut String, app: &App, status: &Value) {
    let silent: Vec<_> = app
        .lanes
        .iter()
        .filter(|(_, report)| {
            let report = report.lock().unwrap_or_else(PoisonError::into_inner);
            report.standing.is_away()
        })
        .map(|(name, _)| name.as_str())
        .collect();
    let (class, title, text) = if silent.is_empty() {
        let records = &status["total_hashes"];
        let text = format!("Photos are taken in, and {records} records are answered for.");
        ("found", "All is well", text)
    } else {
        let text = format!(
            "Photos are taken in and wait, because {} cannot be asked. Nothing is lost, and answers are given as always.",
            silent.join(", ")
        );
        ("against", "An authority is away", text)
    };
    let _ = write!(
        html,
        "<section class=\"verdict {class}\"><h2>{title}</h2><p>{}</p></section>",
        escape(&text)
    );
}

fn facts(html: &mut String, status: &Value) {
    let mut fields = status.as_object().cloned().unwrap_or_default();
    let known = NAMES.map(|(field, name)| (name.to_owned(), fields.remove(field)));
    let others = fields
        .into_iter()
        .map(|(field, value)| (field.replace('_', " "), Some(value)));
    html.push_str("<dl>");
    for (name, value) in known.into_iter().chain(others) {
        let value = match value {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => match text.as_str() {
                "single" => "this validator alone".to_owned(),
                "bft" => "more than two thirds of the validators".to_owned(),
                _ => text,
            },
            Some(value) => value.to_string(),
        };
        let _ = write!(
            html,
            "<dt>{}</dt><dd>{}</dd>",
            escape(&name),
            escape(&value)
        );
    }
    html.push_str("</dl>");
}

fn authorities(html: &mut String, app: &App) {
    html.push_str(
        "<h2>Authorities</h2><table><tr><th>Name</th><th>State</th><th>Answered</th></tr>",
    );
    for (name, report) in &app.lanes {
        let report = report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let state = match report.trouble {
            Some(trouble) => format!("{trouble}; submissions wait"),
            None => "answers".to_owned(),
        };
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{state}</td><td>{}</td></tr>",
            escape(name),
            report.answered
        );
    }
    html.push_str("</table>");
}

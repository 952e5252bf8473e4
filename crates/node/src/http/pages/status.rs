//! The state of the node, in words for people.

use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use birthmark_http::ApiError;
use birthmark_http::site::Policy;
use birthmark_protocol::api::{MemberStatus, WitnessStatus};
use serde_json::Value;

use super::rendered;
use crate::authorities::Authority;
use crate::authority::LaneReport;
use crate::http::{App, Shared};
use crate::network;

/// What the fields of `/api/v1/status` are called on the page, in its order. Others follow under
/// their own names.
const NAMES: [(&str, &str); 13] = [
    ("total_hashes", "Records"),
    ("block_height", "Blocks"),
    ("last_block_time", "Last block"),
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

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage<'a> {
    operator: &'a str,
    tone: &'static str,
    headline: &'static str,
    sentence: String,
    warnings: Vec<String>,
    facts: Vec<(String, String)>,
    authorities: Vec<AuthorityRow>,
    members: Vec<MemberRow>,
    witnesses: Vec<(String, String)>,
}

struct MemberRow {
    name: String,
    state: String,
    block: String,
    votes: String,
}

struct AuthorityRow {
    name: String,
    state: String,
    answered: u64,
}

/// The state of the node, for people.
pub async fn status(State(app): Shared) -> Result<Response, ApiError> {
    let status = serde_json::to_value(app.status().await?).map_err(ApiError::internal)?;
    let (tone, headline, sentence) = in_short(&app, &status);
    let page = StatusPage {
        operator: &app.operator(),
        tone,
        headline,
        sentence,
        warnings: app
            .warnings()
            .iter()
            .map(|text| capitalised(text))
            .collect(),
        facts: facts(&status),
        authorities: authorities(&app),
        members: app.members().iter().map(member).collect(),
        witnesses: app.witnesses.status().iter().map(witness).collect(),
    };
    rendered(Policy::Plain, &page)
}

fn member(member: &MemberStatus) -> MemberRow {
    let block = member.block_height.map(|height| height.to_string());
    MemberRow {
        name: member.name.clone(),
        state: capitalised(&network::in_words(member)),
        block: block.unwrap_or_else(|| "unknown".to_owned()),
        votes: network::votes(member),
    }
}

fn witness(of_us: &WitnessStatus) -> (String, String) {
    (
        of_us.name.clone(),
        capitalised(&crate::witness::in_words(of_us)),
    )
}

fn in_short(app: &App, status: &Value) -> (&'static str, &'static str, String) {
    if let Some(trouble) = app.pulse.trouble() {
        let text = format!("{}. Answers are given as always.", capitalised(trouble));
        return ("unproven", "Photos are not taken in", text);
    }
    if status["consensus_mode"] == "follower" {
        let records = &status["total_hashes"];
        let text = format!(
            "{records} records are answered for. Photos are taken in by the validators, whom this node follows."
        );
        return ("registered", "All is well", text);
    }
    let silent: Vec<_> = app
        .lanes
        .iter()
        .filter(|(name, report)| {
            let report = report.lock().unwrap_or_else(PoisonError::into_inner);
            let silent = |authority: &Arc<Authority>| authority.is_silent();
            report.standing.is_away() || app.book.get(name).is_some_and(silent)
        })
        .map(|(name, _)| name.as_str())
        .collect();
    if silent.is_empty() {
        let records = &status["total_hashes"];
        let text = format!("Photos are taken in, and {records} records are answered for.");
        return ("registered", "All is well", text);
    }
    let text = format!(
        "Photos are taken in and wait, because {} cannot be asked. Nothing is lost, and answers are given as always.",
        silent.join(", ")
    );
    ("unproven", "An authority is away", text)
}

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn facts(status: &Value) -> Vec<(String, String)> {
    let mut fields = match status {
        Value::Object(fields) => fields.clone(),
        _ => serde_json::Map::new(),
    };
    // Said above, as sentences.
    fields.remove("warnings");
    fields.remove("trouble");
    // Said below, in a table.
    fields.remove("members");
    fields.remove("witnesses");
    let known = NAMES.map(|(field, name)| (name.to_owned(), fields.remove(field)));
    let others = fields
        .into_iter()
        .map(|(field, value)| (field.replace('_', " "), Some(value)));
    let written = |(name, value): (String, Option<Value>)| Some((name, in_words(value?)?));
    known
        .into_iter()
        .chain(others)
        .filter_map(written)
        .collect()
}

fn in_words(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(match text.as_str() {
            "single" => "this validator alone".to_owned(),
            "bft" => "more than two thirds of the validators".to_owned(),
            "follower" => "the validators: this node follows them".to_owned(),
            _ => text,
        }),
        value => Some(value.to_string()),
    }
}

fn authorities(app: &App) -> Vec<AuthorityRow> {
    let row = |(name, report): &(String, Arc<Mutex<LaneReport>>)| {
        let report = report.lock().unwrap_or_else(PoisonError::into_inner);
        AuthorityRow {
            name: name.clone(),
            state: match report.trouble {
                Some(trouble) => format!("{trouble}; submissions wait"),
                None if app
                    .book
                    .get(name)
                    .is_some_and(|authority| authority.is_silent()) =>
                {
                    "does not answer".to_owned()
                }
                None if report.answered == 0 => "not asked yet".to_owned(),
                None => "answers".to_owned(),
            },
            answered: report.answered,
        }
    };
    app.lanes.iter().map(row).collect()
}

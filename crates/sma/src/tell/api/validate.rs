//! The questions of nodes: is a camera of yours behind this?
//!
//! Nothing of a question is logged, and of the answer only its kind is kept. What an older node
//! sends as `image_hash` is taken for a commitment and treated like one. Validators show a token;
//! nodes without one are answered too, one question at a time and slowly.

use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_http::{ApiError, body};
use birthmark_protocol::VerdictItem;
use birthmark_protocol::api::{BatchItem, BatchValidation, Validation};
use birthmark_protocol::authority_request::{Batch, CameraProof, MAX_QUESTION, Question};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, Caller, charge_questions};
use crate::authority::{Answer, unreadable};
use crate::clock;

/// How many bytes a validator's batch may have: a thousand certificates with tokens.
const LARGEST_BATCH: usize = 2 * 1024 * 1024;

/// The answer in the form of the authority's first plan.
#[derive(Debug, Serialize, ToSchema)]
pub struct NucValidation {
    /// `PASS` or `FAIL`.
    pub validation_result: &'static str,
    /// Who answers.
    pub manufacturer_id: String,
    /// The model, on a pass.
    pub device_family: Option<String>,
    /// Always null: the answer never tells which camera it was.
    pub device_serial: Option<String>,
    /// When, RFC 3339.
    pub timestamp: String,
}

/// Validates a token, flat or structured.
#[utoipa::path(post, path = "/validate", tag = "Validation", responses((status = 200, body = Validation), (status = 422), (status = 429), (status = 503)))]
pub async fn token(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Validation>, ApiError> {
    ask_one(&api, &caller, &request)?;
    let question = Question::parse_token(&body::read(request, MAX_QUESTION).await?)?;
    validation(&api, &question)
}

/// Validates a camera certificate, with or without a token.
#[utoipa::path(post, path = "/validate-cert", tag = "Validation", responses((status = 200, body = Validation), (status = 422), (status = 429), (status = 503)))]
pub async fn certificate(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Validation>, ApiError> {
    ask_one(&api, &caller, &request)?;
    let question = Question::parse_certificate(&body::read(request, MAX_QUESTION).await?)?;
    validation(&api, &question)
}

/// Lets one question through. Whoever shows a token that is not good is told, and not answered
/// slowly.
fn ask_one(api: &Api, caller: &Caller, request: &Request) -> Result<(), ApiError> {
    if let Caller::Stranger(_) = caller
        && let Some(Err(refused)) = api.authority.operators.validator(request.headers())
    {
        return Err(refused);
    }
    charge_questions(api, caller, 1.0)
}

fn validation(api: &Api, question: &Question) -> Result<Json<Validation>, ApiError> {
    let now = clock::now();
    let answer = api.authority.answer(question, now)?;
    let (verdict, verdict_key_id) = sign(api, answer.item().into_iter().collect())?.unzip();
    Ok(Json(Validation {
        valid: answer.outcome.result.is_ok(),
        message: answer.message().into(),
        manufacturer_id: api.authority.settings.manufacturer_id.clone(),
        device_family: answer.family.as_deref().map(str::to_owned),
        assurance: answer.outcome.result.ok(),
        simulated_nuc: answer.outcome.result.ok().map(|_| answer.is_made_up),
        verdict,
        verdict_key_id,
    }))
}

/// Signs a verdict over every answer; in base64, with the key's name.
fn sign(api: &Api, items: Vec<VerdictItem>) -> Result<Option<(String, String)>, ApiError> {
    if items.is_empty() {
        return Ok(None);
    }
    let keyring = api.authority.keyring();
    let signed = keyring.sign(&api.authority.settings.manufacturer_id, clock::now(), items);
    let (signed, key) = signed
        .zip(keyring.verdict_key_id())
        .ok_or_else(|| ApiError::internal("a verdict could not be signed"))?;
    Ok(Some((STANDARD.encode(signed.encode()), key.to_string())))
}

/// Validates a token in the form of the authority's first plan.
#[utoipa::path(post, path = "/api/v1/validate/nuc", tag = "Validation", responses((status = 200, body = NucValidation), (status = 400), (status = 422)))]
pub async fn nuc(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<NucValidation>, ApiError> {
    ask_one(&api, &caller, &request)?;
    let question = Question::parse_nuc(&body::read(request, MAX_QUESTION).await?)?;
    let now = clock::now();
    let answer = api.authority.answer(&question, now)?;
    Ok(Json(NucValidation {
        validation_result: if answer.outcome.result.is_ok() {
            "PASS"
        } else {
            "FAIL"
        },
        manufacturer_id: api.authority.settings.manufacturer_id.clone(),
        device_family: answer.family.as_deref().map(str::to_owned),
        device_serial: None,
        timestamp: clock::readable(now),
    }))
}

/// Validates up to 1,000 photos under one signature, for validators with a token.
#[utoipa::path(post, path = "/api/v1/validate/batch", tag = "Validation", responses((status = 200, body = BatchValidation), (status = 401), (status = 413), (status = 422), (status = 429), (status = 503)), security(("operator" = [])))]
pub async fn batch(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<BatchValidation>, ApiError> {
    if let Caller::Stranger(_) = caller {
        let refused = api.authority.operators.validator(request.headers());
        return Err(refused.and_then(Result::err).unwrap_or_else(|| {
            ApiError::new(
                StatusCode::UNAUTHORIZED,
                "only validators with a token may ask in batches; without one, ask one by one",
            )
        }));
    }
    let batch = Batch::parse(&body::read(request, LARGEST_BATCH).await?)?;
    charge_questions(&api, &caller, cost(&batch))?;
    // A thousand tokens take a millisecond, a thousand certificates a hundred: long enough to get
    // out of the way of others.
    let answered = tokio::task::spawn_blocking(move || answer_batch(&api, &batch)).await;
    answered.map_err(ApiError::internal)?.map(Json)
}

/// What a batch costs in questions: one about a certificate as much as one, since its signature is
/// checked; ten others as much as one.
fn cost(batch: &Batch) -> f64 {
    let costs = batch.questions.iter().map(|question| match question {
        Ok(question) if matches!(question.proof, CameraProof::Certificate(..)) => 1.0,
        _ => 0.1,
    });
    costs.sum::<f64>().max(1.0)
}

fn answer_batch(api: &Api, batch: &Batch) -> Result<BatchValidation, ApiError> {
    let now = clock::now();
    let readable = || {
        batch
            .questions
            .iter()
            .filter_map(|question| question.as_ref().ok())
    };
    let answers = api
        .authority
        .answer_all(readable(), batch.questions.len(), now)?;
    let items = answers.iter().filter_map(Answer::item).collect();
    let (verdict, verdict_key_id) = sign(api, items)?.unzip();
    let unread = batch.questions.len() - answers.len();
    api.authority.audit.record(
        &api.authority.vault,
        &vec![unreadable(now); unread],
        api.authority.disk_is_low(),
    );
    let mut answers = answers.into_iter();
    let results = batch.questions.iter().map(|question| match question {
        Ok(_) => answers
            .next()
            .map_or_else(|| unread_item("not answered".into()), answered_item),
        Err(error) => unread_item(error.to_string().into()),
    });
    Ok(BatchValidation {
        results: results.collect(),
        manufacturer_id: api.authority.settings.manufacturer_id.clone(),
        verdict,
        verdict_key_id,
    })
}

fn answered_item(answer: Answer) -> BatchItem {
    BatchItem {
        commitment: answer
            .outcome
            .commitment
            .map(|commitment| commitment.digest()),
        valid: answer.outcome.result.is_ok(),
        message: answer.message().into(),
        device_family: answer.family.as_deref().map(str::to_owned),
        assurance: answer.outcome.result.ok(),
        simulated_nuc: answer.outcome.result.ok().map(|_| answer.is_made_up),
    }
}

fn unread_item(message: Cow<'static, str>) -> BatchItem {
    BatchItem {
        commitment: None,
        valid: false,
        message,
        device_family: None,
        assurance: None,
        simulated_nuc: None,
    }
}

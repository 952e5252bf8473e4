//! Blocks, as JSON and as the bytes that are signed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use birthmark_http::{ApiError, Path, Query};
use birthmark_ledger::{BlockHeader, CommitCertificate, Head, HeadFormat, Transaction};
use birthmark_protocol::{Digest, DigestRole, ModificationLevel, Timestamp};
use birthmark_verify::sentences;
use serde::{Deserialize, Serialize};

use super::{App, FRESH, IMMUTABLE, Shared};
use crate::registry::Decided;

/// A block for people and programs.
#[derive(Serialize, utoipa::ToSchema)]
pub struct BlockView {
    block_height: u64,
    block_hash: String,
    previous_hash: String,
    /// Seconds since 1970.
    timestamp: i64,
    block_time: Option<String>,
    /// The proposing institution.
    validator_id: Option<String>,
    transactions: Vec<TransactionView>,
    #[schema(value_type = Object)]
    header: BlockHeader,
    #[schema(value_type = Object)]
    certificate: CommitCertificate,
    /// Where the canonical bytes are.
    bytes: String,
}

/// A transaction of a block.
#[derive(Serialize, utoipa::ToSchema)]
pub struct TransactionView {
    tx_hash: String,
    aggregator_id: Option<String>,
    batch_size: usize,
    signature: String,
    records: Vec<RecordView>,
}

/// A record of a transaction.
#[derive(Serialize, utoipa::ToSchema)]
pub struct RecordView {
    index: u64,
    #[schema(value_type = i64)]
    timestamp: Timestamp,
    #[schema(value_type = Option<String>)]
    gps_hash: Option<Digest>,
    authority: String,
    device_family: String,
    assurance: Option<&'static str>,
    image_hashes: Vec<ImageView>,
}

/// A digest of a record.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ImageView {
    #[schema(value_type = String)]
    image_hash: Digest,
    #[schema(value_type = String)]
    role: DigestRole,
    #[schema(value_type = u8)]
    modification_level: ModificationLevel,
    #[schema(value_type = Option<String>)]
    parent_image_hash: Option<Digest>,
}

/// Which blocks to list.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct Page {
    /// Below this height; the newest if left out.
    before: Option<u64>,
    /// How many, at most 100.
    limit: Option<u32>,
}

impl App {
    async fn decided(&self, height: &str) -> Result<(Arc<Decided>, bool), ApiError> {
        let latest = self.registry.tip().height().get();
        let is_latest = height == "latest";
        let height = match is_latest {
            true => latest,
            false => height.parse().map_err(|_| {
                ApiError::parameter("path", "height", "expected a number or latest")
            })?,
        };
        let decided = self.registry.block(height).await?;
        Ok((
            decided.ok_or_else(|| ApiError::not_found("there is no block at this height"))?,
            is_latest,
        ))
    }

    fn block_view(&self, decided: &Decided) -> BlockView {
        let header = &decided.block.header;
        let validators = self
            .registry
            .validators_after(header.height.get().saturating_sub(1));
        let name = |id| {
            validators
                .get(id)
                .map(|validator| validator.name.to_string())
        };
        let mut index = header.first_index();
        let transactions = decided.block.transactions.iter().map(|transaction| {
            let view = transaction_view(transaction, name(transaction.submitter()), index);
            index += transaction.records().len() as u64;
            view
        });
        BlockView {
            block_height: header.height.get(),
            block_hash: header.hash().to_string(),
            previous_hash: header.previous.to_string(),
            timestamp: header.time.timestamp().unix(),
            block_time: sentences::block_moment(header.time),
            validator_id: name(&header.proposer),
            transactions: transactions.collect(),
            header: header.clone(),
            certificate: decided.certificate.clone(),
            bytes: format!("/api/v1/block/{}/bytes", header.height),
        }
    }
}

fn transaction_view(
    transaction: &Transaction,
    aggregator_id: Option<String>,
    first: u64,
) -> TransactionView {
    let records = (first..)
        .zip(transaction.records())
        .map(|(index, record)| RecordView {
            index,
            timestamp: record.time(),
            gps_hash: record.gps(),
            authority: record.origin().authority.to_string(),
            device_family: record.origin().family.to_string(),
            assurance: record
                .origin()
                .source
                .assurance()
                .map(birthmark_protocol::Assurance::name),
            image_hashes: record
                .images()
                .iter()
                .map(|image| ImageView {
                    image_hash: image.digest,
                    role: image.role,
                    modification_level: image.level,
                    parent_image_hash: record.parent(&image.digest),
                })
                .collect(),
        });
    TransactionView {
        tx_hash: transaction.hash().to_string(),
        aggregator_id,
        batch_size: transaction.records().len(),
        signature: hex::encode(transaction.signature().to_bytes()),
        records: records.collect(),
    }
}

/// One block as JSON, by height or `latest`.
#[utoipa::path(get, path = "/api/v1/block/{height}", tag = "Blocks", responses((status = 200, body = BlockView), (status = 404), (status = 422)))]
pub async fn block(State(app): Shared, Path(height): Path<String>) -> Result<Response, ApiError> {
    let (decided, is_latest) = app.decided(&height).await?;
    let caching = if is_latest { FRESH } else { IMMUTABLE };
    Ok(([caching], axum::Json(app.block_view(&decided))).into_response())
}

/// One block as its canonical bytes.
#[utoipa::path(get, path = "/api/v1/block/{height}/bytes", tag = "Blocks", responses((status = 200, description = "the bytes that are hashed and signed"), (status = 404)))]
pub async fn bytes(State(app): Shared, Path(height): Path<String>) -> Result<Response, ApiError> {
    let (decided, is_latest) = app.decided(&height).await?;
    let caching = if is_latest { FRESH } else { IMMUTABLE };
    let kind = (
        header::CONTENT_TYPE,
        axum::http::HeaderValue::from_static("application/octet-stream"),
    );
    Ok(([caching, kind], decided.bytes.clone()).into_response())
}

/// The newest blocks, newest first.
#[utoipa::path(get, path = "/api/v1/blocks", tag = "Blocks", params(Page), responses((status = 200, description = "heights, times and sizes")))]
pub async fn list(State(app): Shared, Query(page): Query<Page>) -> Result<Response, ApiError> {
    let before = page.before.unwrap_or(i64::MAX as u64);
    let blocks = app
        .registry
        .store()
        .newest_blocks(before, page.limit.unwrap_or(20).min(100))
        .await?;
    let blocks: Vec<_> = blocks
        .iter()
        .map(|block| {
            serde_json::json!({
                "block_height": block.height,
                "records": block.leaves,
                "block_time": sentences::moment(block.time_ms.div_euclid(1000)),
            })
        })
        .collect();
    Ok(([FRESH], axum::Json(serde_json::json!({ "blocks": blocks }))).into_response())
}

/// What whoever asks for the newest block knows already.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct Known {
    /// Changes of validators below this height are known; all are sent if left out.
    since: Option<u64>,
}

/// The newest block's header with the decision behind it: cameras check it and anchor their photos
/// to it.
#[utoipa::path(get, path = "/api/v1/head", tag = "Blocks", params(Known), responses((status = 200, description = "header, certificate, and the changes of validators before it"), (status = 404, description = "there is no block yet")))]
pub async fn head(
    State(app): Shared,
    Query(Known { since }): Query<Known>,
) -> Result<Response, ApiError> {
    let (decided, _) = app.decided("latest").await?;
    let header = decided.block.header.clone();
    let mut sets = app.registry.links_before(header.height.get());
    sets.retain(|link| since.is_none_or(|since| link.header.height.get() >= since));
    let head = Head {
        format: HeadFormat::V1,
        chain_id: app.registry.genesis().chain_id.clone(),
        header,
        certificate: decided.certificate.clone(),
        sets,
    };
    Ok(([FRESH], axum::Json(head)).into_response())
}

/// What the registry starts from: what receipts are in the end checked against.
#[utoipa::path(get, path = "/api/v1/genesis", tag = "Blocks", responses((status = 200, description = "the genesis")))]
pub async fn genesis(State(app): Shared) -> Response {
    axum::Json(app.registry.genesis()).into_response()
}

//! New blocks as they come: Server-Sent Events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use birthmark_http::{ApiError, NoSeat, Peer};
use birthmark_verify::sentences;
use futures_util::stream::{Stream, unfold};
use serde_json::json;
use tokio::sync::watch;

use super::{App, COME_BACK, Shared};

/// One event per block, from the next block on. A reader that is too slow misses blocks, never the
/// newest.
#[utoipa::path(get, path = "/api/v1/events/blocks", tag = "Blocks", responses((status = 200, description = "Server-Sent Events named `block`"), (status = 429, description = "the client listens often enough"), (status = 503, description = "too many listen; come back later")))]
pub async fn blocks(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    // A listener keeps its connection open, so cap listeners and leave room for ordinary requests.
    let client = app.settings.http.trusted_proxies.client(&peer, &headers);
    let place = app.event_seats.take(client).map_err(|none| match none {
        NoSeat::Client => ApiError::too_many(
            "your address listens for new blocks often enough already",
            COME_BACK,
        ),
        NoSeat::All => {
            ApiError::unavailable("too many listen for new blocks; come back later", COME_BACK)
        }
    })?;
    let heights = app.registry.heights();
    let events = unfold((app, heights, place), |(app, heights, place)| async move {
        let (event, heights) = next(&app, heights).await?;
        Some((Ok(event), (app, heights, place)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

async fn next(
    app: &Arc<App>,
    mut heights: watch::Receiver<u64>,
) -> Option<(Event, watch::Receiver<u64>)> {
    loop {
        heights.changed().await.ok()?;
        let height = *heights.borrow_and_update();
        // A block that cannot be read now is left out; the next one comes.
        let Ok(Some(decided)) = app.registry.block(height).await else {
            continue;
        };
        let header = &decided.block.header;
        let data = json!({
            "block_height": height,
            "block_hash": header.hash(),
            "block_time": sentences::block_moment(header.time),
            "records": header.records,
            "tree_size": header.tree_size,
            "tree_root": header.tree_root,
        });
        return Some((
            Event::default()
                .event("block")
                .id(height.to_string())
                .data(data.to_string()),
            heights,
        ));
    }
}

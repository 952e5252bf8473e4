//! From checked submissions to durable ones: many at once, each answered only after the commit.

use std::collections::HashMap;
use std::sync::Arc;

use birthmark_protocol::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot};

use super::QueueRoom;
use super::request::Request;
use crate::journal;
use crate::row_keys::RowKeys;
use crate::store::{NewSubmission, ReceiptId, Store, StoreError};

/// How many submissions one commit takes.
const MOST: usize = 1000;
/// How many may wait for the commit before new ones are told to come back.
pub(super) const ROOM: usize = 8192;

/// Says once that submissions cannot be stored, and once that they can again.
fn tell<T>(outcome: &Result<T, Arc<StoreError>>, failing: &mut bool) {
    match outcome {
        Ok(_) if std::mem::take(failing) => {
            log::info!(MESSAGE_ID = journal::DATABASE_BACK; "submissions are stored again");
        }
        Ok(_) => {}
        Err(error) => {
            if !std::mem::replace(failing, true) {
                log::error!(MESSAGE_ID = journal::outage(&**error); "submissions cannot be stored and are turned away: {error}");
            }
        }
    }
}

/// A checked submission on its way to the database.
pub(super) struct Arrival {
    authority: String,
    received_at: Timestamp,
    /// Dropped, and wiped, as soon as the answer is sent.
    request: Request,
    answer: oneshot::Sender<Result<Taken, Arc<StoreError>>>,
}

impl Arrival {
    pub(super) fn new(
        authority: String,
        request: Request,
        now: Timestamp,
        answer: oneshot::Sender<Result<Taken, Arc<StoreError>>>,
    ) -> Self {
        Self {
            authority,
            received_at: now,
            request,
            answer,
        }
    }

    /// Sealed here and not earlier: rows reach the database in the order of their epochs.
    fn sealed(&self, rows: &RowKeys) -> Result<NewSubmission, StoreError> {
        let id = self.request.id;
        Ok(NewSubmission {
            id,
            authority: self.authority.clone(),
            kind: self.request.kind(),
            request: rows.seal(id.0.as_bytes(), &self.request.to_bytes())?,
            received_at: self.received_at,
        })
    }
}

/// What became of an arrival.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It is durable under this name, now or since an earlier time.
    Queued(ReceiptId),
    /// The same photo of the same camera was accepted before, under this name.
    Known(ReceiptId),
    /// Its token was spent for another photo.
    TokenSpent,
}

/// Takes arrivals until all senders are gone.
pub(super) struct Intake {
    pub(super) store: Store,
    pub(super) rows: Arc<RowKeys>,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
    pub(super) room: Arc<QueueRoom>,
    pub(super) wake: Arc<Notify>,
}

impl Intake {
    pub(super) async fn run(mut self) {
        let (mut arrivals, mut failing) = (Vec::with_capacity(MOST), false);
        while self.arrivals.recv_many(&mut arrivals, MOST).await > 0 {
            let outcome = self.take(&arrivals).await.map_err(Arc::new);
            tell(&outcome, &mut failing);
            for (position, arrival) in arrivals.drain(..).enumerate() {
                let taken = match &outcome {
                    Ok(taken) => taken
                        .get(position)
                        .copied()
                        .ok_or_else(|| Arc::new(StoreError::Corrupt("no answer".into()))),
                    Err(error) => Err(Arc::clone(error)),
                };
                // A client that left does not need the answer; its submission is durable all the
                // same.
                let _ = arrival.answer.send(taken);
            }
        }
    }

    async fn take(&self, arrivals: &[Arrival]) -> Result<Vec<Taken>, StoreError> {
        let claims: Vec<_> = arrivals
            .iter()
            .flat_map(|arrival| arrival.request.claims.iter().cloned())
            .collect();
        let tokens: Vec<_> = arrivals
            .iter()
            .filter_map(|arrival| arrival.request.token.clone())
            .collect();
        let claimed: HashMap<_, _> = self.store.claimed(&claims).await?.into_iter().collect();
        let spent: HashMap<_, _> = if tokens.is_empty() {
            HashMap::new()
        } else {
            self.store.spent(&tokens).await?.into_iter().collect()
        };
        let taken: Vec<_> = arrivals
            .iter()
            .map(|arrival| judge(arrival, &claimed, &spent))
            .collect();
        let fresh = arrivals
            .iter()
            .zip(&taken)
            .filter(|(_, taken)| matches!(taken, Taken::Queued(_)));
        let fresh = fresh
            .map(|(arrival, _)| arrival.sealed(&self.rows))
            .collect::<Result<Vec<_>, _>>()?;
        if fresh.is_empty() {
            return Ok(taken);
        }
        for (authority, kind) in self.store.enqueue(fresh).await? {
            self.room.add(&authority, kind, 1);
        }
        self.wake.notify_waiters();
        Ok(taken)
    }
}

fn judge(
    arrival: &Arrival,
    claimed: &HashMap<Vec<u8>, ReceiptId>,
    spent: &HashMap<Vec<u8>, ReceiptId>,
) -> Taken {
    let request = &arrival.request;
    if let Some(first) = request.claims.iter().find_map(|claim| claimed.get(claim)) {
        return Taken::Known(*first);
    }
    match request.token.as_ref().and_then(|token| spent.get(token)) {
        Some(first) if *first != request.id => Taken::TokenSpent,
        _ => Taken::Queued(request.id),
    }
}

//! The interface `org.birthmark.Gps`. Whoever may connect learns where the camera is; nobody can
//! change anything.

use std::time::{Duration, Instant};

use futures_util::Stream;
use futures_util::stream;
use tokio::sync::watch;
use zlink::Reply;

use crate::messages::{Absence, FixReply};
use crate::receiver::Receiver;

/// How often a subscriber's answer is looked at when the receiver says nothing.
const LOOK: Duration = Duration::from_millis(500);

/// The service behind one connection.
#[derive(Clone, Debug)]
pub(crate) struct Gps {
    receiver: watch::Receiver<Receiver>,
}

impl Gps {
    pub(crate) fn new(receiver: watch::Receiver<Receiver>) -> Self {
        Self { receiver }
    }
}

#[zlink::service(
    interface = "org.birthmark.Gps",
    vendor = "Birthmark",
    product = "birthmark-gps",
    version = "1",
    url = "https://github.com/Birthmark-Standard/Birthmark"
)]
impl Gps {
    /// Tells where the camera is now, or why that is not known.
    async fn get_fix(&self) -> FixReply {
        self.receiver.borrow().answer(Instant::now())
    }

    /// Tells the same now and whenever it changes, for as long as the caller listens.
    #[zlink(more)]
    async fn subscribe(&self, more: bool) -> impl Stream<Item = Reply<FixReply>> + Unpin {
        let subscription = Subscription {
            receiver: self.receiver.clone(),
            told: None,
        };
        Box::pin(stream::unfold(
            Some(subscription),
            move |subscription| async move {
                let (reply, subscription) = subscription?.next().await?;
                let reply = Reply::new(Some(reply)).set_continues(Some(more));
                Some((reply, Some(subscription).filter(|_| more)))
            },
        ))
    }
}

/// What tells two answers apart for a subscriber: a new fix, or another reason.
type Gist = (Option<i64>, Option<Absence>);

struct Subscription {
    receiver: watch::Receiver<Receiver>,
    told: Option<Gist>,
}

impl Subscription {
    /// The next answer that differs from the last. A fix also ends by growing old, which no
    /// sentence announces.
    async fn next(mut self) -> Option<(FixReply, Self)> {
        loop {
            let reply = self.receiver.borrow_and_update().answer(Instant::now());
            let gist = (reply.fix.as_ref().map(|fix| fix.time), reply.reason);
            if self.told != Some(gist) {
                self.told = Some(gist);
                return Some((reply, self));
            }
            if let Ok(Err(_)) = tokio::time::timeout(LOOK, self.receiver.changed()).await {
                return None;
            }
        }
    }
}

//! Public answers that take a while to make, made once however many ask.
//!
//! A list of revoked certificates looks at a million cameras, the signed list signs, the totals
//! read the database: whoever asks while one is being made waits for that one.

use std::sync::Arc;

use birthmark_http::ApiError;
use birthmark_protocol::Timestamp;
use tokio::sync::Mutex;

/// An answer that is good for a while, and as long as what it was made from is still in force.
#[derive(Debug)]
pub struct Cached<K, T>(Mutex<Option<Made<K, T>>>);

#[derive(Debug)]
struct Made<K, T> {
    from: K,
    at: Timestamp,
    answer: Arc<T>,
}

impl<K, T> Default for Cached<K, T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<K: PartialEq, T> Cached<K, T> {
    /// The last answer if it was made from `from` less than `seconds` ago; otherwise a new one.
    pub async fn get(
        &self,
        from: K,
        seconds: i64,
        now: Timestamp,
        make: impl AsyncFnOnce() -> Result<T, ApiError>,
    ) -> Result<Arc<T>, ApiError> {
        let mut last = self.0.lock().await;
        if let Some(made) = &*last
            && made.from == from
            && (0..seconds).contains(&now.since(made.at))
        {
            return Ok(Arc::clone(&made.answer));
        }
        let answer = Arc::new(make().await?);
        let kept = Arc::clone(&answer);
        *last = Some(Made {
            from,
            at: now,
            answer: kept,
        });
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn an_answer_is_made_once_however_many_ask() {
        let (cached, made) = (Arc::new(Cached::default()), Arc::new(AtomicU32::new(0)));
        let ask = |from: u8, now: i64| {
            let (cached, made) = (Arc::clone(&cached), Arc::clone(&made));
            async move {
                let make = async || {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    Ok(made.fetch_add(1, Ordering::Relaxed))
                };
                let now = Timestamp::from_unix(now);
                *cached.get(from, 60, now, make).await.unwrap()
            }
        };
        let asked: Vec<_> = (0..50).map(|_| tokio::spawn(ask(1, 100))).collect();
        for one in asked {
            assert_eq!(one.await.unwrap(), 0);
        }
        assert_eq!(ask(1, 159).await, 0);
        assert_eq!(ask(1, 160).await, 1, "too old");
        assert_eq!(ask(2, 160).await, 2, "made from something else");
        assert_eq!(ask(2, 90).await, 3, "the clock was set back");
    }
}

//! An answer on its way: its bytes are counted until the kernel has taken them, and it has to be
//! read in time.
//!
//! The lease travels with the bytes themselves, since HTTP/2 takes an answer's bytes into a buffer
//! of its own as soon as its reader allows the first of them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};

use crate::byte_budget::{Account, Lease};
use crate::site;

/// A reader that takes fewer bytes a second than this is not reading.
const SLOWEST: u64 = 8 * 1024;

/// The answers of one connection that were not taken yet, with the moment each has to be.
#[derive(Debug)]
pub(crate) struct OpenAnswers {
    patience: Duration,
    open: Mutex<(u64, Vec<(u64, Instant)>)>,
}

impl OpenAnswers {
    /// None yet. `patience` is how long any answer may take, however small.
    pub(crate) fn new(patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            patience,
            open: Mutex::default(),
        })
    }

    fn add(self: &Arc<Self>, size: u64) -> OpenAnswer {
        let due = Instant::now() + self.patience + Duration::from_secs(size / SLOWEST);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, answers) = &mut *open;
        *next += 1;
        answers.push((*next, due));
        OpenAnswer {
            number: *next,
            all: Arc::clone(self),
        }
    }

    /// When the first of them has to be taken.
    pub(crate) fn first_due(&self) -> Option<Instant> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.1.iter().map(|(_, due)| *due).min()
    }
}

/// One of them; taken when dropped.
#[derive(Debug)]
struct OpenAnswer {
    number: u64,
    all: Arc<OpenAnswers>,
}

impl Drop for OpenAnswer {
    fn drop(&mut self) {
        let mut open = self.all.open.lock().unwrap_or_else(PoisonError::into_inner);
        let place = open.1.iter().position(|(number, _)| *number == self.number);
        if let Some(place) = place {
            open.1.swap_remove(place);
        }
    }
}

/// The body of an answer.
pub(crate) struct Answering {
    body: Body,
    counted: Option<(Lease, OpenAnswer)>,
}

/// Bytes of an answer. The last ones carry what counts it.
pub(crate) struct AnswerBytes {
    bytes: Bytes,
    _counted: Option<(Lease, OpenAnswer)>,
}

/// Counts an answer; where there is no room for it, another that says so goes in its place. A
/// stream without an end, as of events, holds no bytes; whoever offers one limits its readers.
pub(crate) fn count(
    response: Response,
    account: &Account,
    open: &Arc<OpenAnswers>,
) -> hyper::Response<Answering> {
    let (parts, body) = response.into_parts();
    let Some(size) = hyper::body::Body::size_hint(&body).exact() else {
        return hyper::Response::from_parts(parts, Answering::uncounted(body));
    };
    let lease = usize::try_from(size).map_or(Err(crate::byte_budget::OverBudget::All), |size| {
        account.answer(size)
    });
    match lease {
        Ok(lease) => {
            let counted = Some((lease, open.add(size)));
            hyper::Response::from_parts(parts, Answering { body, counted })
        }
        Err(over) => {
            let mut response = over.of_answers().into_response();
            site::harden(response.headers_mut());
            response.map(Answering::uncounted)
        }
    }
}

impl Answering {
    const fn uncounted(body: Body) -> Self {
        Self {
            body,
            counted: None,
        }
    }
}

impl hyper::body::Body for Answering {
    type Data = AnswerBytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<AnswerBytes>, axum::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            return Poll::Pending;
        };
        let is_last = this.body.is_end_stream();
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|bytes| AnswerBytes {
                    bytes,
                    _counted: this.counted.take_if(|_| is_last),
                })
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Buf for AnswerBytes {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use hyper::body::Body as _;

    use super::*;
    use crate::byte_budget::ByteBudget;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn next(answering: &mut Answering) -> AnswerBytes {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Some(Ok(frame))) = Pin::new(answering).poll_frame(&mut context) else {
            panic!("a frame")
        };
        frame.into_data().unwrap_or_else(|_| panic!("data"))
    }

    #[test]
    fn an_answer_is_counted_until_its_last_byte_was_taken() {
        let budget = ByteBudget::default();
        let (account, open) = (budget.account(), OpenAnswers::new(PATIENCE));
        let answer = Response::new(Body::from("0123456789"));
        let mut answering = count(answer, &account, &open).into_body();
        assert_eq!(budget.answers_held(), 10);
        let mut bytes = next(&mut answering);
        drop(answering);
        bytes.advance(9);
        assert_eq!(
            budget.answers_held(),
            10,
            "HTTP/2 buffers what its reader does not take"
        );
        assert!(open.first_due().is_some());
        drop(bytes);
        assert_eq!(budget.answers_held(), 0);
        assert_eq!(open.first_due(), None);
    }

    #[test]
    fn a_large_answer_has_more_time_than_a_small_one() {
        let open = OpenAnswers::new(PATIENCE);
        let before = Instant::now();
        let large = open.add(100 * SLOWEST);
        assert!(open.first_due().unwrap() >= before + PATIENCE + Duration::from_secs(100));
        let small = open.add(1);
        assert!(open.first_due().unwrap() < before + PATIENCE + Duration::from_secs(10));
        drop(small);
        assert!(open.first_due().unwrap() >= before + PATIENCE + Duration::from_secs(100));
        drop(large);
    }

    #[test]
    fn where_there_is_no_room_the_client_learns_when_to_come_back() {
        let budget = ByteBudget::default().with_answers(100, 15);
        let (account, open) = (budget.account(), OpenAnswers::new(PATIENCE));
        let answer = || Response::new(Body::from("0123456789"));
        let first = count(answer(), &account, &open);
        let second = count(answer(), &account, &open);
        assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(second.headers().contains_key("retry-after"));
        drop(first);
        assert_eq!(count(answer(), &account, &open).status(), StatusCode::OK);
    }
}

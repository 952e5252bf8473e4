//! Connections that neither send nor take anything are cut off: silence costs its sender the
//! connection, not us.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::answering::OpenAnswers;
use crate::head_clock::HeadClock;

/// Who has to act on an alarm that rang has this long until it rings again.
const AGAIN: Duration = Duration::from_millis(10);
/// Answers up to this size leave in one piece: one plain write costs the kernel less than a list of
/// pieces.
const SMALL: usize = 4096;

/// A connection that ends when nothing moves on it, in either direction.
pub(crate) struct IdleTimeout<S> {
    stream: S,
    /// For how long nothing may move: little before the first byte, more after it.
    patience: Duration,
    until_first: Duration,
    after_first: Duration,
    moved: Instant,
    head: Arc<HeadClock>,
    /// Answers that have to be taken in time, whatever else moves: pings on HTTP/2 are no reading.
    answers: Arc<OpenAnswers>,
    alarm: Pin<Box<Sleep>>,
}

impl<S> IdleTimeout<S> {
    /// `head` is never due earlier than `until_first` after it was set.
    pub(crate) fn new(
        stream: S,
        until_first: Duration,
        after_first: Duration,
        head: Arc<HeadClock>,
        answers: Arc<OpenAnswers>,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            patience: until_first,
            until_first,
            after_first,
            moved: now,
            head,
            answers,
            alarm: Box::pin(sleep_until(now + until_first)),
        }
    }

    /// Notes that something moved, or looks whether nothing has for too long. Moving the alarm
    /// costs more than a look at the clock, so it is only moved when it rings.
    fn watch<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.moved = Instant::now();
            return polled;
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            let (now, end) = (Instant::now(), self.moved + self.patience);
            let first_due = self.answers.first_due().map(Instant::from_std);
            if end <= now || first_due.is_some_and(|due| due <= now) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let next = self.next_alarm(now, first_due.map_or(end, |due| due.min(end)));
            self.alarm.as_mut().reset(next);
        }
        Poll::Pending
    }

    /// When something may next be over: silence, the time for a head, or the time for a head that
    /// is set from now on.
    fn next_alarm(&self, now: Instant, silence: Instant) -> Instant {
        let head = self.head.due().map(Instant::from_std);
        let head = head.map_or(silence, |due| due.max(now + AGAIN));
        silence.min(head).min(now + self.until_first)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleTimeout<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if polled.is_ready() {
            this.patience = this.after_first;
        }
        this.watch(polled, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleTimeout<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.watch(polled, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut whole = [0; SMALL];
        let polled = match gather(slices, &mut whole) {
            Some(bytes) => Pin::new(&mut this.stream).poll_write(context, bytes),
            None => Pin::new(&mut this.stream).poll_write_vectored(context, slices),
        };
        this.watch(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(context) {
            // Nothing was written, so nothing has moved.
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => this.watch(Poll::Pending, context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(context);
        this.watch(polled, context)
    }
}

/// The slices one after the other, if there are several and they fit.
fn gather<'w>(slices: &[io::IoSlice<'_>], whole: &'w mut [u8; SMALL]) -> Option<&'w [u8]> {
    if slices.len() < 2 {
        return None;
    }
    let mut length = 0;
    for slice in slices {
        let end = length + slice.len();
        whole.get_mut(length..end)?.copy_from_slice(slice);
        length = end;
    }
    whole.get(..length)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const LITTLE: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(2);
    const STEP: Duration = Duration::from_millis(500);

    fn patient<S>(stream: S, until_first: Duration, after_first: Duration) -> IdleTimeout<S> {
        let answers = OpenAnswers::new(LONG);
        IdleTimeout::new(
            stream,
            until_first,
            after_first,
            HeadClock::start(),
            answers,
        )
    }

    #[tokio::test]
    async fn silence_ends_a_connection_before_the_first_byte_and_after_it() {
        let (_silent, ours) = duplex(10);
        let error = patient(ours, LITTLE, LONG).read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let (mut theirs, ours) = duplex(10);
        let mut ours = patient(ours, LONG, LITTLE);
        theirs.write_u8(1).await.unwrap();
        ours.read_u8().await.unwrap();
        let error = ours.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_asks_and_never_reads_is_cut_off_and_who_reads_slowly_is_not() {
        let (mut theirs, ours) = duplex(1);
        let mut ours = patient(ours, LONG, LONG);
        theirs.write_u8(1).await.unwrap();
        ours.read_u8().await.unwrap();
        // Longer in all than anybody may be silent.
        let slow = tokio::spawn(async move {
            for _ in 0..5 {
                tokio::time::sleep(STEP).await;
                theirs.read_u8().await.unwrap();
            }
            theirs
        });
        ours.write_all(&[7; 5]).await.unwrap();
        let _theirs = slow.await.unwrap();
        let error = ours.write_all(&[7; 30]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// The pieces that a stream was given.
    #[derive(Default)]
    struct Pieces(Vec<Vec<u8>>);

    impl AsyncWrite for Pieces {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let first = slices.first().unwrap().to_vec();
            let length = first.len();
            self.0.push(first);
            Poll::Ready(Ok(length))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn small_answers_leave_in_one_piece_and_large_ones_are_not_copied() {
        for (size, expected) in [
            (5, 2 + 5),
            (SMALL - 2, SMALL),
            (SMALL - 1, 2),
            (3 * SMALL, 2),
        ] {
            let mut ours = patient(Pieces::default(), LONG, LONG);
            let (head, body) = (b"ab", vec![7; size]);
            let slices = [io::IoSlice::new(head), io::IoSlice::new(&body)];
            let written = ours.write_vectored(&slices).await.unwrap();
            assert_eq!(written, expected, "{size}");
            let [piece] = ours.stream.0.as_slice() else {
                panic!("one piece")
            };
            let whole = [head.as_slice(), &body].concat();
            assert_eq!(piece.as_slice(), &whole[..expected]);
        }
    }
}

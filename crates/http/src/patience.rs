//! Connections that neither send nor take anything are cut off: silence costs its sender the connection, not us.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A connection that ends when nothing moves on it, in either direction.
pub(crate) struct Patient<S> {
    stream: S,
    /// For how long nothing may move: little before the first byte, more after it.
    patience: Duration,
    after_first: Duration,
    moved: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, until_first: Duration, after_first: Duration) -> Self {
        let now = Instant::now();
        Self {
            stream,
            patience: until_first,
            after_first,
            moved: now,
            alarm: Box::pin(sleep_until(now + until_first)),
        }
    }

    /// Notes that something moved, or looks whether nothing has for too long. Moving the alarm costs more than a look at the
    /// clock, so it is only moved when it rings.
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
            let end = self.moved + self.patience;
            if end <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(end);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
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
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const LITTLE: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(2);
    const STEP: Duration = Duration::from_millis(500);

    #[tokio::test]
    async fn silence_ends_a_connection_before_the_first_byte_and_after_it() {
        let (_silent, ours) = duplex(10);
        let error = Patient::new(ours, LITTLE, LONG)
            .read_u8()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let (mut theirs, ours) = duplex(10);
        let mut ours = Patient::new(ours, LONG, LITTLE);
        theirs.write_u8(1).await.unwrap();
        ours.read_u8().await.unwrap();
        let error = ours.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_asks_and_never_reads_is_cut_off_and_who_reads_slowly_is_not() {
        let (mut theirs, ours) = duplex(1);
        let mut ours = Patient::new(ours, LONG, LONG);
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
}

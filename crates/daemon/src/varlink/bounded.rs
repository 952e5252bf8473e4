//! A Unix socket whose peer cannot make us hold a message of any size it likes.

use std::os::fd::{AsFd, BorrowedFd};

use tokio::net::UnixStream;
use zlink::connection::socket::{ReadHalf, ReadResult, Socket, UnixSocket};
use zlink::tokio::unix::Stream;

/// The largest message read from a peer. The largest we know is a submission with two certificates,
/// a few kilobytes.
pub const LARGEST_MESSAGE: usize = 1024 * 1024;

type Inner = <Stream as Socket>::ReadHalf;

/// A connected Unix socket that ends when a message grows past [`LARGEST_MESSAGE`].
#[derive(Debug)]
pub struct Bounded(Stream);

impl TryFrom<UnixStream> for Bounded {
    type Error = zlink::Error;

    fn try_from(stream: UnixStream) -> zlink::Result<Self> {
        Ok(Self(Stream::try_from(stream)?))
    }
}

impl Socket for Bounded {
    type ReadHalf = BoundedRead;
    type WriteHalf = <Stream as Socket>::WriteHalf;

    const CAN_TRANSFER_FDS: bool = true;

    fn split(self) -> (Self::ReadHalf, Self::WriteHalf) {
        let (inner, write) = self.0.split();
        (BoundedRead { inner, unended: 0 }, write)
    }
}

/// The reading half of [`Bounded`].
#[derive(Debug)]
pub struct BoundedRead {
    inner: Inner,
    /// Bytes since the last end of a message.
    unended: usize,
}

impl ReadHalf for BoundedRead {
    async fn read(&mut self, buffer: &mut [u8]) -> zlink::Result<ReadResult> {
        let result = self.inner.read(buffer).await?;
        let Some(read) = buffer.get(..result.bytes_read()) else {
            // More was read than there is room for: whatever follows cannot be trusted.
            return Err(zlink::Error::BufferOverflow);
        };
        self.unended = match read.iter().rposition(|byte| *byte == 0) {
            Some(end) => read.len() - end - 1,
            None => self.unended + read.len(),
        };
        if self.unended > LARGEST_MESSAGE {
            return Err(zlink::Error::BufferOverflow);
        }
        Ok(result)
    }
}

impl AsFd for BoundedRead {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl UnixSocket for BoundedRead {}

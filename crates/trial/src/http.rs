//! HTTP as load needs it: one connection that is kept, one request at a time, and as little work
//! for it as possible, because whoever loads a validator here shares its cores.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A kept connection to one address.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::with_capacity(1 << 16);
        Ok(Self { stream, buffer })
    }

    /// Sends a whole request and reads its answer, which must say how long it is.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let four = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = four else {
                continue;
            };
            let head = self.buffer.get(..end).unwrap_or(&[]);
            let (status, length) = read_head(head).ok_or(io::ErrorKind::InvalidData)?;
            if self.buffer.len() >= end + 4 + length {
                let body = self.buffer.get(end + 4..end + 4 + length);
                return Ok((status, body.unwrap_or(&[])));
            }
        }
    }

    /// The connection itself, after the request for an answer that never ends.
    pub async fn listen(mut self, request: &[u8]) -> io::Result<TcpStream> {
        self.stream.write_all(request).await?;
        Ok(self.stream)
    }
}

fn read_head(head: &[u8]) -> Option<(u16, usize)> {
    let head = std::str::from_utf8(head).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head
        .split("\r\n")
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Some(0), |(_, value)| value.parse().ok())?;
    Some((status, length))
}

/// A question.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// A request with a JSON body.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// One request on a connection of its own, answered within a time.
pub async fn ask(
    address: SocketAddr,
    request: &[u8],
    within: Duration,
) -> io::Result<(u16, Vec<u8>)> {
    let asked = async {
        let mut connection = Connection::open(address).await?;
        let (status, body) = connection.send(request).await?;
        Ok((status, body.to_vec()))
    };
    match tokio::time::timeout(within, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_length_are_read_from_a_head() {
        let head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 17\r\nx: y";
        assert_eq!(read_head(head), Some((202, 17)));
        assert_eq!(read_head(b"HTTP/1.1 204 No Content"), Some((204, 0)));
        assert_eq!(read_head(b"nothing"), None);
    }
}

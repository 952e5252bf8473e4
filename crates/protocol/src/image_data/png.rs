//! The chunks of a PNG file. Nothing is inflated.

use crc32fast::Hasher as Crc;

use super::{Keep, Step};
use crate::numbers::at_most;

const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
/// Chunks that a decoder may leave out and then shows something else. `cICP` goes before `iCCP`,
/// that before `sRGB`, that before `gAMA` and `cHRM`: whoever could add one of them unseen could
/// recolour the picture.
const SHOWN: [&[u8; 4]; 11] = [
    b"tRNS", b"acTL", b"fcTL", b"fdAT", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"mDCV",
    b"cLLI",
];
/// The format's own limit.
const MAX_LENGTH: u32 = 0x7FFF_FFFF;

#[derive(Debug)]
pub(super) struct Png {
    state: State,
    chunk: Chunk,
    crc: Crc,
    /// Whether any chunk was read.
    begun: bool,
    pixels: Pixels,
    trailing: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Inside the signature.
    Signature { have: usize },
    /// Inside a chunk's length and type.
    Header { bytes: [u8; 8], have: usize },
    /// Inside a chunk's content.
    Content { left: usize },
    /// Inside a chunk's checksum.
    Checksum { bytes: [u8; 4], have: usize },
    /// After the last chunk.
    End,
}

#[derive(Debug, Default, Clone, Copy)]
struct Chunk {
    kind: [u8; 4],
    length: u32,
}

/// Where we are relative to the `IDAT` chunks, whose contents count as one.
#[derive(Debug, Clone, Copy)]
enum Pixels {
    Before,
    Inside { length: u64 },
    After,
}

impl Default for Png {
    fn default() -> Self {
        Self {
            state: State::Signature { have: 0 },
            chunk: Chunk::default(),
            crc: Crc::new(),
            begun: false,
            pixels: Pixels::Before,
            trailing: 0,
        }
    }
}

impl Chunk {
    /// Whether decoders show something else without it: pixels, transparency, animation, colours.
    fn counts(&self) -> bool {
        let [first, ..] = self.kind;
        first.is_ascii_uppercase() || SHOWN.contains(&&self.kind)
    }
}

impl Png {
    /// How many bytes followed the image, or nothing if the image has not ended.
    pub(super) fn trailing(&self) -> Option<u64> {
        matches!(self.state, State::End).then_some(self.trailing)
    }

    /// Takes some bytes from the front of `bytes`, which is not empty.
    pub(super) fn step(&mut self, bytes: &[u8], keep: Keep<'_>) -> Step {
        let Some(&first) = bytes.first() else {
            return Ok(0);
        };
        match self.state {
            State::Signature { have } => self.state = signature(have, first, keep)?,
            State::Header { bytes, have } => {
                self.header_byte(put(bytes, have, first), have + 1, keep)?
            }
            State::Content { left } => return Ok(self.content(bytes, left, keep)),
            State::Checksum { bytes, have } => {
                self.checksum_byte(put(bytes, have, first), have + 1, keep)?
            }
            State::End => {
                self.trailing += bytes.len() as u64;
                return Ok(bytes.len());
            }
        }
        Ok(1)
    }

    fn header_byte(
        &mut self,
        bytes: [u8; 8],
        have: usize,
        keep: Keep<'_>,
    ) -> Result<(), &'static str> {
        if have < bytes.len() {
            self.state = State::Header { bytes, have };
            return Ok(());
        }
        let [a, b, c, d, kind @ ..] = bytes;
        self.chunk = Chunk {
            kind,
            length: u32::from_be_bytes([a, b, c, d]),
        };
        self.check_chunk()?;
        self.follow_pixels(keep)?;
        self.begun = true;
        self.crc = Crc::new();
        self.crc.update(&kind);
        self.state = self.after_content(at_most(self.chunk.length));
        Ok(())
    }

    fn check_chunk(&self) -> Result<(), &'static str> {
        match (&self.chunk.kind, self.chunk.length) {
            _ if !self.chunk.kind.iter().all(u8::is_ascii_alphabetic) => {
                Err("a chunk type that is not four letters")
            }
            (_, length) if length > MAX_LENGTH => Err("a chunk longer than the format allows"),
            (b"IHDR", 13) if !self.begun => Ok(()),
            (b"IHDR", _) => Err("an image header in the wrong place or of the wrong size"),
            _ if !self.begun => Err("the file does not begin with an image header"),
            (b"IEND", length) if length > 0 => Err("an end chunk with content"),
            _ => Ok(()),
        }
    }

    /// Notes where the pixels begin and end, and closes them behind their last chunk.
    fn follow_pixels(&mut self, keep: Keep<'_>) -> Result<(), &'static str> {
        let length = u64::from(self.chunk.length);
        self.pixels = match (self.pixels, &self.chunk.kind) {
            (Pixels::Before, b"IDAT") => Pixels::Inside { length },
            (Pixels::Inside { length: before }, b"IDAT") => Pixels::Inside {
                length: before + length,
            },
            (Pixels::After, b"IDAT") => return Err("pixels in two separate places"),
            (Pixels::Before, b"IEND") => return Err("the image ends without pixels"),
            (Pixels::Inside { length }, _) => {
                close(b"IDAT", length, keep);
                Pixels::After
            }
            (unchanged, _) => unchanged,
        };
        Ok(())
    }

    fn content(&mut self, bytes: &[u8], left: usize, keep: Keep<'_>) -> usize {
        let (content, _) = bytes.split_at(left.min(bytes.len()));
        self.crc.update(content);
        if self.chunk.counts() {
            keep(content);
        }
        self.state = self.after_content(left - content.len());
        content.len()
    }

    const fn after_content(&self, left: usize) -> State {
        if left == 0 {
            State::Checksum {
                bytes: [0; 4],
                have: 0,
            }
        } else {
            State::Content { left }
        }
    }

    fn checksum_byte(
        &mut self,
        bytes: [u8; 4],
        have: usize,
        keep: Keep<'_>,
    ) -> Result<(), &'static str> {
        if have < bytes.len() {
            self.state = State::Checksum { bytes, have };
            return Ok(());
        }
        if u32::from_be_bytes(bytes) != std::mem::take(&mut self.crc).finalize() {
            return Err("a chunk whose checksum does not match");
        }
        let chunk = self.chunk;
        if chunk.counts() && chunk.kind != *b"IDAT" {
            close(&chunk.kind, chunk.length.into(), keep);
        }
        self.state = if chunk.kind == *b"IEND" {
            State::End
        } else {
            State::Header {
                bytes: [0; 8],
                have: 0,
            }
        };
        Ok(())
    }
}

/// Copies signature and chunks that count from a PNG that was parsed before, up to its end.
pub(super) fn without_metadata(file: &[u8], kept: &mut Vec<u8>) {
    kept.extend_from_slice(SIGNATURE);
    let mut rest = file.get(SIGNATURE.len()..).unwrap_or(&[]);
    while let Some((&[a, b, c, d, kind @ ..], _)) = rest.split_first_chunk::<8>() {
        let chunk = Chunk {
            kind,
            length: u32::from_be_bytes([a, b, c, d]),
        };
        // Length, type and checksum are four bytes each.
        let whole =
            usize::try_from(chunk.length).map_or(usize::MAX, |length| length.saturating_add(12));
        let (chunk_bytes, after) = rest.split_at(whole.min(rest.len()));
        if chunk.counts() {
            kept.extend_from_slice(chunk_bytes);
        }
        rest = if &kind == b"IEND" { &[] } else { after };
    }
}

/// Length and type stand behind the content, because the length of all pixels is known only then.
fn close(kind: &[u8; 4], length: u64, keep: Keep<'_>) {
    keep(&length.to_be_bytes());
    keep(kind);
}

fn signature(have: usize, byte: u8, keep: Keep<'_>) -> Result<State, &'static str> {
    if SIGNATURE.get(have) != Some(&byte) {
        return Err("the file does not begin as a PNG");
    }
    if have + 1 < SIGNATURE.len() {
        return Ok(State::Signature { have: have + 1 });
    }
    keep(SIGNATURE);
    Ok(State::Header {
        bytes: [0; 8],
        have: 0,
    })
}

/// The array with one byte put into its place.
fn put<const N: usize>(mut bytes: [u8; N], at: usize, byte: u8) -> [u8; N] {
    if let Some(place) = bytes.get_mut(at) {
        *place = byte;
    }
    bytes
}

#[cfg(test)]
mod tests;

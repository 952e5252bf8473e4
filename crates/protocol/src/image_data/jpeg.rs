//! The structure of a JPEG file, as far as it takes to know which bytes are metadata. Nothing is decoded.

use super::{Keep, Step};

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const COM: u8 = 0xFE;
/// The only marker outside scans, besides the start and the end, that has no length: for arithmetic coders' private use.
const TEM: u8 = 0x01;

#[derive(Debug, Default)]
pub(super) struct Jpeg {
    state: State,
    scans: bool,
    trailing: u64,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// Before the first byte.
    #[default]
    Start,
    /// Between the two bytes of the first marker.
    StartCode,
    /// Between segments.
    Marker,
    /// After the first byte of a marker.
    Code,
    /// Before the first byte of a segment's length.
    Length { marker: u8 },
    /// Before the second.
    LengthEnd { marker: u8, high: u8 },
    /// Inside a segment.
    Segment {
        left: usize,
        kept: bool,
        then_scan: bool,
    },
    /// Inside entropy-coded data.
    Scan,
    /// After a byte of 0xFF there.
    ScanCode,
    /// After the end of the image.
    End,
}

impl Jpeg {
    /// How many bytes followed the image, or nothing if the image has not ended.
    pub(super) fn trailing(&self) -> Option<u64> {
        matches!(self.state, State::End).then_some(self.trailing)
    }

    /// Takes some bytes from the front of `bytes`, which is not empty.
    pub(super) fn step(&mut self, bytes: &[u8], keep: Keep<'_>) -> Step {
        match self.state {
            State::Segment {
                left,
                kept,
                then_scan,
            } => Ok(self.segment(bytes, left, kept, then_scan, keep)),
            State::Scan => Ok(self.scan(bytes, keep)),
            State::End => {
                self.trailing += bytes.len() as u64;
                Ok(bytes.len())
            }
            state => {
                let byte = bytes.first().copied().unwrap_or_default();
                self.state = self.byte(state, byte, keep)?;
                Ok(1)
            }
        }
    }

    fn segment(
        &mut self,
        bytes: &[u8],
        left: usize,
        kept: bool,
        then_scan: bool,
        keep: Keep<'_>,
    ) -> usize {
        let (content, _) = bytes.split_at(left.min(bytes.len()));
        if kept {
            keep(content);
        }
        self.state = match left - content.len() {
            0 if then_scan => State::Scan,
            0 => State::Marker,
            left => State::Segment {
                left,
                kept,
                then_scan,
            },
        };
        content.len()
    }

    fn scan(&mut self, bytes: &[u8], keep: Keep<'_>) -> usize {
        let Some(end) = bytes.iter().position(|byte| *byte == 0xFF) else {
            keep(bytes);
            return bytes.len();
        };
        keep(bytes.split_at(end).0);
        self.state = State::ScanCode;
        end + 1
    }

    fn byte(&mut self, state: State, byte: u8, keep: Keep<'_>) -> Result<State, &'static str> {
        match (state, byte) {
            (State::Start, 0xFF) => Ok(State::StartCode),
            (State::StartCode, SOI) => {
                keep(&[0xFF, SOI]);
                Ok(State::Marker)
            }
            (State::Start | State::StartCode, _) => Err("the file does not begin as a JPEG"),
            (State::Marker, 0xFF) => Ok(State::Code),
            (State::Marker, _) => Err("expected a marker"),
            // Any number of 0xFF may stand before a marker. They carry nothing and tools drop them.
            (State::Code | State::ScanCode, 0xFF) => Ok(state),
            (State::ScanCode, 0x00 | 0xD0..=0xD7) => {
                keep(&[0xFF, byte]);
                Ok(State::Scan)
            }
            (State::Length { marker }, high) => Ok(State::LengthEnd { marker, high }),
            (State::LengthEnd { marker, high }, low) => self.length(marker, [high, low], keep),
            (_, marker) => self.marker(marker, keep),
        }
    }

    fn marker(&mut self, marker: u8, keep: Keep<'_>) -> Result<State, &'static str> {
        match marker {
            EOI if !self.scans => Err("the image ends without a scan"),
            EOI => {
                keep(&[0xFF, EOI]);
                Ok(State::End)
            }
            TEM => {
                keep(&[0xFF, TEM]);
                Ok(State::Marker)
            }
            SOI => Err("a second image begins inside the first"),
            0x00..=0xBF => Err("a marker that does not exist"),
            0xD0..=0xD7 => Err("a restart marker outside a scan"),
            _ => Ok(State::Length { marker }),
        }
    }

    fn length(
        &mut self,
        marker: u8,
        length: [u8; 2],
        keep: Keep<'_>,
    ) -> Result<State, &'static str> {
        let content = usize::from(u16::from_be_bytes(length));
        let left = content
            .checked_sub(2)
            .ok_or("a segment shorter than its own length field")?;
        let kept = !matches!(marker, 0xE0..=0xEF | COM);
        if kept {
            let [high, low] = length;
            keep(&[0xFF, marker, high, low]);
        }
        self.scans |= marker == SOS;
        Ok(match (left, marker) {
            (0, SOS) => State::Scan,
            (0, _) => State::Marker,
            _ => State::Segment {
                left,
                kept,
                then_scan: marker == SOS,
            },
        })
    }
}

#[cfg(test)]
mod tests;

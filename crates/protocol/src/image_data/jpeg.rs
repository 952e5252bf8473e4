//! The structure of a JPEG file, as far as it takes to know which bytes are metadata. Nothing is
//! decoded.

use super::{Keep, Step};

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const COM: u8 = 0xFE;
const APP0: u8 = 0xE0;
const APP2: u8 = 0xE2;
const APP14: u8 = 0xEE;
/// The only marker outside scans, besides the start and the end, that has no length: for arithmetic
/// coders' private use.
const TEM: u8 = 0x01;

/// How much of a segment's content is looked at before it is kept or dropped: enough for
/// `ICC_PROFILE`, for Adobe's colour transform (byte 11) and for the names of the first three
/// components of a frame (bytes 6, 9 and 12).
const HEAD: usize = 13;

#[derive(Debug, Default)]
pub(super) struct Jpeg {
    state: State,
    head: [u8; HEAD],
    colours: Colours,
    scans: bool,
    trailing: u64,
}

/// What decides how a decoder turns three components into colours.
#[derive(Debug, Default, Clone, Copy)]
struct Colours {
    has_jfif: bool,
    adobe: Option<Transform>,
    is_named_rgb: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transform {
    /// The components are red, green and blue.
    None,
    Other,
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
    /// Inside the part of a segment that says whether it is metadata.
    Head {
        marker: u8,
        length: [u8; 2],
        have: usize,
    },
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
                let Some(byte) = bytes.first() else {
                    return Ok(0);
                };
                self.state = self.byte(state, *byte, keep)?;
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
            (
                State::Head {
                    marker,
                    length,
                    have,
                },
                byte,
            ) => {
                if let Some(place) = self.head.get_mut(have) {
                    *place = byte;
                }
                self.head(marker, length, have + 1, keep)
            }
            (_, marker) => self.marker(marker, keep),
        }
    }

    fn marker(&mut self, marker: u8, keep: Keep<'_>) -> Result<State, &'static str> {
        match marker {
            EOI if !self.scans => Err("the image ends without a scan"),
            EOI if self.colours.depend_on_metadata() => {
                Err("its JFIF header and what else it says about its colours do not agree")
            }
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
        if u16::from_be_bytes(length) < 2 {
            return Err("a segment shorter than its own length field");
        }
        self.scans |= marker == SOS;
        self.head(marker, length, 0, keep)
    }

    /// With `have` bytes of a segment's content read: asks for more of them, or keeps or drops the
    /// segment.
    fn head(
        &mut self,
        marker: u8,
        length: [u8; 2],
        have: usize,
        keep: Keep<'_>,
    ) -> Result<State, &'static str> {
        let content = usize::from(u16::from_be_bytes(length)).saturating_sub(2);
        if is_decided_by_content(marker) && have < content.min(HEAD) {
            return Ok(State::Head {
                marker,
                length,
                have,
            });
        }
        let (head, _) = self.head.split_at(have.min(HEAD));
        self.colours.note(marker, head);
        let kept = is_kept(marker, head);
        if kept {
            let [high, low] = length;
            keep(&[0xFF, marker, high, low]);
            keep(head);
        }
        Ok(match (content - have, marker) {
            (0, SOS) => State::Scan,
            (0, _) => State::Marker,
            (left, _) => State::Segment {
                left,
                kept,
                then_scan: marker == SOS,
            },
        })
    }
}

impl Colours {
    fn note(&mut self, marker: u8, head: &[u8]) {
        match marker {
            APP0 => self.has_jfif |= head.starts_with(b"JFIF\0"),
            // A frame's components: their number in byte 5, then three bytes for each, the name
            // first.
            _ if is_frame(marker) => {
                let named = [6, 9, 12].map(|at| head.get(at).copied());
                self.is_named_rgb =
                    head.get(5) == Some(&3) && named == [b'R', b'G', b'B'].map(Some);
            }
            APP14 if is_kept(marker, head) => {
                self.adobe = Some(match head.get(11) {
                    Some(0) => Transform::None,
                    _ => Transform::Other,
                });
            }
            _ => {}
        }
    }

    /// Whether a JFIF header, which is metadata and can be added or removed, decides about the
    /// colours: decoders take the components for YCbCr where there is one, and without it for what
    /// Adobe's mark or the components' names say.
    fn depend_on_metadata(self) -> bool {
        let is_rgb = match self.adobe {
            Some(transform) => transform == Transform::None,
            None => self.is_named_rgb,
        };
        self.has_jfif && is_rgb
    }
}

const fn is_decided_by_content(marker: u8) -> bool {
    matches!(marker, APP0 | APP2 | APP14) || is_frame(marker)
}

const fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF)
}

/// Whether a segment counts: everything but metadata, and of that what changes how the pixels look.
fn is_kept(marker: u8, head: &[u8]) -> bool {
    match marker {
        APP2 => head.starts_with(b"ICC_PROFILE\0"),
        APP14 => head.starts_with(b"Adobe"),
        0xE0..=0xEF | COM => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests;

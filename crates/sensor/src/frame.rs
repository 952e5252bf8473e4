//! One frame as the sensor delivered it, and the bytes its digest is computed over.
//!
//! Sensors hand over 12-bit samples in rows that are padded to please the memory controller, packed
//! or unpacked. The digest must not depend on any of that: the canonical bytes are the rows in the
//! packing of MIPI CSI-2 (two samples in three bytes: the high eight bits of each, then both low
//! nibbles), one after another, without padding and with nothing before.

use birthmark_protocol::Digest;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// How many bits one sample has.
pub const BIT_DEPTH: u8 = 12;
/// The largest sample.
pub const WHITE_LEVEL: u16 = 4095;
/// No sensor we know is larger on either side; more is a corrupt header, not a picture.
const MAX_SIDE: u32 = 32_768;

/// Which colour the filter lets through where: the first two of row 0, then the first two of row 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the description")]
pub enum CfaOrder {
    Rggb,
    Bggr,
    Grbg,
    Gbrg,
}

impl CfaOrder {
    /// Colours of the two-by-two pattern, row by row: 0 red, 1 green, 2 blue. DNG uses the same
    /// numbers.
    pub const fn pattern(self) -> [u8; 4] {
        match self {
            Self::Rggb => [0, 1, 1, 2],
            Self::Bggr => [2, 1, 1, 0],
            Self::Grbg => [1, 0, 2, 1],
            Self::Gbrg => [1, 2, 0, 1],
        }
    }

    /// The order that has this pattern.
    pub fn from_pattern(pattern: [u8; 4]) -> Option<Self> {
        [Self::Rggb, Self::Bggr, Self::Grbg, Self::Gbrg]
            .into_iter()
            .find(|order| order.pattern() == pattern)
    }

    /// Whether row 0 is one of those with red samples, and whether column 0 is.
    pub const fn red_phase(self) -> (bool, bool) {
        match self {
            Self::Rggb => (true, true),
            Self::Bggr => (false, false),
            Self::Grbg => (true, false),
            Self::Gbrg => (false, true),
        }
    }
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The filter pattern repeats every two samples, and so does the packing.
    #[error(
        "a frame of {width}x{height} samples is not possible: both sides must be even and between 2 and {MAX_SIDE}"
    )]
    Size {
        /// Samples in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A row does not fit into its stride.
    #[error("stride {stride} is less than the {needed} bytes of one row")]
    Stride {
        /// Bytes from the start of one row to the next, as given.
        stride: usize,
        /// Bytes a row has.
        needed: usize,
    },
    /// The buffer ends too early.
    #[error("frame buffer has {got} bytes, {needed} are needed")]
    Short {
        /// Bytes given.
        got: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// A sample has more than 12 bits.
    #[error("sample {value} in row {row} does not fit 12 bits")]
    Sample {
        /// The sample.
        value: u16,
        /// Where it is.
        row: usize,
    },
}

/// One frame of 12-bit samples behind a colour filter, in packed rows that may be padded.
#[derive(Clone, PartialEq, Eq)]
pub struct RawFrame {
    width: usize,
    height: usize,
    stride: usize,
    order: CfaOrder,
    packed: Vec<u8>,
}

impl std::fmt::Debug for RawFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            width,
            height,
            stride,
            order,
            ..
        } = self;
        write!(f, "RawFrame({width}x{height}, stride {stride}, {order:?})")
    }
}

impl RawFrame {
    /// Takes rows that already are packed, `stride` bytes apart.
    pub fn from_packed(
        width: u32,
        height: u32,
        stride: usize,
        order: CfaOrder,
        packed: Vec<u8>,
    ) -> Result<Self, FrameError> {
        let (columns, rows) = checked_size(width, height)?;
        check_buffer(rows, stride, columns / 2 * 3, packed.len())?;
        Ok(Self {
            width: columns,
            height: rows,
            stride,
            order,
            packed,
        })
    }

    /// Packs rows of little-endian 16-bit samples, `stride` bytes apart.
    pub fn from_unpacked(
        width: u32,
        height: u32,
        stride: usize,
        order: CfaOrder,
        bytes: &[u8],
    ) -> Result<Self, FrameError> {
        let (columns, rows) = checked_size(width, height)?;
        check_buffer(rows, stride, columns * 2, bytes.len())?;
        let mut packed = vec![0; rows * (columns / 2 * 3)];
        let source = bytes.chunks(stride).take(rows);
        for (row, (from, to)) in source
            .zip(packed.chunks_exact_mut(columns / 2 * 3))
            .enumerate()
        {
            let samples = from
                .as_chunks()
                .0
                .iter()
                .take(columns)
                .map(|sample| u16::from_le_bytes(*sample));
            if let Some(value) = samples.clone().find(|sample| *sample > WHITE_LEVEL) {
                return Err(FrameError::Sample { value, row });
            }
            pack_row(samples, to);
        }
        Ok(Self {
            width: columns,
            height: rows,
            stride: columns / 2 * 3,
            order,
            packed,
        })
    }

    /// Packs samples that stand one after another.
    pub fn from_samples(
        width: u32,
        height: u32,
        order: CfaOrder,
        samples: &[u16],
    ) -> Result<Self, FrameError> {
        let bytes: Vec<u8> = samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        Self::from_unpacked(width, height, width as usize * 2, order, &bytes)
    }

    /// Samples in a row.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub const fn height(&self) -> usize {
        self.height
    }

    /// Bytes from the start of one row to the next.
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// Where the colours are.
    pub const fn order(&self) -> CfaOrder {
        self.order
    }

    /// Bytes of one row without its padding.
    pub const fn row_bytes(&self) -> usize {
        self.width / 2 * 3
    }

    /// The canonical bytes, row by row: packed and without padding.
    #[expect(
        clippy::indexing_slicing,
        reason = "`check_buffer` has seen that every row is as long as its samples, the last one too"
    )]
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let bytes = self.row_bytes();
        self.packed
            .chunks(self.stride)
            .take(self.height)
            .map(move |row| &row[..bytes])
    }

    /// One row of the canonical bytes.
    pub fn row(&self, y: usize) -> Option<&[u8]> {
        if y >= self.height {
            return None;
        }
        let start = y * self.stride;
        self.packed.get(start..start + self.row_bytes())
    }

    /// SHA-256 over the canonical bytes.
    pub fn digest(&self) -> Digest {
        let mut hasher = sha2::Sha256::new();
        for row in self.rows() {
            hasher.update(row);
        }
        Digest::from_bytes(hasher.finalize().into())
    }

    /// All samples as 16-bit numbers, row by row.
    pub fn samples(&self) -> Vec<u16> {
        let mut samples = vec![0; self.width * self.height];
        for (row, out) in self.rows().zip(samples.chunks_exact_mut(self.width)) {
            unpack_row(row, out);
        }
        samples
    }
}

/// Reads the samples of one packed row.
pub fn unpack_row(packed: &[u8], samples: &mut [u16]) {
    for (bytes, pair) in packed.chunks_exact(3).zip(samples.chunks_exact_mut(2)) {
        if let ([high_a, high_b, low], [a, b]) = (bytes, pair) {
            *a = u16::from(*high_a) << 4 | u16::from(*low & 15);
            *b = u16::from(*high_b) << 4 | u16::from(*low >> 4);
        }
    }
}

/// Packs one row; samples beyond 12 bits must have been refused before.
pub fn pack_row(mut samples: impl Iterator<Item = u16>, packed: &mut [u8]) {
    for bytes in packed.chunks_exact_mut(3) {
        let (Some(a), Some(b)) = (samples.next(), samples.next()) else {
            return;
        };
        if let [high_a, high_b, low] = bytes {
            *high_a = (a >> 4) as u8;
            *high_b = (b >> 4) as u8;
            *low = (a & 15) as u8 | ((b & 15) as u8) << 4;
        }
    }
}

/// Whether a frame can have this size: an even number of samples on both sides, and not absurdly
/// many.
pub fn check_size(width: u32, height: u32) -> Result<(), FrameError> {
    checked_size(width, height).map(|_| ())
}

fn checked_size(width: u32, height: u32) -> Result<(usize, usize), FrameError> {
    let fits = |side: u32| (2..=MAX_SIDE).contains(&side) && side.is_multiple_of(2);
    if !fits(width) || !fits(height) {
        return Err(FrameError::Size { width, height });
    }
    Ok((width as usize, height as usize))
}

/// The last row need not be padded.
fn check_buffer(
    rows: usize,
    stride: usize,
    row_bytes: usize,
    got: usize,
) -> Result<(), FrameError> {
    if stride < row_bytes {
        return Err(FrameError::Stride {
            stride,
            needed: row_bytes,
        });
    }
    let needed = stride.saturating_mul(rows - 1).saturating_add(row_bytes);
    if got < needed {
        return Err(FrameError::Short { got, needed });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn padded(frame: &RawFrame, padding: usize, fill: u8) -> RawFrame {
        let stride = frame.row_bytes() + padding;
        let mut bytes = Vec::new();
        for row in frame.rows() {
            bytes.extend_from_slice(row);
            bytes.resize(bytes.len() + padding, fill);
        }
        RawFrame::from_packed(
            frame.width as u32,
            frame.height as u32,
            stride,
            frame.order,
            bytes,
        )
        .unwrap()
    }

    proptest! {
        #[test]
        fn packing_and_unpacking_are_inverse_and_padding_never_counts(
            samples in prop::collection::vec(0u16..4096, 24), padding in 0usize..40, fill: u8,
        ) {
            let frame = RawFrame::from_samples(6, 4, CfaOrder::Rggb, &samples).unwrap();
            prop_assert_eq!(frame.samples(), samples);
            let other = padded(&frame, padding, fill);
            prop_assert_eq!(other.digest(), frame.digest());
            prop_assert_eq!(other.samples(), frame.samples());
        }

        #[test]
        fn an_unpacked_stream_gives_the_digest_of_the_packed_one(samples in prop::collection::vec(0u16..4096, 16), padding in 0usize..9) {
            let mut bytes = Vec::new();
            for row in samples.chunks(4) {
                bytes.extend(row.iter().flat_map(|sample| sample.to_le_bytes()));
                bytes.resize(bytes.len() + padding, 0xff);
            }
            let unpacked = RawFrame::from_unpacked(4, 4, 8 + padding, CfaOrder::Gbrg, &bytes).unwrap();
            let packed = RawFrame::from_samples(4, 4, CfaOrder::Gbrg, &samples).unwrap();
            prop_assert_eq!(unpacked.digest(), packed.digest());
        }
    }

    #[test]
    fn the_packing_is_the_one_of_csi2() {
        let frame =
            RawFrame::from_samples(2, 2, CfaOrder::Rggb, &[0xabc, 0x123, 0, 0xfff]).unwrap();
        let rows: Vec<_> = frame.rows().collect();
        assert_eq!(rows, [[0xab, 0x12, 0x3c], [0x00, 0xff, 0xf0]]);
        assert_eq!(
            frame.digest(),
            Digest::of(&[0xab, 0x12, 0x3c, 0x00, 0xff, 0xf0])
        );
    }

    #[test]
    fn a_wrong_size_is_refused_with_its_numbers() {
        let odd = RawFrame::from_packed(3, 2, 6, CfaOrder::Rggb, vec![0; 12]).unwrap_err();
        assert!(odd.to_string().starts_with("a frame of 3x2"));
        let narrow = RawFrame::from_packed(4, 2, 5, CfaOrder::Rggb, vec![0; 12]).unwrap_err();
        assert_eq!(
            narrow,
            FrameError::Stride {
                stride: 5,
                needed: 6
            }
        );
        let short = RawFrame::from_packed(4, 2, 8, CfaOrder::Rggb, vec![0; 13]).unwrap_err();
        assert_eq!(
            short.to_string(),
            "frame buffer has 13 bytes, 14 are needed"
        );
        assert!(RawFrame::from_packed(4, 2, 8, CfaOrder::Rggb, vec![0; 14]).is_ok());
        assert!(RawFrame::from_packed(65_536, 2, 98_304, CfaOrder::Rggb, vec![]).is_err());
        assert!(RawFrame::from_packed(4, 4, usize::MAX, CfaOrder::Rggb, vec![]).is_err());
    }

    #[test]
    fn a_sample_of_more_than_twelve_bits_is_refused() {
        let error = RawFrame::from_samples(2, 2, CfaOrder::Rggb, &[0, 0, 4096, 0]).unwrap_err();
        assert_eq!(
            error,
            FrameError::Sample {
                value: 4096,
                row: 1
            }
        );
    }

    #[test]
    fn the_red_phase_agrees_with_the_pattern() {
        for order in [
            CfaOrder::Rggb,
            CfaOrder::Bggr,
            CfaOrder::Grbg,
            CfaOrder::Gbrg,
        ] {
            let red = order
                .pattern()
                .iter()
                .position(|colour| *colour == 0)
                .unwrap();
            assert_eq!(order.red_phase(), (red < 2, red % 2 == 0));
            assert_eq!(CfaOrder::from_pattern(order.pattern()), Some(order));
        }
        assert_eq!(CfaOrder::from_pattern([0, 0, 1, 2]), None);
    }

    #[test]
    fn rows_and_single_rows_are_the_same_bytes_and_there_is_none_beyond_the_last() {
        let samples: Vec<u16> = (0..24).collect();
        let frame = RawFrame::from_samples(6, 4, CfaOrder::Bggr, &samples).unwrap();
        let frame = padded(&frame, 7, 0xee);
        let rows: Vec<&[u8]> = frame.rows().collect();
        assert_eq!(rows.len(), 4);
        for (y, row) in rows.iter().enumerate() {
            assert_eq!(row.len(), frame.row_bytes());
            assert_eq!(frame.row(y), Some(*row));
        }
        assert_eq!(frame.row(4), None);
        assert_eq!(format!("{frame:?}"), "RawFrame(6x4, stride 16, Bggr)");
    }

    #[test]
    fn the_last_row_may_lack_its_padding_but_not_a_sample() {
        let stride = 8;
        let whole = stride + 6;
        let frame =
            |length: usize| RawFrame::from_packed(4, 2, stride, CfaOrder::Rggb, vec![7; length]);
        assert_eq!(frame(whole).unwrap().rows().last(), Some(&[7; 6][..]));
        let got = whole - 1;
        assert_eq!(
            frame(got).unwrap_err(),
            FrameError::Short { got, needed: whole }
        );
    }
}

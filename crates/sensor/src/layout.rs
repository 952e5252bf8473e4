//! How drivers lay out 12-bit Bayer samples in memory, by the four letters that V4L2 and libcamera
//! share.

use crate::frame::{CfaOrder, FrameError, RawFrame};

/// One layout of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The four letters that name it.
    pub fourcc: [u8; 4],
    order: CfaOrder,
    packed: bool,
}

impl Layout {
    /// Every layout we read. Packed ones come first: they are canonical already and cost no
    /// packing.
    pub const ALL: [Self; 8] = [
        Self::packed(*b"pRCC", CfaOrder::Rggb),
        Self::packed(*b"pBCC", CfaOrder::Bggr),
        Self::packed(*b"pgCC", CfaOrder::Grbg),
        Self::packed(*b"pGCC", CfaOrder::Gbrg),
        Self::unpacked(*b"RG12", CfaOrder::Rggb),
        Self::unpacked(*b"BG12", CfaOrder::Bggr),
        Self::unpacked(*b"BA12", CfaOrder::Grbg),
        Self::unpacked(*b"GB12", CfaOrder::Gbrg),
    ];

    const fn packed(fourcc: [u8; 4], order: CfaOrder) -> Self {
        Self {
            fourcc,
            order,
            packed: true,
        }
    }

    const fn unpacked(fourcc: [u8; 4], order: CfaOrder) -> Self {
        Self {
            fourcc,
            order,
            packed: false,
        }
    }

    /// The layout with these letters, if we read it.
    pub fn named(fourcc: [u8; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.fourcc == fourcc)
    }

    /// The frame in a driver's buffer with rows `stride` bytes apart.
    pub fn frame(
        self,
        (width, height): (u32, u32),
        stride: usize,
        bytes: Vec<u8>,
    ) -> Result<RawFrame, FrameError> {
        match self.packed {
            true => RawFrame::from_packed(width, height, stride, self.order, bytes),
            false => RawFrame::from_unpacked(width, height, stride, self.order, &bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_and_unpacked_buffers_of_one_scene_have_one_digest_in_every_order() {
        let samples: [u16; 4] = [0xabc, 0x123, 0x000, 0xfff];
        let unpacked: Vec<u8> = samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        let packed = vec![0xab, 0x12, 0x3c, 0x00, 0xff, 0xf0];
        for (one, other) in [
            (b"pRCC", b"RG12"),
            (b"pBCC", b"BG12"),
            (b"pgCC", b"BA12"),
            (b"pGCC", b"GB12"),
        ] {
            let first = Layout::named(*one).unwrap();
            let second = Layout::named(*other).unwrap();
            let first = first.frame((2, 2), 3, packed.clone()).unwrap();
            let second = second.frame((2, 2), 4, unpacked.clone()).unwrap();
            assert_eq!(first.digest(), second.digest());
            assert_eq!(first.order(), second.order());
        }
    }

    #[test]
    fn ten_bits_and_pictures_are_not_taken_for_twelve_bits() {
        assert_eq!(Layout::named(*b"RG10"), None);
        assert_eq!(Layout::named(*b"YUYV"), None);
    }
}

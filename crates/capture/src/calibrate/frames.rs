//! Adding up many frames of the same thing, in two halves: what both halves agree on is the sensor,
//! the rest is noise.

use birthmark_sensor::{RawFrame, unpack_row};

/// Sixteenths of a count: the largest sample still fits 16 bits.
pub(super) const STEPS: u32 = 16;

/// The sums of frames so far.
pub(super) struct Sums {
    width: usize,
    halves: [Vec<u32>; 2],
    frames: [u32; 2],
}

impl Sums {
    pub(super) fn new(width: usize, height: usize) -> Self {
        let empty = vec![0; width * height];
        Self {
            width,
            halves: [empty.clone(), empty],
            frames: [0; 2],
        }
    }

    /// Adds a frame; the halves take turns.
    pub(super) fn add(&mut self, frame: &RawFrame) {
        let [even, odd] = &mut self.halves;
        let [even_frames, odd_frames] = &mut self.frames;
        let (sums, frames) = if *even_frames <= *odd_frames {
            (even, even_frames)
        } else {
            (odd, odd_frames)
        };
        *frames += 1;
        let mut samples = vec![0; self.width];
        for (row, sums) in frame.rows().zip(sums.chunks_exact_mut(self.width.max(1))) {
            unpack_row(row, &mut samples);
            for (sum, sample) in sums.iter_mut().zip(&samples) {
                *sum += u32::from(*sample);
            }
        }
    }

    /// The means, in sixteenths of a count. Both halves need a frame.
    pub(super) fn means(self) -> Means {
        let [even, odd] = self.halves;
        let [even_frames, odd_frames] = self.frames;
        let mean = |sums: Vec<u32>, frames: u32| -> Vec<u16> {
            let frames = u64::from(frames.max(1));
            let rounded = |sum: u32| (u64::from(sum) * u64::from(STEPS) + frames / 2) / frames;
            sums.into_iter()
                // A mean of 12-bit samples, in sixteenths of a count, has 16 bits.
                .map(|sum| rounded(sum) as u16)
                .collect()
        };
        Means {
            width: self.width,
            even: mean(even, even_frames),
            odd: mean(odd, odd_frames),
            frames: even_frames + odd_frames,
        }
    }
}

/// The means of both halves.
pub(super) struct Means {
    pub(super) width: usize,
    pub(super) even: Vec<u16>,
    pub(super) odd: Vec<u16>,
    pub(super) frames: u32,
}

impl Means {
    pub(super) fn height(&self) -> usize {
        self.even.len() / self.width.max(1)
    }

    /// The mean of all frames, in counts.
    pub(super) fn counts(&self) -> Vec<f32> {
        let scale = 1.0 / (2 * STEPS) as f32;
        self.even
            .iter()
            .zip(&self.odd)
            .map(|(a, b)| (u32::from(*a) + u32::from(*b)) as f32 * scale)
            .collect()
    }

    /// The mean of one half, in counts.
    pub(super) fn half(values: &[u16]) -> Vec<f32> {
        values
            .iter()
            .map(|value| f32::from(*value) / STEPS as f32)
            .collect()
    }
}

/// How bright a frame is.
pub(super) struct Brightness {
    /// Mean of the brightest colour as a share of what fits between black and white.
    pub(super) share: f32,
    /// Share of full samples in the colour that has most of them.
    pub(super) clipped: f32,
}

/// Looks at every colour of the filter by itself.
pub(super) fn brightness(frame: &RawFrame, black: u16) -> Brightness {
    let (mut sums, mut full) = ([0u64; 4], [0u64; 4]);
    let mut samples = vec![0; frame.width()];
    for (y, row) in frame.rows().enumerate() {
        unpack_row(row, &mut samples);
        for (x, sample) in samples.iter().enumerate() {
            let plane = (y % 2) * 2 + x % 2;
            if let (Some(sum), Some(count)) = (sums.get_mut(plane), full.get_mut(plane)) {
                *sum += u64::from(*sample);
                *count += u64::from(*sample >= birthmark_sensor::WHITE_LEVEL);
            }
        }
    }
    let pixels = (frame.width() * frame.height() / 4).max(1) as f32;
    let largest = |values: [u64; 4]| values.into_iter().fold(0, u64::max) as f32 / pixels;
    let range = f32::from(birthmark_sensor::WHITE_LEVEL.saturating_sub(black).max(1));
    Brightness {
        share: (largest(sums) - f32::from(black)).max(0.0) / range,
        clipped: largest(full),
    }
}

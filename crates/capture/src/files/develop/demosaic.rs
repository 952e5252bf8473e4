//! Fills in the two colours that each sample lacks, and turns them into sRGB.
//!
//! Missing colours are the mean of the nearest samples that have them. The arithmetic is on whole
//! numbers, and white balance and the colour matrix are one matrix in 1/4096 steps, so that a
//! camera and a laptop develop the same bytes.

use birthmark_sensor::colour::encode_srgb;
use birthmark_sensor::{Exposure, Picture, RawFrame, WHITE_LEVEL, unpack_row};

/// Develops `frame`, with its rows shared among `threads`.
pub fn demosaic(frame: &RawFrame, exposure: &Exposure, threads: usize) -> Picture {
    let (width, height) = (frame.width(), frame.height());
    let recipe = Recipe::new(exposure);
    let mut rgb = vec![0; width * height * 3];
    // An even number of rows per band keeps the colours of its first row those of row 0.
    let band_rows = height.div_ceil(threads.max(1)).next_multiple_of(2);
    std::thread::scope(|scope| {
        for (index, band) in rgb.chunks_mut(band_rows * width * 3).enumerate() {
            let recipe = &recipe;
            scope.spawn(move || develop_band(frame, recipe, index * band_rows, band));
        }
    });
    Picture { width, height, rgb }
}

fn develop_band(frame: &RawFrame, recipe: &Recipe, first: usize, band: &mut [u8]) {
    let mut window = Window::starting_at(frame, first);
    for (index, out) in band.chunks_exact_mut(frame.width() * 3).enumerate() {
        let y = first + index;
        window.advance(frame, y);
        let (red_row, red_column) = frame.order().red_phase();
        let has_red = y.is_multiple_of(2) == red_row;
        // Green stands beside the row's own colour: first or second in each pair.
        let colour_first = has_red == red_column;
        develop_row(&window, recipe, has_red, colour_first, out);
    }
}

/// Three rows of samples, each with one more on both sides, mirrored at the edges so that colours
/// keep their places.
struct Window {
    above: Vec<u16>,
    here: Vec<u16>,
    below: Vec<u16>,
}

impl Window {
    fn starting_at(frame: &RawFrame, y: usize) -> Self {
        let mut window = Self {
            above: vec![0; frame.width() + 2],
            here: vec![0; frame.width() + 2],
            below: vec![0; frame.width() + 2],
        };
        let above = if y == 0 { 1 } else { y - 1 };
        // `advance` will move these two up.
        load(frame, above, &mut window.here);
        load(frame, y, &mut window.below);
        window
    }

    fn advance(&mut self, frame: &RawFrame, y: usize) {
        std::mem::swap(&mut self.above, &mut self.here);
        std::mem::swap(&mut self.here, &mut self.below);
        let below = if y + 1 < frame.height() { y + 1 } else { y - 1 };
        load(frame, below, &mut self.below);
    }
}

fn load(frame: &RawFrame, y: usize, out: &mut [u16]) {
    let (Some(packed), [first, samples @ .., last]) = (frame.row(y), out) else {
        return;
    };
    unpack_row(packed, samples);
    if let ([_, second, ..], [.., before_last, _]) = (&*samples, &*samples) {
        (*first, *last) = (*second, *before_last);
    }
}

/// Develops two points at a time: one has the row's own colour (red or blue), the other green.
fn develop_row(
    window: &Window,
    recipe: &Recipe,
    has_red: bool,
    colour_first: bool,
    out: &mut [u8],
) {
    let above = window.above.array_windows::<4>().step_by(2);
    let here = window.here.array_windows::<4>().step_by(2);
    let below = window.below.array_windows::<4>().step_by(2);
    for (((above, here), below), out) in above.zip(here).zip(below).zip(out.as_chunks_mut::<6>().0)
    {
        let points = if colour_first {
            colour_then_green(above, here, below)
        } else {
            green_then_colour(above, here, below)
        };
        let [[own, green, other], [next_own, next_green, next_other]] = points;
        let [r, g, b, next_r, next_g, next_b] = out;
        if has_red {
            [*r, *g, *b] = recipe.finish(own, green, other);
            [*next_r, *next_g, *next_b] = recipe.finish(next_own, next_green, next_other);
        } else {
            [*r, *g, *b] = recipe.finish(other, green, own);
            [*next_r, *next_g, *next_b] = recipe.finish(next_other, next_green, next_own);
        }
    }
}

/// The row's own colour, green, and the third colour, for the second and the third of four columns.
fn colour_then_green(above: &[u16; 4], here: &[u16; 4], below: &[u16; 4]) -> [[i32; 3]; 2] {
    let [a0, a1, a2, _] = above.map(i32::from);
    let [h0, h1, h2, h3] = here.map(i32::from);
    let [b0, b1, b2, _] = below.map(i32::from);
    [
        [h1, (h0 + h2 + a1 + b1) >> 2, (a0 + a2 + b0 + b2) >> 2],
        [(h1 + h3) >> 1, h2, (a2 + b2) >> 1],
    ]
}

/// The same where green comes first.
fn green_then_colour(above: &[u16; 4], here: &[u16; 4], below: &[u16; 4]) -> [[i32; 3]; 2] {
    let [_, a1, a2, a3] = above.map(i32::from);
    let [h0, h1, h2, h3] = here.map(i32::from);
    let [_, b1, b2, b3] = below.map(i32::from);
    [
        [(h0 + h2) >> 1, h1, (a1 + b1) >> 1],
        [h2, (h1 + h3 + a2 + b2) >> 2, (a1 + a3 + b1 + b3) >> 2],
    ]
}

const UNIT: f32 = 4096.0;

/// What turns three samples into three bytes.
struct Recipe {
    black: i32,
    range: i32,
    gains: [i32; 2],
    matrix: [[i32; 3]; 3],
    curve: Vec<u8>,
}

impl Recipe {
    fn new(exposure: &Exposure) -> Self {
        let range = WHITE_LEVEL.saturating_sub(exposure.black_level).max(1);
        let steps = |value: f32| (value * UNIT).round() as i32;
        let spread = f32::from(WHITE_LEVEL) / f32::from(range);
        Self {
            black: i32::from(exposure.black_level),
            range: i32::from(range),
            gains: exposure
                .colour_gains
                .map(|gain| steps(gain.clamp(0.1, 32.0))),
            matrix: exposure
                .colour_matrix
                .map(|row| row.map(|value| steps(value.clamp(-8.0, 8.0) * spread))),
            curve: (0..=WHITE_LEVEL)
                .map(|level| tone(f32::from(level) / f32::from(WHITE_LEVEL)))
                .collect(),
        }
    }

    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "the curve has a byte for every level up to the one that levels are cut at"
    )]
    fn finish(&self, red: i32, green: i32, blue: i32) -> [u8; 3] {
        let [red_gain, blue_gain] = self.gains;
        // A sample that is full says nothing beyond white: cut balanced colours there, or bright
        // clouds turn pink.
        let red = (((red - self.black) * red_gain) >> 12).min(self.range);
        let green = (green - self.black).min(self.range);
        let blue = (((blue - self.black) * blue_gain) >> 12).min(self.range);
        self.matrix.map(|[r, g, b]| {
            let level = ((r * red + g * green + b * blue) >> 12).clamp(0, i32::from(WHITE_LEVEL));
            self.curve[level as usize]
        })
    }
}

/// The sRGB curve after a gentle lift of contrast.
fn tone(linear: f32) -> u8 {
    let encoded = encode_srgb(linear);
    let contrast = encoded * encoded * (3.0 - 2.0 * encoded);
    ((encoded + (contrast - encoded) * 0.30) * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use birthmark_sensor::{CfaOrder, ClockQuality, Moment};

    use super::*;

    fn exposure() -> Exposure {
        Exposure {
            moment: Moment {
                unix_ns: 0,
                clock: ClockQuality::Unset,
            },
            exposure_us: 1,
            analogue_gain: 1.0,
            colour_gains: [2.0, 1.5],
            colour_matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            colour_temperature: None,
            black_level: 256,
            sensor_temperature: None,
            make: String::new(),
            model: String::new(),
        }
    }

    fn even(order: CfaOrder, colours: [u16; 3]) -> RawFrame {
        let pattern = order.pattern();
        let samples: Vec<u16> = (0..8 * 6)
            .map(|n| colours[usize::from(pattern[(n / 8 % 2) * 2 + n % 8 % 2])])
            .collect();
        RawFrame::from_samples(8, 6, order, &samples).unwrap()
    }

    #[test]
    fn an_even_surface_stays_even_up_to_the_edges_in_every_order() {
        let expected = demosaic(&even(CfaOrder::Rggb, [900, 1500, 700]), &exposure(), 1);
        let point = &expected.rgb[..3];
        assert!(expected.rgb.chunks(3).all(|other| other == point));
        for order in [CfaOrder::Bggr, CfaOrder::Grbg, CfaOrder::Gbrg] {
            assert_eq!(
                demosaic(&even(order, [900, 1500, 700]), &exposure(), 1),
                expected,
                "{order:?}"
            );
        }
    }

    #[test]
    fn balanced_grey_is_grey_and_full_is_white_and_black_is_black() {
        let grey = demosaic(
            &even(CfaOrder::Rggb, [256 + 600, 256 + 1200, 256 + 800]),
            &exposure(),
            2,
        )
        .rgb;
        assert!(
            grey.iter().all(|byte| byte.abs_diff(grey[0]) <= 1),
            "{:?}",
            &grey[..3]
        );
        assert!(
            demosaic(&even(CfaOrder::Rggb, [4095; 3]), &exposure(), 2)
                .rgb
                .iter()
                .all(|byte| *byte == 255)
        );
        assert!(
            demosaic(&even(CfaOrder::Rggb, [200; 3]), &exposure(), 2)
                .rgb
                .iter()
                .all(|byte| *byte == 0)
        );
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_byte() {
        let samples: Vec<u16> = (0..64 * 50)
            .map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 20) as u16)
            .collect();
        let frame = RawFrame::from_samples(64, 50, CfaOrder::Gbrg, &samples).unwrap();
        let alone = demosaic(&frame, &exposure(), 1);
        for threads in [0, 2, 3, 7, 100] {
            assert_eq!(demosaic(&frame, &exposure(), threads), alone);
        }
    }
}

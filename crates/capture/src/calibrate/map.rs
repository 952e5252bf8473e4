//! From the means of dark and flat frames to the map of the sensor.
//!
//! Illumination and lens shading change slowly over the picture, pixels do not: per colour, the
//! gain of a pixel is the mean of its neighbourhood divided by its own value. What leaves the range
//! of the file's bytes is a defective pixel.

use birthmark_protocol::nuc::DEFECTIVE;

use super::frames::Means;

/// Half the side of the neighbourhood: 33 by 33 pixels of one colour.
const REACH: usize = 16;
/// Eighths of a count.
const DARK_STEPS: f32 = 8.0;
/// 1024ths.
const GAIN_STEPS: f32 = 1024.0;
/// A dark level this far above the others is a hot pixel.
const HOT: f32 = 16.0;

/// The two planes of a map, and what can be said about them.
pub(super) struct Measured {
    pub(super) dark: Vec<i8>,
    pub(super) gain: Vec<i8>,
    pub(super) quality: Quality,
}

/// How good a map is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quality {
    pub(super) gain_deviation: f64,
    pub(super) dark_deviation: f64,
    pub(super) gain_repeatability: f64,
    pub(super) dark_repeatability: f64,
    pub(super) defective: usize,
}

/// One pixel, measured by all frames and by each half of them.
#[derive(Default, Clone, Copy)]
struct Pixel {
    dark: [f32; 3],
    gain: [f32; 3],
    defective: bool,
}

/// Measures the sensor. Both means must be of the same size.
pub(super) fn measure(dark: &Means, flat: &Means) -> Measured {
    let (width, height) = (dark.width, dark.height());
    let mut pixels = vec![Pixel::default(); width * height];
    let darks = [
        dark.counts(),
        Means::half(&dark.even),
        Means::half(&dark.odd),
    ];
    let flats = [
        flat.counts(),
        Means::half(&flat.even),
        Means::half(&flat.odd),
    ];
    for plane in 0..4 {
        let grid = Plane {
            x: plane % 2,
            y: plane / 2,
            width: width / 2,
            height: height / 2,
            stride: width,
        };
        measure_plane(&grid, &darks, &flats, &mut pixels);
    }
    let quality = Quality::of(&pixels);
    let byte = |pixel: &Pixel, value: f32| {
        if pixel.defective {
            DEFECTIVE
        } else {
            value.round().clamp(-127.0, 127.0) as i8
        }
    };
    let first = |[all, ..]: &[f32; 3]| *all;
    Measured {
        dark: pixels
            .iter()
            .map(|pixel| byte(pixel, first(&pixel.dark) * DARK_STEPS))
            .collect(),
        gain: pixels
            .iter()
            .map(|pixel| byte(pixel, first(&pixel.gain) * GAIN_STEPS))
            .collect(),
        quality,
    }
}

/// The pixels of one colour of the filter.
struct Plane {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
    stride: usize,
}

impl Plane {
    fn index(&self, x: usize, y: usize) -> usize {
        (2 * y + self.y) * self.stride + 2 * x + self.x
    }

    fn values(&self, of: &[f32]) -> Vec<f32> {
        let rows = of.chunks(self.stride).skip(self.y).step_by(2);
        let column = |row: &[f32]| -> Vec<f32> {
            let values = row.iter().skip(self.x).step_by(2);
            values.take(self.width).copied().collect()
        };
        rows.take(self.height).flat_map(column).collect()
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "every list has one value for each pixel of the plane"
)]
fn measure_plane(grid: &Plane, darks: &[Vec<f32>; 3], flats: &[Vec<f32>; 3], pixels: &mut [Pixel]) {
    let darks = darks.each_ref().map(|all| grid.values(all));
    let flats = flats.each_ref().map(|all| grid.values(all));
    let [dark, ..] = &darks;
    let medians = darks.each_ref().map(|values| median(values));
    let [flat, ..] = &flats;
    let light: Vec<f32> = flat
        .iter()
        .zip(dark)
        .map(|(flat, dark)| flat - dark)
        .collect();
    let around = box_means(&light, grid.width, grid.height);
    for (n, around) in around.into_iter().enumerate() {
        let at = |values: &Vec<f32>| values[n];
        let (dark, flat) = (darks.each_ref().map(at), flats.each_ref().map(at));
        if let Some(pixel) = pixels.get_mut(grid.index(n % grid.width, n / grid.width)) {
            *pixel = judge(dark, flat, medians, around);
        }
    }
}

fn judge(dark: [f32; 3], flat: [f32; 3], medians: [f32; 3], around: f32) -> Pixel {
    let [mean_dark, ..] = dark;
    let [mean_flat, ..] = flat;
    let light = mean_flat - mean_dark;
    let ([d0, d1, d2], [m0, m1, m2]) = (dark, medians);
    let dark = [d0 - m0, d1 - m1, d2 - m2];
    // The dark mean of all frames serves both halves: its noise must not pass for agreement, so
    // gains use light alone.
    let gain = flat.map(|flat| around / (flat - mean_dark).max(1.0) - 1.0);
    let ([offset, ..], [share, ..]) = (dark, gain);
    let outside = (offset * DARK_STEPS).abs() > 127.0 || (share * GAIN_STEPS).abs() > 127.0;
    Pixel {
        dark,
        gain,
        defective: outside || offset > HOT || light < 0.5 * around,
    }
}

fn median(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    let middle = sorted.len() / 2;
    if sorted.is_empty() {
        return 0.0;
    }
    *sorted.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// The mean over the neighbourhood of each pixel, as far as it reaches inside the picture.
#[expect(
    clippy::indexing_slicing,
    reason = "there is a value for each pixel, and one line and column more of sums"
)]
fn box_means(values: &[f32], width: usize, height: usize) -> Vec<f32> {
    let line = width + 1;
    let mut integral = vec![0f64; line * (height + 1)];
    for y in 0..height {
        let mut row = 0.0;
        for x in 0..width {
            row += f64::from(values[y * width + x]);
            let above = integral[y * line + x + 1];
            integral[(y + 1) * line + x + 1] = above + row;
        }
    }
    let sum = |x: usize, y: usize| integral[y * line + x];
    let mean = |n: usize| {
        let (x, y) = (n % width, n / width);
        let (left, right) = (x.saturating_sub(REACH), (x + REACH + 1).min(width));
        let (top, bottom) = (y.saturating_sub(REACH), (y + REACH + 1).min(height));
        let total = sum(right, bottom) - sum(left, bottom) - sum(right, top) + sum(left, top);
        (total / ((right - left) * (bottom - top)) as f64) as f32
    };
    (0..width * height).map(mean).collect()
}

impl Quality {
    fn of(pixels: &[Pixel]) -> Self {
        let sound = || pixels.iter().filter(|pixel| !pixel.defective);
        let gains = agreement(sound().map(|pixel| pixel.gain));
        let darks = agreement(sound().map(|pixel| pixel.dark));
        Self {
            gain_deviation: gains.0,
            dark_deviation: darks.0,
            gain_repeatability: gains.1,
            dark_repeatability: darks.1,
            defective: pixels.len() - sound().count(),
        }
    }
}

/// The deviation of the first values, and how well the two others agree: their correlation, raised
/// to what twice as many frames have (Spearman and Brown).
fn agreement(values: impl Iterator<Item = [f32; 3]>) -> (f64, f64) {
    let (mut count, mut sums, mut squares, mut product) = (0f64, [0f64; 3], [0f64; 3], 0f64);
    for value in values {
        let value = value.map(f64::from);
        count += 1.0;
        for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(value) {
            *sum += value;
            *square += value * value;
        }
        let [_, even, odd] = value;
        product += even * odd;
    }
    let count = count.max(1.0);
    let variance = |sum: f64, square: f64| (square / count - (sum / count).powi(2)).max(0.0);
    let ([all, even, odd], [all2, even2, odd2]) = (sums, squares);
    let covariance = product / count - even / count * (odd / count);
    let correlation = covariance
        / (variance(even, even2) * variance(odd, odd2))
            .sqrt()
            .max(f64::MIN_POSITIVE);
    let repeatability = (2.0 * correlation / (1.0 + correlation)).clamp(0.0, 1.0);
    (variance(all, all2).sqrt(), repeatability)
}

#[cfg(test)]
mod tests {
    use birthmark_camera_simulated::Simulated;
    use birthmark_sensor::{FixedExposure, RawSource as _, Subject};

    use super::super::frames::Sums;
    use super::*;

    const SIDE: usize = 160;

    fn means(camera: &mut Simulated, subject: Subject, frames: usize) -> Means {
        camera.before_the_lens(subject);
        let mut sums = Sums::new(SIDE, SIDE);
        for _ in 0..frames {
            sums.add(&camera.capture().unwrap().frame);
        }
        sums.means()
    }

    fn correlation(pairs: &[(f64, f64)]) -> f64 {
        let count = pairs.len() as f64;
        let (a, b) = pairs
            .iter()
            .fold((0.0, 0.0), |(a, b), (x, y)| (a + x / count, b + y / count));
        let sums = pairs.iter().fold((0.0, 0.0, 0.0), |(xy, xx, yy), (x, y)| {
            (
                xy + (x - a) * (y - b),
                xx + (x - a).powi(2),
                yy + (y - b).powi(2),
            )
        });
        sums.0 / (sums.1 * sums.2).sqrt()
    }

    #[test]
    fn the_known_pattern_of_a_simulated_sensor_is_found() {
        let mut camera = Simulated::with_size(11, 0, SIDE as u32, SIDE as u32);
        camera
            .fix_exposure(Some(FixedExposure {
                exposure_us: 10_000,
                analogue_gain: 1.0,
            }))
            .unwrap();
        let dark = means(&mut camera, Subject::Cap, 64);
        let flat = means(&mut camera, Subject::Diffuser, 64);
        let measured = measure(&dark, &flat);
        let pattern = camera.fixed_pattern();
        let (mut gains, mut darks) = (Vec::new(), Vec::new());
        for (n, (gain, dark)) in measured.gain.iter().zip(&measured.dark).enumerate() {
            let (sensitivity, offset) = pattern.at(n % SIDE, n / SIDE);
            gains.push((f64::from(*gain), -f64::from(sensitivity)));
            darks.push((f64::from(*dark), f64::from(offset)));
        }
        let (gain, dark) = (correlation(&gains), correlation(&darks));
        assert!(gain > 0.85, "gain {gain}");
        assert!(dark > 0.85, "dark {dark}");
        let quality = measured.quality;
        assert!(
            (0.8..1.0).contains(&quality.gain_repeatability),
            "{quality:?}"
        );
        assert!(
            (0.8..1.0).contains(&quality.dark_repeatability),
            "{quality:?}"
        );
        assert!(
            (0.005..0.008).contains(&quality.gain_deviation),
            "{quality:?}"
        );
        assert_eq!(quality.defective, 0);
    }

    #[test]
    fn hot_and_dead_pixels_are_marked_in_both_planes() {
        let even = |level: u16| Means {
            width: 64,
            even: vec![level * 16; 64 * 64],
            odd: vec![level * 16; 64 * 64],
            frames: 2,
        };
        let (mut dark, mut flat) = (even(256), even(2_000));
        (dark.even[70], dark.odd[70]) = (300 * 16, 300 * 16);
        (flat.even[2_000], flat.odd[2_000]) = (260 * 16, 260 * 16);
        let measured = measure(&dark, &flat);
        assert_eq!(measured.quality.defective, 2);
        for index in [70, 2_000] {
            assert_eq!(
                (measured.dark[index], measured.gain[index]),
                (DEFECTIVE, DEFECTIVE)
            );
        }
        assert!(
            measured
                .gain
                .iter()
                .filter(|gain| **gain != DEFECTIVE)
                .all(|gain| gain.abs() <= 4)
        );
    }
}

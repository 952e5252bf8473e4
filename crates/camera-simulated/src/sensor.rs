//! From light to 12-bit samples: colour filter, unequal pixels, shot and read noise, packing.

use birthmark_sensor::{Matrix, WHITE_LEVEL, colour, pack_row};

use crate::light::Rgb;
use crate::noise::{mix, normal};
use crate::scene::Scene;
use crate::shapes::Brush;

/// The sample that means no light.
pub(crate) const BLACK_LEVEL: u16 = 256;
/// Samples between black and white.
const RANGE: f32 = (WHITE_LEVEL - BLACK_LEVEL) as f32;
/// Electrons a pixel holds at gain 1.
const FULL_WELL: f32 = 8_000.0;
/// Deviation of a sample without light, at gain 1.
const READ_NOISE: f32 = 2.2;
/// Deviation of the pixels' sensitivities.
const UNEVEN_GAIN: f32 = 0.006;
/// Deviation of the pixels' dark levels.
const UNEVEN_DARK: f32 = 0.6;

/// Colours of the scene as the filter lets them through.
#[derive(Debug, Clone)]
pub struct Optics {
    filter: Matrix,
}

impl Optics {
    /// The optics that development with this matrix and these gains undoes.
    pub fn new(colour_matrix: &Matrix, [red, blue]: [f32; 2]) -> Self {
        let [r, g, b] = colour::inverse(colour_matrix).unwrap_or([
            [1.0, 0.0, 0.0],
            [0.0, 1.0, 0.0],
            [0.0, 0.0, 1.0],
        ]);
        Self {
            filter: [r.map(|v| v / red), g, b.map(|v| v / blue)],
        }
    }

    fn through(&self, light: Rgb) -> [f32; 3] {
        colour::apply(&self.filter, [light.r, light.g, light.b]).map(|value| value.max(0.0))
    }
}

/// How the pixels of one sensor differ from each other.
#[derive(Debug, Clone, Copy)]
pub struct FixedPattern(u64);

impl FixedPattern {
    /// Sensitivity (around 1) and dark level (around 0) of a pixel.
    pub fn at(self, x: usize, y: usize) -> (f32, f32) {
        let bits = mix(self.0 ^ ((y as u64) << 32 | x as u64));
        let dark = bits.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ bits.rotate_left(29);
        (1.0 + UNEVEN_GAIN * normal(bits), UNEVEN_DARK * normal(dark))
    }
}

/// The sensor.
#[derive(Debug, Clone)]
pub struct Sensor {
    seed: u64,
    optics: Optics,
}

/// Three numbers per point of a row at half the sensor's resolution.
type Row = Vec<[f32; 3]>;

impl Sensor {
    /// The sensor whose pattern belongs to `seed`.
    pub fn new(seed: u64, optics: Optics) -> Self {
        Self { seed, optics }
    }

    /// What tells this sensor from others.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How its pixels differ.
    pub const fn pattern(&self) -> FixedPattern {
        FixedPattern(mix(self.seed))
    }

    /// Exposes a scene painted at half resolution (a lens resolves no more); two threads share the
    /// rows.
    pub fn expose_scene(
        &self,
        scene: &Scene,
        size: (usize, usize),
        shot: (u64, f32),
        packed: &mut [u8],
        stride: usize,
    ) {
        let half = (size.1 / 2).max(1);
        std::thread::scope(|threads| {
            for (band, bytes) in packed.chunks_mut(half * 2 * stride).enumerate() {
                threads
                    .spawn(move || self.expose_band(scene, size, band * half, shot, bytes, stride));
            }
        });
    }

    fn expose_band(
        &self,
        scene: &Scene,
        (columns, rows): (usize, usize),
        first: usize,
        shot: (u64, f32),
        packed: &mut [u8],
        stride: usize,
    ) {
        let mut brush = Brush::default();
        let mut light = vec![Rgb::BLACK; columns];
        let mut paint = |y: usize| -> Row {
            scene.paint_row(y, &mut brush, &mut light);
            let v = (y as f32 / rows as f32 - 0.5).powi(2);
            let corner = |x: usize| 1.0 - 0.22 * ((x as f32 / columns as f32 - 0.5).powi(2) + v);
            light
                .iter()
                .enumerate()
                .map(|(x, point)| self.optics.through(point.scaled(corner(x))))
                .collect()
        };
        let (mut above, mut here) = (paint(first.saturating_sub(1)), paint(first));
        let mut blended = vec![[0.0; 3]; columns];
        for (index, pair) in packed.chunks_mut(2 * stride).enumerate() {
            let y = first + index;
            let below = paint((y + 1).min(rows.saturating_sub(1)));
            for (parity, bytes) in pair.chunks_mut(stride).enumerate() {
                blend(
                    &here,
                    if parity == 0 { &above } else { &below },
                    &mut blended,
                );
                self.expose_row(&blended, y * 2 + parity, shot, bytes);
            }
            (above, here) = (here, below);
        }
    }

    /// Exposes every pixel to the same white light.
    pub fn expose_evenly(
        &self,
        level: f32,
        columns: usize,
        shot: (u64, f32),
        packed: &mut [u8],
        stride: usize,
    ) {
        let [red, _, blue] = self.optics.through(Rgb::new(1.0, 1.0, 1.0));
        let row = vec![[red * level, level, blue * level]; columns];
        for (y, bytes) in packed.chunks_mut(stride).enumerate() {
            self.expose_row(&row, y, shot, bytes);
        }
    }

    /// One row of samples: red and green on even rows, green and blue on odd ones.
    fn expose_row(
        &self,
        light: &[[f32; 3]],
        y: usize,
        (seed, gain): (u64, f32),
        packed: &mut [u8],
    ) {
        let bytes = light.len() * 3;
        let Some(packed) = packed.get_mut(..bytes) else {
            return;
        };
        let well = Well {
            pattern: self.pattern(),
            seed: mix(seed ^ (y as u64) << 40),
            gain,
            y,
        };
        let mut left: [f32; 3] = light.first().copied().unwrap_or_default();
        let mut samples = Vec::with_capacity(light.len() * 2);
        for (column, here) in light.iter().enumerate() {
            let right = light.get(column + 1).unwrap_or(here);
            let ([red, green, _], [_, next_green, next_blue]) =
                (toward(here, &left), toward(here, right));
            let [_, left_green, _] = toward(here, &left);
            let pair = if y.is_multiple_of(2) {
                [red, next_green]
            } else {
                [left_green, next_blue]
            };
            debug_assert!(green == left_green);
            let x = column * 2;
            samples.extend([well.sample(x, pair[0]), well.sample(x + 1, pair[1])]);
            left = *here;
        }
        pack_row(samples.into_iter(), packed);
    }
}

/// Three quarters here, one quarter there: samples lie between the painted points.
fn toward(here: &[f32; 3], there: &[f32; 3]) -> [f32; 3] {
    let [a, b, c] = *here;
    let [d, e, f] = *there;
    [
        a * 0.75 + d * 0.25,
        b * 0.75 + e * 0.25,
        c * 0.75 + f * 0.25,
    ]
}

fn blend(here: &[[f32; 3]], there: &[[f32; 3]], out: &mut [[f32; 3]]) {
    for ((out, here), there) in out.iter_mut().zip(here).zip(there) {
        *out = toward(here, there);
    }
}

/// Turns light into numbers, pixel by pixel.
struct Well {
    pattern: FixedPattern,
    seed: u64,
    gain: f32,
    y: usize,
}

impl Well {
    fn sample(&self, x: usize, light: f32) -> u16 {
        let (sensitivity, dark) = self.pattern.at(x, self.y);
        let signal = (light * RANGE * sensitivity).min(RANGE * 1.5);
        let read = READ_NOISE * self.gain.sqrt();
        let variance = signal * (self.gain * RANGE / FULL_WELL) + read * read;
        let noise = variance.sqrt() * normal(mix(self.seed ^ x as u64));
        let value = f32::from(BLACK_LEVEL) + signal + dark + noise + 0.5;
        value.clamp(0.0, f32::from(WHITE_LEVEL)) as u16
    }
}

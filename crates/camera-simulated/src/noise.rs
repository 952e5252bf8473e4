//! Repeatable randomness: numbers from coordinates, and a soft texture that repeats without seams.

/// A well-mixed number from a number (the "moremur" finaliser).
pub const fn mix(mut x: u64) -> u64 {
    x ^= x >> 27;
    x = x.wrapping_mul(0x3C79_AC49_2BA7_B653);
    x ^= x >> 33;
    x = x.wrapping_mul(0x1C69_B3F7_4AC4_AE35);
    x ^ (x >> 27)
}

/// Eight independent bytes added up: as good as a normal distribution with mean 0 and variance 1,
/// out to nearly five sigma.
pub fn normal(bits: u64) -> f32 {
    const PAIRS: u64 = 0x00ff_00ff_00ff_00ff;
    let pairs = (bits & PAIRS) + ((bits >> 8) & PAIRS);
    let sum = pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48;
    // The sum of eight bytes has mean 1020 and standard deviation sqrt(8 * (256² - 1) / 12).
    (sum as f32 - 1020.0) * (1.0 / 209.02)
}

/// A sequence of random numbers.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The sequence that belongs to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5DEE_CE66_D1CE_5EED))
    }

    /// The next number, all 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number between `low` and `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.bits() >> 40) as f32 / (1u64 << 24) as f32;
        low + (high - low) * unit
    }

    /// A whole number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit.max(1)
    }
}

const SIDE: usize = 512;

/// Smooth noise between 0 and 1 on a square that repeats in both directions.
pub struct Texture(Vec<f32>);

impl Texture {
    /// Adds up octaves of value noise, each twice as fine and half as strong.
    pub fn new(seed: u64) -> Self {
        let mut sum = vec![0.0; SIDE * SIDE];
        let (mut cells, mut weight, mut total) = (4, 1.0, 0.0);
        while cells <= 128 {
            add_octave(&mut sum, mix(seed ^ cells as u64), cells, weight);
            total += weight;
            (cells, weight) = (cells * 2, weight * 0.55);
        }
        for value in &mut sum {
            // Sums of octaves crowd around the middle: spread them out again.
            *value = ((*value / total - 0.5) * 1.8 + 0.5).clamp(0.0, 1.0);
        }
        Self(sum)
    }

    /// The noise at a point; one unit is the whole square.
    pub fn at(&self, u: f32, v: f32) -> f32 {
        let (x, y) = (u * SIDE as f32, v * SIDE as f32);
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let (left, top) = (left as i32, top as i32);
        let upper = lerp(self.texel(left, top), self.texel(left + 1, top), fx);
        let lower = lerp(self.texel(left, top + 1), self.texel(left + 1, top + 1), fx);
        lerp(upper, lower, fy)
    }

    fn texel(&self, x: i32, y: i32) -> f32 {
        let mask = SIDE as i32 - 1;
        let index = (y & mask) as usize * SIDE + (x & mask) as usize;
        self.0.get(index).copied().unwrap_or(0.5)
    }
}

fn add_octave(sum: &mut [f32], seed: u64, cells: usize, weight: f32) {
    let corner = |x: usize, y: usize| {
        (mix(seed ^ ((y % cells) * cells + x % cells) as u64) >> 40) as f32 / (1u64 << 24) as f32
    };
    let step = cells as f32 / SIDE as f32;
    for (y, row) in sum.chunks_exact_mut(SIDE).enumerate() {
        let cell_y = y * cells / SIDE;
        let fy = smooth(y as f32 * step - cell_y as f32);
        for cell_x in 0..cells {
            let left = lerp(corner(cell_x, cell_y), corner(cell_x, cell_y + 1), fy);
            let right = lerp(
                corner(cell_x + 1, cell_y),
                corner(cell_x + 1, cell_y + 1),
                fy,
            );
            let span = SIDE / cells;
            for (x, value) in row.iter_mut().skip(cell_x * span).take(span).enumerate() {
                *value += weight * lerp(left, right, smooth(x as f32 * step));
            }
        }
    }
}

/// From `a` to `b` as `t` goes from 0 to 1.
pub fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// Starts and ends flat.
fn smooth(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// 0 below `from`, 1 above `to`, smooth between.
pub fn ramp(from: f32, to: f32, x: f32) -> f32 {
    smooth(((x - from) / (to - from)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_has_the_promised_mean_and_variance() {
        let values: Vec<f64> = (0..200_000).map(|n| f64::from(normal(mix(n)))).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.01, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.02, "variance {variance}");
    }

    #[test]
    fn the_texture_has_no_seam() {
        let texture = Texture::new(7);
        for n in 0..64 {
            let v = n as f32 / 64.0;
            assert!((texture.at(0.0, v) - texture.at(1.0, v)).abs() < 1e-6);
            assert!((texture.at(-0.0005, v) - texture.at(0.0005, v)).abs() < 0.1);
        }
    }
}

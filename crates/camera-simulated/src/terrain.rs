//! Mountains, the wooded far shore, and the near shore.

use crate::light::{Light, Rgb};
use crate::noise::{Dice, Texture, lerp, mix, ramp};

/// What covers a range of hills.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cover {
    Snow,
    Rock,
    Trees,
}

/// One range of hills.
pub struct Range {
    /// Where it ends towards the sky, per column.
    ridge: Vec<f32>,
    cover: Cover,
    /// How much air lies between.
    haze: f32,
    foot: f32,
    offset: f32,
}

/// Draws three ranges of mountains and the wooded shore before them, farthest first.
pub fn ranges(
    dice: &mut Dice,
    light: &Light,
    columns: usize,
    rows: usize,
    foot: f32,
) -> Vec<Range> {
    let aspect = columns as f32 / rows as f32;
    let main = light.sun_at.0
        + if light.sun_at.0 < aspect / 2.0 {
            aspect * 0.45
        } else {
            -aspect * 0.45
        };
    let far = Massif {
        summit: (main + dice.between(-0.06, 0.06), 0.36),
        steep: 0.75,
        rough: 0.10,
    };
    let middle = Massif {
        summit: (aspect - main + dice.between(-0.1, 0.1), 0.22),
        steep: 0.42,
        rough: 0.09,
    };
    let low = Massif {
        summit: (dice.between(0.2, 0.8) * aspect, 0.115),
        steep: 0.10,
        rough: 0.06,
    };
    let mut range = |massif: &Massif, cover, haze| Range {
        ridge: massif.ridge(dice, columns, rows, foot),
        cover,
        haze,
        foot,
        offset: dice.between(0.0, 1.0),
    };
    let mut ranges = vec![
        range(&far, Cover::Snow, 0.27),
        range(&middle, Cover::Rock, 0.20),
        range(&low, Cover::Rock, 0.12),
    ];
    let ridge = treetops(dice, columns, rows, foot);
    ranges.push(Range {
        ridge,
        cover: Cover::Trees,
        haze: 0.05,
        foot,
        offset: 0.2,
    });
    ranges
}

struct Massif {
    summit: (f32, f32),
    steep: f32,
    rough: f32,
}

impl Massif {
    fn ridge(&self, dice: &mut Dice, columns: usize, rows: usize, foot: f32) -> Vec<f32> {
        let seed = dice.bits();
        let shoulders: Vec<(f32, f32)> = (0..4)
            .map(|_| {
                (
                    self.summit.0 + dice.between(-0.75, 0.75),
                    self.summit.1 * dice.between(0.45, 0.78),
                )
            })
            .chain([self.summit])
            .collect();
        (0..columns)
            .map(|column| {
                let x = column as f32 / rows as f32;
                let slope = |(at, high): &(f32, f32)| {
                    let away = (x - at).abs();
                    high - self.steep * away * (1.0 - 0.35 * (away * 2.0).min(1.0))
                };
                let height = shoulders
                    .iter()
                    .map(slope)
                    .fold(self.summit.1 * 0.28, f32::max);
                foot - height - self.rough * (crags(seed, x) - 0.5) * (0.35 + height * 1.8)
            })
            .collect()
    }
}

/// A jagged line between 0 and 1.
fn crags(seed: u64, x: f32) -> f32 {
    let (mut sum, mut weight, mut frequency) = (0.0, 0.5, 7.0);
    for octave in 0..7 {
        let ridge = 1.0 - (2.0 * wander(mix(seed + octave), x * frequency) - 1.0).abs();
        sum += weight * ridge;
        weight *= 0.52;
        frequency *= 2.1;
    }
    sum
}

/// Value noise along a line.
fn wander(seed: u64, x: f32) -> f32 {
    let cell = x.floor();
    let corner = |offset: i64| {
        (mix(seed ^ (cell as i64 + offset) as u64) >> 40) as f32 / (1u64 << 24) as f32
    };
    lerp(corner(0), corner(1), x - cell)
}

/// The far shore: a hill covered with fir trees, each a narrow triangle.
fn treetops(dice: &mut Dice, columns: usize, rows: usize, foot: f32) -> Vec<f32> {
    let seed = dice.bits();
    let ground = |x: f32| 0.010 + 0.045 * wander(seed, x * 2.6) * wander(mix(seed), x * 5.0);
    let mut ridge: Vec<f32> = (0..columns)
        .map(|column| foot - ground(column as f32 / rows as f32))
        .collect();
    let trees = columns / 4;
    for _ in 0..trees {
        let at = dice.between(0.0, columns as f32);
        let tall = dice.between(0.010, 0.030);
        let half = tall * rows as f32 * dice.between(0.16, 0.24);
        let first = (at - half).max(0.0) as usize;
        let base = ground(at / rows as f32);
        for (column, top) in ridge
            .iter_mut()
            .enumerate()
            .skip(first)
            .take((2.0 * half) as usize + 2)
        {
            let share = 1.0 - ((column as f32 - at) / half).abs();
            if share > 0.0 {
                let branches = 0.10 * (share * 6.0).fract();
                *top = top.min(foot - base - tall * (share - branches).max(0.0));
            }
        }
    }
    ridge
}

/// The line where the meadow begins.
pub fn shore(dice: &mut Dice, columns: usize, rows: usize) -> Vec<f32> {
    let seed = dice.bits();
    let tilt = dice.between(-0.05, 0.05);
    (0..columns)
        .map(|column| {
            let x = column as f32 / rows as f32;
            let bay = 0.045 * (x * 4.0 + (seed % 7) as f32).sin();
            0.795
                + bay
                + tilt * (x - 0.66)
                + 0.006 * wander(seed, x * 40.0)
                + 0.02 * wander(mix(seed), x * 7.0)
        })
        .collect()
}

impl Range {
    /// How much of the point the range hides: partly only along its edge.
    pub fn cover(&self, column: usize, v: f32, rows: f32) -> f32 {
        let ridge = self.ridge.get(column).copied().unwrap_or(self.foot);
        ((v - ridge) * rows + 0.5).clamp(0.0, 1.0)
    }

    /// What the range looks like at a point.
    pub fn surface(&self, texture: &Texture, light: &Light, column: usize, u: f32, v: f32) -> Rgb {
        let below = v - self.ridge.get(column).copied().unwrap_or(self.foot);
        let colour = match self.cover {
            Cover::Trees => self.wood(texture, light, u, v),
            Cover::Snow | Cover::Rock => self.stone(texture, light, u, v, below),
        };
        let mist = ramp(0.14, 0.0, self.foot - v) * 0.28;
        let air = light.horizon.mixed(light.zenith, 0.30).scaled(0.82);
        colour.mixed(air, (self.haze + mist * self.haze * 2.0).min(0.85))
    }

    fn wood(&self, texture: &Texture, light: &Light, u: f32, v: f32) -> Rgb {
        let needles = texture.at(u * 13.0, v * 5.0 + self.offset);
        light.on(Rgb::new(0.035, 0.075, 0.035), 0.15 + 0.9 * needles)
    }

    /// Faces towards the sun are bright; snow lies high and where it is not too steep.
    fn stone(&self, texture: &Texture, light: &Light, u: f32, v: f32, below: f32) -> Rgb {
        let (x, y) = (
            u * 0.80 + v * 0.30 + self.offset,
            v * 1.15 - below * 0.25 + self.offset,
        );
        let step = 0.006 * ((light.sun_at.0 - u) * 6.0).clamp(-1.0, 1.0);
        let coarse = texture.at(x, y) - texture.at(x - step, y + 0.002);
        let fine = texture.at(x * 4.3, y * 4.3) - texture.at(x * 4.3 - step * 2.0, y * 4.3 + 0.004);
        let lit = (0.46 - coarse * 7.5 - fine * 2.2).clamp(0.02, 1.15);
        let rock = Rgb::new(0.23, 0.205, 0.19)
            .mixed(Rgb::new(0.33, 0.30, 0.27), texture.at(x * 2.0, y * 5.0));
        let altitude = self.foot - v;
        let pasture = Rgb::new(0.10, 0.17, 0.06);
        let green = ramp(
            0.16,
            0.03,
            altitude + 0.06 * (texture.at(x * 3.0, y * 3.0) - 0.5),
        );
        let bare = rock.mixed(pasture, green);
        if self.cover == Cover::Rock {
            return light.on(bare, lit);
        }
        let line =
            0.175 + 0.16 * (texture.at(x * 2.7, y * 2.7) - 0.5) + (0.42 - lit).max(0.0) * 0.05;
        light.on(
            bare.mixed(
                Rgb::new(0.86, 0.88, 0.92),
                ramp(line, line + 0.035, altitude),
            ),
            lit,
        )
    }
}

//! A lake in the mountains, different every time: what the simulated sensor looks at.

use crate::light::{Light, Rgb};
use crate::noise::{Dice, Texture, lerp, ramp};
use crate::shapes::{Brush, Thing};
use crate::{house, plants, terrain};

/// Where the lake begins, in picture heights from the top.
const WATERLINE: f32 = 0.60;

/// One view of the lake.
pub struct Scene<'a> {
    texture: &'a Texture,
    light: Light,
    rows: usize,
    /// The far hills, farthest first.
    ranges: Vec<terrain::Range>,
    /// Where the meadow begins, per column.
    shore: Vec<f32>,
    /// Drawn over the water and the meadow, farthest first.
    things: Vec<Thing>,
    drift: f32,
}

impl<'a> Scene<'a> {
    /// Composes the view that belongs to `seed`, `columns` by `rows` points large.
    pub fn compose(seed: u64, texture: &'a Texture, columns: usize, rows: usize) -> Self {
        let mut dice = Dice::new(seed);
        let aspect = columns as f32 / rows as f32;
        let light = Light::draw(&mut dice, aspect);
        let ranges = terrain::ranges(&mut dice, &light, columns, rows, WATERLINE);
        let shore = terrain::shore(&mut dice, columns, rows);
        let mut things = plants::birds(&mut dice, aspect);
        things.extend(house::boat(&mut dice, &light, aspect, WATERLINE));
        let house_left = dice.below(2) == 0;
        let at = |share: f32| aspect * if house_left { share } else { 1.0 - share };
        things.extend(plants::flowers(&mut dice, &light, aspect));
        things.extend(house::house(&mut dice, &light, at(0.27)));
        things.extend(plants::leafy_tree(
            &mut dice,
            &light,
            (at(0.06), 0.90),
            0.34,
        ));
        things.extend(plants::grove(&mut dice, &light, at(0.84), 0.93));
        things.extend(plants::grass_blades(&mut dice, &light, aspect));
        Self {
            texture,
            light,
            rows,
            ranges,
            shore,
            things,
            drift: dice.between(0.0, 8.0),
        }
    }

    /// Shutter time in microseconds and gain that suit the light.
    pub fn exposure(&self) -> (u32, f32) {
        self.light.exposure
    }

    /// Paints row `y`.
    pub fn paint_row(&self, y: usize, brush: &mut Brush, out: &mut [Rgb]) {
        let rows = self.rows as f32;
        let v = (y as f32 + 0.5) / rows;
        for (column, (pixel, shore)) in out.iter_mut().zip(&self.shore).enumerate() {
            let u = (column as f32 + 0.5) / rows;
            let near = ((v - shore) * rows + 0.5).clamp(0.0, 1.0);
            let mut colour = Rgb::BLACK;
            if near < 1.0 {
                colour = if v < WATERLINE {
                    self.far(column, u, v)
                } else {
                    self.water(u, v)
                };
            }
            if near > 0.0 {
                colour = colour.mixed(self.meadow(u, v, *shore), near);
            }
            *pixel = colour;
        }
        brush.paint(&self.things, self.texture, y, rows, out);
    }

    /// Sky and hills.
    fn far(&self, column: usize, u: f32, v: f32) -> Rgb {
        let (mut colour, mut open) = (Rgb::BLACK, 1.0);
        for range in self.ranges.iter().rev() {
            let cover = range.cover(column, v, self.rows as f32) * open;
            if cover > 0.0 {
                colour = colour.plus(
                    range
                        .surface(self.texture, &self.light, column, u, v)
                        .scaled(cover),
                );
                open -= cover;
            }
            if open <= 0.003 {
                return colour;
            }
        }
        colour.plus(self.sky(u, v).scaled(open))
    }

    fn sky(&self, u: f32, v: f32) -> Rgb {
        let light = &self.light;
        let height = (1.0 - v / WATERLINE).clamp(0.0, 1.0);
        let clear = light.horizon.mixed(light.zenith, ramp(-0.25, 0.95, height));
        let (dx, dy) = (u - light.sun_at.0, v - light.sun_at.1);
        let distance = dx * dx + dy * dy;
        let halo = 0.010 / (distance + 0.012) * 0.55;
        let disc = ramp(0.000_58, 0.000_40, distance);
        let sky = clear.plus(light.sun.scaled(halo * halo + halo * 0.25));
        let clouded = self.clouds(u, height, distance, sky);
        clouded.mixed(Rgb::new(1.4, 1.25, 1.0), disc * 0.95)
    }

    /// Clouds lie on a plane overhead: towards the horizon they crowd together.
    fn clouds(&self, u: f32, height: f32, distance: f32, sky: Rgb) -> Rgb {
        let away = 1.0 / (height + 0.16);
        let (across, along) = (
            (u - 0.67) * away * 0.14 + self.drift,
            away * 0.22 + self.drift,
        );
        let coarse = self.texture.at(across, along);
        let fine = self.texture.at(across * 4.1, along * 4.1);
        let density = lerp(coarse, fine, 0.26);
        let threshold = 1.0 - self.light.clouds;
        let cover = ramp(threshold, threshold + 0.26, density) * ramp(0.02, 0.16, height);
        let thick = ramp(threshold + 0.10, threshold + 0.42, density);
        let bright =
            Rgb::new(0.10, 0.10, 0.11).plus(self.light.sun.scaled(0.80 + 0.05 / (distance + 0.1)));
        let dark = self.light.ambient.mixed(self.light.horizon, 0.30);
        sky.mixed(bright.mixed(dark, thick * 0.75), cover * 0.92)
    }

    /// The far side upside down, shaken by waves, tinted, glittering under the sun.
    fn water(&self, u: f32, v: f32) -> Rgb {
        let depth = v - WATERLINE;
        let far = 1.0 / (depth + 0.035);
        let wave = self
            .texture
            .at(u * 1.1 + far * 0.02, far * 0.55 + self.drift)
            - 0.5;
        let ripple = self.texture.at(u * 6.0, far * 1.7 + u * 0.4) - 0.5;
        let shake = (wave * 0.7 + ripple * 0.5) * (0.012 + depth * 0.22);
        let mirrored = (WATERLINE - depth * 1.35 + shake).clamp(0.0, WATERLINE - 0.001);
        let across = u + (ripple * 0.012 + wave * 0.01) * (0.3 + depth * 4.0);
        let column = (across.max(0.0) * self.rows as f32) as usize;
        let reflected = self.far(
            column.min(self.shore.len().saturating_sub(1)),
            across,
            mirrored,
        );
        let clear = ramp(0.0, 0.30, depth);
        let deep = Rgb::new(0.03, 0.10, 0.13)
            .under(self.light.ambient.plus(self.light.sun))
            .scaled(0.9);
        let water = reflected
            .scaled(0.84 - 0.22 * clear)
            .plus(deep.scaled(0.35 + 0.5 * clear));
        let off = (u - self.light.sun_at.0).abs() / (0.035 + depth * 0.30);
        let glitter = ramp(0.60, 0.80, wave * 0.5 + ripple * 0.55 + 0.5) * ramp(1.0, 0.0, off);
        let calm_edge = ramp(0.004, 0.0, depth) * 0.25;
        water.plus(self.light.sun.scaled(glitter * 0.9 + calm_edge))
    }

    fn meadow(&self, u: f32, v: f32, shore: f32) -> Rgb {
        let near = (v - shore).max(0.0);
        let away = 1.0 / (v - 0.66).max(0.02);
        let patches = self.texture.at(u * 0.9 + 0.3, away * 0.16);
        let across = (u - 0.67) * away;
        let tufts = self.texture.at(across * 0.83 + patches * 0.2, away * 0.61);
        let blades = 0.45 * tufts + 0.55 * self.texture.at(across * 3.7 + tufts * 0.1, away * 2.3);
        let grass = Rgb::new(0.115, 0.235, 0.045).mixed(Rgb::new(0.30, 0.34, 0.09), patches);
        let lit = self.light.on(grass, 0.35 + 0.75 * blades);
        let sand = self
            .light
            .on(Rgb::new(0.46, 0.40, 0.29), 0.6 + 0.3 * blades);
        let bank = ramp(0.016, 0.004, near - 0.012 * patches);
        lit.scaled(0.62 + 0.55 * blades).mixed(sand, bank)
    }
}

//! Colours, and what the light is like at four times of the day.

use crate::noise::{Dice, lerp};

/// Linear light: 1 is as bright as the sensor takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rgb {
    /// Red.
    pub r: f32,
    /// Green.
    pub g: f32,
    /// Blue.
    pub b: f32,
}

impl Rgb {
    /// No light.
    pub const BLACK: Self = Self::new(0.0, 0.0, 0.0);

    /// A colour by its parts.
    pub const fn new(r: f32, g: f32, b: f32) -> Self {
        Self { r, g, b }
    }

    /// Brighter or darker.
    pub fn scaled(self, by: f32) -> Self {
        Self::new(self.r * by, self.g * by, self.b * by)
    }

    /// This surface under `light`.
    pub fn under(self, light: Self) -> Self {
        Self::new(self.r * light.r, self.g * light.g, self.b * light.b)
    }

    /// Both lights together.
    pub fn plus(self, other: Self) -> Self {
        Self::new(self.r + other.r, self.g + other.g, self.b + other.b)
    }

    /// From this to `other` as `t` goes from 0 to 1.
    pub fn mixed(self, other: Self, t: f32) -> Self {
        Self::new(
            lerp(self.r, other.r, t),
            lerp(self.g, other.g, t),
            lerp(self.b, other.b, t),
        )
    }
}

/// The light of one moment.
#[derive(Debug, Clone)]
pub struct Light {
    /// The sky overhead.
    pub zenith: Rgb,
    /// The sky at the horizon.
    pub horizon: Rgb,
    /// Direct sunlight.
    pub sun: Rgb,
    /// Light from everywhere else.
    pub ambient: Rgb,
    /// Where the sun stands, in picture heights.
    pub sun_at: (f32, f32),
    /// How bright the windows are.
    pub windows: f32,
    /// How much of the sky is clouded.
    pub clouds: f32,
    /// What the camera would choose: microseconds and gain.
    pub exposure: (u32, f32),
}

impl Light {
    /// Draws a time of the day.
    pub fn draw(dice: &mut Dice, aspect: f32) -> Self {
        let mut light = match dice.below(4) {
            0 => MORNING,
            1 => NOON,
            2 => EVENING,
            _ => DUSK,
        };
        let across = if dice.below(2) == 0 {
            dice.between(0.12, 0.38)
        } else {
            dice.between(0.62, 0.88)
        };
        light.sun_at.0 = across * aspect;
        light.sun_at.1 += dice.between(-0.03, 0.03);
        light.clouds += dice.between(-0.12, 0.12);
        light
    }

    /// A surface of this colour that the sun reaches as much as `lit` says.
    pub fn on(&self, surface: Rgb, lit: f32) -> Rgb {
        surface.under(self.ambient.plus(self.sun.scaled(lit)))
    }

    /// -1 if the light comes from the left, 1 if from the right of `x`.
    pub fn side(&self, x: f32) -> f32 {
        if self.sun_at.0 < x { -1.0 } else { 1.0 }
    }
}

const MORNING: Light = Light {
    zenith: Rgb::new(0.16, 0.30, 0.56),
    horizon: Rgb::new(0.93, 0.72, 0.58),
    sun: Rgb::new(0.95, 0.78, 0.60),
    ambient: Rgb::new(0.30, 0.34, 0.42),
    sun_at: (0.0, 0.30),
    windows: 0.0,
    clouds: 0.42,
    exposure: (4_000, 1.0),
};
const NOON: Light = Light {
    zenith: Rgb::new(0.08, 0.22, 0.58),
    horizon: Rgb::new(0.52, 0.70, 0.88),
    sun: Rgb::new(1.02, 0.97, 0.88),
    ambient: Rgb::new(0.30, 0.36, 0.45),
    sun_at: (0.0, 0.12),
    windows: 0.0,
    clouds: 0.48,
    exposure: (1_250, 1.0),
};
const EVENING: Light = Light {
    zenith: Rgb::new(0.13, 0.22, 0.45),
    horizon: Rgb::new(0.98, 0.58, 0.27),
    sun: Rgb::new(1.05, 0.66, 0.34),
    ambient: Rgb::new(0.27, 0.26, 0.32),
    sun_at: (0.0, 0.36),
    windows: 0.25,
    clouds: 0.50,
    exposure: (8_000, 1.0),
};
const DUSK: Light = Light {
    zenith: Rgb::new(0.05, 0.07, 0.20),
    horizon: Rgb::new(0.72, 0.31, 0.27),
    sun: Rgb::new(0.42, 0.22, 0.18),
    ambient: Rgb::new(0.17, 0.17, 0.25),
    sun_at: (0.0, 0.47),
    windows: 1.0,
    clouds: 0.52,
    exposure: (33_333, 2.0),
};

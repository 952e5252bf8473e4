//! Trees, flowers, grass, and the birds above.

use crate::light::{Light, Rgb};
use crate::noise::Dice;
use crate::shapes::{Point, Thing, ellipse, polygon};

/// A fir: tiers of drooping branches, brighter towards the light.
fn fir(dice: &mut Dice, light: &Light, (x, foot): Point, tall: f32) -> Vec<Thing> {
    let bark = light.on(Rgb::new(0.10, 0.065, 0.04), 0.3);
    let trunk = tall * 0.022;
    let mut things = vec![polygon(
        [(x - trunk, foot), (x + trunk, foot), (x, foot - tall * 0.6)],
        bark,
    )];
    let side = light.side(x);
    let tiers = 15;
    for tier in 0..tiers {
        let up = tier as f32 / tiers as f32;
        let base = foot - tall * (0.07 + 0.86 * up);
        let reach = tall * (0.21 * (1.0 - up) + 0.012) * dice.between(0.88, 1.10);
        let high = tall * 0.13;
        things.push(
            polygon(
                [(x - reach, base), (x + reach, base), (x, base - high)],
                needles(light, 0.05),
            )
            .grained(0.9),
        );
        for _ in 0..16 {
            let share = dice.between(-1.0, 1.0);
            let lit = (0.35 + 0.55 * share * side) * dice.between(0.5, 1.2);
            let at = x + share * reach;
            let droop = base + tall * dice.between(0.0, 0.022);
            let thick = tall * dice.between(0.012, 0.022);
            let inner = (
                at - share * reach * 0.45,
                base - high * (1.0 - share.abs()) * 0.9 - thick,
            );
            let twig = [
                (at, droop),
                (at - thick * share.signum(), base - thick * 1.2),
                inner,
                (inner.0, inner.1 + thick * 1.6),
            ];
            things.push(polygon(twig, needles(light, lit.max(0.04))).grained(0.8));
        }
    }
    things
}

fn needles(light: &Light, lit: f32) -> Rgb {
    light.on(Rgb::new(0.060, 0.125, 0.050), lit)
}

/// A few firs of different height, close together.
pub fn grove(dice: &mut Dice, light: &Light, x: f32, foot: f32) -> Vec<Thing> {
    let places = [
        (-0.10, -0.045, 0.30),
        (0.09, -0.03, 0.40),
        (-0.015, 0.0, 0.52),
        (0.17, 0.03, 0.33),
    ];
    let mut things = Vec::new();
    for (across, down, tall) in places {
        let at = (x + across + dice.between(-0.02, 0.02), foot + down);
        things.push(shadow(light, at, tall * 0.22));
        let tall = tall * dice.between(0.9, 1.1);
        things.extend(fir(dice, light, at, tall));
    }
    things
}

/// What a tree leaves on the grass, away from the sun.
pub fn shadow(light: &Light, (x, foot): Point, wide: f32) -> Thing {
    let away = -light.side(x) * wide * 0.8;
    ellipse(
        (x + away, foot),
        (wide * 1.5, wide * 0.16),
        Rgb::new(0.012, 0.022, 0.012),
    )
    .covering(0.55)
}

/// A round tree: a trunk and a crown of many tufts of leaves.
pub fn leafy_tree(dice: &mut Dice, light: &Light, (x, foot): Point, tall: f32) -> Vec<Thing> {
    let bark = light.on(Rgb::new(0.13, 0.085, 0.055), 0.35);
    let (thick, crown) = (tall * 0.035, foot - tall * 0.66);
    let mut things = vec![
        shadow(light, (x, foot), tall * 0.3),
        polygon(
            [
                (x - thick, foot),
                (x + thick, foot),
                (x + thick * 0.6, crown),
                (x - thick * 0.6, crown),
            ],
            bark,
        )
        .grained(0.7),
    ];
    let side = light.side(x);
    let mut tufts: Vec<(f32, f32)> = (0..520)
        .map(|_| {
            let (angle, out) = (
                dice.between(0.0, std::f32::consts::TAU),
                dice.between(0.0, 1.0).sqrt(),
            );
            let lumpy = 0.86 + 0.14 * (angle * 5.0).sin();
            (angle.cos() * out * lumpy, angle.sin() * out * lumpy)
        })
        .collect();
    // Shaded tufts first: the lit ones lie above them.
    tufts.sort_by(|a, b| (a.0 * side - a.1).total_cmp(&(b.0 * side - b.1)));
    for (across, down) in tufts {
        let lit = (0.42 + 0.34 * across * side - 0.36 * down) * dice.between(0.55, 1.35);
        let leaf =
            Rgb::new(0.10, 0.185, 0.05).mixed(Rgb::new(0.19, 0.22, 0.05), dice.between(0.0, 0.6));
        let size = tall * dice.between(0.014, 0.038);
        let at = (x + across * tall * 0.34, crown + down * tall * 0.33);
        things.push(
            ellipse(
                at,
                (size, size * dice.between(0.55, 0.9)),
                light.on(leaf, lit.max(0.02)),
            )
            .grained(1.1),
        );
    }
    things
}

/// Flowers in the grass, larger towards the viewer.
pub fn flowers(dice: &mut Dice, light: &Light, aspect: f32) -> Vec<Thing> {
    let colours = [
        (0.85, 0.80, 0.72),
        (0.78, 0.62, 0.06),
        (0.62, 0.10, 0.12),
        (0.34, 0.20, 0.55),
    ];
    let mut flowers: Vec<Thing> = Vec::new();
    for _ in 0..420 {
        let down = dice.between(0.0, 1.0).powf(0.7);
        let size = 0.0008 + 0.0030 * down;
        let at = (dice.between(0.0, aspect), 0.872 + 0.125 * down);
        let kind = dice.below(colours.len() as u64) as usize;
        let (r, g, b) = colours.get(kind).copied().unwrap_or((0.8, 0.8, 0.8));
        let petal = light.on(Rgb::new(r, g, b), dice.between(0.5, 0.95));
        flowers.push(ellipse(at, (size, size * 0.8), petal));
    }
    flowers
}

/// Tall grass along the lower edge.
pub fn grass_blades(dice: &mut Dice, light: &Light, aspect: f32) -> Vec<Thing> {
    (0..620)
        .map(|_| {
            let (x, tall) = (dice.between(0.0, aspect), dice.between(0.015, 0.062));
            let (lean, thick) = (dice.between(-0.022, 0.022), dice.between(0.0010, 0.0022));
            let green = Rgb::new(0.12, 0.22, 0.04)
                .mixed(Rgb::new(0.36, 0.36, 0.12), dice.between(0.0, 1.0));
            let foot = dice.between(1.0, 1.02);
            let blade = [
                (x - thick, foot),
                (x + thick, foot),
                (x + lean, foot - tall),
            ];
            polygon(blade, light.on(green, dice.between(0.2, 0.9)))
        })
        .collect()
}

/// A few birds on their way.
pub fn birds(dice: &mut Dice, aspect: f32) -> Vec<Thing> {
    let (x, y) = (dice.between(0.3, 0.7) * aspect, dice.between(0.08, 0.18));
    let ink = Rgb::new(0.03, 0.03, 0.04);
    (0..7)
        .flat_map(|_| {
            let (x, y) = (x + dice.between(-0.12, 0.12), y + dice.between(-0.04, 0.04));
            let (span, flap) = (dice.between(0.006, 0.012), dice.between(0.2, 0.7));
            let wing = |side: f32| {
                let tip = (x + side * span, y - span * flap);
                polygon(
                    [
                        (x, y),
                        tip,
                        (x + side * span * 0.45, y - span * (flap * 0.75 + 0.16)),
                    ],
                    ink,
                )
                .covering(0.8)
            };
            [wing(-1.0), wing(1.0)]
        })
        .collect()
}

//! What people left in the view: a house with its path and fence, and a boat.

use crate::light::{Light, Rgb};
use crate::noise::Dice;
use crate::plants::shadow;
use crate::shapes::{Point, Thing, polygon};

const WINDOW_LIGHT: Rgb = Rgb::new(1.15, 0.72, 0.26);

/// A house by the lake whose front looks at the viewer.
pub fn house(dice: &mut Dice, light: &Light, x: f32) -> Vec<Thing> {
    let paint = [
        Rgb::new(0.42, 0.09, 0.06),
        Rgb::new(0.62, 0.55, 0.40),
        Rgb::new(0.22, 0.30, 0.36),
    ];
    let walls = paint
        .get(dice.below(3) as usize)
        .copied()
        .unwrap_or(Rgb::new(0.5, 0.4, 0.3));
    let place = Place {
        x,
        foot: 0.885,
        unit: dice.between(0.105, 0.125),
    };
    let side = light.side(x);
    let mut things = vec![shadow(light, (x, place.foot), 0.17)];
    things.extend(path(light, &place));
    things.extend(fence(light, &place));
    things.extend(body(light, &place, walls, side));
    for (across, up) in [(-0.52, 0.36), (0.52, 0.36), (0.0, 1.12)] {
        things.extend(window(light, &place, (across, up)));
    }
    things
}

/// Where the house stands: coordinates inside are in half widths, upwards.
struct Place {
    x: f32,
    foot: f32,
    unit: f32,
}

impl Place {
    fn at(&self, across: f32, up: f32) -> Point {
        (self.x + across * self.unit, self.foot - up * self.unit)
    }

    fn shape<const N: usize>(&self, points: [Point; N], colour: Rgb) -> Thing {
        polygon(points.map(|(across, up)| self.at(across, up)), colour)
    }
}

fn body(light: &Light, place: &Place, walls: Rgb, side: f32) -> Vec<Thing> {
    let front = light.on(walls, 0.55);
    let tiles = light.on(Rgb::new(0.20, 0.11, 0.08), 0.7);
    let stone = light.on(Rgb::new(0.30, 0.29, 0.27), 0.5);
    let brick = light.on(Rgb::new(0.27, 0.13, 0.09), 0.6);
    let trim = light.on(Rgb::new(0.80, 0.78, 0.72), 0.6);
    let (eave, top) = (0.86, 1.72);
    let mut things = vec![
        place
            .shape(
                [(0.40, 1.2), (0.60, 1.2), (0.60, 1.88), (0.40, 1.88)],
                brick,
            )
            .grained(0.5),
        place.shape(
            [(0.37, 1.86), (0.63, 1.86), (0.63, 1.93), (0.37, 1.93)],
            stone,
        ),
        place
            .shape(
                [
                    (-1.0, 0.0),
                    (1.0, 0.0),
                    (1.0, eave),
                    (0.0, top),
                    (-1.0, eave),
                ],
                front,
            )
            .grained(0.25),
    ];
    for board in 1..12 {
        let up = board as f32 * 0.072;
        things.push(place.shape(
            [(-1.0, up), (1.0, up), (1.0, up + 0.008), (-1.0, up + 0.008)],
            front.scaled(0.6),
        ));
    }
    things.push(
        place
            .shape([(-1.0, 0.0), (1.0, 0.0), (1.0, 0.09), (-1.0, 0.09)], stone)
            .grained(0.6),
    );
    for slope in [-1.0, 1.0] {
        let lit = if slope == side { 1.25 } else { 0.62 };
        let roof = [
            (0.0, top + 0.20),
            (0.0, top),
            (1.18 * slope, eave - 0.16),
            (1.22 * slope, eave),
        ];
        things.push(place.shape(roof, tiles.scaled(lit)).grained(0.7));
        things.push(place.shape(
            [
                (0.0, top),
                (0.0, top - 0.05),
                (1.14 * slope, eave - 0.18),
                (1.18 * slope, eave - 0.14),
            ],
            trim,
        ));
    }
    let wood = light.on(Rgb::new(0.12, 0.075, 0.045), 0.5);
    things.push(place.shape(
        [(-0.19, 0.05), (0.19, 0.05), (0.19, 0.66), (-0.19, 0.66)],
        trim,
    ));
    things.push(
        place
            .shape(
                [
                    (-0.155, 0.05),
                    (0.155, 0.05),
                    (0.155, 0.625),
                    (-0.155, 0.625),
                ],
                wood,
            )
            .grained(0.5),
    );
    things.push(place.shape(
        [(-0.25, 0.0), (0.25, 0.0), (0.22, 0.06), (-0.22, 0.06)],
        stone.scaled(1.2),
    ));
    things
}

fn window(light: &Light, place: &Place, (across, up): Point) -> Vec<Thing> {
    let rectangle = |left: f32, low: f32, right: f32, high: f32, colour| {
        let corners = [
            (across + left, up + low),
            (across + right, up + low),
            (across + right, up + high),
            (across + left, up + high),
        ];
        place.shape(corners, colour)
    };
    let trim = light.on(Rgb::new(0.80, 0.78, 0.72), 0.6);
    let sky = light.horizon.mixed(light.zenith, 0.6).scaled(0.35);
    let glass = sky.mixed(WINDOW_LIGHT, light.windows);
    vec![
        rectangle(-0.165, -0.04, 0.165, 0.34, trim),
        rectangle(-0.13, 0.0, 0.13, 0.30, glass),
        rectangle(-0.13, 0.15, 0.0, 0.30, glass.scaled(1.25)),
        rectangle(-0.012, 0.0, 0.012, 0.30, trim),
        rectangle(-0.13, 0.14, 0.13, 0.162, trim),
    ]
}

/// From the door towards the viewer.
fn path(light: &Light, place: &Place) -> Vec<Thing> {
    let gravel = light.on(Rgb::new(0.44, 0.37, 0.27), 0.65);
    let lean = if place.x < 0.6 { 0.9 } else { -0.9 };
    let near = [
        (-0.20, 0.0),
        (0.20, 0.0),
        (0.62 + lean, -1.15),
        (-0.50 + lean, -1.15),
    ];
    vec![place.shape(near, gravel).grained(0.5).covering(0.9)]
}

fn fence(light: &Light, place: &Place) -> Vec<Thing> {
    let wood = light.on(Rgb::new(0.62, 0.59, 0.53), 0.6);
    let mut things = Vec::new();
    for side in [-1.0f32, 1.0] {
        for rail in [0.14, 0.27] {
            let (from, to) = (side * 1.12, side * 2.5);
            things.push(place.shape(
                [
                    (from, rail),
                    (to, rail),
                    (to, rail + 0.03),
                    (from, rail + 0.03),
                ],
                wood.scaled(0.85),
            ));
        }
        for post in 0..10 {
            let at = side * (1.15 + 0.148 * post as f32);
            let corners = [
                (at - 0.022, -0.03),
                (at + 0.022, -0.03),
                (at + 0.022, 0.34),
                (at, 0.38),
                (at - 0.022, 0.34),
            ];
            things.push(place.shape(corners, wood));
        }
    }
    things
}

/// A boat with two sails, and its image in the water.
pub fn boat(dice: &mut Dice, light: &Light, aspect: f32, waterline: f32) -> Vec<Thing> {
    let (x, y, size) = (
        dice.between(0.44, 0.60) * aspect,
        waterline + 0.062,
        dice.between(0.042, 0.055),
    );
    let canvas = light.on(Rgb::new(0.88, 0.86, 0.80), 0.75);
    let hull = light.on(Rgb::new(0.34, 0.13, 0.07), 0.5);
    let parts = |flip: f32, cover: f32| {
        let at = move |(across, up): Point| (x + across * size, y - flip * up * size);
        [
            polygon(
                [(-0.62, 0.16), (0.70, 0.20), (0.48, 0.0), (-0.50, 0.0)].map(at),
                hull,
            )
            .covering(cover),
            polygon([(0.0, 0.24), (0.0, 1.75), (-0.62, 0.26)].map(at), canvas).covering(cover),
            polygon(
                [(0.05, 0.26), (0.05, 1.55), (0.60, 0.30)].map(at),
                canvas.scaled(0.84),
            )
            .covering(cover),
            polygon(
                [(-0.012, 0.16), (0.012, 0.16), (0.012, 1.8), (-0.012, 1.8)].map(at),
                hull.scaled(0.7),
            )
            .covering(cover),
        ]
    };
    let mut things = parts(-1.0, 0.38).to_vec();
    things.extend(parts(1.0, 1.0));
    things
}

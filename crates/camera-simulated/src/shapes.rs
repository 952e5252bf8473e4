//! Smooth-edged shapes, laid over the scene row by row.

use crate::light::Rgb;
use crate::noise::Texture;

/// A corner of a polygon: across and down, in picture heights.
pub type Point = (f32, f32);

/// What a thing looks like from the front.
#[derive(Debug, Clone)]
pub enum Outline {
    /// A convex polygon.
    Polygon(Vec<Point>),
    /// An upright ellipse: centre and half axes.
    Ellipse(Point, Point),
}

impl Outline {
    /// The highest and the lowest line it touches.
    fn extent(&self) -> (f32, f32) {
        match self {
            Self::Ellipse((_, y), (_, half)) => (y - half, y + half),
            Self::Polygon(points) => points
                .iter()
                .fold((f32::MAX, f32::MIN), |(top, bottom), (_, y)| {
                    (top.min(*y), bottom.max(*y))
                }),
        }
    }

    /// From where to where the line at `y` lies inside.
    fn span(&self, y: f32) -> Option<(f32, f32)> {
        match self {
            Self::Ellipse((cx, cy), (rx, ry)) => {
                let inside = 1.0 - ((y - cy) / ry).powi(2);
                (inside > 0.0).then(|| (cx - rx * inside.sqrt(), cx + rx * inside.sqrt()))
            }
            Self::Polygon(points) => {
                let edges = points.iter().zip(points.iter().cycle().skip(1));
                let (left, right) = edges
                    .filter_map(|(a, b)| crossing(*a, *b, y))
                    .fold((f32::MAX, f32::MIN), |(left, right), x| {
                        (left.min(x), right.max(x))
                    });
                (left < right).then_some((left, right))
            }
        }
    }
}

fn crossing((ax, ay): Point, (bx, by): Point, y: f32) -> Option<f32> {
    if (ay <= y) == (by <= y) {
        return None;
    }
    Some(ax + (bx - ax) * (y - ay) / (by - ay))
}

/// An outline with a colour.
#[derive(Debug, Clone)]
pub struct Thing {
    outline: Outline,
    top: f32,
    bottom: f32,
    colour: Rgb,
    /// How much the surface varies in brightness.
    grain: f32,
    /// 1 hides what is behind.
    cover: f32,
}

impl Thing {
    /// A thing of one even colour.
    pub fn new(outline: Outline, colour: Rgb) -> Self {
        let (top, bottom) = outline.extent();
        Self {
            outline,
            top,
            bottom,
            colour,
            grain: 0.0,
            cover: 1.0,
        }
    }

    /// Makes the surface uneven.
    pub fn grained(self, grain: f32) -> Self {
        Self { grain, ..self }
    }

    /// Lets the background shine through.
    pub fn covering(self, cover: f32) -> Self {
        Self { cover, ..self }
    }
}

/// A polygon of one colour.
pub fn polygon<const N: usize>(points: [Point; N], colour: Rgb) -> Thing {
    Thing::new(Outline::Polygon(points.to_vec()), colour)
}

/// An ellipse of one colour.
pub fn ellipse(centre: Point, half: Point, colour: Rgb) -> Thing {
    Thing::new(Outline::Ellipse(centre, half), colour)
}

/// How many lines of each row are looked at to smooth edges.
const LINES: usize = 4;

/// Lays things over rows; keeps its working memory between them.
#[derive(Default)]
pub struct Brush {
    coverage: Vec<f32>,
}

impl Brush {
    /// Paints whatever of `things` touches row `y` (of `rows`) over `out`, in their order.
    pub fn paint(
        &mut self,
        things: &[Thing],
        texture: &Texture,
        y: usize,
        rows: f32,
        out: &mut [Rgb],
    ) {
        let (top, bottom) = (y as f32 / rows, (y + 1) as f32 / rows);
        for thing in things {
            if thing.bottom > top && thing.top < bottom {
                self.paint_one(thing, texture, y, rows, out);
            }
        }
    }

    fn paint_one(
        &mut self,
        thing: &Thing,
        texture: &Texture,
        y: usize,
        rows: f32,
        out: &mut [Rgb],
    ) {
        let spans: [Option<(f32, f32)>; LINES] = std::array::from_fn(|line| {
            let height = (y as f32 + (line as f32 + 0.5) / LINES as f32) / rows;
            thing
                .outline
                .span(height)
                .map(|(left, right)| (left * rows, right * rows))
        });
        let left = spans
            .iter()
            .flatten()
            .fold(f32::MAX, |left, span| left.min(span.0))
            .max(0.0)
            .floor() as usize;
        let right = spans
            .iter()
            .flatten()
            .fold(0.0f32, |right, span| right.max(span.1))
            .ceil() as usize;
        let Some(pixels) = out.get_mut(left..right.min(out.len())) else {
            return;
        };
        self.coverage.clear();
        self.coverage.resize(pixels.len(), 0.0);
        for (from, to) in spans.into_iter().flatten() {
            add_span(&mut self.coverage, from - left as f32, to - left as f32);
        }
        let v = y as f32 / rows;
        for (x, (pixel, coverage)) in pixels.iter_mut().zip(&self.coverage).enumerate() {
            let colour = if thing.grain > 0.0 {
                let u = (left + x) as f32 / rows;
                thing
                    .colour
                    .scaled(1.0 + thing.grain * (texture.at(u * 9.0, v * 9.0) - 0.5))
            } else {
                thing.colour
            };
            *pixel = pixel.mixed(colour, coverage * thing.cover);
        }
    }
}

/// Adds the part of each pixel that lies between `from` and `to`.
fn add_span(coverage: &mut [f32], from: f32, to: f32) {
    let first = from.max(0.0) as usize;
    let count = (to.ceil() as usize).saturating_sub(first);
    for (x, value) in coverage.iter_mut().enumerate().skip(first).take(count) {
        let overlap = (to.min(x as f32 + 1.0) - from.max(x as f32)).clamp(0.0, 1.0);
        *value += overlap / LINES as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(thing: Thing) -> Vec<f32> {
        let mut out = Vec::new();
        for y in 0..10 {
            let mut row = vec![Rgb::BLACK; 10];
            Brush::default().paint(
                std::slice::from_ref(&thing),
                &Texture::new(1),
                y,
                10.0,
                &mut row,
            );
            out.extend(row.iter().map(|pixel| pixel.r));
        }
        out
    }

    #[test]
    fn the_painted_area_is_the_area_of_the_shape() {
        let white = Rgb::new(1.0, 1.0, 1.0);
        let square = painted(polygon(
            [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)],
            white,
        ));
        assert!((square.iter().sum::<f32>() - 25.0).abs() < 0.01);
        let disc = painted(ellipse((0.5, 0.5), (0.4, 0.4), white));
        assert!((disc.iter().sum::<f32>() - 50.3).abs() < 1.0);
    }

    #[test]
    fn a_shape_beyond_the_edge_is_cut_off() {
        let white = Rgb::new(1.0, 1.0, 1.0);
        let out = painted(polygon(
            [(-1.0, -1.0), (3.0, -1.0), (3.0, 3.0), (-1.0, 3.0)],
            white,
        ));
        assert!(out.iter().all(|value| (value - 1.0).abs() < 1e-4));
        assert!(
            painted(ellipse((5.0, 0.5), (0.2, 0.2), white))
                .iter()
                .all(|value| *value == 0.0)
        );
        assert!(
            painted(ellipse((-5.0, 0.5), (0.2, 0.2), white))
                .iter()
                .all(|value| *value == 0.0)
        );
    }
}

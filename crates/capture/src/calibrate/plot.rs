//! The quality of a map as a picture: both distributions, and the sensor from above.
//!
//! The picture is SVG, so it needs no encoder and no font of ours, and stays sharp at every size.

use super::map::Quality;

/// Bars of a histogram. Values of a map have eight bits, so two of them share a bar.
const BARS: usize = 128;
/// Columns of the sensor seen from above: enough to see a shadow, few enough for a small file.
const COLUMNS: usize = 96;
/// Shades between blue and red, with white in the middle.
const SHADES: usize = 21;

/// Draws the report.
pub(super) fn report(
    dark: &[i8],
    gain: &[i8],
    width: usize,
    quality: &Quality,
    title: &str,
) -> String {
    let lines = [
        format!(
            "gain deviation {:.2} permille",
            quality.gain_deviation * 1_000.0
        ),
        format!("dark deviation {:.2} counts", quality.dark_deviation),
        format!("gain repeatability {:.3}", quality.gain_repeatability),
        format!("dark repeatability {:.3}", quality.dark_repeatability),
        format!("defective pixels {}", quality.defective),
    ];
    let mut out = concat!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 520\"",
        " font-family=\"sans-serif\" font-size=\"13\">\n",
        "<rect width=\"720\" height=\"520\" fill=\"#fff\"/>\n",
    )
    .to_owned();
    out += &text((24, 28), title);
    out += &text((24, 58), "gain of pixels, -12 % to +12 %");
    out += &histogram((24, 66), gain, "#2e6eb4");
    out += &text((24, 220), "dark level, -16 to +16 counts");
    out += &histogram((24, 228), dark, "#d67828");
    for (line, said) in lines.iter().enumerate() {
        out += &text((24, 396 + line * 22), said);
    }
    out += &text((390, 58), "gain from above, -0.4 % to +0.4 %");
    out += &from_above((390, 66), gain, width);
    out + "</svg>\n"
}

fn text((x, y): (usize, usize), said: &str) -> String {
    let escaped = said.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x}\" y=\"{y}\">{escaped}</text>\n")
}

fn histogram((left, top): (usize, usize), values: &[i8], colour: &str) -> String {
    let mut counts = vec![0_usize; BARS];
    for value in values.iter().filter(|value| **value != i8::MIN) {
        let bar = usize::from(value.wrapping_sub(i8::MIN).cast_unsigned()) / 2;
        if let Some(count) = counts.get_mut(bar) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().fold(1, usize::max);
    let bars: String = counts
        .into_iter()
        .enumerate()
        .map(|(bar, count)| {
            let tall = count * 120 / most;
            format!("M{} 120v-{tall}h2v{tall}z", bar * 2)
        })
        .collect();
    format!(
        concat!(
            "<g transform=\"translate({left} {top})\">",
            "<rect width=\"256\" height=\"120\" fill=\"#dedee2\"/>",
            "<path d=\"{bars}\" fill=\"{colour}\"/>",
            "<path d=\"M0 120h256M128 120v5\" stroke=\"#282830\"/></g>\n",
        ),
        left = left,
        top = top,
        bars = bars,
        colour = colour,
    )
}

/// Means of blocks of pixels: a good map is even grey noise, a bad one shows shadows of what was
/// before the lens.
fn from_above((left, top): (usize, usize), gain: &[i8], width: usize) -> String {
    let width = width.max(1);
    // An even side keeps the colours of the filter in equal numbers.
    let block = width.div_ceil(COLUMNS).max(2).next_multiple_of(2);
    let mut cells = vec![String::new(); SHADES];
    for y in 0..gain.len() / width / block {
        for x in 0..width / block {
            let rows = gain.chunks(width).skip(y * block).take(block);
            let values = rows.flat_map(|row| row.iter().skip(x * block).take(block));
            if let Some(cell) = cells.get_mut(shade(values)) {
                *cell += &format!("M{x} {y}h1v1h-1z");
            }
        }
    }
    let paths: String = cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| !cell.is_empty())
        .map(|(shade, cell)| format!("<path fill=\"{}\" d=\"{cell}\"/>\n", colour(shade)))
        .collect();
    format!("<g transform=\"translate({left} {top}) scale(3.2)\">\n{paths}</g>\n")
}

/// The shade of a block: the middle one where its mean is that of the whole sensor.
fn shade<'a>(values: impl Iterator<Item = &'a i8>) -> usize {
    let known = values.filter(|value| **value != i8::MIN);
    let (sum, count) = known.fold((0_i32, 0_i32), |(sum, count), value| {
        (sum + i32::from(*value), count + 1)
    });
    let mean = f64::from(sum) / f64::from(count.max(1)) / 1_024.0;
    let middle = (SHADES / 2) as f64;
    ((mean / 0.004).clamp(-1.0, 1.0) * middle + middle).round() as usize
}

fn colour(shade: usize) -> String {
    let middle = (SHADES / 2) as f64;
    let t = (shade as f64 - middle) / middle;
    let end = if t < 0.0 {
        [30.0, 80.0, 180.0]
    } else {
        [190.0, 50.0, 40.0]
    };
    let [red, green, blue] = end.map(|end| (250.0 - (250.0 - end) * t.abs()) as u8);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(gain: &[i8], title: &str) -> String {
        let quality = Quality {
            gain_deviation: 0.006,
            dark_deviation: 0.6,
            gain_repeatability: 0.9,
            dark_repeatability: 0.8,
            defective: 3,
        };
        report(gain, gain, 64, &quality, title)
    }

    #[test]
    fn every_element_is_closed_and_a_title_cannot_become_one() {
        let gain: Vec<i8> = (0..64 * 48).map(|n| (n % 11) as i8 - 5).collect();
        let svg = drawn(&gain, "a <script> & more");
        assert!(svg.contains("a &lt;script> &amp; more"));
        for kind in ["svg", "g", "text"] {
            let opened = svg.matches(&format!("<{kind} ")).count();
            assert_eq!(opened, svg.matches(&format!("</{kind}>")).count(), "{kind}");
        }
        assert!(svg.contains("defective pixels 3"));
    }

    #[test]
    fn an_even_sensor_is_one_shade_and_a_shadow_is_another() {
        let even = drawn(&[0; 64 * 48], "even");
        let middle = colour(SHADES / 2);
        assert_eq!(even.matches("h1v1h-1z").count(), 32 * 24);
        assert!(even.contains(&format!("fill=\"{middle}\"")));
        let mut shadowed = [0; 64 * 48];
        shadowed[..64 * 24].fill(-40);
        let shadow = colour(0);
        assert!(!even.contains(&shadow) && drawn(&shadowed, "shadow").contains(&shadow));
    }

    #[test]
    fn the_lowest_and_the_highest_value_have_a_bar_and_defective_pixels_have_none() {
        let svg = histogram((0, 0), &[i8::MIN, i8::MIN + 1, i8::MAX], "#000");
        assert!(svg.contains("M0 120v-120h2v120z") && svg.contains("M254 120v-120h2v120z"));
    }
}

//! The quality of a map as a picture: both distributions, and the sensor from above.

use super::map::Quality;

const WIDTH: usize = 720;
const HEIGHT: usize = 520;
/// White, ink, blue, orange, and light grey; then 201 shades from blue over white to red.
const COLOURS: [[u8; 3]; 5] = [
    [255, 255, 255],
    [40, 40, 48],
    [46, 110, 180],
    [214, 120, 40],
    [222, 222, 226],
];
const SHADES: usize = 201;
const INK: u8 = 1;

/// A picture of palette entries.
struct Canvas(Vec<u8>);

impl Canvas {
    fn dot(&mut self, x: usize, y: usize, colour: u8) {
        if x < WIDTH
            && let Some(dot) = self.0.get_mut(y * WIDTH + x)
        {
            *dot = colour;
        }
    }

    fn fill(&mut self, (left, top): (usize, usize), (width, height): (usize, usize), colour: u8) {
        for y in top..top + height {
            for x in left..left + width {
                self.dot(x, y, colour);
            }
        }
    }

    fn text(&mut self, (left, top): (usize, usize), text: &str) {
        for (place, letter) in text.to_ascii_uppercase().bytes().enumerate() {
            for (row, bits) in glyph(letter).into_iter().enumerate() {
                for column in (0..3).filter(|column| bits & (4 >> column) != 0) {
                    self.fill((left + place * 8 + column * 2, top + row * 2), (2, 2), INK);
                }
            }
        }
    }
}

/// Draws the report and encodes it as a PNG.
pub(super) fn report(
    dark: &[i8],
    gain: &[i8],
    width: usize,
    quality: &Quality,
    title: &str,
) -> Vec<u8> {
    let mut canvas = Canvas(vec![0; WIDTH * HEIGHT]);
    canvas.text((24, 18), title);
    canvas.text((24, 48), "gain of pixels, -12% to +12%");
    histogram(&mut canvas, (24, 66), gain, 2);
    canvas.text((24, 210), "dark level, -16 to +16 counts");
    histogram(&mut canvas, (24, 228), dark, 3);
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
    for (line, text) in lines.iter().enumerate() {
        canvas.text((24, 384 + line * 22), text);
    }
    canvas.text((390, 48), "gain from above, -0.4% to +0.4%");
    from_above(&mut canvas, (390, 66), gain, width);
    png(&canvas)
}

fn histogram(canvas: &mut Canvas, (left, top): (usize, usize), values: &[i8], colour: u8) {
    let (bars, height) = (128usize, 120usize);
    let mut counts = vec![0usize; bars];
    for value in values.iter().filter(|value| **value != i8::MIN) {
        let bar = (i32::from(*value) + 128) as usize / 2;
        if let Some(count) = counts.get_mut(bar) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    canvas.fill((left, top), (bars * 2, height), 4);
    for (bar, count) in counts.into_iter().enumerate() {
        let tall = count * height / most;
        canvas.fill((left + bar * 2, top + height - tall), (2, tall), colour);
    }
    canvas.fill((left, top + height), (bars * 2, 1), INK);
    canvas.fill((left + bars, top + height), (1, 5), INK);
}

/// Means of blocks of pixels: a good map is even grey noise, a bad one shows shadows of what was before the lens.
fn from_above(canvas: &mut Canvas, (left, top): (usize, usize), gain: &[i8], width: usize) {
    let height = gain.len() / width.max(1);
    let block = width.div_ceil(306).max(2).next_multiple_of(2);
    for y in 0..height / block {
        for x in 0..width / block {
            let rows = gain.chunks(width).skip(y * block).take(block);
            let part = rows
                .flat_map(|row| row.iter().skip(x * block).take(block))
                .filter(|value| **value != i8::MIN);
            let (sum, count) = part.fold((0i32, 0i32), |(sum, count), value| {
                (sum + i32::from(*value), count + 1)
            });
            let mean = f64::from(sum) / f64::from(count.max(1)) / 1_024.0;
            let shade = (mean / 0.004).clamp(-1.0, 1.0) * 100.0 + 100.0;
            canvas.dot(left + x, top + y, (COLOURS.len() + shade as usize) as u8);
        }
    }
}

fn palette() -> Vec<u8> {
    let shade = |n: usize| {
        let t = n as f64 / 100.0 - 1.0;
        let fade = |toward: f64| (250.0 - (250.0 - toward) * t.abs()) as u8;
        if t < 0.0 {
            [fade(30.0), fade(80.0), fade(180.0)]
        } else {
            [fade(190.0), fade(50.0), fade(40.0)]
        }
    };
    COLOURS
        .into_iter()
        .chain((0..SHADES).map(shade))
        .flatten()
        .collect()
}

/// An uncompressed PNG with a palette: small enough, and nothing to depend on.
fn png(canvas: &Canvas) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend((WIDTH as u32).to_be_bytes());
    header.extend((HEIGHT as u32).to_be_bytes());
    header.extend([8, 3, 0, 0, 0]);
    chunk(&mut out, b"IHDR", &header);
    chunk(&mut out, b"PLTE", &palette());
    let rows: Vec<u8> = canvas
        .0
        .chunks(WIDTH)
        .flat_map(|row| std::iter::once(&0).chain(row))
        .copied()
        .collect();
    chunk(&mut out, b"IDAT", &stored(&rows));
    chunk(&mut out, b"IEND", &[]);
    out
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) {
    out.extend((content.len() as u32).to_be_bytes());
    let checked = [kind, content].concat();
    out.extend(&checked);
    out.extend(crc32(&checked).to_be_bytes());
}

/// A zlib stream of stored blocks.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks = bytes.chunks(65_535).count();
    for (number, block) in bytes.chunks(65_535).enumerate() {
        let length = block.len() as u16;
        out.push(u8::from(number + 1 == blocks));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        })
    })
}

/// Five rows of three dots.
const fn glyph(letter: u8) -> [u8; 5] {
    match letter {
        b'0' | b'O' => [7, 5, 5, 5, 7],
        b'1' => [2, 6, 2, 2, 7],
        b'2' => [7, 1, 7, 4, 7],
        b'3' => [7, 1, 3, 1, 7],
        b'4' => [5, 5, 7, 1, 1],
        b'5' | b'S' => [7, 4, 7, 1, 7],
        b'6' => [7, 4, 7, 5, 7],
        b'7' => [7, 1, 2, 2, 2],
        b'8' => [7, 5, 7, 5, 7],
        b'9' => [7, 5, 7, 1, 7],
        b'A' => [2, 5, 7, 5, 5],
        b'B' => [6, 5, 6, 5, 6],
        b'C' => [3, 4, 4, 4, 3],
        b'D' => [6, 5, 5, 5, 6],
        b'E' => [7, 4, 6, 4, 7],
        b'F' => [7, 4, 6, 4, 4],
        b'G' => [3, 4, 5, 5, 3],
        b'H' => [5, 5, 7, 5, 5],
        b'I' => [7, 2, 2, 2, 7],
        b'J' => [1, 1, 1, 5, 2],
        b'K' => [5, 5, 6, 5, 5],
        b'L' => [4, 4, 4, 4, 7],
        b'M' => [5, 7, 7, 5, 5],
        b'N' => [6, 5, 5, 5, 5],
        b'P' => [6, 5, 6, 4, 4],
        b'Q' => [2, 5, 5, 2, 1],
        b'R' => [6, 5, 6, 5, 5],
        b'T' => [7, 2, 2, 2, 2],
        b'U' => [5, 5, 5, 5, 7],
        b'V' => [5, 5, 5, 5, 2],
        b'W' => [5, 5, 7, 7, 5],
        b'X' => [5, 5, 2, 5, 5],
        b'Y' => [5, 5, 2, 2, 2],
        b'Z' => [7, 1, 2, 4, 7],
        b'.' => [0, 0, 0, 0, 2],
        b',' => [0, 0, 0, 2, 4],
        b'-' => [0, 0, 7, 0, 0],
        b'+' => [0, 2, 7, 2, 0],
        b'%' => [5, 1, 2, 4, 5],
        b':' => [0, 2, 0, 2, 0],
        b'/' => [1, 1, 2, 4, 4],
        _ => [0; 5],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_published_ones() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        let stream = stored(b"Wikipedia");
        assert_eq!(stream[stream.len() - 4..], 0x11E6_0398u32.to_be_bytes());
    }

    #[test]
    fn the_report_is_a_png_we_can_read_ourselves() {
        let quality = Quality {
            gain_deviation: 0.006,
            dark_deviation: 0.6,
            gain_repeatability: 0.9,
            dark_repeatability: 0.8,
            defective: 3,
        };
        let gain: Vec<i8> = (0..64 * 48).map(|n| (n % 11) as i8 - 5).collect();
        let png = report(&gain, &gain, 64, &quality, "sensor map");
        birthmark_protocol::image_data::image_data(&png).unwrap();
    }
}

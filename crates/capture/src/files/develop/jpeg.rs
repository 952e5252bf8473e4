//! The developed picture as a JPEG file.

use birthmark_sensor::Picture;
use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

/// Why there is no JPEG.
#[derive(Debug, thiserror::Error)]
pub enum JpegError {
    /// JPEG counts sides in 16 bits.
    #[error("a picture of {0}x{1} points is too large for JPEG")]
    TooLarge(usize, usize),
    /// The encoder refused.
    #[error("the picture could not be encoded: {0}")]
    Encoder(#[from] EncodingError),
}

/// Encodes `picture` with halved colour resolution; `exif` goes before the picture, so that the
/// file is complete when it is hashed.
pub fn encode_jpeg(
    picture: &Picture,
    quality: u8,
    exif: Option<&[u8]>,
) -> Result<Vec<u8>, JpegError> {
    let too_large = |_| JpegError::TooLarge(picture.width, picture.height);
    let width = u16::try_from(picture.width).map_err(too_large)?;
    let height = u16::try_from(picture.height).map_err(too_large)?;
    let mut bytes = Vec::with_capacity(picture.rgb.len() / 6);
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    if let Some(exif) = exif {
        encoder.add_exif_metadata(exif)?;
    }
    encoder.encode(&picture.rgb, width, height, ColorType::Rgb)?;
    Ok(bytes)
}

/// A small version, at most `side` points wide and high: each point is the mean of the square it
/// stands for.
pub fn thumbnail(picture: &Picture, side: usize) -> Picture {
    let step = picture
        .width
        .max(picture.height)
        .div_ceil(side.max(1))
        .max(1);
    let (width, height) = (
        (picture.width / step).max(1),
        (picture.height / step).max(1),
    );
    let mut rgb = Vec::with_capacity(width * height * 3);
    let stride = (picture.width * 3).max(1);
    let mut sums = vec![[0u32; 3]; width];
    let weight = (step * step) as u32;
    for rows in picture.rgb.chunks(stride * step).take(height) {
        sums.fill([0; 3]);
        for row in rows.chunks(stride) {
            for (sum, square) in sums.iter_mut().zip(row.chunks(step * 3)) {
                add_points(sum, square);
            }
        }
        rgb.extend(
            sums.iter()
                .flatten()
                .map(|sum| (sum / weight).min(255) as u8),
        );
    }
    Picture { width, height, rgb }
}

fn add_points([red, green, blue]: &mut [u32; 3], points: &[u8]) {
    for [r, g, b] in points.as_chunks::<3>().0 {
        *red += u32::from(*r);
        *green += u32::from(*g);
        *blue += u32::from(*b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Picture {
        let rgb = (0..width * height)
            .flat_map(|n| [(n % width) as u8, (n / width) as u8, 90])
            .collect();
        Picture { width, height, rgb }
    }

    #[test]
    fn the_thumbnail_keeps_the_proportions_and_the_mean() {
        let small = thumbnail(&picture(64, 48), 16);
        assert_eq!(
            (small.width, small.height, small.rgb.len()),
            (16, 12, 16 * 12 * 3)
        );
        assert_eq!(&small.rgb[..3], [1, 1, 90]);
        assert_eq!(&small.rgb[small.rgb.len() - 3..], [61, 45, 90]);
        assert_eq!(thumbnail(&picture(2, 2), 160), picture(2, 2));
    }

    #[test]
    fn the_exif_block_stands_before_the_picture() {
        let bytes = encode_jpeg(&picture(32, 16), 95, Some(b"II*\0block")).unwrap();
        assert!(bytes.starts_with(&[0xff, 0xd8]) && bytes.ends_with(&[0xff, 0xd9]));
        assert!(
            bytes[..64]
                .windows(15)
                .any(|part| part == b"Exif\0\0II*\0block")
        );
    }

    #[test]
    fn a_picture_that_jpeg_cannot_hold_is_an_error() {
        let error = encode_jpeg(
            &Picture {
                width: 70_000,
                height: 1,
                rgb: vec![0; 210_000],
            },
            95,
            None,
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "a picture of 70000x1 points is too large for JPEG"
        );
    }
}

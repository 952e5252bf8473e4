//! The raw frame as a DNG file: what raw converters open, and from which anybody can recompute the
//! raw digest.
//!
//! The samples are stored without loss, 16 bits each, as other cameras of this kind do. The first
//! directory is a small picture for file managers, the second the sensor's frame.

use birthmark_sensor::colour::{SRGB_FROM_XYZ, camera_from_xyz, inverse, product};
use birthmark_sensor::{
    CfaOrder, ClockQuality, Exposure, FrameError, Matrix, Moment, Picture, RawFrame, Shot,
    WHITE_LEVEL,
};

use crate::files::exif::Caption;
use crate::files::tag;
use crate::files::tiff::{self, Directory, Entry, Reader, TiffError, Value};

const COLOUR_FILTER: u16 = 32_803;
const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Writes a DNG; `thumbnail` is the picture that file managers show.
pub fn write_dng(frame: &RawFrame, caption: &Caption<'_>, thumbnail: &Picture) -> Vec<u8> {
    let exposure = caption.exposure;
    let first = caption
        .directory()
        .with(tag::NEW_SUBFILE_TYPE, Value::Longs(vec![1]))
        .with(tag::IMAGE_WIDTH, Value::Longs(vec![thumbnail.width as u32]))
        .with(
            tag::IMAGE_LENGTH,
            Value::Longs(vec![thumbnail.height as u32]),
        )
        .with(tag::BITS_PER_SAMPLE, Value::Shorts(vec![8, 8, 8]))
        .with(tag::COMPRESSION, Value::Shorts(vec![1]))
        .with(tag::PHOTOMETRIC_INTERPRETATION, Value::Shorts(vec![2]))
        .with(tag::STRIP_OFFSETS, Value::Block(thumbnail.rgb.clone()))
        .with(tag::SAMPLES_PER_PIXEL, Value::Shorts(vec![3]))
        .with(
            tag::ROWS_PER_STRIP,
            Value::Longs(vec![thumbnail.height as u32]),
        )
        .with(
            tag::STRIP_BYTE_COUNTS,
            Value::Longs(vec![thumbnail.rgb.len() as u32]),
        )
        .with(
            tag::SUB_IFDS,
            Value::Directory(raw_directory(frame, exposure)),
        )
        .with(tag::DNG_VERSION, Value::Bytes(vec![1, 4, 0, 0]))
        .with(tag::DNG_BACKWARD_VERSION, Value::Bytes(vec![1, 1, 0, 0]))
        .with(
            tag::UNIQUE_CAMERA_MODEL,
            Value::Text(format!("{} {}", exposure.make, exposure.model)),
        )
        .with(tag::COLOR_MATRIX_1, colour_matrix(exposure))
        .with(tag::AS_SHOT_NEUTRAL, as_shot_neutral(exposure))
        .with(tag::CALIBRATION_ILLUMINANT_1, Value::Shorts(vec![21]));
    tiff::write(first, None)
}

fn raw_directory(frame: &RawFrame, exposure: &Exposure) -> Directory {
    let samples: Vec<u8> = frame
        .samples()
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    Directory::default()
        .with(tag::NEW_SUBFILE_TYPE, Value::Longs(vec![0]))
        .with(tag::IMAGE_WIDTH, Value::Longs(vec![frame.width() as u32]))
        .with(tag::IMAGE_LENGTH, Value::Longs(vec![frame.height() as u32]))
        .with(tag::BITS_PER_SAMPLE, Value::Shorts(vec![16]))
        .with(tag::COMPRESSION, Value::Shorts(vec![1]))
        .with(
            tag::PHOTOMETRIC_INTERPRETATION,
            Value::Shorts(vec![COLOUR_FILTER]),
        )
        .with(tag::SAMPLES_PER_PIXEL, Value::Shorts(vec![1]))
        .with(
            tag::ROWS_PER_STRIP,
            Value::Longs(vec![frame.height() as u32]),
        )
        .with(
            tag::STRIP_BYTE_COUNTS,
            Value::Longs(vec![samples.len() as u32]),
        )
        .with(tag::STRIP_OFFSETS, Value::Block(samples))
        .with(tag::CFA_REPEAT_PATTERN_DIM, Value::Shorts(vec![2, 2]))
        .with(
            tag::CFA_PATTERN,
            Value::Bytes(frame.order().pattern().to_vec()),
        )
        .with(tag::BLACK_LEVEL, Value::Shorts(vec![exposure.black_level]))
        .with(tag::WHITE_LEVEL, Value::Shorts(vec![WHITE_LEVEL]))
}

fn colour_matrix(exposure: &Exposure) -> Value {
    let matrix =
        camera_from_xyz(&exposure.colour_matrix, exposure.colour_gains).unwrap_or(IDENTITY);
    Value::SignedRationals(
        matrix
            .iter()
            .flatten()
            .map(|value| ((value * 10_000.0).round() as i32, 10_000))
            .collect(),
    )
}

fn as_shot_neutral(exposure: &Exposure) -> Value {
    let [red, blue] = exposure
        .colour_gains
        .map(|gain| ((100_000.0 / gain.max(0.01)).round() as u32, 100_000));
    Value::Rationals(vec![red, (1, 1), blue])
}

/// Why a file is not a DNG we can replay.
#[derive(Debug, thiserror::Error)]
pub enum DngError {
    /// It is not even a TIFF.
    #[error(transparent)]
    Tiff(#[from] TiffError),
    /// No directory holds samples behind a colour filter.
    #[error("there is no raw frame in this file")]
    NoFrame,
    /// The samples are stored in a way we do not read.
    #[error("{0}: only uncompressed 16-bit samples in a two-by-two filter pattern are read")]
    Layout(&'static str),
    /// The samples are no 12-bit frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// Reads the frame of a DNG; every sample is what it was, so its digest is that of the sensor's
/// frame.
pub fn read_frame(bytes: &[u8]) -> Result<RawFrame, DngError> {
    let reader = Reader::new(bytes)?;
    let raw = raw_entries(&reader)?;
    read_samples(&reader, &raw)
}

/// Reads the frame and how it was exposed; what the file does not say is left neutral.
pub fn read_dng(bytes: &[u8]) -> Result<Shot, DngError> {
    let reader = Reader::new(bytes)?;
    let raw = raw_entries(&reader)?;
    let frame = read_samples(&reader, &raw)?;
    let main = reader.directory(reader.first()?)?;
    let exposure = read_exposure(&reader, &main, &raw)?;
    Ok(Shot {
        frame,
        exposure,
        still: None,
    })
}

/// The directory with the sensor's frame: the first one or one below it.
fn raw_entries(reader: &Reader<'_>) -> Result<Vec<Entry>, DngError> {
    let first = reader.first()?;
    let below = numbers(reader, &reader.directory(first)?, tag::SUB_IFDS)?;
    for at in std::iter::once(first).chain(below.into_iter().map(|at| at as usize)) {
        let entries = reader.directory(at)?;
        let is_frame = number(reader, &entries, tag::PHOTOMETRIC_INTERPRETATION)?
            == Some(u32::from(COLOUR_FILTER));
        if is_frame && number(reader, &entries, tag::NEW_SUBFILE_TYPE)?.unwrap_or(0) == 0 {
            return Ok(entries);
        }
    }
    Err(DngError::NoFrame)
}

fn read_samples(reader: &Reader<'_>, raw: &[Entry]) -> Result<RawFrame, DngError> {
    let side = |tag| number(reader, raw, tag)?.ok_or(DngError::Layout("the size is missing"));
    let (width, height) = (side(tag::IMAGE_WIDTH)?, side(tag::IMAGE_LENGTH)?);
    if number(reader, raw, tag::COMPRESSION)?.unwrap_or(1) != 1 {
        return Err(DngError::Layout("the samples are compressed"));
    }
    if numbers(reader, raw, tag::BITS_PER_SAMPLE)? != [16] {
        return Err(DngError::Layout("the samples are not 16 bits wide"));
    }
    let pattern: Vec<u8> = numbers(reader, raw, tag::CFA_PATTERN)?
        .into_iter()
        .map(|colour| colour as u8)
        .collect();
    let order = <[u8; 4]>::try_from(pattern)
        .ok()
        .and_then(CfaOrder::from_pattern);
    let order = order.ok_or(DngError::Layout("the colour filter is another"))?;
    let mut samples = Vec::new();
    let strips = numbers(reader, raw, tag::STRIP_OFFSETS)?
        .into_iter()
        .zip(numbers(reader, raw, tag::STRIP_BYTE_COUNTS)?);
    for (at, length) in strips {
        samples.extend_from_slice(reader.slice(at as usize, length as usize)?);
        if samples.len() > MOST_BYTES {
            return Err(DngError::Layout("the strips are larger than any frame"));
        }
    }
    if reader.big_endian() {
        samples
            .as_chunks_mut::<2>()
            .0
            .iter_mut()
            .for_each(|pair| pair.reverse());
    }
    Ok(RawFrame::from_unpacked(
        width,
        height,
        width as usize * 2,
        order,
        &samples,
    )?)
}

/// Overlapping strips could make a small file look endless.
const MOST_BYTES: usize = 512 << 20;

/// What the file does not say is left neutral: no light, gain 1, no correction of colours.
fn read_exposure(reader: &Reader<'_>, main: &[Entry], raw: &[Entry]) -> Result<Exposure, DngError> {
    let photo = match number(reader, main, tag::EXIF_IFD)? {
        Some(at) => reader.directory(at as usize)?,
        None => Vec::new(),
    };
    let neutral = fractions(reader, main, tag::AS_SHOT_NEUTRAL)?;
    let gain = |index: usize| {
        neutral
            .get(index)
            .map_or(1.0, |value| (1.0 / value.max(0.01)) as f32)
    };
    let seconds = fractions(reader, &photo, tag::EXPOSURE_TIME)?
        .first()
        .copied()
        .unwrap_or(0.0);
    let black = number(reader, raw, tag::BLACK_LEVEL)?;
    let black = black.map_or(Ok(0), u16::try_from);
    let black = black.map_err(|_| DngError::Layout("the black level is above white"))?;
    Ok(Exposure {
        moment: Moment {
            unix_ns: 0,
            clock: ClockQuality::Unset,
        },
        exposure_us: (seconds * 1e6).clamp(0.0, f64::from(u32::MAX)) as u32,
        analogue_gain: number(reader, &photo, tag::PHOTOGRAPHIC_SENSITIVITY)?.unwrap_or(100) as f32
            / 100.0,
        colour_gains: [gain(0), gain(2)],
        colour_matrix: matrix_of(
            &fractions(reader, main, tag::COLOR_MATRIX_1)?,
            [gain(0), gain(2)],
        ),
        colour_temperature: None,
        black_level: black.min(WHITE_LEVEL - 1),
        sensor_temperature: None,
        make: text(reader, main, tag::MAKE)?,
        model: text(reader, main, tag::MODEL)?,
    })
}

/// Undoes `camera_from_xyz`.
fn matrix_of(values: &[f64], [red, blue]: [f32; 2]) -> Matrix {
    let &[a, b, c, d, e, f, g, h, i] = values else {
        return IDENTITY;
    };
    let [first, second, third] =
        [[a, b, c], [d, e, f], [g, h, i]].map(|row| row.map(|value| value as f32));
    let balanced = [
        first.map(|value| value * red),
        second,
        third.map(|value| value * blue),
    ];
    inverse(&balanced).map_or(IDENTITY, |xyz_from_camera| {
        product(&SRGB_FROM_XYZ, &xyz_from_camera)
    })
}

fn find(entries: &[Entry], tag: u16) -> Option<&Entry> {
    entries.iter().find(|entry| entry.tag == tag)
}

fn numbers(reader: &Reader<'_>, entries: &[Entry], tag: u16) -> Result<Vec<u32>, TiffError> {
    find(entries, tag).map_or(Ok(Vec::new()), |entry| reader.numbers(entry))
}

fn number(reader: &Reader<'_>, entries: &[Entry], tag: u16) -> Result<Option<u32>, TiffError> {
    Ok(numbers(reader, entries, tag)?.first().copied())
}

fn fractions(reader: &Reader<'_>, entries: &[Entry], tag: u16) -> Result<Vec<f64>, TiffError> {
    find(entries, tag).map_or(Ok(Vec::new()), |entry| reader.fractions(entry))
}

fn text(reader: &Reader<'_>, entries: &[Entry], tag: u16) -> Result<String, TiffError> {
    find(entries, tag).map_or(Ok(String::new()), |entry| reader.text(entry))
}

#[cfg(test)]
mod tests {
    use birthmark_camera_simulated::Simulated;
    use birthmark_sensor::RawSource as _;
    use time::UtcOffset;

    use super::*;
    use crate::files::develop;

    fn taken() -> (Shot, Vec<u8>) {
        let shot = Simulated::with_size(9, 3, 256, 192).capture().unwrap();
        let picture = develop::thumbnail(&develop::demosaic(&shot.frame, &shot.exposure, 1), 64);
        let caption = Caption {
            exposure: &shot.exposure,
            zone: UtcOffset::UTC,
            position: None,
            size: (256, 192),
            thumbnail: None,
        };
        let bytes = write_dng(&shot.frame, &caption, &picture);
        (shot, bytes)
    }

    #[test]
    fn the_raw_digest_can_be_recomputed_from_the_file() {
        let (shot, bytes) = taken();
        assert_eq!(read_frame(&bytes).unwrap().digest(), shot.frame.digest());
    }

    #[test]
    fn a_replayed_file_develops_like_the_original() {
        let (shot, bytes) = taken();
        let again = read_dng(&bytes).unwrap();
        assert_eq!(
            (again.exposure.exposure_us, again.exposure.iso()),
            (shot.exposure.exposure_us, shot.exposure.iso())
        );
        let (one, two) = (
            develop::demosaic(&shot.frame, &shot.exposure, 1),
            develop::demosaic(&again.frame, &again.exposure, 1),
        );
        let worst = one
            .rgb
            .iter()
            .zip(&two.rgb)
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert!(worst <= Some(2), "{worst:?}");
    }

    #[test]
    fn one_changed_sample_changes_the_digest() {
        let (shot, mut bytes) = taken();
        // Half of the file is far inside the samples; even offsets hold their low bytes.
        let middle = bytes.len() / 4 * 2;
        bytes[middle] ^= 1;
        assert_ne!(read_frame(&bytes).unwrap().digest(), shot.frame.digest());
    }

    #[test]
    fn cut_and_foreign_files_are_refused_with_a_reason() {
        let (_, bytes) = taken();
        for length in [0, 3, 8, 60, 400, bytes.len() / 2, bytes.len() - 1] {
            assert!(read_dng(&bytes[..length]).is_err(), "{length} bytes");
        }
        let picture = tiff::write(
            Directory::default().with(tag::PHOTOMETRIC_INTERPRETATION, Value::Shorts(vec![2])),
            None,
        );
        assert!(matches!(read_frame(&picture), Err(DngError::NoFrame)));
        let no_size = Directory::default().with(
            tag::PHOTOMETRIC_INTERPRETATION,
            Value::Shorts(vec![COLOUR_FILTER]),
        );
        let error = read_frame(&tiff::write(no_size, None)).unwrap_err();
        assert!(error.to_string().starts_with("the size is missing"));
        let eight = Directory::default()
            .with(tag::IMAGE_WIDTH, Value::Shorts(vec![4]))
            .with(tag::IMAGE_LENGTH, Value::Shorts(vec![4]))
            .with(
                tag::PHOTOMETRIC_INTERPRETATION,
                Value::Shorts(vec![COLOUR_FILTER]),
            )
            .with(tag::BITS_PER_SAMPLE, Value::Shorts(vec![8]));
        let error = read_frame(&tiff::write(eight, None)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the samples are not 16 bits wide")
        );
    }
}

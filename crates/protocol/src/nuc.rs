//! The file that holds a camera's NUC map: what its sensor does to every pixel, measured once at
//! provisioning.
//!
//! A map can never be measured twice with the same result, so the file is stored and its SHA-256 is
//! the camera's NUC hash. It proves possession of what was provisioned, not of the sensor; the map
//! itself allows a forensic comparison.
//!
//! ```text
//!   0  8   "BMNUC1" and two zero bytes
//!   8  2   width in pixels            10  2   height in pixels
//!  12  1   colour filter: 0 RGGB, 1 GRBG, 2 GBRG, 3 BGGR
//!  13  1   bits per sample (8–16)
//!  14  8   black level of the four colours of the filter, in its order, 2 bytes each
//!  22  2   dark frames averaged       24  2   flat frames averaged
//!  26  2   zero
//!  28  4   exposure in microseconds   32  4   analogue gain in thousandths
//!  36  4   sensor temperature in thousandths of a degree Celsius, signed
//!  40  8   Unix time of the calibration, signed
//!  48  32  sensor name in printable ASCII, filled up with zero bytes
//!  80  32  random nonce
//! 112  16  zero
//! 128      dark corrections, one signed byte per pixel, row by row: eighths of a count
//!          gain corrections, one signed byte per pixel, row by row: 1/1024 each
//! ```
//!
//! All numbers are big-endian. A correction of −128 marks a defective pixel, in both planes or in
//! neither. The nonce keeps the hash unguessable even where the pattern can be estimated from
//! published photos.

use crate::bytes::{DecodeError, Reader};
use crate::derivation::NucHash;
use crate::digest::Digest;
use crate::numbers::Timestamp;

const MAGIC: &[u8; 8] = b"BMNUC1\0\0";
const HEADER_LENGTH: usize = 128;
const SENSOR_LENGTH: usize = 32;
/// Marks a pixel that says nothing.
pub const DEFECTIVE: i8 = -128;

/// Which colour sees which pixel: the two upper and the two lower pixels of each square.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ColourFilter {
    /// Red, green, green, blue.
    Rggb = 0,
    /// Green, red, blue, green.
    Grbg = 1,
    /// Green, blue, red, green.
    Gbrg = 2,
    /// Blue, green, green, red.
    Bggr = 3,
}

/// How and when a map was measured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NucHeader {
    /// Pixels per row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// The sensor's colour filter.
    pub filter: ColourFilter,
    /// Bits per sample.
    pub bit_depth: u8,
    /// Black levels, in the order of the filter.
    pub black_levels: [u16; 4],
    /// How many dark frames were averaged.
    pub dark_frames: u16,
    /// How many flat frames were averaged.
    pub flat_frames: u16,
    /// Exposure of every frame.
    pub exposure_us: u32,
    /// Analogue gain of every frame, in thousandths.
    pub gain_milli: u32,
    /// The sensor's temperature, in thousandths of a degree Celsius.
    pub temperature_milli: i32,
    /// When the map was measured.
    pub time: Timestamp,
    /// The sensor's name.
    pub sensor: String,
    /// 32 random bytes.
    pub nonce: [u8; 32],
}

/// A NUC map: header and one correction of each kind per pixel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NucMap {
    header: NucHeader,
    dark: Vec<i8>,
    gain: Vec<i8>,
}

/// Why something is not a NUC map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NucError {
    /// The file is not in this format, or ends early or late.
    #[error("not a NUC map: {0}")]
    Decode(#[from] DecodeError),
    /// The file begins differently.
    #[error("not a NUC map: it does not begin with BMNUC1")]
    Magic,
    /// A plane has another size than the picture.
    #[error("the {plane} plane has {got} corrections for {expected} pixels")]
    PlaneSize {
        /// Which plane.
        plane: &'static str,
        /// How many corrections there are.
        got: usize,
        /// How many pixels there are.
        expected: usize,
    },
    /// A header value that no measurement gives.
    #[error("{0} has a value that is not allowed")]
    Header(&'static str),
    /// A pixel is defective in one plane only.
    #[error("pixel {0} is defective in one plane and not in the other")]
    HalfDefective(usize),
}

impl NucMap {
    /// Puts a map together from its header and two planes, row by row.
    pub fn new(header: NucHeader, dark: Vec<i8>, gain: Vec<i8>) -> Result<Self, NucError> {
        header.check()?;
        let expected = header.pixels();
        for (plane, got) in [("dark", dark.len()), ("gain", gain.len())] {
            if got != expected {
                return Err(NucError::PlaneSize {
                    plane,
                    got,
                    expected,
                });
            }
        }
        let half = dark
            .iter()
            .zip(&gain)
            .position(|(dark, gain)| (*dark == DEFECTIVE) != (*gain == DEFECTIVE));
        half.map_or(Ok(Self { header, dark, gain }), |pixel| {
            Err(NucError::HalfDefective(pixel))
        })
    }

    /// How and when it was measured.
    pub const fn header(&self) -> &NucHeader {
        &self.header
    }

    /// Dark corrections in eighths of a count, row by row.
    pub fn dark(&self) -> &[i8] {
        &self.dark
    }

    /// Gain corrections in 1/1024, row by row.
    pub fn gain(&self) -> &[i8] {
        &self.gain
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.header.encode();
        out.reserve_exact(self.dark.len() + self.gain.len());
        out.extend(
            self.dark
                .iter()
                .chain(&self.gain)
                .flat_map(|correction| correction.to_be_bytes()),
        );
        out
    }

    /// Reads a file; anything else than exactly one map is refused.
    pub fn decode(file: &[u8]) -> Result<Self, NucError> {
        let mut reader = Reader::new(file);
        let header = NucHeader::decode(&mut reader)?;
        let dark = plane(reader.slice(header.pixels(), "dark corrections")?);
        let gain = plane(reader.slice(header.pixels(), "gain corrections")?);
        reader.end()?;
        Self::new(header, dark, gain)
    }
}

/// The NUC hash of a file: SHA-256 of all its bytes.
pub fn nuc_hash(file: &[u8]) -> NucHash {
    NucHash::from_bytes(*Digest::of(file).as_bytes())
}

impl NucHeader {
    /// How many pixels there are.
    pub fn pixels(&self) -> usize {
        usize::from(self.width) * usize::from(self.height)
    }

    fn check(&self) -> Result<(), NucError> {
        let rules = [
            ("width", self.width > 0),
            ("height", self.height > 0),
            ("bits per sample", (8..=16).contains(&self.bit_depth)),
            ("dark frames", self.dark_frames > 0),
            ("flat frames", self.flat_frames > 0),
            ("exposure", self.exposure_us > 0),
            ("gain", self.gain_milli > 0),
            (
                "sensor name",
                (1..=SENSOR_LENGTH).contains(&self.sensor.len()),
            ),
            (
                "sensor name",
                self.sensor
                    .bytes()
                    .all(|byte| (b' '..=b'~').contains(&byte)),
            ),
        ];
        rules
            .into_iter()
            .find(|(_, holds)| !holds)
            .map_or(Ok(()), |(name, _)| Err(NucError::Header(name)))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LENGTH);
        out.extend(MAGIC);
        out.extend(self.width.to_be_bytes());
        out.extend(self.height.to_be_bytes());
        out.extend([self.filter as u8, self.bit_depth]);
        out.extend(
            self.black_levels
                .iter()
                .flat_map(|level| level.to_be_bytes()),
        );
        out.extend(self.dark_frames.to_be_bytes());
        out.extend(self.flat_frames.to_be_bytes());
        out.extend([0; 2]);
        out.extend(self.exposure_us.to_be_bytes());
        out.extend(self.gain_milli.to_be_bytes());
        out.extend(self.temperature_milli.to_be_bytes());
        out.extend(self.time.unix().to_be_bytes());
        out.extend(
            self.sensor
                .bytes()
                .chain(std::iter::repeat(0))
                .take(SENSOR_LENGTH),
        );
        out.extend(self.nonce);
        out.extend([0; 16]);
        out
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, NucError> {
        if reader.array("header")? != *MAGIC {
            return Err(NucError::Magic);
        }
        let header = Self {
            width: u16::from_be_bytes(reader.array("width")?),
            height: u16::from_be_bytes(reader.array("height")?),
            filter: ColourFilter::from_byte(reader.byte("colour filter")?)
                .ok_or(NucError::Header("colour filter"))?,
            bit_depth: reader.byte("bits per sample")?,
            black_levels: black_levels(reader)?,
            dark_frames: u16::from_be_bytes(reader.array("dark frames")?),
            flat_frames: {
                let frames = u16::from_be_bytes(reader.array("flat frames")?);
                zeros::<2>(reader)?;
                frames
            },
            exposure_us: u32::from_be_bytes(reader.array("exposure")?),
            gain_milli: u32::from_be_bytes(reader.array("gain")?),
            temperature_milli: i32::from_be_bytes(reader.array("temperature")?),
            time: Timestamp::from_unix(i64::from_be_bytes(reader.array("time")?)),
            sensor: sensor_name(reader)?,
            nonce: reader.array("nonce")?,
        };
        zeros::<16>(reader)?;
        header.check()?;
        Ok(header)
    }
}

impl ColourFilter {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Rggb),
            1 => Some(Self::Grbg),
            2 => Some(Self::Gbrg),
            3 => Some(Self::Bggr),
            _ => None,
        }
    }
}

fn black_levels(reader: &mut Reader<'_>) -> Result<[u16; 4], DecodeError> {
    let mut levels = [0; 4];
    for level in &mut levels {
        *level = u16::from_be_bytes(reader.array("black levels")?);
    }
    Ok(levels)
}

fn zeros<const N: usize>(reader: &mut Reader<'_>) -> Result<(), NucError> {
    if reader.array("header")? == [0; N] {
        Ok(())
    } else {
        Err(NucError::Header("a reserved field"))
    }
}

fn sensor_name(reader: &mut Reader<'_>) -> Result<String, NucError> {
    let field: [u8; SENSOR_LENGTH] = reader.array("sensor name")?;
    let text = std::str::from_utf8(&field).map_err(|_| NucError::Header("sensor name"))?;
    // A zero byte inside the name stays in it and is refused as not printable.
    Ok(text.trim_end_matches('\0').to_owned())
}

fn plane(bytes: &[u8]) -> Vec<i8> {
    bytes
        .iter()
        .map(|byte| i8::from_be_bytes([*byte]))
        .collect()
}

#[cfg(test)]
mod tests;

//! Directories of tagged values, as EXIF and DNG have them: written little-endian, read in both
//! byte orders.
//!
//! Only what a camera needs: a file is laid out in memory, directory by directory, each followed by
//! the values that do not fit into its entries.

use birthmark_protocol::numbers::at_most;

/// A value of an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Unsigned bytes.
    Bytes(Vec<u8>),
    /// A text; the closing zero is added when written.
    Text(String),
    /// 16-bit numbers.
    Shorts(Vec<u16>),
    /// 32-bit numbers.
    Longs(Vec<u32>),
    /// Fractions of 32-bit numbers.
    Rationals(Vec<(u32, u32)>),
    /// Fractions of signed 32-bit numbers.
    SignedRationals(Vec<(i32, i32)>),
    /// Bytes whose meaning the tag defines.
    Undefined(Vec<u8>),
    /// Where another directory begins.
    Directory(Directory),
    /// Bytes laid out after the directory; the entry says where they begin.
    Block(Vec<u8>),
}

/// Tags with their values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Directory {
    entries: Vec<(u16, Value)>,
}

impl Directory {
    /// Adds an entry; entries are written in the order of their tags, as the format demands.
    pub fn with(mut self, tag: u16, value: Value) -> Self {
        self.entries.push((tag, value));
        self
    }

    /// Adds an entry if there is something to say.
    pub fn with_some(self, tag: u16, value: Option<Value>) -> Self {
        match value {
            Some(value) => self.with(tag, value),
            None => self,
        }
    }
}

/// Writes a file whose first directory is `first`, followed by `second` if there is one.
pub fn write(first: Directory, second: Option<Directory>) -> Vec<u8> {
    let mut out = b"II*\0\x08\0\0\0".to_vec();
    let link = write_directory(&mut out, first);
    if let Some(second) = second {
        let offset = aligned_end(&mut out);
        patch(&mut out, link, offset);
        write_directory(&mut out, second);
    }
    out
}

/// Appends a directory and everything it refers to; returns where the link to the next one stands.
fn write_directory(out: &mut Vec<u8>, mut directory: Directory) -> usize {
    directory.entries.sort_by_key(|(tag, _)| *tag);
    let start = out.len();
    let count = directory.entries.len();
    out.extend((count as u16).to_le_bytes());
    out.resize(start + 2 + count * 12 + 4, 0);
    for (index, (tag, value)) in directory.entries.into_iter().enumerate() {
        let entry = write_entry(out, tag, value);
        let at = start + 2 + index * 12;
        if let Some(slot) = out.get_mut(at..at + 12) {
            slot.copy_from_slice(&entry);
        }
    }
    start + 2 + count * 12
}

fn write_entry(out: &mut Vec<u8>, tag: u16, value: Value) -> [u8; 12] {
    let (kind, count, bytes) = match value {
        Value::Directory(directory) => {
            let offset = aligned_end(out);
            write_directory(out, directory);
            (4, 1, offset.to_le_bytes().to_vec())
        }
        Value::Block(block) => {
            let offset = aligned_end(out);
            out.extend(block);
            (4, 1, offset.to_le_bytes().to_vec())
        }
        plain => encode(plain),
    };
    let mut field = [0; 4];
    if let Some(short) = field.get_mut(..bytes.len()) {
        short.copy_from_slice(&bytes);
    } else {
        field = aligned_end(out).to_le_bytes();
        out.extend(bytes);
    }
    let [t0, t1] = tag.to_le_bytes();
    let [k0, k1] = u16::to_le_bytes(kind);
    let [c0, c1, c2, c3] = u32::to_le_bytes(count);
    let [f0, f1, f2, f3] = field;
    [t0, t1, k0, k1, c0, c1, c2, c3, f0, f1, f2, f3]
}

/// The type's number, how many values there are, and their bytes.
fn encode(value: Value) -> (u16, u32, Vec<u8>) {
    match value {
        Value::Bytes(bytes) => (1, bytes.len() as u32, bytes),
        Value::Text(text) => {
            // A zero inside would cut the text short for every reader.
            let bytes: Vec<u8> = text.bytes().filter(|byte| *byte != 0).chain([0]).collect();
            (2, bytes.len() as u32, bytes)
        }
        Value::Shorts(shorts) => (
            3,
            shorts.len() as u32,
            shorts.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Value::Longs(longs) => (
            4,
            longs.len() as u32,
            longs.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Value::Rationals(all) => {
            let bytes = all
                .iter()
                .flat_map(|(n, d)| [n.to_le_bytes(), d.to_le_bytes()])
                .flatten();
            (5, all.len() as u32, bytes.collect())
        }
        Value::SignedRationals(all) => {
            let bytes = all
                .iter()
                .flat_map(|(n, d)| [n.to_le_bytes(), d.to_le_bytes()])
                .flatten();
            (10, all.len() as u32, bytes.collect())
        }
        Value::Undefined(bytes) => (7, bytes.len() as u32, bytes),
        Value::Directory(_) | Value::Block(_) => (4, 0, Vec::new()),
    }
}

/// Values begin at even offsets.
fn aligned_end(out: &mut Vec<u8>) -> u32 {
    if !out.len().is_multiple_of(2) {
        out.push(0);
    }
    at_most(out.len())
}

fn patch(out: &mut [u8], at: usize, offset: u32) {
    if let Some(link) = out.get_mut(at..at + 4) {
        link.copy_from_slice(&offset.to_le_bytes());
    }
}

/// Why bytes are not a TIFF file we can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TiffError {
    /// The first bytes are others.
    #[error("this is not a TIFF file")]
    Magic,
    /// Something lies beyond the end.
    #[error("the file is cut short at byte {0}")]
    Short(usize),
}

/// Reads values out of a TIFF file.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

/// An entry as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What it is about.
    pub tag: u16,
    kind: u16,
    count: u32,
    /// Where its values stand.
    at: usize,
}

impl<'a> Reader<'a> {
    /// Checks the first bytes.
    pub fn new(bytes: &'a [u8]) -> Result<Self, TiffError> {
        match bytes.get(..4) {
            Some(b"II*\0") => Ok(Self {
                bytes,
                big_endian: false,
            }),
            Some(b"MM\0*") => Ok(Self {
                bytes,
                big_endian: true,
            }),
            _ => Err(TiffError::Magic),
        }
    }

    /// Whether numbers have their high byte first.
    pub const fn big_endian(&self) -> bool {
        self.big_endian
    }

    /// The bytes from `at` on.
    pub fn slice(&self, at: usize, length: usize) -> Result<&'a [u8], TiffError> {
        let end = at.checked_add(length).ok_or(TiffError::Short(at))?;
        self.bytes.get(at..end).ok_or(TiffError::Short(at))
    }

    fn short(&self, at: usize) -> Result<u16, TiffError> {
        let bytes = self
            .slice(at, 2)?
            .try_into()
            .map_err(|_| TiffError::Short(at))?;
        Ok(if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    }

    fn long(&self, at: usize) -> Result<u32, TiffError> {
        let bytes = self
            .slice(at, 4)?
            .try_into()
            .map_err(|_| TiffError::Short(at))?;
        Ok(if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    /// Where the first directory stands.
    pub fn first(&self) -> Result<usize, TiffError> {
        Ok(self.long(4)? as usize)
    }

    /// The entries of the directory at `at`.
    pub fn directory(&self, at: usize) -> Result<Vec<Entry>, TiffError> {
        let count = usize::from(self.short(at)?);
        (0..count)
            .map(|index| self.entry(at + 2 + index * 12))
            .collect()
    }

    fn entry(&self, at: usize) -> Result<Entry, TiffError> {
        let (tag, kind, count) = (self.short(at)?, self.short(at + 2)?, self.long(at + 4)?);
        let size = usize::from(width(kind)).saturating_mul(count as usize);
        let at = if size <= 4 {
            at + 8
        } else {
            self.long(at + 8)? as usize
        };
        Ok(Entry {
            tag,
            kind,
            count,
            at,
        })
    }

    /// The whole numbers of an entry; empty if it holds something else.
    pub fn numbers(&self, entry: &Entry) -> Result<Vec<u32>, TiffError> {
        let step = usize::from(width(entry.kind));
        // Nothing is allocated for values that are not there.
        self.slice(entry.at, step.saturating_mul(entry.count as usize))?;
        let at = |index: u32| entry.at + step * index as usize;
        match entry.kind {
            1 | 7 => Ok(self
                .slice(entry.at, entry.count as usize)?
                .iter()
                .map(|byte| u32::from(*byte))
                .collect()),
            3 => (0..entry.count)
                .map(|index| self.short(at(index)).map(u32::from))
                .collect(),
            4 | 13 => (0..entry.count).map(|index| self.long(at(index))).collect(),
            _ => Ok(Vec::new()),
        }
    }

    /// The fractions of an entry as numbers; empty if it holds something else.
    pub fn fractions(&self, entry: &Entry) -> Result<Vec<f64>, TiffError> {
        self.slice(
            entry.at,
            usize::from(width(entry.kind)).saturating_mul(entry.count as usize),
        )?;
        let at = |index: u32| entry.at + 8 * index as usize;
        let fraction = |index| -> Result<f64, TiffError> {
            let (above, below) = (self.long(at(index))?, self.long(at(index) + 4)?);
            Ok(match entry.kind {
                10 => f64::from(above as i32) / f64::from(below as i32),
                _ => f64::from(above) / f64::from(below),
            })
        };
        match entry.kind {
            5 | 10 => (0..entry.count).map(fraction).collect(),
            _ => Ok(Vec::new()),
        }
    }

    /// The text of an entry; empty if it holds something else.
    pub fn text(&self, entry: &Entry) -> Result<String, TiffError> {
        if entry.kind != 2 {
            return Ok(String::new());
        }
        let bytes = self.slice(entry.at, entry.count as usize)?;
        Ok(String::from_utf8_lossy(bytes)
            .trim_end_matches('\0')
            .to_owned())
    }
}

/// Bytes per value of each type.
const fn width(kind: u16) -> u8 {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(reader: &Reader<'_>, directory: usize, tag: u16) -> Entry {
        reader
            .directory(directory)
            .unwrap()
            .into_iter()
            .find(|entry| entry.tag == tag)
            .unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let inner = Directory::default().with(7, Value::Text("inside".to_owned()));
        let directory = Directory::default()
            .with(900, Value::Longs(vec![1, 2, 70_000]))
            .with(256, Value::Shorts(vec![4056]))
            .with(5, Value::Directory(inner))
            .with(6, Value::SignedRationals(vec![(-1, 4)]))
            .with(8, Value::Block(b"picture".to_vec()));
        let bytes = write(
            directory,
            Some(Directory::default().with(1, Value::Bytes(vec![9]))),
        );
        let reader = Reader::new(&bytes).unwrap();
        let first = reader.first().unwrap();
        let tags: Vec<u16> = reader
            .directory(first)
            .unwrap()
            .iter()
            .map(|entry| entry.tag)
            .collect();
        assert_eq!(tags, [5, 6, 8, 256, 900]);
        let numbers = |tag| reader.numbers(&find(&reader, first, tag)).unwrap();
        assert_eq!(numbers(900), [1, 2, 70_000]);
        assert_eq!(numbers(256), [4056]);
        assert_eq!(reader.fractions(&find(&reader, first, 6)).unwrap(), [-0.25]);
        assert_eq!(reader.slice(numbers(8)[0] as usize, 7).unwrap(), b"picture");
        let inner = find(&reader, numbers(5)[0] as usize, 7);
        assert_eq!(reader.text(&inner).unwrap(), "inside");
    }

    #[test]
    fn big_endian_files_are_read_too() {
        let bytes = b"MM\0*\0\0\0\x08\0\x01\x01\0\0\x03\0\0\0\x01\x0f\xd8\0\0\0\0\0\0";
        let reader = Reader::new(bytes).unwrap();
        assert_eq!(reader.numbers(&find(&reader, 8, 256)).unwrap(), [4056]);
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), big: bool) {
            let magic: &[u8] = if big { b"MM\0*" } else { b"II*\0" };
            bytes.splice(0..0, magic.iter().copied());
            let reader = Reader::new(&bytes).unwrap();
            if let Ok(entries) = reader.first().and_then(|at| reader.directory(at)) {
                for entry in entries {
                    let _ = (reader.numbers(&entry), reader.fractions(&entry), reader.text(&entry));
                }
            }
        }
    }
}

//! How records are packed into a transaction and strictly unpacked again.

use std::collections::BTreeMap;

use birthmark_protocol::one_time::SpentKey;
use birthmark_protocol::{
    Bundle, Capture, DigestRole, ImageClaim, ModificationLevel, PixelSource, Source, Timestamp,
};

use super::*;

const ROOT: u8 = 0b1000;
const LONG_MAKER: u64 = 15;
const NO_PARENT: u8 = 0;
const ORIGINAL_FOLLOWS: u8 = 1;
const KEY_FOLLOWS: u8 = 2;

/// What cameras of one family with the same software share: written once in a transaction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Maker {
    origin: Origin,
    /// Of cameras by one-time key.
    epoch: Option<u32>,
    pixels: Option<Pixels>,
}

/// Where the pixels came from, and the software that says so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pixels {
    source: PixelSource,
    software: Option<Digest>,
}

/// What of the record before a record is written as a difference to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Previous {
    time: i64,
    anchor: u64,
}

impl Maker {
    fn of(record: &Record) -> Self {
        let pixels = record.bundle().capture().map(|capture| Pixels {
            source: capture.source,
            software: capture.software,
        });
        Self {
            origin: record.origin().clone(),
            epoch: record.spent().map(|spent| spent.epoch),
            pixels,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.origin.put(out);
        out.extend(self.epoch.iter().flat_map(|epoch| epoch.to_be_bytes()));
        out.push(self.pixels.map_or(0, |pixels| pixels.source.to_byte()));
        if let Some(pixels) = &self.pixels {
            put_optional32(out, pixels.software.as_ref().map(Digest::as_bytes));
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let origin = Origin::take(reader)?;
        let epoch = if origin.source == Source::CameraOneTime {
            Some(u32::from_be_bytes(reader.array("epoch")?))
        } else {
            None
        };
        let what = "source of the pixels";
        let pixels = match reader.byte(what)? {
            0 => None,
            byte => Some(Pixels {
                source: PixelSource::from_byte(byte).ok_or(DecodeError::Value(what))?,
                software: reader.optional32("software")?.map(Digest::from_bytes),
            }),
        };
        Ok(Self {
            origin,
            epoch,
            pixels,
        })
    }
}

pub(super) fn put_records(out: &mut Vec<u8>, records: &[Record]) {
    let (makers, positions) = intern(records);
    varint::put(out, makers.len() as u64);
    makers.iter().for_each(|maker| maker.put(out));
    varint::put(out, records.len() as u64);
    let mut previous = Previous::default();
    for (record, maker) in records.iter().zip(positions) {
        put_record(out, record, maker, &mut previous);
    }
}

/// Each maker once, in the order of first use, and for each record the position of its own.
fn intern(records: &[Record]) -> (Vec<Maker>, Vec<u64>) {
    let mut seen = BTreeMap::new();
    let mut makers = Vec::new();
    let mut positions = Vec::with_capacity(records.len());
    for maker in records.iter().map(Maker::of) {
        let position = *seen.entry(maker.clone()).or_insert_with(|| {
            makers.push(maker);
            makers.len() as u64 - 1
        });
        positions.push(position);
    }
    (makers, positions)
}

fn put_record(out: &mut Vec<u8>, record: &Record, maker: u64, previous: &mut Previous) {
    let digests = record.images().len() as u8 - 1;
    let bundle = record.bundle();
    let root = match bundle.capture() {
        Some(capture) => capture.disclosure,
        None => bundle.gps(),
    };
    let follows = if root.is_some() { ROOT } else { 0 };
    let short_maker = maker.min(LONG_MAKER);
    out.push(digests | follows | (short_maker as u8) << 4);
    if short_maker == LONG_MAKER {
        varint::put(out, maker - LONG_MAKER);
    }
    let time = record.time().unix();
    varint::put(out, varint::zigzag(time.wrapping_sub(previous.time)));
    previous.time = time;
    put_anchor(out, bundle.anchor(), previous);
    for image in record.images() {
        put_image(out, record, image);
    }
    out.extend(root.iter().flat_map(|root| *root.as_bytes()));
}

fn put_anchor(out: &mut Vec<u8>, anchor: Option<u64>, previous: &mut Previous) {
    let Some(anchor) = anchor else {
        return out.push(0);
    };
    // No anchor is above 2^53, so neither the difference nor one more leaves 64 bits.
    let difference = anchor.wrapping_sub(previous.anchor) as i64;
    varint::put(out, 1 + varint::zigzag(difference));
    previous.anchor = anchor;
}

fn put_image(out: &mut Vec<u8>, record: &Record, image: &ImageClaim) {
    let sibling = image.parent.and_then(|parent| {
        record
            .images()
            .iter()
            .position(|image| image.digest == parent)
    });
    // Only the first digest of a bundle has no sibling as its parent. What a camera took was edited
    // from nothing.
    let (parent, follows) = match (sibling, record.edited_from(), record.spent()) {
        (Some(position), ..) => (position as u8, None),
        (None, Some(original), _) => (ORIGINAL_FOLLOWS, Some(original)),
        (None, None, Some(spent)) => (KEY_FOLLOWS, Some(spent.name)),
        (None, None, None) => (NO_PARENT, None),
    };
    out.push(image.role.to_byte() | image.level.get() << 2 | parent << 4);
    out.extend(image.digest.as_bytes());
    out.extend(follows.iter().flat_map(|follows| *follows.as_bytes()));
}

pub(super) fn take_records(reader: &mut Reader<'_>) -> Result<Vec<Record>, TransactionError> {
    let count = varint::take_count(reader, 1, MAX_RECORDS, "number of makers")?;
    let makers = (0..count)
        .map(|_| Maker::take(reader))
        .collect::<Result<Vec<_>, _>>()?;
    let count = varint::take_count(reader, 1, MAX_RECORDS, "number of records")?;
    let mut unpacking = Unpacking {
        makers: &makers,
        used: 0,
        previous: Previous::default(),
    };
    let mut records = Vec::with_capacity(count);
    for position in 0..count {
        records.push(unpacking.take_record(reader, position)?);
    }
    unpacking.finish()?;
    Ok(records)
}

/// What one record's bytes mean depends on those before it.
struct Unpacking<'a> {
    makers: &'a [Maker],
    used: usize,
    previous: Previous,
}

impl Unpacking<'_> {
    fn take_record(
        &mut self,
        reader: &mut Reader<'_>,
        position: usize,
    ) -> Result<Record, TransactionError> {
        let head = reader.byte("record")?;
        let maker = self.take_maker(reader, head >> 4)?;
        let record = take_claims(reader, head, &mut self.previous, maker)?;
        record.map_err(|error| TransactionError::Record { position, error })
    }

    /// A maker is either one already used or the next new one.
    fn take_maker(&mut self, reader: &mut Reader<'_>, short: u8) -> Result<Maker, DecodeError> {
        let position = take_position(reader, short)?;
        if position > self.used {
            return Err(DecodeError::Value("order of makers"));
        }
        self.used = self.used.max(position + 1);
        self.makers
            .get(position)
            .cloned()
            .ok_or(DecodeError::Value("maker"))
    }

    fn finish(&self) -> Result<(), DecodeError> {
        if self.used != self.makers.len() {
            return Err(DecodeError::Value("a maker that no record uses"));
        }
        let distinct: std::collections::BTreeSet<_> = self.makers.iter().collect();
        if distinct.len() == self.used {
            Ok(())
        } else {
            Err(DecodeError::Value("a maker written twice"))
        }
    }
}

/// Where a record's maker stands among those of its transaction.
fn take_position(reader: &mut Reader<'_>, short: u8) -> Result<usize, DecodeError> {
    let mut position = u64::from(short);
    if position == LONG_MAKER {
        let beyond = varint::take(reader, "maker")?;
        position = beyond
            .checked_add(LONG_MAKER)
            .ok_or(DecodeError::Value("maker"))?;
    }
    usize::try_from(position).map_err(|_| DecodeError::Value("maker"))
}

/// Reads time and anchor; the next record counts from them.
fn take_numbers(
    reader: &mut Reader<'_>,
    previous: &mut Previous,
) -> Result<Option<u64>, DecodeError> {
    let difference = varint::unzigzag(varint::take(reader, "camera time")?);
    previous.time = previous.time.wrapping_add(difference);
    let Some(difference) = varint::take(reader, "anchor")?.checked_sub(1) else {
        return Ok(None);
    };
    let difference = varint::unzigzag(difference) as u64;
    let anchor = previous.anchor.wrapping_add(difference);
    // Also what makes the difference the only one that is written for this anchor.
    if anchor > MAX_ANCHOR {
        return Err(DecodeError::Value("anchor"));
    }
    previous.anchor = anchor;
    Ok(Some(anchor))
}

/// What follows a record's head.
fn take_claims(
    reader: &mut Reader<'_>,
    head: u8,
    previous: &mut Previous,
    maker: Maker,
) -> Result<Result<Record, RecordError>, DecodeError> {
    let anchor = take_numbers(reader, previous)?;
    let time = Timestamp::from_unix(previous.time);
    let mut images = Vec::with_capacity(usize::from(head & 0b111) + 1);
    let mut first = First::default();
    for _ in 0..=(head & 0b111) {
        take_image(reader, &mut images, &mut first)?;
    }
    let spent = match (maker.epoch, first.key) {
        (Some(epoch), Some(name)) => Some(SpentKey { epoch, name }),
        (None, None) => None,
        _ => return Err(DecodeError::Value("name of the one-time key")),
    };
    let root = if head & ROOT == 0 {
        None
    } else {
        Some(reader.array("root")?.into())
    };
    let bundle = match maker.pixels {
        None if anchor.is_some() => return Err(DecodeError::Value("anchor")),
        None => Bundle::new(images, time, root),
        Some(Pixels { source, software }) => {
            let capture = Capture {
                source,
                software,
                anchor,
                disclosure: root,
            };
            Bundle::captured(images, time, capture)
        }
    };
    Ok(bundle
        .map_err(RecordError::from)
        .and_then(|bundle| Record::read(bundle, first.original, maker.origin, spent)))
}

/// Reads one record of a transaction that was passed over before: `makers` stands at the first of
/// them.
pub(crate) fn read_one(
    mut makers: Reader<'_>,
    reader: &mut Reader<'_>,
    mut previous: Previous,
) -> Result<Record, TransactionError> {
    let head = reader.byte("record")?;
    for _ in 0..take_position(reader, head >> 4)? {
        pass_maker(&mut makers)?;
    }
    let record = take_claims(reader, head, &mut previous, Maker::take(&mut makers)?)?;
    record.map_err(|error| TransactionError::Record { position: 0, error })
}

pub(crate) fn pass_maker(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let source = reader.byte("source")?;
    for what in ["authority", "device family"] {
        let length = usize::from(reader.byte(what)?);
        reader.slice(length, what)?;
    }
    reader.byte("made-up fingerprint")?;
    if source == Source::CameraOneTime.to_byte() {
        reader.slice(4, "epoch")?;
    }
    if reader.byte("source of the pixels")? != 0 {
        reader.optional32("software")?;
    }
    Ok(())
}

/// Passes over one record; `seen` is told its digests. The next one counts from what is left in
/// `previous`.
pub(crate) fn pass_record(
    reader: &mut Reader<'_>,
    previous: &mut Previous,
    mut seen: impl FnMut(Digest),
) -> Result<(), DecodeError> {
    let head = reader.byte("record")?;
    take_position(reader, head >> 4)?;
    take_numbers(reader, previous)?;
    for position in 0..=(head & 0b111) {
        let image = reader.byte("digest's head")?;
        seen(Digest::from_bytes(reader.array("digest")?));
        if position == 0 && matches!(image >> 4, ORIGINAL_FOLLOWS | KEY_FOLLOWS) {
            reader.slice(32, "original or one-time key")?;
        }
    }
    if head & ROOT != 0 {
        reader.slice(32, "root")?;
    }
    Ok(())
}

/// What may follow the first digest of a record.
#[derive(Default)]
struct First {
    original: Option<Digest>,
    key: Option<Digest>,
}

fn take_image(
    reader: &mut Reader<'_>,
    images: &mut Vec<ImageClaim>,
    first: &mut First,
) -> Result<(), DecodeError> {
    let head = reader.byte("digest's head")?;
    let role = DigestRole::from_byte(head & 0b11).ok_or(DecodeError::Value("role"))?;
    let level = ModificationLevel::try_from(i64::from(head >> 2 & 0b11))
        .map_err(|_| DecodeError::Value("level"))?;
    let digest = Digest::from_bytes(reader.array("digest")?);
    let parent = match (images.is_empty(), head >> 4) {
        (true, NO_PARENT) => None,
        (true, ORIGINAL_FOLLOWS) => {
            first.original = Some(reader.array("original")?.into());
            None
        }
        (true, KEY_FOLLOWS) => {
            first.key = Some(reader.array("name of the one-time key")?.into());
            None
        }
        (true, _) => return Err(DecodeError::Value("parent")),
        (false, position) => {
            let parent = images
                .get(usize::from(position))
                .ok_or(DecodeError::Value("parent"))?;
            Some(parent.digest)
        }
    };
    images.push(ImageClaim {
        digest,
        role,
        level,
        parent,
    });
    Ok(())
}

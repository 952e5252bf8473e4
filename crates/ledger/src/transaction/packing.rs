//! How records are packed into a transaction and strictly unpacked again.

use std::collections::BTreeMap;

use birthmark_protocol::{Bundle, DigestRole, ImageClaim, ModificationLevel, Timestamp};

use super::*;

const GPS: u8 = 0b1000;
const LONG_ORIGIN: u64 = 15;
const NO_PARENT: u8 = 0;
const ORIGINAL_FOLLOWS: u8 = 1;

pub(super) fn put_records(out: &mut Vec<u8>, records: &[Record]) {
    let (origins, positions) = intern(records);
    varint::put(out, origins.len() as u64);
    origins.iter().for_each(|origin| origin.put(out));
    varint::put(out, records.len() as u64);
    let mut previous = 0i64;
    for (record, origin) in records.iter().zip(positions) {
        put_record(out, record, origin, previous);
        previous = record.time().unix();
    }
}

/// Each origin once, in the order of first use, and for each record the position of its own.
fn intern(records: &[Record]) -> (Vec<&Origin>, Vec<u64>) {
    let mut seen = BTreeMap::new();
    let mut origins = Vec::new();
    let mut positions = Vec::with_capacity(records.len());
    for record in records {
        let position = *seen.entry(record.origin()).or_insert_with(|| {
            origins.push(record.origin());
            origins.len() as u64 - 1
        });
        positions.push(position);
    }
    (origins, positions)
}

fn put_record(out: &mut Vec<u8>, record: &Record, origin: u64, previous: i64) {
    let digests = record.images().len() as u8 - 1;
    let gps = if record.gps().is_some() { GPS } else { 0 };
    let short_origin = origin.min(LONG_ORIGIN);
    out.push(digests | gps | (short_origin as u8) << 4);
    if short_origin == LONG_ORIGIN {
        varint::put(out, origin - LONG_ORIGIN);
    }
    varint::put(
        out,
        varint::zigzag(record.time().unix().wrapping_sub(previous)),
    );
    for image in record.images() {
        put_image(out, record, image);
    }
    out.extend(record.gps().iter().flat_map(|gps| *gps.as_bytes()));
}

fn put_image(out: &mut Vec<u8>, record: &Record, image: &ImageClaim) {
    let sibling = image.parent.and_then(|parent| {
        record
            .images()
            .iter()
            .position(|image| image.digest == parent)
    });
    // Only the first digest of a bundle has no sibling as its parent.
    let original = record.edited_from().filter(|_| sibling.is_none());
    let parent = match (sibling, original) {
        (Some(position), _) => position as u8,
        (None, Some(_)) => ORIGINAL_FOLLOWS,
        (None, None) => NO_PARENT,
    };
    out.push(image.role.to_byte() | image.level.get() << 2 | parent << 4);
    out.extend(image.digest.as_bytes());
    out.extend(original.iter().flat_map(|original| *original.as_bytes()));
}

pub(super) fn take_records(reader: &mut Reader<'_>) -> Result<Vec<Record>, TransactionError> {
    let count = varint::take_count(reader, 1, MAX_RECORDS, "number of origins")?;
    let origins = (0..count)
        .map(|_| Origin::take(reader))
        .collect::<Result<Vec<_>, _>>()?;
    let count = varint::take_count(reader, 1, MAX_RECORDS, "number of records")?;
    let mut unpacking = Unpacking {
        origins: &origins,
        used: 0,
        previous: 0,
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
    origins: &'a [Origin],
    used: usize,
    previous: i64,
}

impl Unpacking<'_> {
    fn take_record(
        &mut self,
        reader: &mut Reader<'_>,
        position: usize,
    ) -> Result<Record, TransactionError> {
        let head = reader.byte("record")?;
        let origin = self.take_origin(reader, head >> 4)?;
        self.previous = take_time(reader, self.previous)?;
        let record = take_claims(reader, head, self.previous, origin)?;
        record.map_err(|error| TransactionError::Record { position, error })
    }

    /// An origin is either one already used or the next new one.
    fn take_origin(&mut self, reader: &mut Reader<'_>, short: u8) -> Result<Origin, DecodeError> {
        let position = take_position(reader, short)?;
        if position > self.used {
            return Err(DecodeError::Value("order of origins"));
        }
        self.used = self.used.max(position + 1);
        self.origins
            .get(position)
            .cloned()
            .ok_or(DecodeError::Value("origin"))
    }

    fn finish(&self) -> Result<(), DecodeError> {
        if self.used != self.origins.len() {
            return Err(DecodeError::Value("an origin that no record uses"));
        }
        let distinct: std::collections::BTreeSet<_> = self.origins.iter().collect();
        if distinct.len() == self.used {
            Ok(())
        } else {
            Err(DecodeError::Value("an origin written twice"))
        }
    }
}

/// Where a record's origin stands among those of its transaction.
fn take_position(reader: &mut Reader<'_>, short: u8) -> Result<usize, DecodeError> {
    let mut position = u64::from(short);
    if position == LONG_ORIGIN {
        let beyond = varint::take(reader, "origin")?;
        position = beyond
            .checked_add(LONG_ORIGIN)
            .ok_or(DecodeError::Value("origin"))?;
    }
    usize::try_from(position).map_err(|_| DecodeError::Value("origin"))
}

fn take_time(reader: &mut Reader<'_>, previous: i64) -> Result<i64, DecodeError> {
    let difference = varint::unzigzag(varint::take(reader, "camera time")?);
    Ok(previous.wrapping_add(difference))
}

/// What follows a record's time.
fn take_claims(
    reader: &mut Reader<'_>,
    head: u8,
    time: i64,
    origin: Origin,
) -> Result<Result<Record, RecordError>, DecodeError> {
    let (mut images, mut original) = (Vec::with_capacity(usize::from(head & 0b111) + 1), None);
    for _ in 0..=(head & 0b111) {
        take_image(reader, &mut images, &mut original)?;
    }
    let gps = if head & GPS == 0 {
        None
    } else {
        Some(reader.array("gps commitment")?.into())
    };
    let bundle = Bundle::new(images, Timestamp::from_unix(time), gps);
    Ok(bundle
        .map_err(RecordError::from)
        .and_then(|bundle| Record::with_original(bundle, original, origin)))
}

/// Reads one record of a transaction that was passed over before: `origins` stands at the first of them.
pub(crate) fn read_one(
    mut origins: Reader<'_>,
    reader: &mut Reader<'_>,
    previous: i64,
) -> Result<Record, TransactionError> {
    let head = reader.byte("record")?;
    for _ in 0..take_position(reader, head >> 4)? {
        pass_origin(&mut origins)?;
    }
    let time = take_time(reader, previous)?;
    let record = take_claims(reader, head, time, Origin::take(&mut origins)?)?;
    record.map_err(|error| TransactionError::Record { position: 0, error })
}

pub(crate) fn pass_origin(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    reader.byte("source")?;
    for what in ["authority", "device family"] {
        let length = usize::from(reader.byte(what)?);
        reader.slice(length, what)?;
    }
    Ok(())
}

/// Passes over one record; `seen` is told its digests. Returns its time, from which the next one counts.
pub(crate) fn pass_record(
    reader: &mut Reader<'_>,
    previous: i64,
    mut seen: impl FnMut(Digest),
) -> Result<i64, DecodeError> {
    let head = reader.byte("record")?;
    take_position(reader, head >> 4)?;
    let time = take_time(reader, previous)?;
    for position in 0..=(head & 0b111) {
        let image = reader.byte("digest's head")?;
        seen(Digest::from_bytes(reader.array("digest")?));
        if position == 0 && image >> 4 == ORIGINAL_FOLLOWS {
            reader.slice(32, "original")?;
        }
    }
    if head & GPS != 0 {
        reader.slice(32, "gps commitment")?;
    }
    Ok(time)
}

fn take_image(
    reader: &mut Reader<'_>,
    images: &mut Vec<ImageClaim>,
    original: &mut Option<Digest>,
) -> Result<(), DecodeError> {
    let head = reader.byte("digest's head")?;
    let role = DigestRole::from_byte(head & 0b11).ok_or(DecodeError::Value("role"))?;
    let level = ModificationLevel::try_from(i64::from(head >> 2 & 0b11))
        .map_err(|_| DecodeError::Value("level"))?;
    let digest = Digest::from_bytes(reader.array("digest")?);
    let parent = match (images.is_empty(), head >> 4) {
        (true, NO_PARENT) => None,
        (true, ORIGINAL_FOLLOWS) => {
            *original = Some(reader.array("original")?.into());
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

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
        let difference = varint::unzigzag(varint::take(reader, "camera time")?);
        self.previous = self.previous.wrapping_add(difference);
        let mut images = Vec::new();
        let mut original = None;
        for _ in 0..=(head & 0b111) {
            take_image(reader, &mut images, &mut original)?;
        }
        let gps = if head & GPS == 0 {
            None
        } else {
            Some(reader.array("gps commitment")?.into())
        };
        let record = Bundle::new(images, Timestamp::from_unix(self.previous), gps)
            .map_err(RecordError::from)
            .and_then(|bundle| Record::with_original(bundle, original, origin));
        record.map_err(|error| TransactionError::Record { position, error })
    }

    /// An origin is either one already used or the next new one.
    fn take_origin(&mut self, reader: &mut Reader<'_>, short: u8) -> Result<Origin, DecodeError> {
        let mut position = u64::from(short);
        if position == LONG_ORIGIN {
            let beyond = varint::take(reader, "origin")?;
            position = beyond
                .checked_add(LONG_ORIGIN)
                .ok_or(DecodeError::Value("origin"))?;
        }
        let position = usize::try_from(position).map_err(|_| DecodeError::Value("origin"))?;
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

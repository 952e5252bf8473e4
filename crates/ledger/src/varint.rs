//! Whole numbers in as few bytes as they need, in exactly one way (LEB128, shortest form only).

use birthmark_protocol::bytes::{DecodeError, Reader};

/// Writes seven bits per byte, lowest first.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what [`put`] writes; a longer form of the same number is refused.
pub(crate) fn take(reader: &mut Reader<'_>, what: &'static str) -> Result<u64, DecodeError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = reader.byte(what)?;
        let bits = u64::from(byte & 0x7f);
        let fits = bits
            .checked_shl(shift)
            .filter(|shifted| shifted >> shift == bits);
        value |= fits.ok_or(DecodeError::Value(what))?;
        if byte & 0x80 == 0 {
            let shortest = byte != 0 || shift == 0;
            return if shortest {
                Ok(value)
            } else {
                Err(DecodeError::Value(what))
            };
        }
    }
    Err(DecodeError::Value(what))
}

/// Reads how many of something follow: at least `min`, at most `max`.
pub(crate) fn take_count(
    reader: &mut Reader<'_>,
    min: usize,
    max: usize,
    what: &'static str,
) -> Result<usize, DecodeError> {
    let count = usize::try_from(take(reader, what)?).map_err(|_| DecodeError::Value(what))?;
    if (min..=max).contains(&count) {
        Ok(count)
    } else {
        Err(DecodeError::Value(what))
    }
}

/// Small numbers of either sign become small numbers without one.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The number behind [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<u64, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = take(&mut reader, "number")?;
        reader.end()?;
        Ok(value)
    }

    #[test]
    fn only_the_shortest_form_is_read() {
        assert_eq!(read(&[0]), Ok(0));
        assert_eq!(read(&[0x80, 0]), Err(DecodeError::Value("number")));
        assert_eq!(read(&[0x81, 0x00]), Err(DecodeError::Value("number")));
        assert_eq!(read(&[0x80, 0x01]), Ok(128));
        assert_eq!(read(&[0x80]), Err(DecodeError::Truncated("number")));
    }

    #[test]
    fn nothing_past_64_bits_is_read() {
        let mut largest = vec![0xff; 9];
        largest.push(1);
        assert_eq!(read(&largest), Ok(u64::MAX));
        largest[9] = 2;
        assert_eq!(read(&largest), Err(DecodeError::Value("number")));
        assert_eq!(read(&[0xff; 11]), Err(DecodeError::Value("number")));
    }

    proptest! {
        #[test]
        fn every_number_reads_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put(&mut out, value);
            prop_assert_eq!(read(&out), Ok(value));
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }

        #[test]
        fn what_is_read_is_what_would_be_written(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Ok(value) = read(&bytes) {
                let mut out = Vec::new();
                put(&mut out, value);
                prop_assert_eq!(out, bytes);
            }
        }
    }
}

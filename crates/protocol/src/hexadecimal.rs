//! Hexadecimal digits into bytes and back, by tables: half of what it costs to read a question is
//! its digits.

/// What each byte is worth as a digit.
static WORTH: [u8; 256] = worth();

/// Not a digit.
const NONE: u8 = 0xFF;

#[expect(
    clippy::indexing_slicing,
    reason = "runs while compiling, within 256 places"
)]
const fn worth() -> [u8; 256] {
    let digits = *b"0123456789abcdef";
    let mut table = [NONE; 256];
    let mut value = 0_u8;
    while value < 16 {
        let digit = digits[value as usize];
        table[digit as usize] = value;
        table[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    table
}

/// The two digits of each byte.
static DIGITS: [[u8; 2]; 256] = digits();

#[expect(
    clippy::indexing_slicing,
    reason = "runs while compiling, within 256 and 16 places"
)]
const fn digits() -> [[u8; 2]; 256] {
    let digits = *b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut value = 0;
    while value < 256 {
        table[value] = [digits[value >> 4], digits[value & 15]];
        value += 1;
    }
    table
}

/// Two digits for each byte, in lower case.
pub(crate) fn encode<const N: usize>(bytes: &[u8; N]) -> [[u8; 2]; N] {
    bytes.map(|byte| DIGITS.get(usize::from(byte)).copied().unwrap_or_default())
}

/// Exactly `N` bytes from twice as many digits of either case.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| WORTH.get(usize::from(byte)).copied().unwrap_or(NONE);
    let (mut bytes, mut seen) = ([0; N], 0);
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (digit(*high), digit(*low));
        // Looked at once in the end: whatever is no digit leaves a high bit.
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen < 16).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_reads_what_the_common_reader_reads(text in "[0-9a-fA-F]{6,10}|.{0,12}") {
            let common = <[u8; 4] as hex::FromHex>::from_hex(&text).ok();
            prop_assert_eq!(decode::<4>(&text), common);
        }
    }

    proptest! {
        #[test]
        fn it_writes_what_the_common_writer_writes(bytes: [u8; 32]) {
            let (written, common) = (encode(&bytes), hex::encode(bytes));
            prop_assert_eq!(written.as_flattened(), common.as_bytes());
        }
    }
}

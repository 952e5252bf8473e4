//! The answer that there is no record: most answers, and all alike but for the digest.

use std::sync::LazyLock;

use birthmark_protocol::Digest;

use super::no_finding;

/// The text before the digest and after it, as it is written otherwise.
static AROUND: LazyLock<Option<(String, String)>> = LazyLock::new(|| {
    let any = Digest::from_bytes([0xAB; 32]);
    let text = serde_json::to_string(&no_finding(any)).ok()?;
    let (before, after) = text.split_once(&any.to_hex())?;
    Some((before.to_owned(), after.to_owned()))
});

/// `no_finding` in JSON.
pub(super) fn text(digest: &Digest) -> Result<Vec<u8>, serde_json::Error> {
    let Some((before, after)) = &*AROUND else {
        // The long way, which says what is wrong if it fails.
        return serde_json::to_vec(&no_finding(*digest));
    };
    let mut text = Vec::with_capacity(before.len() + 64 + after.len());
    text.extend_from_slice(before.as_bytes());
    digest.with_hex(|digits| text.extend_from_slice(digits.as_bytes()));
    text.extend_from_slice(after.as_bytes());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_would_be_written_field_by_field() {
        for digest in [Digest::from_bytes([0xAB; 32]), Digest::of(b"photo")] {
            let whole = serde_json::to_vec(&no_finding(digest)).unwrap();
            assert!(AROUND.is_some());
            assert_eq!(text(&digest).unwrap(), whole);
        }
    }
}

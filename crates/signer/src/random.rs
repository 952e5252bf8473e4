//! The system's random numbers.

use crate::error::SignerError;

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], SignerError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| SignerError::Randomness)?;
    Ok(bytes)
}

/// A number below `end`, each as likely as the others.
pub(crate) fn below(end: usize) -> Result<usize, SignerError> {
    let end = u32::try_from(end)
        .ok()
        .filter(|end| *end > 0)
        .ok_or(SignerError::Randomness)?;
    let fair = u32::MAX - u32::MAX % end;
    loop {
        let drawn = u32::from_le_bytes(bytes()?);
        if drawn < fair {
            return usize::try_from(drawn % end).map_err(|_| SignerError::Randomness);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_and_none_outside() {
        let mut seen = [0_u32; 3];
        for _ in 0..3_000 {
            seen[below(3).unwrap()] += 1;
        }
        // Each is expected 1,000 times; 700 is more than ten standard deviations away.
        assert!(seen.iter().all(|count| *count > 700), "{seen:?}");
        assert!(below(0).is_err());
    }
}

//! Randomness from the system.

/// The system has no randomness: nothing that follows would be safe.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(getrandom::Error);

/// `N` random bytes.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}

/// A number between 0 and 1, for spreading load: without randomness it is in the middle.
pub fn share() -> f64 {
    let bits = bytes::<4>().map_or(u32::MAX / 2, u32::from_le_bytes);
    f64::from(bits) / f64::from(u32::MAX)
}

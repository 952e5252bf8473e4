//! Secrets of a demonstration.

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    Ok(birthmark_daemon::random::bytes()?)
}

/// 32 random bytes that can be typed.
pub(crate) fn secret_text() -> anyhow::Result<String> {
    let bytes = random::<32>()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

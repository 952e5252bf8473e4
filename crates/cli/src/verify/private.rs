//! Asking a validator, or a mirror of its files, without naming the photo: fetches what the
//! question's session names.

use anyhow::anyhow;
use birthmark_daemon::random;
use birthmark_ledger::Trusted;
use birthmark_protocol::Digest;
use birthmark_verify::private::{LookupError, Session};

use super::answer::Validator;

/// Asks about many digests. What was answered falsely, the session says of each file; an error is
/// that nothing was answered.
pub async fn ask(
    validator: &Validator,
    trusted: &Trusted,
    digests: &[Digest],
) -> anyhow::Result<Session> {
    let seed: [u8; 32] = random::bytes()?;
    let mut session = Session::new(trusted.clone(), digests.iter().copied(), seed);
    loop {
        let files = match session.wants() {
            Ok(files) if files.is_empty() => return Ok(session),
            Ok(files) => files,
            Err(LookupError::NoIndex) => {
                return Err(anyhow!("{}; --direct names it", LookupError::NoIndex));
            }
            Err(error) if error.is_contradiction() => return Ok(session),
            Err(error) => return Err(anyhow!("{error}")),
        };
        for file in files {
            let bytes = validator.file(&file).await?;
            session.take(&file, bytes.as_deref());
        }
    }
}

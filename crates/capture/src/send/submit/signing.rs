//! Having photos signed once their files are in place. Nobody waits for it, least of all the
//! shutter.

use std::time::Instant;

use birthmark_daemon::{Backoff, Shutdown, random};

use super::contents::{contents, is_outdated};
use super::{FIRST_PAUSE, LONGEST_OWN_WAIT, LONGEST_WAIT, Submitter, Trouble, now};
use crate::keep::queue::{Entry, EntryId, Stage};
use crate::keep::sidecar;
use crate::send::signer::{SignerError, ToSign};

impl Submitter {
    /// Has photos signed, the oldest that is due first. Trouble of the signer is a pause for all of
    /// them.
    pub(super) async fn sign_all(&self, shutdown: Shutdown) {
        let mut pause = Backoff::new(FIRST_PAUSE, LONGEST_OWN_WAIT.min(self.longest_pause));
        while !shutdown.is_requested() {
            let due = self.queue.next_unsigned().map(|(due, _)| due);
            let far = Instant::now() + LONGEST_WAIT;
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep_until(due.unwrap_or(far).into()) => {}
                () = self.queue.unsigned_changed() => {}
            }
            let next = self.queue.next_unsigned();
            let Some((_, id)) = next.filter(|(due, _)| *due <= Instant::now()) else {
                continue;
            };
            match self.sign(id).await {
                Ok(()) => {
                    pause.succeeded();
                    self.note(|progress| progress.unsigned = None);
                }
                Err(trouble) => {
                    if self.is_beyond_help(id, &trouble) {
                        continue;
                    }
                    let said = trouble.to_string();
                    self.tell_unsigned(&said);
                    pause.failed();
                    let length = pause.pause_at_least(random::share(), None);
                    // It goes to the end: what the signer dislikes about this photo must not keep
                    // the others waiting.
                    self.queue.sign_later(id, Instant::now() + length, said);
                    // The next photo would meet the same.
                    let holds_all = matches!(
                        trouble,
                        Trouble::Signer(SignerError::Call(_) | SignerError::NoOneTimeKeys(_))
                    );
                    if holds_all {
                        tokio::select! {
                            () = shutdown.requested() => {}
                            () = tokio::time::sleep(length) => {}
                            // A new photo is a reason to try at once, and so is somebody who says:
                            // now.
                            () = self.queue.unsigned_changed() => {}
                        }
                    }
                }
            }
        }
    }

    /// New trouble is worth a warning; the same again is not.
    fn tell_unsigned(&self, said: &str) {
        match self.progress().unsigned.as_deref() == Some(said) {
            true => log::debug!("photos still wait for their signature: {said}"),
            false => log::warn!("photos wait for their signature: {said}"),
        }
        self.note(|progress| progress.unsigned = Some(said.to_owned()));
    }

    async fn sign(&self, id: EntryId) -> Result<(), Trouble> {
        let entry = self.queue.read(id)?;
        if entry.stage != Stage::Unsigned {
            self.queue.to_send(id);
            return Ok(());
        }
        let begin = Instant::now();
        let (bundle, opening) = contents(&entry)?;
        let wanted = ToSign {
            bundle: &bundle,
            anchor_block: entry.anchor_block.as_ref(),
        };
        let proof = self.signer.prove(wanted, &opening).await?;
        if is_outdated(&proof, now())? {
            return Err(Trouble::Outdated);
        }
        // If we stop here, the next attempt asks for another signature; this one was never sent.
        sidecar::add_proof(&self.album, &entry.photo, &proof).map_err(Trouble::Disk)?;
        self.queue.update(
            id,
            &Entry {
                stage: Stage::Signed { proof },
                ..entry
            },
        )?;
        self.note(|progress| progress.signing = Some(begin.elapsed()));
        self.queue.to_send(id);
        Ok(())
    }
}

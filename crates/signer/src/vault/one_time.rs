//! One-time keys: made in the store a few at a time, signed by the authority without being seen,
//! each used once.

use birthmark_blind::EpochVerifier;
use birthmark_daemon::random;
use birthmark_protocol::one_time::batch::{
    self, BlindingSeed, MAX_BATCH, Opened, blinded_digest, chosen, opened_digest, opening_nonce,
    request_digest,
};
use birthmark_protocol::one_time::{
    EpochKey, EpochStatement, RSA_BYTES, RsaBytes, SignedEpochStatement, key_name,
};
use birthmark_protocol::{Bundle, Digest, PublicKey, Signature, Timestamp};

use super::{Vault, check_source};
use crate::blob::Blob;
use crate::camera::Enrolment;
use crate::error::SignerError;
use crate::wallet::{Certified, DraftKey, Drawn, ReadyKey, Wallet};

/// How many keys are made or certified while a caller waits: a shutter may be behind it in the
/// queue.
const AT_ONCE: usize = 4;

/// How many keys of an epoch there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStock {
    /// The epoch.
    pub epoch: u32,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// Keys that are made and not signed.
    pub drafts: usize,
    /// Keys that wait for a photo.
    pub ready: usize,
}

/// A batch as it goes to the authority.
#[derive(Debug)]
pub struct Request {
    /// The blinded keys, one after the other.
    pub blinded: Vec<u8>,
    /// By the camera's key.
    pub signature: Signature,
    /// The certificate it verifies under, DER.
    pub certificate: Vec<u8>,
}

/// The answer to a challenge.
#[derive(Debug)]
pub struct Answer {
    /// The keys that were chosen.
    pub opened: Vec<Opened>,
    /// The blinded keys that were not.
    pub left: Vec<u8>,
    /// By the camera's key.
    pub signature: Signature,
    /// The certificate it verifies under, DER.
    pub certificate: Vec<u8>,
}

/// A bundle's digest, signed by a key that signs nothing else.
#[derive(Debug)]
pub struct SignedOnce {
    /// What was signed.
    pub digest: Digest,
    /// By the one-time key.
    pub signature: Signature,
    /// The one-time key.
    pub key: PublicKey,
    /// The authority's signature over it.
    pub key_signature: RsaBytes,
    /// The epoch it is good for.
    pub epoch: EpochKey,
}

/// A one-time key that can sign.
struct Usable {
    blob: Blob,
    public: PublicKey,
    key_signature: RsaBytes,
}

fn wrong(field: &'static str, reason: impl std::fmt::Display) -> SignerError {
    SignerError::input(field, reason)
}

/// The statement as text is read here again: what is on the disk may be damaged.
fn read_key(bytes: &[u8]) -> Result<EpochKey, SignerError> {
    let signed = SignedEpochStatement::decode(bytes).map_err(|error| wrong("statement", error))?;
    match signed.statement {
        EpochStatement::Key(key) => Ok(key),
        EpochStatement::Count(_) | EpochStatement::Withdrawal(_) => {
            Err(wrong("statement", "is none about an epoch's key"))
        }
    }
}

fn verifier_of(key: &EpochKey) -> Result<EpochVerifier, SignerError> {
    EpochVerifier::from_modulus(&key.modulus).map_err(|error| wrong("statement", error))
}

impl Vault {
    /// Makes some more keys of a batch of `keys` for the epoch of this statement; how many there
    /// are now. Whether the statement stands in the registry is for the caller to look: that is
    /// what keeps the authority from marking cameras.
    pub fn draft_keys(&mut self, statement: &[u8], keys: usize) -> Result<usize, SignerError> {
        if keys == 0 || keys > 2 * MAX_BATCH || !keys.is_multiple_of(2) {
            return Err(wrong("keys", "is not an even number of at most 2000"));
        }
        let key = read_key(statement)?;
        let family = &self.checked_camera()?.device_family;
        if *family != key.family {
            return Err(wrong(
                "statement",
                "is about another family than this camera's",
            ));
        }
        let wallet = Wallet::of(&self.folder, key.epoch);
        match wallet.statement()? {
            None => wallet.set_statement(statement)?,
            Some(known) if read_key(&known)? == key => {}
            Some(_) => {
                let reason =
                    "is another one than that of the keys which this camera has for the epoch";
                return Err(wrong("statement", reason));
            }
        }
        let (verifier, id) = (verifier_of(&key)?, key.id());
        let there = wallet.drafts()?;
        for number in (there..keys).take(AT_ONCE) {
            let blob = self.store.create_one_time_key()?;
            let public = self.store.one_time_public_key(&blob)?;
            let seed = random::bytes::<32>()?;
            let name = key_name(&id, &public);
            let blinded = verifier.blind(&name, &BlindingSeed::from_bytes(seed));
            let draft = DraftKey {
                blob,
                seed: seed.to_vec(),
                blinded: blinded.map_err(|error| wrong("statement", error))?.to_vec(),
                certified: None,
            };
            // If we stop before this, the key is lost and nothing refers to it.
            wallet.keep_draft(number, &draft)?;
        }
        Ok(wallet.drafts()?)
    }

    fn drafts_of(&self, wallet: &Wallet) -> Result<(Vec<DraftKey>, Vec<u8>, Digest), SignerError> {
        let drafts = (0..wallet.drafts()?).map(|number| wallet.draft(number));
        let drafts = drafts.collect::<Result<Vec<_>, _>>()?;
        let blinded: Vec<u8> = drafts
            .iter()
            .flat_map(|draft| draft.blinded.clone())
            .collect();
        if drafts.is_empty() || blinded.len() != drafts.len() * RSA_BYTES {
            return Err(wrong("epoch", "has no keys that could be signed"));
        }
        let digest = blinded_digest(&blinded);
        Ok((drafts, blinded, digest))
    }

    fn epoch_of(&self, wallet: &Wallet) -> Result<EpochKey, SignerError> {
        let statement = wallet.statement()?;
        read_key(
            &statement.ok_or_else(|| wrong("epoch", "is one of which this camera has no keys"))?,
        )
    }

    /// The batch of an epoch's drafts, to be sent to the authority. The same drafts make the same
    /// batch.
    pub fn batch_request(&mut self, epoch: u32) -> Result<Request, SignerError> {
        let wallet = Wallet::of(&self.folder, epoch);
        let key = self.epoch_of(&wallet)?;
        let (_, blinded, digest) = self.drafts_of(&wallet)?;
        let certificate = self.checked_camera()?.certificate.clone();
        let signature = self.store.sign(&request_digest(&key.id(), &digest))?;
        Ok(Request {
            blinded,
            signature,
            certificate,
        })
    }

    /// The answer to a challenge, once the chip has spoken about every key that was chosen; `None`
    /// while some are left.
    pub fn answer_challenge(
        &mut self,
        epoch: u32,
        challenge: &[u8; 32],
    ) -> Result<Option<Answer>, SignerError> {
        let wallet = Wallet::of(&self.folder, epoch);
        let (mut drafts, blinded, digest) = self.drafts_of(&wallet)?;
        let positions = chosen(challenge, &digest, drafts.len());
        let positions = positions.ok_or_else(|| wrong("epoch", "has an odd number of keys"))?;
        let attestation_key = Enrolment::load(&self.folder)?
            .and_then(|enrolment| enrolment.attestation_key)
            .ok_or(SignerError::NotEnrolled)?;
        let nonce = opening_nonce(challenge, &digest);
        let mine = Digest::from_bytes(*challenge);
        let mut done = 0;
        let mut opened = Vec::with_capacity(positions.len());
        for position in &positions {
            let number = usize::from(*position);
            let Some(draft) = drafts.get_mut(number) else {
                return Err(wrong("epoch", "has too few keys"));
            };
            let is_certified = draft
                .certified
                .as_ref()
                .is_some_and(|one| one.challenge == mine);
            if !is_certified {
                if done == AT_ONCE {
                    return Ok(None);
                }
                done += 1;
                let said = self.store.certify_one_time_key(
                    &attestation_key,
                    &draft.blob,
                    nonce.as_bytes(),
                )?;
                let (statement, signature) = said;
                draft.certified = Some(Certified {
                    challenge: mine,
                    statement,
                    signature,
                });
                wallet.keep_draft(number, draft)?;
            }
            if let (Some(certified), Some(seed)) = (&draft.certified, draft.secret_seed()) {
                opened.push(Opened {
                    seed: BlindingSeed::from_bytes(*seed),
                    public: draft.blob.public.clone(),
                    statement: certified.statement.clone(),
                    signature: certified.signature.clone(),
                });
            }
        }
        let certificate = self.checked_camera()?.certificate.clone();
        let signature = self
            .store
            .sign(&opened_digest(challenge, &digest, &opened))?;
        let keys = batch::split(&blinded)
            .unwrap_or_default()
            .iter()
            .zip(0_u16..);
        let left = keys.filter(|(_, position)| !positions.contains(position));
        Ok(Some(Answer {
            opened,
            left: left.flat_map(|(one, _)| *one).collect(),
            signature,
            certificate,
        }))
    }

    /// Takes the authority's signatures of the keys that were not opened. Each is verified under
    /// the key of the statement: one by another key, which could be known again, is refused. How
    /// many keys are ready.
    pub fn take_signatures(
        &mut self,
        epoch: u32,
        challenge: &[u8; 32],
        signatures: &[u8],
    ) -> Result<usize, SignerError> {
        let wallet = Wallet::of(&self.folder, epoch);
        let key = self.epoch_of(&wallet)?;
        let (drafts, _, digest) = self.drafts_of(&wallet)?;
        if wallet.has_batch(&digest) {
            // We stopped after the keys were ready and before the drafts were gone.
            wallet.destroy_drafts()?;
            return Ok(wallet.ready()?);
        }
        let positions = chosen(challenge, &digest, drafts.len());
        let positions = positions.ok_or_else(|| wrong("epoch", "has an odd number of keys"))?;
        let signatures = batch::split(signatures);
        let signatures = signatures.ok_or_else(|| wrong("signatures", "are cut off"))?;
        let left = drafts.iter().enumerate().filter(|(number, _)| {
            u16::try_from(*number).is_ok_and(|position| !positions.contains(&position))
        });
        let left: Vec<_> = left.collect();
        if left.len() != signatures.len() {
            return Err(wrong(
                "signatures",
                "are not as many as the keys that were not opened",
            ));
        }
        let (verifier, id) = (verifier_of(&key)?, key.id());
        let mut ready = Vec::with_capacity(left.len());
        for ((number, draft), blind) in left.into_iter().zip(signatures) {
            let public = self.store.one_time_public_key(&draft.blob)?;
            let seed = draft
                .secret_seed()
                .ok_or(SignerError::Damaged("one-time key"))?;
            let name = key_name(&id, &public);
            let signature = verifier.unblind(&name, &BlindingSeed::from_bytes(*seed), blind);
            let signature = signature.map_err(|error| wrong("signatures", error))?;
            let blob = draft.blob.clone();
            let signature = signature.to_vec();
            ready.push((number, ReadyKey { blob, signature }));
        }
        wallet.keep_batch(&digest, &ready)?;
        wallet.destroy_drafts()?;
        Ok(wallet.ready()?)
    }

    /// Signs the digest of a bundle with a key that signs nothing else. The key is used up on the
    /// disk before the signature is made, and destroyed before it leaves.
    pub fn sign_once(
        &mut self,
        bundle: &Bundle,
        anchor_block: Option<&Digest>,
        now: Timestamp,
    ) -> Result<SignedOnce, SignerError> {
        check_source(bundle, self.kind())?;
        self.checked_camera()?;
        let digest = bundle
            .digest(anchor_block)
            .map_err(|error| wrong("anchor_block", error))?;
        for epoch in Wallet::epochs(&self.folder)? {
            let wallet = Wallet::of(&self.folder, epoch);
            let Some(statement) = wallet.statement()? else {
                continue;
            };
            let key = read_key(&statement)?;
            if now < key.from || now > key.until {
                continue;
            }
            let Some((drawn, usable)) = self.draw_usable(&wallet)? else {
                continue;
            };
            let Usable {
                blob,
                public,
                key_signature,
            } = usable;
            let taken = drawn.take()?;
            let signature = self.store.sign_once(&blob, &digest)?;
            taken.destroy()?;
            self.last_signature = Some(now);
            self.signatures = self.signatures.saturating_add(1);
            return Ok(SignedOnce {
                digest,
                signature,
                key: public,
                key_signature,
                epoch: key,
            });
        }
        Err(SignerError::NoOneTimeKeys)
    }

    /// A key that the store can use. One that it cannot is destroyed: it is damaged, and waiting
    /// mends nothing. While the store is away no key is touched.
    fn draw_usable(&mut self, wallet: &Wallet) -> Result<Option<(Drawn, Usable)>, SignerError> {
        loop {
            let number = usize::from_be_bytes(random::bytes()?);
            let Some(drawn) = wallet.draw(number)? else {
                return Ok(None);
            };
            let usable = match drawn.read()? {
                Some(key) => self.usable(key)?,
                None => None,
            };
            match usable {
                Some(usable) => return Ok(Some((drawn, usable))),
                None => {
                    log::warn!(
                        "a one-time key was damaged on the disk: it is destroyed, and the next one is taken"
                    );
                    drawn.destroy()?;
                }
            }
        }
    }

    fn usable(&mut self, key: ReadyKey) -> Result<Option<Usable>, SignerError> {
        let Ok(key_signature) = RsaBytes::try_from(key.signature.as_slice()) else {
            return Ok(None);
        };
        if !self.store.knows_one_time_key(&key.blob)? {
            return Ok(None);
        }
        Ok(Some(Usable {
            public: self.store.one_time_public_key(&key.blob)?,
            blob: key.blob,
            key_signature,
        }))
    }

    /// How many keys there are, by epoch. What is over is destroyed: its keys count for nothing any
    /// more.
    pub fn one_time_stock(&mut self, now: Timestamp) -> Result<Vec<EpochStock>, SignerError> {
        let mut stock = Vec::new();
        for epoch in Wallet::epochs(&self.folder)? {
            let wallet = Wallet::of(&self.folder, epoch);
            let key = match wallet.statement()? {
                Some(statement) => read_key(&statement)?,
                None => {
                    wallet.destroy()?;
                    continue;
                }
            };
            if now > key.until {
                wallet.destroy()?;
                continue;
            }
            stock.push(EpochStock {
                epoch,
                from: key.from,
                until: key.until,
                drafts: wallet.drafts()?,
                ready: wallet.ready()?,
            });
        }
        Ok(stock)
    }

    /// Destroys keys that were being used when the power failed: whether they signed is not known.
    pub(super) fn destroy_used_keys(&self) -> Result<(), SignerError> {
        for epoch in Wallet::epochs(&self.folder)? {
            Wallet::of(&self.folder, epoch).destroy_used()?;
        }
        Ok(())
    }

    /// Destroys all one-time keys: another camera begins here.
    pub(super) fn destroy_one_time_keys(&self) -> Result<(), SignerError> {
        for epoch in Wallet::epochs(&self.folder)? {
            Wallet::of(&self.folder, epoch).destroy()?;
        }
        Ok(())
    }
}

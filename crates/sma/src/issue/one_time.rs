//! One-time keys: epochs made and closed, and batches signed blind.
//!
//! The authority knows which camera asked for how many keys in which epoch. It never sees a key
//! that it signs, and keeps nothing by which it could know one again. That the keys live in the
//! camera's chip it knows by having half of them opened (`birthmark_protocol::one_time::batch`).

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use birthmark_blind::{BlindError, EpochSecret, EpochVerifier};
use birthmark_http::ApiError;
use birthmark_protocol::attestation::PublicArea;
use birthmark_protocol::authority_request::CameraProof;
use birthmark_protocol::one_time::batch::{
    self, BatchChallenge, BatchOpening, BatchRequest, BatchSignatures, Opened,
};
use birthmark_protocol::one_time::{
    EpochCount, EpochKey, EpochStatement, EpochWithdrawal, RsaBytes, SignedEpochStatement, key_name,
};
use birthmark_protocol::{CameraCertificate, Digest, Proof, Signature, Timestamp};

use crate::authority::{Authority, Shown};
use crate::issue::provision::hex_field;
use crate::keep::rows;
use crate::keep::store::{BatchRow, Begun, EnrolmentRow, EpochRow};
use crate::random;

/// For so long after an epoch's grace its statements are still listed.
const LISTED_AFTER: i64 = 90 * 86_400;
/// What a camera is told while the database is away or an epoch is being closed.
const COME_BACK: Duration = Duration::from_secs(60);

/// An epoch whose key is at hand.
struct OpenEpoch {
    row: EpochRow,
    key: EpochKey,
}

/// A camera that may have keys signed.
struct Enrolled {
    camera: Shown,
    certificate: CameraCertificate,
    enrolment: EnrolmentRow,
}

impl Authority {
    /// Makes the keys of the present epoch and of those that cameras fetch ahead, for every model
    /// with attested cameras, and closes the epochs that are over. How many were made.
    pub async fn rotate_epochs(&self, now: Timestamp) -> anyhow::Result<usize> {
        let Some(settings) = &self.settings.one_time else {
            return Ok(0);
        };
        self.close_epochs(now).await?;
        let families: BTreeSet<_> = self.with_cameras(|cameras| {
            let attested = cameras.iter().filter(|device| device.attested);
            attested.map(|device| device.family.to_string()).collect()
        });
        let present = settings.epoch_at(now)?;
        let mut made = 0;
        for family in &families {
            for epoch in present..present.saturating_add(settings.ahead) {
                made += usize::from(self.make_epoch(family, epoch, now).await?);
            }
        }
        Ok(made)
    }

    /// Makes one epoch's key; false if it is there.
    pub async fn make_epoch(
        &self,
        family: &str,
        epoch: u32,
        now: Timestamp,
    ) -> anyhow::Result<bool> {
        let Some(settings) = &self.settings.one_time else {
            anyhow::bail!("`one_time` is not set: this authority gives no one-time keys");
        };
        if self.store.epoch(family, epoch).await?.is_some() {
            return Ok(false);
        }
        // A second of computing.
        let secret = tokio::task::spawn_blocking(EpochSecret::generate).await??;
        let (from, until) = settings.span(epoch)?;
        let key = EpochKey {
            authority: self.settings.manufacturer_id.clone(),
            family: family.to_owned(),
            time: now,
            epoch,
            from,
            until,
            grace: settings.grace_days.saturating_mul(86_400),
            is_made_up: self.settings.provisioning.simulate_nuc,
            modulus: *secret.modulus(),
        };
        let label = sealed_as(family, epoch, &key.modulus);
        let sealed = self.vault.seal(&label, &secret.to_der()?)?;
        let row = EpochRow {
            family: family.to_owned(),
            epoch: i64::from(epoch),
            statement: self.state(EpochStatement::Key(key))?.encode(),
            sealed: Some(sealed),
            issued: 0,
            counted: None,
            mac: Vec::new(),
        };
        // If we stop before this, the key never existed: nobody has seen its statement.
        let added = self.store.add_epoch(&self.vault, row).await?;
        if added {
            let target = format!("{family}, epoch {epoch}");
            self.log_act("authority", "make epoch", &target).await;
        }
        Ok(added)
    }

    /// States the counts of epochs that are over and destroys their secret keys.
    async fn close_epochs(&self, now: Timestamp) -> anyhow::Result<()> {
        for row in self.store.epochs().await? {
            if row.counted.is_some() {
                continue;
            }
            rows::check(&self.vault, &row)?;
            let key = stated_key(&row)?;
            if now <= key.until {
                continue;
            }
            let count = EpochCount {
                authority: key.authority,
                family: key.family.clone(),
                time: now,
                epoch: key.epoch,
                issued: u64::try_from(row.issued)?,
            };
            let counted = self.state(EpochStatement::Count(count))?.encode();
            if self.store.close_epoch(&self.vault, &row, counted).await? {
                let target = format!("{}, epoch {}: {} keys", key.family, key.epoch, row.issued);
                self.log_act("authority", "close epoch", &target).await;
            }
        }
        Ok(())
    }

    /// Takes back the keys of an epoch, or of all epochs of a family. False if that was done
    /// before.
    pub async fn withdraw_epoch(
        &self,
        family: &str,
        epoch: Option<u32>,
        from: Timestamp,
        now: Timestamp,
        operator: &str,
    ) -> anyhow::Result<bool> {
        let withdrawal = EpochWithdrawal {
            authority: self.settings.manufacturer_id.clone(),
            family: family.to_owned(),
            time: now,
            epoch,
            from,
        };
        let statement = self.state(EpochStatement::Withdrawal(withdrawal))?.encode();
        let withdrawn = self.store.withdraw_epoch(family, epoch, &statement).await?;
        if withdrawn {
            let which = epoch.map_or_else(|| "all epochs".into(), |epoch| format!("epoch {epoch}"));
            let target = format!("{family}, {which}");
            self.log_act(operator, "withdraw one-time keys", &target)
                .await;
        }
        Ok(withdrawn)
    }

    fn state(&self, statement: EpochStatement) -> anyhow::Result<SignedEpochStatement> {
        statement.check()?;
        let signature = self.keyring().sign_bytes(&statement.signed_message());
        let signature =
            signature.ok_or_else(|| anyhow::anyhow!("the verdict key does not sign"))?;
        Ok(SignedEpochStatement {
            signature: signature.normalized(),
            statement,
        })
    }

    /// What validators register: statements about epochs that are not long over, in base64.
    pub async fn epoch_statements(&self, now: Timestamp) -> Result<Vec<String>, ApiError> {
        let mut statements = Vec::new();
        for row in self.store.epochs().await? {
            let key = stated_key(&row).map_err(ApiError::internal)?;
            if now.since(key.last()) > LISTED_AFTER {
                continue;
            }
            statements.push(STANDARD.encode(&row.statement));
            statements.extend(row.counted.iter().map(|counted| STANDARD.encode(counted)));
        }
        let withdrawn = self.store.epoch_withdrawals().await?;
        let withdrawn = withdrawn
            .iter()
            .map(|(_, _, statement)| STANDARD.encode(statement));
        statements.extend(withdrawn);
        Ok(statements)
    }

    /// The first question of a batch: a challenge, the same for the same batch.
    pub async fn begin_batch(
        &self,
        request: &BatchRequest,
        now: Timestamp,
    ) -> Result<BatchChallenge, ApiError> {
        let enrolled = self.enrolled(&request.camera_cert, now).await?;
        let epoch = self.open_epoch(&enrolled, request.epoch, now).await?;
        let bytes = decode("blinded", &request.blinded)?;
        let keys = batch::split(&bytes).map_or(0, <[_]>::len);
        let blinded = batch::blinded_digest(&bytes);
        let challenge = random::bytes::<32>().map_err(ApiError::internal)?;
        if batch::chosen(&challenge, &blinded, keys).is_none() {
            let reason = format!(
                "expected an even number of blinded keys of 256 bytes, at most {}",
                2 * batch::MAX_BATCH
            );
            return Err(ApiError::field("blinded", reason));
        }
        let asked = batch::request_digest(&epoch.key.id(), &blinded);
        check_signature(&enrolled.certificate, &asked, &request.signature)?;
        let amount = i64::try_from(keys / 2).map_err(ApiError::internal)?;
        let settings = self.settings.one_time.as_ref();
        let settings = settings.ok_or_else(|| ApiError::internal("one_time is not set"))?;
        let most = i64::from(settings.keys_per_epoch);
        // At its very last second an epoch is still answered.
        let present = settings.epoch_at(now.plus(-1));
        let present = i64::from(present.map_err(ApiError::internal)?);
        let row = BatchRow {
            device: enrolled.camera.device,
            epoch: i64::from(request.epoch),
            blinded: blinded.as_bytes().to_vec(),
            challenge: challenge.to_vec(),
            amount,
            answered_at: None,
        };
        match self.store.begin_batch(row, most, present).await? {
            Begun::Batch(row) => Ok(BatchChallenge {
                challenge: hex::encode(row.challenge),
            }),
            Begun::Open => Err(ApiError::conflict(
                "another batch of this camera is open: answer its challenge first, or wait for the end of its epoch",
            )),
            Begun::TooMany => Err(ApiError::too_many(
                "this camera has had as many one-time keys signed as it may in this epoch",
                Duration::from_secs(86_400),
            )),
        }
    }

    /// The second question: the openings are checked, and what was not opened is signed.
    pub async fn answer_batch(
        &self,
        request: BatchOpening,
        now: Timestamp,
    ) -> Result<BatchSignatures, ApiError> {
        let enrolled = self.enrolled(&request.camera_cert, now).await?;
        let epoch = self.open_epoch(&enrolled, request.epoch, now).await?;
        let challenge = hex_field::<32>("challenge", &request.challenge)?;
        let row = self.store.batch(enrolled.camera.device, &challenge).await?;
        let row = row.filter(|row| row.epoch == i64::from(request.epoch));
        let row = row.ok_or_else(|| {
            ApiError::field(
                "challenge",
                "was not drawn for a batch of this camera and epoch",
            )
        })?;
        let opened = read_opened(&request)?;
        let left = decode("blinded", &request.blinded)?;
        let digest = Digest::try_from(row.blinded.as_slice()).map_err(ApiError::internal)?;
        let signed = batch::opened_digest(&challenge, &digest, &opened);
        check_signature(&enrolled.certificate, &signed, &request.signature)?;
        let secret = self.secret(&epoch)?;
        let checking = Openings {
            attestation_key: enrolled.enrolment.attestation_key.clone(),
            epoch: epoch.key,
            challenge,
            digest,
            opened,
            left,
        };
        // A thousand keys take a second or two.
        let work = move || {
            checking
                .check()
                .map(|left| (left.len(), secret.sign(&left)))
        };
        let done = tokio::task::spawn_blocking(work)
            .await
            .map_err(ApiError::internal)?;
        let (count, signatures) = match done {
            Ok(done) => done,
            Err(reason) => return Err(self.caught(enrolled, &reason, now).await?),
        };
        if i64::try_from(count).ok() != Some(row.amount) {
            return Err(ApiError::field(
                "blinded",
                "expected the keys that were not chosen",
            ));
        }
        let signatures = signatures.map_err(|error| match error {
            BlindError::Range => ApiError::field("blinded", error.to_string()),
            error => ApiError::internal(error),
        })?;
        let family = enrolled.camera.family.as_str();
        if !self
            .store
            .answer_batch(&self.vault, family, &row, now)
            .await?
        {
            return Err(ApiError::conflict("the epoch was closed meanwhile"));
        }
        Ok(BatchSignatures {
            signatures: STANDARD.encode(signatures.concat()),
        })
    }

    /// The camera showed a key that its chip does not vouch for, under its own signature.
    async fn caught(
        &self,
        enrolled: Enrolled,
        reason: &str,
        now: Timestamp,
    ) -> Result<ApiError, ApiError> {
        let Enrolled {
            camera, enrolment, ..
        } = enrolled;
        self.store
            .end_enrolment(&self.vault, enrolment, reason, now)
            .await?;
        log::warn!(
            "a camera showed a one-time key that is not of its chip; it gets none any more: {reason}"
        );
        let target = format!("camera number {}", camera.device);
        self.log_act("authority", "end one-time enrolment", &target)
            .await;
        Ok(ApiError::bad_request(format!(
            "a key that was opened does not hold, this camera gets no one-time keys any more: {reason}"
        )))
    }

    async fn enrolled(&self, certificate: &str, now: Timestamp) -> Result<Enrolled, ApiError> {
        if self.settings.one_time.is_none() {
            return Err(ApiError::not_found("this authority gives no one-time keys"));
        }
        let wrong =
            |reason: &dyn std::fmt::Display| ApiError::field("camera_cert", reason.to_string());
        let der = decode("camera_cert", certificate)?;
        let certificate = CameraCertificate::from_der(&der).map_err(|error| wrong(&error))?;
        let proof = CameraProof::Certificate(Box::new(certificate.clone()), None);
        let camera = self
            .shown(&proof, now)
            .map_err(|refusal| wrong(&refusal.message()))?;
        if !matches!(camera.proof, Proof::Certificate { attested: true, .. }) {
            return Err(wrong(
                &"only cameras whose key a chip attested get one-time keys",
            ));
        }
        let enrolment = self.store.enrolment(camera.device).await?;
        let enrolment = enrolment.ok_or_else(|| {
            wrong(&"the chip of this camera has to attest again before it gets one-time keys")
        })?;
        rows::check(&self.vault, &enrolment).map_err(ApiError::internal)?;
        if enrolment.ended_at.is_some() {
            return Err(wrong(&"this camera gets no one-time keys any more"));
        }
        Ok(Enrolled {
            camera,
            certificate,
            enrolment,
        })
    }

    async fn open_epoch(
        &self,
        enrolled: &Enrolled,
        epoch: u32,
        now: Timestamp,
    ) -> Result<OpenEpoch, ApiError> {
        let none = || ApiError::field("epoch", "this authority signs no keys for this epoch");
        let family = enrolled.camera.family.as_str();
        let row = self.store.epoch(family, epoch).await?.ok_or_else(none)?;
        rows::check(&self.vault, &row).map_err(ApiError::internal)?;
        let key = stated_key(&row).map_err(ApiError::internal)?;
        if row.sealed.is_none() || now > key.until {
            return Err(none());
        }
        if enrolled.camera.is_made_up && !key.is_made_up {
            let reason =
                "the fingerprint of this camera's sensor was made up, and this epoch is for others";
            return Err(ApiError::field("epoch", reason));
        }
        let withdrawn = self.store.epoch_withdrawals().await?;
        let covers = |(of, number, _): &(String, i64, Vec<u8>)| {
            of == family && (*number < 0 || *number == i64::from(epoch))
        };
        if withdrawn.iter().any(covers) {
            return Err(ApiError::field("epoch", "its keys are withdrawn"));
        }
        Ok(OpenEpoch { row, key })
    }

    fn secret(&self, epoch: &OpenEpoch) -> Result<EpochSecret, ApiError> {
        let (key, row) = (&epoch.key, &epoch.row);
        let sealed = row
            .sealed
            .as_deref()
            .ok_or_else(|| ApiError::unavailable("the epoch is being closed", COME_BACK))?;
        let label = sealed_as(&key.family, key.epoch, &key.modulus);
        let der = self
            .vault
            .unseal(&label, sealed)
            .map_err(ApiError::internal)?;
        let secret = EpochSecret::from_der(&der).map_err(ApiError::internal)?;
        match *secret.modulus() == key.modulus {
            true => Ok(secret),
            false => Err(ApiError::internal(
                "an epoch's key is not the one that was stated",
            )),
        }
    }
}

/// What a camera opened, and what has to hold about it.
struct Openings {
    attestation_key: Vec<u8>,
    epoch: EpochKey,
    challenge: [u8; 32],
    digest: Digest,
    opened: Vec<Opened>,
    left: Vec<u8>,
}

impl Openings {
    /// Succeeds with the keys to sign; the error is the sentence about what the camera did.
    fn check(&self) -> Result<Vec<RsaBytes>, String> {
        let left = batch::split(&self.left).ok_or("the blinded keys are cut off")?;
        let keys = self.opened.len().saturating_add(left.len());
        let chosen = batch::chosen(&self.challenge, &self.digest, keys);
        let chosen = chosen.filter(|chosen| chosen.len() == self.opened.len());
        let chosen = chosen.ok_or("other than half of the keys were opened")?;
        let (mut shown, mut left) = (self.opened.iter().zip(&chosen), left.iter());
        let (mut whole, mut unopened) = (Vec::new(), Vec::new());
        let area = PublicArea::parse("attestation key", &self.attestation_key);
        let area = area.map_err(|error| error.to_string())?;
        let verifier = EpochVerifier::from_modulus(&self.epoch.modulus);
        let verifier = verifier.map_err(|error| error.to_string())?;
        let nonce = batch::opening_nonce(&self.challenge, &self.digest);
        let id = self.epoch.id();
        let positions: BTreeSet<u16> = chosen.iter().copied().collect();
        for position in (0_u16..).take(keys) {
            let next = if positions.contains(&position) {
                let (one, _) = shown.next().ok_or("a key that was chosen is missing")?;
                let key = one
                    .key(&area, &nonce)
                    .map_err(|error| format!("key {position}: {error}"))?;
                let blinded = verifier.blind(&key_name(&id, &key), &one.seed);
                blinded.map_err(|error| format!("key {position}: {error}"))?
            } else {
                let one = left.next().ok_or("a key that was not chosen is missing")?;
                unopened.push(*one);
                *one
            };
            whole.extend(next);
        }
        match batch::blinded_digest(&whole) == self.digest {
            true => Ok(unopened),
            false => Err("what was opened is not what was blinded".into()),
        }
    }
}

fn read_opened(request: &BatchOpening) -> Result<Vec<Opened>, ApiError> {
    let read = request.opened.iter().enumerate().map(|(position, one)| {
        one.read().map_err(|field| {
            ApiError::field(&format!("opened.{position}.{field}"), "cannot be read")
        })
    });
    read.collect()
}

fn check_signature(
    certificate: &CameraCertificate,
    digest: &Digest,
    signature: &str,
) -> Result<(), ApiError> {
    let wrong = || {
        ApiError::field(
            "signature",
            "is not by the certificate's key over this request",
        )
    };
    let signature = Signature::from_der(&decode("signature", signature)?).map_err(|_| wrong())?;
    let key = certificate.key().p256().ok_or_else(wrong)?;
    key.verify_digest(digest, &signature).map_err(|_| wrong())
}

fn decode(field: &str, text: &str) -> Result<Vec<u8>, ApiError> {
    STANDARD
        .decode(text)
        .map_err(|_| ApiError::field(field, "expected base64"))
}

fn sealed_as(family: &str, epoch: u32, modulus: &RsaBytes) -> String {
    format!("epoch {epoch} of {family}, {}", Digest::of(modulus))
}

fn stated_key(row: &EpochRow) -> anyhow::Result<EpochKey> {
    match SignedEpochStatement::decode(&row.statement)?.statement {
        EpochStatement::Key(key) => Ok(key),
        EpochStatement::Count(_) | EpochStatement::Withdrawal(_) => {
            anyhow::bail!("the statement of an epoch is none of a key")
        }
    }
}

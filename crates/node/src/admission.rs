//! Admission: what a node checks by itself before it keeps a submission and asks the authority.
//!
//! In the order that costs an attacker most and us least: room, shape, time, the authority from the
//! configuration, the certificate (its issuer once, its standing always), the signature; then one
//! commit for many. Nothing in a request ever chooses whom this node connects to.

use std::sync::Arc;
use std::time::Duration;

use birthmark_daemon::random;
use birthmark_http::site::KeyedLimit;
use birthmark_ledger::KeyFault;
use birthmark_protocol::authority_request::CameraProof;
use birthmark_protocol::submission::{
    Camera, SignedClaims, SignedForm, Submission, SubmissionRoute,
};
use birthmark_protocol::token_claim::TokenClaim;
use birthmark_protocol::{AnchorError, Digest, Opening, Timestamp};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::authorities::{Authority, AuthorityBook};
use crate::disk::{Disk, Space};
use crate::lookup_key::LookupKey;
use crate::row_keys::RowKeys;
use crate::signatures;
use crate::store::{Kind, Store, StoreError};

mod asked;
mod certificates;
mod intake;
pub mod one_time;
pub mod request;
mod room;
pub mod software;

pub use asked::{Asked, OneTime};
pub use intake::Taken;
pub use request::{CheckedSignature, Claimed, Hidden, Request};
pub use room::QueueRoom;

/// How far a camera's clock may be ahead of ours, in seconds.
pub const CLOCK_TOLERANCE: i64 = 300;
/// The queue of submissions nobody is asked about.
pub const NOBODY: &str = "";

/// A request as it was sent.
#[derive(Clone, Copy)]
pub struct Sent<'a> {
    /// Where to.
    pub route: SubmissionRoute,
    /// Its body.
    pub body: &'a [u8],
}

/// Takes submissions.
pub struct Admission {
    book: Arc<AuthorityBook>,
    key: LookupKey,
    certificates: certificates::CertificateCache,
    arrivals: mpsc::Sender<intake::Arrival>,
    room: Arc<QueueRoom>,
    disk: Arc<Disk>,
    cameras: KeyedLimit,
}

/// Why a submission is not taken. Every sentence is for its sender.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Too many wait already.
    #[error("too many submissions are waiting; come back later")]
    Full,
    /// Too many wait for this authority that only it can check.
    #[error(
        "too many submissions without a certificate are waiting for this authority; come back later, or send the camera's \
         certificate as well"
    )]
    UnverifiedFull,
    /// The disk is nearly full.
    #[error("the validator's disk is nearly full; come back later")]
    Disk,
    /// One camera sends more than its share.
    #[error("this camera has sent as many photos as one may in an hour; come back later")]
    CameraBudget {
        /// When its next photo may come.
        wait: Duration,
    },
    /// The database does not answer.
    #[error("submissions cannot be stored at the moment; come back later")]
    Store(#[source] Arc<StoreError>),
    /// No randomness: the system is not well.
    #[error("the node has no randomness at the moment; come back later")]
    Randomness,
    /// The camera's clock is wrong.
    #[error(
        "the timestamp lies {ahead} seconds in the future; at most {CLOCK_TOLERANCE} are allowed"
    )]
    Future {
        /// By how many seconds.
        ahead: i64,
    },
    /// Nobody to ask.
    #[error(
        "the submission names no authority this node knows, and the node has no default authority"
    )]
    NoAuthority,
    /// Not one of the pinned keys signed the certificate.
    #[error("the certificate was not issued by an authority this node knows")]
    UnknownIssuer,
    /// The authority took the certificate back.
    #[error("the certificate was revoked by its authority")]
    Revoked,
    /// The certificate's time is over, for a photo that was taken when this one says.
    #[error("the certificate expired at {until} (seconds since 1970)")]
    Expired {
        /// Its last moment.
        until: Timestamp,
    },
    /// The certificate's time has not come.
    #[error("the certificate is not valid before {from} (seconds since 1970)")]
    NotYetValid {
        /// Its first moment.
        from: Timestamp,
    },
    /// Its issuer could not issue it when it begins.
    #[error("the certificate begins when its issuer's own certificate was not valid")]
    IssuedOutOfTime,
    /// The signature is over something else, or by another key.
    #[error("the signature does not match the claims and the certificate's key")]
    Signature,
    /// A bundle and the block it names do not fit together.
    #[error("anchor: {0}")]
    Anchor(#[source] AnchorError),
    /// The camera knows a block that this validator does not have yet.
    #[error("anchor: this validator has no block {height} yet; come back later")]
    AnchorAhead {
        /// The block.
        height: u64,
    },
    /// The camera follows another registry.
    #[error(
        "anchor: block {height} of this registry has another hash; the camera follows another registry"
    )]
    OtherRegistry {
        /// The block.
        height: u64,
    },
    /// A simulation for a registry that is no rehearsal.
    #[error("source: this registry is no rehearsal and takes only photos from a sensor")]
    NoRehearsal,
    /// A one-time key that does not count, or not yet.
    #[error("one_time_key: {0}")]
    OneTimeKey(#[source] KeyFault),
    /// A one-time key that its authority never signed, or that did not sign the photo.
    #[error(
        "the one-time key was not signed by its authority for this epoch, or did not sign the claims"
    )]
    OneTimeSignature,
    /// One token, two photos.
    #[error("the camera token was already used for another photo")]
    TokenSpent,
    /// What it was edited from is not registered.
    #[error("the parent image is not registered; register the original first")]
    NoParent,
    /// Editing does not bring an image closer to the sensor.
    #[error("the modification level must be 1 or 2 and not lower than the parent's")]
    Level,
}

impl Refused {
    /// Whether the same submission may succeed later.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::OneTimeKey(fault) => fault.is_temporary(),
            Self::Full
            | Self::UnverifiedFull
            | Self::Disk
            | Self::CameraBudget { .. }
            | Self::Store(_)
            | Self::Randomness
            | Self::AnchorAhead { .. } => true,
            _ => false,
        }
    }

    /// Whether somebody may have tried to pass for a camera.
    pub const fn is_forgery(&self) -> bool {
        matches!(
            self,
            Self::UnknownIssuer
                | Self::IssuedOutOfTime
                | Self::Revoked
                | Self::Signature
                | Self::OneTimeSignature
                | Self::TokenSpent
        )
    }
}

impl Admission {
    /// Starts the task that makes submissions durable; `wake` is told of each commit.
    pub async fn start(
        store: Store,
        rows: Arc<RowKeys>,
        key: LookupKey,
        book: Arc<AuthorityBook>,
        room: QueueRoom,
        disk: Arc<Disk>,
        wake: Arc<Notify>,
    ) -> Result<Self, StoreError> {
        for (authority, kind, count) in store.waiting_by_kind().await? {
            room.add(&authority, kind, count);
        }
        let room = Arc::new(room);
        let (sender, arrivals) = mpsc::channel(intake::ROOM);
        let intake = intake::Intake {
            store,
            rows,
            arrivals,
            room: Arc::clone(&room),
            wake,
        };
        tokio::spawn(intake.run());
        Ok(Self {
            book,
            key,
            certificates: certificates::CertificateCache::default(),
            arrivals: sender,
            room,
            disk,
            cameras: KeyedLimit::per_hour(0),
        })
    }

    /// The same, with a budget for each camera.
    #[must_use]
    pub fn with_budget(self, cameras: KeyedLimit) -> Self {
        Self { cameras, ..self }
    }

    /// The room of the queue.
    pub fn room(&self) -> &QueueRoom {
        &self.room
    }

    /// The room on the disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The key of receipt ids and claims.
    pub const fn key(&self) -> &LookupKey {
        &self.key
    }

    /// Who may vouch.
    pub fn book(&self) -> &AuthorityBook {
        &self.book
    }

    /// How many submissions wait for an authority.
    pub fn queued(&self) -> u64 {
        self.room.waiting(None)
    }

    /// Whether another submission may come; asked before any work is done.
    pub fn check_room(&self) -> Result<(), Refused> {
        if self.disk.space() == Space::None {
            Err(Refused::Disk)
        } else if !self.room.has_any() || self.arrivals.capacity() == 0 {
            Err(Refused::Full)
        } else {
            Ok(())
        }
    }

    /// Whether one of this kind may come for this authority.
    fn check_share(&self, authority: &str, kind: Kind) -> Result<(), Refused> {
        let is_unverified = kind == Kind::Unverified;
        if is_unverified && self.disk.space() < Space::Enough {
            return Err(Refused::Disk);
        }
        // Half of the way into the database is kept for what was signed.
        let is_crowded = is_unverified && self.arrivals.capacity() < intake::ROOM / 2;
        match (self.room.has_room(authority, kind), kind) {
            (true, _) if !is_crowded => Ok(()),
            (_, Kind::Unverified) => Err(Refused::UnverifiedFull),
            (_, Kind::Signed) => Err(Refused::Full),
        }
    }

    /// Checks a submission and makes it durable.
    ///
    /// `sent` is the request as it came: where the camera signed a text of the documents, voters
    /// need all of it.
    pub async fn submit(
        &self,
        submission: Submission,
        sent: Sent<'_>,
        now: Timestamp,
    ) -> Result<Taken, Refused> {
        let (authority, request) = self.check(submission, sent, now)?;
        self.keep(authority.settings.id.clone(), request, now).await
    }

    /// Makes a request durable whose checks are done.
    pub async fn keep(
        &self,
        authority: String,
        request: Request,
        now: Timestamp,
    ) -> Result<Taken, Refused> {
        self.check_share(&authority, request.kind())?;
        let (answer, answered) = oneshot::channel();
        let arrival = intake::Arrival::new(authority, request, now, answer);
        self.arrivals.try_send(arrival).map_err(|_| Refused::Full)?;
        match answered.await {
            Ok(Ok(Taken::TokenSpent)) => Err(Refused::TokenSpent),
            Ok(Ok(taken)) => Ok(taken),
            Ok(Err(error)) => Err(Refused::Store(error)),
            Err(_) => Err(Refused::Full),
        }
    }

    fn check(
        &self,
        submission: Submission,
        sent: Sent<'_>,
        now: Timestamp,
    ) -> Result<(Arc<Authority>, Request), Refused> {
        let taken = submission.time();
        check_time(taken, now)?;
        let signed = submission.camera.signed();
        let digest = signed.map(|signed| Digest::of(signed.certificate.der()));
        let (authority, checked) = match signed.zip(digest.as_ref()) {
            Some((signed, digest)) => {
                let authority = self.certificates.authority(
                    &self.book,
                    &signed.certificate,
                    digest,
                    taken,
                    now,
                )?;
                let checked = check_signature(&self.book, signed, sent)?;
                // Only now: whoever has somebody's certificate and not its key takes nothing from
                // its camera.
                self.take_from_budget(digest)?;
                (authority, Some(checked))
            }
            None => (self.named_authority(&submission)?, None),
        };
        let request = request_of(&self.key, submission, digest, checked)?;
        Ok((authority, request))
    }

    fn take_from_budget(&self, certificate: &Digest) -> Result<(), Refused> {
        let bytes = certificate.as_bytes().iter().take(16);
        let key = bytes.fold(0, |key, byte| key << 8 | u128::from(*byte));
        let taken = self.cameras.take(key);
        taken.map_err(|wait| Refused::CameraBudget { wait })
    }

    /// The authority a request names if the configuration has it, or else the default. The address
    /// in it is not looked at.
    fn named_authority(&self, submission: &Submission) -> Result<Arc<Authority>, Refused> {
        let named = submission
            .named_authority
            .as_ref()
            .and_then(|named| self.book.get(&named.id));
        named
            .or_else(|| self.book.default_authority())
            .cloned()
            .ok_or(Refused::NoAuthority)
    }
}

/// The future is refused; the past is not, because cameras are offline for weeks.
pub fn check_time(time: Timestamp, now: Timestamp) -> Result<(), Refused> {
    match time.since(now) {
        ahead if ahead > CLOCK_TOLERANCE => Err(Refused::Future { ahead }),
        _ => Ok(()),
    }
}

/// Succeeds with what every voter needs to check the signature again.
fn check_signature(
    book: &AuthorityBook,
    signed: &SignedClaims,
    sent: Sent<'_>,
) -> Result<CheckedSignature, Refused> {
    let key = signed.certificate.key().p256().ok_or(Refused::Signature)?;
    let mut texts = signed.texts.iter();
    let signed_text = texts
        .find(|text| signatures::verify_digest(key, &text.digest, &signed.signature))
        .ok_or(Refused::Signature)?;
    // The photo's evidence is judged with our own proposal.
    book.remember_signature(key, &signed_text.digest, &signed.signature);
    match signed_text.form {
        SignedForm::Bundle => Ok(CheckedSignature::Bundle(signed.signature)),
        _ => Ok(CheckedSignature::Request {
            route: sent.route,
            body: sent.body.to_vec(),
        }),
    }
}

fn request_of(
    key: &LookupKey,
    submission: Submission,
    certificate: Option<Digest>,
    checked: Option<CheckedSignature>,
) -> Result<Request, Refused> {
    let digest = submission.bundle_digest().map_err(Refused::Anchor)?;
    let Submission { bundle, camera, .. } = submission;
    let spends = camera.spends();
    let credential = certificate.or(spends).unwrap_or(digest);
    let (hidden, proof) = match camera {
        // A certificate beside a token is asked about together with it: both must be one camera's.
        Camera::Token {
            token,
            signed: Some(signed),
        } => (
            Hidden::ByUs(draw_opening()?),
            CameraProof::Certificate(Box::new(signed.certificate), Some(token)),
        ),
        Camera::Token {
            token,
            signed: None,
        } => (Hidden::ByUs(draw_opening()?), CameraProof::Token(token)),
        Camera::Certificate { signed, fresh } => {
            let certificate = Box::new(signed.certificate);
            match fresh {
                Some(fresh) => (
                    Hidden::ByCamera(fresh.opening),
                    CameraProof::Certificate(
                        certificate,
                        Some(TokenClaim::Structured(fresh.token)),
                    ),
                ),
                None => (
                    Hidden::ByUs(draw_opening()?),
                    CameraProof::Certificate(certificate, None),
                ),
            }
        }
    };
    Ok(Request::new(
        key,
        Claimed { bundle, digest },
        hidden,
        checked,
        &credential,
        spends.as_ref(),
        Asked::Authority(proof),
    ))
}

/// 32 random bytes that hide a photo from its authority.
pub fn draw_opening() -> Result<Opening, Refused> {
    let bytes = random::bytes::<32>().map_err(|_| Refused::Randomness)?;
    let bytes = zeroize::Zeroizing::new(bytes);
    Ok(Opening::from_bytes(*bytes))
}

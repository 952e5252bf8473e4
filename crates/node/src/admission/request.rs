//! A submission that waits for its authority: everything needed to ask, and to make a record of the
//! answer.
//!
//! It is kept as canonical bytes, sealed (see [`crate::row_keys`]), until the authority has decided
//! and not a moment longer:
//!
//! ```text
//! u8   version (1)
//! u64 + bytes  bundle
//! 32   the bundle's digest: with an anchor it covers a block's hash that the bundle does not hold
//! u8   what the camera signed: 0 nothing that was checked; 1 the bundle, then 64 bytes of signature; 2 a text of the
//!      documents, then u8 route, u64 + the request as it was sent
//! 32   opening
//! u8   number of claims; each 16 bytes
//! u8 0|1 and then 16 bytes of the token it spends
//!      proof, see `asked`
//! ```

use birthmark_protocol::authority_request::Question;
use birthmark_protocol::bytes::{DecodeError, Reader};
use birthmark_protocol::submission::SubmissionRoute;
use birthmark_protocol::{
    AnchorError, Bundle, BundleError, Commitment, Digest, Opening, Signature,
};
use zeroize::Zeroizing;

use super::asked::{Asked, AskedError, put_bytes, read_bytes};
use crate::lookup_key::{LookupKey, SHORT};
use crate::store::{Kind, ReceiptId};

const VERSION: u8 = 1;

/// A submission that waits. The opening stands here and nowhere else.
#[derive(Debug)]
pub struct Request {
    /// The id it is answered under.
    pub id: ReceiptId,
    /// What the camera claims.
    pub bundle: Bundle,
    /// The digest of that: what a camera of ours signs and what the commitment hides.
    pub digest: Digest,
    /// What opens the commitment.
    pub opening: Opening,
    /// What the camera signed, if that was checked under its authority's chain. Every voter checks
    /// it again.
    pub signed: Option<CheckedSignature>,
    /// What nobody else may claim: each digest of the bundle, for this camera.
    pub claims: Vec<Vec<u8>>,
    /// The token this photo spends.
    pub token: Option<Vec<u8>>,
    /// What the authority is asked about. For those nobody is asked about, who stands behind it
    /// instead.
    pub asked: Asked,
}

/// A camera's signature that holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckedSignature {
    /// Over the bundle.
    Bundle(Signature),
    /// Over a text in one of the documents' forms, which only the whole request rebuilds.
    Request {
        /// Where it came to.
        route: SubmissionRoute,
        /// Its body.
        body: Vec<u8>,
    },
}

/// A bundle and its digest.
#[derive(Debug)]
pub struct Claimed {
    /// What is claimed.
    pub bundle: Bundle,
    /// What a camera of ours signs.
    pub digest: Digest,
}

impl Claimed {
    /// Claims that are anchored to no block.
    pub fn unanchored(bundle: Bundle) -> Result<Self, AnchorError> {
        Ok(Self {
            digest: bundle.digest(None)?,
            bundle,
        })
    }
}

/// What hides a photo from its authority.
#[derive(Debug)]
pub enum Hidden {
    /// By an opening that the camera drew and sent: another opening is another submission.
    ByCamera(Opening),
    /// By an opening of our own: the same submission again gets another one and is the same
    /// submission.
    ByUs(Opening),
}

/// Why stored bytes are no request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The layout is wrong.
    #[error("a waiting submission cannot be read: {0}")]
    Layout(#[from] DecodeError),
    /// The bundle is wrong.
    #[error("a waiting submission's bundle cannot be read: {0}")]
    Bundle(#[from] BundleError),
    /// Who stands behind it is wrong.
    #[error(transparent)]
    Asked(#[from] AskedError),
}

impl Request {
    /// Puts together what waits. `credential` is the camera as far as claims go: nobody takes the
    /// same digest twice under it.
    pub fn new(
        key: &LookupKey,
        Claimed { bundle, digest }: Claimed,
        hidden: Hidden,
        signed: Option<CheckedSignature>,
        credential: &Digest,
        token: Option<&Digest>,
        asked: Asked,
    ) -> Self {
        let chosen = match &hidden {
            Hidden::ByCamera(opening) => Digest::of(opening.expose()).as_bytes().to_vec(),
            Hidden::ByUs(_) => Vec::new(),
        };
        let mut proof = Vec::new();
        asked.put(&mut proof);
        let (Hidden::ByCamera(opening) | Hidden::ByUs(opening)) = hidden;
        let claims = bundle.images().iter();
        Self {
            id: key.receipt_id(&bundle.encode(), &chosen, &proof),
            claims: claims
                .map(|image| key.claim(&image.digest, credential))
                .collect(),
            token: token.map(|token| key.token(token)),
            bundle,
            digest,
            opening,
            signed,
            asked,
        }
    }

    /// Whether it can have come from anybody.
    pub const fn kind(&self) -> Kind {
        match self.asked {
            Asked::Authority(_) if self.signed.is_none() => Kind::Unverified,
            _ => Kind::Signed,
        }
    }

    /// What the authority is asked about.
    pub fn commitment(&self) -> Commitment {
        Commitment::new(&self.digest, &self.opening)
    }

    /// The question to an authority, if one is asked.
    pub fn question(&self, authority: &str) -> Option<Question> {
        let Asked::Authority(proof) = &self.asked else {
            return None;
        };
        Some(Question {
            commitment: Some(self.commitment()),
            proof: proof.clone(),
            authority_id: Some(authority.to_owned()),
        })
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(2048));
        out.push(VERSION);
        put_bytes(&mut out, &self.bundle.encode());
        out.extend(self.digest.as_bytes());
        put_signed(&mut out, self.signed.as_ref());
        out.extend(self.opening.expose());
        // One byte counts them: a bundle has at most eight digests.
        out.push(self.claims.len() as u8);
        out.extend(self.claims.iter().flatten());
        out.push(u8::from(self.token.is_some()));
        out.extend(self.token.iter().flatten());
        self.asked.put(&mut out);
        out
    }

    /// Reads the stored form.
    pub fn from_bytes(id: ReceiptId, bytes: &[u8]) -> Result<Self, RequestError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte("version")?;
        if version != VERSION {
            return Err(DecodeError::Version(version).into());
        }
        let bundle = Bundle::decode(read_bytes(&mut reader, "bundle")?)?;
        let digest = Digest::from_bytes(reader.array("bundle's digest")?);
        let signed = read_signed(&mut reader)?;
        let opening = Opening::from_bytes(reader.array("opening")?);
        let count = reader.byte("number of claims")?;
        let mut short = |what| Ok::<_, DecodeError>(reader.array::<SHORT>(what)?.to_vec());
        let claims = (0..count)
            .map(|_| short("claim"))
            .collect::<Result<_, _>>()?;
        let token = if reader.flag("token")? {
            Some(reader.array::<SHORT>("token")?.to_vec())
        } else {
            None
        };
        let asked = Asked::read(&mut reader)?;
        reader.end()?;
        Ok(Self {
            id,
            bundle,
            digest,
            opening,
            signed,
            claims,
            token,
            asked,
        })
    }
}

fn put_signed(out: &mut Vec<u8>, signed: Option<&CheckedSignature>) {
    match signed {
        None => out.push(0),
        Some(CheckedSignature::Bundle(signature)) => {
            out.push(1);
            out.extend(signature.to_bytes());
        }
        Some(CheckedSignature::Request { route, body }) => {
            out.extend([2, route.to_byte()]);
            put_bytes(out, body);
        }
    }
}

fn read_signed(reader: &mut Reader<'_>) -> Result<Option<CheckedSignature>, DecodeError> {
    Ok(match reader.byte("what the camera signed")? {
        0 => None,
        1 => {
            let signature = Signature::from_bytes(&reader.array("signature")?);
            let signature = signature.map_err(|_| DecodeError::Value("signature"))?;
            Some(CheckedSignature::Bundle(signature))
        }
        2 => {
            let route = SubmissionRoute::from_byte(reader.byte("route")?);
            Some(CheckedSignature::Request {
                route: route.ok_or(DecodeError::Value("route"))?,
                body: read_bytes(reader, "request")?.to_vec(),
            })
        }
        _ => return Err(DecodeError::Value("what the camera signed")),
    })
}

#[cfg(test)]
mod tests {
    use birthmark_protocol::authority_request::CameraProof;
    use birthmark_protocol::token_claim::{PackedToken, TokenClaim};
    use birthmark_protocol::{
        CameraToken, DigestRole, ImageClaim, ModificationLevel, SealedNuc, Timestamp,
    };
    use proptest::prelude::*;

    use birthmark_protocol::one_time::{OneTimeProof, SpentKey};

    use super::super::OneTime;
    use super::*;

    fn key() -> LookupKey {
        LookupKey::new(&[7; 32])
    }

    fn bundle(names: &[u8]) -> Bundle {
        let mut first = None;
        let images = names.iter().map(|name| {
            let digest = Digest::of(&[*name]);
            ImageClaim {
                digest,
                role: DigestRole::File,
                level: ModificationLevel::RAW,
                parent: first.replace(first.unwrap_or(digest)),
            }
        });
        Bundle::new(images.collect(), Timestamp::from_unix(1_790_000_000), None).unwrap()
    }

    fn claimed(names: &[u8]) -> Claimed {
        Claimed::unanchored(bundle(names)).unwrap()
    }

    fn signature() -> Signature {
        use birthmark_ledger::VoteSigner as _;
        let key = birthmark_ledger::VoteKey::from_bytes(&[7; 32]).unwrap();
        key.sign(b"text").unwrap()
    }

    fn token(byte: u8) -> CameraToken {
        CameraToken {
            sealed: SealedNuc {
                ciphertext: [byte; 32],
                nonce: [byte; 12],
                tag: [byte; 16],
            },
            table: 7.try_into().unwrap(),
            index: 9.try_into().unwrap(),
        }
    }

    fn of_token(byte: u8, opening: Hidden) -> Request {
        let asked = Asked::Authority(CameraProof::Token(TokenClaim::Structured(token(byte))));
        let spent = token(byte).sealed.fingerprint();
        Request::new(
            &key(),
            claimed(&[1, 2]),
            opening,
            None,
            &spent,
            Some(&spent),
            asked,
        )
    }

    #[test]
    fn an_id_rests_on_an_opening_only_if_the_camera_chose_it() {
        let opening = |byte| Opening::from_bytes([byte; 32]);
        let id = |hidden| of_token(1, hidden).id;
        assert_eq!(id(Hidden::ByUs(opening(1))), id(Hidden::ByUs(opening(2))));
        assert_ne!(
            id(Hidden::ByCamera(opening(1))),
            id(Hidden::ByCamera(opening(2)))
        );
        assert_ne!(
            of_token(1, Hidden::ByUs(opening(1))).id,
            of_token(2, Hidden::ByUs(opening(1))).id
        );
    }

    #[test]
    fn every_digest_of_a_bundle_is_claimed() {
        let claims = |names: &[u8]| {
            let hidden = Hidden::ByUs(Opening::from_bytes([1; 32]));
            let credential = Digest::of(b"camera");
            let asked = Asked::Server {
                name: "server".into(),
                original: None,
            };
            Request::new(
                &key(),
                claimed(names),
                hidden,
                None,
                &credential,
                None,
                asked,
            )
            .claims
        };
        let (one, other) = (claims(&[1, 2, 3]), claims(&[4, 2]));
        assert_eq!((one.len(), other.len()), (3, 2));
        assert_eq!(one[1], other[1]);
    }

    proptest! {
        #[test]
        fn stored_bytes_are_read_back_and_nothing_else_is(
            kind in 0_u8..7, byte in 0_u8..255, form in 0_u8..3, cut in 0_usize..64, text in "[a-z]{0,40}",
        ) {
            let asked = match kind {
                0 => Asked::Authority(CameraProof::Token(TokenClaim::Structured(token(byte)))),
                1 => Asked::Authority(CameraProof::Token(TokenClaim::Packed(PackedToken {
                    sealed: token(byte).sealed,
                    keys: [(token(0).table, token(0).index); 3],
                }))),
                2 => Asked::Software { authority: text.clone(), family: text, original: Digest::of(&[byte]) },
                3 => Asked::Server { name: text, original: None },
                4 => Asked::OneTime(Box::new(OneTime {
                    authority: text.clone(),
                    family: text,
                    is_made_up: byte % 2 == 1,
                    spent: SpentKey { epoch: byte.into(), name: Digest::of(&[byte]) },
                    proof: OneTimeProof {
                        key: birthmark_ledger::VoteSigner::public_key(
                            &birthmark_ledger::VoteKey::from_bytes(&[7; 32]).unwrap(),
                        ),
                        key_signature: [byte; 256],
                        signature: signature(),
                    },
                })),
                _ => Asked::Server { name: text, original: Some(Digest::of(&[byte])) },
            };
            let signed = match form {
                0 => None,
                1 => Some(CheckedSignature::Bundle(signature())),
                _ => Some(CheckedSignature::Request {
                    route: SubmissionRoute::Certificate,
                    body: vec![byte; 40],
                }),
            };
            let spent = (kind < 2).then(|| token(byte).sealed.fingerprint());
            let hidden = Hidden::ByUs(Opening::from_bytes([byte; 32]));
            let request = Request::new(
                &key(), claimed(&[1, 2, 3]), hidden, signed, &Digest::of(b"camera"), spent.as_ref(), asked,
            );
            let bytes = request.to_bytes();
            let read = Request::from_bytes(request.id, &bytes).unwrap();
            prop_assert_eq!(read.to_bytes(), bytes.clone());
            prop_assert_eq!(read.commitment(), request.commitment());
            let shorter = bytes.split_at(bytes.len() - 1 - cut).0;
            prop_assert!(Request::from_bytes(request.id, shorter).is_err());
            let longer = [bytes.as_slice(), &[0]].concat();
            prop_assert!(Request::from_bytes(request.id, &longer).is_err());
        }
    }
}

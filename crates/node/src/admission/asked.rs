//! Who stands behind the claims of a submission, and its bytes. They are stored, and the receipt id
//! is made of them:
//!
//! ```text
//! u8 0  token with its one key: 60 bytes, u16 table, u16 index
//! u8 1  token with three keys: 60 bytes, three times u16 table, u16 index
//! u8 2  certificate: u64 + DER, then u8 0, or u8 1 and a token as in 0 or 1
//! u8 3  editing software: authority and application (u64 + text each), 32 bytes of the original
//! u8 4  submission server: name (u64 + text), u8 0|1 and then 32 bytes of the original
//! u8 5  one-time key: authority and family (u64 + text each), u8 1 if its cameras' fingerprints are made up, u32 epoch, 32
//!       name, 33 key, 256 its authority's signature, 64 signature over the bundle's digest
//! ```

use birthmark_protocol::authority_request::CameraProof;
use birthmark_protocol::bytes::{DecodeError, Reader, put_optional32};
use birthmark_protocol::one_time::{OneTimeProof, SpentKey};
use birthmark_protocol::token_claim::{PackedToken, TokenClaim};
use birthmark_protocol::{
    CameraCertificate, CameraToken, CertificateError, Digest, PublicKey, SealedNuc, Signature,
    TokenFormatError,
};

const STRUCTURED: u8 = 0;
const PACKED: u8 = 1;

/// Who is asked, or why nobody is.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A manufacturer's authority, about this camera.
    Authority(CameraProof),
    /// Nobody: editing software, its certificate checked here.
    Software {
        /// The software authority.
        authority: String,
        /// The application.
        family: String,
        /// The registered image it was made from.
        original: Digest,
    },
    /// Nobody: its authority signed the one-time key beforehand. Checked here, and by every voter
    /// again.
    OneTime(Box<OneTime>),
    /// Nobody: a registered submission server's word.
    Server {
        /// The server.
        name: String,
        /// The registered image it was made from, if any.
        original: Option<Digest>,
    },
}

/// A camera that proved itself by a one-time key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneTime {
    /// The authority.
    pub authority: String,
    /// The device family.
    pub family: String,
    /// Whether the authority makes up the fingerprints of such cameras.
    pub is_made_up: bool,
    /// The epoch, and the name under which the key is spent.
    pub spent: SpentKey,
    /// Key and signatures.
    pub proof: OneTimeProof,
}

/// Why stored bytes name nobody.
#[derive(Debug, thiserror::Error)]
pub enum AskedError {
    /// The layout is wrong.
    #[error("a waiting submission cannot be read: {0}")]
    Layout(#[from] DecodeError),
    /// The certificate is wrong.
    #[error("a waiting submission's certificate cannot be read: {0}")]
    Certificate(#[from] CertificateError),
    /// The token is wrong.
    #[error("a waiting submission's token cannot be read: {0}")]
    Token(#[from] TokenFormatError),
}

impl Asked {
    /// Writes it.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Asked::Authority(CameraProof::Token(token)) => put_claim(out, token),
            Asked::Authority(CameraProof::Certificate(certificate, token)) => {
                out.push(2);
                put_bytes(out, certificate.der());
                out.push(u8::from(token.is_some()));
                if let Some(token) = token {
                    put_claim(out, token);
                }
            }
            Asked::Software {
                authority,
                family,
                original,
            } => {
                out.push(3);
                put_bytes(out, authority.as_bytes());
                put_bytes(out, family.as_bytes());
                out.extend(original.as_bytes());
            }
            Asked::OneTime(one_time) => put_one_time(out, one_time),
            Asked::Server { name, original } => {
                out.push(4);
                put_bytes(out, name.as_bytes());
                put_optional32(out, original.as_ref().map(Digest::as_bytes));
            }
        }
    }

    /// Reads it.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, AskedError> {
        Ok(match reader.byte("proof")? {
            form @ (STRUCTURED | PACKED) => {
                Asked::Authority(CameraProof::Token(read_claim(reader, form)?))
            }
            2 => {
                let certificate = CameraCertificate::from_der(read_bytes(reader, "certificate")?)?;
                let token = if reader.flag("token")? {
                    let form = reader.byte("token")?;
                    Some(read_claim(reader, form)?)
                } else {
                    None
                };
                Asked::Authority(CameraProof::Certificate(Box::new(certificate), token))
            }
            3 => Asked::Software {
                authority: read_text(reader, "authority")?,
                family: read_text(reader, "application")?,
                original: Digest::from_bytes(reader.array("original")?),
            },
            4 => Asked::Server {
                name: read_text(reader, "server")?,
                original: reader.optional32("original")?.map(Digest::from_bytes),
            },
            5 => Asked::OneTime(Box::new(read_one_time(reader)?)),
            _ => return Err(DecodeError::Value("proof").into()),
        })
    }
}

fn put_one_time(out: &mut Vec<u8>, one_time: &OneTime) {
    let OneTime {
        authority,
        family,
        is_made_up,
        spent,
        proof,
    } = one_time;
    out.push(5);
    put_bytes(out, authority.as_bytes());
    put_bytes(out, family.as_bytes());
    out.push(u8::from(*is_made_up));
    out.extend(spent.epoch.to_be_bytes());
    out.extend(spent.name.as_bytes());
    out.extend(proof.key.to_compressed());
    out.extend(proof.key_signature);
    out.extend(proof.signature.to_bytes());
}

fn read_one_time(reader: &mut Reader<'_>) -> Result<OneTime, DecodeError> {
    Ok(OneTime {
        authority: read_text(reader, "authority")?,
        family: read_text(reader, "family")?,
        is_made_up: reader.flag("made-up fingerprint")?,
        spent: SpentKey {
            epoch: u32::from_be_bytes(reader.array("epoch")?),
            name: reader.array("name of the one-time key")?.into(),
        },
        proof: OneTimeProof {
            key: PublicKey::from_sec1(&reader.array::<33>("one-time key")?)
                .map_err(|_| DecodeError::Value("one-time key"))?,
            key_signature: reader.array("authority's signature")?,
            signature: Signature::from_bytes(&reader.array("signature")?)
                .map_err(|_| DecodeError::Value("signature"))?,
        },
    })
}

fn put_claim(out: &mut Vec<u8>, claim: &TokenClaim) {
    match claim {
        TokenClaim::Structured(token) => {
            out.push(STRUCTURED);
            put_token(out, token);
        }
        TokenClaim::Packed(token) => {
            out.push(PACKED);
            out.extend(token.sealed.to_packed());
            for (table, index) in &token.keys {
                out.extend(table.get().to_be_bytes());
                out.extend(index.get().to_be_bytes());
            }
        }
    }
}

fn read_claim(reader: &mut Reader<'_>, form: u8) -> Result<TokenClaim, AskedError> {
    match form {
        STRUCTURED => Ok(TokenClaim::Structured(read_token(reader)?)),
        PACKED => {
            let sealed = SealedNuc::from_packed(reader.slice(60, "token")?)?;
            let mut key = || Ok::<_, DecodeError>((number(reader)?, number(reader)?));
            let keys = [key()?, key()?, key()?];
            Ok(TokenClaim::Packed(PackedToken { sealed, keys }))
        }
        _ => Err(DecodeError::Value("token").into()),
    }
}

fn put_token(out: &mut Vec<u8>, token: &CameraToken) {
    out.extend(token.sealed.to_packed());
    out.extend(token.table.get().to_be_bytes());
    out.extend(token.index.get().to_be_bytes());
}

fn read_token(reader: &mut Reader<'_>) -> Result<CameraToken, AskedError> {
    Ok(CameraToken {
        sealed: SealedNuc::from_packed(reader.slice(60, "token")?)?,
        table: number(reader)?,
        index: number(reader)?,
    })
}

fn number<T: TryFrom<i64>>(reader: &mut Reader<'_>) -> Result<T, DecodeError> {
    let number = u16::from_be_bytes(reader.array("a token's key")?);
    T::try_from(i64::from(number)).map_err(|_| DecodeError::Value("a token's key"))
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_be_bytes());
    out.extend(bytes);
}

pub(super) fn read_bytes<'a>(
    reader: &mut Reader<'a>,
    what: &'static str,
) -> Result<&'a [u8], DecodeError> {
    let length = u64::from_be_bytes(reader.array(what)?);
    let length = usize::try_from(length).map_err(|_| DecodeError::Truncated(what))?;
    reader.slice(length, what)
}

fn read_text(reader: &mut Reader<'_>, what: &'static str) -> Result<String, DecodeError> {
    let text = std::str::from_utf8(read_bytes(reader, what)?);
    text.map(str::to_owned)
        .map_err(|_| DecodeError::Value(what))
}

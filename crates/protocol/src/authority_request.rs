//! What nodes ask a manufacturer's authority, in every shape the documents have, and one of ours
//! for many at once.
//!
//! No question of ours holds a photo's digest, place or time. Older nodes send the digest where
//! ours send the commitment; it is taken for a commitment, and nothing else is done with it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use crate::certificate::CameraCertificate;
use crate::commitment::Commitment;
use crate::numbers::TABLES;
use crate::request::{Form, RequestError};
use crate::token::{CameraToken, SealedNuc};
use crate::token_claim::{PackedToken, TokenClaim, structured};
use crate::verdict::MAX_ITEMS;

type Result<T> = std::result::Result<T, RequestError>;

/// How many bytes one question may have.
pub const MAX_QUESTION: usize = 64 * 1024;
/// How many bytes a batch of questions may have.
pub const MAX_BATCH: usize = 4 * 1024 * 1024;

/// "Is a camera of yours behind this?"
#[derive(Clone, Debug)]
pub struct Question {
    /// The photo, hidden. Older nodes ask about tokens without naming one.
    pub commitment: Option<Commitment>,
    /// What the camera showed.
    pub proof: CameraProof,
    /// The authority the node believes it is asking.
    pub authority_id: Option<String>,
}

/// What a camera showed to prove itself.
#[derive(Clone, Debug)]
pub enum CameraProof {
    /// A token.
    Token(TokenClaim),
    /// Its certificate, and the token it showed beside it: both must be one camera's.
    Certificate(Box<CameraCertificate>, Option<TokenClaim>),
}

/// Many questions in one request. One that cannot be read spoils no other.
#[derive(Debug)]
pub struct Batch {
    /// In the order they were asked.
    pub questions: Vec<Result<Question>>,
}

impl Question {
    /// Reads the body of `/validate`.
    pub fn parse_token(body: &[u8]) -> Result<Self> {
        Form::read(body, MAX_QUESTION, |form| token_question(&form))
    }

    /// Reads the body of `/validate-cert`.
    pub fn parse_certificate(body: &[u8]) -> Result<Self> {
        Form::read(body, MAX_QUESTION, |form| certificate_question(&form))
    }

    /// Reads the body of `/api/v1/validate/nuc`.
    pub fn parse_nuc(body: &[u8]) -> Result<Self> {
        Form::read(body, MAX_QUESTION, |form| nuc_question(&form))
    }

    /// The body that asks this. A certificate goes to `/validate-cert`, a token to `/validate`, any
    /// of them into a batch.
    pub fn to_json(&self) -> Json {
        let mut body = Map::new();
        match &self.proof {
            CameraProof::Token(token) => put_token(&mut body, token),
            CameraProof::Certificate(certificate, token) => {
                body.insert(
                    "camera_cert".into(),
                    STANDARD.encode(certificate.der()).into(),
                );
                body.insert(
                    "image_hash".into(),
                    self.commitment
                        .map(|commitment| commitment.to_string())
                        .into(),
                );
                if let Some(token) = token {
                    put_token(&mut body, token);
                }
            }
        }
        if let Some(commitment) = &self.commitment {
            body.insert("commitment".into(), commitment.to_string().into());
        }
        if let Some(authority) = &self.authority_id {
            body.insert(
                "manufacturer_authority_id".into(),
                authority.as_str().into(),
            );
        }
        Json::Object(body)
    }
}

impl Batch {
    /// Reads the body of `/api/v1/validate/batch`.
    pub fn parse(body: &[u8]) -> Result<Self> {
        Form::read(body, MAX_BATCH, |form| {
            let questions: Vec<_> = form
                .forms("requests", MAX_ITEMS)?
                .map(|item| batch_question(&item?))
                .collect();
            if questions.is_empty() {
                return Err(form.refuse("requests", "too_short", "expected at least one question"));
            }
            Ok(Self { questions })
        })
    }

    /// The body that asks all of `questions`.
    pub fn to_json<'a>(questions: impl IntoIterator<Item = &'a Question>) -> Json {
        json!({ "requests": questions.into_iter().map(Question::to_json).collect::<Vec<_>>() })
    }
}

fn token_question(form: &Form<'_>) -> Result<Question> {
    Ok(Question {
        commitment: form.optional_digest("commitment")?.map(Commitment::from),
        proof: CameraProof::Token(token(form)?),
        authority_id: authority_id(form)?,
    })
}

fn token(form: &Form<'_>) -> Result<TokenClaim> {
    if form.has("camera_token") {
        structured(form, "camera_token").map(TokenClaim::Structured)
    } else {
        TokenClaim::packed(form, "ciphertext")
    }
}

fn optional_token(form: &Form<'_>) -> Result<Option<TokenClaim>> {
    if form.has("camera_token") || form.has("ciphertext") {
        token(form).map(Some)
    } else {
        Ok(None)
    }
}

fn certificate_question(form: &Form<'_>) -> Result<Question> {
    let commitment = if form.has("commitment") {
        "commitment"
    } else {
        "image_hash"
    };
    let text = form.text("camera_cert")?;
    let bytes = STANDARD
        .decode(text.trim())
        .map_err(|_| form.wrong("camera_cert", "expected base64"))?;
    let certificate = CameraCertificate::from_pem_or_der(&bytes)
        .map_err(|problem| form.wrong("camera_cert", problem))?;
    Ok(Question {
        commitment: Some(form.digest(commitment)?.into()),
        proof: CameraProof::Certificate(Box::new(certificate), optional_token(form)?),
        authority_id: authority_id(form)?,
    })
}

fn nuc_question(form: &Form<'_>) -> Result<Question> {
    let name = "encrypted_nuc_hash";
    let (ciphertext, tag) = if form.has("auth_tag") {
        (form.hex::<32>(name)?, form.hex::<16>("auth_tag")?)
    } else {
        split_tag(&form.hex::<48>(name)?)
    };
    let sealed = SealedNuc {
        ciphertext,
        nonce: form.hex("nonce")?,
        tag,
    };
    let table = form.integer("table_id")?;
    if !(0..i64::from(TABLES)).contains(&table) {
        return Err(RequestError::Sentence(format!("unknown table {table}")));
    }
    let token = CameraToken {
        sealed,
        table: form.number("table_id")?,
        index: form.number("key_index")?,
    };
    Ok(Question {
        commitment: None,
        proof: CameraProof::Token(TokenClaim::Structured(token)),
        authority_id: None,
    })
}

fn batch_question(form: &Form<'_>) -> Result<Question> {
    // A verdict over a batch is a list of commitments: a question without one could not be
    // answered.
    if !form.has("commitment") {
        form.digest("commitment")?;
    }
    if form.has("camera_cert") {
        certificate_question(form)
    } else {
        token_question(form)
    }
}

fn authority_id(form: &Form<'_>) -> Result<Option<String>> {
    let name = "manufacturer_authority_id";
    if form.has(name) {
        Ok(Some(form.name(name)?.to_owned()))
    } else {
        Ok(None)
    }
}

fn split_tag(sealed: &[u8; 48]) -> ([u8; 32], [u8; 16]) {
    let mut ciphertext = [0; 32];
    let mut tag = [0; 16];
    ciphertext
        .iter_mut()
        .chain(&mut tag)
        .zip(sealed)
        .for_each(|(to, from)| *to = *from);
    (ciphertext, tag)
}

fn put_token(body: &mut Map<String, Json>, token: &TokenClaim) {
    match token {
        TokenClaim::Structured(token) => {
            body.insert("camera_token".into(), structured_json(token));
        }
        TokenClaim::Packed(PackedToken { sealed, keys }) => {
            let (tables, indices): (Vec<_>, Vec<_>) = keys
                .iter()
                .map(|(table, index)| (table.get(), index.get()))
                .unzip();
            body.insert("ciphertext".into(), hex::encode(sealed.to_packed()).into());
            body.insert("table_references".into(), tables.into());
            body.insert("key_indices".into(), indices.into());
        }
    }
}

fn structured_json(token: &CameraToken) -> Json {
    json!({
        "ciphertext": hex::encode(token.sealed.ciphertext),
        "nonce": hex::encode(token.sealed.nonce),
        "auth_tag": hex::encode(token.sealed.tag),
        "table_id": token.table.get(),
        "key_index": token.index.get(),
    })
}

#[cfg(test)]
mod tests;

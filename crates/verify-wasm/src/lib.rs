//! The verifier in a browser: a page computes a photo's digests, asks a registry without naming
//! them, and checks what comes back.
//!
//! Every function takes and gives texts or bytes; what is decided is decided in the pure crates, as
//! on every machine. The page fetches what it is told to and draws.

use birthmark_protocol::image_data;
use birthmark_verify::{FileHasher, Metadata};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

pub mod look;

/// Computes a file's digests chunk by chunk, in constant memory.
#[wasm_bindgen]
#[derive(Default)]
pub struct FileDigests(FileHasher);

#[wasm_bindgen]
impl FileDigests {
    /// Starts with an empty file.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file.
    pub fn update(&mut self, chunk: &[u8]) {
        self.0.update(chunk);
    }

    /// Ends the file: JSON with `digests`, `kind` and `notes`.
    pub fn finish(self) -> Result<String, JsError> {
        Ok(serde_json::to_string(&self.0.finish())?)
    }
}

/// A question about files that names none of them.
#[wasm_bindgen]
pub struct Lookup(look::Lookup);

#[wasm_bindgen]
impl Lookup {
    /// Begins: the genesis or a later set of validators as JSON, a JSON list of what
    /// `FileDigests.finish` gave of each file, and 32 fresh random bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(trusted: &str, files: &str, seed: &[u8]) -> Result<Self, JsError> {
        Ok(Self(look::Lookup::new(trusted, files, seed)?))
    }

    /// What to do next, as JSON: `fetch` lists files below the registry's address, an empty list
    /// when nothing is missing; `refused` says why an answer does not hold, `failed` why there was
    /// none.
    pub fn wants(&mut self) -> Result<String, JsError> {
        Ok(serde_json::to_string(&self.0.wants())?)
    }

    /// Takes the bytes of a file that `wants` named.
    pub fn take(&mut self, file: &str, bytes: &[u8]) {
        self.0.take(file, Some(bytes));
    }

    /// Takes that there is no such file.
    pub fn missing(&mut self, file: &str) {
        self.0.take(file, None);
    }

    /// What is shown of a file, as JSON: `file` is what `FileDigests.finish` gave, `metadata` what
    /// `metadata` said of it.
    pub fn card(&self, file: &str, metadata: Option<String>) -> Result<String, JsError> {
        let judged = self.0.card(file, metadata.as_deref())?;
        Ok(serde_json::to_string(&judged)?)
    }

    /// The receipt by which a file is answered about, to be kept beside it; nothing if it has no
    /// record.
    pub fn receipt(&self, file: &str) -> Result<Option<Vec<u8>>, JsError> {
        let receipt = self.0.receipt(file)?;
        Ok(receipt.map(|receipt| receipt.encode()))
    }

    /// What the answerer learned, in one sentence.
    pub fn told(&self) -> String {
        self.0.told()
    }
}

/// The registry of a genesis, or of a later set of its validators that is trusted instead, as JSON:
/// `registry`, `genesis` (its hash), `rehearsal`, `validators` (how many), `since` (the first block
/// that they decide) and `set` (its hash).
#[wasm_bindgen]
pub fn registry(trusted: &str) -> Result<String, JsError> {
    Ok(serde_json::to_string(&look::registry(trusted)?)?)
}

/// What is shown of a receipt that somebody kept, as JSON: `trusted` is a genesis or a later set of
/// validators, `file` is what `FileDigests.finish` gave
/// of the photo beside it, `inside` what `metadata` said of that, `notices` a validator's answer at
/// `api/v1/notices`, each where there is one.
#[wasm_bindgen]
pub fn kept(
    trusted: &str,
    receipt: &[u8],
    file: Option<String>,
    inside: Option<String>,
    notices: Option<String>,
) -> Result<String, JsError> {
    let (file, inside, notices) = (file.as_deref(), inside.as_deref(), notices.as_deref());
    let judged = look::kept(trusted, receipt, file, inside, notices)?;
    Ok(serde_json::to_string(&judged)?)
}

/// The digests that a receipt is about, as `FileDigests.finish` gives them. Nothing of it is
/// verified.
#[wasm_bindgen]
pub fn receipt_about(receipt: &[u8]) -> Result<String, JsError> {
    Ok(serde_json::to_string(&look::about(receipt)?)?)
}

/// A record's family, as JSON, from a validator's answer to whoever named the photo.
#[wasm_bindgen]
pub fn family(provenance: &str, index: f64) -> Result<String, JsError> {
    Ok(serde_json::to_string(&look::family(
        provenance,
        index as u64,
    )?)?)
}

/// What a file says about itself that its image-data digest does not cover, as JSON.
#[wasm_bindgen]
pub fn metadata(file: &[u8]) -> Result<String, JsError> {
    Ok(serde_json::to_string(&Metadata::of(file))?)
}

/// The file with nothing in it but what its image-data digest covers.
#[wasm_bindgen]
pub fn without_metadata(file: &[u8]) -> Result<Vec<u8>, JsError> {
    Ok(image_data::without_metadata(file)?)
}

/// The digest that somebody typed or pasted: spaces, a `sha256:` in front and a file name behind it
/// do not matter.
#[wasm_bindgen]
pub fn typed_digest(text: &str) -> Result<String, JsError> {
    let digests = look::typed(text)?;
    Ok(serde_json::to_string(&digests)?)
}

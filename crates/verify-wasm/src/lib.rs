//! The verifier in a browser: a page computes a photo's digests and checks its receipt without sending either anywhere.
//!
//! Every function takes and gives texts or bytes; what is decided is decided in the pure crates, as on every machine.

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

/// Checks what a validator sends against the genesis of its registry.
#[wasm_bindgen]
pub struct Checker(look::Checker);

#[wasm_bindgen]
impl Checker {
    /// Takes the genesis as JSON.
    #[wasm_bindgen(constructor)]
    pub fn new(genesis: &str) -> Result<Self, JsError> {
        Ok(Self(look::Checker::new(genesis)?))
    }

    /// The registry and the hash of its genesis: JSON with `registry` and `genesis`.
    pub fn registry(&self) -> Result<String, JsError> {
        Ok(serde_json::to_string(&self.0.registry())?)
    }

    /// From a validator's answers about a file, the record to ask the receipt of, as JSON; `null` if there is none.
    pub fn choose(&self, digests: &str, answers: &str) -> Result<String, JsError> {
        Ok(serde_json::to_string(&look::choose(digests, answers)?)?)
    }

    /// What is shown of a file, as JSON. `looked` is JSON with what `finish`, `choose` and the validator gave.
    pub fn card(&self, looked: &str) -> Result<String, JsError> {
        Ok(serde_json::to_string(&self.0.card(looked)?)?)
    }
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

/// The digest that somebody typed or pasted: spaces, a `sha256:` in front and a file name behind it do not matter.
#[wasm_bindgen]
pub fn typed_digest(text: &str) -> Result<String, JsError> {
    let digests = look::typed(text)?;
    Ok(serde_json::to_string(&digests)?)
}

//! The ledger's verifier in the browser: a page computes a photo's digests and checks its receipt without sending either
//! anywhere.
//!
//! Every function takes and gives texts; what is decided is decided in the pure crates, the same as on every machine.

use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

pub mod digests;
pub mod receipt;

/// Computes a file's digests chunk by chunk, in constant memory.
#[wasm_bindgen]
#[derive(Default)]
pub struct FileDigests(digests::FileHasher);

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

    /// Ends the file: JSON with `file`, and `image_data` or `why_no_image_data`.
    pub fn finish(self) -> Result<String, JsError> {
        Ok(serde_json::to_string(&self.0.finish())?)
    }
}

/// Checks a receipt against a genesis, both JSON texts: JSON with what is registered, or an error that says what does not
/// hold.
#[wasm_bindgen]
pub fn verify_receipt(receipt: &str, genesis: &str) -> Result<String, JsError> {
    Ok(serde_json::to_string(&receipt::verify(receipt, genesis)?)?)
}

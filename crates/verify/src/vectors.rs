//! The pictures of the published test vectors.

use base64::Engine as _;

/// One of them, by its name.
pub(crate) fn picture(name: &str) -> Vec<u8> {
    let vectors = include_str!("../../../spec/vectors/image-data.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let mut cases = vectors["cases"].as_array().unwrap().iter();
    let case = cases.find(|case| case["name"] == name).unwrap();
    let file = case["file_base64"].as_str().unwrap();
    base64::engine::general_purpose::STANDARD
        .decode(file)
        .unwrap()
}

//! What brought a record, in a reader's words: an edited picture must not read as if a camera had taken it.

use birthmark_ledger::Source;

/// How a record's device is spoken of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device {
    /// In one word.
    pub name: &'static str,
    /// Why it is believed.
    pub vouched: &'static str,
}

impl Device {
    /// The words for what a record states as its source.
    pub const fn of(source: Source) -> Self {
        let (name, vouched) = match source {
            Source::CameraAttested => (
                "camera",
                "the authority saw a TPM attest the key that signed this photo",
            ),
            Source::CameraCertificate => (
                "camera",
                "signed by a camera whose certificate the authority issued",
            ),
            Source::CameraToken => (
                "camera",
                "the authority knows the camera; its signature could not be checked",
            ),
            Source::Software => (
                "software",
                "signed by editing software whose certificate the authority issued",
            ),
            Source::Server => ("server", "a submission server's own word, and nothing else"),
        };
        Self { name, vouched }
    }

    /// The words where a validator states no source.
    pub const fn unstated() -> Self {
        Self {
            name: "device",
            vouched: "not stated",
        }
    }
}

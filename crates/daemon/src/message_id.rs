//! Message identifiers: what `journalctl MESSAGE_ID=…` finds and the journal's catalog explains.

use log::kv::{ToValue, Value};

/// A 128-bit identifier of one kind of message, written as 32 lower-case hexadecimal digits.
///
/// ```
/// use birthmark_daemon::MessageId;
/// const STORED: MessageId = MessageId::new("6bdeaf5a9ad64ea59a4d6c4bd0be3c11");
/// log::info!(MESSAGE_ID = STORED, BLOCK_HEIGHT = 12; "block stored");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId(&'static str);

/// A daemon's settings cannot be used; it is not started again by itself.
pub const UNUSABLE_SETTINGS: MessageId = MessageId::new("638ab6cd779747438ac164a93d414176");
/// A credential is missing or cannot be used; the daemon is not started again by itself.
pub const UNUSABLE_CREDENTIAL: MessageId = MessageId::new("a91e504ed79b4c288209693c842defb9");
/// A daemon ended with an error and is started again.
pub const FAILED: MessageId = MessageId::new("66ee18dbfcb14797b64032cc1e68c119");
/// A daemon's self-check fails; systemd will restart it if that goes on.
pub const SELF_CHECK_FAILS: MessageId = MessageId::new("48c13934bd0e424d8301a3624a313b85");

impl MessageId {
    /// An identifier from its 32 digits. In a constant, anything else is a compile error.
    #[track_caller]
    pub const fn new(digits: &'static str) -> Self {
        let bytes = digits.as_bytes();
        assert!(bytes.len() == 32, "a message identifier has 32 digits");
        let mut rest = bytes;
        while let [digit, others @ ..] = rest {
            assert!(
                matches!(digit, b'0'..=b'9' | b'a'..=b'f'),
                "a message identifier is lower-case hexadecimal"
            );
            rest = others;
        }
        Self(digits)
    }

    /// The 32 digits.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.0)
    }
}

impl ToValue for MessageId {
    fn to_value(&self) -> Value<'_> {
        Value::from(self.0)
    }
}

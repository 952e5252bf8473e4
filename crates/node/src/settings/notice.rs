//! What has become known against devices after their photos were registered, such as a withdrawn
//! firmware.
//!
//! A record never goes away. An answer about it says what is known, judged by the time of its
//! block.

use birthmark_daemon::ConfigError;
use birthmark_ledger::Record;
use birthmark_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::Settings;

/// One statement against an authority's devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeSettings {
    /// The authority whose devices it concerns.
    pub authority: String,
    /// The device family it concerns; all of them if left out.
    #[serde(default)]
    pub device_family: Option<String>,
    /// The first block time it concerns, in seconds since 1970.
    pub from: Timestamp,
    /// The last block time it concerns; none if it still holds.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// What is known, in a sentence for everyone.
    pub reason: String,
}

impl NoticeSettings {
    pub(super) fn check(&self, place: usize) -> Result<(), ConfigError> {
        match self.until {
            Some(until) if until < self.from => Err(ConfigError::field(
                format!("notices.{place}.until"),
                "lies before `from`",
            )),
            _ => Ok(()),
        }
    }

    /// Whether it concerns a record that was registered at this time.
    pub fn concerns(&self, record: &Record, registered: Timestamp) -> bool {
        let origin = record.origin();
        let family = self
            .device_family
            .as_deref()
            .is_none_or(|family| family == origin.family.as_str());
        let until = self.until.is_none_or(|until| registered <= until);
        self.authority == origin.authority.as_str() && family && self.from <= registered && until
    }
}

impl Settings {
    /// What is known against a record that was registered at this time.
    pub fn notice(&self, record: &Record, registered: Timestamp) -> Option<String> {
        self.notices
            .iter()
            .find(|notice| notice.concerns(record, registered))
            .map(|notice| notice.reason.clone())
    }
}

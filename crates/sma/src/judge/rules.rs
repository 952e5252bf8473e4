//! Revocations in force: dated, scoped, and looked at for every single validation.

mod scope;

use std::collections::HashMap;

use birthmark_protocol::Timestamp;

pub use birthmark_protocol::revocations::Scope;
pub use scope::check;

use scope::{Range, range};

use crate::judge::cameras::{Device, DeviceId, IssuedCertificate};
use crate::keep::store::RevocationRow;

/// When a revocation holds, and which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The revocation's number.
    pub id: i64,
    from: i64,
    until: i64,
}

/// All revocations that were not lifted.
#[derive(Debug, Default)]
pub struct Rules {
    devices: HashMap<DeviceId, Vec<Window>>,
    families: HashMap<String, Vec<Window>>,
    ranges: Vec<(Range, Window)>,
}

/// A revocation with the camera it names, if it names one.
#[derive(Debug)]
pub struct Revocation<'a> {
    /// The row.
    pub row: &'a RevocationRow,
    /// What it covers.
    pub scope: Scope,
    /// Our number for the camera of a `device` scope.
    pub device: Option<DeviceId>,
}

impl Window {
    /// Since when it holds.
    pub const fn since(&self) -> Timestamp {
        Timestamp::from_unix(self.from)
    }

    const fn holds(&self, now: Timestamp) -> bool {
        self.from <= now.unix() && now.unix() < self.until
    }
}

impl Rules {
    /// Takes all revocations; lifted ones are left out.
    pub fn new<'a>(revocations: impl IntoIterator<Item = Revocation<'a>>) -> Self {
        let mut rules = Self::default();
        for Revocation { row, scope, device } in revocations {
            if row.lifted_at.is_some() {
                continue;
            }
            let window = Window {
                id: row.id,
                from: row.from_time,
                until: row.until_time.unwrap_or(i64::MAX),
            };
            match (&scope, device) {
                (Scope::Device { .. }, Some(device)) => {
                    rules.devices.entry(device).or_default().push(window)
                }
                (Scope::Family { family }, _) => rules
                    .families
                    .entry(family.clone())
                    .or_default()
                    .push(window),
                _ => rules
                    .ranges
                    .extend(range(&scope).map(|range| (range, window))),
            }
        }
        rules
    }

    /// The revocation that covers this camera now, if one does.
    pub fn covering(&self, device: &Device, now: Timestamp) -> Option<Window> {
        let listed = [
            self.devices.get(&device.id),
            self.families.get(&*device.family),
        ];
        let named = listed
            .into_iter()
            .flatten()
            .flatten()
            .find(|window| window.holds(now));
        let ranged = || {
            self.ranges
                .iter()
                .find(|(range, window)| window.holds(now) && range.covers(device))
                .map(|(_, window)| window)
        };
        named.or_else(ranged).copied()
    }

    /// The revocation that covers a certificate other than the camera's newest one.
    pub fn covering_certificate(
        &self,
        certificate: &IssuedCertificate,
        now: Timestamp,
    ) -> Option<Window> {
        self.ranges
            .iter()
            .find(|(range, window)| window.holds(now) && range.covers_certificate(certificate))
            .map(|(_, window)| *window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, from: i64, until: Option<i64>) -> RevocationRow {
        RevocationRow {
            id,
            scope: String::new(),
            from_time: from,
            until_time: until,
            reason: "test".into(),
            created_at: 0,
            created_by: "test".into(),
            lifted_at: None,
            lifted_by: None,
        }
    }

    fn device(family: &str, firmware: Option<&str>) -> Device {
        Device {
            id: 7,
            tables: [1, 2, 3].map(|table| table.try_into().unwrap()),
            family: family.into(),
            firmware: firmware.map(Into::into),
            attested: false,
            certificate: Some(IssuedCertificate::new(&[0x10], 1000, None)),
            validations: 0.into(),
        }
    }

    fn covered(scope: Scope, device: &Device, now: i64) -> bool {
        let row = row(1, 100, Some(200));
        let number = matches!(scope, Scope::Device { .. }).then_some(7);
        let rules = Rules::new([Revocation {
            row: &row,
            scope,
            device: number,
        }]);
        rules.covering(device, Timestamp::from_unix(now)).is_some()
    }

    #[test]
    fn a_revocation_holds_from_until() {
        let scope = || Scope::Device { serial: "x".into() };
        for (now, holds) in [(99, false), (100, true), (199, true), (200, false)] {
            assert_eq!(covered(scope(), &device("A", None), now), holds, "{now}");
        }
    }

    #[test]
    fn each_scope_covers_what_it_says() {
        let hits = |scope: Scope, family: &str, firmware: Option<&str>| {
            covered(scope, &device(family, firmware), 150)
        };
        assert!(hits(Scope::Family { family: "A".into() }, "A", None));
        assert!(!hits(Scope::Family { family: "A".into() }, "B", None));
        let firmware = |from: &str, to: &str| Scope::Firmware {
            family: None,
            from: from.into(),
            to: to.into(),
        };
        assert!(hits(firmware("1.2", "1.10"), "A", Some("1.9.3")));
        assert!(!hits(firmware("1.2", "1.10"), "A", Some("1.11")));
        assert!(!hits(firmware("1.2", "1.10"), "A", None));
        let certificates = |first: &str, last: &str| Scope::Certificates {
            first: first.into(),
            last: last.into(),
        };
        assert!(hits(certificates("10", "10"), "A", None));
        assert!(!hits(certificates("11", "ffff"), "A", None));
        assert!(hits(
            Scope::Issued {
                from: 1000,
                until: 1000
            },
            "A",
            None
        ));
        assert!(!hits(
            Scope::Issued {
                from: 1001,
                until: 2000
            },
            "A",
            None
        ));
    }

    #[test]
    fn a_lifted_revocation_covers_nothing() {
        let lifted = RevocationRow {
            lifted_at: Some(1),
            ..row(1, 0, None)
        };
        let rules = Rules::new([Revocation {
            row: &lifted,
            scope: Scope::Family { family: "A".into() },
            device: None,
        }]);
        assert_eq!(
            rules.covering(&device("A", None), Timestamp::from_unix(5)),
            None
        );
    }
}

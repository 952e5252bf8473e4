//! Revocations in force: dated, scoped, and looked at for every single validation.

mod scope;

use std::collections::HashMap;

use birthmark_protocol::Timestamp;

pub use birthmark_protocol::revocations::Scope;
pub use scope::check;

use scope::{Range, range};

use crate::judge::cameras::{Cameras, Device, DeviceId};
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
pub struct Revocation {
    /// The row.
    pub row: RevocationRow,
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
    pub fn new(revocations: &[Revocation]) -> Self {
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
            rules.add(scope, *device, window);
        }
        rules
    }

    /// How many of these cameras a scope covers.
    pub fn covered(scope: &Scope, device: Option<DeviceId>, cameras: &Cameras) -> usize {
        let (id, from, until) = (0, i64::MIN, i64::MAX);
        let mut rules = Self::default();
        rules.add(scope, device, Window { id, from, until });
        let covers = |device: &&Device| rules.covering(device, Timestamp::from_unix(0)).is_some();
        cameras.iter().filter(covers).count()
    }

    fn add(&mut self, scope: &Scope, device: Option<DeviceId>, window: Window) {
        match (scope, device) {
            (Scope::Device { .. }, Some(device)) => {
                self.devices.entry(device).or_default().push(window)
            }
            (Scope::Family { family }, _) => self
                .families
                .entry(family.clone())
                .or_default()
                .push(window),
            _ => self
                .ranges
                .extend(range(scope).map(|range| (range, window))),
        }
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
}

#[cfg(test)]
mod tests {
    use birthmark_protocol::{Digest, KeyId};

    use super::*;
    use crate::judge::cameras::{IssuedCertificate, padded};

    fn row(id: i64, from: i64, until: Option<i64>) -> RevocationRow {
        RevocationRow {
            id,
            scope: String::new(),
            from_time: from,
            until_time: until,
            reason: "test".into(),
            public_reason: None,
            created_at: 0,
            created_by: "test".into(),
            lifted_at: None,
            lifted_by: None,
            mac: Vec::new(),
        }
    }

    fn device(family: &str, firmware: Option<&str>) -> Device {
        Device {
            id: 7,
            tables: [1, 2, 3].map(|table| table.try_into().unwrap()),
            family: family.into(),
            firmware: firmware.map(Into::into),
            attested: false,
            simulated_nuc: false,
            binds_tokens: true,
            certificate: Some(IssuedCertificate {
                serial: padded(&[0x10]),
                issued_at: 1000,
                issuer: KeyId::from_bytes([0; 8]),
                key_hash: Digest::of(b"a key"),
            }),
            former: None,
            validations: 0.into(),
        }
    }

    fn covered(scope: Scope, device: &Device, now: i64) -> bool {
        let row = row(1, 100, Some(200));
        let device_id = matches!(scope, Scope::Device { .. }).then_some(7);
        let rules = Rules::new(&[Revocation {
            row,
            scope,
            device: device_id,
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

    /// A camera does not get out of a revocation by a new certificate for the same key.
    #[test]
    fn the_former_certificate_counts_as_well() {
        let mut renewed = device("A", None);
        renewed.former = renewed.certificate.map(Box::new);
        renewed.certificate = Some(IssuedCertificate {
            serial: padded(&[0x20]),
            issued_at: 5000,
            issuer: KeyId::from_bytes([0; 8]),
            key_hash: Digest::of(b"a key"),
        });
        let certificates = |number: &str| Scope::Certificates {
            first: number.into(),
            last: number.into(),
        };
        let issued = |moment| Scope::Issued {
            from: moment,
            until: moment,
        };
        for scope in [
            certificates("10"),
            certificates("20"),
            issued(1000),
            issued(5000),
        ] {
            assert!(covered(scope.clone(), &renewed, 150), "{scope:?}");
        }
        assert!(!covered(certificates("15"), &renewed, 150));
    }

    #[test]
    fn firmware_of_another_model_is_another_matter() {
        let scope = |family: Option<&str>| Scope::Firmware {
            family: family.map(Into::into),
            from: "1".into(),
            to: "2".into(),
        };
        let camera = device("A", Some("1.5"));
        assert!(covered(scope(Some("A")), &camera, 150));
        assert!(!covered(scope(Some("B")), &camera, 150));
    }

    #[test]
    fn what_a_scope_covers_is_counted_whenever_it_holds() {
        let mut cameras = Cameras::default();
        for (id, family) in [(7, "A"), (8, "A"), (9, "B")] {
            let nuc = birthmark_protocol::NucHash::from_bytes([id; 32]);
            let camera = Device {
                id: id.into(),
                certificate: None,
                ..device(family, Some("1.5"))
            };
            cameras.insert(&nuc, camera);
        }
        let count = |scope: &Scope, device| Rules::covered(scope, device, &cameras);
        let (family, serial) = ("A".into(), "x".into());
        assert_eq!(count(&Scope::Family { family }, None), 2);
        let device = Scope::Device { serial };
        assert_eq!(count(&device, Some(9)), 1);
        assert_eq!(count(&device, None), 0, "nobody has this serial");
        let issued = Scope::Issued { from: 0, until: 1 };
        assert_eq!(count(&issued, None), 0, "none has a certificate");
    }

    #[test]
    fn a_lifted_revocation_covers_nothing() {
        let lifted = RevocationRow {
            lifted_at: Some(1),
            ..row(1, 0, None)
        };
        let rules = Rules::new(&[Revocation {
            row: lifted,
            scope: Scope::Family { family: "A".into() },
            device: None,
        }]);
        assert_eq!(
            rules.covering(&device("A", None), Timestamp::from_unix(5)),
            None
        );
    }
}

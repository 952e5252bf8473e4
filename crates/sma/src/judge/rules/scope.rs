//! What a revocation covers.

use std::cmp::Ordering;

use birthmark_protocol::revocations::Scope;

use crate::judge::cameras::{Device, SerialNumber, padded};

/// Why a scope makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ScopeError {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A scope that covers whatever lies between two ends.
#[derive(Debug)]
pub(super) enum Range {
    Firmware {
        family: Option<String>,
        from: String,
        to: String,
    },
    Certificates {
        first: SerialNumber,
        last: SerialNumber,
    },
    Issued {
        from: i64,
        until: i64,
    },
}

/// Succeeds when the scope covers something.
pub fn check(scope: &Scope) -> Result<(), ScopeError> {
    let wrong = |field, reason| Err(ScopeError { field, reason });
    match scope {
        Scope::Device { serial } if serial.is_empty() => wrong("scope.serial", "must not be empty"),
        Scope::Family { family } if family.is_empty() => wrong("scope.family", "must not be empty"),
        Scope::Firmware { from, to, .. } if version(from, to) == Ordering::Greater => {
            wrong("scope.to", "lies before from")
        }
        Scope::Certificates { first, last } => match (serial_number(first), serial_number(last)) {
            (None, _) => wrong("scope.first", "expected up to 40 hexadecimal characters"),
            (_, None) => wrong("scope.last", "expected up to 40 hexadecimal characters"),
            (Some(first), Some(last)) if last < first => wrong("scope.last", "lies before first"),
            _ => Ok(()),
        },
        Scope::Issued { from, until } if until < from => wrong("scope.until", "lies before from"),
        _ => Ok(()),
    }
}

pub(super) fn range(scope: &Scope) -> Option<Range> {
    match scope {
        Scope::Device { .. } | Scope::Family { .. } => None,
        Scope::Firmware { family, from, to } => Some(Range::Firmware {
            family: family.clone(),
            from: from.clone(),
            to: to.clone(),
        }),
        Scope::Certificates { first, last } => Some(Range::Certificates {
            first: serial_number(first)?,
            last: serial_number(last)?,
        }),
        Scope::Issued { from, until } => Some(Range::Issued {
            from: *from,
            until: *until,
        }),
    }
}

fn serial_number(text: &str) -> Option<SerialNumber> {
    let text = if text.len() % 2 == 1 {
        format!("0{text}")
    } else {
        text.to_owned()
    };
    let bytes = hex::decode(text)
        .ok()
        .filter(|bytes| (1..=20).contains(&bytes.len()))?;
    Some(padded(&bytes))
}

/// Compares versions: numbers between dots and dashes as numbers, everything else as text.
fn version(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(u64, String)> {
        let split = text.split(['.', '-', '+', '_']);
        split
            .map(|part| {
                part.parse()
                    .map_or_else(|_| (0, part.to_owned()), |number| (number, String::new()))
            })
            .collect()
    };
    parts(one).cmp(&parts(other))
}

impl Range {
    pub(super) fn covers(&self, device: &Device) -> bool {
        match self {
            Self::Firmware { family, from, to } => {
                device.firmware.as_deref().is_some_and(|firmware| {
                    family
                        .as_deref()
                        .is_none_or(|family| family == &*device.family)
                        && version(from, firmware) != Ordering::Greater
                        && version(firmware, to) != Ordering::Greater
                })
            }
            // The former one as well: a camera does not get out of a revocation by a new
            // certificate for the same key.
            Self::Certificates { first, last } => device
                .certificates()
                .any(|certificate| (*first..=*last).contains(&certificate.serial)),
            Self::Issued { from, until } => device
                .certificates()
                .any(|certificate| (*from..=*until).contains(&certificate.issued_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_that_cover_nothing_are_refused() {
        assert!(
            check(&Scope::Device {
                serial: String::new()
            })
            .is_err()
        );
        assert!(
            check(&Scope::Certificates {
                first: "xy".into(),
                last: "10".into()
            })
            .is_err()
        );
        assert!(
            check(&Scope::Certificates {
                first: "11".into(),
                last: "10".into()
            })
            .is_err()
        );
        assert!(check(&Scope::Issued { from: 2, until: 1 }).is_err());
        assert!(
            check(&Scope::Firmware {
                family: None,
                from: "2.0".into(),
                to: "1.10".into()
            })
            .is_err()
        );
    }

    #[test]
    fn a_refused_scope_names_its_field_and_why() {
        let certificates = |first: &str, last: &str| Scope::Certificates {
            first: first.into(),
            last: last.into(),
        };
        let family = String::new();
        let firmware = Scope::Firmware {
            family: None,
            from: "1.10".into(),
            to: "1.9".into(),
        };
        for (scope, field) in [
            (Scope::Family { family }, "scope.family"),
            (certificates("", "10"), "scope.first"),
            (certificates("10", &"f".repeat(41)), "scope.last"),
            (certificates("0g", "10"), "scope.first"),
            (certificates("11", "10"), "scope.last"),
            (Scope::Issued { from: 2, until: 1 }, "scope.until"),
            (firmware, "scope.to"),
        ] {
            let error = check(&scope).unwrap_err();
            assert_eq!(error.field, field, "{scope:?}");
            assert!(error.to_string().starts_with(field), "{error}");
        }
        for scope in [
            certificates("f", &"f".repeat(40)),
            certificates("10", "10"),
            Scope::Issued { from: 1, until: 1 },
        ] {
            assert_eq!(check(&scope), Ok(()), "{scope:?}");
        }
    }

    #[test]
    fn versions_compare_by_their_numbers() {
        for (one, other) in [
            ("1.9", "1.10"),
            ("1.2", "1.2.1"),
            ("1.2-3", "1.2-12"),
            ("2024_9", "2024_10"),
            ("1.a", "1.b"),
        ] {
            assert_eq!(version(one, other), Ordering::Less, "{one} {other}");
            assert_eq!(version(other, one), Ordering::Greater, "{one} {other}");
        }
        assert_eq!(version("1.02", "1.2"), Ordering::Equal);
    }
}

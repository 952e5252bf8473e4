//! Whether a version is in a range, as advisories mean it: a release candidate comes before its
//! release and after everything older. Cargo's own comparison takes a release candidate for in no
//! range but its own.

use semver::{Comparator, Op, Version, VersionReq};

pub(super) fn is_in(version: &Version, range: &VersionReq) -> bool {
    range
        .comparators
        .iter()
        .all(|comparator| holds(version, comparator))
}

fn holds(version: &Version, comparator: &Comparator) -> bool {
    let (minor, patch) = (comparator.minor, comparator.patch);
    let least = Version {
        major: comparator.major,
        minor: minor.unwrap_or_default(),
        patch: patch.unwrap_or_default(),
        pre: comparator.pre.clone(),
        build: semver::BuildMetadata::EMPTY,
    };
    match comparator.op {
        Op::Greater => *version >= least && !is_at(version, comparator),
        Op::GreaterEq => *version >= least,
        Op::Less => *version < least,
        Op::LessEq => *version < least || is_at(version, comparator),
        Op::Exact | Op::Wildcard => is_at(version, comparator),
        Op::Tilde => *version >= least && is_at(version, &cut(comparator, minor.is_some(), false)),
        Op::Caret => {
            let zero_major = comparator.major == 0;
            let zero_minor = zero_major && minor == Some(0);
            *version >= least && is_at(version, &cut(comparator, zero_major, zero_minor))
        }
        // None that this program knows.
        _ => false,
    }
}

/// Whether the parts that are named are the version's.
fn is_at(version: &Version, comparator: &Comparator) -> bool {
    let is_last = comparator.patch.is_none_or(|patch| {
        version.patch == patch && (comparator.pre.is_empty() || version.pre == comparator.pre)
    });
    version.major == comparator.major
        && comparator.minor.is_none_or(|minor| version.minor == minor)
        && is_last
}

/// The comparator with as many of its parts as stay the same in what is compatible.
fn cut(comparator: &Comparator, keeps_minor: bool, keeps_patch: bool) -> Comparator {
    Comparator {
        op: Op::Exact,
        major: comparator.major,
        minor: comparator.minor.filter(|_| keeps_minor),
        patch: comparator.patch.filter(|_| keeps_patch),
        pre: semver::Prerelease::EMPTY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_meant_as_advisories_write_them() {
        for (range, inside, outside) in [
            (
                ">= 1.2.3",
                &["1.2.3", "2.0.0", "1.2.4-rc.1"][..],
                &["1.2.2", "1.2.3-rc.1"][..],
            ),
            ("< 1.2.3", &["1.2.2", "0.1.0", "1.2.3-rc.1"], &["1.2.3"]),
            (
                ">= 0.3.1, < 0.4.0",
                &["0.3.1", "0.3.9"],
                &["0.3.0", "0.4.0"],
            ),
            ("^0.4.2", &["0.4.2", "0.4.9"], &["0.4.1", "0.5.0", "1.4.2"]),
            ("^0.0.3", &["0.0.3"], &["0.0.4"]),
            ("1.4", &["1.4.0", "1.9.0"], &["1.3.9", "2.0.0"]),
            ("~1.4.2", &["1.4.2", "1.4.9"], &["1.5.0", "1.4.1"]),
            ("= 2.0.0", &["2.0.0"], &["2.0.1"]),
            ("> 0.5", &["0.6.0"], &["0.5.9"]),
            ("<= 0.5", &["0.5.9", "0.4.0"], &["0.6.0"]),
        ] {
            let parsed = VersionReq::parse(range).unwrap();
            let is_inside = |version: &&&str| is_in(&Version::parse(version).unwrap(), &parsed);
            let missed: Vec<_> = inside
                .iter()
                .filter(|version| !is_inside(version))
                .collect();
            let taken: Vec<_> = outside.iter().filter(is_inside).collect();
            assert!(
                missed.is_empty() && taken.is_empty(),
                "{range}: {missed:?} {taken:?}"
            );
        }
    }
}

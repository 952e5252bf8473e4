//! Every table and column a backup holds. A test compares them with the migrations.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Number,
    Text,
    Bytes,
    Truth,
    Fraction,
}

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    pub name: &'static str,
    pub order: &'static str,
    /// Whether its numbers come from a sequence.
    pub counted: bool,
    pub columns: &'static [(&'static str, Column)],
}

use Column::{Bytes, Fraction, Number, Text, Truth};

/// All tables, in an order in which references find what they refer to.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "vault",
        order: "id",
        counted: false,
        columns: &[
            ("id", Number),
            ("salt", Bytes),
            ("proof", Bytes),
            ("created_at", Number),
        ],
    },
    Table {
        name: "key_tables",
        order: "table_id",
        counted: false,
        columns: &[("table_id", Number), ("sealed", Bytes)],
    },
    Table {
        name: "signing_keys",
        order: "key_id",
        counted: false,
        columns: &[
            ("key_id", Bytes),
            ("purpose", Text),
            ("certificate", Bytes),
            ("sealed", Bytes),
            ("not_before", Number),
            ("not_after", Number),
            ("retired_at", Number),
            ("distrusted_from", Number),
            ("mac", Bytes),
        ],
    },
    Table {
        name: "devices",
        order: "id",
        counted: false,
        columns: &[
            ("id", Number),
            ("serial", Text),
            ("nuc_index", Bytes),
            ("nuc_sealed", Bytes),
            ("simulated_nuc", Truth),
            ("table_a", Number),
            ("table_b", Number),
            ("table_c", Number),
            ("family", Text),
            ("firmware", Text),
            ("attested", Truth),
            ("chip", Bytes),
            ("binds_tokens", Truth),
            ("certificate_serial", Bytes),
            ("certificate_issuer", Bytes),
            ("key_hash", Bytes),
            ("issued_at", Number),
            ("former_serial", Bytes),
            ("former_issuer", Bytes),
            ("former_issued_at", Number),
            ("provisioned_at", Number),
            ("enrolled_by", Text),
            ("mac", Bytes),
        ],
    },
    Table {
        name: "certificates",
        order: "serial",
        counted: false,
        columns: &[
            ("serial", Bytes),
            ("device", Number),
            ("issuer", Bytes),
            ("key_hash", Bytes),
            ("issued_at", Number),
            ("expires_at", Number),
            ("der", Bytes),
        ],
    },
    Table {
        name: "revocations",
        order: "id",
        counted: false,
        columns: &[
            ("id", Number),
            ("scope", Text),
            ("from_time", Number),
            ("until_time", Number),
            ("reason", Text),
            ("public_reason", Text),
            ("created_at", Number),
            ("created_by", Text),
            ("lifted_at", Number),
            ("lifted_by", Text),
            ("mac", Bytes),
        ],
    },
    Table {
        name: "operators",
        order: "id",
        counted: true,
        columns: &[
            ("id", Number),
            ("name", Text),
            ("token_hash", Bytes),
            ("roles", Text),
            ("serials", Text),
            ("cameras", Number),
            ("used", Number),
            ("created_at", Number),
            ("expires_at", Number),
            ("revoked_at", Number),
            ("mac", Bytes),
        ],
    },
    Table {
        name: "row_sets",
        order: "name",
        counted: false,
        columns: &[("name", Text), ("mac", Bytes)],
    },
    Table {
        name: "audit",
        order: "seq",
        counted: false,
        columns: &[
            ("seq", Number),
            ("kind", Text),
            ("first_time", Number),
            ("last_time", Number),
            ("entries", Number),
            ("content", Bytes),
            ("link", Bytes),
        ],
    },
    Table {
        name: "audit_anchor",
        order: "id",
        counted: false,
        columns: &[("id", Number), ("seq", Number), ("link", Bytes)],
    },
    Table {
        name: "hourly",
        order: "hour, outcome",
        counted: false,
        columns: &[("hour", Number), ("outcome", Text), ("amount", Number)],
    },
    Table {
        name: "activity",
        order: "device, day",
        counted: false,
        columns: &[("device", Number), ("day", Number), ("amount", Number)],
    },
    Table {
        name: "flags",
        order: "device, day",
        counted: false,
        columns: &[
            ("device", Number),
            ("day", Number),
            ("amount", Number),
            ("ordinary", Fraction),
            ("reviewed_at", Number),
            ("reviewed_by", Text),
        ],
    },
    Table {
        name: "epochs",
        order: "family, epoch",
        counted: false,
        columns: &[
            ("family", Text),
            ("epoch", Number),
            ("statement", Bytes),
            ("sealed", Bytes),
            ("issued", Number),
            ("counted", Bytes),
            ("mac", Bytes),
        ],
    },
    Table {
        name: "epoch_withdrawals",
        order: "family, epoch",
        counted: false,
        columns: &[("family", Text), ("epoch", Number), ("statement", Bytes)],
    },
    Table {
        name: "one_time_enrolments",
        order: "device",
        counted: false,
        columns: &[
            ("device", Number),
            ("attestation_key", Bytes),
            ("ended_at", Number),
            ("reason", Text),
            ("mac", Bytes),
        ],
    },
    Table {
        name: "one_time_batches",
        order: "device, blinded",
        counted: false,
        columns: &[
            ("device", Number),
            ("epoch", Number),
            ("blinded", Bytes),
            ("challenge", Bytes),
            ("amount", Number),
            ("answered_at", Number),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_the_migrations_is_backed_up() {
        let sql = include_str!("../../../migrations/sqlite/1_begin.sql");
        let mut tables = TABLES.iter();
        for part in sql.split("CREATE TABLE ").skip(1) {
            let (name, rest) = part.split_once(' ').unwrap();
            let table = tables.next().unwrap();
            assert_eq!(table.name, name);
            let body = rest.split_once("\n);").unwrap().0;
            let lines = body
                .lines()
                .skip(1)
                .map(str::trim)
                .filter(|line| !line.starts_with("PRIMARY KEY"));
            let names: Vec<_> = lines.map(|line| line.split_once(' ').unwrap().0).collect();
            let ours: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
            assert_eq!(ours, names, "{name}");
        }
        assert!(tables.next().is_none());
    }
}

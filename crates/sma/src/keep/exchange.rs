//! The JSON forms of authorities in the field, `key_tables.json` and `device_registry.json`, read
//! and written.

use std::collections::BTreeMap;

use birthmark_http::ApiError;
use birthmark_protocol::{CameraCertificate, MasterKey, NucHash, TableId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::authority::{Authority, nuc_label};
use crate::clock;
use crate::issue::ca;
use crate::issue::ca::spki_pem;
use crate::issue::provision::{certificate_row, hex_field};
use crate::judge::tables;
use crate::keep::store::{NewDevice, is_duplicate};

/// Cameras in one page of an export.
const PAGE: i64 = 1000;

/// `key_tables.json`.
#[derive(Serialize, Deserialize)]
pub struct KeyTablesFile {
    /// How many tables there are.
    pub total_tables: usize,
    /// How many a camera is given.
    pub tables_per_device: usize,
    /// The tables.
    pub key_tables: Vec<KeyTableEntry>,
    /// Which camera holds which.
    #[serde(default)]
    pub assigned_tables: BTreeMap<String, Vec<i64>>,
}

/// One table of `key_tables.json`.
#[derive(Serialize, Deserialize)]
pub struct KeyTableEntry {
    /// Its number.
    pub table_id: i64,
    /// Its master key, in hexadecimal.
    pub master_key: String,
}

/// `device_registry.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeviceRegistryFile {
    /// The cameras.
    pub devices: Vec<DeviceEntry>,
}

/// One camera of `device_registry.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// The maker's number.
    pub device_serial: String,
    /// The NUC hash, in hexadecimal.
    pub nuc_hash: String,
    /// Its tables.
    pub table_assignments: Vec<i64>,
    /// Its certificate in PEM, if it has one.
    #[serde(default)]
    pub device_certificate: Option<String>,
    /// Its public key in PEM.
    #[serde(default)]
    pub device_public_key: Option<String>,
    /// The model.
    pub device_family: String,
    /// When it was provisioned: RFC 3339, with or without a zone, or seconds since 1970.
    #[serde(default)]
    pub provisioned_at: serde_json::Value,
}

/// A page of cameras.
#[derive(Debug, Serialize, Deserialize)]
pub struct DevicesPage {
    /// This page's.
    pub devices: Vec<DeviceEntry>,
    /// Where the next page begins.
    pub next: Option<i64>,
}

impl KeyTablesFile {
    /// The master keys in the order of their tables.
    pub fn master_keys(&self) -> anyhow::Result<Vec<MasterKey>> {
        let mut keys = BTreeMap::new();
        for (place, entry) in self.key_tables.iter().enumerate() {
            let table = TableId::try_from(entry.table_id)
                .map_err(|error| anyhow::anyhow!("key_tables[{place}].table_id: {error}"))?;
            let key = MasterKey::from_hex(&entry.master_key)
                .map_err(|error| anyhow::anyhow!("key_tables[{place}].master_key: {error}"))?;
            anyhow::ensure!(
                keys.insert(table, key).is_none(),
                "key_tables[{place}].table_id: table {table} stands twice"
            );
        }
        let missing = tables::all().find(|table| !keys.contains_key(table));
        if let Some(table) = missing {
            anyhow::bail!("key_tables: table {table} is missing");
        }
        Ok(keys.into_values().collect())
    }
}

fn moment(value: &serde_json::Value) -> Option<Timestamp> {
    use time::format_description::well_known::{Iso8601, Rfc3339};
    if let Some(seconds) = value.as_i64() {
        return Some(Timestamp::from_unix(seconds));
    }
    let text = value.as_str()?;
    let zoned =
        time::OffsetDateTime::parse(text, &Rfc3339).map(time::OffsetDateTime::unix_timestamp);
    // Python's isoformat() names no zone; those authorities meant UTC.
    let local = || {
        time::PrimitiveDateTime::parse(text, &Iso8601::DEFAULT)
            .map(|moment| moment.assume_utc().unix_timestamp())
    };
    zoned.or_else(|_| local()).ok().map(Timestamp::from_unix)
}

impl Authority {
    /// All master keys, and who holds them.
    pub async fn export_key_tables(&self) -> Result<KeyTablesFile, ApiError> {
        let keys = tables::all().filter_map(|table| {
            let master_key = hex::encode(self.tables().get(table)?.expose());
            Some(KeyTableEntry {
                table_id: table.into(),
                master_key,
            })
        });
        let key_tables: Vec<_> = keys.collect();
        let mut assigned_tables = BTreeMap::new();
        let mut after = 0;
        loop {
            let rows = self.store.registered_after(after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            assigned_tables.extend(rows.iter().map(|row| {
                (
                    row.serial.clone(),
                    vec![row.table_a, row.table_b, row.table_c],
                )
            }));
        }
        Ok(KeyTablesFile {
            total_tables: key_tables.len(),
            tables_per_device: birthmark_protocol::numbers::TABLES_PER_CAMERA,
            key_tables,
            assigned_tables,
        })
    }

    /// A page of cameras after the one with this number.
    pub async fn export_devices(&self, after: i64) -> Result<DevicesPage, ApiError> {
        let rows = self.store.registered_after(after, PAGE).await?;
        let next = rows.last().map(|row| row.id);
        let mut devices = Vec::with_capacity(rows.len());
        for row in rows {
            let nuc = self
                .vault
                .unseal32(&nuc_label(&row.serial), &row.nuc_sealed)
                .map_err(ApiError::internal)?;
            let certificate = self.store.certificate_of(row.id).await?;
            let key = certificate
                .as_ref()
                .and_then(|row| CameraCertificate::from_der(&row.der).ok());
            devices.push(DeviceEntry {
                nuc_hash: hex::encode(nuc.as_slice()),
                table_assignments: vec![row.table_a, row.table_b, row.table_c],
                device_certificate: certificate.map(|row| ca::pem(&row.der)),
                device_public_key: key
                    .map(|certificate| spki_pem(&certificate.key().to_spki_der())),
                device_family: row.family,
                provisioned_at: clock::readable(Timestamp::from_unix(row.provisioned_at)).into(),
                device_serial: row.serial,
            });
        }
        Ok(DevicesPage { devices, next })
    }

    /// Takes one camera of an authority in the field; false if it is registered already.
    pub async fn import_device(
        &self,
        entry: &DeviceEntry,
        place: usize,
        actor: &str,
    ) -> Result<bool, ApiError> {
        let field = |name: &str| format!("devices.{place}.{name}");
        let nuc = NucHash::from_bytes(hex_field(&field("nuc_hash"), &entry.nuc_hash)?);
        let tables: Vec<TableId> = entry
            .table_assignments
            .iter()
            .map(|table| TableId::try_from(*table))
            .collect::<Result<_, _>>()
            .map_err(|error| ApiError::field(&field("table_assignments"), error.to_string()))?;
        let tables = <[TableId; 3]>::try_from(tables)
            .map_err(|_| ApiError::field(&field("table_assignments"), "expected three tables"))?;
        if entry.device_serial.is_empty() || entry.device_serial.len() > 128 {
            return Err(ApiError::field(
                &field("device_serial"),
                "expected 1 to 128 bytes of text",
            ));
        }
        let certificate = entry
            .device_certificate
            .as_deref()
            .filter(|pem| !pem.is_empty());
        let certificate = certificate
            .map(|pem| self.imported_certificate(pem, &field("device_certificate")))
            .transpose()?;
        let provisioned_at = match &entry.provisioned_at {
            serde_json::Value::Null => clock::now(),
            value => moment(value).ok_or_else(|| {
                ApiError::field(
                    &field("provisioned_at"),
                    "expected RFC 3339 or seconds since 1970",
                )
            })?,
        };
        let device = NewDevice {
            serial: entry.device_serial.clone(),
            nuc_index: self.vault.index_of(nuc.expose()),
            nuc_sealed: self
                .vault
                .seal(&nuc_label(&entry.device_serial), nuc.expose())
                .map_err(ApiError::internal)?,
            // Such files do not say where a NUC hash is from.
            simulated_nuc: false,
            tables,
            family: entry.device_family.clone(),
            firmware: None,
            attested: false,
            chip: None,
            binds_tokens: false,
            provisioned_at,
            enrolled_by: actor.into(),
            certificate,
        };
        let registered = self.store.register(&self.vault, vec![device], None).await;
        match registered {
            Ok(rows) => {
                for row in &rows {
                    self.remember(row, &nuc).map_err(ApiError::internal)?;
                }
                Ok(true)
            }
            Err(error) if is_duplicate(&error) => {
                let known = self.store.device(&entry.device_serial).await?;
                if known.is_some() {
                    return Ok(false);
                }
                Err(ApiError::field(
                    &field("nuc_hash"),
                    "another camera has this NUC hash, or the same key in its certificate",
                ))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn imported_certificate(
        &self,
        pem: &str,
        field: &str,
    ) -> Result<crate::keep::store::CertificateRow, ApiError> {
        // Certificates of the first plan are X.509 without our extensions: they are kept, but
        // validate nothing.
        let der =
            crate::setup::der_of(pem).map_err(|error| ApiError::field(field, error.to_string()))?;
        let keyring = self.keyring();
        let signer = keyring
            .issuers
            .iter()
            .find(|issuer| ca::is_signed_by(&der, &issuer.public()));
        let id = signer.map_or(birthmark_protocol::KeyId::from_bytes([0; 8]), |issuer| {
            issuer.id()
        });
        certificate_row(&der, &id).map_err(|_| ApiError::field(field, "not an X.509 certificate"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(change: impl Fn(&mut Vec<KeyTableEntry>)) -> KeyTablesFile {
        let entry = |table: TableId| KeyTableEntry {
            table_id: table.into(),
            master_key: hex::encode([u8::try_from(table.get() % 251).unwrap(); 32]),
        };
        let mut key_tables: Vec<_> = tables::all().map(entry).collect();
        change(&mut key_tables);
        KeyTablesFile {
            total_tables: key_tables.len(),
            tables_per_device: 3,
            key_tables,
            assigned_tables: BTreeMap::new(),
        }
    }

    #[test]
    fn master_keys_stand_in_the_order_of_their_tables() {
        let file = tables(|entries| entries.reverse());
        let keys = file.master_keys().unwrap();
        assert_eq!(keys.len(), 2500);
        assert_eq!(keys[1].expose(), &[1; 32]);
        assert_eq!(keys[250].expose(), &[250; 32]);
    }

    #[test]
    fn a_file_with_a_table_too_few_or_twice_is_refused_by_its_place() {
        let refused = |change: &dyn Fn(&mut Vec<KeyTableEntry>)| {
            let error = tables(change).master_keys();
            error.err().unwrap().to_string()
        };
        for (error, said) in [
            (
                refused(&|entries| entries.truncate(2499)),
                "table 2499 is missing",
            ),
            (
                refused(&|entries| entries[7].table_id = 6),
                "key_tables[7].table_id: table 6 stands twice",
            ),
            (
                refused(&|entries| entries[7].table_id = 2500),
                "key_tables[7].table_id",
            ),
            (
                refused(&|entries| entries[8].master_key = "00".into()),
                "key_tables[8].master_key",
            ),
        ] {
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn moments_of_such_files_are_read_in_every_form_they_have() {
        let moment = |value: serde_json::Value| moment(&value).map(Timestamp::unix);
        for value in [
            1_714_564_800.into(),
            "2024-05-01T12:00:00Z".into(),
            "2024-05-01T14:00:00+02:00".into(),
            // Python's isoformat() names no zone; those authorities meant UTC.
            "2024-05-01T12:00:00".into(),
            "2024-05-01T12:00:00.250000".into(),
        ] {
            assert_eq!(moment(value), Some(1_714_564_800));
        }
        for value in ["".into(), "1 May 2024".into(), 1.5.into(), true.into()] {
            assert_eq!(moment(value), None);
        }
    }
}

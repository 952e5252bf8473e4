//! Cameras and their certificates.

use birthmark_http::with_pool;
use birthmark_protocol::{TableId, Timestamp};
use sqlx::FromRow;

use super::{OperatorRow, Store};
use crate::keep::rows::{self, Authenticated, Content};
use crate::keep::vault::Vault;

/// What is known about a camera before it has a number.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// The maker's number.
    pub serial: String,
    /// Finds the NUC hash again without telling it.
    pub nuc_index: [u8; 32],
    /// The NUC hash, sealed.
    pub nuc_sealed: Vec<u8>,
    /// Whether this authority made the NUC hash up: it then says nothing about a sensor.
    pub simulated_nuc: bool,
    /// The camera's tables.
    pub tables: [TableId; 3],
    /// The model.
    pub family: String,
    /// What it runs, if it said so.
    pub firmware: Option<String>,
    /// Whether a TPM attested its key.
    pub attested: bool,
    /// The chip that attested it: SHA-256 of its endorsement key.
    pub chip: Option<[u8; 32]>,
    /// Whether it binds its tokens to photos, as all cameras provisioned here do.
    pub binds_tokens: bool,
    /// When it was provisioned.
    pub provisioned_at: Timestamp,
    /// Which operator enrolled it.
    pub enrolled_by: String,
    /// Its certificate; imported cameras may have none.
    pub certificate: Option<CertificateRow>,
}

/// A certificate that was issued.
#[derive(Debug, Clone, FromRow)]
pub struct CertificateRow {
    /// The serial number, big-endian.
    pub serial: Vec<u8>,
    /// The key that signed it.
    pub issuer: Vec<u8>,
    /// SHA-256 of the certified key's SubjectPublicKeyInfo.
    pub key_hash: Vec<u8>,
    /// From when it is valid.
    pub issued_at: i64,
    /// Until when.
    pub expires_at: i64,
    /// The certificate itself.
    pub der: Vec<u8>,
}

/// A registered camera as the database has it.
#[derive(Debug, Clone, FromRow)]
pub struct DeviceRow {
    /// Our number for it.
    pub id: i64,
    /// The maker's number.
    pub serial: String,
    /// Finds the NUC hash again without telling it.
    pub nuc_index: Vec<u8>,
    /// The NUC hash, sealed.
    pub nuc_sealed: Vec<u8>,
    /// Whether this authority made the NUC hash up.
    pub simulated_nuc: bool,
    /// First table.
    pub table_a: i64,
    /// Second table.
    pub table_b: i64,
    /// Third table.
    pub table_c: i64,
    /// The model.
    pub family: String,
    /// What it runs.
    pub firmware: Option<String>,
    /// Whether a TPM attested its key.
    pub attested: bool,
    /// The chip that attested it; none after an operator let the chip enrol again.
    pub chip: Option<Vec<u8>>,
    /// Whether it binds its tokens to photos.
    pub binds_tokens: bool,
    /// Its certificate's serial number.
    pub certificate_serial: Option<Vec<u8>>,
    /// The key that signed the certificate.
    pub certificate_issuer: Option<Vec<u8>>,
    /// SHA-256 of the certified key.
    pub key_hash: Option<Vec<u8>>,
    /// When the certificate was issued.
    pub issued_at: Option<i64>,
    /// The serial number of the certificate before it: photos that waited in the camera come with
    /// that one.
    pub former_serial: Option<Vec<u8>>,
    /// The key that signed the former certificate.
    pub former_issuer: Option<Vec<u8>>,
    /// When the former certificate was issued.
    pub former_issued_at: Option<i64>,
    /// When it was provisioned.
    pub provisioned_at: i64,
    /// Which operator enrolled it.
    pub enrolled_by: String,
    /// Authenticates all of this.
    pub mac: Vec<u8>,
}

impl NewDevice {
    fn numbered(self, vault: &Vault, id: i64) -> DeviceRow {
        let [table_a, table_b, table_c] = self.tables.map(i64::from);
        let certificate = self.certificate.as_ref();
        let mut row = DeviceRow {
            id,
            serial: self.serial,
            nuc_index: self.nuc_index.to_vec(),
            nuc_sealed: self.nuc_sealed,
            simulated_nuc: self.simulated_nuc,
            table_a,
            table_b,
            table_c,
            family: self.family,
            firmware: self.firmware,
            attested: self.attested,
            chip: self.chip.map(|chip| chip.to_vec()),
            binds_tokens: self.binds_tokens,
            certificate_serial: certificate.map(|row| row.serial.clone()),
            certificate_issuer: certificate.map(|row| row.issuer.clone()),
            key_hash: certificate.map(|row| row.key_hash.clone()),
            issued_at: certificate.map(|row| row.issued_at),
            former_serial: None,
            former_issuer: None,
            former_issued_at: None,
            provisioned_at: self.provisioned_at.unix(),
            enrolled_by: self.enrolled_by,
            mac: Vec::new(),
        };
        row.mac = rows::digest(vault, &row);
        row
    }
}

impl Authenticated for DeviceRow {
    const TABLE: &'static str = "devices";

    fn name(&self) -> String {
        format!("camera {}", self.serial)
    }

    fn content(&self) -> Content {
        Content::of(Self::TABLE)
            .number(self.id)
            .bytes(self.serial.as_bytes())
            .bytes(&self.nuc_index)
            .bytes(&self.nuc_sealed)
            .number(self.simulated_nuc.into())
            .number(self.table_a)
            .number(self.table_b)
            .number(self.table_c)
            .bytes(self.family.as_bytes())
            .optional_text(self.firmware.as_deref())
            .number(self.attested.into())
            .optional(self.chip.as_deref())
            .number(self.binds_tokens.into())
            .optional(self.certificate_serial.as_deref())
            .optional(self.certificate_issuer.as_deref())
            .optional(self.key_hash.as_deref())
            .optional_number(self.issued_at)
            .optional(self.former_serial.as_deref())
            .optional(self.former_issuer.as_deref())
            .optional_number(self.former_issued_at)
            .number(self.provisioned_at)
            .bytes(self.enrolled_by.as_bytes())
    }

    fn mac(&self) -> &[u8] {
        &self.mac
    }
}

/// Which cameras an operator asks for.
#[derive(Debug, Clone, Default)]
pub struct DeviceQuery {
    /// The beginning of a serial or family.
    pub search: String,
    /// Only cameras with greater numbers than this: where the last page ended.
    pub after: i64,
    /// How many.
    pub limit: i64,
}

/// A camera that was unusually busy.
#[derive(Debug, Clone, FromRow)]
pub struct Flag {
    /// The maker's number.
    pub serial: String,
    /// Which day, counted since 1970.
    pub day: i64,
    /// How many validations that day.
    pub amount: i64,
    /// How many there ordinarily are.
    pub ordinary: f64,
    /// When a person looked at it.
    pub reviewed_at: Option<i64>,
    /// Who.
    pub reviewed_by: Option<String>,
}

/// Every column of a camera, in the order of [`DeviceRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, serial, nuc_index, nuc_sealed, simulated_nuc, table_a, table_b, table_c, family, firmware, attested, chip, binds_tokens, certificate_serial, certificate_issuer, key_hash, issued_at, former_serial, former_issuer, former_issued_at, provisioned_at, enrolled_by, mac FROM devices ", $rest)
    };
}

impl Store {
    /// Registers cameras with their certificates, all or none; `spent` is the operator whose token
    /// paid for them, as it is afterwards. Fails on a serial, NUC hash, key or chip that is
    /// registered.
    pub async fn register(
        &self,
        vault: &Vault,
        devices: Vec<NewDevice>,
        spent: Option<&OperatorRow>,
    ) -> Result<Vec<DeviceRow>, sqlx::Error> {
        // Numbers follow each other, and one digest covers all operators: one writer at a time.
        let _one = self.writing.lock().await;
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(id), 0) FROM devices").fetch_one(&mut *transaction).await?;
            let mut registered = Vec::with_capacity(devices.len());
            for (device, id) in devices.into_iter().zip(last + 1..) {
                let certificate = device.certificate.clone();
                let row = device.numbered(vault, id);
                sqlx::query("INSERT INTO devices (id, serial, nuc_index, nuc_sealed, simulated_nuc, table_a, table_b, table_c, family, firmware, attested, chip, binds_tokens, certificate_serial, certificate_issuer, key_hash, issued_at, provisioned_at, enrolled_by, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)")
                    .bind(row.id).bind(&row.serial).bind(&row.nuc_index).bind(&row.nuc_sealed).bind(row.simulated_nuc)
                    .bind(row.table_a).bind(row.table_b).bind(row.table_c).bind(&row.family).bind(&row.firmware)
                    .bind(row.attested).bind(&row.chip).bind(row.binds_tokens)
                    .bind(&row.certificate_serial).bind(&row.certificate_issuer).bind(&row.key_hash).bind(row.issued_at)
                    .bind(row.provisioned_at).bind(&row.enrolled_by).bind(&row.mac)
                    .execute(&mut *transaction).await?;
                if let Some(certificate) = certificate {
                    sqlx::query("INSERT INTO certificates (serial, device, issuer, key_hash, issued_at, expires_at, der) VALUES ($1, $2, $3, $4, $5, $6, $7)")
                        .bind(&certificate.serial).bind(id).bind(&certificate.issuer).bind(&certificate.key_hash)
                        .bind(certificate.issued_at).bind(certificate.expires_at).bind(&certificate.der)
                        .execute(&mut *transaction).await?;
                }
                registered.push(row);
            }
            if let Some(operator) = spent {
                sqlx::query("UPDATE operators SET used = $1, mac = $2 WHERE name = $3")
                    .bind(operator.used).bind(&operator.mac).bind(&operator.name).execute(&mut *transaction).await?;
                seal_set!(transaction, vault, "operators", "SELECT mac FROM operators ORDER BY id");
            }
            // If we stop here, no camera is registered, no token is spent, and all may come again.
            transaction.commit().await?;
            Ok(registered)
        })
    }

    /// Puts a new certificate of the same key in the place of a camera's present one, which stays
    /// known as the former one. Succeeds with nothing if the row was changed meanwhile: the other
    /// change counts.
    pub async fn renew(
        &self,
        vault: &Vault,
        before: &DeviceRow,
        certificate: &CertificateRow,
    ) -> Result<Option<DeviceRow>, sqlx::Error> {
        let mut row = DeviceRow {
            certificate_serial: Some(certificate.serial.clone()),
            certificate_issuer: Some(certificate.issuer.clone()),
            issued_at: Some(certificate.issued_at),
            former_serial: before.certificate_serial.clone(),
            former_issuer: before.certificate_issuer.clone(),
            former_issued_at: before.issued_at,
            ..before.clone()
        };
        row.mac = rows::digest(vault, &row);
        let _one = self.writing.lock().await;
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin_with(self.to_write()).await?;
            let changed = sqlx::query("UPDATE devices SET certificate_serial = $1, certificate_issuer = $2, issued_at = $3, former_serial = $4, former_issuer = $5, former_issued_at = $6, mac = $7 WHERE id = $8 AND mac = $9")
                .bind(&row.certificate_serial).bind(&row.certificate_issuer).bind(row.issued_at)
                .bind(&row.former_serial).bind(&row.former_issuer).bind(row.former_issued_at)
                .bind(&row.mac).bind(row.id).bind(&before.mac)
                .execute(&mut *transaction).await?;
            if changed.rows_affected() != 1 {
                return Ok(None);
            }
            sqlx::query("INSERT INTO certificates (serial, device, issuer, key_hash, issued_at, expires_at, der) VALUES ($1, $2, $3, $4, $5, $6, $7)")
                .bind(&certificate.serial).bind(row.id).bind(&certificate.issuer).bind(&certificate.key_hash)
                .bind(certificate.issued_at).bind(certificate.expires_at).bind(&certificate.der)
                .execute(&mut *transaction).await?;
            // If we stop here, the camera has its old certificate and asks again.
            transaction.commit().await?;
            Ok(Some(row))
        })
    }

    /// Cameras with a number greater than `after`, in order.
    pub async fn registered_after(
        &self,
        after: i64,
        limit: i64,
    ) -> Result<Vec<DeviceRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as(select!("WHERE id > $1 ORDER BY id LIMIT $2"))
                .bind(after).bind(limit).fetch_all(pool).await)
    }

    /// How many cameras there are.
    pub async fn count_devices(&self) -> Result<i64, sqlx::Error> {
        self.count("SELECT COUNT(*) FROM devices").await
    }

    /// One camera by its serial.
    pub async fn device(&self, serial: &str) -> Result<Option<DeviceRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as(select!("WHERE serial = $1")).bind(serial).fetch_optional(pool).await)
    }

    /// The serial of the camera whose certified key this is.
    pub async fn device_of_key(&self, key_hash: &[u8]) -> Result<Option<String>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_scalar("SELECT serial FROM devices WHERE key_hash = $1")
                .bind(key_hash.to_vec()).fetch_optional(pool).await)
    }

    /// The serial of the camera that this chip enrolled.
    pub async fn device_of_chip(&self, chip: &[u8]) -> Result<Option<String>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_scalar("SELECT serial FROM devices WHERE chip = $1")
                .bind(chip.to_vec()).fetch_optional(pool).await)
    }

    /// Forgets which chip enrolled a camera, so that the chip may enrol another one; false if the
    /// row was changed meanwhile, whose digest would not fit any more.
    pub async fn release_chip(
        &self,
        vault: &Vault,
        before: &DeviceRow,
    ) -> Result<bool, sqlx::Error> {
        let row = DeviceRow {
            chip: None,
            ..before.clone()
        };
        let mac = rows::digest(vault, &row);
        with_pool!(&self.database, pool =>
            sqlx::query("UPDATE devices SET chip = NULL, mac = $1 WHERE id = $2 AND mac = $3")
                .bind(mac).bind(row.id).bind(&before.mac).execute(pool).await
                .map(|done| done.rows_affected() == 1))
    }

    /// Cameras whose serial or family begins with the text searched for.
    pub async fn devices(&self, query: &DeviceQuery) -> Result<Vec<DeviceRow>, sqlx::Error> {
        // The character after the last possible one ends the range, which an index can walk; LIKE
        // would need escaping.
        let end = format!("{}\u{10FFFF}", query.search);
        with_pool!(&self.database, pool =>
            sqlx::query_as(select!("WHERE id > $1 AND ((serial >= $2 AND serial < $3) OR (family >= $2 AND family < $3)) ORDER BY id LIMIT $4"))
                .bind(query.after).bind(&query.search).bind(&end).bind(query.limit).fetch_all(pool).await)
    }

    /// The present certificate of a camera.
    pub async fn certificate_of(&self, device: i64) -> Result<Option<CertificateRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT serial, issuer, key_hash, issued_at, expires_at, der FROM certificates WHERE device = $1 AND serial = (SELECT certificate_serial FROM devices WHERE id = $1)")
                .bind(device).fetch_optional(pool).await)
    }

    /// Flags a camera that was unusually busy on a day; once a day.
    pub async fn flag(
        &self,
        device: i64,
        day: i64,
        amount: i64,
        ordinary: f64,
    ) -> Result<(), sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query("INSERT INTO flags (device, day, amount, ordinary) VALUES ($1, $2, $3, $4) ON CONFLICT (device, day) DO UPDATE SET amount = excluded.amount")
                .bind(device).bind(day).bind(amount).bind(ordinary).execute(pool).await.map(|_| ()))
    }

    /// Flagged cameras, newest first.
    pub async fn flags(&self, limit: i64) -> Result<Vec<Flag>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT d.serial, f.day, f.amount, f.ordinary, f.reviewed_at, f.reviewed_by FROM flags f JOIN devices d ON d.id = f.device ORDER BY f.day DESC, f.amount DESC LIMIT $1")
                .bind(limit).fetch_all(pool).await)
    }

    /// Marks a camera's flags as looked at; how many there were.
    pub async fn review_flags(
        &self,
        serial: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<u64, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query("UPDATE flags SET reviewed_at = $1, reviewed_by = $2 WHERE reviewed_at IS NULL AND device = (SELECT id FROM devices WHERE serial = $3)")
                .bind(now.unix()).bind(by).bind(serial).execute(pool).await.map(|done| done.rows_affected()))
    }
}

//! Cameras and their certificates.

use birthmark_http::with_pool;
use birthmark_protocol::{TableId, Timestamp};
use sqlx::FromRow;

use super::Store;

/// A camera about to be registered.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// The maker's number.
    pub serial: String,
    /// Finds the NUC hash again without telling it.
    pub nuc_index: [u8; 32],
    /// The NUC hash, sealed.
    pub nuc_sealed: Vec<u8>,
    /// The camera's tables.
    pub tables: [TableId; 3],
    /// The model.
    pub family: String,
    /// What it runs, if it said so.
    pub firmware: Option<String>,
    /// Whether a TPM attested its key.
    pub attested: bool,
    /// When it was provisioned.
    pub provisioned_at: Timestamp,
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
    /// From when it is valid.
    pub issued_at: i64,
    /// Until when.
    pub expires_at: i64,
    /// The certificate itself.
    pub der: Vec<u8>,
}

/// What validation needs to know in memory about a camera.
#[derive(Debug, Clone, FromRow)]
pub struct RegisteredDevice {
    /// Our number for it.
    pub id: i64,
    /// The maker's number.
    pub serial: String,
    /// The NUC hash, sealed.
    pub nuc_sealed: Vec<u8>,
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
    /// Its certificate's serial number.
    pub certificate_serial: Option<Vec<u8>>,
    /// The key that signed the certificate.
    pub certificate_issuer: Option<Vec<u8>>,
    /// When the certificate was issued.
    pub issued_at: Option<i64>,
}

/// A camera as an operator sees it: no secret, not even sealed.
#[derive(Debug, Clone, FromRow)]
pub struct DeviceRow {
    /// Our number for it.
    pub id: i64,
    /// The maker's number.
    pub serial: String,
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
    /// Its certificate's serial number.
    pub certificate_serial: Option<Vec<u8>>,
    /// When the certificate was issued.
    pub issued_at: Option<i64>,
    /// When it was provisioned.
    pub provisioned_at: i64,
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

impl Store {
    /// Registers a camera with its certificate. Fails on a serial or NUC hash that is registered already.
    pub async fn register(&self, device: &NewDevice) -> Result<i64, sqlx::Error> {
        let [a, b, c] = device.tables.map(i64::from);
        let certificate = device.certificate.as_ref();
        with_pool!(&self.database, pool => {
            let mut transaction = pool.begin().await?;
            let id: i64 = sqlx::query_scalar("INSERT INTO devices (serial, nuc_index, nuc_sealed, table_a, table_b, table_c, family, firmware, attested, certificate_serial, certificate_issuer, issued_at, provisioned_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id")
                .bind(&device.serial).bind(device.nuc_index.to_vec()).bind(&device.nuc_sealed)
                .bind(a).bind(b).bind(c).bind(&device.family).bind(&device.firmware).bind(device.attested)
                .bind(certificate.map(|row| row.serial.clone())).bind(certificate.map(|row| row.issuer.clone())).bind(certificate.map(|row| row.issued_at))
                .bind(device.provisioned_at.unix())
                .fetch_one(&mut *transaction).await?;
            if let Some(row) = certificate {
                sqlx::query("INSERT INTO certificates (serial, device, issuer, issued_at, expires_at, der) VALUES ($1, $2, $3, $4, $5, $6)")
                    .bind(&row.serial).bind(id).bind(&row.issuer).bind(row.issued_at).bind(row.expires_at).bind(&row.der)
                    .execute(&mut *transaction).await?;
            }
            // If we stop here, the camera is not registered and may come again.
            transaction.commit().await?;
            Ok(id)
        })
    }

    /// Calls `each` for every camera with a number greater than `after`, in order.
    pub async fn registered_after(
        &self,
        after: i64,
        limit: i64,
    ) -> Result<Vec<RegisteredDevice>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT id, serial, nuc_sealed, table_a, table_b, table_c, family, firmware, attested, certificate_serial, certificate_issuer, issued_at FROM devices WHERE id > $1 ORDER BY id LIMIT $2")
                .bind(after).bind(limit).fetch_all(pool).await)
    }

    /// How many cameras there are.
    pub async fn count_devices(&self) -> Result<i64, sqlx::Error> {
        self.count("SELECT COUNT(*) FROM devices").await
    }

    /// One camera by its serial.
    pub async fn device(&self, serial: &str) -> Result<Option<DeviceRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT id, serial, table_a, table_b, table_c, family, firmware, attested, certificate_serial, issued_at, provisioned_at FROM devices WHERE serial = $1")
                .bind(serial).fetch_optional(pool).await)
    }

    /// Cameras whose serial or family begins with the text searched for.
    pub async fn devices(&self, query: &DeviceQuery) -> Result<Vec<DeviceRow>, sqlx::Error> {
        // The character after the last possible one ends the range, which an index can walk; LIKE would need escaping.
        let end = format!("{}\u{10FFFF}", query.search);
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT id, serial, table_a, table_b, table_c, family, firmware, attested, certificate_serial, issued_at, provisioned_at FROM devices WHERE id > $1 AND ((serial >= $2 AND serial < $3) OR (family >= $2 AND family < $3)) ORDER BY id LIMIT $4")
                .bind(query.after).bind(&query.search).bind(&end).bind(query.limit).fetch_all(pool).await)
    }

    /// The newest certificate of a camera.
    pub async fn certificate_of(&self, device: i64) -> Result<Option<CertificateRow>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT serial, issuer, issued_at, expires_at, der FROM certificates WHERE device = $1 ORDER BY issued_at DESC LIMIT 1")
                .bind(device).fetch_optional(pool).await)
    }

    /// Which camera a certificate was issued to, and when it expires.
    pub async fn device_of_certificate(
        &self,
        serial: &[u8],
    ) -> Result<Option<(i64, i64)>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT device, expires_at FROM certificates WHERE serial = $1")
                .bind(serial.to_vec()).fetch_optional(pool).await)
    }

    /// Unexpired certificates, a page at a time in the order of serial numbers.
    pub async fn certificates_after(
        &self,
        after: &[u8],
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<(Vec<u8>, i64, i64)>, sqlx::Error> {
        with_pool!(&self.database, pool =>
            sqlx::query_as("SELECT serial, device, issued_at FROM certificates WHERE serial > $1 AND expires_at > $2 ORDER BY serial LIMIT $3")
                .bind(after.to_vec()).bind(now.unix()).bind(limit).fetch_all(pool).await)
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

//! Whether the disk under an embedded database has room.

use std::str::FromStr;

use sqlx::sqlite::SqliteConnectOptions;

/// Below this, no camera is registered: what is left is for the audit log.
const RESERVE: u64 = 64 * 1024 * 1024;

/// Whether the database's disk has room for more cameras. PostgreSQL watches its own disk.
pub fn has_room(url: &str) -> bool {
    if !url.starts_with("sqlite:") {
        return true;
    }
    let Ok(options) = SqliteConnectOptions::from_str(url) else {
        return true;
    };
    let Some(folder) = options.get_filename().parent() else {
        return true;
    };
    match rustix::fs::statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) >= RESERVE,
        Err(_) => true,
    }
}

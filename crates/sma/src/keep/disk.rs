//! Whether the disk under an embedded database has room.

use std::path::Path;
use std::str::FromStr;

use sqlx::sqlite::SqliteConnectOptions;

use crate::settings::Settings;

/// Whether the database's disk has room for more cameras; what is left is for the audit log.
/// PostgreSQL watches its own disk.
pub fn has_room(settings: &Settings) -> bool {
    if !settings.database.starts_with("sqlite:") {
        return true;
    }
    let Ok(options) = SqliteConnectOptions::from_str(&settings.database) else {
        return true;
    };
    // A bare file name has an empty parent, which means this folder.
    let folder = options.get_filename().parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let reserve = settings.disk_reserve_mb.saturating_mul(1024 * 1024);
    match rustix::fs::statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) >= reserve,
        Err(_) => true,
    }
}

//! The tables of `peer.db` and how they change from one version to the next.
//!
//! `PRAGMA user_version` is the schema's number: the count of steps applied. A step, once released, is never edited;
//! a change is a new step at the end. Before steps run on a database that holds something, it is copied to
//! `peer.db.schema-N`, N being the number it had. All steps of one opening are one transaction.

use super::{Result, StoreError};
use rusqlite::Connection;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The steps, oldest first.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE peers (
        id BLOB PRIMARY KEY CHECK (length(id) = 32),
        petname TEXT UNIQUE,
        nickname TEXT,
        paired INTEGER NOT NULL DEFAULT 0 CHECK (paired = (petname IS NOT NULL)),
        blocked INTEGER NOT NULL DEFAULT 0,
        addrs TEXT NOT NULL DEFAULT '',     -- one per line
        last_seen INTEGER                   -- seconds since 1970
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE pins (addr TEXT PRIMARY KEY, id BLOB NOT NULL CHECK (length(id) = 32)) STRICT, WITHOUT ROWID;
    CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
",
    "
    -- Peers of the overlay at the end of the last run, and where they were.
    CREATE TABLE overlay (
        id BLOB PRIMARY KEY CHECK (length(id) = 32),
        addrs TEXT NOT NULL,                -- one per line
        seen INTEGER NOT NULL               -- seconds since 1970
    ) STRICT, WITHOUT ROWID;
",
];

/// Opens a database and brings it to the newest schema.
pub(super) fn open(path: &Path, migrations: &[&str]) -> Result<Connection> {
    // It names the user's acquaintances: for the user alone, whatever the directory is. SQLite gives its other files
    // the same permissions.
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    file.map_err(|error| StoreError::File(error.to_string()))?;
    let mut connection = Connection::open(path)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = migrations.len() as i64;
    if found > known || found < 0 {
        return Err(StoreError::Newer { found, known });
    }
    connection.pragma_update(None, "journal_mode", "wal")?;
    // With WAL a power cut loses at most the last change, and never the database.
    connection.pragma_update(None, "synchronous", "normal")?;
    if found == known {
        return Ok(connection);
    }
    if found > 0 {
        back_up(&connection, path, found)?;
    }
    let transaction = connection.transaction()?;
    for step in &migrations[found as usize..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(connection)
}

/// Copies the database beside itself; complete or not there, whatever happens in between.
fn back_up(connection: &Connection, path: &Path, version: i64) -> Result<()> {
    let told = |error: &dyn std::fmt::Display| StoreError::Backup(error.to_string());
    let backup = beside(path, &format!(".schema-{version}"));
    let partial = beside(path, ".partial");
    let _ = std::fs::remove_file(&partial);
    let text = partial.to_str().ok_or_else(|| told(&"its path is not text"))?;
    connection.execute("VACUUM INTO ?1", [text]).map_err(|error| told(&error))?;
    let file = std::fs::File::open(&partial).map_err(|error| told(&error))?;
    file.sync_all().map_err(|error| told(&error))?;
    std::fs::rename(&partial, &backup).map_err(|error| told(&error))
}

/// The same path with something added at the end.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    PathBuf::from(text)
}

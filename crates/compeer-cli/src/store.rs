//! `peer.db`: what a peer remembers between runs. Peers it paired with or blocked, keys learnt for addresses, settings.
//!
//! SQLite in WAL mode, opened by the holder of the home's lock only, so there is one writer. What a stranger does
//! writes no row but those of the overlay, whose number is bounded (`store/overlay.rs`); all others come from what the user types. Every call here is a few rows and well under a millisecond,
//! therefore made in place and not on another thread. The tables and how they change are in `store/schema.rs`; times
//! are seconds since 1970, for display only.

mod overlay;
mod schema;
#[cfg(test)]
mod tests;

use compeer::PeerId;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes a petname may have. A guess: longer ones are no easier to type than an id.
pub(crate) const MAX_PETNAME: usize = 32;

/// The database of a home.
pub(crate) struct Store {
    connection: Mutex<Connection>,
}

/// A remembered peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its id.
    pub(crate) id: PeerId,
    /// The name the user gave it; there is one exactly if it is paired.
    pub(crate) petname: Option<String>,
    /// The name it last told, raw: to be escaped when shown.
    pub(crate) nickname: Option<String>,
    /// Whether it is blocked.
    pub(crate) blocked: bool,
    /// Where it was reached, as text, the latest first.
    pub(crate) addrs: Vec<String>,
    /// When it was last connected, in seconds since 1970.
    pub(crate) last_seen: Option<i64>,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StoreError {
    /// It was written by a newer program.
    #[error(
        "peer.db has schema {found}, this program knows up to {known}: use the newer compeer that wrote it"
    )]
    Newer {
        /// The number found.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// The copy made before a migration failed; the database is as it was.
    #[error("peer.db cannot be backed up before its migration: {0}")]
    Backup(String),
    /// The file cannot be opened.
    #[error("peer.db cannot be opened: {0}")]
    File(String),
    /// SQLite's own word.
    #[error("peer.db: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl From<StoreError> for crate::exit::CommandError {
    fn from(error: StoreError) -> Self {
        crate::exit::CommandError::failed(error.to_string())
    }
}

/// What every call here returns.
pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;

impl Store {
    /// Opens the database, creating or migrating it.
    ///
    /// # Errors
    ///
    /// A newer schema, a failed backup, or SQLite's own troubles (a damaged file, a full disk).
    pub(crate) fn open(path: &Path) -> Result<Store> {
        Ok(Store { connection: Mutex::new(schema::open(path, schema::MIGRATIONS)?) })
    }

    /// Closes the database; whoever still asks gets an error. The lock of the home may be given back then.
    pub(crate) fn close(&self) {
        // An empty one in its place, in memory: dropping the old one is what closes it.
        if let Ok(empty) = Connection::open_in_memory() {
            *self.lock() = empty;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every remembered peer, by petname, then by id.
    pub(crate) fn peers(&self) -> Result<Vec<Known>> {
        let connection = self.lock();
        let mut query = connection.prepare(&format!("{SELECT} ORDER BY petname IS NULL, petname, id"))?;
        let rows = query.query_map([], known)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What is remembered of one peer.
    pub(crate) fn peer(&self, id: PeerId) -> Result<Option<Known>> {
        let connection = self.lock();
        Ok(connection
            .query_row(&format!("{SELECT} WHERE id = ?1"), [id.as_bytes().as_slice()], known)
            .optional()?)
    }

    /// The peer of a petname.
    pub(crate) fn by_petname(&self, petname: &str) -> Result<Option<Known>> {
        let connection = self.lock();
        Ok(connection.query_row(&format!("{SELECT} WHERE petname = ?1"), [petname], known).optional()?)
    }

    /// Pairs a peer under a name like `wanted`, which is made unique (`bob`, `bob-2`), and gives the name it got.
    /// A peer already paired keeps its name unless `rename` is set.
    pub(crate) fn pair(&self, id: PeerId, wanted: &str, rename: bool) -> Result<String> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let old: Option<String> = transaction
            .query_row("SELECT petname FROM peers WHERE id = ?1", [id.as_bytes().as_slice()], |row| {
                row.get(0)
            })
            .optional()?
            .flatten();
        let name = match old {
            Some(old) if !rename || old == wanted => old,
            _ => free_name(&transaction, id, wanted)?,
        };
        transaction.execute(
            "INSERT INTO peers (id, petname, paired) VALUES (?1, ?2, 1)
             ON CONFLICT (id) DO UPDATE SET petname = ?2, paired = 1",
            params![id.as_bytes().as_slice(), name],
        )?;
        transaction.commit()?;
        Ok(name)
    }

    /// Undoes a pairing; a block stays.
    pub(crate) fn unpair(&self, id: PeerId) -> Result<()> {
        let connection = self.lock();
        let id = id.as_bytes().as_slice();
        connection.execute("UPDATE peers SET petname = NULL, paired = 0 WHERE id = ?1", [id])?;
        connection.execute("DELETE FROM peers WHERE id = ?1 AND NOT blocked", [id])?;
        Ok(())
    }

    /// Blocks or unblocks a peer.
    pub(crate) fn block(&self, id: PeerId, blocked: bool) -> Result<()> {
        let connection = self.lock();
        connection.execute(
            "INSERT INTO peers (id, blocked) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET blocked = ?2",
            params![id.as_bytes().as_slice(), blocked],
        )?;
        connection.execute("DELETE FROM peers WHERE NOT paired AND NOT blocked", [])?;
        Ok(())
    }

    /// Notes that a remembered peer was seen: the name it tells, where it was reached, when. Nothing is noted of a
    /// peer that is not remembered.
    pub(crate) fn seen(&self, id: PeerId, nickname: Option<&str>, addrs: &[String], now: i64) -> Result<()> {
        let Some(mut known) = self.peer(id)? else { return Ok(()) };
        known.addrs.retain(|addr| !addrs.contains(addr));
        let mut all = addrs.to_vec();
        all.append(&mut known.addrs);
        all.truncate(compeer::limits::MAX_ADDRS);
        let text = all.join("\n");
        self.lock().execute(
            "UPDATE peers SET nickname = coalesce(?2, nickname), addrs = ?3, last_seen = ?4 WHERE id = ?1",
            params![id.as_bytes().as_slice(), nickname, text, now],
        )?;
        Ok(())
    }

    /// The key learnt for an address.
    pub(crate) fn pin(&self, addr: &str) -> Result<Option<PeerId>> {
        let connection = self.lock();
        Ok(connection
            .query_row("SELECT id FROM pins WHERE addr = ?1", [addr], |row| peer_id(row, 0))
            .optional()?)
    }

    /// Learns the key of an address. One already learnt is never changed: `unpin` first.
    pub(crate) fn set_pin(&self, addr: &str, id: PeerId) -> Result<()> {
        self.lock().execute(
            "INSERT INTO pins (addr, id) VALUES (?1, ?2) ON CONFLICT (addr) DO NOTHING",
            params![addr, id.as_bytes().as_slice()],
        )?;
        Ok(())
    }

    /// Forgets the key of an address; whether there was one.
    pub(crate) fn unpin(&self, addr: &str) -> Result<bool> {
        Ok(self.lock().execute("DELETE FROM pins WHERE addr = ?1", [addr])? > 0)
    }

    /// A setting.
    pub(crate) fn setting(&self, key: &str) -> Result<Option<String>> {
        let connection = self.lock();
        Ok(connection
            .query_row("SELECT value FROM settings WHERE key = ?1", [key], |row| row.get(0))
            .optional()?)
    }

    /// Remembers a setting.
    pub(crate) fn set(&self, key: &str, value: &str) -> Result<()> {
        self.lock().execute(
            "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
            [key, value],
        )?;
        Ok(())
    }
}

const SELECT: &str = "SELECT id, petname, nickname, blocked, addrs, last_seen FROM peers";

fn known(row: &Row<'_>) -> rusqlite::Result<Known> {
    let addrs: String = row.get(4)?;
    Ok(Known {
        id: peer_id(row, 0)?,
        petname: row.get(1)?,
        nickname: row.get(2)?,
        blocked: row.get(3)?,
        addrs: addrs.lines().map(str::to_string).collect(),
        last_seen: row.get(5)?,
    })
}

fn peer_id(row: &Row<'_>, column: usize) -> rusqlite::Result<PeerId> {
    let bytes: [u8; 32] = row.get(column)?;
    PeerId::from_bytes(&bytes).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, Box::new(error))
    })
}

/// `wanted`, or `wanted-2`, `wanted-3`: the first one that no other peer has and that no paired peer's id begins
/// with (a name chosen by somebody else must not capture an id prefix the user may type).
fn free_name(connection: &Connection, id: PeerId, wanted: &str) -> Result<String> {
    let mut query = connection.prepare("SELECT id, petname FROM peers WHERE paired AND id <> ?1")?;
    let others = query
        .query_map([id.as_bytes().as_slice()], |row| {
            Ok((peer_id(row, 0)?.to_string(), row.get::<_, String>(1)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let taken = |name: &str| others.iter().any(|(id, petname)| petname == name || id.starts_with(name));
    let mut name = wanted.to_string();
    let mut number = 2;
    while taken(&name) {
        let suffix = format!("-{number}");
        let mut end = wanted.len().min(MAX_PETNAME - suffix.len());
        while !wanted.is_char_boundary(end) {
            end -= 1;
        }
        name = format!("{}{suffix}", &wanted[..end]);
        number += 1;
    }
    Ok(name)
}

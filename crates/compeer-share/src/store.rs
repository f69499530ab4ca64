//! What sharing keeps in the home: packs, transfers, and the database `share.db` of shares and hashes.
//!
//! The database is opened when it is first needed: a fetch needs none. One process has the home at a time (its
//! lock is the program's business). A newer schema is refused by its number; before a migration the file is
//! copied. Packs (the outboards of what was shared) are files; the database says which file was in which state
//! when it was hashed, so that an unchanged one is not hashed again. Packs that have not been used
//! for longest go when there are too many bytes of them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use crate::hash::{Hashed, Known, Stamp};
use crate::layout::Layout;
use crate::limits;
use crate::transfers::private_dir;
use crate::tree::{self, NODE};

/// The number of the schema that this version writes.
const SCHEMA: i64 = 1;

/// Smaller files are hashed faster than looked up. Unit: bytes. A guess.
const WORTH_KEEPING: u64 = 256 * 1024;

const TABLES: &str = "
CREATE TABLE packs (id INTEGER PRIMARY KEY AUTOINCREMENT, bytes INTEGER NOT NULL, used INTEGER NOT NULL);
CREATE TABLE hashes (
    dev INTEGER, ino INTEGER, stamp TEXT NOT NULL, root BLOB NOT NULL,
    pack INTEGER NOT NULL REFERENCES packs(id) ON DELETE CASCADE, place INTEGER NOT NULL,
    PRIMARY KEY (dev, ino)
) WITHOUT ROWID;
CREATE TABLE shares (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, secret BLOB NOT NULL, access TEXT NOT NULL,
    paths TEXT NOT NULL, exclude TEXT NOT NULL, rate INTEGER
);
CREATE INDEX hashes_by_pack ON hashes(pack);
";

/// Why the home cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database.
    #[error("share.db: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file or directory.
    #[error("cannot use the home directory: {0}")]
    Io(#[from] io::Error),
    /// A later version wrote it.
    #[error("share.db has version {0}, this program reads up to {SCHEMA}: use the newer program")]
    Newer(i64),
}

/// A directory of the home. Clones are the same.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    database: Mutex<Option<Connection>>,
}

/// A share that is kept over restarts.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) secret: [u8; 16],
    /// JSON of [`Access`](crate::Access).
    pub(crate) access: String,
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) exclude: Vec<String>,
    /// Bytes a second.
    pub(crate) limit: Option<u64>,
}

/// Without its secret.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Store {
    /// In this directory, which is made when something is to be kept.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Store(Arc::new(Shared { dir: dir.into(), database: Mutex::new(None) }))
    }

    /// Where all of it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Where the transfers are.
    pub(crate) fn transfers(&self) -> PathBuf {
        self.0.dir.join("transfers")
    }

    fn pack_path(&self, id: i64) -> PathBuf {
        self.0.dir.join("packs").join(id.to_string())
    }

    fn database(&self) -> Result<Database<'_>, StoreError> {
        let mut database = self.0.database.lock().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            private_dir(&self.0.dir.join("packs"))?;
            *database = Some(open(&self.0.dir.join("share.db"))?);
        }
        Ok(Database(database))
    }

    /// A new pack file.
    ///
    /// # Errors
    /// The home cannot be written.
    pub(crate) fn new_pack(&self) -> Result<(i64, File), StoreError> {
        let database = self.database()?;
        let now = next_use(&database)?;
        database.execute("INSERT INTO packs (bytes, used) VALUES (0, ?1)", [now])?;
        let id = database.last_insert_rowid();
        let path = self.pack_path(id);
        let pack = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok((id, pack))
    }

    /// Whether a file of this state was hashed before. What was kept of that may be gone by the time it is wanted.
    pub(crate) fn knows(&self, stamp: &Stamp) -> bool {
        let Ok(database) = self.database() else { return false };
        let found = database.query_row(
            "SELECT 1 FROM hashes WHERE dev = ?1 AND ino = ?2 AND stamp = ?3",
            params![stamp.dev as i64, stamp.ino as i64, text(stamp)],
            |_| Ok(()),
        );
        found.is_ok()
    }

    /// Removes a pack of which nothing came.
    pub(crate) fn drop_pack(&self, pack: i64) {
        if let Ok(database) = self.database() {
            let _ = database.execute("DELETE FROM packs WHERE id = ?1", [pack]);
        }
        let _ = fs::remove_file(self.pack_path(pack));
    }

    /// Notes what was hashed into a pack, and lets old packs go.
    ///
    /// # Errors
    /// The home cannot be written.
    pub(crate) fn keep_hashes(
        &self,
        pack: i64,
        layout: &Layout,
        hashed: &[Hashed],
    ) -> Result<(), StoreError> {
        let mut database = self.database()?;
        let bytes = layout.pack_len();
        let transaction = database.transaction()?;
        transaction.execute("UPDATE packs SET bytes = ?2 WHERE id = ?1", params![pack, bytes as i64])?;
        {
            let mut insert = transaction.prepare(
                "INSERT OR REPLACE INTO hashes (dev, ino, stamp, root, pack, place) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for (file, hashed) in hashed.iter().enumerate() {
                if hashed.stamp.size >= WORTH_KEEPING {
                    let stamp = &hashed.stamp;
                    let place = layout.outboard(file) as i64;
                    insert.execute(params![
                        stamp.dev as i64,
                        stamp.ino as i64,
                        text(stamp),
                        &hashed.root[..],
                        pack,
                        place
                    ])?;
                }
            }
        }
        let all: i64 =
            transaction.query_row("SELECT coalesce(sum(bytes), 0) FROM packs", [], |row| row.get(0))?;
        let mut over = all - limits::MAX_PACKS as i64;
        let mut gone = Vec::new();
        {
            let mut oldest =
                transaction.prepare("SELECT id, bytes FROM packs WHERE id != ?1 ORDER BY used")?;
            let mut rows = oldest.query([pack])?;
            while over > 0 {
                let Some(row) = rows.next()? else { break };
                gone.push(row.get::<_, i64>(0)?);
                over -= row.get::<_, i64>(1)?;
            }
        }
        for id in &gone {
            transaction.execute("DELETE FROM packs WHERE id = ?1", [id])?;
        }
        transaction.commit()?;
        for id in gone {
            // Who still serves from it has it open.
            let _ = fs::remove_file(self.pack_path(id));
        }
        Ok(())
    }

    /// Keeps a share over restarts; gives its number.
    ///
    /// # Errors
    /// The home cannot be written, or a path is no text.
    pub(crate) fn keep_share(&self, kept: &Kept) -> Result<u64, StoreError> {
        let json = |error: serde_json::Error| StoreError::Io(error.into());
        let paths = serde_json::to_string(&kept.paths).map_err(json)?;
        let exclude = serde_json::to_string(&kept.exclude).map_err(json)?;
        let database = self.database()?;
        database.execute(
            "INSERT INTO shares (name, secret, access, paths, exclude, rate) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                kept.name,
                &kept.secret[..],
                kept.access,
                paths,
                exclude,
                kept.limit.map(|limit| limit as i64)
            ],
        )?;
        Ok(database.last_insert_rowid() as u64)
    }

    /// Forgets a share.
    ///
    /// # Errors
    /// The home cannot be written.
    pub(crate) fn forget_share(&self, id: u64) -> Result<(), StoreError> {
        self.database()?.execute("DELETE FROM shares WHERE id = ?1", [id as i64])?;
        Ok(())
    }

    /// The shares that are kept, in order.
    ///
    /// # Errors
    /// The home cannot be read.
    pub(crate) fn kept_shares(&self) -> Result<Vec<Kept>, StoreError> {
        if !self.0.dir.join("share.db").exists() {
            return Ok(Vec::new());
        }
        let database = self.database()?;
        let mut all = database
            .prepare("SELECT id, name, secret, access, paths, exclude, rate FROM shares ORDER BY id")?;
        let rows = all.query_map([], |row| {
            let list = |column| -> Result<_, rusqlite::Error> {
                serde_json::from_str::<Vec<String>>(&row.get::<_, String>(column)?).map_err(|error| {
                    rusqlite::Error::FromSqlConversionFailure(
                        column,
                        rusqlite::types::Type::Text,
                        error.into(),
                    )
                })
            };
            Ok(Kept {
                id: row.get::<_, i64>(0)? as u64,
                name: row.get(1)?,
                secret: row.get(2)?,
                access: row.get(3)?,
                paths: list(4)?.into_iter().map(PathBuf::from).collect(),
                exclude: list(5)?,
                limit: row.get::<_, Option<i64>>(6)?.map(|limit| limit as u64),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Known for Store {
    fn get(&self, stamp: &Stamp, outboard: &mut Vec<u8>) -> Option<[u8; 32]> {
        if stamp.size < WORTH_KEEPING {
            return None;
        }
        let (pack, place, root) = {
            let database = self.database().ok()?;
            let found = database.query_row(
                "SELECT pack, place, root FROM hashes WHERE dev = ?1 AND ino = ?2 AND stamp = ?3",
                params![stamp.dev as i64, stamp.ino as i64, text(stamp)],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, [u8; 32]>(2)?)),
            );
            let found = found.optional().ok()??;
            let _ = database
                .execute("UPDATE packs SET used = ?2 WHERE id = ?1", [found.0, next_use(&database).ok()?]);
            found
        };
        let file = File::open(self.pack_path(pack)).ok()?;
        outboard.resize((tree::nodes(tree::groups(stamp.size)) * NODE) as usize, 0);
        file.read_exact_at(outboard, place as u64).ok()?;
        // A loss of power may have left holes in the pack: it is believed only if it leads to the root.
        let of = tree::groups(stamp.size);
        tree::check_proof(&root, of, &(0..of), outboard).ok()?;
        Some(root)
    }
}

/// A state of a file as the database keeps it.
fn text(stamp: &Stamp) -> String {
    let (modified, changed) = (stamp.modified, stamp.changed);
    format!("{} {}.{:09} {}.{:09}", stamp.size, modified.0, modified.1, changed.0, changed.1)
}

/// A number larger than that of every use before.
fn next_use(database: &Connection) -> Result<i64, rusqlite::Error> {
    database.query_row("SELECT coalesce(max(used), 0) + 1 FROM packs", [], |row| row.get(0))
}

/// The opened database, locked.
struct Database<'a>(MutexGuard<'a, Option<Connection>>);

impl std::ops::DerefMut for Database<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.0.as_mut().expect("the database was opened")
    }
}

impl std::ops::Deref for Database<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        // Opened where this is made.
        self.0.as_ref().expect("the database was opened")
    }
}

/// Opens the database, and brings it to the schema of this version.
fn open(path: &Path) -> Result<Connection, StoreError> {
    let mut database = Connection::open(path)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    database.pragma_update(None, "foreign_keys", true)?;
    let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > SCHEMA {
        return Err(StoreError::Newer(version));
    }
    if version == 0 {
        let transaction = database.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", SCHEMA)?;
        transaction.commit()?;
    }
    Ok(database)
}

#[cfg(test)]
mod tests;

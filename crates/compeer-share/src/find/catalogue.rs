//! The catalogue: the words in the names of public shares and of their files, in SQLite's full-text index (FTS5).
//!
//! Words are what Unicode calls so, without case and without accents (tokenizer `unicode61`, `remove_diacritics
//! 2`). A search finds the shares in which all its words are; the last one may be a beginning, so that one can search
//! while typing. No text is a wrong search: whatever FTS5 would read as an operator is quoted.
//! Everything in here can be made again from the shares, so it is in memory unless a database is given.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Lookup;
use super::wire::clip;
use crate::ContentId;
use crate::limits::{MAX_LISTED_NAME, MAX_LISTED_TEXT, MAX_QUERY, MAX_WORDS};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS published (
    id INTEGER PRIMARY KEY, content BLOB NOT NULL, secret BLOB NOT NULL, name TEXT NOT NULL,
    bytes INTEGER NOT NULL, files INTEGER NOT NULL
);
CREATE VIRTUAL TABLE IF NOT EXISTS published_words USING fts5(
    name, files, tokenize = \"unicode61 remove_diacritics 2\", prefix = '2 3'
);
";

/// Why the catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the catalogue of public shares: {0}")]
pub struct CatalogueError(#[from] rusqlite::Error);

/// A public share, as it is in the catalogue.
#[derive(Clone, PartialEq, Eq)]
pub struct Published {
    /// The number of the share; adding one of the same number replaces it. At least 1.
    pub id: u64,
    /// Its content.
    pub content: ContentId,
    /// Its secret.
    pub secret: [u8; 16],
    /// Its name.
    pub name: String,
    /// Bytes of all its files.
    pub bytes: u64,
    /// How many files it has.
    pub files: u32,
}

/// Without its secret.
impl std::fmt::Debug for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published").field("content", &self.content).finish_non_exhaustive()
    }
}

/// See the module.
///
/// ```
/// use compeer_share::ContentId;
/// use compeer_share::find::{Catalogue, Published};
///
/// let catalogue = Catalogue::in_memory()?;
/// let album = Published {
///     id: 1, content: ContentId::of(b"x"), secret: [0; 16], name: "Música del mar".into(), bytes: 5, files: 1,
/// };
/// catalogue.add(&album, ["Música del mar/01 Bahía.flac"])?;
/// assert_eq!(catalogue.search("musica bah", 10)?, [album]);
/// assert!(catalogue.search("musica \"NOT", 10)?.is_empty());
/// # Ok::<(), compeer_share::find::CatalogueError>(())
/// ```
#[derive(Debug)]
pub struct Catalogue(Mutex<Connection>);

impl From<CatalogueError> for rusqlite::Error {
    fn from(error: CatalogueError) -> Self {
        error.0
    }
}

impl Catalogue {
    /// An empty catalogue.
    ///
    /// # Errors
    /// No memory, or an SQLite without FTS5.
    pub fn in_memory() -> Result<Self, CatalogueError> {
        Self::with(Connection::open_in_memory()?)
    }

    /// A catalogue in this database; its tables are made if they are not there.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn with(connection: Connection) -> Result<Self, CatalogueError> {
        connection.execute_batch(TABLES)?;
        Ok(Catalogue(Mutex::new(connection)))
    }

    /// Puts a share in, with the names of its files; of very many the first [`MAX_LISTED_TEXT`] bytes can be
    /// found.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn add<'a>(
        &self,
        share: &Published,
        files: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), CatalogueError> {
        let mut text = String::new();
        for file in files {
            if text.len() + file.len() >= MAX_LISTED_TEXT {
                break;
            }
            text.push_str(file);
            text.push('\n');
        }
        let name = clip(&share.name, MAX_LISTED_NAME);
        let mut connection = self.lock();
        let all = connection.transaction()?;
        remove(&all, share.id)?;
        all.execute(
            "INSERT INTO published VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                share.id as i64,
                share.content.as_bytes(),
                share.secret,
                name,
                share.bytes as i64,
                share.files
            ],
        )?;
        all.execute(
            "INSERT INTO published_words (rowid, name, files) VALUES (?1, ?2, ?3)",
            params![share.id as i64, readable(name), readable(&text)],
        )?;
        Ok(all.commit()?)
    }

    /// Takes a share out; whether it was in.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn remove(&self, id: u64) -> Result<bool, CatalogueError> {
        let mut connection = self.lock();
        let all = connection.transaction()?;
        let was = remove(&all, id)?;
        all.commit()?;
        Ok(was)
    }

    /// The shares in which all these words are, at most `most`, the best first. Words in the name count for more than
    /// those in names of files. No words find nothing.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn search(&self, words: &str, most: usize) -> Result<Vec<Published>, CatalogueError> {
        let words = expression(words);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let connection = self.lock();
        let mut search = connection.prepare(
            "SELECT p.* FROM published_words w JOIN published p ON p.id = w.rowid
             WHERE published_words MATCH ?1 ORDER BY bm25(published_words, 4.0, 1.0), p.id LIMIT ?2",
        )?;
        let found = search.query_map(params![words, limit(most)], published)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The shares after number `after`, in the order of their numbers, at most `most`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn list(&self, after: u64, most: usize) -> Result<Vec<Published>, CatalogueError> {
        let connection = self.lock();
        let mut list = connection.prepare("SELECT * FROM published WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let found = list.query_map(params![after, limit(most)], published)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// One share.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn get(&self, id: u64) -> Result<Option<Published>, CatalogueError> {
        let connection = self.lock();
        let mut get = connection.prepare("SELECT * FROM published WHERE id = ?1")?;
        Ok(get.query_row([id as i64], published).optional()?)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What cannot be read is not found; the log says why.
impl Lookup for Catalogue {
    fn search(&self, words: &str, most: usize) -> Vec<Published> {
        or_none(Catalogue::search(self, words, most))
    }

    fn browse(&self, after: u64, most: usize) -> Vec<Published> {
        or_none(self.list(after, most))
    }
}

fn or_none(found: Result<Vec<Published>, CatalogueError>) -> Vec<Published> {
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, "nothing can be found");
        Vec::new()
    })
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

fn remove(connection: &Connection, id: u64) -> rusqlite::Result<bool> {
    connection.execute("DELETE FROM published_words WHERE rowid = ?1", [id as i64])?;
    Ok(connection.execute("DELETE FROM published WHERE id = ?1", [id as i64])? > 0)
}

fn published(row: &Row<'_>) -> rusqlite::Result<Published> {
    Ok(Published {
        id: row.get::<_, i64>(0)? as u64,
        content: ContentId::from_bytes(row.get(1)?),
        secret: row.get(2)?,
        name: row.get(3)?,
        bytes: row.get::<_, i64>(4)? as u64,
        files: row.get(5)?,
    })
}

/// Text without what SQLite would take for its end.
fn readable(text: &str) -> String {
    text.replace('\0', " ")
}

/// A search as FTS5 reads it: each word a string of its own, the last one a beginning.
fn expression(words: &str) -> String {
    let words = readable(clip(words, MAX_QUERY));
    // What is no letter or number anywhere in it would be an empty string, which FTS5 finds everywhere.
    let words = words.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric));
    let quoted: Vec<_> =
        words.take(MAX_WORDS).map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
    match quoted.is_empty() {
        true => String::new(),
        false => quoted.join(" ") + " *",
    }
}

#[cfg(test)]
mod tests;

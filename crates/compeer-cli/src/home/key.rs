//! The secret key of a home, in the file `key`.
//!
//! One line: `compeer-key-1`, the Ed25519 seed and the public id it gives, both in base32. The id is there so that a
//! damaged file is noticed instead of silently being somebody else. The file is 0600, written under another name,
//! synced, and then linked to its place, which fails if a key is there: no crash leaves half a key and nothing ever
//! overwrites one. A key that others may read, or that cannot be read, is an error that says what to do; making a
//! new one in its stead would make this peer a stranger to all who know it.

use super::Home;
use crate::exit::{CommandError, Outcome};
use compeer::{Identity, PeerId};
use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// First word of the file; another one is another format.
const FORMAT: &str = "compeer-key-1";

/// Bytes of the longest key file worth reading: three words and the line's end take 120.
const MAX_LEN: u64 = 256;

/// The identity of a home, created at the first call. Only for who holds the home's lock.
///
/// # Errors
///
/// The key cannot be read, is damaged, may be read by others, or cannot be written.
pub(crate) fn load_or_create(home: &Home) -> Outcome<Identity> {
    if let Some(identity) = load(home)? {
        return Ok(identity);
    }
    let identity = Identity::generate();
    create(&home.key_path(), &identity).map_err(|error| unwritten(home, &error))?;
    Ok(identity)
}

/// Makes another identity that of the home. Only for who holds the home's lock. Gives where the old key is kept, if
/// there was one.
///
/// # Errors
///
/// The old key cannot be read, or the new one not written; the old one stays in place then.
pub(crate) fn replace(home: &Home, identity: &Identity) -> Outcome<Option<PathBuf>> {
    let path = home.key_path();
    let Some(old) = load(home)? else {
        create(&path, identity).map_err(|error| unwritten(home, &error))?;
        return Ok(None);
    };
    let swap = || {
        let new = write(&path, identity)?;
        let kept = keep(&path, &old)?;
        fs::rename(new, &path)?;
        sync_directory(&path)?;
        Ok(kept)
    };
    swap().map(Some).map_err(|error| unwritten(home, &error))
}

/// Gives the key in its place a second name, by which it stays; gives that name.
fn keep(path: &Path, old: &Identity) -> io::Result<PathBuf> {
    let name = format!("key.{}", old.peer_id().short());
    let mut kept = path.with_file_name(&name);
    for number in 2_u64.. {
        match fs::hard_link(path, &kept) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done.map(|()| kept),
        }
        // Most likely from the last time it was replaced. Whatever else has that name stays as it is, and is no copy.
        if holds(&kept, old) {
            return Ok(kept);
        }
        kept = path.with_file_name(format!("{name}.{number}"));
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Whether a file holds this key, for the owner alone.
fn holds(path: &Path, identity: &Identity) -> bool {
    let regular = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    regular && matches!(read(path), Ok(Some(found)) if found.peer_id() == identity.peer_id())
}

fn unwritten(home: &Home, error: &io::Error) -> CommandError {
    CommandError::failed(format!("cannot write the key {}: {error}", home.key_path().display()))
}

/// The identity of a home, if it has one.
///
/// # Errors
///
/// The key cannot be read, is damaged, or may be read by others.
pub(crate) fn load(home: &Home) -> Outcome<Option<Identity>> {
    read(&home.key_path())
}

fn read(path: &Path) -> Outcome<Option<Identity>> {
    let unreadable =
        |error: io::Error| CommandError::failed(format!("cannot read the key {}: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if file.metadata().map_err(unreadable)?.permissions().mode() & 0o077 != 0 {
        let text = format!("others may read the key {}", path.display());
        return Err(CommandError::failed(text).hint(format!(
            "if nobody did, type: chmod 600 {0}; if somebody may have, move it away and become a new peer",
            path.display()
        )));
    }
    // Room for all of it at once: a buffer that grows would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_LEN as usize + 1));
    let read = file.take(MAX_LEN).read_to_string(&mut text);
    match read.ok().and_then(|_| decode(&text)) {
        Some(identity) => Ok(Some(identity)),
        None => Err(CommandError::failed(format!("the key {} is damaged", path.display()))
            .hint("put back a copy of it, or move it away and become a new peer; it is not overwritten")),
    }
}

fn decode(text: &str) -> Option<Identity> {
    let mut words = text.split_ascii_whitespace();
    let (format, seed, id) = (words.next()?, words.next()?, words.next()?);
    if format != FORMAT || words.next().is_some() {
        return None;
    }
    let bytes = Zeroizing::new(BASE32_NOPAD_NOCASE.decode(seed.as_bytes()).ok()?);
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(bytes.as_slice().try_into().ok()?);
    let identity = Identity::from_seed(&seed);
    (identity.peer_id() == id.parse::<PeerId>().ok()?).then_some(identity)
}

fn create(path: &Path, identity: &Identity) -> io::Result<()> {
    let new = write(path, identity)?;
    fs::hard_link(&new, path)?;
    fs::remove_file(&new)?;
    sync_directory(path)
}

/// Writes a key beside its place; gives where.
fn write(path: &Path, identity: &Identity) -> io::Result<PathBuf> {
    let seed = Zeroizing::new(BASE32_NOPAD.encode(identity.seed().as_slice()));
    let text = Zeroizing::new(format!("{FORMAT} {} {}\n", seed.as_str(), identity.peer_id()));
    let partial = path.with_file_name("key.new");
    // What a crash left there was never anybody's key: it had not got its name yet.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(partial)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(Some(dir.path())).unwrap();
        (dir, home)
    }

    #[test]
    fn is_created_once_for_the_owner_alone() {
        let (_dir, home) = home();
        let first = load_or_create(&home).unwrap().peer_id();
        assert_eq!(load_or_create(&home).unwrap().peer_id(), first);
        assert_eq!(fs::metadata(home.key_path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(home.dir()).unwrap().count(), 1, "nothing beside it");
    }

    #[test]
    fn is_never_overwritten() {
        let (_dir, home) = home();
        create(&home.key_path(), &Identity::generate()).unwrap();
        let before = fs::read(home.key_path()).unwrap();
        assert!(create(&home.key_path(), &Identity::generate()).is_err());
        assert_eq!(fs::read(home.key_path()).unwrap(), before);
    }

    #[test]
    fn a_key_that_is_replaced_is_kept() {
        let (_dir, home) = home();
        let first = load_or_create(&home).unwrap();
        let second = Identity::generate();
        for _ in 0..2 {
            let kept = replace(&home, &second).unwrap().unwrap();
            assert_eq!(load_or_create(&home).unwrap().peer_id(), second.peer_id());
            assert!(fs::read_to_string(&kept).unwrap().contains(&first.peer_id().to_string()));
            assert_eq!(fs::metadata(home.key_path()).unwrap().permissions().mode() & 0o777, 0o600);
            replace(&home, &first).unwrap();
        }
        assert_eq!(load_or_create(&home).unwrap().peer_id(), first.peer_id());
    }

    #[test]
    fn what_only_has_the_name_of_a_copy_is_neither_relied_on_nor_overwritten() {
        let (_dir, home) = home();
        let first = load_or_create(&home).unwrap();
        let name = format!("key.{}", first.peer_id().short());
        let wrong = home.key_path().with_file_name(&name);
        fs::write(&wrong, "something else").unwrap();
        fs::create_dir(home.key_path().with_file_name(format!("{name}.2"))).unwrap();
        for _ in 0..2 {
            let kept = replace(&home, &Identity::generate()).unwrap().unwrap();
            assert_eq!(kept.file_name().unwrap().to_str().unwrap(), format!("{name}.3"));
            assert_eq!(read(&kept).unwrap().unwrap().peer_id(), first.peer_id());
            replace(&home, &first).unwrap();
        }
        assert_eq!(fs::read_to_string(&wrong).unwrap(), "something else");
        // One that others may read, or may have changed, is none either.
        let copy = home.key_path().with_file_name(format!("{name}.3"));
        fs::remove_file(&copy).unwrap();
        fs::copy(home.key_path(), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
        let kept = replace(&home, &Identity::generate()).unwrap().unwrap();
        assert_eq!(kept.file_name().unwrap().to_str().unwrap(), format!("{name}.4"));
    }

    #[test]
    fn damage_is_noticed_and_left_as_it_is() {
        let (_dir, home) = home();
        load_or_create(&home).unwrap();
        let whole = fs::read_to_string(home.key_path()).unwrap();
        let swapped = if whole.as_bytes()[20] == b'A' { "B" } else { "A" };
        let flipped = format!("{}{swapped}{}", &whole[..20], &whole[21..]);
        for text in ["", "compeer-key-1", "compeer-key-2 a b", &whole[..60], flipped.as_str()] {
            fs::write(home.key_path(), text).unwrap();
            let error = load_or_create(&home).unwrap_err();
            assert!(error.message.contains("damaged"), "{text:?}: {error}");
            assert_eq!(fs::read_to_string(home.key_path()).unwrap(), text);
        }
    }

    #[test]
    fn a_key_others_may_read_is_refused_with_the_remedy() {
        let (_dir, home) = home();
        load_or_create(&home).unwrap();
        fs::set_permissions(home.key_path(), fs::Permissions::from_mode(0o644)).unwrap();
        let error = load_or_create(&home).unwrap_err();
        assert!(error.hint.unwrap().contains("chmod 600"));
    }
}

//! A key that travels: the secret of an identity, locked with a passphrase, as text.
//!
//! Argon2id makes a key of the passphrase, slowly and with much memory, so that guessing is dear; ChaCha20-Poly1305 locks the
//! seed with it, bound to the format and the id before it, so a wrong passphrase and a damaged file are both noticed. The
//! parameters are part of the version and not in the file: who hands over a file cannot make us work for hours.
//!
//! ```text
//! # comments, for whoever finds it
//! compeer-identity-1 ID BASE32(salt, 16 bytes; locked seed, 32 bytes; tag, 16 bytes)
//! ```

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use compeer::{Identity, PeerId};
use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use zeroize::Zeroizing;

/// First word of the line that counts; another one is another format.
const FORMAT: &str = "compeer-identity-1";
/// What every version's first word begins with.
const ANY_FORMAT: &str = "compeer-identity-";

/// Bytes of salt. RFC 9106 §3.1.
const SALT: usize = 16;
/// Memory for one guess, in KiB, passes over it, and lanes. RFC 9106 §4, the second recommended choice.
const WORK: (u32, u32, u32) = (64 * 1024, 3, 4);

/// Bytes of the longest file worth reading: the line takes 180, and there is room for comments.
pub(crate) const MAX_LEN: u64 = 16 * 1024;

/// Why there is no key to be had from a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// It is something else.
    #[error("this is no exported identity")]
    Other,
    /// It was made by a newer program.
    #[error("this identity was exported by a newer compeer: import it with that one")]
    Newer,
    /// A character is wrong or missing.
    #[error("this exported identity is damaged: copy the file once more")]
    Damaged,
    /// It does not open.
    #[error("the passphrase is wrong, or the file was changed")]
    Passphrase,
    /// No memory for the work.
    #[error("64 MiB of memory are needed to open or lock a key")]
    Memory,
}

/// Locks an identity.
///
/// # Errors
///
/// [`SealError::Memory`].
pub(crate) fn seal(identity: &Identity, salt: [u8; SALT], passphrase: &str) -> Result<String, SealError> {
    let id = identity.peer_id().to_string();
    let (seed, bound) = (identity.seed(), bound(&id));
    let payload = Payload { msg: seed.as_slice(), aad: &bound };
    let sealed = cipher(passphrase, &salt)?.encrypt(&nonce(), payload).map_err(|_| SealError::Memory)?;
    let body = BASE32_NOPAD.encode(&[&salt[..], &sealed].concat()).to_lowercase();
    Ok(format!(
        "# The key of the Compeer peer {id}, locked with a passphrase.\n\
         # Whoever has both is that peer. `compeer identity import` reads this.\n\
         {FORMAT} {id} {body}\n"
    ))
}

/// Whose identity it is, according to the file: a claim until it is opened.
///
/// # Errors
///
/// It is no exported identity.
pub(crate) fn whose(text: &str) -> Result<PeerId, SealError> {
    parts(text).map(|(id, _)| id)
}

/// Opens what [`seal`] locked.
///
/// # Errors
///
/// [`SealError`].
pub(crate) fn open(text: &str, passphrase: &str) -> Result<Identity, SealError> {
    let (id, body) = parts(text)?;
    let (salt, sealed) = body.split_at_checked(SALT).ok_or(SealError::Damaged)?;
    let bound = bound(&id.to_string());
    let payload = Payload { msg: sealed, aad: &bound };
    let seed = cipher(passphrase, salt)?.decrypt(&nonce(), payload).map_err(|_| SealError::Passphrase)?;
    let seed = Zeroizing::new(seed);
    let seed: Zeroizing<[u8; 32]> =
        Zeroizing::new(seed.as_slice().try_into().map_err(|_| SealError::Damaged)?);
    let identity = Identity::from_seed(&seed);
    if identity.peer_id() == id { Ok(identity) } else { Err(SealError::Damaged) }
}

fn parts(text: &str) -> Result<(PeerId, Vec<u8>), SealError> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let mut words = line.ok_or(SealError::Other)?.split_ascii_whitespace();
    match words.next() {
        Some(FORMAT) => {}
        Some(format) if format.starts_with(ANY_FORMAT) => return Err(SealError::Newer),
        _ => return Err(SealError::Other),
    }
    let id = words.next().and_then(|id| id.parse().ok()).ok_or(SealError::Damaged)?;
    let body = words.next().and_then(|body| BASE32_NOPAD_NOCASE.decode(body.as_bytes()).ok());
    let whole = body.filter(|body| words.next().is_none() && body.len() == SALT + 32 + 16);
    Ok((id, whole.ok_or(SealError::Damaged)?))
}

/// What is locked together with the seed without being secret.
fn bound(id: &str) -> Vec<u8> {
    format!("{FORMAT} {id}").into_bytes()
}

fn cipher(passphrase: &str, salt: &[u8]) -> Result<ChaCha20Poly1305, SealError> {
    let (memory, passes, lanes) = WORK;
    let mut key = Zeroizing::new([0_u8; 32]);
    let params = Params::new(memory, passes, lanes, Some(key.len())).map_err(|_| SealError::Memory)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, key.as_mut_slice())
        .map_err(|_| SealError::Memory)?;
    Ok(ChaCha20Poly1305::new((&*key).into()))
}

/// All zeros: with a fresh salt, every key locks one thing only.
fn nonce() -> Nonce {
    Nonce::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_locked_opens_with_its_passphrase_alone() {
        let identity = Identity::from_seed(&[7; 32]);
        let text = seal(&identity, [9; SALT], "correct horse").unwrap();
        assert_eq!(open(&text, "correct horse").unwrap().peer_id(), identity.peer_id());
        assert_eq!(open(&text, "wrong horse").unwrap_err(), SealError::Passphrase);
        assert_eq!(whose(&text), Ok(identity.peer_id()));
        let line = text.lines().last().unwrap();
        assert!(
            open(&line.to_uppercase().replace("COMPEER-IDENTITY", "compeer-identity"), "correct horse")
                .is_ok()
        );
        // Another id before the same box: it does not open.
        let other = Identity::from_seed(&[8; 32]).peer_id().to_string();
        let swapped = line.replace(&identity.peer_id().to_string(), &other);
        assert_eq!(open(&swapped, "correct horse").unwrap_err(), SealError::Passphrase);
    }

    #[test]
    fn what_is_something_else_says_so() {
        let text = seal(&Identity::from_seed(&[7; 32]), [9; SALT], "correct horse").unwrap();
        for (text, error) in [
            (String::new(), SealError::Other),
            ("# nothing\n".into(), SealError::Other),
            ("compeer-key-1 a b".into(), SealError::Other),
            (text.replace("identity-1", "identity-2"), SealError::Newer),
            (text.trim_end()[..text.len() - 5].to_string(), SealError::Damaged),
            (text.trim_end().to_string() + " x", SealError::Damaged),
        ] {
            assert_eq!(open(&text, "correct horse").unwrap_err(), error, "{text}");
        }
    }

    /// The format of version 1, for all time.
    #[test]
    fn the_format_is_pinned() {
        let text = seal(&Identity::from_seed(&[7; 32]), [9; SALT], "correct horse").unwrap();
        let hash = blake3::hash(text.lines().last().unwrap().as_bytes()).to_hex();
        assert_eq!(hash.as_str(), "4a3a587862acaecac38979f128d3f50be156c91bfd9d0eb074a13541b09d8f68");
    }
}

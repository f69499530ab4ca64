//! Spoken codes: `7-lamp-tiger`, read out by one person to another.
//!
//! The number says which of the offers on a network is meant and is no secret. The two words, of the English list of
//! BIP-39 (2,048 words, no two alike in their first four letters), are 22 bits of secret: too few to be guessed
//! against, many enough when one guess is all there is. So they are the password of SPAKE2 (RFC 9382, in the form of
//! `spake2` 0.4), whose sides learn nothing from each other but whether the codes are the same, and a code is dead at
//! the first wrong guess.
//!
//! Here is what a code is and how people write it, and beneath it the pure part of the meeting: [`message`] (bytes),
//! [`guess`] (the side that was told the code), [`offer`] (the side that made it). What passes between them, and who
//! proves what first, is told in `docs/protocol.md`; the connection is [`meet`](mod@crate::meet)'s affair.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::limits::MAX_CODE_NUMBER;

pub mod guess;
pub mod message;
pub mod offer;
mod proof;
#[cfg(test)]
mod tests;
mod words;

pub use words::complete;

/// A code, as one person reads it out to another.
///
/// ```
/// use compeer_share::Code;
///
/// let code: Code = "7-lamp-tiger".parse()?;
/// assert_eq!(code.number(), 7);
/// assert_eq!("  7 LAMP  tige ".parse::<Code>()?, code); // as people type: case, spaces, four letters
/// let error = "7-lampp-tiger".parse::<Code>().unwrap_err();
/// assert_eq!(error.to_string(), "no code has the word \"lampp\": did you mean \"lamp\"?");
/// assert_eq!(format!("{code:?}"), "Code(7-…)"); // a secret
/// # Ok::<(), compeer_share::CodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code {
    number: u16,
    words: [&'static str; 2],
}

/// Why a text is not a [`Code`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Not a number and two words.
    #[error("a code is a number and two words, such as 7-lamp-tiger")]
    Shape,
    /// The number is none of 1 to 999.
    #[error("the number of a code is 1 to {MAX_CODE_NUMBER}")]
    Number,
    /// A word that is not on the list.
    #[error("no code has the word {:?}{}", .word, Hint(.nearest))]
    Word {
        /// As it was typed, escaped, and cut when it is long.
        word: String,
        /// The word of the list that is most like it.
        nearest: Option<&'static str>,
    },
}

struct Hint<'a>(&'a Option<&'static str>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(word) => write!(f, ": did you mean {word:?}?"),
            None => f.write_str(": listen again"),
        }
    }
}

impl Code {
    /// A code of this number, with words from the system's randomness.
    ///
    /// # Errors
    /// The number is none of 1 to 999, or the system gives no randomness.
    pub fn random(number: u16) -> Result<Code, NoCode> {
        Code::random_of(&[number])
    }

    /// A code of one of these numbers.
    ///
    /// # Errors
    /// There are none, or it is none of 1 to 999, or the system gives no randomness.
    pub fn random_of(numbers: &[u16]) -> Result<Code, NoCode> {
        let mut bytes = [0; 8];
        #[expect(clippy::disallowed_methods, reason = "a secret, which no seed may repeat")]
        getrandom::fill(&mut bytes).map_err(NoCode::Randomness)?;
        let [a, b, c, d, dice @ ..] = bytes;
        let dice = u32::from_le_bytes(dice) as usize;
        let number = dice.checked_rem(numbers.len()).map_or(0, |chosen| numbers[chosen]);
        if !(1..=MAX_CODE_NUMBER).contains(&number) {
            return Err(NoCode::Number);
        }
        // 2,048 divides 65,536: every word is as likely.
        let word = |bytes| words::at(usize::from(u16::from_le_bytes(bytes)));
        Ok(Code { number, words: [word([a, b]), word([c, d])] })
    }

    /// Which offer is meant: 1 to 999, no secret.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The words, which are the secret.
    pub fn words(&self) -> [&'static str; 2] {
        self.words
    }

    /// Whether a text is meant to be a code, right or not: digits, then letters.
    ///
    /// ```
    /// use compeer_share::Code;
    /// assert!(Code::looks_like("7-lampp-tiger") && Code::looks_like("7 lamp"));
    /// assert!(!Code::looks_like("peer7-x") && !Code::looks_like("192.168.1.7") && !Code::looks_like("7"));
    /// ```
    pub fn looks_like(text: &str) -> bool {
        let rest = text.trim().trim_start_matches(|c: char| c.is_ascii_digit());
        let words = rest.trim_start_matches(words::is_separator);
        rest.len() < text.trim().len()
            && words.len() < rest.len()
            && words.starts_with(|c: char| c.is_ascii_alphabetic())
            && words.chars().all(|c| c.is_ascii_alphabetic() || words::is_separator(c))
    }
}

/// Why no code could be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoCode {
    /// The number is none of 1 to 999.
    #[error("the number of a code is 1 to {MAX_CODE_NUMBER}")]
    Number,
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(getrandom::Error),
}

impl FromStr for Code {
    type Err = CodeError;

    /// Reads a code as people write it: `7-lamp-tiger`, `7 Lamp Tiger`, `7-lamp-tige`.
    fn from_str(text: &str) -> Result<Code, CodeError> {
        let mut parts = text.split(words::is_separator).filter(|part| !part.is_empty());
        let number = parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
        let number = number.ok_or(CodeError::Shape)?.parse().unwrap_or(0);
        let (Some(first), Some(second), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(CodeError::Shape);
        };
        if !(1..=MAX_CODE_NUMBER).contains(&number) {
            return Err(CodeError::Number);
        }
        Ok(Code { number, words: [words::read(first)?, words::read(second)?] })
    }
}

/// The code itself: the secret is shown.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.words;
        f.pad(&format!("{}-{first}-{second}", self.number))
    }
}

/// Without the secret.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}-…)", self.number)
    }
}

/// Always the text.
impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

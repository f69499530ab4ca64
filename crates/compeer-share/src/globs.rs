//! Patterns for paths of a share: what to leave out, what to fetch.
//!
//! `*` and `?` stay within a component, `**` crosses them; `[ab]` and `{a,b}` choose, a backslash takes the next
//! character as it is. A pattern fits at any depth, as `photos/raw` fits `2024/photos/raw`; with `/` in front it fits only from
//! the top, with `/` at the end only folders. A folder that fits takes all in it along.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A list of patterns. The empty list fits nothing.
///
/// ```
/// use compeer_share::globs::Globs;
///
/// let globs = Globs::new(&["*.jpg", "raw/", "/notes/*.md"])?;
/// assert!(globs.fit("album/2024/a.jpg") && globs.fit("album/raw/a.cr2") && globs.fit("notes/a.md"));
/// assert!(!globs.fit("album/notes/a.md") && !globs.fit("album/raw") && !globs.fit("a.jpg.txt"));
/// # Ok::<(), compeer_share::globs::GlobError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Globs {
    /// What fits anything, and what fits only folders.
    any: GlobSet,
    folders: GlobSet,
}

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no pattern: {why}", compeer::text::escape(.pattern))]
pub struct GlobError {
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

impl Globs {
    /// Reads patterns.
    ///
    /// # Errors
    /// The first that is none.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Globs, GlobError> {
        let (mut any, mut folders) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let failed =
                |why: &globset::Error| GlobError { pattern: pattern.into(), why: why.kind().to_string() };
            let (text, set) = match pattern.strip_suffix('/') {
                Some(folder) => (folder, &mut folders),
                None => (pattern, &mut any),
            };
            let whole = match text.strip_prefix('/') {
                Some(from_the_top) => from_the_top.to_owned(),
                None => format!("**/{text}"),
            };
            let glob = GlobBuilder::new(&whole).literal_separator(true).build();
            set.add(glob.map_err(|error| failed(&error))?);
        }
        let build = |set: GlobSetBuilder| {
            set.build().map_err(|error| GlobError { pattern: String::new(), why: error.to_string() })
        };
        Ok(Globs { any: build(any)?, folders: build(folders)? })
    }

    /// Whether a file of this path fits, or a folder that it is in.
    pub fn fit(&self, path: &str) -> bool {
        let mut folders = path.match_indices('/').map(|(slash, _)| &path[..slash]);
        self.fit_itself(path, false) || folders.any(|folder| self.fit_itself(folder, true))
    }

    /// Whether this path itself fits.
    pub fn fit_itself(&self, path: &str, is_folder: bool) -> bool {
        self.any.is_match(path) || is_folder && self.folders.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_pattern() {
        // (pattern, what fits, what does not)
        let table: &[(&str, &[&str], &[&str])] = &[
            ("a", &["a", "x/a", "a/x", "x/a/y"], &["ab", "b/ab"]),
            ("*.o", &["x.o", "d/x.o", "d.o/x"], &["x.oo"]),
            ("a/b", &["a/b", "x/a/b", "a/b/c"], &["a/x/b", "xa/b"]),
            ("a/*", &["a/b", "a/b/c", "x/a/b"], &["a", "b"]),
            ("/a", &["a", "a/b"], &["x/a"]),
            ("/a/*.c", &["a/x.c"], &["a/b/x.c", "x/a/x.c"]),
            ("a/", &["a/x", "x/a/y"], &["a", "x/a"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["b"]),
            ("**", &["a", "a/b"], &[]),
            ("{a,b}?", &["ax", "bx"], &["a", "cx"]),
            (r"\*", &["*", "x/*"], &["a"]),
            ("[ab] 가*", &["a 가나", "x/b 가"], &["c 가"]),
            (".*", &[".git/config", "a/.x"], &["a.x"]),
        ];
        for (pattern, fits, not) in table {
            let globs = Globs::new(&[pattern]).unwrap();
            for path in *fits {
                assert!(globs.fit(path), "{pattern} {path}");
            }
            for path in *not {
                assert!(!globs.fit(path), "{pattern} {path}");
            }
        }
        assert!(!Globs::new::<&str>(&[]).unwrap().fit("a"));
        let error = Globs::new(&["fine", "[a\u{1b}"]).unwrap_err().to_string();
        assert!(error.starts_with(r"[a\u{1b} is no pattern: "), "{error}");
    }
}

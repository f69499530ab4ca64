//! Files and folders shared between peers: named by their content, verified before they are
//! written, resumed, and fetched from many at once.
//!
//! An application on the public API of [`compeer`], as a third party could have written it.

pub mod code;
mod content;
pub mod hash;
pub mod journal;
pub mod layout;
pub mod limits;
mod manifest;
pub mod meet;
pub mod names;
pub mod plan;
mod ranges;
pub mod tree;
pub mod wire;

pub use code::{Code, CodeError};
pub use content::{ContentId, ContentIdError};
pub use manifest::{Entry, Manifest, ManifestError};
pub use ranges::{RangeSet, RangesError};

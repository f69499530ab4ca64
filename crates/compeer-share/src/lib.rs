//! Files and folders shared between peers: named by their content, verified before they get
//! their names, resumed, and fetched from many at once.
//!
//! An application on the public API of [`compeer`], as a third party could have written it.

pub mod classic;
pub mod code;
mod content;
mod fetch;
pub mod find;
pub mod globs;
pub mod hash;
mod holding;
pub mod journal;
pub mod layout;
pub mod limits;
mod manifest;
pub mod meet;
pub mod names;
mod pace;
mod places;
pub mod plan;
pub mod providers;
mod ranges;
mod rates;
pub mod record;
mod serve;
mod shares;
pub mod staging;
mod store;
mod transfers;
pub mod tree;
pub mod walk;
pub mod wire;

pub use code::{Code, CodeError};
pub use compeer::ShareTicket;
pub use content::{ContentId, ContentIdError};
pub use fetch::{Fetch, FetchError, FetchEvent, Fetched, Look, Snapshot};
pub use hash::Progress;
pub use holding::{Access, ShareEvent};
pub use manifest::{Entry, Manifest, ManifestError};
pub use ranges::{RangeSet, RangesError};
pub use record::{ProviderRecord, RecordError};
pub use shares::{Offer, OfferError, ShareEvents, ShareId, ShareInfo, Shares, TransferInfo};
pub use store::{Store, StoreError};

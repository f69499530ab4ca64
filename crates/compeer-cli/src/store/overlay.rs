//! The overlay between two runs: whom this peer knew at the end of the last one.
//!
//! They are claims that were true once. All are replaced at a time, and there are few of them: what strangers can
//! make this table hold is bounded by the number that is written.

use super::{Result, Store, peer_id};
use compeer::PeerAddr;
use rusqlite::params;

impl Store {
    /// Whom the last run knew, the latest first.
    pub(crate) fn overlay(&self) -> Result<Vec<PeerAddr>> {
        let connection = self.lock();
        let mut query = connection.prepare("SELECT id, addrs FROM overlay ORDER BY seen DESC, id")?;
        let rows = query.query_map([], |row| {
            let addrs: String = row.get(1)?;
            Ok(PeerAddr::new(peer_id(row, 0)?, addrs.lines().filter_map(|addr| addr.parse().ok())))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Puts these in the place of those that were there, each with the time it was last heard of.
    pub(crate) fn set_overlay(&self, peers: &[(PeerAddr, i64)]) -> Result<()> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute("DELETE FROM overlay", [])?;
        for (PeerAddr { id, addrs, .. }, seen) in peers {
            let addrs: Vec<_> = addrs.iter().map(ToString::to_string).collect();
            transaction.execute(
                "INSERT INTO overlay (id, addrs, seen) VALUES (?1, ?2, ?3)",
                params![id.as_bytes().as_slice(), addrs.join("\n"), seen],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }
}

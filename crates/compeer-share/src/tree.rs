//! The hash tree of one file: BLAKE3 with leaves of 16 KiB, and proofs for parts of it.
//!
//! A *group* is 16 chunks of BLAKE3. Over the groups of a file stands BLAKE3's own binary tree (paper,
//! §2.1: the left child holds the largest power of two that leaves something for the right), so its root is
//! the plain BLAKE3 hash of the file. Each inner node is kept as the two hashes below it, 64 bytes; all of
//! them in pre-order are the *outboard*, the same bytes that the crate `bao-tree` makes (a test compares).
//!
//! To prove a range of groups takes the nodes above it, in pre-order. Unlike in bao's encoding they go
//! first and the data follows in one piece, so that both sides read and write in large pieces; what is
//! verified is the same, group by group, before anything is written (docs/decisions/0015).

use std::ops::Range;

use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes of one group: what is verified, and so what is lost to a bad byte. DESIGN §4.11.
pub const GROUP: u64 = 16 * 1024;

/// Bytes of one inner node.
pub const NODE: u64 = 64;

/// Bytes of a hash.
pub const HASH: u64 = 32;

/// How many groups a file of `size` bytes has; the last may be short.
pub const fn groups(size: u64) -> u64 {
    size.div_ceil(GROUP)
}

/// How many inner nodes stand over `groups` groups.
pub const fn nodes(groups: u64) -> u64 {
    groups.saturating_sub(1)
}

/// Groups under the left child of a node over `groups` (at least 2).
fn left_of(groups: u64) -> u64 {
    groups.div_ceil(2).next_power_of_two()
}

/// The hash of one group, as its parent knows it.
///
/// `index` counts groups from the start of the file, which has `of` in all; with one group only there is no
/// parent, and the hash is the file's.
pub fn group_hash(index: u64, of: u64, data: &[u8]) -> ChainingValue {
    if of <= 1 {
        return *blake3::hash(data).as_bytes();
    }
    Hasher::new().set_input_offset(index * GROUP).update(data).finalize_non_root()
}

/// A proof that does not lead to the root it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hashes do not lead to the root")]
pub struct BadProof;

/// Which inner nodes prove `range`, as runs of their places in pre-order.
pub fn proof_nodes(of: u64, range: &Range<u64>) -> Vec<Range<u64>> {
    let mut runs = Vec::new();
    collect(0..of, 0, range, &mut runs);
    runs
}

fn touches(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

fn collect(under: Range<u64>, place: u64, range: &Range<u64>, runs: &mut Vec<Range<u64>>) {
    let count = under.end - under.start;
    if count < 2 || !touches(&under, range) {
        return;
    }
    if range.start <= under.start && under.end <= range.end {
        // All of it: the nodes of a subtree lie next to each other.
        return push(runs, place..place + nodes(count));
    }
    push(runs, place..place + 1);
    let left = left_of(count);
    let middle = under.start + left;
    collect(under.start..middle, place + 1, range, runs);
    collect(middle..under.end, place + left, range, runs);
}

fn push(runs: &mut Vec<Range<u64>>, run: Range<u64>) {
    match runs.last_mut() {
        Some(last) if last.end == run.start => last.end = run.end,
        _ => runs.push(run),
    }
}

/// Checks the proof of `range` in a file of `of` groups and gives the hash that each group must have.
///
/// `proof` holds the nodes of [`proof_nodes`], one after the other.
///
/// # Errors
/// The proof has another length or does not lead to `root`.
pub fn check_proof(
    root: &[u8; 32],
    of: u64,
    range: &Range<u64>,
    proof: &[u8],
) -> Result<Vec<ChainingValue>, BadProof> {
    let mut check = Check { proof, range, leaves: Vec::new() };
    if range.end > of || range.start >= range.end {
        return Err(BadProof);
    }
    check.node(0..of, root, true)?;
    if !check.proof.is_empty() {
        return Err(BadProof);
    }
    Ok(check.leaves)
}

struct Check<'a> {
    proof: &'a [u8],
    range: &'a Range<u64>,
    leaves: Vec<ChainingValue>,
}

impl Check<'_> {
    fn node(&mut self, under: Range<u64>, hash: &[u8; 32], is_root: bool) -> Result<(), BadProof> {
        if !touches(&under, self.range) {
            return Ok(());
        }
        let count = under.end - under.start;
        if count == 1 {
            self.leaves.push(*hash);
            return Ok(());
        }
        let (node, rest) = self.proof.split_first_chunk::<{ NODE as usize }>().ok_or(BadProof)?;
        self.proof = rest;
        let (left, right) = halves(node);
        if merge(&left, &right, is_root) != *hash {
            return Err(BadProof);
        }
        let middle = under.start + left_of(count);
        self.node(under.start..middle, &left, false)?;
        self.node(middle..under.end, &right, false)
    }
}

fn halves(node: &[u8; NODE as usize]) -> (ChainingValue, ChainingValue) {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.copy_from_slice(&node[..32]);
    right.copy_from_slice(&node[32..]);
    (left, right)
}

fn merge(left: &ChainingValue, right: &ChainingValue, is_root: bool) -> [u8; 32] {
    match is_root {
        true => *merge_subtrees_root(left, right, Mode::Hash).as_bytes(),
        false => merge_subtrees_non_root(left, right, Mode::Hash),
    }
}

/// A subtree that one thread hashes by itself: at most `most` groups (a power of two), and where its nodes lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its groups, counted in the file.
    pub groups: Range<u64>,
    /// The place of its first node.
    pub place: u64,
}

/// Cuts the tree over `of` groups into pieces of at most `most`, in order.
pub fn pieces(of: u64, most: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    cut(0..of, 0, most, &mut pieces);
    pieces
}

fn cut(under: Range<u64>, place: u64, most: u64, pieces: &mut Vec<Piece>) {
    let count = under.end - under.start;
    if count <= most {
        return pieces.push(Piece { groups: under, place });
    }
    let left = left_of(count);
    let middle = under.start + left;
    cut(under.start..middle, place + 1, most, pieces);
    cut(middle..under.end, place + left, most, pieces);
}

/// The hash of a piece and its nodes, by the hashes of its groups (at least one). `is_root`: it is the whole file.
pub fn piece(leaves: &[ChainingValue], is_root: bool) -> (ChainingValue, Vec<u8>) {
    let count = leaves.len() as u64;
    let mut nodes = vec![0; (self::nodes(count) * NODE) as usize];
    let hash = build(leaves, count, 1, is_root, &mut |place, node| {
        let at = (place * NODE) as usize;
        nodes[at..at + NODE as usize].copy_from_slice(node);
    });
    (hash, nodes)
}

/// Builds the tree over the hashes below it. `leaves` are the hashes of groups, or of pieces when `most` (the
/// groups of a full piece) is more than 1; the nodes above them are given to `put` with their places. Gives
/// the hash of the whole: the file's when `is_root`.
///
/// `of` counts groups. Needs at least one leaf.
pub fn build(
    leaves: &[ChainingValue],
    of: u64,
    most: u64,
    is_root: bool,
    put: &mut impl FnMut(u64, &[u8; NODE as usize]),
) -> [u8; 32] {
    let mut leaves = leaves.iter();
    over(&mut leaves, of, 0, most, is_root, put)
}

fn over(
    leaves: &mut std::slice::Iter<'_, ChainingValue>,
    count: u64,
    place: u64,
    most: u64,
    is_root: bool,
    put: &mut impl FnMut(u64, &[u8; NODE as usize]),
) -> [u8; 32] {
    if count <= most {
        return leaves.next().copied().unwrap_or_default();
    }
    let left_count = left_of(count);
    let left = over(leaves, left_count, place + 1, most, false, put);
    let right = over(leaves, count - left_count, place + left_count, most, false, put);
    let mut node = [0; NODE as usize];
    node[..32].copy_from_slice(&left);
    node[32..].copy_from_slice(&right);
    put(place, &node);
    merge(&left, &right, is_root)
}

#[cfg(test)]
mod tests;

//! The tree against `blake3` itself and against `bao-tree`, at sizes around every border. A proof is
//! tampered with bit by bit in places that matter; a data group that does not fit its hash is the
//! caller's to notice and tested where it is received.

use super::*;
use bao_tree::BlockSize;
use bao_tree::io::outboard::PreOrderMemOutboard;

fn data(size: u64) -> Vec<u8> {
    (0..size).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn tree_of(data: &[u8], most: u64) -> ([u8; 32], Vec<u8>) {
    let of = groups(data.len() as u64);
    if of == 0 {
        return (*blake3::hash(b"").as_bytes(), Vec::new());
    }
    let mut outboard = vec![0; (nodes(of) * NODE) as usize];
    let hash = |i: u64| {
        let start = (i * GROUP) as usize;
        group_hash(i, of, &data[start..data.len().min(start + GROUP as usize)])
    };
    let mut hashes = Vec::new();
    for piece in pieces(of, most) {
        let leaves: Vec<_> = piece.groups.clone().map(hash).collect();
        let count = piece.groups.end - piece.groups.start;
        let mut put = |place: u64, node: &[u8; 64]| {
            let at = ((piece.place + place) * NODE) as usize;
            outboard[at..at + 64].copy_from_slice(node);
        };
        hashes.push(build(&leaves, count, 1, of == count, &mut put));
    }
    let root = build(&hashes, of, most, true, &mut |place, node| {
        let at = (place * NODE) as usize;
        outboard[at..at + 64].copy_from_slice(node);
    });
    (root, outboard)
}

fn sizes() -> Vec<u64> {
    let mut sizes = vec![0, 1, 1023, 1024, 1025];
    for groups in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33] {
        sizes.extend([groups * GROUP - 1, groups * GROUP, groups * GROUP + 1]);
    }
    sizes
}

#[test]
fn the_root_is_blake3_and_the_outboard_is_that_of_bao_tree() {
    for size in sizes() {
        let data = data(size);
        let theirs = PreOrderMemOutboard::create(&data, BlockSize::from_chunk_log(4));
        for most in [1, 2, 4, 8, 1024] {
            let (root, outboard) = tree_of(&data, most);
            assert_eq!(root, *blake3::hash(&data).as_bytes(), "{size} in pieces of {most}");
            assert_eq!(outboard, theirs.data, "{size} in pieces of {most}");
        }
    }
}

#[test]
fn every_range_is_proven_and_no_bit_of_a_proof_may_change() {
    for size in sizes().into_iter().filter(|size| *size > 0) {
        let data = data(size);
        let (root, outboard) = tree_of(&data, 1);
        let of = groups(size);
        for start in 0..of {
            for end in [start + 1, start + 2, start + 5, of] {
                if end > of {
                    continue;
                }
                let proof: Vec<u8> = proof_nodes(of, &(start..end))
                    .into_iter()
                    .flat_map(|run| outboard[(run.start * NODE) as usize..(run.end * NODE) as usize].to_vec())
                    .collect();
                let hashes = check_proof(&root, of, &(start..end), &proof).unwrap();
                for (i, hash) in (start..end).zip(&hashes) {
                    let at = (i * GROUP) as usize;
                    assert_eq!(group_hash(i, of, &data[at..data.len().min(at + GROUP as usize)]), *hash);
                }
                assert_eq!(hashes.len() as u64, end - start);
                for byte in 0..proof.len() {
                    let mut bad = proof.clone();
                    bad[byte] ^= 1;
                    assert_eq!(check_proof(&root, of, &(start..end), &bad), Err(BadProof));
                }
                let mut long = proof.clone();
                long.push(0);
                assert_eq!(check_proof(&root, of, &(start..end), &long), Err(BadProof));
                if !proof.is_empty() {
                    assert!(check_proof(&root, of, &(start..end), &proof[1..]).is_err());
                }
            }
        }
    }
}

#[test]
fn ranges_that_are_none_are_refused() {
    let root = [0; 32];
    for range in [3..3, 4..5, 0..5] {
        assert_eq!(check_proof(&root, 4, &range, &[]), Err(BadProof));
    }
}

/// 2^34 groups are 256 TiB; nothing here may take time or space for the groups it does not touch.
#[test]
fn a_giant_is_no_work() {
    let of = 1 << 34;
    let runs = proof_nodes(of, &(of - 65..of - 1));
    let count: u64 = runs.iter().map(|run| run.end - run.start).sum();
    assert!((63..200).contains(&count), "{count}");
}

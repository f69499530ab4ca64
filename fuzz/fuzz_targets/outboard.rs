//! Any bytes as a proof: only the right ones lead to the root.
#![no_main]
use compeer_share::tree::{GROUP, build, check_proof, group_hash, proof_nodes};

libfuzzer_sys::fuzz_target!(|input: (u8, u8, u8, Vec<u8>)| {
    let (of, start, count, proof) = (1 + u64::from(input.0), u64::from(input.1), u64::from(input.2), input.3);
    let leaves: Vec<_> = (0..of).map(|i| group_hash(i, of, &[i as u8; GROUP as usize])).collect();
    let mut nodes = vec![[0; 64]; of as usize - 1];
    let root = build(&leaves, of, 1, true, &mut |place, node| nodes[place as usize] = *node);
    let root = if of == 1 { leaves[0] } else { root };
    let range = start..start + count;
    let right: Vec<u8> = proof_nodes(of, &range)
        .into_iter()
        .flat_map(|run| nodes[run.start as usize..run.end as usize].concat())
        .collect();
    for proof in [&proof, &right] {
        let checked = check_proof(&root, of, &range, proof);
        let fits = *proof == right && count > 0 && range.end <= of;
        assert_eq!(checked.is_ok(), fits);
        assert!(checked.is_err() || checked.unwrap() == leaves[start as usize..(start + count) as usize]);
    }
});

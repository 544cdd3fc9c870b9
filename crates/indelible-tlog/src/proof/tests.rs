use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The published vectors, beside the repository; the project passes without them.
fn vectors(kind: &str) -> Vec<(PathBuf, Value)> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/merkle").join(kind);
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "json") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, serde_json::from_str(&text).unwrap()));
            }
        }
    }
    found
}

fn number(case: &Value, name: &str) -> u64 {
    case[name].as_u64().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    crate::base64::decode(value.as_str().unwrap_or_default()).unwrap()
}

fn proof(case: &Value) -> Vec<Vec<u8>> {
    case["proof"].as_array().into_iter().flatten().map(bytes).collect()
}

/// Runs every vector of one kind; says so when there are none beside this checkout.
#[expect(clippy::print_stderr, reason = "a test says when its data is absent")]
fn check(kind: &str, count: usize, verify: impl Fn(&Value) -> Result<(), ProofError>) {
    let cases = vectors(kind);
    if cases.is_empty() {
        eprintln!(
            "../shared/vectors/merkle/{kind} is absent: only the vectors in this repository were run"
        );
        return;
    }
    assert_eq!(cases.len(), count, "{kind}");
    for (path, case) in cases {
        let refused = verify(&case).is_err();
        assert_eq!(refused, case["wantErr"].as_bool().unwrap(), "{}", path.display());
    }
}

#[test]
fn published_inclusion_vectors() {
    check("inclusion", 98, |case| {
        verify_inclusion(
            &bytes(&case["leafHash"]),
            number(case, "leafIdx"),
            number(case, "treeSize"),
            &proof(case),
            &bytes(&case["root"]),
        )
    });
}

#[test]
fn published_consistency_vectors() {
    check("consistency", 98, |case| {
        verify_consistency(
            number(case, "size1"),
            number(case, "size2"),
            &proof(case),
            &bytes(&case["root1"]),
            &bytes(&case["root2"]),
        )
    });
}

#[test]
fn published_subtree_inclusion_vectors() {
    check("subtreeinclusion", 204, |case| {
        verify_subtree_inclusion(
            &bytes(&case["leafHash"]),
            number(case, "leafIdx"),
            number(case, "start"),
            number(case, "end"),
            &proof(case),
            &bytes(&case["root"]),
        )
    });
}

#[test]
fn published_subtree_consistency_vectors() {
    check("subtreeconsistency", 118, |case| {
        verify_subtree_consistency(
            number(case, "start"),
            number(case, "end"),
            number(case, "size"),
            &proof(case),
            &bytes(&case["root1"]),
            &bytes(&case["root2"]),
        )
    });
}

proptest! {
    #[test]
    fn arbitrary_input_never_panics(leaf: Vec<u8>, a: u64, b: u64, c: u64, proof: Vec<Vec<u8>>, root: Vec<u8>) {
        // Random hashes prove nothing, whatever the position.
        let trivial = proof.is_empty() && (leaf == root || leaf == EMPTY_ROOT.as_ref());
        prop_assert!(verify_inclusion(&leaf, a, b, &proof, &root).is_err() || trivial);
        prop_assert!(verify_consistency(a, b, &proof, &leaf, &root).is_err() || trivial);
        prop_assert!(verify_subtree_consistency(a, b, c, &proof, &leaf, &root).is_err() || trivial);
        prop_assert!(verify_subtree_inclusion(&leaf, a, b, c, &proof, &root).is_err() || trivial);
    }
}

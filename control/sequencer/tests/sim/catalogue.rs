//! Every entry of the catalogue (`docs/protocol.md`, section 3) has a test that fails without its rule: a bug that is
//! planted in the simulation ([`crate::plants`], [`crate::planted`]), or a test elsewhere, where the rule lies in what the
//! simulation has no part of.
//!
//! | entry | why no bug can be planted here | its test |
//! |---|---|---|
//! | F19 | ejection is Envoy's, and the budget for fail-over the filter's read machine's over real time | `a_write_cluster_is_never_ejected`, `fail_over_from_slow_nodes_ends_with_the_reserve` |
//! | F28 | clients' keys are control's and the nodes' own: here every client may do everything | `a_write_is_authorised_before_anything_else`, `two_nodes_that_forbid_are_right` |
//! | F34 | what is slow is not wrong: the largest world here has five nodes | `a_thousand_nodes_join_and_leave_with_little_movement` |
//! | F36 | model nodes compute nothing: vectors are the digests' affair | `only_a_clients_own_vectors_count_to_the_digit` |

use std::collections::BTreeSet;
use std::path::Path;

use crate::plants::PLANTS;

/// Bugs with tests of their own, in this directory.
const APART: [(u8, &str); 5] = [
    (3, "fn tasks_that_nobody_audits_are_found"),
    (7, "fn a_filter_that_reads_before_control_knows_it_is_found"),
    (15, "fn a_store_without_the_fence_of_the_lease_is_found"),
    (16, "fn numbers_that_are_given_twice_are_found"),
    (33, "fn totals_of_whole_nodes_are_found"),
];

/// What is tested elsewhere, by entry: the file or directory, from the workspace on, and the test.
const ELSEWHERE: [(u8, &str, &str); 8] = [
    (19, "control/src/xds/clusters.rs", "a_write_cluster_is_never_ejected"),
    (19, "core/src/read/tests/failover.rs", "fail_over_from_slow_nodes_ends_with_the_reserve"),
    (28, "control/src/api/tests.rs", "a_write_is_authorised_before_anything_else"),
    (28, "core/src/read/tests/denials.rs", "two_nodes_that_forbid_are_right"),
    (34, "core/src/placement", "a_thousand_nodes_join_and_leave_with_little_movement"),
    (39, "core/src/read/tests/entry.rs", "a_document_that_does_not_belong_where_it_lies_is_none"),
    (
        39,
        "control/sequencer/tests/stories/outsiders.rs",
        "what_has_another_tag_than_its_keys_is_never_copied_whoever_is_senior",
    ),
    (36, "control/src/node/copy/stored.rs", "only_a_clients_own_vectors_count_to_the_digit"),
];

/// The text of a file, or of all files below a directory.
fn source(path: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(path) else {
        return std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    };
    entries.map(|entry| source(&entry.expect("an entry of a directory").path())).collect()
}

#[test]
fn every_entry_of_the_catalogue_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| source(&root.join(path));
    let protocol = read("docs/protocol.md");
    let entries = protocol.lines().filter_map(|line| line.strip_prefix("**F")?.split_once(' ')?.0.parse::<u8>().ok());
    let entries: BTreeSet<u8> = entries.collect();
    assert_eq!((entries.first(), entries.len()), (Some(&1), 39), "{entries:?}");
    for (entry, path, name) in ELSEWHERE {
        assert!(read(path).contains(&format!("fn {name}(")), "F{entry}: there is no {name} in {path}");
    }
    let here = read("control/sequencer/tests/sim/planted.rs");
    for (entry, name) in APART {
        assert!(here.contains(name), "F{entry}: there is no {name}");
    }
    let planted = PLANTS.iter().flat_map(|plant| plant.entries).chain(APART.iter().map(|(entry, _)| entry));
    let tested: BTreeSet<u8> = planted.chain(ELSEWHERE.iter().map(|(entry, ..)| entry)).copied().collect();
    assert_eq!(entries, tested);
}

//! The bugs that are planted, each with the world in which it shows. A bug is one rule switched off
//! ([`miroir_sequencer::planted`]).

use miroir_sequencer::planted::Planted;

use crate::swarm::Swarm;

/// A bug, and where to look for it.
#[derive(Clone, Copy)]
pub struct Plant {
    /// Name of its test.
    pub name: &'static str,
    /// The catalogue's entries (protocol, section 3) that come back with it.
    pub entries: &'static [u8],
    pub planted: fn() -> Planted,
    /// Other rules that would make it good again, switched off so that this one stands alone: a world that breaks
    /// without them breaks on their account, and does not count.
    pub beside: fn() -> Planted,
    pub mixture: fn(u64) -> Swarm,
}

/// `test: [entries], { rule } beside { rules }, mixture;`
macro_rules! plants {
    ($($name:ident: [$($entry:literal),*], { $($rule:ident)* } $(beside { $($beside:ident)* })?, $mixture:expr;)*) => {
        /// All of them.
        pub const PLANTS: &[Plant] = &[$(Plant {
            name: stringify!($name),
            entries: &[$($entry),*],
            planted: || Planted { $($rule: true,)* $($($beside: true,)*)? ..Planted::default() },
            beside: || Planted { $($($beside: true,)*)? ..Planted::default() },
            mixture: $mixture,
        }),*];

        $(#[test]
        fn $name() {
            crate::planted::find(stringify!($name));
        })*
    };
}

/// Delays, lost messages, stopped and killed processes.
pub fn rough(seed: u64, kinds: &[&'static str]) -> Swarm {
    let mut swarm = Swarm::calm();
    (swarm.drop, swarm.slow, swarm.client_leaves) = (10 + seed % 20, 40 + seed % 40, 100);
    swarm.pause = 1_500;
    swarm.kinds = kinds.to_vec();
    swarm
}

/// Moves and repair under load: copies go stale, keys are few and touched all the time.
pub fn restless(seed: u64, kinds: &[&'static str]) -> Swarm {
    Swarm { writes: 60, pause: 700, drop: 0, slow: seed % 20, kinds: kinds.to_vec(), ..Swarm::calm() }
}

plants! {
    resolving_without_a_fence_is_found: [1, 2], { resolve_without_fence },
        |seed| rough(seed, &["stop-vm", "kill-vm", "stop-node"]);
    late_delivery_after_a_commit_with_errors_is_found: [1], { unknown_stays_in_sync },
        |seed| rough(seed, &["stop-node"]);
    a_fence_without_quiet_is_found: [1], { no_quiet },
        |seed| rough(seed, &["kill-vm", "stop-vm", "stop-node", "kill-control"]);
    the_deletion_of_a_copy_that_is_still_read_is_found: [6], { deletes_before_adoption },
        |seed| restless(seed, &["move", "cut", "stop-vm"]);
    a_silent_filter_taken_for_gone_is_found: [6], { silence_is_gone },
        |seed| restless(seed, &["move", "cut", "stop-vm"]);
    an_acknowledged_map_taken_as_adopted_is_found: [6, 7], { adoption_ignored },
        |_| Swarm { writes: 60, pause: 1_000, kinds: vec!["cut", "stop-node", "operation"], ..Swarm::calm() };
    a_stale_last_copy_is_found: [8], { last_copy_made_stale },
        |seed| rough(seed, &["kill-node", "stop-node", "wipe-node"]);
    an_unnoticed_restored_snapshot_is_found: [9], { witness_off },
        |seed| rough(seed, &["restore-node", "wipe-node"]);
    a_disk_that_is_not_known_when_it_comes_back_late_is_found: [9], { away_disk_forgotten },
        |seed| rough(seed, &["late-disk"]);
    documents_left_over_of_shards_without_a_copy_are_found: [9], { leftovers_stay },
        |seed| Swarm { reads: false, ..restless(seed, &["move", "restore-node"]) };
    a_source_with_another_disk_is_found: [9], { source_unconfirmed },
        |seed| Swarm { reads: false, pause: 300, ..restless(seed, &["move", "move", "quick-restore"]) };
    outcome_by_error_code_is_found: [10], { outcome_by_error_code },
        |_| Swarm { task_fault: 60, ..Swarm::calm() };
    a_missing_count_check_is_found: [11], { count_check_off },
        |_| Swarm { hollow: 60, ..Swarm::calm() };
    // AUDIT would find the second task on its own. An answer that is lost makes the second send.
    a_blind_resend_of_an_index_operation_is_found: [13], { blind_resend } beside { audit_off },
        |seed| Swarm { drop: 50, ..rough(seed, &["swap", "operation"]) };
    the_deletion_of_tasks_that_are_not_resolved_is_found: [14], { prunes_unresolved },
        |_| Swarm { writes: 60, ..Swarm::calm() };
    owners_from_the_filters_map_are_found: [17], { owners_from_map },
        |seed| rough(seed, &["kill-node", "stop-node"]);
    // The comparison that follows would make it good again.
    a_page_with_a_touched_key_is_found: [20, 21], { page_keeps_touched } beside { flip_without_compare },
        |seed| Swarm { writes: 300, rest: 200, pause: 400, ..restless(seed, &["move", "move", "stop-one"]) };
    a_flip_without_a_comparison_is_found: [21], { flip_without_compare },
        |seed| restless(seed, &["move", "kill-node", "stop-node"]);
    keys_skipped_by_an_offset_are_found: [21], { skips_keys } beside { flip_without_compare },
        |seed| restless(seed, &["move", "wipe-node"]);
    // A document has to be updated while it is on its way: most writes are updates here.
    a_partial_update_taken_for_a_whole_document_is_found: [21], { update_makes_clean },
        |seed| Swarm { updates: 10, ..restless(seed, &["move", "wipe-node", "kill-node"]) };
    a_stale_source_is_found: [22], { stale_source },
        |seed| Swarm { hollow: 60, ..restless(seed, &["move", "kill-node", "stop-node", "hollow"]) };
    a_junior_copy_that_wins_is_found: [25], { junior_wins }, Swarm::only_drift;
    a_version_that_is_dropped_before_it_is_written_down_is_found: [25], { drift_unwritten }, Swarm::only_drift;
    documents_that_belong_to_no_copy_are_found: [39], { outsiders_ignored }, Swarm::only_drift;
    a_filter_that_vanishes_in_vain_is_found: [4], { abandon_ignored },
        |_| Swarm { kinds: vec!["kill-vm"], pause: 1_500, ..Swarm::calm() };
    an_attempt_that_is_given_up_in_vain_is_found: [5], { abort_ignored },
        |seed| rough(seed, &["kill-vm", "stop-vm"]);
    a_cancellation_that_nobody_compares_is_found: [12], { canceled_uncompared },
        |seed| Swarm { slow: seed % 20, pause: 400, kinds: vec!["cancel"], ..Swarm::calm() };
    keys_that_outlive_their_leader_are_found: [15], { keys_inherited },
        |seed| rough(seed, &["depose", "move"]);
    an_unknown_outcome_taken_as_a_miss_is_found: [18], { unknown_is_missed },
        |_| Swarm { breaks: 100, fatal: 0, ..Swarm::calm() };
    a_deletion_that_meets_the_copy_that_came_back_is_found: [23], { deletion_forgotten },
        |seed| restless(seed, &["move"]);
    // The comparison that follows would make it good again.
    a_page_of_another_life_is_found: [24], { lives_confused } beside { flip_without_compare },
        |seed| Swarm { writes: 100, rest: 600, pause: 500, ..restless(seed, &["move", "move", "move", "recreate"]) };
    nodes_that_are_not_read_while_settings_change_are_found: [26], { changing_unread },
        |_| Swarm { kinds: vec!["operation"], ..Swarm::calm() };
    a_swap_that_nobody_announces_is_found: [27], { swap_unannounced },
        |_| Swarm { writes: 30, kinds: vec!["swap"], ..Swarm::calm() };
    the_only_copy_of_a_write_given_up_is_found: [8, 29], { only_copy_given_up },
        |seed| Swarm { writes: 120, rest: 300, ..rough(seed, &["stop-node", "stop-node", "kill-vm", "kill-vm"]) };
    a_key_that_is_a_fact_too_early_is_found: [31], { reservation_is_fact },
        |_| Swarm { rivals: true, task_fault: 300, kinds: vec!["recreate"], ..Swarm::calm() };
    a_look_at_indexes_ahead_of_their_changes_is_found: [38], { looks_at_once },
        |_| Swarm { kinds: vec!["foreign-settings"], ..Swarm::calm() };
    a_task_of_somebody_taken_for_a_step_is_found: [13], { likeness_trusted },
        |seed| Swarm { drop: 50, ..rough(seed, &["foreign-settings", "operation"]) };
    a_replacement_that_meets_its_making_in_a_batch_is_found: [37], { batches_undivided },
        |_| Swarm { batch: 4, skips: 500, rest: 300, ..Swarm::calm() };
    a_ticket_that_overtakes_is_found: [32], { overtakes }, |_| Swarm::calm();
    a_node_that_hangs_and_is_waited_for_is_found: [35], { soft_limit_off },
        |_| Swarm { prompt: true, writes: 60, kinds: vec!["stop-one"], ..Swarm::calm() };
    idempotency_that_forgets_is_found: [30], { idempotency_off }, |_| Swarm::calm();
}

//! Rules that can be switched off, one by one, so that the simulation can show that it would notice. Never set outside
//! of tests.

/// Each field switches one rule off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    /// A ticket is resolved after one probe, without a fence (F1, F2).
    pub resolve_without_fence: bool,
    /// A part whose outcome is unknown is taken as absent and its copy stays in sync (late delivery, F1).
    pub unknown_stays_in_sync: bool,
    /// A replica is judged by the error's code: a fault of the request never makes it stale (F10).
    pub outcome_by_error_code: bool,
    /// The counts of finished tasks are not compared (F11).
    pub count_check_off: bool,
    /// The last in-sync copy may be made stale (F8).
    pub last_copy_made_stale: bool,
    /// Writes go to the owners of the table, stale or not (F17: owners from a filter's map).
    pub owners_from_map: bool,
    /// A restored or emptied disk is not noticed (F9).
    pub witness_off: bool,
    /// A disk with last copies is not known again when it comes back late (F9).
    pub away_disk_forgotten: bool,
    /// Documents of shards of which a node has no copy are left on disks that come from elsewhere.
    pub leftovers_stay: bool,
    /// A task is shown as succeeded before the live VMs have adopted the epoch (F6, F7).
    pub adoption_ignored: bool,
    /// Late, repeated and foreign tasks are ignored (F3).
    pub audit_off: bool,
    /// An index operation with unknown outcome is sent again without looking (F13).
    pub blind_resend: bool,
    /// The tasks are read right after the keys were replaced (F1's `quiet`).
    pub no_quiet: bool,
    /// A page is written with the keys that a ticket touched since it was read (F20, F21).
    pub page_keeps_touched: bool,
    /// A copy is taken for equal as soon as its pages are written, without a comparison.
    pub flip_without_compare: bool,
    /// A retiring copy is deleted before the VMs have adopted the map without it (F6).
    pub deletes_before_adoption: bool,
    /// A filter that has fallen silent is taken for gone (F6).
    pub silence_is_gone: bool,
    /// A copy that has become stale goes on being read as a source (F22).
    pub stale_source: bool,
    /// A copy is made from a source without looking whether that still has the disk that was meant (F9).
    pub source_unconfirmed: bool,
    /// Documents are read by offset: one is skipped.
    pub skips_keys: bool,
    /// A partial update of a document that the copy does not have yet counts as the whole document (F21).
    pub update_makes_clean: bool,
    /// Tasks are deleted on nodes although something rests on them (F14).
    pub prunes_unresolved: bool,
    /// Of two copies that differ without a known reason, the one that has been in sync for less long wins (F25).
    pub junior_wins: bool,
    /// A version is dropped before it has been written down (F25).
    pub drift_unwritten: bool,
    /// Nobody looks for documents that belong to none of their node's copies (F39).
    pub outsiders_ignored: bool,
    /// A repeated idempotency key makes another ticket (F30).
    pub idempotency_off: bool,
    /// A filter that vanishes after a grant says so in vain: its locks are held until the deadline (F4).
    pub abandon_ignored: bool,
    /// An attempt that is given up is granted all the same, and holds its locks until the deadline (F5).
    pub abort_ignored: bool,
    /// A replica whose part was canceled is not compared with the others (F12).
    pub canceled_uncompared: bool,
    /// A new leader goes on with the keys that the one before it made (F15).
    pub keys_inherited: bool,
    /// Numbers go by the store alone, whatever nodes show (F16).
    pub numbers_from_store: bool,
    /// A part whose outcome is unknown is missed: nobody looks for it, and nothing is sent again (F18).
    pub unknown_is_missed: bool,
    /// A copy is filled while the deletion of the one before it is under way (F23).
    pub deletion_forgotten: bool,
    /// A sync takes no notice that its indexes are deleted and made again (F24).
    pub lives_confused: bool,
    /// A node that has not carried out a settings change yet is not read (F26).
    pub changing_unread: bool,
    /// Nodes swap indexes while filters go on reading them (F27).
    pub swap_unannounced: bool,
    /// A write that only copies out of reach may have is given up (F29).
    pub only_copy_given_up: bool,
    /// A primary key that an open write brings is a fact at once (F31).
    pub reservation_is_fact: bool,
    /// A task that looks like a step whose outcome is unknown is the step (F13).
    pub likeness_trusted: bool,
    /// A node's indexes are looked at while changes of them are in its queue.
    pub looks_at_once: bool,
    /// A replacement that makes nothing may be done in one batch with what is in the nodes' queues.
    pub batches_undivided: bool,
    /// A ticket does not wait for those before it (F32).
    pub overtakes: bool,
    /// Filters wait for every replica, however long it takes (F35).
    pub soft_limit_off: bool,
}

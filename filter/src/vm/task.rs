//! What a request is gathered for.

use miroir_core::route::{Matched, ReadOp, Serve};
use miroir_core::wire::WriteKind;
use miroir_core::write::WriteHead;

/// What is done once a request is complete.
pub(super) enum Task {
    Read(Matched),
    Write(WriteHead),
}

impl Task {
    /// Short name, for statistics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Read(matched) => match matched.rule.serve {
                Serve::Read(ReadOp::Search) => "search",
                Serve::Read(ReadOp::FacetSearch) => "facet_search",
                Serve::Read(ReadOp::Fields) => "fields",
                Serve::Read(ReadOp::Documents) => "documents",
                Serve::Read(ReadOp::Document) => "document",
                Serve::Read(ReadOp::MultiSearch) => "multi_search",
                Serve::Read(ReadOp::Health) => "health",
                _ => "other",
            },
            Self::Write(head) => match head.kind {
                WriteKind::Replace => "replace",
                WriteKind::Update => "update",
                WriteKind::DeleteOne => "delete_one",
                WriteKind::DeleteBatch => "delete_batch",
                WriteKind::DeleteByFilter => "delete_by_filter",
                WriteKind::DeleteAll => "delete_all",
                WriteKind::Edit => "edit",
            },
        }
    }
}

//! The rules one by one, each as a short story.

mod begins;
mod desk;
mod disks;
mod doubles;
mod edits;
mod fake_node;
mod jobs;
mod loss;
mod nodes;
mod numbers;
mod outsiders;
mod prune;
mod queue;
mod repair;
mod retire;
mod scrub;
mod settings;
mod tagging;
mod tasks;
mod versions;

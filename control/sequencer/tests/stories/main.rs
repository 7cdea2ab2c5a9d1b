//! The rules one by one, each as a short story.

mod begins;
mod desk;
mod nodes;
mod tasks;

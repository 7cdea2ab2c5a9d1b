//! Orders writes over the replicas, sans I/O.

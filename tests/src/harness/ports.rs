//! Free TCP ports of 127.0.0.1.

use std::net::TcpListener;

/// As many free ports, all different.
///
/// # Errors
/// When the machine has none left.
pub fn free(count: usize) -> std::io::Result<Vec<u16>> {
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

//! A host that nothing reaches: connections to its address are neither accepted nor refused.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::ensure;
use tokio::net::TcpSocket;

/// Holds an address in silence until it is dropped.
#[derive(Debug)]
pub struct Unreachable {
    _listener: TcpListener,
    /// Fill the queue of the listener, which accepts nobody: the kernel drops whatever comes after them.
    _waiting: Vec<TcpStream>,
}

impl Unreachable {
    /// Takes the address, which nobody else may have.
    ///
    /// # Errors
    /// When somebody has it, or connections still come through.
    pub fn hold(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(1)?.into_std()?;
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
            ensure!(waiting.len() < 16, "{address} can still be reached");
        }
        Ok(Self { _listener: listener, _waiting: waiting })
    }
}

//! A Redis of its own for a test: Debian's `redis-server`, on a free port, without files.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::RedisLocation;

/// A running server; ends with the value.
pub(crate) struct Server {
    process: Mutex<Child>,
    port: u16,
}

impl Server {
    /// Starts one, and waits until it answers.
    pub(crate) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]);
        let process = command.stdout(Stdio::null()).spawn();
        let server = Self {
            process: Mutex::new(process.expect("these tests need redis-server (Debian's package of that name)")),
            port,
        };
        let limit = Instant::now() + Duration::from_secs(30);
        while server.ask(&mut redis::cmd("PING")).is_err() {
            assert!(Instant::now() < limit, "redis-server does not answer");
            std::thread::yield_now();
        }
        server
    }

    /// Its location for a cluster of this name, with a short lease.
    pub(crate) fn location(&self, prefix: &str) -> RedisLocation {
        let url = format!("redis://127.0.0.1:{}", self.port);
        RedisLocation { url, password: None, prefix: prefix.to_owned(), lease_ms: 2_000 }
    }

    /// As if the time of the lease had run out.
    pub(crate) async fn drop_lease(&self, prefix: &str) {
        self.ask(redis::cmd("DEL").arg(format!("{{{prefix}}}:leader"))).unwrap();
    }

    /// Sets a key.
    pub(crate) async fn set(&self, key: &str, value: &str) {
        self.ask(redis::cmd("SET").arg(key).arg(value)).unwrap();
    }

    /// Kills it.
    pub(crate) fn stop(&self) {
        let mut process = self.process.lock().unwrap();
        let _ = process.kill();
        let _ = process.wait();
    }

    fn ask(&self, command: &mut redis::Cmd) -> redis::RedisResult<()> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        command.exec(&mut client.get_connection_with_timeout(Duration::from_secs(2))?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

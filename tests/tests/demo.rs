//! The demo as users run it: a directory that is kept, signals, and runs that were killed. Nothing is fetched: the
//! cluster is empty.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use miroir_e2e::harness::cluster::Description;
use miroir_e2e::harness::{ports, process};
use miroir_e2e::{Client, turn, until};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(90);

struct Demo {
    child: Child,
    said: PathBuf,
    url: String,
}

impl Demo {
    /// Starts it with these flags; temporary directories are made in `home`.
    fn start(home: &Path, port: u16, flags: &[&str]) -> Self {
        let said = home.join("said");
        let listen = format!("127.0.0.1:{port}");
        let child = Command::new(env!("CARGO_BIN_EXE_demo"))
            .args(["--empty", "--shards", "16", "--listen", &listen])
            .args(flags)
            .env("TMPDIR", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        Self { child, said, url: format!("http://{listen}") }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has said this.
    async fn says(&mut self, text: &str) {
        let what = format!("the demo to say {text:?}");
        until(&what, LIMIT, || {
            let found = self.said().contains(text);
            assert!(found || self.child.try_wait().unwrap().is_none(), "it ended: {}", self.said());
            async move { found.then_some(()) }
        })
        .await
        .unwrap();
    }

    /// Sends a signal and waits for the end; the exit code.
    async fn ends_by(&mut self, signal: &str) -> Option<i32> {
        process::signal(self.child.id(), signal).unwrap();
        self.ends().await
    }

    async fn ends(&mut self) -> Option<i32> {
        let ended = until("the demo to end", LIMIT, || {
            let ended = self.child.try_wait().unwrap();
            async move { ended }
        });
        ended.await.unwrap().code()
    }

    fn client(&self) -> Client {
        Client::new(&self.url, Some("miroir-demo-master-key"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processes that have this text in their command line.
fn processes(text: &str) -> Vec<String> {
    let commands = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).replace('\0', " "))
    });
    commands.filter(|command| command.contains(text)).collect()
}

#[tokio::test]
async fn a_signal_while_it_starts_leaves_nothing_behind() {
    let _turn = turn().await;
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let home = tempfile::tempdir().unwrap();
        let inside = home.path().to_str().unwrap();
        let mut demo = Demo::start(home.path(), ports::free(1).unwrap()[0], &["--once"]);
        until("the nodes to be started", LIMIT, || async { (processes(inside).len() >= 3).then_some(()) })
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", demo.said()));
        assert_eq!(demo.ends_by(signal).await, Some(code), "{}", demo.said());
        assert_eq!(processes(inside), [""; 0]);
        let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["said"]);
    }
}

#[tokio::test]
async fn a_kept_directory_comes_back_as_it_was() {
    let _turn = turn().await;
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let port = ports::free(1).unwrap()[0];
    let keep = ["--data-dir", data.to_str().unwrap()];
    let mut demo = Demo::start(home.path(), port, &keep);
    demo.says("up until Ctrl-C").await;
    assert!(demo.said().contains("a new cluster: control, Envoy, 3 nodes, replication factor 2, 16 shards"));
    let client = demo.client();
    let added = client.post("/indexes/films/documents", &json!([{"id": 1}, {"id": 2}])).await.unwrap();
    client.succeeded(&added).await.unwrap();

    // Killed, it ends nothing of what it started; the next run takes the same port again.
    demo.ends_by("KILL").await;
    let other = [&keep[..], &["--nodes", "2", "--replication-factor", "1"]].concat();
    let mut demo = Demo::start(home.path(), port, &other);
    demo.says("up until Ctrl-C").await;
    let said = demo.said();
    for line in [
        "envoy-0 of an earlier run is still there",
        "the kept cluster has 3 nodes, replication factor 2, 16 shards",
        "--nodes 2 is ignored: the kept cluster has 3",
        "--replication-factor 1 is ignored: the kept cluster has 2",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let held = demo.client().get("/indexes/films/stats").await.unwrap().json();
    assert_eq!(held["numberOfDocuments"], 2, "{held}");

    let text = std::fs::read(data.join("cluster.json")).unwrap();
    let parts: Description = serde_json::from_slice(&text).unwrap();
    let node = parts.nodes[0].pid.unwrap();
    process::signal(node, "KILL").unwrap();
    let mut restarted = Demo::start(&home.path().join("data"), port, &[&keep[..], &["--restart", "node-0"]].concat());
    assert_eq!(restarted.ends().await, Some(0), "{}", restarted.said());

    assert_eq!(demo.ends_by("INT").await, Some(0), "{}", demo.said());
    assert_eq!(processes(keep[1]), [""; 0]);
    let mut again = Demo::start(home.path(), port, &[&keep[..], &["--once"]].concat());
    assert_eq!(again.ends().await, Some(0), "{}", again.said());
}

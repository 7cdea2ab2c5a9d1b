//! The demo as users run it: films that are loaded and searched, a directory that is kept, signals, and runs that were
//! killed. The films come from npm, once.

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
            .args(["--shards", "16", "--listen", &listen])
            .args(flags)
            .env("TMPDIR", home)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(home.join("shown")).unwrap())
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
        let mut demo = Demo::start(home.path(), ports::free(1).unwrap()[0], &["--empty", "--once"]);
        until("the nodes to be started", LIMIT, || async { (processes(inside).len() >= 3).then_some(()) })
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", demo.said()));
        assert_eq!(demo.ends_by(signal).await, Some(code), "{}", demo.said());
        assert_eq!(processes(inside), [""; 0]);
        let mut left: Vec<_> =
            std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort_unstable();
        assert_eq!(left, ["said", "shown"]);
    }
}

#[tokio::test]
async fn a_kept_directory_comes_back_as_it_was() {
    let _turn = turn().await;
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let port = ports::free(1).unwrap()[0];
    let keep = ["--empty", "--data-dir", data.to_str().unwrap()];
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
    assert_eq!(processes(keep[2]), [""; 0]);
    let mut again = Demo::start(home.path(), port, &[&keep[..], &["--once"]].concat());
    assert_eq!(again.ends().await, Some(0), "{}", again.said());
}

#[tokio::test]
async fn films_are_loaded_checked_and_shown() {
    let _turn = turn().await;
    let home = tempfile::tempdir().unwrap();
    let port = ports::free(1).unwrap()[0];
    let key = "a-key-that-somebody-chose";
    let mut demo = Demo::start(home.path(), port, &["--once", "--nodes", "2", "--master-key", key]);
    assert_eq!(demo.ends().await, Some(0), "{}", demo.said());
    let shown = std::fs::read_to_string(home.path().join("shown")).unwrap();
    for line in ["2 of 2 nodes answered", "node-0    16 shards: 0-15", "node-1    16 shards: 0-15", key] {
        assert!(shown.contains(line), "{line}: {shown}");
    }

    // A single node holds single copies; what compose loads and shows runs against it as well.
    let data = home.path().join("data");
    let mut demo = Demo::start(home.path(), port, &["--empty", "--nodes", "1", "--data-dir", data.to_str().unwrap()]);
    demo.says("up until Ctrl-C").await;
    let shown = std::fs::read_to_string(home.path().join("shown")).unwrap();
    let admin = shown.split_whitespace().find_map(|word| word.strip_suffix("/_miroir/status")).unwrap();
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/datasets");
    let films = std::fs::read_dir(datasets).unwrap().flatten().map(|entry| entry.path());
    let films = films.filter(|path| path.to_string_lossy().contains("vega-datasets")).max().unwrap();
    let modules = home.path().join("node_modules");
    std::fs::create_dir(&modules).unwrap();
    std::os::unix::fs::symlink(films.join("package"), modules.join("vega-datasets")).unwrap();
    for first in ["3201 documents indexed", "already there"] {
        let seed = Command::new("node")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/seed.mjs"))
            .current_dir(home.path())
            .env("MIROIR_URL", &demo.url)
            .env("MIROIR_PUBLIC_URL", "http://search.example.com")
            .env("MIROIR_CONTROL_URL", admin)
            .env("MIROIR_MASTER_KEY", "miroir-demo-master-key")
            .env("MIROIR_ADMIN_KEY", miroir_e2e::harness::cluster::ADMIN_KEY)
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&seed.stdout);
        assert!(seed.status.success(), "{shown}{}", String::from_utf8_lossy(&seed.stderr));
        for line in [first, "Star Wars", "from 16/16 shards", "node-0: 16 of 16 shards", "http://search.example.com"] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
    }
    assert_eq!(demo.ends_by("INT").await, Some(0), "{}", demo.said());
}

#[test]
fn what_cannot_be_is_said_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
    demo.arg("--data-dir").arg(home.path().join("data")).env("MEILISEARCH_BIN", "/nowhere/meilisearch");
    let ended = demo.env("RUST_BACKTRACE", "1").output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert_eq!(
        said.lines().last(),
        Some("error: MEILISEARCH_BIN names /nowhere/meilisearch, and there is no such file")
    );
    assert!(!said.contains("backtrace"), "{said}");
}

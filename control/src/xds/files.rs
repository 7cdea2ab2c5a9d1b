//! What Envoys are told, as files: for those that watch a directory instead of asking. Each file is one discovery
//! response in protobuf's own encoding, which Envoy reads from files that end in `.pb`, and is replaced as a whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use envoy_types::pb::google::protobuf::Any;
use prost::Message;
use tokio::sync::watch;

use super::stream::{CLUSTER_TYPE, EXTENSION_TYPE};
use super::{Pushed, clusters, filter};
use crate::config::Module;

/// The clusters' file.
const CLUSTERS: &str = "clusters.pb";
/// The filter's file.
const FILTER: &str = "filter.pb";
/// Shortest time between two writes: a burst of changes costs one.
const COALESCE: Duration = Duration::from_millis(100);
/// Pause after a write that failed.
const RETRY: Duration = Duration::from_secs(2);

/// A directory that follows what is pushed.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    module: Module,
}

impl Files {
    /// Makes the directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(directory: PathBuf, module: Module) -> std::io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory, module })
    }

    /// Writes what there is and every change, until nobody pushes any more.
    pub async fn follow(self, mut pushed: watch::Receiver<Arc<Pushed>>) {
        loop {
            let now = pushed.borrow_and_update().clone();
            if let Err(error) = self.write(&now) {
                tracing::error!(%error, directory = %self.directory.display(), "Envoy's files cannot be written");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            tokio::time::sleep(COALESCE).await;
            if pushed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Clusters first, so that they are there when the filter's configuration names them.
    fn write(&self, pushed: &Pushed) -> std::io::Result<()> {
        let epoch = pushed.map.epoch;
        let resource = filter::resource(&pushed.map, &self.module).map_err(std::io::Error::other)?;
        replace(&self.directory.join(CLUSTERS), CLUSTER_TYPE, clusters::resources(&pushed.upstreams), epoch)?;
        replace(&self.directory.join(FILTER), EXTENSION_TYPE, vec![resource], epoch)
    }
}

/// Envoy sees moves only, and a reader of a file that is written in place could see half of it.
fn replace(file: &Path, type_url: &str, resources: Vec<Any>, epoch: u64) -> std::io::Result<()> {
    let known = std::fs::read(file).ok().and_then(|bytes| DiscoveryResponse::decode(bytes.as_slice()).ok());
    if known.is_some_and(|known| known.resources == resources) {
        return Ok(());
    }
    let version_info = epoch.to_string();
    let response =
        DiscoveryResponse { version_info, type_url: type_url.to_owned(), resources, ..DiscoveryResponse::default() };
    let next = file.with_extension("next");
    std::fs::write(&next, response.encode_to_vec())?;
    std::fs::rename(next, file)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::xds::stream::tests::pushed;

    fn read(directory: &Path, file: &str) -> DiscoveryResponse {
        DiscoveryResponse::decode(std::fs::read(directory.join(file)).unwrap().as_slice()).unwrap()
    }

    #[tokio::test]
    async fn files_follow_what_is_pushed() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("envoy");
        let (sender, receiver) = watch::channel(Arc::new(pushed(1)));
        let files = Files::open(inside.clone(), Module::File("/module.wasm".into())).unwrap();
        let task = tokio::spawn(files.follow(receiver));
        for epoch in [1, 2] {
            sender.send_replace(Arc::new(pushed(epoch)));
            while !inside.join(FILTER).is_file() || read(&inside, FILTER).version_info != epoch.to_string() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let (clusters, filter) = (read(&inside, CLUSTERS), read(&inside, FILTER));
            assert_eq!(clusters.resources.len(), 1);
            assert_eq!((clusters.type_url.as_str(), filter.type_url.as_str()), (CLUSTER_TYPE, EXTENSION_TYPE));
            assert_eq!(filter.resources.len(), 1);
        }
        drop(sender);
        task.await.unwrap();
    }

    #[test]
    fn clusters_that_stay_the_same_are_not_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::open(directory.path().to_owned(), Module::File("/module.wasm".into())).unwrap();
        files.write(&pushed(1)).unwrap();
        let file = directory.path().join(CLUSTERS);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        files.write(&pushed(2)).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH);
    }
}

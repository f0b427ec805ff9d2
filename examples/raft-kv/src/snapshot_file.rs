//! The file of the last snapshot: a CRC-32 of what follows, 4 bytes, little endian, then `MessagePack`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::type_config::alias::SnapshotMetaOf;
use serde::{Deserialize, Serialize};

use crate::Types;
use crate::machine::Snapshot;

/// The file and its content.
pub struct SnapshotFile {
    path: PathBuf,
    last: Option<Arc<Stored>>,
}

#[derive(Clone, Deserialize, Serialize)]
pub struct Stored {
    pub meta: SnapshotMetaOf<Types>,
    pub data: Vec<u8>,
}

impl Stored {
    pub fn to_snapshot(&self) -> Snapshot {
        Snapshot {
            meta: self.meta.clone(),
            snapshot: self.data.clone(),
        }
    }
}

impl SnapshotFile {
    /// The file in `dir`, if there is one.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join("snapshot");
        let last = match fs::read(&path) {
            Ok(bytes) => Some(Arc::new(decode(&path, &bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path, last })
    }

    pub fn last(&self) -> Option<&Stored> {
        self.last.as_deref()
    }

    /// Replaces the file durably, unless the snapshot is no later than the one in it: the log has been
    /// purged up to that one, and a node that goes back behind it can never start again. Returns
    /// whether it was replaced.
    pub async fn replace(&mut self, stored: Stored) -> io::Result<bool> {
        let old = self.last.as_ref().map(|last| last.meta.last_log_id);
        if old.is_some_and(|old| old >= stored.meta.last_log_id) {
            return Ok(false);
        }
        let stored = Arc::new(stored);
        let (path, new) = (self.path.clone(), stored.clone());
        let written = tokio::task::spawn_blocking(move || write(&path, &new)).await;
        written.map_err(io::Error::other)??;
        self.last = Some(stored);
        Ok(true)
    }
}

fn decode(path: &Path, bytes: &[u8]) -> io::Result<Stored> {
    let damaged = || {
        let text = format!(
            "{} is damaged: replace this node by a new one",
            path.display()
        );
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    let (crc, body) = bytes.split_first_chunk().ok_or_else(damaged)?;
    if u32::from_le_bytes(*crc) != crc32fast::hash(body) {
        return Err(damaged());
    }
    rmp_serde::from_slice(body).map_err(io::Error::other)
}

/// Leaves the old file or the new one, whatever happens: the new one is synced before it gets the name.
fn write(path: &Path, stored: &Stored) -> io::Result<()> {
    let new = path.with_extension("new");
    let body = rmp_serde::to_vec_named(stored).map_err(io::Error::other)?;
    let mut file = File::create(&new)?;
    file.write_all(&crc32fast::hash(&body).to_le_bytes())?;
    file.write_all(&body)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_parent(path)
}

/// Creates a directory and its parents. The name of each is synced: a synced file is lost if a power
/// cut removes its directory.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir(parent)?;
    }
    fs::create_dir(dir)?;
    sync_parent(dir)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use openraft::impls::leader_id_adv::LeaderId;
    use openraft::type_config::alias::LogIdOf;

    use super::*;

    fn stored(index: u64) -> Stored {
        let leader_id = LeaderId {
            term: 1,
            node_id: 1,
        };
        let meta = SnapshotMetaOf::<Types> {
            last_log_id: Some(LogIdOf::<Types> { leader_id, index }),
            ..Default::default()
        };
        let data = index.to_string().into_bytes();
        Stored { meta, data }
    }

    fn content(file: &SnapshotFile) -> &[u8] {
        &file.last().unwrap().data
    }

    /// An older snapshot that was built at the same time replaced an installed one, and the node could
    /// never start again.
    #[tokio::test]
    async fn regression_a_snapshot_never_goes_back() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("a/b");
        create_dir(&dir).unwrap();
        let mut file = SnapshotFile::open(&dir).unwrap();
        assert!(file.replace(stored(5)).await.unwrap());
        assert!(!file.replace(stored(3)).await.unwrap());
        assert!(!file.replace(stored(5)).await.unwrap());
        assert_eq!(content(&file), b"5");
        assert_eq!(content(&SnapshotFile::open(&dir).unwrap()), b"5");
        assert!(file.replace(stored(6)).await.unwrap());
        assert_eq!(content(&SnapshotFile::open(&dir).unwrap()), b"6");
    }

    #[tokio::test]
    async fn damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = SnapshotFile::open(dir.path()).unwrap();
        file.replace(stored(5)).await.unwrap();
        let path = dir.path().join("snapshot");
        let intact = fs::read(&path).unwrap();
        for at in 0..intact.len() {
            let mut bytes = intact.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let error = SnapshotFile::open(dir.path()).err().unwrap().to_string();
            assert!(error.contains("is damaged"), "{error}");
        }
        fs::write(&path, &intact[..3]).unwrap();
        assert!(SnapshotFile::open(dir.path()).is_err());
    }
}

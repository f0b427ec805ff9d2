//! Carries idle groups forward, so the log can be truncated as far as the busy groups allow.
//!
//! A group needs the log from its first needed record on. An idle group would keep the log forever.
//! So if what it needs is too far back, it is appended again: its old entries, then a checkpoint.
//! This happens to a group at most once per `distance` bytes of growth, and `distance` is at least
//! twice what all groups hold. So this writes at most half as much as the groups append.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use tidewal::{Durability, Lsn, Result};
use tokio::sync::oneshot;

use crate::core::chunk::{Chunks, Encoded};
use crate::core::completions::{Then, answered};
use crate::core::encoding::{self, EncodeError, Header};
use crate::core::memory::Position;
use crate::core::registry::Registry;
use crate::core::shared_wal::{Group, SharedWal, Turn};
use crate::core::types::Types;

/// The task that carries groups forward. It ends with the `Wal`.
pub(crate) fn keep<T: Types>(
    shared: &Arc<SharedWal<T>>,
    registry: Arc<Registry<T>>,
    reclaim_after: u64,
) -> impl Future<Output = ()> + Send + 'static {
    let growth = shared.growth().cloned();
    let shared = Arc::downgrade(shared);
    async move {
        let Some(growth) = growth else { return };
        loop {
            growth.grown.notified().await;
            let Some(shared) = Weak::upgrade(&shared) else {
                return;
            };
            let distance = reclaim_after.max(2 * shared.held());
            if let Some(limit) = growth.limit(distance) {
                carry_all(&shared, &registry, limit).await;
                growth.forget(shared.marks.low_water());
            }
        }
    }
}

/// Carries forward everything that groups need before `limit`. A group that has failed stays where
/// it is: the log can then not be truncated until it is opened again. A group with a future that is
/// kept and not polled is waited for: the log cannot be truncated behind that group's mark anyway, and
/// older groups were carried before.
async fn carry_all<T: Types>(shared: &SharedWal<T>, registry: &Registry<T>, limit: Lsn) {
    let old = shared.marks.before(limit);
    for ids in old.chunks(AT_ONCE) {
        let mut answers = Vec::new();
        for group in ids.iter().filter_map(|id| registry.group(*id)) {
            answers.extend(carry(shared, &group, limit).await.ok().flatten());
        }
        for answer in answers {
            // A failure belongs to the group, whose next call returns it.
            let _ = answered(answer).await;
        }
    }
}

/// Submits again what a group needs before `limit`, and then a checkpoint.
async fn carry<T: Types>(
    shared: &SharedWal<T>,
    group: &Group<T>,
    limit: Lsn,
) -> Result<Option<oneshot::Receiver<Result<()>>>, CarryError> {
    let mut turn = group.turn(shared).await;
    if turn.is_new() {
        turn.forget_mark();
        return Ok(None);
    }
    let mut copies = Chunks::new(copies(group, turn.header(), limit)?);
    while !copies.is_empty() {
        let (records, indexes) = copies.take();
        submit_copies(&mut turn, records, indexes).await?;
    }
    let header = turn.header();
    let (checkpoint, needs) = group.memory.lock().checkpoint(header.number, None);
    let record = encoding::checkpoint(header, &checkpoint)?;
    let (answer, durable) = oneshot::channel();
    let then = Then::Checkpoint { needs, answer };
    turn.submit(vec![record], Durability::Durable, then, |_, _| ())
        .await?;
    Ok(Some(durable))
}

/// New records of the entries that a group needs before `limit`, each with its index.
fn copies<T: Types>(
    group: &Group<T>,
    mut header: Header,
    limit: Lsn,
) -> Result<Vec<Encoded<u64>>, CarryError> {
    let mut copies = Vec::new();
    for (of, entry) in group.memory.lock().before(limit) {
        let record = encoding::copy(header, entry)?;
        header.number += 1;
        copies.push(Encoded { record, of });
    }
    Ok(copies)
}

async fn submit_copies<T: Types>(
    turn: &mut Turn<'_, T>,
    records: Vec<Bytes>,
    indexes: Vec<u64>,
) -> Result<()> {
    let first = turn.header().number;
    turn.submit(
        records,
        Durability::Written,
        Then::Nothing,
        |memory, lsn| {
            for (number, index) in (first..).zip(indexes) {
                memory.set_position(index, Position { number, lsn });
            }
        },
    )
    .await
}

/// Why a group was not carried forward.
#[derive(Debug, thiserror::Error)]
enum CarryError {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Log(#[from] tidewal::Error),
}

/// Groups whose checkpoints share syncs.
const AT_ONCE: usize = 256;

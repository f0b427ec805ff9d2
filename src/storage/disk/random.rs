//! Random numbers for salts and ids.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

pub(super) fn random() -> u64 {
    // The standard library seeds `RandomState` from the system's source of randomness once per
    // thread and then increments the seed. Hashing the time as well makes equal results in two
    // processes unlikely.
    let mut hasher = RandomState::new().build_hasher();
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    hasher.write_u128(since_epoch.map_or(0, |elapsed| elapsed.as_nanos()));
    hasher.write_u32(std::process::id());
    hasher.finish()
}

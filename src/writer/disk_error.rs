//! What a failed call means for the log: refused, or poisoned.

use crate::error::IoFailure;
use crate::mutants::{Mutant, is_active};

/// What the failure of a call means for the log.
pub(super) enum DiskError {
    /// The call was part of a preparation that has not changed the log. The request is refused, and
    /// the log keeps working.
    Refused(IoFailure),
    /// A segment or its name may be in an unknown state, so the log is poisoned.
    Broken(IoFailure),
}

impl DiskError {
    /// The failure of a call that is part of a preparation.
    pub(super) fn of_preparation(fault: IoFailure) -> Self {
        if is_active(Mutant::RefusalPoisons) {
            return Self::Broken(fault);
        }
        Self::Refused(fault)
    }
}

impl From<DiskError> for IoFailure {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Refused(fault) | DiskError::Broken(fault) => fault,
        }
    }
}

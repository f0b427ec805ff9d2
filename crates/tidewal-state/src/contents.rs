//! The contents of a state machine's snapshot (`docs/state.md`, "Snapshots"): a version, the
//! sessions, and the output of the state's own format.

use std::io::{self, Read, Write};

use crate::core::Frozen;
use crate::error::{Error, Result};
use crate::sessions::Sessions;
use crate::state::{SnapshotFormat, State};

/// Writes the contents of a snapshot.
pub(crate) fn write<S: State>(frozen: Frozen<S>, output: &mut dyn Write) -> io::Result<()> {
    output.write_all(&VERSION.to_le_bytes())?;
    output.write_all(&S::VERSION.to_le_bytes())?;
    frozen.sessions.write(output)?;
    S::Snapshot::write(frozen.state, output).map_err(io::Error::other)
}

/// The contents read from a snapshot.
pub(crate) enum Contents<S> {
    Read(S, Sessions),
    /// The state was written by a later version.
    Later(u32),
}

/// Reads the contents of a snapshot.
pub(crate) fn read<S: State>(input: &mut dyn Read) -> io::Result<Contents<S>> {
    let (version, state_version) = (get(input)?, get(input)?);
    if version != VERSION {
        let text = format!("version {version} of a state machine's snapshots is not known");
        return Err(io::Error::other(text));
    }
    if state_version > S::VERSION {
        return Ok(Contents::Later(state_version));
    }
    let sessions = Sessions::read(input)?;
    let state = S::Snapshot::read(state_version, input).map_err(io::Error::other)?;
    let mut rest = [0; 1];
    match input.read(&mut rest)? {
        0 => Ok(Contents::Read(state, sessions)),
        _ => Err(io::Error::other(
            "bytes are left over after the state. Was it written in another format?",
        )),
    }
}

impl<S> Contents<S> {
    pub(crate) fn known(self, lsn: tidewal::Lsn, known: u32) -> Result<(S, Sessions)> {
        match self {
            Self::Read(state, sessions) => Ok((state, sessions)),
            Self::Later(version) => Err(Error::StateVersion {
                lsn,
                version,
                known,
            }),
        }
    }
}

fn get(input: &mut dyn Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

const VERSION: u32 = 1;

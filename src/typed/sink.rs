//! A log as a `futures::Sink` of values.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_sink::Sink;

use crate::error::{Error, Result};
use crate::sink::WalSink;
use crate::typed::encoding::encode;
use crate::typed::{Logged, TypedWal};

impl<T: Logged> TypedWal<T> {
    /// A sink of values that appends to this log, with many of them in flight: see [`TypedSink`].
    pub fn sink(&self) -> TypedSink<T> {
        self.untyped().sink().typed()
    }
}

impl WalSink {
    /// This sink as one of values: see [`typed`](crate::typed).
    pub fn typed<T: Logged>(self) -> TypedSink<T> {
        TypedSink {
            sink: self,
            value: PhantomData,
        }
    }
}

/// A `futures::Sink` of values: a [`WalSink`] whose payloads are encoded. Made by
/// [`TypedWal::sink`].
///
/// As with [`Error::TooLarge`], sending returns [`Error::Encode`] for the value itself, and the
/// sink stays as it was before.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "json")] {
/// # #[derive(serde::Deserialize, serde::Serialize)]
/// # struct Click { x: u32 }
/// # impl tidewal::typed::Logged for Click { type Codec = tidewal::typed::Json; }
/// use futures::{StreamExt, stream};
///
/// # tokio_test::block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// let wal = tidewal::Wal::open(dir.path()).await?.typed::<Click>();
/// let clicks = stream::iter(0..100).map(|x| Ok(Click { x }));
/// clicks.forward(wal.sink()).await?;
/// assert_eq!(wal.durable_lsn().get(), 100);
/// # wal.close().await?;
/// # Ok::<(), tidewal::Error>(())
/// # }).unwrap();
/// # }
/// ```
#[must_use = "sinks do nothing unless polled"]
pub struct TypedSink<T> {
    sink: WalSink,
    value: PhantomData<fn(T)>,
}

impl<T> TypedSink<T> {
    /// Like [`WalSink::max_in_flight`].
    pub fn max_in_flight(mut self, values: usize) -> Self {
        self.sink = self.sink.max_in_flight(values);
        self
    }

    /// The sink of the encoded values, which has the number of acknowledged ones.
    pub fn untyped(&self) -> &WalSink {
        &self.sink
    }

    /// The sink of the encoded values, with everything that was sent, for example for its
    /// [`into_pending`](WalSink::into_pending).
    pub fn into_untyped(self) -> WalSink {
        self.sink
    }
}

impl<T: Logged> Sink<T> for TypedSink<T> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.sink).poll_ready(context)
    }

    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<()> {
        let payload = encode(&value)?;
        Pin::new(&mut self.sink).start_send(payload)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.sink).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.sink).poll_close(context)
    }
}

impl<T> fmt::Debug for TypedSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedSink").field(&self.sink).finish()
    }
}

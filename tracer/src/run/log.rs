//! What the runtime library says of itself (`ctrace -v`), as aya-log carries it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Metadata, Record};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::{Error, sys};

/// The messages of an object that was linked to the verbose library.
pub(super) struct Log {
    logger: EbpfLogger<Arc<Messages>>,
    messages: Arc<Messages>,
    ready: AsyncFd<OwnedFd>,
}

impl Log {
    /// `None` for an object that does not log.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Option<Self>, Error> {
        if ebpf.map("AYA_LOGS").is_none() {
            return Ok(None);
        }
        let messages = Arc::new(Messages::default());
        let logger = EbpfLogger::init_with_logger(ebpf, messages.clone()).map_err(Error::Log)?;
        let ready = logger.as_fd().try_clone_to_owned().and_then(|fd| sys::watch(fd, Interest::READABLE));
        Ok(Some(Self { logger, messages, ready: ready.map_err(Error::io("cannot wait for diagnostics"))? }))
    }

    /// Returns when there may be messages.
    pub(super) async fn ready(&self) -> Result<AsyncFdReadyGuard<'_, OwnedFd>, Error> {
        self.ready.readable().await.map_err(Error::io("cannot wait for diagnostics"))
    }

    /// The messages since the last call.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.logger.flush();
        std::mem::take(&mut *self.messages.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where aya-log puts them down.
#[derive(Default)]
struct Messages(Mutex<Vec<String>>);

impl log::Log for Messages {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record.args().to_string());
    }

    fn flush(&self) {}
}

//! Memory for messages that arrive. A message occupies memory until it is whole and its handler has
//! taken it, so its bytes are read only when all of it fits. Until then, flow control holds up the
//! sender. A sender that does not finish in time loses its stream.
//!
//! tonic keeps a stream's buffer as large as its largest message. So the memory of a large message
//! stays reserved for those that follow, until others need it: then the stream ends, and its worker
//! reconnects.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body::Frame;
use swfn_shared::wire::MAX_REPORT_BYTES;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, Service, http},
    server::NamedService,
};

/// Bytes of the request of a call that is not a stream.
const MAX_CALL_BYTES: usize = 64 << 10;

/// Bytes of the largest small message. Small messages do not wait for large ones.
const SMALL: usize = 16 << 10;

/// Bytes for all small and for all large messages that are arriving.
const POOLS: [usize; 2] = [8 << 20, 16 << 20];

/// Time limit for the arrival of a message.
const LIMIT: Duration = Duration::from_secs(20);

/// The same limit while others wait for memory.
const LIMIT_UNDER_PRESSURE: Duration = Duration::from_secs(1);

/// Memory for messages of similar size.
#[derive(Debug)]
struct Pool {
    bytes: Arc<Semaphore>,
    /// Cloned by each stream that waits.
    waiters: Arc<()>,
}

impl Pool {
    /// Waits for memory; `None` if the pool is closed.
    async fn take(self: Arc<Self>, bytes: usize) -> Option<HeldMemory> {
        let _waiter = Arc::clone(&self.waiters);
        let bytes = u32::try_from(bytes).ok()?;
        let permit = Arc::clone(&self.bytes).acquire_many_owned(bytes).await.ok()?;
        let (since, next_check) = (Instant::now(), Box::pin(sleep(LIMIT_UNDER_PRESSURE)));
        Some(HeldMemory { pool: self, permit, since, next_check })
    }
}

/// The memory for all messages on all sockets.
#[derive(Debug, Clone)]
pub(super) struct Intake([Arc<Pool>; 2]);

impl Intake {
    pub(super) fn new() -> Self {
        let pool = |bytes| Pool { bytes: Arc::new(Semaphore::new(bytes)), waiters: Arc::default() };
        Self(POOLS.map(|bytes| Arc::new(pool(bytes))))
    }

    /// A service whose messages take their memory from here.
    pub(super) fn metered<S>(&self, service: S) -> Metered<S> {
        Metered { service, intake: self.clone() }
    }

    fn pool(&self, bytes: usize) -> Arc<Pool> {
        Arc::clone(&self.0[usize::from(bytes > SMALL)])
    }
}

/// A service whose messages go through the intake.
#[derive(Debug, Clone)]
pub(super) struct Metered<S> {
    service: S,
    intake: Intake,
}

impl<S: NamedService> NamedService for Metered<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Metered<S>
where
    S: Service<http::Request<Body>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> S::Future {
        let is_stream = request.uri().path().ends_with("/Session");
        let most = if is_stream { MAX_REPORT_BYTES } else { MAX_CALL_BYTES };
        let intake = self.intake.clone();
        let metered = |body| MeteredBody {
            body,
            intake,
            most,
            head: Vec::with_capacity(HEAD),
            missing: 0,
            began: Instant::now(),
            held: None,
            next: None,
            waiting: None,
        };
        self.service.call(request.map(|body| Body::new(metered(body))))
    }
}

/// Bytes of the head of a message: a flag and the length.
const HEAD: usize = 5;

/// The memory of the message that is arriving, or of the largest one that has arrived.
struct HeldMemory {
    pool: Arc<Pool>,
    permit: OwnedSemaphorePermit,
    since: Instant,
    next_check: Pin<Box<Sleep>>,
}

/// The body of a request.
struct MeteredBody {
    body: Body,
    intake: Intake,
    /// Bytes of the largest message that is allowed.
    most: usize,
    /// The head of a message whose length is not known yet.
    head: Vec<u8>,
    /// Bytes of the arriving message that are missing.
    missing: usize,
    /// When the arriving message began.
    began: Instant,
    held: Option<HeldMemory>,
    /// Bytes of the arriving message, while it has no memory.
    next: Option<usize>,
    /// The wait for its memory.
    waiting: Option<Pin<Box<dyn Future<Output = Option<HeldMemory>> + Send>>>,
}

impl MeteredBody {
    /// Follows arrived bytes; returns the length of the message that they begin without its end.
    fn follow(&mut self, mut bytes: &[u8]) -> Result<Option<usize>, Status> {
        let mut begun = None;
        while !bytes.is_empty() {
            if self.missing > 0 {
                let taken = self.missing.min(bytes.len());
                (self.missing, bytes) = (self.missing - taken, &bytes[taken..]);
                continue;
            }
            let taken = (HEAD - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            let [_, a, b, c, d] = self.head[..] else { continue };
            self.head.clear();
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if length > self.most {
                return Err(Status::out_of_range(format!(
                    "message length too large: `{length}` bytes are more than {}",
                    self.most
                )));
            }
            (self.missing, self.began) = (length, Instant::now());
            begun = Some(length);
        }
        Ok(begun.filter(|_| self.missing > 0))
    }

    /// The reason why the stream must end, if any: a message takes too long, or others wait for the
    /// memory of a former one.
    fn must_end(&mut self, context: &mut Context<'_>) -> Option<Status> {
        let held = self.held.as_mut()?;
        while held.next_check.as_mut().poll(context).is_ready() {
            let is_pressed = Arc::strong_count(&held.pool.waiters) > 1;
            let limit = if is_pressed { LIMIT_UNDER_PRESSURE } else { LIMIT };
            if self.missing > 0 && self.began.elapsed() >= limit {
                return Some(Status::deadline_exceeded(
                    "a message did not arrive in time\n\
                     hint: look at the network between both sides",
                ));
            }
            if self.missing == 0 && is_pressed && held.since.elapsed() >= LIMIT_UNDER_PRESSURE {
                return Some(Status::unavailable("others need the memory of this stream"));
            }
            held.next_check.as_mut().reset(Instant::now() + LIMIT_UNDER_PRESSURE);
        }
        None
    }
}

impl http_body::Body for MeteredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        // A handler that reads on has taken the last message.
        let fits = |held: &HeldMemory, bytes| held.permit.num_permits() >= bytes;
        let next = this.next.take();
        if let Some(bytes) =
            next.filter(|bytes| !this.held.as_ref().is_some_and(|held| fits(held, *bytes)))
        {
            this.held = None;
            this.waiting = Some(Box::pin(this.intake.pool(bytes).take(bytes)));
        } else if this.missing == 0 {
            this.held.take_if(|held| held.permit.num_permits() <= SMALL);
        }
        if let Some(memory) = &mut this.waiting {
            this.held = ready!(memory.as_mut().poll(context));
            this.waiting = None;
            if this.held.is_none() {
                return Poll::Ready(Some(Err(Status::internal("the intake is closed"))));
            }
        }
        let frame = match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Pending => {
                return this
                    .must_end(context)
                    .map_or(Poll::Pending, |why| Poll::Ready(Some(Err(why))));
            }
            other => return other,
        };
        if let Some(bytes) = frame.data_ref() {
            match this.follow(bytes) {
                Ok(next) => this.next = next,
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

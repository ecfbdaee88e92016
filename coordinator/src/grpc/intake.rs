//! Messages on their way in. A message that has begun takes up memory until it is whole, taken by its handler and handed on, so it
//! begins only when there is room for all of it; until then, flow control holds the sender up. Who does not finish makes room.
//!
//! tonic keeps a stream's buffer as large as its largest message. So the room of a large one is kept, too, for those that follow,
//! until others need it: then streams end, and their workers come back without it.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
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

/// Bytes of one call's question, where that is no stream.
const MAX_CALL_BYTES: usize = 64 << 10;

/// The largest of the small messages. They do not wait for large ones.
const SMALL: usize = 16 << 10;

/// Bytes of messages that have begun: of small ones, and of large ones.
const BEGUN: [usize; 2] = [8 << 20, 16 << 20];

/// A message that has begun is whole after that.
const WHOLE: Duration = Duration::from_secs(20);

/// Or after that, when others wait.
const WHOLE_UNDER_PRESSURE: Duration = Duration::from_secs(1);

/// Room for messages of like size.
#[derive(Debug)]
struct Pool {
    room: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Who waits is counted, also if it gives up.
struct Waiting<'p>(&'p Pool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    async fn take(self: Arc<Self>, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self);
        Arc::clone(&self.room).acquire_many_owned(u32::try_from(bytes).ok()?).await.ok()
    }
}

/// The room for all messages on all sockets.
#[derive(Debug, Clone)]
pub(super) struct Intake([Arc<Pool>; 2]);

impl Intake {
    pub(super) fn new() -> Self {
        let pool =
            |bytes| Pool { room: Arc::new(Semaphore::new(bytes)), waiting: AtomicUsize::new(0) };
        Self(BEGUN.map(|bytes| Arc::new(pool(bytes))))
    }

    /// A service whose messages take their room here.
    pub(super) fn of<S>(&self, service: S) -> Metered<S> {
        Metered { service, intake: self.clone() }
    }

    fn pool(&self, bytes: usize) -> Arc<Pool> {
        Arc::clone(&self.0[usize::from(bytes > SMALL)])
    }
}

/// A service behind the intake.
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
        let most = if request.uri().path().ends_with("/Session") {
            MAX_REPORT_BYTES
        } else {
            MAX_CALL_BYTES
        };
        let intake = self.intake.clone();
        let inside = |body| Inside {
            body,
            intake,
            most,
            head: Vec::with_capacity(HEAD),
            missing: 0,
            began: Instant::now(),
            begins: None,
            waits: None,
            begun: None,
        };
        self.service.call(request.map(|body| Body::new(inside(body))))
    }
}

/// Bytes before each message: a flag and its length.
const HEAD: usize = 5;

/// Room of the message that has begun, or of the largest one that was taken.
struct Begun {
    pool: Arc<Pool>,
    room: OwnedSemaphorePermit,
    since: Instant,
    look_again: Pin<Box<Sleep>>,
}

type Room = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

/// The body of a request.
struct Inside {
    body: Body,
    intake: Intake,
    /// Bytes of a message.
    most: usize,
    /// Of a message whose length is not known yet.
    head: Vec<u8>,
    /// Bytes of the message that has begun, and when it did.
    missing: usize,
    began: Instant,
    begun: Option<Begun>,
    /// Of the message that has begun and has no room yet: its bytes, or what waits for room.
    begins: Option<usize>,
    waits: Option<(Arc<Pool>, Room)>,
}

impl Inside {
    /// Walks over bytes that have arrived; the length of the message that they begin and do not end.
    fn walk(&mut self, mut bytes: &[u8]) -> Result<Option<usize>, Status> {
        let mut begins = None;
        while !bytes.is_empty() {
            if self.missing > 0 {
                let taken = self.missing.min(bytes.len());
                (self.missing, bytes) = (self.missing - taken, &bytes[taken..]);
                continue;
            }
            let taken = (HEAD - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if let [_, length @ ..] = self.head.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                self.head.clear();
                self.missing = u32::from_be_bytes(length) as usize;
                if self.missing > self.most {
                    let (length, most) = (self.missing, self.most);
                    let problem =
                        format!("message length too large: `{length}` bytes are more than {most}");
                    return Err(Status::out_of_range(problem));
                }
                self.began = Instant::now();
                begins = Some(self.missing);
            }
        }
        Ok(begins.filter(|_| self.missing > 0))
    }

    /// Whether there is room already for a message of so many bytes.
    fn has_room(&self, bytes: usize) -> bool {
        self.begun.as_ref().is_some_and(|begun| begun.room.num_permits() >= bytes)
    }

    /// Why the stream has to make room, if it has to: a message takes too long, or others wait for the room of an old one.
    fn end(&mut self, context: &mut Context<'_>) -> Option<Status> {
        let begun = self.begun.as_mut()?;
        while begun.look_again.as_mut().poll(context).is_ready() {
            let (whole, pressed) =
                (self.missing == 0, begun.pool.waiting.load(Ordering::Relaxed) > 0);
            if pressed && whole && begun.since.elapsed() >= WHOLE_UNDER_PRESSURE {
                return Some(Status::unavailable("others need the room of this stream's messages"));
            }
            if !whole && self.began.elapsed() >= if pressed { WHOLE_UNDER_PRESSURE } else { WHOLE }
            {
                let problem = "a message did not arrive in time\nhint: look at the network between both sides";
                return Some(Status::deadline_exceeded(problem));
            }
            begun.look_again.as_mut().reset(Instant::now() + WHOLE_UNDER_PRESSURE);
        }
        None
    }
}

impl http_body::Body for Inside {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        // Whoever reads on has taken what was whole.
        if let Some(bytes) = this.begins.take().filter(|bytes| !this.has_room(*bytes)) {
            this.begun = None;
            let pool = this.intake.pool(bytes);
            this.waits = Some((Arc::clone(&pool), Box::pin(pool.take(bytes))));
        } else if this.missing == 0 {
            this.begun.take_if(|begun| begun.room.num_permits() <= SMALL);
        }
        if let Some((pool, room)) = &mut this.waits {
            let Some(room) = ready!(room.as_mut().poll(context)) else {
                return Poll::Ready(Some(Err(Status::internal("nobody closes the intake"))));
            };
            let look_again = Box::pin(sleep(WHOLE_UNDER_PRESSURE));
            this.begun =
                Some(Begun { pool: Arc::clone(pool), room, since: Instant::now(), look_again });
            this.waits = None;
        }
        let frame = match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Pending => match this.end(context) {
                Some(status) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Pending,
            },
            Poll::Ready(Some(Ok(frame))) => frame,
            other => return other,
        };
        if let Some(bytes) = frame.data_ref() {
            match this.walk(bytes) {
                Ok(begins) => this.begins = begins,
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

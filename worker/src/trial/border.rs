//! The border between trials and torch.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::report::TrainError;
use crate::device;

/// Does work with torch, and returns its panic as an error.
///
/// The wrappers of torch's functions panic when torch reports an error. Catching that here, instead
/// of returning a result from each of a hundred calls, lets models read like their papers. It is
/// sound: a trial owns all that it changes, and the trainer only stores finished values. A panic
/// releases the guards that switch off autograd.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, TrainError>) -> Result<T, TrainError> {
    let work = || {
        device::use_one_thread();
        work()
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text =
            text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown panic");
        Err(TrainError::Torch(text.to_owned()))
    })
}

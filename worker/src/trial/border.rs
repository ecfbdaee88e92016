//! The border between trials and torch.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::report::TrainError;
use crate::device;

/// The border between trials and torch. The wrappers of torch's functions panic when torch reports an error. Here is
/// the one place that turns such a panic into an error, instead of a result at each of a hundred calls, so that models
/// read like their papers. That is sound: a trial owns all that it changes, and what the trainer keeps changes only by
/// whole, finished values. Autograd is switched off by guards alone, which a panic releases.
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

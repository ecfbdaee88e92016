//! The trainer on real tensors: against numbers of PyTorch, whole trials alone and side by side,
//! images of other sizes, and a GPU. They are one program, so that libtorch is linked once.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "developers read it, as it comes")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
mod golden;
mod gpu;
mod libtorch;
mod networks;
mod sizes;
mod trainer;
mod weights;

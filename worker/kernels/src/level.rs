//! Instructions that the processor has, and work that is compiled for them.

#![allow(unsafe_code, reason = "calls of functions for instructions that not every processor has")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};
use std::{fmt, sync::LazyLock};

use crate::lanes::Lanes;

/// A loop that is compiled for each width of vectors. `run` and all that it calls must be
/// `#[inline(always)]`: only then are they part of a function that has the instructions switched
/// on.
pub(super) trait Work {
    /// # Safety
    /// The processor has the instructions of V.
    unsafe fn run<V: Lanes>(self);
}

/// Instructions for vectors. Only those that this processor has can be constructed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Level(Instructions);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instructions {
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Level {
    /// The instructions that every processor has.
    pub const PORTABLE: Self = Self(Instructions::Portable);

    /// All levels of this processor, the best one last.
    ///
    /// Convolutions are equal with AVX2 and AVX-512, bit for bit. Fully connected layers sum in
    /// another order with each, and without FMA everything is rounded more often. So trials repeat
    /// bit for bit on processors of one kind.
    pub fn all() -> Vec<Self> {
        #[allow(unused_mut, reason = "other processors have only one")]
        let mut all = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            all.push(Self(Instructions::Avx2));
            if is_x86_feature_detected!("avx512f") {
                all.push(Self(Instructions::Avx512));
            }
        }
        all
    }

    /// The best level of this processor.
    pub fn best() -> Self {
        static BEST: LazyLock<Level> =
            LazyLock::new(|| *Level::all().last().expect("`PORTABLE` is in it"));
        *BEST
    }

    /// Runs the work with these instructions.
    pub(super) fn run(self, work: impl Work) {
        // SAFETY: a level is only constructed where the processor has it.
        unsafe {
            match self.0 {
                Instructions::Portable => work.run::<[f32; 8]>(),
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx2 => avx2(work),
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 => avx512(work),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(work: impl Work) {
    // SAFETY: this function has the instructions.
    unsafe { work.run::<__m256>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn avx512(work: impl Work) {
    // SAFETY: this function has the instructions.
    unsafe { work.run::<__m512>() }
}

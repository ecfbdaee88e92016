//! Instructions that the processor has, and functions that are compiled for them.

use std::{fmt, sync::LazyLock};

/// Instructions for vectors. Only those that this processor has can be constructed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Level(pub(super) Instructions);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instructions {
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
}

/// Functions that are compiled for each width of vectors. Their first argument is a [`Level`], and
/// in their bodies the processor has the instructions of the type `V`. All that they call must be
/// `#[inline(always)]`: only then is it part of a function that has the instructions switched on.
macro_rules! vectorised {
    ($(
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => { $(
        $(#[$meta])*
        #[allow(unsafe_code, reason = "instructions that not every processor has")]
        $visibility fn $name(level: $crate::Level, $($argument: $type),*) $(-> $result)? {
            use $crate::{lanes::Lanes, level::Instructions};

            #[inline(always)]
            fn each<V: Lanes>($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                each::<std::arch::x86_64::__m256>($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                each::<std::arch::x86_64::__m512>($($argument),*)
            }

            match level.0 {
                Instructions::Portable => each::<[f32; 8]>($($argument),*),
                // SAFETY: a level is only constructed where the processor has it.
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx2 => unsafe { avx2($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 => unsafe { avx512($($argument),*) },
            }
        }
    )* };
}

pub(super) use vectorised;

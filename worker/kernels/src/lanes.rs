//! Vectors of floats, one trait for all widths: AVX-512, AVX2 with FMA, and arrays where there is
//! neither.
//!
//! Every method is inlined into a function that has the instructions switched on, see `level`.
//! Called from anywhere else they would be slow, or crash.

#![allow(
    unsafe_code,
    reason = "intrinsics; pointers without bounds checks, which took half of the inner loops' time"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// The widest vector, in floats.
pub(super) const WIDEST: usize = 16;

/// A vector of floats.
///
/// # Safety
/// For all methods, the processor has the instructions of that width. For those with pointers, as
/// many floats as the method touches are there.
pub(super) trait Lanes: Copy {
    /// Floats in a vector.
    const COUNT: usize;
    /// Whether there are 32 registers, not 16.
    const MANY_REGISTERS: bool;
    /// The lanes that a partial load or store touches.
    type Mask: Copy;
    /// A small number for each lane.
    type Choice: Copy;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// The first `count` lanes, 1 up to all.
    unsafe fn first(count: usize) -> Self::Mask;
    /// Loads the lanes of the mask, and zero into all others.
    unsafe fn load_masked(from: *const f32, mask: Self::Mask) -> Self;
    unsafe fn store_masked(self, to: *mut f32, mask: Self::Mask);
    /// self * factor + addend.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Sum of all lanes.
    unsafe fn sum(self) -> f32;
    /// The larger of this and zero. NaN stays.
    unsafe fn relu(self) -> Self;
    /// Zero in all lanes.
    unsafe fn no_choice() -> Self::Choice;
    /// The larger of this and a candidate, and its number: `number` for the candidate, `choice` for
    /// this. The candidate must be larger, or NaN, to win, as in torch's max-pooling.
    unsafe fn larger(
        self,
        choice: Self::Choice,
        candidate: Self,
        number: u8,
    ) -> (Self, Self::Choice);
    /// The numbers of all lanes, followed by zeros.
    unsafe fn numbers(choice: Self::Choice) -> [u8; WIDEST];
}

/// Methods of [`Lanes`], inlined and with unsafe bodies.
macro_rules! methods {
    ($(fn $name:ident($($arguments:tt)*) $(-> $result:ty)? $body:block)*) => {
        $(
            #[inline(always)]
            #[allow(unused_unsafe, reason = "some bodies are safe")]
            unsafe fn $name($($arguments)*) $(-> $result)? {
                // SAFETY: the processor has the instructions, and the floats are there, see the
                // trait.
                unsafe { $body }
            }
        )*
    };
}

/// Eight floats without any special instructions.
impl Lanes for [f32; 8] {
    const COUNT: usize = 8;
    const MANY_REGISTERS: bool = false;
    type Mask = usize;
    type Choice = [u8; 8];

    methods! {
        fn splat(value: f32) -> Self { [value; 8] }
        fn load(from: *const f32) -> Self { from.cast::<Self>().read_unaligned() }
        fn store(self, to: *mut f32) { to.cast::<Self>().write_unaligned(self) }
        fn first(count: usize) -> usize { count }
        fn load_masked(from: *const f32, mask: usize) -> Self {
            std::array::from_fn(|lane| if lane < mask { *from.add(lane) } else { 0.0 })
        }
        fn store_masked(self, to: *mut f32, mask: usize) {
            for (lane, value) in self.into_iter().enumerate().take(mask) {
                *to.add(lane) = value;
            }
        }
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            std::array::from_fn(|lane| self[lane] * factor[lane] + addend[lane])
        }
        fn sum(self) -> f32 {
            let [a, b, c, d, e, f, g, h] = self;
            ((a + e) + (c + g)) + ((b + f) + (d + h))
        }
        fn relu(self) -> Self { self.map(|value| if value < 0.0 { 0.0 } else { value }) }
        fn no_choice() -> [u8; 8] { [0; 8] }
        fn larger(self, choice: [u8; 8], candidate: Self, number: u8) -> (Self, [u8; 8]) {
            let wins = |lane: usize| candidate[lane] > self[lane] || candidate[lane].is_nan();
            (
                std::array::from_fn(|lane| if wins(lane) { candidate[lane] } else { self[lane] }),
                std::array::from_fn(|lane| if wins(lane) { number } else { choice[lane] }),
            )
        }
        fn numbers(choice: [u8; 8]) -> [u8; WIDEST] {
            std::array::from_fn(|lane| choice.get(lane).copied().unwrap_or(0))
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for __m256 {
    const COUNT: usize = 8;
    const MANY_REGISTERS: bool = false;
    type Mask = __m256i;
    type Choice = __m256i;

    methods! {
        fn splat(value: f32) -> Self { _mm256_set1_ps(value) }
        fn load(from: *const f32) -> Self { _mm256_loadu_ps(from) }
        fn store(self, to: *mut f32) { _mm256_storeu_ps(to, self) }
        fn first(count: usize) -> __m256i {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
        }
        fn load_masked(from: *const f32, mask: __m256i) -> Self { _mm256_maskload_ps(from, mask) }
        fn store_masked(self, to: *mut f32, mask: __m256i) { _mm256_maskstore_ps(to, mask, self) }
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            _mm256_fmadd_ps(self, factor, addend)
        }
        fn sum(self) -> f32 {
            let four = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
        fn relu(self) -> Self {
            // The second operand is the result where either is NaN.
            _mm256_max_ps(_mm256_setzero_ps(), self)
        }
        fn no_choice() -> __m256i { _mm256_setzero_si256() }
        fn larger(self, choice: __m256i, candidate: Self, number: u8) -> (Self, __m256i) {
            let above = _mm256_cmp_ps::<_CMP_GT_OQ>(candidate, self);
            let wins = _mm256_or_ps(above, _mm256_cmp_ps::<_CMP_UNORD_Q>(candidate, candidate));
            let number = _mm256_set1_epi32(number.into());
            let choice = _mm256_blendv_epi8(choice, number, _mm256_castps_si256(wins));
            (_mm256_blendv_ps(self, candidate, wins), choice)
        }
        fn numbers(choice: __m256i) -> [u8; WIDEST] {
            let mut wide = [0_u32; 16];
            _mm256_storeu_si256(wide.as_mut_ptr().cast(), choice);
            wide.map(|number| number as u8)
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for __m512 {
    const COUNT: usize = 16;
    const MANY_REGISTERS: bool = true;
    type Mask = __mmask16;
    type Choice = __m512i;

    methods! {
        fn splat(value: f32) -> Self { _mm512_set1_ps(value) }
        fn load(from: *const f32) -> Self { _mm512_loadu_ps(from) }
        fn store(self, to: *mut f32) { _mm512_storeu_ps(to, self) }
        fn first(count: usize) -> __mmask16 { ((1_u32 << count) - 1) as __mmask16 }
        fn load_masked(from: *const f32, mask: __mmask16) -> Self {
            _mm512_maskz_loadu_ps(mask, from)
        }
        fn store_masked(self, to: *mut f32, mask: __mmask16) {
            _mm512_mask_storeu_ps(to, mask, self)
        }
        fn mul_add(self, factor: Self, addend: Self) -> Self {
            _mm512_fmadd_ps(self, factor, addend)
        }
        fn sum(self) -> f32 { _mm512_reduce_add_ps(self) }
        fn relu(self) -> Self {
            // The second operand is the result where either is NaN.
            _mm512_max_ps(_mm512_setzero_ps(), self)
        }
        fn no_choice() -> __m512i { _mm512_setzero_si512() }
        fn larger(self, choice: __m512i, candidate: Self, number: u8) -> (Self, __m512i) {
            let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(candidate, self);
            let wins = above | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(candidate, candidate);
            let choice = _mm512_mask_set1_epi32(choice, wins, number.into());
            (_mm512_mask_blend_ps(wins, self, candidate), choice)
        }
        fn numbers(choice: __m512i) -> [u8; WIDEST] {
            let mut numbers = [0; WIDEST];
            _mm_storeu_si128(numbers.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(choice));
            numbers
        }
    }
}

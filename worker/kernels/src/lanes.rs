//! Vectors of floats, one trait for all widths: AVX-512, AVX2 with FMA, and arrays where there is neither.
//!
//! Every method is inlined into a function that has the instructions switched on, see `level`; called from anywhere else
//! they would be slow, or not run at all.

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
/// Of all methods: the processor has the instructions of that width. Of those with pointers: as many floats as the method
/// touches are there.
pub(super) trait Lanes: Copy {
    /// Floats in a vector.
    const COUNT: usize;
    /// Whether there are 32 registers, not 16.
    const MANY_REGISTERS: bool;
    /// Which lanes a partial load or store touches.
    type Mask: Copy;
    /// A small number for each lane.
    type Choice: Copy;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// The first `count` lanes, 1 up to all.
    unsafe fn first(count: usize) -> Self::Mask;
    /// Zero in the lanes beyond the mask.
    unsafe fn load_masked(from: *const f32, mask: Self::Mask) -> Self;
    unsafe fn store_masked(self, to: *mut f32, mask: Self::Mask);
    /// self * factor + addend.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Of all lanes.
    unsafe fn sum(self) -> f32;
    /// The larger of this and zero; what is not a number stays.
    unsafe fn relu(self) -> Self;
    /// Zero in all lanes.
    unsafe fn no_choice() -> Self::Choice;
    /// The larger of this and a candidate, and its number: that of the candidate, or `choice`, the number of this. The
    /// candidate must be larger, or not a number, to win, as in torch's max-pooling.
    unsafe fn larger(
        self,
        choice: Self::Choice,
        candidate: Self,
        number: u8,
    ) -> (Self, Self::Choice);
    /// The numbers of all lanes; behind them, zeros.
    unsafe fn numbers(choice: Self::Choice) -> [u8; WIDEST];
}

/// Eight floats without any instructions of their own.
impl Lanes for [f32; 8] {
    const COUNT: usize = 8;
    const MANY_REGISTERS: bool = false;
    type Mask = usize;
    type Choice = [u8; 8];

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 8]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: eight floats are there.
        unsafe { from.cast::<Self>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: eight floats are there.
        unsafe { to.cast::<Self>().write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn first(count: usize) -> usize {
        count
    }

    #[inline(always)]
    unsafe fn load_masked(from: *const f32, mask: usize) -> Self {
        // SAFETY: as many floats as the mask has are there.
        std::array::from_fn(|lane| if lane < mask { unsafe { *from.add(lane) } } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, mask: usize) {
        for (lane, value) in self.into_iter().enumerate().take(mask) {
            // SAFETY: as many floats as the mask has are there.
            unsafe { *to.add(lane) = value };
        }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * factor[lane] + addend[lane])
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let [a, b, c, d, e, f, g, h] = self;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        self.map(|value| if value < 0.0 { 0.0 } else { value })
    }

    #[inline(always)]
    unsafe fn no_choice() -> [u8; 8] {
        [0; 8]
    }

    #[inline(always)]
    unsafe fn larger(self, choice: [u8; 8], candidate: Self, number: u8) -> (Self, [u8; 8]) {
        let wins = |lane: usize| candidate[lane] > self[lane] || candidate[lane].is_nan();
        (
            std::array::from_fn(|lane| if wins(lane) { candidate[lane] } else { self[lane] }),
            std::array::from_fn(|lane| if wins(lane) { number } else { choice[lane] }),
        )
    }

    #[inline(always)]
    unsafe fn numbers(choice: [u8; 8]) -> [u8; WIDEST] {
        std::array::from_fn(|lane| choice.get(lane).copied().unwrap_or(0))
    }
}

// SAFETY, of each intrinsic below: the processor has it, and the floats that it touches are there, see the trait.

#[cfg(target_arch = "x86_64")]
impl Lanes for __m256 {
    const COUNT: usize = 8;
    const MANY_REGISTERS: bool = false;
    type Mask = __m256i;
    type Choice = __m256i;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn first(count: usize) -> __m256i {
        unsafe {
            _mm256_cmpgt_epi32(
                _mm256_set1_epi32(count as i32),
                _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
            )
        }
    }

    #[inline(always)]
    unsafe fn load_masked(from: *const f32, mask: __m256i) -> Self {
        unsafe { _mm256_maskload_ps(from, mask) }
    }

    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, mask: __m256i) {
        unsafe { _mm256_maskstore_ps(to, mask, self) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        unsafe { _mm256_fmadd_ps(self, factor, addend) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // The second operand is the result where either is not a number.
        unsafe { _mm256_max_ps(_mm256_setzero_ps(), self) }
    }

    #[inline(always)]
    unsafe fn no_choice() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn larger(self, choice: __m256i, candidate: Self, number: u8) -> (Self, __m256i) {
        unsafe {
            let above = _mm256_cmp_ps::<_CMP_GT_OQ>(candidate, self);
            let wins = _mm256_or_ps(above, _mm256_cmp_ps::<_CMP_UNORD_Q>(candidate, candidate));
            let number = _mm256_set1_epi32(number.into());
            let choice = _mm256_blendv_epi8(choice, number, _mm256_castps_si256(wins));
            (_mm256_blendv_ps(self, candidate, wins), choice)
        }
    }

    #[inline(always)]
    unsafe fn numbers(choice: __m256i) -> [u8; WIDEST] {
        let mut wide = [0_u32; 16];
        unsafe { _mm256_storeu_si256(wide.as_mut_ptr().cast(), choice) };
        wide.map(|number| number as u8)
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for __m512 {
    const COUNT: usize = 16;
    const MANY_REGISTERS: bool = true;
    type Mask = __mmask16;
    type Choice = __m512i;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn first(count: usize) -> __mmask16 {
        ((1_u32 << count) - 1) as __mmask16
    }

    #[inline(always)]
    unsafe fn load_masked(from: *const f32, mask: __mmask16) -> Self {
        unsafe { _mm512_maskz_loadu_ps(mask, from) }
    }

    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, mask: __mmask16) {
        unsafe { _mm512_mask_storeu_ps(to, mask, self) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        unsafe { _mm512_fmadd_ps(self, factor, addend) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe { _mm512_reduce_add_ps(self) }
    }

    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // The second operand is the result where either is not a number.
        unsafe { _mm512_max_ps(_mm512_setzero_ps(), self) }
    }

    #[inline(always)]
    unsafe fn no_choice() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn larger(self, choice: __m512i, candidate: Self, number: u8) -> (Self, __m512i) {
        unsafe {
            let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(candidate, self);
            let wins = above | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(candidate, candidate);
            let choice = _mm512_mask_set1_epi32(choice, wins, number.into());
            (_mm512_mask_blend_ps(wins, self, candidate), choice)
        }
    }

    #[inline(always)]
    unsafe fn numbers(choice: __m512i) -> [u8; WIDEST] {
        let mut numbers = [0; WIDEST];
        unsafe { _mm_storeu_si128(numbers.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(choice)) };
        numbers
    }
}

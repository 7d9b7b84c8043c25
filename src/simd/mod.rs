//! The CPU's vector instructions: which are available, loops compiled for them, and matrix products that use them; and its
//! threads. It imports nothing, and holds the CPU path's unsafe code.
//!
//! Every level gives the same bits as long as the processor multiplies and adds in one rounding (x86-64 with FMA, which is
//! all since 2013, AArch64, and WebAssembly with relaxed SIMD on either): a lane computes what a loop over single numbers
//! would, in the same order. Elsewhere (WebAssembly without, older x86-64) products are rounded before they are added, as a
//! fused multiplication would be a call into a library.
#![expect(unsafe_code, reason = "instructions that not every processor has, and loops without bounds checks")]

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod disjoint;
#[cfg(not(target_feature = "simd128"))]
mod lanes;
mod members;
mod pool;
mod product;
mod threads;
mod vector;
#[cfg(target_feature = "simd128")]
mod wasm32;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(crate) use disjoint::{Disjoint, Ranges};
pub(crate) use members::{MEMBERS, element, interleave, multiply_members, take_lane};
pub(crate) use pool::share;
pub(crate) use product::{Activate, End, Matrix, multiply};
pub(crate) use threads::{threads, worth};

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Whatever the crate was compiled for, with multiplications and additions in one rounding: for tests, as that may be a
    /// call into a library.
    #[cfg_attr(not(test), expect(dead_code, reason = "the others are compared with it"))]
    #[cfg(not(target_feature = "simd128"))]
    Fused,
    /// Whatever the crate was compiled for, with multiplications and additions each rounded.
    #[cfg(not(target_feature = "simd128"))]
    Rounded,
    /// 4 lanes; in one rounding only with relaxed SIMD. What is compiled for it has no other level: a page is to be small.
    #[cfg(target_feature = "simd128")]
    Simd128,
    /// 4 lanes.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// 8 lanes, with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 16 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// What the processor does best, as far as the environment's `WGRAD_SIMD` lets it: `none` for the bits of a processor
    /// without fused multiplication, `avx2` for no wider vectors. Looked up once.
    #[inline]
    pub(crate) fn best() -> Self {
        #[cfg(target_feature = "simd128")]
        return Self::Simd128;
        #[cfg(not(target_feature = "simd128"))]
        {
            static BEST: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
            *BEST.get_or_init(|| Self::up_to(std::env::var("WGRAD_SIMD").ok().as_deref()))
        }
    }

    #[cfg(not(target_feature = "simd128"))]
    fn up_to(most: Option<&str>) -> Self {
        if most == Some("none") {
            return Self::Rounded;
        }
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() && most != Some("avx2") {
                return Self::Avx512;
            }
            if has_avx2() {
                return Self::Avx2;
            }
        }
        #[cfg(target_arch = "aarch64")]
        return Self::Neon;
        #[cfg(not(target_arch = "aarch64"))]
        Self::Rounded
    }

    /// The levels that this processor has and that give the same bits.
    #[cfg(test)]
    pub(crate) fn alike() -> Vec<Self> {
        match Self::best() {
            #[cfg(not(target_feature = "simd128"))]
            Self::Rounded => vec![Self::Rounded],
            #[cfg(not(target_feature = "simd128"))]
            Self::Fused => vec![Self::Fused],
            #[cfg(target_arch = "aarch64")]
            Self::Neon => vec![Self::Fused, Self::Neon],
            #[cfg(target_feature = "simd128")]
            Self::Simd128 => vec![Self::Simd128],
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => vec![Self::Fused, Self::Avx2],
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => vec![Self::Fused, Self::Avx2, Self::Avx512],
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn has_avx512() -> bool {
    has_avx2() && is_x86_feature_detected!("avx512f")
}

/// Runs `work` compiled for the widest vectors that the processor has: see [`compiled_for`].
#[inline(always)]
pub(crate) fn widest(work: impl FnOnce()) {
    compiled_for(Level::best(), work);
}

/// Runs `work` compiled for this level, one of the processor's: its loops become that level's instructions. `work` must be
/// inlined (`#[inline(always)]`, as must be what it calls), or it stays as it was compiled elsewhere.
#[inline(always)]
pub(crate) fn compiled_for(level: Level, work: impl FnOnce()) {
    match level {
        #[cfg(not(target_feature = "simd128"))]
        Level::Fused | Level::Rounded => work(),
        // What the crate is compiled for anyway.
        #[cfg(target_arch = "aarch64")]
        Level::Neon => work(),
        #[cfg(target_feature = "simd128")]
        Level::Simd128 => work(),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            assert!(has_avx2(), "a level that the processor has not");
            // SAFETY: as just checked.
            unsafe { x86_64::with_avx2(work) }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            assert!(has_avx512(), "a level that the processor has not");
            // SAFETY: as just checked.
            unsafe { x86_64::with_avx512(work) }
        }
    }
}

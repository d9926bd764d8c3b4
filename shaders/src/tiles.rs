//! Products of matrices by the tiles of AMX, which recent Xeons have: sixteen rows of 64 bytes, and one instruction for
//! 16 x 16 sums of 32 products each.
//!
//! The tiles multiply bf16 and add up in f32. A number is split into two of bf16, one next to it and one next to what is left
//! ([`words`]), and of the four products of two such numbers the three largest are added up. What is lost is about as much
//! as a Winograd convolution loses, some 2e-6 of the result, and the rest is still several times faster than vectors.
//!
//! Where there are no tiles the same is computed by plain loops, for the tests alone: [`there`] says who should come here.

pub(crate) mod matrix;
pub(crate) mod words;

/// Rows and columns of a block of results: two tiles either way.
pub(crate) const SIDE: usize = 32;
/// Words of a tile, each a pair of bf16.
pub(crate) const TILE: usize = 16 * 16;
/// Words of one step of a [packed](Packed) side.
pub(crate) const QUAD: usize = 4 * TILE;
/// Terms of the sums that one step adds.
pub(crate) const DEPTH: usize = 32;

/// A block of results, row by row.
pub(crate) type Square = [f32; SIDE * SIDE];

/// One side of a product in the order in which it is used. Step by step 32 terms of 32 rows or columns: four tiles, the
/// first sixteen and the second sixteen, and the same of the low parts.
pub(crate) type Packed = [u32];

/// The other side of a product: 32 rows of its terms, or 32 columns of its pairs of terms, that lie apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread<'a> {
    pub(crate) words: &'a [u32],
    /// Bytes from one line of a tile to the next.
    pub(crate) line: usize,
    /// Bytes from the first tile to its neighbour.
    pub(crate) neighbour: usize,
    /// Bytes from the high parts to the low ones.
    pub(crate) low: usize,
}

/// Where the [spread](Spread) side of each step begins, in bytes.
#[derive(Debug)]
pub(crate) struct Steps {
    offsets: Vec<usize>,
    furthest: usize,
}

impl From<Vec<usize>> for Steps {
    fn from(offsets: Vec<usize>) -> Self {
        let furthest = offsets.iter().max().copied().unwrap_or_default();
        Self { offsets, furthest }
    }
}

impl Steps {
    pub(crate) fn count(&self) -> usize {
        self.offsets.len()
    }
}

/// Which side of a product its packed one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The rows: the other one has columns.
    Rows,
    /// The columns: the other one has rows.
    Columns,
}

/// The tiles of this thread, ready for use. They are given back with it.
pub(crate) struct Tiles {
    real: bool,
}

impl Tiles {
    /// Gets them ready.
    pub(crate) fn here() -> Self {
        let real = there();
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if real {
            amx::configure();
        }
        Self { real }
    }

    /// Tiles made of loops, which every machine has.
    #[cfg(test)]
    pub(crate) fn of_loops() -> Self {
        Self { real: false }
    }

    /// The block of sums over all `steps`, those of `spread` from byte `first` on.
    pub(crate) fn product(
        &self,
        side: Side,
        packed: &Packed,
        (spread, first): (&Spread<'_>, usize),
        steps: &Steps,
        to: &mut Square,
    ) {
        let reach = first + steps.furthest + spread.neighbour + spread.low + 15 * spread.line + 4 * 16;
        assert!(packed.len() >= steps.offsets.len() * QUAD && reach <= 4 * spread.words.len());
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if self.real {
            return amx::product(side, packed, (spread, first), &steps.offsets, to);
        }
        debug_assert!(!self.real);
        loops::product(side, packed, (spread, first), &steps.offsets, to);
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if self.real {
            amx::release();
        }
    }
}

/// Whether this processor has tiles for bf16 and the system lets us use them.
pub(crate) fn there() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        static THERE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *THERE.get_or_init(amx::permitted)
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    use std::arch::asm;
    use std::arch::x86_64::__cpuid_count;

    use super::{Packed, Side, Spread, Square};

    /// Linux lets a process use tiles when it asks (`arch_prctl`, since 5.16).
    const REQUEST: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;

    pub(super) fn permitted() -> bool {
        let has = |bit: u32| __cpuid_count(7, 0).edx >> bit & 1 == 1;
        let (bf16, tiles) = (22, 24);
        if !std::is_x86_feature_detected!("avx512f") || !has(bf16) || !has(tiles) {
            return false;
        }
        #[expect(unsafe_code, reason = "asks the system for leave")]
        // SAFETY: the call takes two numbers and changes what this process may do, no memory.
        unsafe {
            libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) == 0
        }
    }

    /// What `ldtilecfg` reads: eight tiles of sixteen rows of 64 bytes.
    #[repr(C, align(64))]
    struct Shapes {
        palette: u8,
        start: u8,
        reserved: [u8; 14],
        bytes: [u16; 16],
        rows: [u8; 16],
    }

    static SHAPES: Shapes = {
        let (mut bytes, mut rows) = ([0; 16], [0; 16]);
        let mut tile = 0;
        while tile < 8 {
            (bytes[tile], rows[tile]) = (64, 16);
            tile += 1;
        }
        Shapes { palette: 1, start: 0, reserved: [0; 14], bytes, rows }
    };

    #[expect(unsafe_code, reason = "an instruction without an intrinsic")]
    pub(super) fn configure() {
        // SAFETY: the tiles are there and permitted; what is read are the 64 bytes of `SHAPES`.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, preserves_flags, readonly)) }
    }

    #[expect(unsafe_code, reason = "an instruction without an intrinsic")]
    pub(super) fn release() {
        // SAFETY: the tiles are there and permitted, and nobody expects anything in them.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) }
    }

    /// Loads a packed pair of tiles to 4 and 5, and a spread pair to 6 and 7, and multiplies each by each.
    macro_rules! step {
        ($first:literal, $second:literal, $third:literal, $fourth:literal) => {
            concat!(
                "tdpbf16ps tmm0, ", $first, "\n", "tdpbf16ps tmm1, ", $second, "\n",
                "tdpbf16ps tmm2, ", $third, "\n", "tdpbf16ps tmm3, ", $fourth, "\n",
            )
        };
    }

    macro_rules! product {
        ($packed:ident, $spread:ident, $first:ident, $offsets:ident, $to:ident, $step:expr) => {
            asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                "2:",
                "mov {at}, [{offsets}]",
                "add {at}, {spread}",
                "tileloadd tmm4, [{packed} + {word}*1]",
                "tileloadd tmm6, [{at} + {line}*1]",
                "tileloadd tmm5, [{packed} + {word}*1 + 1024]",
                "add {at}, {neighbour}",
                "tileloadd tmm7, [{at} + {line}*1]",
                $step,
                "tileloadd tmm4, [{packed} + {word}*1 + 2048]",
                "tileloadd tmm5, [{packed} + {word}*1 + 3072]",
                $step,
                "add {at}, {low}",
                "tileloadd tmm7, [{at} + {line}*1]",
                "sub {at}, {neighbour}",
                "tileloadd tmm6, [{at} + {line}*1]",
                "tileloadd tmm4, [{packed} + {word}*1]",
                "tileloadd tmm5, [{packed} + {word}*1 + 1024]",
                $step,
                "add {packed}, 4096",
                "add {offsets}, 8",
                "dec {count}",
                "jnz 2b",
                "tilestored [{to} + {row}*1], tmm0",
                "tilestored [{to} + {row}*1 + 64], tmm1",
                "tilestored [{to} + {row}*1 + 2048], tmm2",
                "tilestored [{to} + {row}*1 + 2112], tmm3",
                packed = inout(reg) $packed.as_ptr() => _,
                offsets = inout(reg) $offsets.as_ptr() => _,
                count = inout(reg) $offsets.len() => _,
                at = out(reg) _,
                spread = in(reg) $spread.words.as_ptr().cast::<u8>().wrapping_add($first),
                line = in(reg) $spread.line,
                neighbour = in(reg) $spread.neighbour,
                low = in(reg) $spread.low,
                word = in(reg) 64usize,
                row = in(reg) 128usize,
                to = in(reg) $to.as_mut_ptr(),
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            )
        };
    }

    /// See [`super::Tiles::product`], which has checked the sizes.
    #[expect(unsafe_code, reason = "instructions without intrinsics")]
    pub(super) fn product(
        side: Side,
        packed: &Packed,
        (spread, first): (&Spread<'_>, usize),
        offsets: &[usize],
        to: &mut Square,
    ) {
        if offsets.is_empty() {
            return to.fill(0.0);
        }
        // SAFETY: the tiles are there, permitted and configured by whoever has a `Tiles`; the caller has checked that the
        // packed side has four tiles for every step and the other one all that the steps reach; `to` has room for four.
        unsafe {
            match side {
                Side::Rows => product!(
                    packed, spread, first, offsets, to,
                    step!("tmm4, tmm6", "tmm4, tmm7", "tmm5, tmm6", "tmm5, tmm7")
                ),
                Side::Columns => product!(
                    packed, spread, first, offsets, to,
                    step!("tmm6, tmm4", "tmm6, tmm5", "tmm7, tmm4", "tmm7, tmm5")
                ),
            }
        }
    }
}

/// The specification of the above.
mod loops {
    use super::{Packed, QUAD, SIDE, Side, Spread, Square, TILE};

    pub(super) fn product(
        side: Side,
        packed: &Packed,
        (spread, first): (&Spread<'_>, usize),
        offsets: &[usize],
        to: &mut Square,
    ) {
        to.fill(0.0);
        let halves: &[u16] = bytemuck::cast_slice(spread.words);
        let packed: &[u16] = bytemuck::cast_slice(packed);
        for (packed, offset) in packed.chunks_exact(2 * QUAD).zip(offsets) {
            for (p, s) in [(0, 0), (1, 0), (0, 1)] {
                for block in 0..4 {
                    let (row, column) = (block / 2, block % 2);
                    let (of_packed, of_spread) = if side == Side::Rows { (row, column) } else { (column, row) };
                    let packed = &packed[2 * TILE * (2 * p + of_packed)..][..2 * TILE];
                    let at = first + offset + of_spread * spread.neighbour + s * spread.low;
                    let spread = |line: usize| &halves[(at + line * spread.line) / 2..][..32];
                    let (rows, pairs): (&dyn Fn(usize) -> _, &dyn Fn(usize) -> _) = match side {
                        Side::Rows => (&|line| &packed[32 * line..][..32], &spread),
                        Side::Columns => (&spread, &|line| &packed[32 * line..][..32]),
                    };
                    tile(rows, pairs, &mut to[16 * (SIDE * row + column)..]);
                }
            }
        }
    }

    /// Adds the products of sixteen rows and sixteen columns, which come in pairs of terms.
    fn tile<'a>(rows: impl Fn(usize) -> &'a [u16], pairs: impl Fn(usize) -> &'a [u16], to: &mut [f32]) {
        let number = |half: u16| f32::from_bits(u32::from(half) << 16);
        for k in 0..16 {
            let pairs = pairs(k);
            for (row, to) in to.chunks_mut(SIDE).take(16).enumerate() {
                for (to, pair) in to.iter_mut().zip(pairs.chunks_exact(2)) {
                    *to += number(rows(row)[2 * k]) * number(pair[0]) + number(rows(row)[2 * k + 1]) * number(pair[1]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(n: usize, seed: f32) -> Vec<u32> {
        let number = |i: usize, seed: f32| words::split((i as f32 * 1.7 + seed).sin())[0];
        (0..n).map(|i| number(i, seed) >> 16 | number(i, seed + 0.7)).collect()
    }

    /// The instructions, where there are any, do what the loops do.
    #[test]
    fn real_tiles_agree_with_loops_at_any_place() {
        let (packed, words) = (halves(3 * QUAD, 0.1), halves(4096, 1.9));
        let spread = Spread { words: &words, line: 4 * 50, neighbour: 4 * 16, low: 4 * 1021 };
        for side in [Side::Rows, Side::Columns] {
            for (first, offsets) in [(0, vec![0, 2, 4 * 700]), (6, vec![4 * 512, 0]), (0, vec![]), (2, vec![8])] {
                let steps = Steps::from(offsets);
                let mut got = [[7f32; SIDE * SIDE]; 2];
                for (tiles, got) in [Tiles::here(), Tiles::of_loops()].iter().zip(&mut got) {
                    tiles.product(side, &packed, (&spread, first), &steps, got);
                }
                for (i, (real, want)) in got[0].iter().zip(&got[1]).enumerate() {
                    assert!((real - want).abs() < 1e-4, "{side:?}, {i}: {real} against {want}");
                }
                assert_eq!(got[1].iter().all(|v| *v == 0.0), steps.offsets.is_empty());
            }
        }
    }

    #[test]
    #[should_panic(expected = "reach <= 4 * spread.words.len()")]
    fn what_lies_outside_is_never_read() {
        let (packed, words) = (halves(QUAD, 0.1), halves(15 * 16 + 16 + 16, 1.9));
        let spread = Spread { words: &words, line: 64, neighbour: 64, low: 4 };
        Tiles::here().product(Side::Rows, &packed, (&spread, 0), &vec![0].into(), &mut [0.0; SIDE * SIDE]);
    }
}

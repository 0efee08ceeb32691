//! The structural hash of a value: 128 bits, the same on every machine, stable while `VERSION` stands.
//!
//! Two lanes of folded 64x64 multiplication over the operator's salt and the operands' hashes. Not
//! cryptographic: it names programs, and nothing is believed on its word but equality.

/// Raised whenever the hash of any program changes.
pub const VERSION: u64 = 1;

/// Hash of one value: of its operator, constants and operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash {
    /// First lane.
    pub high: u64,
    /// Second lane.
    pub low: u64,
}

const A: u64 = 0x9e37_79b9_7f4a_7c15;
const B: u64 = 0xd1b5_4a32_d192_ed03;
const C: u64 = 0x8cb9_2ba7_2f3d_8dd7;
const D: u64 = 0xaef1_7502_b3dd_3ca3;

/// Product of two 64-bit numbers, its halves folded together.
#[inline(always)]
const fn fold(x: u64, y: u64) -> u64 {
    let product = (x as u128).wrapping_mul(y as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Hash of `operator(left, right)`; the order matters.
#[inline(always)]
pub const fn pair(salt: Hash, left: Hash, right: Hash) -> Hash {
    Hash {
        high: fold(left.high ^ salt.high, right.high.rotate_left(23) ^ A).wrapping_add(left.low ^ salt.low),
        low: fold(left.low ^ salt.low ^ B, right.low.rotate_left(29) ^ C).wrapping_add(right.high),
    }
}

/// Hash of `operator(value)` with a plain number beside it (axes removed, quantile, input's name).
#[inline(always)]
pub const fn single(salt: Hash, value: Hash, number: u64) -> Hash {
    pair(salt, value, Hash { high: number ^ D, low: number.rotate_left(32) ^ A })
}

/// Hash of a constant: of its bits, minus zero apart from zero.
#[inline(always)]
pub const fn constant(salt: Hash, bits: u64) -> Hash {
    single(salt, Hash { high: C, low: D }, bits)
}

/// Hash of a name, byte by byte.
pub const fn salt(name: &[u8]) -> Hash {
    let mut state = Hash { high: A ^ VERSION, low: B ^ (name.len() as u64) };
    let mut at = 0;
    while at < name.len() {
        let byte = name[at] as u64;
        state = Hash { high: fold(state.high ^ byte, C), low: fold(state.low ^ byte, D) };
        state =
            Hash { high: state.high.wrapping_add(state.low), low: state.low ^ state.high.rotate_left(17) };
        at += 1;
    }
    state
}

impl Hash {
    /// As one number.
    pub const fn value(self) -> u128 {
        ((self.high as u128) << 64) | self.low as u128
    }

    /// As 32 hexadecimal digits.
    pub fn hex(self) -> String {
        format!("{:032x}", self.value())
    }
}

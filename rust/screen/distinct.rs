//! A list of texts to those that differ, and where each of the list stands among them.

use std::hash::{BuildHasher, RandomState};

/// The different texts in the order they come first, and the place of each source among them.
///
/// Hashes are seeded anew on each call, so that no list of texts can be made slow on purpose; what is found does not
/// depend on them, since texts are compared.
pub fn texts<S: AsRef<[u8]>>(sources: &[S]) -> (Vec<&[u8]>, Vec<u32>) {
    let random = RandomState::new();
    let seed = [random.hash_one(0_u8), random.hash_one(1_u8) | 1];
    let size = (2 * sources.len()).next_power_of_two();
    let shift = 64 - size.trailing_zeros().max(1);
    /// A slot without a text.
    const EMPTY: Slot = Slot { tag: 0, place: u32::MAX };
    let mut slots = vec![EMPTY; size.max(2)];
    let (mut texts, mut places) = (Vec::with_capacity(sources.len()), Vec::with_capacity(sources.len()));
    for source in sources {
        let text = source.as_ref();
        let hash = hash(text, seed);
        let mut at = (hash >> shift) as usize;
        while let Some(slot) = slots.get_mut(at % size.max(2)) {
            if slot.place == u32::MAX {
                *slot = Slot { tag: hash as u32, place: texts.len() as u32 };
                places.push(slot.place);
                texts.push(text);
                break;
            }
            if slot.tag == hash as u32 && texts.get(slot.place as usize) == Some(&text) {
                places.push(slot.place);
                break;
            }
            at += 1;
        }
    }
    (texts, places)
}

#[derive(Clone, Copy)]
struct Slot {
    /// Low bits of the text's hash.
    tag: u32,
    place: u32,
}

/// Sixteen bytes a step: each step's two words, mixed with the state, are multiplied and the product folded.
#[inline(always)]
fn hash(text: &[u8], [mut state, factor]: [u64; 2]) -> u64 {
    let fold = |x: u64, y: u64| {
        let product = u128::from(x) * u128::from(y);
        product as u64 ^ (product >> 64) as u64
    };
    let (blocks, rest) = text.as_chunks::<16>();
    let mut last = [0; 16];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    for block in blocks.iter().chain([&last]) {
        let word = u128::from_le_bytes(*block);
        state = fold(word as u64 ^ state, (word >> 64) as u64 ^ factor).wrapping_add(state.rotate_left(25));
    }
    fold(state ^ text.len() as u64, factor)
}

//! Texts that begin alike side by side, so that the offspring of one parent meet in one tile.

/// Bytes of a text that it is placed by; with the place in the list they fill a `u128`.
const BEGINNING: usize = 12;

/// The texts by their first bytes, equal ones in the order they had, and the places of the sources among them.
///
/// `places` names for each source its text; what is returned names the same texts where they stand now.
pub fn together<'a>(texts: &[&'a [u8]], places: &[u32]) -> (Vec<&'a [u8]>, Vec<u32>) {
    // First bytes and place in one number, which is compared in one step.
    let mut order: Vec<u128> =
        texts.iter().zip(0..).map(|(text, place)| beginning(text) << 32 | place).collect();
    order.sort_unstable();
    let text = |key: u128| texts.get(key as u32 as usize).copied().unwrap_or_default();
    let mut moved = vec![0; texts.len()];
    for (key, now) in order.iter().zip(0..) {
        if let Some(place) = moved.get_mut(*key as u32 as usize) {
            *place = now;
        }
    }
    let place = |&before: &u32| moved.get(before as usize).copied().unwrap_or_default();
    (order.iter().map(|key| text(*key)).collect(), places.iter().map(place).collect())
}

/// The first bytes as one number, which orders as they do.
#[inline(always)]
fn beginning(text: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    bytes.iter_mut().skip(16 - BEGINNING).zip(text).for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(bytes)
}

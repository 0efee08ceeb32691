//! Texts that begin alike side by side, so that the offspring of one parent meet in one tile.

/// Bytes of a text that it is placed by.
const BEGINNING: usize = 16;

/// The texts by their first bytes, equal ones in the order they had, and the places of the sources among them.
///
/// `places` names for each source its text; what is returned names the same texts where they stand now.
pub fn together<'a>(texts: &[&'a [u8]], places: &[u32]) -> (Vec<&'a [u8]>, Vec<u32>) {
    let mut order: Vec<(u128, u32)> = texts.iter().map(|text| beginning(text)).zip(0..).collect();
    order.sort_unstable();
    let mut moved = vec![0; texts.len()];
    for (&(_, before), now) in order.iter().zip(0..) {
        if let Some(place) = moved.get_mut(before as usize) {
            *place = now;
        }
    }
    let text = |&(_, before): &(u128, u32)| texts.get(before as usize).copied().unwrap_or_default();
    let place = |&before: &u32| moved.get(before as usize).copied().unwrap_or_default();
    (order.iter().map(text).collect(), places.iter().map(place).collect())
}

/// The first bytes as one number, which orders as they do.
#[inline(always)]
fn beginning(text: &[u8]) -> u128 {
    let mut bytes = [0; BEGINNING];
    bytes.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(bytes)
}

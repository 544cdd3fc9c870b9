//! Sets of pairs, compared without being held.

use indelible_log::LogError;

/// A prime; what fits below it is multiplied without losing anything.
const PRIME: u64 = (1 << 61) - 1;
fn multiply(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    let sum = (wide & u128::from(PRIME)) as u64 + (wide >> 61) as u64;
    if sum >= PRIME { sum - PRIME } else { sum }
}

/// Two points, chosen when the check begins, at which polynomials are compared.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Points([(u64, u64); 2]);

impl Points {
    pub(super) fn random() -> Result<Self, LogError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|e| LogError::Invalid(format!("the system gives no random bytes: {e}")))?;
        let mut words =
            bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word) % PRIME);
        let mut next = || words.next().unwrap_or(1);
        Ok(Self([(next(), next()), (next(), next())]))
    }
}

/// A set of (hash, index) pairs, by the product of x - hash - y·index at two points:
/// other pairs have it with a chance of less than their number over 2^61, at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    count: u64,
    products: [u64; 2],
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self { count: 0, products: [1, 1] }
    }
}

impl Fingerprint {
    pub(super) fn add(&mut self, points: &Points, hash: u64, index: u64) {
        self.count += 1;
        for (product, (x, y)) in self.products.iter_mut().zip(points.0) {
            let taken = (hash + multiply(y, index % PRIME)) % PRIME;
            *product = multiply(*product, (x + PRIME - taken) % PRIME);
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.count += other.count;
        for (product, more) in self.products.iter_mut().zip(other.products) {
            *product = multiply(*product, more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_a_set_and_of_no_other() {
        let points = Points::random().unwrap();
        let of = |pairs: &[(u64, u64)]| {
            let mut found = Fingerprint::default();
            pairs.iter().for_each(|(hash, index)| found.add(&points, *hash, *index));
            found
        };
        let (one, two) = ([(5, 0), (9, 1), ((1 << 36) - 1, 70_000)], [(9, 1), (5, 0)]);
        let mut joined = of(&two);
        joined.join(&of(&one[2..]));
        assert_eq!(joined, of(&one), "in any order, in any parts");
        for other in [
            [(5, 1), (9, 0), ((1 << 36) - 1, 70_000)],
            [(5, 0), (9, 1), ((1 << 36) - 1, 70_001)],
            [(5, 0), (5, 0), ((1 << 36) - 1, 70_000)],
            [(6, 0), (8, 1), ((1 << 36) - 1, 70_000)],
        ] {
            assert_ne!(of(&other), of(&one), "{other:?}");
        }
    }
}

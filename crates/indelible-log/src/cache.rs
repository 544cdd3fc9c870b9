//! A small cache by weight, least recently used first out.

use parking_lot::Mutex;
use std::{collections::HashMap, fmt, hash::Hash};

pub(crate) struct Cache<K, V> {
    inner: Mutex<Inner<K, V>>,
    capacity: usize,
}

struct Inner<K, V> {
    items: HashMap<K, (V, usize, u64)>,
    weight: usize,
    clock: u64,
}

impl<K: Hash + Eq + Copy, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { inner: Mutex::new(Inner { items: HashMap::new(), weight: 0, clock: 0 }), capacity }
    }

    /// The value of `key`, made by `make` (outside the lock) if it is not there.
    pub(crate) fn get_or<E>(
        &self,
        key: K,
        weigh: impl Fn(&V) -> usize,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        if let Some(value) = self.inner.lock().touch(&key) {
            return Ok(value);
        }
        let value = make()?;
        let weight = weigh(&value);
        let mut inner = self.inner.lock();
        inner.clock += 1;
        let clock = inner.clock;
        if let Some((_, old, _)) = inner.items.insert(key, (value.clone(), weight, clock)) {
            inner.weight -= old;
        }
        inner.weight += weight;
        while inner.weight > self.capacity && inner.items.len() > 1 {
            inner.evict_oldest();
        }
        Ok(value)
    }
}

impl<K: Hash + Eq + Copy, V: Clone> Inner<K, V> {
    fn touch(&mut self, key: &K) -> Option<V> {
        self.clock += 1;
        let clock = self.clock;
        let (value, _, used) = self.items.get_mut(key)?;
        *used = clock;
        Some(value.clone())
    }

    fn evict_oldest(&mut self) {
        let oldest = self.items.iter().min_by_key(|(_, (_, _, used))| *used).map(|(key, _)| *key);
        if let Some((_, weight, _)) = oldest.and_then(|key| self.items.remove(&key)) {
            self.weight -= weight;
        }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = Cache::new(2);
        let get = |key: u32, value: Option<u32>| cache.get_or(key, |_| 1, || value.ok_or(()));
        assert_eq!(get(1, Some(10)), Ok(10));
        assert_eq!(get(2, Some(20)), Ok(20));
        assert_eq!(get(1, None), Ok(10));
        assert_eq!(get(3, Some(30)), Ok(30));
        assert_eq!(get(1, None), Ok(10));
        assert_eq!(get(2, None), Err(()));
    }
}

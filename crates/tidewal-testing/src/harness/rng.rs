//! Random numbers from a seed.

/// A small generator of our own, so a seed always gives the same run.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        // Xorshift64* (Vigna 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    /// True with probability 1 / `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    /// The length of a record.
    pub fn len(&mut self) -> usize {
        let most = [30, 600, 5000, 12_000][usize::try_from(self.roll(4)).unwrap()];
        usize::try_from(self.roll(most)).unwrap()
    }

    /// From 1 to `most`.
    pub fn count(&mut self, most: u64) -> usize {
        usize::try_from(1 + self.roll(most)).unwrap()
    }
}

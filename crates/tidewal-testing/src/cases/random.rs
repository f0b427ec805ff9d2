//! Random inputs, for runs without a fuzzer.

/// A random input. Some of its bytes are zero, which leaves things sound, and some are small.
pub fn bytes_by_chance(seed: u64) -> Vec<u8> {
    let mut random = SplitMix(seed);
    let (len, zeros, small) = (random.below(400), random.below(100), random.below(100));
    let mut byte = || {
        let byte = random.next().to_le_bytes()[0];
        match (random.below(100) < zeros, random.below(100) < small) {
            (true, _) => 0,
            (_, true) => byte % 16,
            _ => byte,
        }
    };
    (0..len).map(|_| byte()).collect()
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

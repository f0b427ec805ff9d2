//! Bytes as decisions.

/// What the fuzzer's bytes decide, taken from the front. Once they have run out every byte is 0.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(&data[..data.len().min(LEN_MAX)])
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Up to `len` bytes as they are; fewer at the end.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A number of `len` bytes.
    pub fn number(&mut self, len: usize) -> u64 {
        (0..len).fold(0, |number, at| number | u64::from(self.byte()) << (8 * at))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = if bound <= 256 {
            self.number(1)
        } else {
            self.number(3)
        };
        usize::try_from(number).unwrap() % bound.max(1)
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// The bytes of an input that are used. What is longer is cut.
const LEN_MAX: usize = 4096;

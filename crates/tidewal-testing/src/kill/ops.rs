//! What the producers append: a function of the producer and its append number, so the killed
//! process and the one that checks its log agree without communication.

use tidewal::Durability;

use super::random::Random;

/// One append: the `number`th one of a producer in one life of the process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OpId {
    pub producer: u32,
    pub life: u32,
    pub number: u32,
}

/// How an append is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Op {
    /// More than one is an atomic batch.
    pub records: u32,
    pub durability: Durability,
    /// Whether the records are so large that a process is likely to be killed while it writes them.
    pub is_bulky: bool,
}

/// One record of an append.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecordId {
    pub op: OpId,
    pub index: u32,
}

impl OpId {
    /// How this append is made: most are single and durable.
    pub fn plan(self, seed: u64) -> Op {
        let mut random = self.random(seed, u32::MAX);
        let (records, durability, is_bulky) = match random.below(24) {
            0 => (4 + random.below(5), Durability::Durable, true),
            1..=3 => (2 + random.below(7), Durability::Durable, false),
            4..=8 => (1, Durability::Written, false),
            _ => (1, Durability::Durable, false),
        };
        Op {
            records: u32::try_from(records).unwrap(),
            durability,
            is_bulky,
        }
    }

    pub fn payloads(self, seed: u64) -> Vec<Vec<u8>> {
        let records = 0..self.plan(seed).records;
        let ids = records.map(|index| RecordId { op: self, index });
        ids.map(|id| id.payload(seed)).collect()
    }

    fn random(self, seed: u64, index: u32) -> Random {
        let words = [self.producer, self.life, self.number, index];
        let mixed = words.into_iter().fold(seed, |mixed, word| {
            Random::new(mixed ^ u64::from(word)).number()
        });
        Random::new(mixed)
    }
}

impl RecordId {
    /// The id of the record, then unique filler bytes of a unique length.
    pub fn payload(self, seed: u64) -> Vec<u8> {
        let Self { op, index } = self;
        let mut random = op.random(seed, index);
        let longest = match random.below(50) {
            _ if op.plan(seed).is_bulky => 14_000,
            0 => 20_000,
            1..=5 => 4_000,
            _ => 300,
        };
        let len = ID_LEN + usize::try_from(random.below(longest)).unwrap();
        let fields = [op.producer, op.life, op.number, index];
        let mut bytes: Vec<u8> = fields.into_iter().flat_map(u32::to_le_bytes).collect();
        while bytes.len() < len {
            bytes.extend_from_slice(&random.number().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// Reads the id in a payload, and compares every byte with what that append wrote.
    pub fn recognize(payload: &[u8], seed: u64) -> Option<Self> {
        let mut fields = payload.get(..ID_LEN)?.chunks_exact(4);
        let mut field = || Some(u32::from_le_bytes(fields.next()?.try_into().ok()?));
        let (producer, life, number) = (field()?, field()?, field()?);
        let op = OpId {
            producer,
            life,
            number,
        };
        let id = Self {
            op,
            index: field()?,
        };
        let is_planned = id.index < op.plan(seed).records;
        (is_planned && id.payload(seed) == payload).then_some(id)
    }
}

const ID_LEN: usize = 16;

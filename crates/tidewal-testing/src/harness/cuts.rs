//! Power cuts and kills at every operation of a workload, with every subset of the volatile changes
//! surviving. Then the same while the log recovers from that, and once more while it recovers from
//! that.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use tidewal::sim::{SimDisk, Survival};
use tidewal::{CorruptionKind, Error, WalOptions};

use crate::harness::followers::{Followed, PAUSE, Paces};
use crate::harness::oracle::Oracle;
use crate::harness::steps::Driver;
use crate::harness::steps::Step::{
    self, Append, Batch, Pause, Reopen, Rotate, Sync, Truncate, Written,
};
use crate::harness::{Label, note_trial};
use crate::support::{DIR, options, run};

/// What a service can do with a log. A record of 12,000 bytes is alone in its segment, so the log
/// rotates.
pub const ALPHABET: &[&[Step]] = &[
    &[Append(10)],
    &[Append(6000)],
    &[Batch(3, 1500)],
    &[Written(300), Sync],
    &[Append(12_000)],
    &[Truncate(0)],
    &[Reopen],
    &[Step::Drop],
];

/// The steps that matter to followers: records in memory and on disk, finished and open segments.
pub const FOLLOWED: &[&[Step]] = &[
    &[Append(3000)],
    &[Append(12_000)],
    &[Batch(3, 1500)],
    &[Written(300), Sync],
    &[Append(12_000), Append(12_000), Truncate(0)],
    &[Rotate],
    &[Pause],
    &[Reopen],
];

/// The campaign.
pub struct Cuts {
    pub options: WalOptions,
    /// Every subset of the volatile pieces survives if there are at most this many. Otherwise every
    /// prefix of the changes and some random subsets survive.
    pub pieces_max: usize,
    /// The number of random subsets.
    pub samples: u64,
    /// The number of crashes in a row.
    pub generations: u32,
    /// Whether the medium also loses a page of the newest segment of each disk, with and without a
    /// cached copy.
    pub loses_pages: bool,
    /// Whether the log has followers and a hold in each life. What a follower got survives the crash.
    pub has_followers: bool,
    /// The disks, with their promises, that were tried already. Trying the same one again would show nothing
    /// new.
    tried: HashSet<u64>,
    pub tally: Tally,
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The process is killed, and the machine's cache stays.
    Kill,
    /// The power is cut, and these volatile changes survive.
    Cut(Survival),
}

/// The counts of a campaign.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub workloads: u64,
    /// Ends of a life: kills, and power cuts with one choice of surviving changes each.
    pub ends: u64,
    /// How many of these left a disk that was not seen before.
    pub different: u64,
    /// The number of lost pages.
    pub lost_pages: u64,
    /// Records that followers got before a crash.
    pub followed: u64,
}

impl Cuts {
    pub fn new() -> Self {
        Self {
            options: options(),
            pieces_max: 4,
            samples: 4,
            generations: 3,
            loses_pages: false,
            has_followers: false,
            tried: HashSet::new(),
            tally: Tally::default(),
        }
    }

    /// A campaign with followers, one of which always reads behind the records in memory.
    pub fn followed() -> Self {
        let follow_buffer = 8000;
        Self {
            options: options().follow_buffer_bytes(follow_buffer),
            generations: 1,
            has_followers: true,
            ..Self::new()
        }
    }

    /// Crashes at every operation of one workload.
    pub fn everywhere(&mut self, steps: &[Step]) {
        let operations = self.operations_of(steps).1;
        self.at(steps, 0..operations);
    }

    /// Every workload of up to `depth` of these steps.
    pub fn all_of(&mut self, alphabet: &[&[Step]], depth: usize) {
        self.everywhere(&[]);
        self.extend(&mut Vec::new(), alphabet, depth);
    }

    /// A crash in a workload is either one in a shorter workload, or one in its last step or after
    /// it. So each workload is interrupted from its last step on only.
    fn extend(&mut self, word: &mut Vec<Step>, alphabet: &[&[Step]], depth: usize) {
        if depth == 0 {
            return;
        }
        let (before, _) = self.operations_of(word);
        for steps in alphabet {
            word.extend_from_slice(steps);
            let (_, after) = self.operations_of(word);
            self.at(word, before..after);
            self.extend(word, alphabet, depth - 1);
            word.truncate(word.len() - steps.len());
        }
    }

    /// The number of operations before the last step, and when the log was closed.
    fn operations_of(&self, steps: &[Step]) -> (u64, u64) {
        let (disk, _, at_end) = self.run_until(u64::MAX, steps);
        (at_end, disk.operations())
    }

    fn at(&mut self, steps: &[Step], cuts: Range<u64>) {
        self.tally.workloads += 1;
        for cut in cuts {
            let _label = Label(format!("{steps:?}, cut at operation {cut}"));
            let (disk, oracle, _) = self.run_until(cut, steps);
            self.tally.followed += oracle.followed.len() as u64;
            self.end(&disk, &oracle, 1);
        }
    }

    /// Runs a workload on a disk whose power is cut at operation `cut`.
    fn run_until(&self, cut: u64, steps: &[Step]) -> (SimDisk, Oracle, u64) {
        run(async {
            let disk = SimDisk::new(1);
            disk.set_refuses_shared_reads(self.has_followers);
            disk.cut_power_at(cut);
            let (mut oracle, followed) = (Oracle::default(), Followed::default());
            let mut driver = self.driver(&disk, &mut oracle, &followed);
            let mut outcome = driver.start(steps).await;
            let at_end = disk.operations();
            if self.has_followers
                && let Ok(wal) = outcome
            {
                outcome = driver.go_on(wal, &[Pause]).await;
            }
            assert_only_the_cut_fails(&disk, &outcome);
            // The log closes in the background, which the cut may hit too.
            drop(outcome);
            tokio::time::sleep(PAUSE).await;
            oracle.note_followed(followed.take(), disk.is_off());
            (disk, oracle, at_end)
        })
    }

    fn driver<'a>(
        &'a self,
        disk: &'a SimDisk,
        oracle: &'a mut Oracle,
        followed: &Followed,
    ) -> Driver<'a> {
        let followers = self
            .has_followers
            .then(|| (followed.clone(), Paces::Behind));
        Driver {
            followers,
            ..Driver::new(disk, &self.options, oracle)
        }
    }

    /// Continues from where a life was interrupted, in each way that it may have ended there.
    fn end(&mut self, disk: &SimDisk, oracle: &Oracle, generation: u32) {
        let cuts = self.survivals(disk, generation).into_iter().map(End::Cut);
        for (index, end) in std::iter::once(End::Kill).chain(cuts).enumerate() {
            let _label = Label(format!("generation {generation}, {end:?}, number {index}"));
            note_trial();
            self.tally.ends += 1;
            let (disk, mut oracle) = (disk.fork(), oracle.clone());
            disk.reseed(index as u64);
            end.come(&disk, &mut oracle);
            if self.tried.insert(state_of(&disk, &oracle)) {
                self.tally.different += 1;
                if self.loses_pages {
                    self.lose_page(&disk, &oracle);
                }
                self.live_on(&disk, &oracle, generation);
            }
        }
    }

    /// The medium loses a page of records of the newest segment, one for each disk.
    fn lose_page(&mut self, disk: &SimDisk, oracle: &Oracle) {
        let files = disk.files(DIR).into_iter();
        let Some(newest) = files.rev().find(|name| name.contains(".wal")) else {
            return;
        };
        let path = format!("{DIR}/{newest}");
        let pages = disk.read(&path).map_or(0, |bytes| bytes.len() / PAGE_LEN);
        if pages < 2 {
            return;
        }
        let choice = state_of(disk, oracle);
        let page = 1 + choice % (pages as u64 - 1);
        let offset = page * PAGE_LEN as u64;
        let _label = Label(format!("the page at {offset} of {path} is lost"));
        note_trial();
        self.tally.lost_pages += 1;
        let lost = |is_cached| {
            let disk = disk.fork();
            assert!(disk.make_unreadable(&path, offset, is_cached));
            disk
        };
        self.read_without_page(&lost(false), oracle);
        self.open_below_cache(&lost(true), oracle.clone(), choice);
    }

    /// Either the records before the page are delivered and an error names it, or the page is not
    /// needed.
    fn read_without_page(&self, disk: &SimDisk, oracle: &Oracle) {
        let before = disk.fingerprint();
        let (records, error) = run(async {
            let mut records = Vec::new();
            let reader = self.options.clone().read_on(disk, DIR).await;
            let error = match reader {
                Ok(mut reader) => loop {
                    match reader.try_next().await {
                        Ok(Some(record)) => records.push(record),
                        Ok(None) => break None,
                        Err(error) => break Some(error),
                    }
                },
                Err(error) => Some(error),
            };
            (records, error)
        });
        assert_eq!(disk.fingerprint(), before, "P4: reading changes nothing");
        match error {
            None => oracle.check(&records),
            Some(Error::Corrupt(found)) if found.kind == CorruptionKind::Unreadable => {
                oracle.check_before(found.first, &records);
            }
            Some(error) => panic!("P4: {error}: {error:?}"),
        }
    }

    /// Opening the log never loses a readable copy, wherever the process is killed.
    fn open_below_cache(&self, disk: &SimDisk, mut oracle: Oracle, choice: u64) {
        let whole = disk.fork();
        let operations = {
            let (before, mut oracle) = (whole.operations(), oracle.clone());
            let opened = run(Driver::new(&whole, &self.options, &mut oracle).recover_and_append());
            opened.unwrap_or_else(|error| panic!("the cache has the page: {error}: {error:?}"));
            whole.operations() - before
        };
        disk.cut_power_at(disk.operations() + choice / 64 % operations);
        run(async {
            let mut driver = Driver::new(disk, &self.options, &mut oracle);
            let outcome = driver.recover_and_append().await;
            assert_only_the_cut_fails(disk, &outcome);
        });
        disk.kill();
        let mut driver = Driver::new(disk, &self.options, &mut oracle);
        let again = run(driver.recover());
        again.unwrap_or_else(|error| panic!("P4: the only copy is given up: {error}: {error:?}"));
    }

    fn survivals(&self, disk: &SimDisk, generation: u32) -> Vec<Survival> {
        let pieces = disk.volatile_pieces();
        if pieces <= self.pieces_max {
            return (0..1 << pieces).map(Survival::Pieces).collect();
        }
        let samples = (0..self.samples).map(|_| Survival::Random);
        let changes = disk.volatile_changes();
        let prefixes = if generation == 1 {
            (0..=changes).collect()
        } else {
            vec![0, changes]
        };
        prefixes
            .into_iter()
            .map(Survival::Prefix)
            .chain(samples)
            .collect()
    }

    /// The log recovers and continues, with crashes at every operation of that.
    fn live_on(&mut self, disk: &SimDisk, oracle: &Oracle, generation: u32) {
        let operations = self.live(&disk.fork(), oracle.clone());
        if generation == self.generations {
            return;
        }
        for cut in 0..operations {
            let disk = disk.fork();
            let mut oracle = oracle.clone();
            disk.cut_power_at(disk.operations() + cut);
            let followed = Followed::default();
            run(async {
                let mut driver = self.driver(&disk, &mut oracle, &followed);
                let outcome = driver.recover_and_append().await;
                assert_only_the_cut_fails(&disk, &outcome);
            });
            oracle.note_followed(followed.take(), disk.is_off());
            self.end(&disk, &oracle, generation + 1);
        }
    }

    /// Recovers, appends, closes, recovers again. Returns how many operations it was until the first
    /// append was answered.
    fn live(&self, disk: &SimDisk, mut oracle: Oracle) -> u64 {
        let before = disk.operations();
        let followed = Followed::default();
        let outcome = run(async {
            let mut driver = self.driver(disk, &mut oracle, &followed);
            let wal = driver.recover_and_append().await?;
            let operations = disk.operations() - before;
            driver.go_on(wal, &[Append(3000)]).await?.close().await?;
            driver.recover().await?;
            Ok::<_, Error>(operations)
        });
        oracle.note_followed(followed.take(), false);
        outcome.unwrap_or_else(|error| panic!("P4: {error}: {error:?}"))
    }
}

fn assert_only_the_cut_fails<T>(disk: &SimDisk, outcome: &Result<T, Error>) {
    if let Err(error) = outcome {
        assert!(
            disk.is_off(),
            "nothing but the cut may fail: {error}: {error:?}"
        );
    }
}

/// A hash of the disk and of the promises on it.
fn state_of(disk: &SimDisk, oracle: &Oracle) -> u64 {
    let mut hasher = DefaultHasher::new();
    (disk.fingerprint(), oracle).hash(&mut hasher);
    hasher.finish()
}

impl End {
    fn come(self, disk: &SimDisk, oracle: &mut Oracle) {
        match self {
            Self::Kill => disk.kill(),
            Self::Cut(survival) => {
                disk.restart(survival);
                oracle.forget_written();
            }
        }
    }
}

/// The unit that the medium loses.
const PAGE_LEN: usize = 4096;

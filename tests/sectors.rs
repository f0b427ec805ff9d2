//! Bad sectors: a bad sector costs only the page that contains it, and opening a log never loses
//! the only readable copy of a record.

use tidewal::sim::{SimDisk, Survival};
use tidewal::{CorruptionKind, Error, Wal};
use tidewal_testing::harness::sectors::{
    a_bad_page_costs_that_page, the_only_readable_copy_is_not_given_up,
    the_only_readable_copy_is_not_given_up_on_a_full_disk,
};
use tidewal_testing::support::{DIR, options, run};

#[test]
fn a_page_that_cannot_be_read_costs_that_page() {
    a_bad_page_costs_that_page();
}

#[test]
fn opening_a_log_never_gives_up_the_only_readable_copy() {
    the_only_readable_copy_is_not_given_up();
}

#[test]
fn opening_a_log_on_a_full_disk_never_gives_up_the_only_readable_copy() {
    the_only_readable_copy_is_not_given_up_on_a_full_disk();
}

/// A record of many pages, one of which is bad: it begins before that page and ends after it.
#[test]
fn a_record_across_a_bad_page_is_lost_and_those_before_it_are_not() {
    run(async {
        let disk = SimDisk::new(1);
        let options = Wal::options().segment_size(32 << 20);
        let wal = options.clone().open_on(&disk, DIR).await.unwrap();
        wal.append("before").await.unwrap();
        // Larger than the limit for records that are kept unchecked.
        wal.append(vec![7; 12 << 20]).await.unwrap();
        wal.append("behind").await.unwrap();
        disk.restart(Survival::Nothing);
        let segment = format!("{DIR}/00000000000000000001.wal");
        let page = 4096 * 1500;
        disk.make_unreadable(&segment, page, false);
        let mut reader = options.read_on(&disk, DIR).await.unwrap();
        assert_eq!(reader.try_next().await.unwrap().unwrap().payload, "before");
        let Err(Error::Corrupt(corruption)) = reader.try_next().await else {
            panic!("the record is not there");
        };
        assert_eq!(corruption.kind, CorruptionKind::Unreadable);
        assert_eq!((corruption.offset, corruption.first.get()), (page, 2));
        assert_eq!(corruption.last.get(), 2, "the one behind it proves it");
    });
}

/// A log that ends earlier does not need the rest of a preallocated file.
#[test]
fn a_bad_page_far_behind_the_end_keeps_no_log_from_opening() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        wal.append("record").await.unwrap();
        disk.restart(Survival::Nothing);
        let segment = format!("{DIR}/00000000000000000001.wal");
        disk.make_unreadable(&segment, 3 * 4096, false);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        assert_eq!(wal.durable_lsn().get(), 1);
        wal.append("goes on").await.unwrap();
        wal.close().await.unwrap();
    });
}

/// A proof after the bad page is found, and the error says how much is lost.
#[test]
fn a_bad_page_hides_no_proof_behind_it() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = options().open_on(&disk, DIR).await.unwrap();
        for _ in 0..3 {
            wal.append(vec![1; 3500]).await.unwrap();
        }
        disk.restart(Survival::Nothing);
        let segment = format!("{DIR}/00000000000000000001.wal");
        // The first record is damaged, and the header of the second one is in the bad page after
        // it.
        disk.corrupt(&segment, |bytes| bytes[5000] ^= 1);
        disk.make_unreadable(&segment, 4096 + 3520, false);
        let Err(Error::Corrupt(corruption)) = options().open_on(&disk, DIR).await else {
            panic!("record 3 says that record 2 was durable");
        };
        assert_eq!((corruption.first.get(), corruption.last.get()), (1, 2));
    });
}

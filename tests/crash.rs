//! Power cuts at every operation of short workloads (promises P1 to P4).

use tidewal_testing::harness::cuts::Cuts;
use tidewal_testing::harness::steps::Step::{
    self, Append, Batch, Cancelled, Drop, Idle, Reopen, Sync, Together, Truncate, Written,
};

fn cut_everywhere(name: &'static str, steps: &[Step]) {
    let mut cuts = Cuts::new();
    cuts.everywhere(steps);
    println!("{name}: {:?}", cuts.tally);
}

#[test]
fn single_appends() {
    cut_everywhere("single appends", &[Append(0), Append(100), Append(5000)]);
}

#[test]
fn appends_of_many_producers() {
    cut_everywhere("many producers", &[Together(5, 700), Together(3, 100)]);
}

#[test]
fn atomic_batches() {
    cut_everywhere(
        "batches",
        &[Batch(3, 600), Append(10), Batch(2, 5000), Batch(4, 10)],
    );
}

#[test]
fn rotation() {
    cut_everywhere(
        "rotation",
        &[Append(7000), Append(7000), Append(7000), Append(7000)],
    );
}

#[test]
fn rotation_within_a_batch_of_producers() {
    cut_everywhere("rotation in a batch", &[Append(100), Together(5, 3000)]);
}

#[test]
fn truncation_and_recycling() {
    let fill = [Append(7000), Append(7000), Append(7000)];
    let steps = [
        &fill[..],
        &[Truncate(1)],
        &fill[..],
        &[Truncate(0)],
        &[Append(10)],
    ]
    .concat();
    cut_everywhere("truncation", &steps);
}

#[test]
fn written_records_and_syncs() {
    cut_everywhere(
        "written",
        &[Written(500), Written(600), Sync, Written(700), Append(10)],
    );
}

#[test]
fn clean_closes() {
    cut_everywhere("reopen", &[Append(10), Reopen, Reopen, Append(10), Reopen]);
}

#[test]
fn dropped_logs() {
    cut_everywhere("drop", &[Append(10), Drop, Append(3000), Drop]);
}

#[test]
fn idle_marks() {
    cut_everywhere(
        "idle",
        &[Append(10), Idle, Append(600), Idle, Together(2, 900), Idle],
    );
}

#[test]
fn cancelled_appends() {
    cut_everywhere(
        "cancelled",
        &[
            Append(10),
            Cancelled(3, 600),
            Append(20),
            Cancelled(2, 7000),
        ],
    );
}

#[test]
fn leftovers_in_a_file_that_is_used_again_never_come_back() {
    tidewal_testing::harness::leftovers::leftovers_never_come_back();
}

use super::*;

fn field_of(options: &WalOptions) -> &'static str {
    match options.validate() {
        Err(Error::InvalidOptions { field, bound }) => {
            assert!(!bound.is_empty());
            field
        }
        other => panic!("expected InvalidOptions, got {other:?}"),
    }
}

#[test]
fn the_defaults_are_valid() {
    WalOptions::new().validate().unwrap();
}

#[test]
fn each_bound_names_its_option() {
    let wrong = [
        (
            WalOptions::new().sync_policy(SyncPolicy::Interval(Duration::ZERO)),
            "sync_policy",
        ),
        (
            WalOptions::new().sync_policy(SyncPolicy::Interval(Duration::MAX)),
            "sync_policy",
        ),
        (
            WalOptions::new().segment_size(SEGMENT_SIZE_MIN - 1),
            "segment_size",
        ),
        (
            WalOptions::new().segment_size(SEGMENT_SIZE_MAX + 1),
            "segment_size",
        ),
        (WalOptions::new().max_batch_bytes(0), "max_batch_bytes"),
        (WalOptions::new().max_batch_records(0), "max_batch_records"),
        (
            WalOptions::new()
                .segment_size(1 << 20)
                .max_record_size(1 << 20),
            "max_record_size",
        ),
        (WalOptions::new().queue_bytes(0), "queue_bytes"),
        (WalOptions::new().queue_bytes(1 << 32), "queue_bytes"),
        (WalOptions::new().queue_records(0), "queue_records"),
        (WalOptions::new().spare_segments(65), "spare_segments"),
    ];
    for (options, field) in wrong {
        assert_eq!(field_of(&options), field);
    }
}

#[test]
fn each_bound_is_inclusive() {
    let right = [
        WalOptions::new().segment_size(SEGMENT_SIZE_MIN),
        WalOptions::new().segment_size(SEGMENT_SIZE_MAX),
        WalOptions::new().max_batch_bytes(1).max_batch_records(1),
        WalOptions::new().queue_bytes(1).queue_records(1),
        WalOptions::new().queue_bytes(u32::MAX as usize),
        WalOptions::new().spare_segments(0),
        WalOptions::new().max_record_size(0),
        WalOptions::new()
            .segment_size(SEGMENT_SIZE_MIN)
            .max_record_size(usize::try_from(format::payload_room(SEGMENT_SIZE_MIN)).unwrap()),
    ];
    for options in right {
        options.validate().unwrap();
    }
}

#[test]
fn the_default_record_limit_follows_a_small_segment() {
    let options = WalOptions::new().segment_size(SEGMENT_SIZE_MIN);
    assert_eq!(
        options.payload_limit() as u64,
        format::payload_room(SEGMENT_SIZE_MIN)
    );
}

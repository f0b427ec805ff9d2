//! Every operation of a log, with values.

use futures::{SinkExt, StreamExt, TryStreamExt, stream};
use tidewal::sim::SimDisk;
use tidewal::typed::TypedWal;
use tidewal::{Durability, Error, Lsn, SyncPolicy};

use crate::bank::{Event, event, events};
use crate::helpers::numbered;
use crate::support::{DIR, options, run};
use tidewal_testing::harness::typed::{open, read, recover, write};

#[test]
fn each_way_to_append_appends_the_value() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open::<Event>(&disk).await;
        assert_eq!(wal.append(&event(0)).await.unwrap(), Lsn::new(1));
        let written = wal.append_with(&event(1), Durability::Written).await;
        assert_eq!(written.unwrap(), Lsn::new(2));
        let by_reference = wal.append_batch([&event(2), &event(3)]).await;
        assert_eq!(by_reference.unwrap(), Lsn::new(3)..=Lsn::new(4));
        let by_value = wal.append_batch(vec![event(4), event(5)]).await;
        assert_eq!(by_value.unwrap(), Lsn::new(5)..=Lsn::new(6));
        let submitted = wal.submit(&event(6)).await.unwrap();
        let tried = wal.try_submit(&event(7)).unwrap();
        assert_eq!(submitted.await.unwrap(), Lsn::new(7));
        assert_eq!(tried.await.unwrap(), Lsn::new(8));
        assert_eq!(wal.durable_lsn(), Lsn::new(8));
        assert_eq!(wal.stats().records, 8);
        wal.close().await.unwrap();
        assert_eq!(read::<Event>(&disk).await.unwrap(), events(8));
    });
}

#[test]
fn a_batch_without_values_is_refused() {
    run(async {
        let wal = open::<Event>(&SimDisk::new(1)).await;
        let none: [Event; 0] = [];
        assert!(matches!(
            wal.append_batch(none).await,
            Err(Error::EmptyBatch)
        ));
    });
}

#[test]
fn sync_and_what_is_durable_are_those_of_the_log() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().sync_policy(SyncPolicy::Manual);
        let wal = options.open_on(&disk, DIR).await.unwrap().typed();
        let mut durable = wal.subscribe_durable();
        assert_eq!(durable.next().await, Some(Lsn::ZERO));
        let pending = wal.submit(&event(0)).await.unwrap();
        assert_eq!(wal.sync().await.unwrap(), Lsn::FIRST);
        assert_eq!(durable.next().await, Some(Lsn::FIRST));
        assert_eq!(pending.await.unwrap(), Lsn::FIRST);
        let written = wal.append_with(&event(1), Durability::Written).await;
        assert_eq!(written.unwrap(), Lsn::new(2), "nothing syncs it");
        assert_eq!(wal.durable_lsn(), Lsn::FIRST);
    });
}

#[test]
fn truncated_values_are_not_replayed_and_the_rest_is() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open::<Event>(&disk).await;
        for event in events(1000) {
            wal.append(&event).await.unwrap();
        }
        wal.truncate_before(Lsn::new(900)).await.unwrap();
        wal.close().await.unwrap();
        let rest: Vec<_> = recover::<Event>(&disk).await.try_collect().await.unwrap();
        let first = rest[0].0;
        assert!(first > Lsn::FIRST && first <= Lsn::new(900), "{first}");
        let expected = (first.get() - 1..1000).map(event);
        assert_eq!(rest, numbered(first.get(), expected));
    });
}

#[test]
fn a_replay_begins_where_a_snapshot_ended() {
    run(async {
        let disk = SimDisk::new(1);
        write(&disk, &events(10)).await;
        let options = options().start_at(Lsn::new(8));
        let recovery = options.recover_on(&disk, DIR).await.unwrap();
        let mut recovery = recovery.typed::<Event>();
        for number in 8..=10 {
            let next = recovery.try_next().await.unwrap();
            assert_eq!(next, Some((Lsn::new(number), event(number - 1))));
        }
        assert_eq!(recovery.try_next().await.unwrap(), None);
        assert_eq!(recovery.report().records, 3);
    });
}

#[test]
fn a_reader_reads_values_and_shares_the_log() {
    run(async {
        let disk = SimDisk::new(1);
        write(&disk, &events(10)).await;
        for mut reader in [
            options()
                .read_on(&disk, DIR)
                .await
                .unwrap()
                .typed::<Event>(),
            options()
                .read_on(&disk, DIR)
                .await
                .unwrap()
                .typed::<Event>(),
        ] {
            let first = reader.try_next().await.unwrap();
            assert_eq!(first, Some((Lsn::FIRST, event(0))));
            let rest: Vec<_> = reader.by_ref().try_collect().await.unwrap();
            assert_eq!(rest, numbered(2, (1..10).map(event)));
            assert_eq!(reader.report().records, 10);
        }
    });
}

#[test]
fn clones_are_one_log_and_the_untyped_one_is_the_same() {
    run(async {
        let disk = SimDisk::new(1);
        let wal = open::<Event>(&disk).await;
        wal.clone().append(&event(0)).await.unwrap();
        let again: TypedWal<Event> = wal.untyped().clone().typed();
        again.append(&event(1)).await.unwrap();
        assert_eq!(wal.untyped().durable_lsn(), Lsn::new(2));
        wal.close().await.unwrap();
        assert!(matches!(again.append(&event(2)).await, Err(Error::Closed)));
        assert_eq!(read::<Event>(&disk).await.unwrap(), events(2));
    });
}

#[test]
fn a_stream_of_values_is_forwarded_with_many_in_flight() {
    run(async {
        let disk = SimDisk::new(1);
        let options = options().segment_size(1 << 20);
        let wal = options.open_on(&disk, DIR).await.unwrap().typed::<Event>();
        let stream = stream::iter(events(500)).map(Ok);
        stream.forward(wal.sink()).await.unwrap();
        assert!(wal.stats().syncs <= 2, "{} syncs", wal.stats().syncs);
        let mut sink = wal.sink().max_in_flight(1);
        sink.send(event(500)).await.unwrap();
        sink.close().await.unwrap();
        assert_eq!(sink.untyped().last_lsn(), Some(Lsn::new(501)));
        assert!(sink.into_untyped().into_pending().is_empty());
        wal.close().await.unwrap();
        assert_eq!(read::<Event>(&disk).await.unwrap(), events(501));
    });
}

/// Handles can be sent between tasks, whatever the values are.
#[test]
fn handles_are_send_and_sync() {
    fn assert_send_sync<T: Send + Sync>() {}
    fn assert_send<T: Send + Unpin>() {}
    type Lonely = std::rc::Rc<()>;
    assert_send_sync::<TypedWal<Lonely>>();
    assert_send::<tidewal::typed::TypedRecovery<Lonely>>();
    assert_send::<tidewal::typed::TypedReader<Lonely>>();
    assert_send::<tidewal::typed::TypedSink<Lonely>>();
}

//! The near end against a far end written here.

use std::future::Future;

use prost::Message;
use proto::door::{Recognise, Recognised};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

use super::*;

/// Longer than any test takes: a wait that ends with it is a failure.
const LONG: Duration = Duration::from_secs(60);

/// The far end of one door, by hand.
struct FarEnd {
    stream: UnixStream,
    bytes: Vec<u8>,
}

impl FarEnd {
    async fn read(&mut self) -> Ask {
        loop {
            let mut rest = &self.bytes[..];
            if let Ok(ask) = Ask::decode_length_delimited(&mut rest) {
                self.bytes = rest.to_vec();
                return ask;
            }
            assert!(self.stream.read_buf(&mut self.bytes).await.unwrap() > 0, "the near end closed the door");
        }
    }

    /// The next ask that is not the near end's own for the bundle.
    async fn read_asked(&mut self) -> Ask {
        loop {
            let ask = self.read().await;
            if !matches!(ask.ask, Some(ask::Ask::GetTrustBundle(_))) {
                return ask;
            }
        }
    }

    async fn write(&mut self, id: u64, answer: answer::Answer) {
        let answer = Answer { id, answer: Some(answer) };
        self.stream.write_all(&answer.encode_length_delimited_to_vec()).await.unwrap();
    }
}

struct Fixture {
    keeper: Keeper,
    doors: mpsc::Sender<StdUnixStream>,
    _attending: JoinHandle<()>,
}

impl Fixture {
    fn new(in_flight: usize) -> Self {
        let (doors, incoming) = mpsc::channel(1);
        let keeper = Keeper::new(in_flight);
        let attending = tokio::spawn(keeper.clone().attend(incoming, LONG));
        Self { keeper, doors, _attending: attending }
    }

    async fn open(&self) -> FarEnd {
        let (near, far) = StdUnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        self.doors.send(near).await.unwrap();
        let mut far = FarEnd { stream: UnixStream::from_std(far).unwrap(), bytes: Vec::new() };
        // Its first own question shows that the door is in use.
        assert!(matches!(far.read().await.ask, Some(ask::Ask::GetTrustBundle(_))));
        far
    }

    fn ask(&self) -> impl Future<Output = Result<answer::Answer, Refused>> + use<> {
        let keeper = self.keeper.clone();
        async move { keeper.ask(Caller::default(), LONG, ask::Ask::Recognise(Recognise {})).await }
    }
}

fn recognised(identity: &str) -> answer::Answer {
    answer::Answer::Recognise(Recognised { identity: identity.into() })
}

#[tokio::test]
async fn answers_find_their_askers_in_any_order() {
    let fixture = Fixture::new(8);
    let mut far = fixture.open().await;
    let first = tokio::spawn(fixture.ask());
    let first_id = far.read_asked().await.id;
    let second = tokio::spawn(fixture.ask());
    let second_id = far.read_asked().await.id;
    far.write(99_999, recognised("nobody")).await;
    far.write(second_id, recognised("second")).await;
    far.write(first_id, recognised("first")).await;
    assert_eq!(first.await.unwrap().unwrap(), recognised("first"));
    assert_eq!(second.await.unwrap().unwrap(), recognised("second"));
}

#[tokio::test]
async fn a_refusal_is_an_error_and_the_time_left_goes_along() {
    let fixture = Fixture::new(8);
    let mut far = fixture.open().await;
    let asked = tokio::spawn(fixture.ask());
    let ask = far.read_asked().await;
    assert_eq!(u128::from(ask.timeout_ms), LONG.as_millis());
    far.write(ask.id, answer::Answer::Refused(refused(Reason::NotFound, "no"))).await;
    assert_eq!(asked.await.unwrap().unwrap_err().reason(), Reason::NotFound);
}

#[tokio::test]
async fn whoever_waits_at_a_door_that_dies_is_told_at_once_and_the_next_door_serves() {
    let fixture = Fixture::new(8);
    let mut far = fixture.open().await;
    let waiting = tokio::spawn(fixture.ask());
    far.read_asked().await;
    drop(far);
    let told = waiting.await.unwrap().unwrap_err();
    assert_eq!((told.reason(), told.retry_after_ms), (Reason::KeeperUnavailable, 500));
    fixture.keeper.presence().wait_for(|present| !present).await.unwrap();
    assert_eq!(fixture.ask().await.unwrap_err().reason(), Reason::KeeperUnavailable);

    let mut next = fixture.open().await;
    let asked = tokio::spawn(fixture.ask());
    let ask = next.read_asked().await;
    next.write(ask.id, recognised("again")).await;
    assert_eq!(asked.await.unwrap().unwrap(), recognised("again"));
}

#[tokio::test]
async fn a_new_door_means_that_the_one_before_is_dead() {
    let fixture = Fixture::new(8);
    let mut old = fixture.open().await;
    let waiting = tokio::spawn(fixture.ask());
    old.read_asked().await;
    let _new = fixture.open().await;
    assert_eq!(waiting.await.unwrap().unwrap_err().reason(), Reason::KeeperUnavailable);
}

#[tokio::test]
async fn nonsense_closes_the_door() {
    let fixture = Fixture::new(8);
    let mut far = fixture.open().await;
    let waiting = tokio::spawn(fixture.ask());
    far.read_asked().await;
    far.stream.write_all(&[0xff; 16]).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err().reason(), Reason::KeeperUnavailable);
}

#[tokio::test]
async fn an_asker_who_leaves_leaves_nothing_behind() {
    let fixture = Fixture::new(2);
    let mut far = fixture.open().await;
    let waiting = tokio::spawn(fixture.ask());
    let ask = far.read_asked().await;
    // The other is the near end's own question.
    let entries = || fixture.keeper.0.door.load().as_ref().map_or(0, |door| door.waiting.len());
    assert_eq!(entries(), 2);
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!((entries(), fixture.keeper.0.in_flight.available_permits()), (1, 2));
    // A late answer finds nobody; the next asker is served.
    far.write(ask.id, recognised("late")).await;
    let next = tokio::spawn(fixture.ask());
    let ask = far.read_asked().await;
    far.write(ask.id, recognised("next")).await;
    assert_eq!(next.await.unwrap().unwrap(), recognised("next"));
}

#[tokio::test]
async fn one_too_many_is_refused_at_once() {
    // The near end's own question for the bundle has a place apart.
    let fixture = Fixture::new(1);
    let mut far = fixture.open().await;
    let waiting = tokio::spawn(fixture.ask());
    let ask = far.read_asked().await;
    let told = fixture.ask().await.unwrap_err();
    assert_eq!((told.reason(), told.retry_after_ms), (Reason::QueueFull, 100));
    // Nor does a flood of callers keep out the front itself.
    let keeper = fixture.keeper.clone();
    let front =
        tokio::spawn(async move { keeper.ask_as_front(LONG, ask::Ask::Recognise(Recognise {})).await });
    let fronts = far.read_asked().await;
    far.write(fronts.id, recognised("the front")).await;
    assert_eq!(front.await.unwrap().unwrap(), recognised("the front"));
    far.write(ask.id, recognised("served")).await;
    assert_eq!(waiting.await.unwrap().unwrap(), recognised("served"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_not_waited_for() {
    let fixture = Fixture::new(8);
    let far = fixture.open().await;
    let asked = fixture.ask().await.unwrap_err();
    assert_eq!(asked.reason(), Reason::DeadlineExceeded);
    drop(far);
}

#[tokio::test]
async fn an_empty_answer_is_the_services_fault() {
    let fixture = Fixture::new(8);
    let mut far = fixture.open().await;
    let asked = tokio::spawn(fixture.ask());
    let id = far.read_asked().await.id;
    far.stream.write_all(&Answer { id, answer: None }.encode_length_delimited_to_vec()).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap_err().reason(), Reason::Internal);
}

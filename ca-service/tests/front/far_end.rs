//! The far end of the door: answers as the test says.

use std::{
    collections::HashMap,
    os::unix::net::UnixStream as StdUnixStream,
    sync::{Arc, Mutex},
};

use prost::Message;
use proto::{
    door::{Answer, Ask, CrlChanged, Metrics, Recognised, Refused, answer, ask},
    v1::{Certificate, GetCrlResponse, GetTrustBundleResponse, Reason, TrustBundle},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::pki::{BEGIN_SECS, Pki};

/// A keeper that gives a bundle and a service certificate, recognises everyone, and leaves the rest to the test.
#[derive(Clone)]
pub(crate) struct FarEnd(Arc<State>);

struct State {
    pki: Arc<Pki>,
    bundle: Mutex<TrustBundle>,
    /// Asks that the test is to answer.
    asks: mpsc::UnboundedSender<Ask>,
    answers: Mutex<Option<mpsc::UnboundedSender<Answer>>>,
    /// How often each kind was asked.
    counts: watch::Sender<HashMap<&'static str, usize>>,
    strangers: Mutex<bool>,
    /// Its issuer is "0a".
    crl: Mutex<Option<GetCrlResponse>>,
}

impl FarEnd {
    pub(crate) fn new(pki: Arc<Pki>) -> (Self, mpsc::UnboundedReceiver<Ask>) {
        let (asks, receiver) = mpsc::unbounded_channel();
        let bundle = TrustBundle { number: 1, pem: pki.anchors(), note: "note 1".into(), charters: vec![] };
        let state = State {
            pki,
            bundle: Mutex::new(bundle),
            asks,
            answers: Mutex::default(),
            counts: watch::Sender::default(),
            strangers: Mutex::default(),
            crl: Mutex::default(),
        };
        (Self(Arc::new(state)), receiver)
    }

    /// Opens a door: the near end, and the task that ends it when aborted.
    pub(crate) fn open(&self) -> (StdUnixStream, JoinHandle<()>) {
        let (near, far) = StdUnixStream::pair().unwrap();
        (near, self.serve(far))
    }

    /// Serves this end of a door: the task that ends it when aborted.
    pub(crate) fn serve(&self, far: StdUnixStream) -> JoinHandle<()> {
        far.set_nonblocking(true).unwrap();
        let (mut reading, writing) = UnixStream::from_std(far).unwrap().into_split();
        let (answers, outgoing) = mpsc::unbounded_channel();
        *self.0.answers.lock().unwrap() = Some(answers);
        let this = self.clone();
        tokio::spawn(async move {
            let reader = async {
                let mut bytes = Vec::new();
                while reading.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let mut rest = &bytes[..];
                    while let Some(ask) = take(&mut rest) {
                        this.meet(ask);
                    }
                    bytes = rest.to_vec();
                }
            };
            tokio::select! { () = reader => {}, () = write(writing, outgoing) => {} }
        })
    }

    fn meet(&self, ask: Ask) {
        let (kind, answer) = match ask.ask.as_ref().unwrap() {
            ask::Ask::GetTrustBundle(_) => {
                let bundle = Some(self.0.bundle.lock().unwrap().clone());
                ("bundle", Some(answer::Answer::GetTrustBundle(GetTrustBundleResponse { bundle })))
            }
            ask::Ask::Serve(serve) => {
                let chain = self.0.pki.serve(&serve.csr);
                ("serve", Some(answer::Answer::Certificate(Certificate { chain, ..Certificate::default() })))
            }
            ask::Ask::Recognise(_) if *self.0.strangers.lock().unwrap() => {
                ("recognise", Some(refusal(Reason::CallerRemoved, "removed")))
            }
            ask::Ask::Recognise(_) => {
                ("recognise", Some(answer::Answer::Recognise(Recognised { identity: "/agent/a".into() })))
            }
            ask::Ask::GetCrl(get) => {
                let crl = self.0.crl.lock().unwrap().clone().filter(|_| ["", "0a"].contains(&&*get.issuer));
                let none = || refusal(Reason::NotFound, "none yet");
                ("crl", Some(crl.map_or_else(none, answer::Answer::GetCrl)))
            }
            ask::Ask::GetMetrics(_) => {
                let text = "rootcellar_keeper_entries 7\n# EOF\n".to_owned();
                ("metrics", Some(answer::Answer::GetMetrics(Metrics { text })))
            }
            _ => ("other", None),
        };
        self.0.counts.send_modify(|counts| *counts.entry(kind).or_default() += 1);
        match answer {
            Some(answer) => self.answer(ask.id, answer),
            None => self.0.asks.send(ask).unwrap(),
        }
    }

    pub(crate) fn answer(&self, id: u64, answer: answer::Answer) {
        let answers = self.0.answers.lock().unwrap();
        answers.as_ref().unwrap().send(Answer { id, answer: Some(answer) }).unwrap();
    }

    /// Changes the bundle, and says so unasked.
    pub(crate) fn change_bundle(&self, number: u64, pem: String) {
        let bundle = TrustBundle { number, pem, note: format!("note {number}"), charters: vec![] };
        *self.0.bundle.lock().unwrap() = bundle.clone();
        self.answer(0, answer::Answer::BundleChanged(bundle));
    }

    /// Changes the CRL, good for a day from the beginning, and says so unasked.
    pub(crate) fn change_crl(&self, number: u64, der: &[u8]) {
        let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        *self.0.crl.lock().unwrap() = Some(GetCrlResponse {
            crl: der.to_vec(),
            number,
            this_update: time(BEGIN_SECS),
            next_update: time(BEGIN_SECS + 86_400),
            issuer: "0a".into(),
            ..GetCrlResponse::default()
        });
        self.answer(0, answer::Answer::CrlChanged(CrlChanged { number }));
    }

    /// From now on nobody is recognised.
    pub(crate) fn forget_everyone(&self) {
        *self.0.strangers.lock().unwrap() = true;
    }

    pub(crate) fn count(&self, kind: &'static str) -> usize {
        self.0.counts.borrow().get(kind).copied().unwrap_or(0)
    }

    /// Returns once this was asked so often.
    pub(crate) async fn asked(&self, kind: &'static str, times: usize) {
        let enough = |counts: &HashMap<_, _>| counts.get(kind).is_some_and(|&count| count >= times);
        self.0.counts.subscribe().wait_for(enough).await.unwrap();
    }
}

pub(crate) fn refusal(reason: Reason, message: &str) -> answer::Answer {
    answer::Answer::Refused(Refused { reason: reason.into(), message: message.into(), ..Refused::default() })
}

fn take(rest: &mut &[u8]) -> Option<Ask> {
    let mut ahead = *rest;
    let ask = Ask::decode_length_delimited(&mut ahead).ok()?;
    *rest = ahead;
    Some(ask)
}

async fn write(mut writing: OwnedWriteHalf, mut outgoing: mpsc::UnboundedReceiver<Answer>) {
    while let Some(answer) = outgoing.recv().await {
        if writing.write_all(&answer.encode_length_delimited_to_vec()).await.is_err() {
            return;
        }
    }
}

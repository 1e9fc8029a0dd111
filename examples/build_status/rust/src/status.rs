//! The objects that are served: status, builder, build, subscription. `server.py` serves the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use marotte::{Error, Reference};
use serde::Serialize;
use tokio::sync::Notify;

use crate::folder::{Folder, Problem};
use crate::history::{History, Results, Summary};

/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What the objects share.
#[derive(Default)]
pub(crate) struct Board {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    history: History,
    problems: Vec<Problem>,
    subscriptions: BTreeMap<u64, Subscription>,
    last_subscription: u64,
}

/// Somebody who wants to hear of new builds.
#[derive(Clone)]
struct Subscription {
    observer: Reference,
    ended: Arc<Notify>,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsubscribe(&self, id: u64) {
        if let Some(subscription) = self.state().subscriptions.remove(&id) {
            subscription.ended.notify_waiters();
        }
    }

    /// Looks at the folder once, and tells the observers what is new.
    pub(crate) async fn look(self: &Arc<Self>, mut folder: Folder) -> Folder {
        // Reading may take long: others are served meanwhile.
        let looking = tokio::task::spawn_blocking(move || {
            let found = folder.look();
            (folder, found)
        });
        let (folder, found) = looking.await.expect("looking does not panic");
        for found in found {
            let build = self.state().history.add(found);
            self.tell_all(&build.summary());
        }
        self.set_problems(folder.problems());
        folder
    }

    /// Looks at the folder for ever.
    pub(crate) async fn watch(self: &Arc<Self>, mut folder: Folder) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            folder = self.look(folder).await;
        }
    }

    fn tell_all(self: &Arc<Self>, build: &Summary) {
        // Cloned, as no call may be made under the lock: it could come back to us.
        let subscriptions = self.state().subscriptions.clone();
        for (id, Subscription { observer, .. }) in subscriptions {
            let told = observer.send("buildAdded", &(&build.name, build.number, build));
            let board = Arc::clone(self);
            tokio::spawn(async move {
                // Other failures are the observer's own; it stays subscribed.
                if let Err(Error::Disconnected(_)) = told.when::<()>().await {
                    board.unsubscribe(id);
                }
            });
        }
    }

    fn set_problems(&self, problems: Vec<Problem>) {
        let before = std::mem::replace(&mut self.state().problems, problems.clone());
        if before == problems {
            return;
        }
        for problem in problems.iter().filter(|problem| !before.contains(problem)) {
            eprintln!("left out {}: {}", problem.file, problem.reason);
        }
        let subscriptions = self.state().subscriptions.clone();
        for Subscription { observer, .. } in subscriptions.into_values() {
            // Nobody waits for an answer; a connection that is gone shows at the next build.
            let _ = observer.send_only("problemsChanged", &(&problems,));
        }
    }
}

/// The entry: what the URI names.
pub(crate) struct Status(pub(crate) Arc<Board>);

#[derive(Serialize)]
struct BuilderSummary {
    name: String,
    builds: u64,
    latest: Option<Summary>,
}

#[marotte::remote]
impl Status {
    fn get_builder(&self, name: String) -> Result<Reference, String> {
        self.0.state().history.get(&name)?;
        Ok(Reference::new(Builder {
            board: Arc::clone(&self.0),
            name,
        }))
    }

    fn get_builders(&self) -> Vec<BuilderSummary> {
        let state = self.0.state();
        let summary = |(name, builds): (&String, &crate::history::Builds)| BuilderSummary {
            name: name.clone(),
            builds: builds.iter().len() as u64,
            latest: builds.newest().map(|build| build.summary()),
        };
        state.history.builders().map(summary).collect()
    }

    /// The reports that could not be read.
    fn get_problems(&self) -> Vec<Problem> {
        self.0.state().problems.clone()
    }

    /// Calls `observer.buildAdded(builder, number, summary)` for every build from now on, and
    /// `observer.problemsChanged(problems)`, until the result is cancelled or its connection gone.
    fn subscribe(&self, observer: Reference) -> Reference {
        let ended = Arc::new(Notify::new());
        let mut state = self.0.state();
        state.last_subscription += 1;
        let id = state.last_subscription;
        state.subscriptions.insert(
            id,
            Subscription {
                observer,
                ended: Arc::clone(&ended),
            },
        );
        Reference::new(Subscribed {
            board: Arc::clone(&self.0),
            id,
            ended,
        })
    }
}

/// A subscription, as its observer sees it.
struct Subscribed {
    board: Arc<Board>,
    id: u64,
    ended: Arc<Notify>,
}

#[marotte::remote]
impl Subscribed {
    fn cancel(&self) {
        self.board.unsubscribe(self.id);
    }

    /// Answers when the subscription was cancelled, and breaks when the connection is lost: who
    /// waits for it knows at once.
    async fn when_ended(&self) {
        let ended = self.ended.notified();
        if self.board.state().subscriptions.contains_key(&self.id) {
            ended.await;
        }
    }
}

struct Builder {
    board: Arc<Board>,
    name: String,
}

#[marotte::remote]
impl Builder {
    /// The build of that number; -1 is the newest.
    fn get_build(&self, number: i64) -> Result<Reference, String> {
        let state = self.board.state();
        let build = state.history.get(&self.name)?.get(number)?;
        Ok(Reference::new(Build(Arc::clone(build))))
    }

    /// All builds in short, oldest first.
    fn get_builds(&self) -> Result<Vec<Summary>, String> {
        let state = self.board.state();
        Ok(state
            .history
            .get(&self.name)?
            .iter()
            .map(|build| build.summary())
            .collect())
    }
}

struct Build(Arc<Results>);

#[marotte::remote]
impl Build {
    fn get_results(&self) -> &Results {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marotte::Tub;
    use std::sync::mpsc::{Sender, channel};

    struct Observer(Sender<(String, u64)>);

    #[marotte::remote]
    impl Observer {
        fn build_added(&self, builder: String, number: u64, _summary: Summary) {
            // The test may be over.
            let _ = self.0.send((builder, number));
        }
    }

    #[tokio::test]
    async fn observers_hear_of_builds_until_they_cancel_or_are_gone() -> Result<(), Error> {
        let server = Tub::new();
        server.listen_tcp("127.0.0.1:0").await.expect("a free port");
        let board = Arc::new(Board::default());
        let uri = server.register_reference(Status(Arc::clone(&board)), None)?;
        let add = |finished| {
            let build = board
                .state()
                .history
                .add(crate::folder::Found::for_test("rust", finished));
            board.tell_all(&build.summary());
        };

        let (send, told) = channel();
        let client = Tub::new();
        let status: Reference = client.get_reference(&uri).when().await?;
        let subscribe = || status.send("subscribe", &(Reference::new(Observer(send.clone())),));
        let first: Reference = subscribe().when().await?;
        let second: Reference = subscribe().when().await?;
        let cancelled = first.send("whenEnded", &());
        let lost = second.send("whenEnded", &());
        first.send("cancel", &()).when::<()>().await?;
        cancelled.when::<()>().await?;
        add(1);
        // Answered after what was told before.
        status
            .send("getBuilders", &())
            .when::<marotte::Value>()
            .await?;
        assert_eq!(
            told.try_iter().collect::<Vec<_>>(),
            [("rust".to_owned(), 1)]
        );

        client.close();
        assert!(matches!(
            lost.when::<()>().await,
            Err(Error::Disconnected(_))
        ));
        while !board.state().subscriptions.is_empty() {
            add(2);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

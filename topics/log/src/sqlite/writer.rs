//! The one thread of an open log that writes.
//!
//! It takes everything that waits in its queue and does it in one transaction with one sync. Each request
//! has a savepoint of its own, so that one which is refused takes no other with it; nobody is answered
//! before the sync.

use std::{sync::Arc, thread, time::Duration};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{apply, file::LogFile, identity::Identity, lease, lease::Hold};
use crate::{Commit, Epoch, LogError, Outgoing, failpoints, session::Claim};

/// Requests that wait before callers have to, and that are done in one transaction.
const QUEUE: usize = 64;

/// Something to be written.
pub(super) struct Request {
    pub(super) work: Work,
    /// Answered when it is durable.
    pub(super) reply: oneshot::Sender<Result<Answer, LogError>>,
}

/// What is to be written.
pub(super) enum Work {
    /// Records of nobody's.
    Append(Vec<Outgoing>),
    /// What came out of a member's work.
    Commit { hold: Arc<Hold>, epoch: Epoch, commit: Commit },
    /// Nothing; the answer tells whether the group is still the member's.
    Confirm { hold: Arc<Hold>, epoch: Epoch },
    /// A member asks for its group.
    Claim(Arc<Hold>),
    /// Members hold on to their groups.
    Renew(Vec<Arc<Hold>>),
    /// A member gives its group back.
    Release(Arc<Hold>),
}

/// What a request came to.
pub(super) enum Answer {
    /// It is done.
    Done,
    /// What a claim came to.
    Claimed(Claim),
}

/// Starts the thread. It ends when the last sender of the queue is gone and the queue is empty.
pub(super) fn start(
    file: &LogFile,
    identity: &Identity,
    lease: Duration,
    changes: Arc<watch::Sender<()>>,
) -> Result<mpsc::Sender<Request>, LogError> {
    let (queue, requests) = mpsc::channel(QUEUE);
    let writer = Writer {
        connection: file.connect()?,
        file: file.clone(),
        identity: identity.clone(),
        lease,
        changes,
    };
    thread::Builder::new()
        .name("log-writer".into())
        .spawn(move || writer.run(requests))
        .map_err(|error| file.unavailable(error))?;
    Ok(queue)
}

struct Writer {
    connection: Connection,
    file: LogFile,
    identity: Identity,
    lease: Duration,
    changes: Arc<watch::Sender<()>>,
}

/// Why a request was not done.
enum Fault {
    /// The request is at fault.
    Refused(LogError),
    /// The store is.
    Store(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

impl Writer {
    fn run(self, mut requests: mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(QUEUE);
        while requests.blocking_recv_many(&mut batch, QUEUE) > 0 {
            let (work, replies): (Vec<_>, Vec<_>) =
                batch.drain(..).map(|request| (request.work, request.reply)).unzip();
            let answers = self.transact(&work);
            if work.iter().any(|work| matches!(work, Work::Commit { .. })) {
                failpoints::reached("log::committed", "");
            }
            self.changes.send_replace(());
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(answer);
            }
        }
    }

    /// Does all of it in one transaction, and says what each came to when that is durable.
    fn transact(&self, batch: &[Work]) -> Vec<Result<Answer, LogError>> {
        let attempt = || -> rusqlite::Result<Vec<Result<Answer, LogError>>> {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            let answers = batch.iter().map(|work| self.isolated(work)).collect::<Result<_, _>>()?;
            self.connection.execute_batch("COMMIT")?;
            Ok(answers)
        };
        let error = match attempt() {
            Ok(answers) => return answers,
            Err(error) => error,
        };
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(place = %self.file, %error, "could not roll back");
        }
        match self.file.fault(error) {
            // SQLite gives up the whole transaction; what is small may still fit.
            LogError::Full { .. } if batch.len() > 1 => {
                batch.chunks(1).flat_map(|one| self.transact(one)).collect()
            }
            fault => batch.iter().map(|_| Err(fault.clone())).collect(),
        }
    }

    /// Does one request so that its failure leaves nothing behind. An error here ends the transaction.
    fn isolated(&self, work: &Work) -> rusqlite::Result<Result<Answer, LogError>> {
        self.connection.prepare_cached("SAVEPOINT request")?.execute([])?;
        let answer = match self.execute(work) {
            Ok(answer) => Ok(answer),
            // Some faults of the store have rolled everything back already.
            Err(Fault::Store(error)) if self.connection.is_autocommit() => return Err(error),
            Err(fault) => {
                self.connection.prepare_cached("ROLLBACK TO request")?.execute([])?;
                Err(match fault {
                    Fault::Refused(error) => error,
                    Fault::Store(error) => self.file.fault(error),
                })
            }
        };
        self.connection.prepare_cached("RELEASE request")?.execute([])?;
        Ok(answer)
    }

    fn execute(&self, work: &Work) -> Result<Answer, Fault> {
        let connection = &self.connection;
        match work {
            Work::Append(records) => apply::append(connection, records)?,
            Work::Commit { hold, epoch, commit } => {
                self.require(hold, *epoch)?;
                apply::commit(connection, hold.group, commit)?;
                failpoints::reached("log::inside", "");
            }
            Work::Confirm { hold, epoch } => self.require(hold, *epoch)?,
            Work::Claim(hold) => {
                return Ok(Answer::Claimed(lease::claim(connection, hold, &self.identity, self.lease)?));
            }
            Work::Renew(holds) => {
                for hold in holds {
                    lease::renew(connection, hold, self.lease)?;
                }
            }
            Work::Release(hold) => lease::release(connection, hold)?,
        }
        Ok(Answer::Done)
    }

    fn require(&self, hold: &Hold, epoch: Epoch) -> Result<(), Fault> {
        match lease::successor(&self.connection, hold, epoch)? {
            None => Ok(()),
            Some(holder) => Err(Fault::Refused(LogError::Fenced { group: hold.group, holder })),
        }
    }
}

#[cfg(test)]
mod tests {
    use counterpoint_messages::{Fingerprint, StageName, Topic};

    use super::{
        super::{SqliteOptions, schema},
        *,
    };
    use crate::{Group, Headers};

    fn writer(folder: &tempfile::TempDir) -> Writer {
        let file = LogFile::in_folder(folder.path());
        schema::prepare(&file, &SqliteOptions::default()).unwrap();
        Writer {
            connection: file.connect().unwrap(),
            file,
            identity: Identity::of_this_process().unwrap(),
            lease: Duration::from_secs(10),
            changes: Arc::default(),
        }
    }

    fn records(value: &[u8]) -> Vec<Outgoing> {
        let value = value.to_vec();
        vec![Outgoing {
            topic: Topic::Samples,
            partition: 0,
            key: vec![],
            value,
            headers: Headers::default(),
        }]
    }

    fn lengths(writer: &Writer) -> Vec<usize> {
        let mut statement =
            writer.connection.prepare("SELECT length(value) FROM records ORDER BY position").unwrap();
        let lengths = statement.query_map([], |row| row.get(0)).unwrap();
        lengths.map(|length| usize::try_from(length.unwrap_or(-1_i64)).unwrap()).collect()
    }

    #[test]
    fn a_fenced_commit_takes_nothing_else_of_its_transaction_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        let group = Group { stage: StageName::Gate, fingerprint: Fingerprint([1; 8]) };
        let [owner, other] = [(); 2].map(|()| Arc::new(Hold::new(group, &writer.identity)));
        let commit = |hold: &Arc<Hold>, epoch, value| Work::Commit {
            hold: Arc::clone(hold),
            epoch: Epoch(epoch),
            commit: Commit { outputs: records(value), ..Commit::default() },
        };
        let answers = writer.transact(&[
            Work::Claim(Arc::clone(&owner)),
            commit(&owner, 1, b"1"),
            commit(&other, 1, b"22"),
            commit(&owner, 2, b"333"),
            Work::Append(records(b"4444")),
        ]);
        assert!(matches!(answers[0], Ok(Answer::Claimed(Claim::Granted(Epoch(1))))));
        assert!(answers[1].is_ok() && answers[4].is_ok());
        for refused in [&answers[2], &answers[3]] {
            assert!(matches!(refused, Err(LogError::Fenced { .. })));
        }
        assert_eq!(lengths(&writer), [1, 4]);
    }

    #[test]
    fn a_full_store_refuses_what_does_not_fit_and_takes_what_does_when_there_is_space() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        writer.connection.pragma_update(None, "max_page_count", 64).unwrap();
        let answers = writer.transact(&[Work::Append(records(b"1")), Work::Append(records(&[0; 1 << 20]))]);
        assert!(matches!(answers[1], Err(LogError::Full { .. })));
        assert!(answers[0].is_ok());
        assert_eq!(lengths(&writer), [1]);
        assert!(writer.transact(&[Work::Append(records(b"22"))])[0].is_ok());
        writer.connection.pragma_update(None, "max_page_count", 4096).unwrap();
        assert!(writer.transact(&[Work::Append(records(&[0; 1 << 20]))])[0].is_ok());
        assert_eq!(*lengths(&writer).last().unwrap(), 1 << 20);
    }
}

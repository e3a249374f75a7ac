//! The contract on the engine on SQLite.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails the test")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use counterpoint_log::{
    TopicLog,
    contract::Engine,
    sqlite::{SqliteLog, SqliteOptions},
};

struct Sqlite(tempfile::TempDir);

impl Sqlite {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self, options: SqliteOptions) -> Arc<dyn TopicLog> {
        Arc::new(SqliteLog::open(self.0.path(), options).unwrap())
    }
}

#[async_trait]
impl Engine for Sqlite {
    async fn open(&self) -> Arc<dyn TopicLog> {
        self.open(SqliteOptions::default())
    }

    async fn open_and_suspend(&self) -> Arc<dyn TopicLog> {
        let never = Duration::from_secs(3600);
        self.open(SqliteOptions {
            lease: Duration::from_millis(500),
            renewal: never,
            ..SqliteOptions::default()
        })
    }
}

counterpoint_log::contract_tests!(Sqlite::new());

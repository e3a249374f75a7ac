//! The contract on the engine in memory.

use std::sync::Arc;

use async_trait::async_trait;
use counterpoint_log::{TopicLog, contract::Engine, memory::MemoryLog};

struct Memory(MemoryLog);

impl Memory {
    fn new() -> Self {
        Self(MemoryLog::new(3))
    }
}

#[async_trait]
impl Engine for Memory {
    async fn open(&self) -> Arc<dyn TopicLog> {
        Arc::new(self.0.process("process B"))
    }

    async fn open_and_suspend(&self) -> Arc<dyn TopicLog> {
        let log = self.0.process("process A");
        log.suspend();
        Arc::new(log)
    }
}

counterpoint_log::contract_tests!(Memory::new());

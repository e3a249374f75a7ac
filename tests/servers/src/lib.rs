//! Servers that tests start: each on a free port, ready when it answers, gone when it is dropped.

pub mod s3;

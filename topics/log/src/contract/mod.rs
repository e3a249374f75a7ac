//! What the trait means, as tests that every engine passes.
//!
//! An engine joins by implementing [`Engine`] and naming it in [`contract_tests!`](crate::contract_tests);
//! each rule becomes one test on a log of its own. The rules leave open how dense positions are, when
//! compaction removes what it may, and how fast anything is, so that a distributed engine can keep them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a rule that fails is a test that fails")]

mod commits;
mod harness;
mod ownership;
mod reading;
mod records;

use std::sync::Arc;

use async_trait::async_trait;

use crate::TopicLog;

pub use commits::*;
pub use ownership::*;
pub use reading::*;
pub use records::*;

/// Name of the member that is suspended.
pub const SLEEPER: &str = "sleeper";

/// An engine with one empty log, whose partitioned topics have at least two partitions.
#[async_trait]
pub trait Engine: Send + Sync {
    /// The log as one more process opens it; every call is another process to the others.
    async fn open(&self) -> Arc<dyn TopicLog>;

    /// The log as a process opens it that is then suspended: what it owns falls to others who wait for it,
    /// without its being told. Its only member is the instance [`SLEEPER`].
    async fn open_and_suspend(&self) -> Arc<dyn TopicLog>;
}

/// One test for each rule; takes an expression that makes a fresh [`Engine`].
#[macro_export]
macro_rules! contract_tests {
    ($engine:expr) => {
        $crate::contract_tests! { $engine;
            records_of_a_partition_come_in_the_order_they_were_written
            positions_increase_over_appends_commits_and_reopening
            headers_keys_and_values_come_back_as_written
            an_append_with_one_bad_record_writes_none
            a_record_that_is_too_large_is_refused_and_the_largest_is_kept
            a_scan_ends_at_what_was_the_end_when_it_began
            a_scan_goes_partition_after_partition
            a_scan_of_a_compacted_topic_misses_no_key_that_is_replaced_meanwhile
            a_follower_sees_what_is_there_and_what_comes
            compaction_keeps_the_newest_record_of_a_key
            topics_are_described_with_their_records_and_bytes
            what_was_written_is_there_after_reopening
            a_new_group_starts_at_the_beginning
            an_empty_topic_reaches_its_end
            the_end_is_told_once_each_time_it_is_reached
            a_page_holds_one_partition_and_keeps_to_its_bounds
            a_record_larger_than_the_bounds_comes_alone
            no_partition_starves_the_others
            records_of_another_process_arrive
            groups_do_not_disturb_each_other
            lag_counts_what_is_behind_the_committed_positions
            a_membership_that_cannot_be_served_is_refused
            nothing_is_visible_before_its_commit
            a_commit_is_whole
            a_refused_commit_leaves_nothing
            an_abort_resumes_at_what_was_committed
            commits_in_flight_before_an_abort_count
            commits_made_at_once_all_count
            an_empty_commit_changes_nothing
            state_is_rebuilt_by_the_next_owner
            state_belongs_to_one_fingerprint
            the_last_change_of_a_state_key_counts
            a_second_member_waits_names_the_holder_and_takes_over
            a_second_member_of_one_process_waits_as_well
            a_dropped_member_lets_the_next_one_in
            a_member_that_left_reads_and_commits_nothing
            a_waiting_member_may_leave
            a_suspended_owner_is_fenced_when_it_awakes
            epochs_grow_with_every_owner
        }
    };
    ($engine:expr; $($rule:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            $crate::contract::$rule(&$engine).await;
        }
    )*};
}

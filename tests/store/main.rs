//! What every store must do, whatever its database: one suite, run on each backend.
//!
//! A test is an async function that takes a [`Database`] of its own. One that isn't in the list below
//! is dead code, which the lints refuse, so none is left out on some backend.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_keys;
mod concurrency;
mod database;
mod draft;
mod leaks;
mod lists;
mod model;
mod pruning;
mod revocations;
mod signing_keys;
mod tokens;
mod versions;

/// The whole suite on one backend.
macro_rules! suite {
    ($name:ident on $backend:expr) => {
        mod $name {
            run! { $backend;
                tokens:
                    an_issued_token_is_found_as_it_was_given,
                    a_token_that_was_never_issued_is_not_found,
                    an_id_is_issued_once,
                    a_revoked_token_keeps_the_time_of_its_first_revocation,
                    what_is_over_can_be_revoked_too,
                    the_last_expiry_is_that_of_all_tokens,
                    revoking_what_was_never_issued_says_so,
                    a_project_revokes_only_its_own,
                    a_token_is_live_for_five_seconds_past_its_whole_second;
                lists:
                    tokens_are_listed_newest_first,
                    pages_follow_each_other_and_say_whether_another_follows,
                    a_page_past_the_end_is_empty,
                    an_agents_list_holds_each_of_its_tokens_once,
                    agents_with_like_names_are_told_apart,
                    each_status_lists_its_own,
                    statuses_count_in_an_agents_list_too,
                    pages_pass_over_what_has_another_status,
                    projects_see_only_their_own_tokens,
                    a_clock_that_jumps_back_changes_no_order_and_loses_nothing,
                    a_clock_set_back_makes_live_again_what_was_over,
                    live_tokens_are_right_as_time_goes_on;
                leaks:
                    without_a_condition_every_live_token_is_revoked,
                    each_condition_revokes_only_what_fits,
                    conditions_hold_together,
                    a_token_that_names_an_agent_twice_is_revoked_and_counted_once,
                    what_is_over_or_revoked_is_neither_touched_nor_counted;
                revocations:
                    the_first_look_tells_of_every_revoked_token_that_is_not_over,
                    a_later_look_tells_of_what_came_after,
                    a_token_revoked_again_is_no_news;
                pruning:
                    only_what_expired_before_the_cutoff_is_removed,
                    a_batch_has_at_most_its_limit,
                    what_expired_before_the_cutoff_is_counted_up_to_a_bound,
                    lists_are_right_after_pruning,
                    a_revoked_token_stays_until_its_cutoff_too,
                    a_token_issued_after_the_newest_was_removed_is_in_its_own_lists_alone;
                api_keys:
                    keys_come_back_as_they_were_made_oldest_first,
                    a_key_id_and_a_hash_are_taken_once,
                    revoking_a_key_revokes_the_live_tokens_it_issued,
                    a_revoked_key_issues_nothing,
                    a_keys_tokens_may_be_kept,
                    revoking_a_key_again_keeps_its_time_and_takes_the_tokens_that_were_kept,
                    revoking_an_unknown_key_says_so,
                    uses_are_noted_and_never_go_back,
                    uses_of_unknown_keys_are_ignored,
                    there_is_a_default_project_that_may_issue_for_any_agent,
                    a_project_is_made_once,
                    a_projects_list_of_agents_is_set_and_taken_away,
                    a_key_needs_a_project;
                signing_keys:
                    a_new_database_has_none,
                    a_ring_comes_back_as_it_was_put,
                    a_ring_replaces_the_whole_one_before,
                    a_ring_read_before_another_change_replaces_nothing,
                    of_racing_replacements_one_wins;
                versions:
                    changes_of_api_keys_and_projects_move_their_version_alone,
                    changes_of_signing_keys_move_their_version_alone,
                    tokens_and_uses_move_no_version,
                    what_changed_nothing_moves_no_version;
                concurrency:
                    tokens_issued_at_the_same_time_are_all_kept,
                    a_token_revoked_by_many_at_once_is_revoked_once,
                    reads_go_on_beside_writes,
                    closing_finishes_what_is_queued_and_reopening_finds_it,
                    a_closed_store_takes_no_writes,
                    two_openings_see_each_others_changes,
                    a_probe_finds_writing_to_work;
                model:
                    any_sequence_of_operations_lists_what_a_simple_model_lists;
            }
        }
    };
}

/// A test function for each function named.
macro_rules! run {
    ($backend:expr; $($module:ident: $($test:ident),+;)+) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                crate::$module::$test(&crate::database::Database::new($backend)).await;
            })+
        })+
    };
}

suite!(sqlite on crate::database::Backend::Sqlite);
suite!(postgres on crate::database::Backend::Postgres);

/// In memory, connections take turns where with a file readers wait for nobody: what is done at the same
/// time is done again here, and a bit of everything.
mod memory {
    run! { crate::database::Backend::Memory;
        revocations:
            a_later_look_tells_of_what_came_after;
        pruning:
            lists_are_right_after_pruning;
        api_keys:
            revoking_a_key_revokes_the_live_tokens_it_issued;
        signing_keys:
            of_racing_replacements_one_wins;
        concurrency:
            tokens_issued_at_the_same_time_are_all_kept,
            a_token_revoked_by_many_at_once_is_revoked_once,
            reads_go_on_beside_writes,
            a_probe_finds_writing_to_work;
        model:
            any_sequence_of_operations_lists_what_a_simple_model_lists;
    }
}

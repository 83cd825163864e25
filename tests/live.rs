//! The daemon on the running kernel, once for each backend.
//!
//! Knows: the program's command line, system calls. Must never know: the crates behind it.
//! Keeps: what was written before a `sync` is in the bricks after it, for every way Linux lets
//! bytes change.
//!
//! `cargo xtask test` runs these as root for the backends that this kernel allows, and the fentry
//! ones in virtual machines; `FOUNDRY_LIVE=1` is how it asks for them. A plain `cargo test` loads
//! nothing into anybody's kernel.

mod crash;
mod first_user;
mod guard;
mod habits;
mod hostile;
mod load;
mod medium;
mod memory;
mod overflow;
mod pins;
mod scenario;
mod storm;
mod trees;
mod unit;

use crate::support::daemon::{Daemon, Refusal};
use crate::support::{self, Scratch};
use std::path::Path;

/// Starts a daemon over the scratch tree; `None`, and said, where it may not run here.
fn start(scratch: &Scratch, backend: &str, more: &[&str]) -> Option<Daemon> {
    start_with(scratch, &scratch.store(), backend, more, &[])
}

/// The same, with a store anywhere and variables in the daemon's environment.
fn start_with(
    scratch: &Scratch,
    store: &Path,
    backend: &str,
    more: &[&str],
    variables: &[(&str, &str)],
) -> Option<Daemon> {
    if std::env::var_os("FOUNDRY_LIVE").is_none() {
        println!("not asked for: FOUNDRY_LIVE is not set");
        return None;
    }
    match Daemon::start_in(&scratch.tree(), store, backend, more, variables) {
        Ok(daemon) => Some(daemon),
        Err(Refusal::NotAllowed(why)) => {
            support::skip(&format!("backend {backend}: {why}"));
            None
        }
    }
}

/// One test for each scenario of `tests/system_foundry.yml`, and the longer ones, on one backend.
macro_rules! on_backend {
    ($backend:ident: $($scenario:ident)*) => {
        mod $backend {
            const BACKEND: &str = stringify!($backend);

            #[test]
            fn every_scenario_has_its_test() {
                super::scenario::assert_complete(&[$(stringify!($scenario)),*]);
            }

            #[test]
            fn as_the_first_user() {
                super::first_user::run(BACKEND);
            }

            #[test]
            fn killed_in_the_middle_of_a_copy() {
                super::crash::killed_in_the_middle_of_a_copy(BACKEND);
            }

            #[test]
            fn killed_at_any_moment() {
                super::crash::killed_at_any_moment(BACKEND);
            }

            #[test]
            fn the_root_goes_and_comes_again() {
                super::medium::the_root_goes_and_comes_again(BACKEND);
            }

            #[test]
            fn many_writers_at_once() {
                super::storm::run(BACKEND);
            }

            #[test]
            fn a_recording_replays_to_the_same_bricks() {
                super::first_user::replay(BACKEND);
            }

            #[test]
            fn a_build_in_the_tree() {
                super::trees::a_build(BACKEND);
            }

            #[test]
            fn a_checkout_in_the_tree() {
                super::trees::a_checkout(BACKEND);
            }

            #[test]
            fn an_installation_in_the_tree() {
                super::trees::an_installation(BACKEND);
            }

            #[test]
            fn a_burst_of_names() {
                super::trees::a_burst(BACKEND);
            }

            #[test]
            fn directories_after_a_restart() {
                super::trees::a_restart(BACKEND);
            }

            #[test]
            fn the_store_is_left_alone() {
                super::habits::the_store_is_left_alone(BACKEND);
            }

            #[test]
            fn the_store_has_one_owner() {
                super::habits::the_store_has_one_owner(BACKEND);
            }

            #[test]
            fn status_counts() {
                super::habits::status_counts(BACKEND);
            }

            #[test]
            fn privileges_are_given_up() {
                super::guard::privileges_are_given_up(BACKEND);
            }

            #[test]
            fn whatever_lies_in_a_tree() {
                super::hostile::whatever_lies_in_a_tree(BACKEND);
            }

            #[test]
            fn a_directory_becomes_a_link_and_back() {
                super::hostile::a_directory_becomes_a_link_and_back(BACKEND);
            }

            #[test]
            fn sync_answers_under_load() {
                super::load::run(BACKEND);
            }

            #[test]
            fn more_than_the_probes_hold() {
                super::overflow::rings(BACKEND);
            }

            #[test]
            fn more_files_than_slots() {
                super::overflow::slots(BACKEND);
            }

            #[test]
            fn more_names_than_the_queue_holds() {
                super::overflow::queue(BACKEND);
            }

            #[test]
            fn memory_step_by_step() {
                super::memory::step_by_step(BACKEND);
            }

            #[test]
            fn signals_end_it() {
                super::habits::signals_end_it(BACKEND);
            }

            $(
                #[test]
                fn $scenario() {
                    super::scenario::run(stringify!($scenario), BACKEND);
                }
            )*
        }
    };
}

macro_rules! on_backends {
    ($($backend:ident)*) => { $( on_backend! { $backend:
        create there_before modify modify_across_tiles same_bytes append truncate rewrite
        rename rename_directory replace exchange delete hard_link symlink mapped holes copy_range
        directories moved_in odd_names many_small_writes open_for_long unlinked_while_open
        killed_and_restarted program
    } )* };
}

on_backends! { fentry tracepoint fanotify }

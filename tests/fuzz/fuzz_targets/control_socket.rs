//! Bytes on the control socket: a request to the daemon, and an answer of it.
#![no_main]

use foundry_user::outside;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| outside::control_socket(bytes));

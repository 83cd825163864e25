//! The probes: what the kernel runs for us.
//!
//! Reading order: `atomic`, `config`, `maps`, `kernel`, `interest`, `dirty`, `emit`, `log`, `control`, `probes`.
//! Two families lie in this one object: fentry and fexit programs, and raw tracepoint programs.
//! The loader picks what the running kernel takes.
//!
//! Knows: the ABI of `foundry-common`. Must never know: paths, artifacts, policy.
//! Keeps: a probe never waits, never fails the traced call, and counts whatever it had to drop.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod foundry_common;

mod atomic;
mod config;
mod control;
mod dirty;
mod emit;
mod interest;
mod kernel;
mod log;
mod maps;
mod probes;
mod task;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The helpers that read kernel memory are for programs under the GPL only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

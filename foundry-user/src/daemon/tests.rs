//! The daemon, with a scripted source.

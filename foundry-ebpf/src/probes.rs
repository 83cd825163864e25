//! The probes, one file a family of hooks.

mod sysexit;

//! store

pub mod conf;

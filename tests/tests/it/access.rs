//! Access to the coordinator, and attacks of strangers: real processes, with files from
//! `swfn-coordinator certs`.

mod cluster;
mod doors;
mod floods;
mod identity;
mod limits;

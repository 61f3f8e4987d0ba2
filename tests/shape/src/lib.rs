//! Holds the structure: which crate may use which, and that each file says what it is.

#[cfg(test)]
mod edges;
#[cfg(test)]
mod files;

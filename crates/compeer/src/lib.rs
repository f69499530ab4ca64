//! Compeer.

//! The pure part of Compeer.

//! Tests of `ext`.

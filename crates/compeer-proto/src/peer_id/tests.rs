//! Tests of `peer_id`.

//! The line of groups: all files of a manifest, one after the other.
//!
//! Everything that is counted about a share (what a provider has, what is wanted, what has arrived) is
//! counted in groups of this line, so that a folder of small files is handled as one big file is. A file
//! begins a group of its own; an empty file has none. The inner nodes of all trees make a line too: the
//! *pack*, in which each file's outboard follows the one before.

use std::ops::Range;

use crate::tree::{self, GROUP, NODE};

/// Most groups in one segment: what is proven, sent and noted at once. 1 MiB.
pub const SEGMENT: u64 = 64;

/// Where each file lies in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Per file: its first group and its first node; one more entry at the end.
    starts: Vec<(u64, u64)>,
    sizes: Vec<u64>,
}

/// A part of one file, at most [`SEGMENT`] groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Which file, counted from 0.
    pub file: usize,
    /// Its groups, counted in the file.
    pub groups: Range<u64>,
    /// The same groups, counted in the line.
    pub line: Range<u64>,
}

impl Layout {
    /// The line of files with these sizes (bytes).
    pub fn new(sizes: impl IntoIterator<Item = u64>) -> Self {
        let sizes: Vec<u64> = sizes.into_iter().collect();
        let mut starts = Vec::with_capacity(sizes.len() + 1);
        let (mut group, mut node) = (0, 0);
        for size in &sizes {
            starts.push((group, node));
            let groups = tree::groups(*size);
            group += groups;
            node += tree::nodes(groups);
        }
        starts.push((group, node));
        Layout { starts, sizes }
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.sizes.len()
    }

    /// Groups of the whole line.
    pub fn groups(&self) -> u64 {
        self.starts.last().map_or(0, |start| start.0)
    }

    /// Bytes of the pack.
    pub fn pack_len(&self) -> u64 {
        self.starts.last().map_or(0, |start| start.1) * NODE
    }

    /// The groups of a file, counted in the line.
    pub fn file(&self, file: usize) -> Range<u64> {
        self.starts[file].0..self.starts[file + 1].0
    }

    /// How many groups a file has.
    pub fn file_groups(&self, file: usize) -> u64 {
        let range = self.file(file);
        range.end - range.start
    }

    /// Where in the pack the outboard of a file begins. Unit: bytes.
    pub fn outboard(&self, file: usize) -> u64 {
        self.starts[file].1 * NODE
    }

    /// Where in its file a part lies. Unit: bytes.
    pub fn bytes(&self, file: usize, groups: &Range<u64>) -> Range<u64> {
        let size = self.sizes[file];
        (groups.start * GROUP).min(size)..(groups.end * GROUP).min(size)
    }

    /// Bytes of content in a range of the line.
    pub fn byte_len(&self, range: &Range<u64>) -> u64 {
        let whole = (range.end - range.start) * GROUP;
        // Only the last group of a file may be short.
        let (first, last) = (self.file_at(range.start), self.file_at(range.end));
        let short = |file: usize| match self.file_groups(file) {
            0 => 0,
            groups => groups * GROUP - self.sizes[file],
        };
        whole - (first..last).map(short).sum::<u64>()
    }

    /// The file in which a group of the line lies: the last one that begins at or before it and is not empty;
    /// beyond the end, the number of files.
    fn file_at(&self, group: u64) -> usize {
        self.starts.partition_point(|start| start.0 <= group).saturating_sub(1)
    }

    /// Cuts a range of the line into segments: at the borders of files, and within a file at multiples of
    /// [`SEGMENT`].
    pub fn segments(&self, range: Range<u64>) -> impl Iterator<Item = Segment> + '_ {
        let mut next = range.start;
        let end = range.end.min(self.groups());
        std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let file = self.file_at(next);
            let of = self.file(file);
            let start = next - of.start;
            let stop = ((start / SEGMENT + 1) * SEGMENT).min(of.end - of.start).min(end - of.start);
            next = of.start + stop;
            Some(Segment { file, groups: start..stop, line: of.start + start..of.start + stop })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cover_a_range_once_and_stop_at_borders() {
        let layout = Layout::new([0, 5, 200 * GROUP, 0, 0, GROUP + 1, 0]);
        assert_eq!(layout.groups(), 203);
        let whole: Vec<_> = layout.segments(0..500).collect();
        let lines: Vec<_> = whole.iter().map(|segment| segment.line.clone()).collect();
        assert_eq!(lines, [0..1, 1..65, 65..129, 129..193, 193..201, 201..203]);
        assert_eq!(whole[5].file, 5);
        let part: Vec<_> = layout.segments(60..70).collect();
        assert_eq!(part[0], Segment { file: 2, groups: 59..64, line: 60..65 });
        assert_eq!(part[1], Segment { file: 2, groups: 64..69, line: 65..70 });
        assert_eq!(layout.bytes(5, &(0..2)), 0..GROUP + 1);
        assert_eq!(layout.outboard(5), 199 * NODE);
        assert_eq!(layout.pack_len(), 200 * NODE);
    }

    #[test]
    fn bytes_are_counted_with_their_short_ends() {
        let layout = Layout::new([5, 0, GROUP + 1, 3 * GROUP]);
        assert_eq!(layout.byte_len(&(0..6)), 5 + GROUP + 1 + 3 * GROUP);
        assert_eq!(layout.byte_len(&(0..1)), 5);
        assert_eq!(layout.byte_len(&(1..2)), GROUP);
        assert_eq!(layout.byte_len(&(2..4)), 1 + GROUP);
        assert_eq!(layout.byte_len(&(3..3)), 0);
    }
}

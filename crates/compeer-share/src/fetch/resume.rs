//! Beginning a fetch, or going on with one: the transfer's directory, its journal and its staging directory.
//!
//! What the journal is sure of was synced before it said so. What it noted after its last checkpoint is all there
//! after `kill -9`, but perhaps not after a power loss, so it is verified again here: the pack proves the hashes,
//! the hashes prove the data. What does not hold is fetched again. Of a draft the pack has only the hashes of what came: they
//! tell whether it is all there, and what it is worth shows in the end ([`settle`]).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::FetchError;
use super::sink::Disk;
use crate::hash::PIECE;
use crate::journal::Journal;
use crate::layout::{Layout, Segment};
use crate::manifest::Manifest;
use crate::ranges::RangeSet;
use crate::staging::Staging;
use crate::transfers::{self, Directory, Record};
use crate::tree::{self, GROUP, HASH, NODE};

/// What a fetch begins with.
pub(super) struct Ready {
    pub(super) staging: Staging,
    pub(super) pack: Arc<File>,
    pub(super) journal: Journal,
    /// What has arrived in earlier runs.
    pub(super) have: RangeSet,
}

/// Goes on with the transfer, or begins it when there is nothing to go on with. `None`: it was to be the draft, and has
/// become the content already; what is verified is not written over with what is not.
pub(super) fn ready(
    directory: &Directory,
    record: &Record,
    manifest_bytes: &[u8],
    manifest: &Manifest,
    layout: &Layout,
) -> Result<Option<Ready>, FetchError> {
    let _alone = directory.alone()?;
    match directory.record() {
        Ok((before, _)) => match go_on(directory, &before, record, manifest_bytes, manifest, layout)? {
            GoOn::Ready(ready) => return Ok(Some(*ready)),
            GoOn::Content => return Ok(None),
            // Somebody has removed what it had fetched.
            GoOn::Nothing => directory.remove()?,
        },
        // Nothing is known of what lies there.
        Err(_) => {
            if let Some(staging) = Staging::open(&record.dir, &directory.id)? {
                staging.discard()?;
            }
        }
    }
    // In this order: a staging directory without a transfer would be nobody's.
    directory.create(record, manifest_bytes)?;
    let staging = Staging::create(&record.dir, &directory.id)?;
    let device = transfers::device(&record.dir);
    directory.create(&Record { device, ..record.clone() }, manifest_bytes)?;
    let pack = Arc::new(directory.pack(record.draft)?);
    let journal = directory.journal(record.draft);
    let journal = Journal::create(&journal, *manifest.id().as_bytes(), layout.groups())?;
    Ok(Some(Ready { staging, pack, journal, have: RangeSet::new() }))
}

/// What is there.
enum GoOn {
    Ready(Box<Ready>),
    /// The content, of which a draft was to be fetched.
    Content,
    /// Nothing that is of use.
    Nothing,
}

fn go_on(
    directory: &Directory,
    before: &Record,
    record: &Record,
    manifest_bytes: &[u8],
    manifest: &Manifest,
    layout: &Layout,
) -> Result<GoOn, FetchError> {
    // A disk that is not mounted now has lost nothing.
    if before.device.is_some() && before.device != transfers::device(&record.dir) {
        return Err(FetchError::OtherDisk { dir: record.dir.clone(), id: directory.id.clone() });
    }
    let Some(staging) = Staging::open(&record.dir, &directory.id)? else { return Ok(GoOn::Nothing) };
    // Again, now that nobody else has it: it may have become the content just now.
    let (before, ticket) = directory.record()?;
    let same_draft = before.began.is_some() && before.began == record.began;
    if !same_draft && ticket.root != *manifest.id().as_bytes() {
        let why = format!("another transfer is called {} too: let it end, or discard it", directory.id);
        return Err(FetchError::Disk(why));
    }
    if record.draft && !before.draft {
        return Ok(GoOn::Content);
    }
    // Of one kind, what has arrived says nothing of the other.
    let same_kind = record.draft == before.draft;
    // The newer ticket may lead where the old one does not.
    let record = &Record { device: before.device, began: before.began, ..record.clone() };
    directory.replace(record, manifest_bytes)?;
    let (id, groups) = (manifest.id(), layout.groups());
    let pack = directory.pack(record.draft)?;
    let path = directory.journal(record.draft);
    let (mut journal, found) = match Journal::open(&path) {
        Ok((journal, found)) if same_kind && found.root == *id.as_bytes() && found.groups == groups => {
            (journal, found)
        }
        // Nothing is known of what lies there: it is written over.
        _ => {
            let journal = Journal::create(&path, *id.as_bytes(), groups)?;
            let ready = Ready { staging, pack: Arc::new(pack), journal, have: RangeSet::new() };
            return Ok(GoOn::Ready(Box::new(ready)));
        }
    };
    let mut have = found.sure;
    let mut buffer = vec![0; GROUP as usize];
    let mut open: Option<(usize, File)> = None;
    for range in found.unsure.iter() {
        for segment in layout.segments(range) {
            if open.as_ref().is_none_or(|(file, _)| *file != segment.file) {
                open = Some((segment.file, staging.file(&manifest.entries()[segment.file].path)?));
            }
            let root = manifest.entries()[segment.file].root;
            let root = (!record.draft).then_some(&root);
            if let Some((_, file)) = &open
                && holds(layout, root, &pack, file, &segment, &mut buffer)
            {
                journal.append(segment.line.clone())?;
                have.insert(segment.line);
            }
        }
    }
    if !found.unsure.is_empty() {
        // The run that was killed had not come to it, and the next checkpoint syncs only what it touched itself.
        staging.sync_all()?;
        pack.sync_data()?;
    }
    for lost in lost(&staging, manifest, layout, &have)? {
        journal.forget(lost.clone())?;
        have.remove(lost);
    }
    Ok(GoOn::Ready(Box::new(Ready { staging, pack: Arc::new(pack), journal, have })))
}

/// Files of which the journal knows, and which are shorter than it says, or not there: somebody has removed them, or
/// they were placed already by a run that was killed before its end.
fn lost(
    staging: &Staging,
    manifest: &Manifest,
    layout: &Layout,
    have: &RangeSet,
) -> Result<Vec<Range<u64>>, FetchError> {
    let mut lost = Vec::new();
    for (file, entry) in manifest.entries().iter().enumerate() {
        let line = layout.file(file);
        let Some(last) = have.within(line.clone()).last() else { continue };
        let needed = layout.bytes(file, &(0..last.end - line.start)).end;
        if staging.length(&entry.path)?.unwrap_or_default() < needed {
            lost.push(line);
        }
    }
    Ok(lost)
}

/// Whether the bytes of a segment are there and right; without a root, whether they are those that came.
fn holds(
    layout: &Layout,
    root: Option<&[u8; 32]>,
    pack: &File,
    file: &File,
    segment: &Segment,
    buffer: &mut [u8],
) -> bool {
    let mut check = || -> io::Result<bool> {
        let of = layout.file_groups(segment.file);
        let hashes = match root {
            Some(root) => {
                let mut proof = Vec::new();
                for run in tree::proof_nodes(of, &segment.groups) {
                    let at = proof.len();
                    proof.resize(at + ((run.end - run.start) * NODE) as usize, 0);
                    pack.read_exact_at(&mut proof[at..], layout.outboard(segment.file) + run.start * NODE)?;
                }
                tree::check_proof(root, of, &segment.groups, &proof).unwrap_or_default()
            }
            None => hashes_of(pack, &segment.line)?,
        };
        if hashes.len() as u64 != segment.groups.end - segment.groups.start {
            return Ok(false);
        }
        for (group, hash) in segment.groups.clone().zip(hashes) {
            let bytes = layout.bytes(segment.file, &(group..group + 1));
            let data = &mut buffer[..(bytes.end - bytes.start) as usize];
            file.read_exact_at(data, bytes.start)?;
            if tree::group_hash(group, of, data) != hash {
                return Ok(false);
            }
        }
        Ok(true)
    };
    // What cannot be read is not there.
    check().unwrap_or(false)
}

/// The hashes of groups that came with a draft.
fn hashes_of(draft_pack: &File, line: &Range<u64>) -> io::Result<Vec<[u8; 32]>> {
    let mut bytes = vec![0; ((line.end - line.start) * HASH) as usize];
    draft_pack.read_exact_at(&mut bytes, line.start * HASH)?;
    let (hashes, _) = bytes.as_chunks();
    Ok(hashes.to_vec())
}

/// The root of a file that came with a draft, whose tree is built in the pack.
fn root_of(layout: &Layout, file: usize, draft_pack: &File, pack: &File) -> io::Result<[u8; 32]> {
    let (of, first, outboard) = (layout.file_groups(file), layout.file(file).start, layout.outboard(file));
    let mut pieces = Vec::new();
    for piece in tree::pieces(of, PIECE) {
        let hashes = hashes_of(draft_pack, &(first + piece.groups.start..first + piece.groups.end))?;
        let (hash, nodes) = tree::piece(&hashes, hashes.len() as u64 == of);
        pack.write_all_at(&nodes, outboard + piece.place * NODE)?;
        pieces.push(hash);
    }
    let mut written = Ok(());
    let root = tree::build(&pieces, of, PIECE, true, &mut |place, node| {
        if written.is_ok() {
            written = pack.write_all_at(node, outboard + place * NODE);
        }
    });
    written.map(|()| root)
}

/// Holds what came with a draft against the manifest of what the draft has become. Files that are as it says need not
/// be fetched again; the others (`changed`) do, and nothing of them counts. From here on the transfer is one of the content
/// itself, whatever befalls us.
pub(super) fn settle(
    disk: &Disk,
    directory: &Directory,
    record: &Record,
    manifest: &Manifest,
    wanted: &RangeSet,
) -> Result<Settled, FetchError> {
    // The journal will vouch for it.
    disk.checkpoint()?;
    let layout = &disk.layout;
    let pack = directory.pack(false)?;
    let (mut have, mut changed) = (RangeSet::new(), Vec::new());
    for (file, entry) in manifest.entries().iter().enumerate() {
        let line = layout.file(file);
        if line.is_empty() || !wanted.contains_range(&line) {
            continue;
        }
        match root_of(layout, file, &disk.pack, &pack)? == entry.root {
            true => have.insert(line),
            false => changed.push(file),
        }
    }
    pack.sync_data()?;
    let mut journal = Journal::create(&directory.journal(false), *manifest.id().as_bytes(), layout.groups())?;
    for range in have.iter() {
        journal.append(range)?;
    }
    let all = journal.mark();
    journal.checkpoint(all)?;
    directory.replace(record, &manifest.encode())?;
    directory.forget_draft();
    Ok(Settled { pack: Arc::new(pack), journal, have, changed })
}

/// What a draft has become here.
pub(super) struct Settled {
    pub(super) pack: Arc<File>,
    pub(super) journal: Journal,
    /// What is here and right.
    pub(super) have: RangeSet,
    /// Files that came, and are not as the manifest says.
    pub(super) changed: Vec<usize>,
}

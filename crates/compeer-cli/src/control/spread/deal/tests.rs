//! The machine by hand: peers that are fast, slow, busy, lost or silent, in a time that passes as told.

use super::*;
use crate::limits::{SPREAD_REFUSALS, SPREAD_WINDOW};

const NOW: Duration = Duration::ZERO;
/// Longer than anything takes here, unless a test is about that.
const LONG: Duration = Duration::from_secs(1_000_000);

fn id(seed: u8) -> PeerId {
    compeer::Identity::from_seed(&[seed; 32]).peer_id()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn deal(ordered: bool, lines: usize) -> Deal {
    with(ordered, lines, Pace::new(None, LONG))
}

fn with(ordered: bool, lines: usize, pace: Pace) -> Deal {
    let mut deal = Deal::new(ordered, pace);
    (0..lines).for_each(|line| deal.take(Bytes::from(line.to_string()), NOW));
    deal
}

fn all(deal: &mut Deal, now: Duration) -> Vec<Dealt> {
    std::iter::from_fn(|| deal.next(now)).collect()
}

/// The numbers of lines dealt, and to whom.
fn pairs(dealt: &[Dealt]) -> Vec<(u64, PeerId)> {
    dealt.iter().map(|dealt| (dealt.line, dealt.peer)).collect()
}

fn answered(deal: &mut Deal, dealt: &Dealt, now: Duration) -> Vec<PeerId> {
    deal.ended(dealt.line, dealt.peer, Ending::Answered(Ok(dealt.body.clone())), now)
}

fn handed_over(deal: &mut Deal) -> Vec<u64> {
    std::iter::from_fn(|| deal.hand_over()).map(|(line, _)| line).collect()
}

#[test]
fn a_new_peer_has_two_lines_and_one_more_with_each_answer() {
    let mut deal = deal(true, 100);
    assert!(deal.next(NOW).is_none(), "nobody answers");
    deal.seat(id(1), u64::MAX, u64::MAX);
    let first = all(&mut deal, NOW);
    assert_eq!(pairs(&first), [(0, id(1)), (1, id(1))]);
    answered(&mut deal, &first[0], NOW);
    assert_eq!(all(&mut deal, NOW).len(), 2, "one for the answer, one more that it has earned");
    // What it says it has room for is the most.
    deal.seat(id(2), 4, 1);
    deal.seat(id(3), 0, 0);
    let second = all(&mut deal, NOW);
    assert_eq!(pairs(&second), [(4, id(2))]);
    answered(&mut deal, &second[0], NOW);
    assert_eq!(all(&mut deal, NOW).len(), 1);
    deal.seat(id(2), 4, 1);
    assert_eq!(all(&mut deal, NOW).len(), 1);
}

#[test]
fn whoever_has_most_room_is_asked_first() {
    let mut deal = deal(true, 0);
    deal.seat(id(1), 1, 1);
    deal.seat(id(2), 2, 2);
    (0..3).for_each(|_| deal.take(Bytes::new(), NOW));
    let dealt = all(&mut deal, NOW);
    assert_eq!(dealt[0].peer, id(2));
    assert_eq!(dealt.iter().filter(|dealt| dealt.peer == id(2)).count(), 2);
}

#[test]
fn answers_come_in_order_or_as_they_come() {
    for ordered in [true, false] {
        let mut deal = deal(ordered, 4);
        deal.seat(id(1), 2, 2);
        deal.seat(id(2), 2, 2);
        let mut dealt = all(&mut deal, NOW);
        dealt.sort_by_key(|dealt| dealt.line);
        answered(&mut deal, &dealt[2], NOW);
        answered(&mut deal, &dealt[1], NOW);
        assert_eq!(handed_over(&mut deal), if ordered { vec![] } else { vec![2, 1] });
        answered(&mut deal, &dealt[0], NOW);
        assert_eq!(handed_over(&mut deal), if ordered { vec![0, 1, 2] } else { vec![0] });
        answered(&mut deal, &dealt[3], NOW);
        assert_eq!(handed_over(&mut deal), [3]);
        assert!(deal.is_empty() && deal.held == 0 && deal.ready.is_empty() && deal.asked.is_empty());
    }
}

#[test]
fn a_lost_peers_lines_go_to_others_and_never_to_it_again() {
    let mut deal = deal(true, 3);
    deal.seat(id(1), 2, 2);
    let dealt = all(&mut deal, NOW);
    deal.ended(dealt[0].line, id(1), Ending::Lost, NOW);
    deal.ended(dealt[1].line, id(1), Ending::Lost, NOW);
    assert!(all(&mut deal, NOW).is_empty());
    deal.seat(id(1), 2, 2);
    let again = all(&mut deal, NOW);
    assert_eq!(pairs(&again), [(2, id(1))], "which it has not had");
    deal.seat(id(2), 1, 1);
    let other = all(&mut deal, NOW);
    assert_eq!(pairs(&other), [(0, id(2))]);
    answered(&mut deal, &other[0], NOW);
    answered(&mut deal, &again[0], NOW);
    let last = deal.next(NOW).unwrap();
    deal.ended(last.line, last.peer, Ending::Lost, NOW);
    deal.seat(id(1), 2, 2);
    assert!(deal.next(NOW).is_none() && deal.somebody_answers());
    deal.give_up(NOW, |tried| format!("{} may have run it", tried.len()));
    let (_, answers): (Vec<_>, Vec<_>) = std::iter::from_fn(|| deal.hand_over()).unzip();
    assert_eq!(answers[1], Answer { peer: Some(id(2)), reply: Err("2 may have run it".into()) });
    assert!(answers[0].reply.is_ok() && answers[2].reply.is_ok() && deal.is_empty());
}

#[test]
fn what_was_not_begun_is_dealt_again_once_there_is_room() {
    let mut deal = deal(true, 1);
    deal.seat(id(1), 1, 1);
    let dealt = deal.next(NOW).unwrap();
    deal.ended(dealt.line, id(1), Ending::NotBegun, NOW);
    assert!(deal.next(NOW).is_none());
    deal.seat(id(1), 1, 0);
    assert_eq!(deal.next(NOW).unwrap(), dealt);
}

#[test]
fn a_line_that_is_overdue_is_asked_of_another_too_and_told_once() {
    let mut deal = with(true, 2, Pace::new(Some(seconds(10)), LONG));
    deal.seat(id(1), 1, 1);
    let slow = deal.next(NOW).unwrap();
    deal.seat(id(2), 1, 1);
    let fast = deal.next(NOW).unwrap();
    assert!(answered(&mut deal, &fast, seconds(1)).is_empty());
    assert!(deal.next(seconds(9)).is_none());
    assert_eq!(deal.wakes(seconds(9)), Some(seconds(10)));
    let copy = deal.next(seconds(10)).unwrap();
    assert_eq!((copy.line, copy.peer), (slow.line, id(2)));
    assert!(deal.next(seconds(1000)).is_none(), "each has had it");
    assert_eq!(answered(&mut deal, &copy, seconds(11)), [id(1)], "the other one may stop");
    assert!(answered(&mut deal, &slow, seconds(12)).is_empty());
    assert_eq!(handed_over(&mut deal), [0, 1]);
    assert!(deal.is_empty() && deal.held == 0 && deal.running == 0 && deal.asked.is_empty());
}

#[test]
fn more_are_asked_later_each_time_and_only_if_no_line_waits() {
    let mut deal = with(true, 1, Pace::new(Some(seconds(10)), LONG));
    (1..=4).for_each(|peer| deal.seat(id(peer), 1, 1));
    let asked: Vec<_> = (0..100).filter(|now| deal.next(seconds(*now)).is_some()).collect();
    assert_eq!(asked, [0, 10, 30, 70]);
    let mut deal = with(true, 1, Pace::new(Some(seconds(10)), LONG));
    deal.seat(id(1), 1, 1);
    deal.next(NOW).unwrap();
    deal.seat(id(2), 1, 1);
    deal.take(Bytes::new(), NOW);
    assert_eq!(deal.next(seconds(50)).unwrap().line, 1);
}

#[test]
fn a_copy_that_is_lost_or_given_back_leaves_the_line_where_it_is() {
    for ending in [Ending::Lost, Ending::NotBegun] {
        let mut deal = with(true, 1, Pace::new(Some(seconds(10)), LONG));
        deal.seat(id(1), 1, 1);
        let first = deal.next(NOW).unwrap();
        deal.seat(id(2), 1, 1);
        let copy = deal.next(seconds(10)).unwrap();
        deal.ended(copy.line, copy.peer, ending, seconds(11));
        assert!(deal.next(seconds(11)).is_none() && deal.waiting.is_empty());
        answered(&mut deal, &first, seconds(12));
        assert_eq!(handed_over(&mut deal), [0]);
        assert!(deal.is_empty() && deal.running == 0);
    }
}

#[test]
fn whoever_was_overtaken_rests_longer_each_time_while_others_answer() {
    let mut deal = with(false, 0, Pace::new(Some(seconds(10)), LONG));
    // With as much room, the lower id comes first.
    let (silent, good) = (id(1).min(id(2)), id(1).max(id(2)));
    let mut had = Vec::new();
    for now in (0..1000).map(seconds) {
        deal.take(Bytes::new(), now);
        deal.seat(silent, 2, 2);
        deal.seat(good, 1, 1);
        while let Some(dealt) = deal.next(now) {
            match dealt.peer == silent {
                true => had.push(now.as_secs()),
                false => drop(answered(&mut deal, &dealt, now)),
            }
        }
        handed_over(&mut deal);
    }
    assert_eq!(had, [0, 1, 31, 81, 171, 341, 671]);
    // With nobody else there it is asked.
    deal.seat(good, 0, 0);
    deal.take(Bytes::new(), seconds(1000));
    assert_eq!(deal.next(seconds(1000)).unwrap().peer, silent);
}

#[test]
fn only_answers_renew_the_time_until_all_is_in_vain() {
    let mut deal = with(true, 2, Pace::new(None, seconds(30)));
    deal.seat(id(1), 1, 1);
    for now in 0..29 {
        assert!(!deal.is_in_vain(seconds(now)));
        let dealt = deal.next(seconds(now)).unwrap();
        deal.ended(dealt.line, dealt.peer, Ending::NotBegun, seconds(now));
        deal.seat(id(1), 1, 1);
        assert_eq!(deal.wakes(seconds(now)), Some(seconds(30)));
    }
    assert!(deal.is_in_vain(seconds(30)));
    // Who is asked just then has the time to begin, but nobody after that.
    let dealt = deal.next(seconds(29)).unwrap();
    assert!(!deal.is_in_vain(seconds(33)));
    deal.ended(dealt.line, dealt.peer, Ending::NotBegun, seconds(33));
    assert!(deal.is_in_vain(seconds(33)));
    deal.seat(id(1), 1, 1);
    let dealt = deal.next(seconds(33)).unwrap();
    assert_eq!(deal.wakes(seconds(33)), Some(seconds(35)));
    assert!(!deal.is_in_vain(seconds(34)) && deal.is_in_vain(seconds(35)));
    answered(&mut deal, &dealt, seconds(36));
    assert_eq!(deal.wakes(seconds(36)), Some(seconds(66)));
}

#[test]
fn who_is_at_work_is_waited_for_and_what_he_loses_goes_to_others() {
    for ending in [Ending::Lost, Ending::NotBegun] {
        let mut deal = with(true, 2, Pace::new(Some(LONG), seconds(30)));
        deal.seat(id(1), 1, 1);
        let long = deal.next(NOW).unwrap();
        deal.seat(id(2), 1, 1);
        let short = deal.next(NOW).unwrap();
        answered(&mut deal, &short, seconds(1));
        deal.take(Bytes::new(), seconds(1));
        let short = deal.next(seconds(1)).unwrap();
        deal.take(Bytes::new(), seconds(1));
        assert!(!deal.is_in_vain(seconds(31)) && !deal.is_in_vain(seconds(10_000)));
        deal.ended(short.line, short.peer, ending.clone(), seconds(10_000));
        deal.ended(long.line, long.peer, ending, seconds(10_000));
        assert!(!deal.is_in_vain(seconds(10_000)), "there is time to ask somebody else");
        assert_eq!(deal.wakes(seconds(10_000)), Some(seconds(10_030)));
        deal.seat(id(2), 1, 1);
        assert_eq!(deal.next(seconds(10_001)).unwrap().line, long.line);
    }
}

#[test]
fn nobody_gives_up_on_lines_that_wait_only_for_memory() {
    let mut deal = with(true, 100, Pace::new(Some(LONG), seconds(30)));
    deal.seat(id(1), 1, 1);
    let lost = deal.next(NOW).unwrap();
    deal.ended(lost.line, lost.peer, Ending::Lost, NOW);
    deal.seat(id(1), 1, 1);
    let large = Bytes::from(vec![0; 1 << 20]);
    let mut answers = 0;
    while let Some(dealt) = deal.next(NOW) {
        deal.ended(dealt.line, dealt.peer, Ending::Answered(Ok(large.clone())), NOW);
        answers += 1;
    }
    assert!(answers < 99 && deal.hand_over().is_none() && deal.is_in_vain(seconds(30)));
    deal.give_up(seconds(30), |_| String::new());
    assert_eq!(handed_over(&mut deal).len(), 1 + answers, "the line that was lost, and what waited for it");
    assert!(!deal.is_in_vain(seconds(30)) && deal.next(seconds(30)).is_some());
    // Who has gone gets none.
    deal.seat(id(1), 0, 0);
    let rest = deal.waiting.len();
    deal.ended(deal.first, id(1), Ending::Lost, seconds(31));
    assert!(deal.is_in_vain(seconds(60)) && !deal.somebody_answers());
    deal.give_up(seconds(60), |_| String::new());
    assert_eq!(handed_over(&mut deal).len(), rest + 1);
    assert!(deal.is_empty());
}

#[test]
fn who_gave_back_all_since_it_last_answered_does_not_answer() {
    let mut deal = with(true, 2, Pace::new(None, seconds(30)));
    deal.seat(id(1), 1, 1);
    let dealt = deal.next(NOW).unwrap();
    deal.ended(dealt.line, dealt.peer, Ending::NotBegun, NOW);
    deal.seat(id(1), 1, 1);
    assert!(!deal.somebody_answers());
    deal.give_up(seconds(30), |_| String::new());
    assert!(handed_over(&mut deal).len() == 2 && deal.is_empty());
}

/// A deal with no line, in which the first peer was overtaken by the second at 10 s, and rests until 20 s.
fn rested() -> Deal {
    let mut deal = with(false, 1, Pace::new(Some(seconds(10)), LONG));
    deal.seat(id(1), 1, 1);
    deal.next(NOW).unwrap();
    deal.seat(id(2), 1, 1);
    let copy = deal.next(seconds(10)).unwrap();
    answered(&mut deal, &copy, seconds(10));
    deal.seat(id(1), 1, 1);
    assert!(handed_over(&mut deal) == [0] && deal.is_empty());
    deal
}

#[test]
fn who_rests_is_asked_for_what_nobody_else_can_have() {
    // The other one is busy: the line waits for it.
    let mut deal = rested();
    (0..2).for_each(|_| deal.take(Bytes::new(), seconds(11)));
    let dealt = all(&mut deal, seconds(11));
    assert_eq!(pairs(&dealt), [(1, id(2))]);
    // It loses that, and counts no more until it says again that it answers.
    deal.ended(1, id(2), Ending::Lost, seconds(12));
    assert_eq!(pairs(&all(&mut deal, seconds(12))), [(1, id(1))]);
    // It is back, but has had the line.
    let mut deal = rested();
    deal.take(Bytes::new(), seconds(11));
    let lost = deal.next(seconds(11)).unwrap();
    deal.ended(lost.line, lost.peer, Ending::Lost, seconds(12));
    deal.seat(id(2), 1, 1);
    deal.take(Bytes::new(), seconds(12));
    let dealt = all(&mut deal, seconds(12));
    assert_eq!(pairs(&dealt), [(2, id(2)), (1, id(1))]);
}

#[test]
fn a_line_that_cannot_be_asked_has_its_place_among_the_others() {
    let mut deal = deal(true, 1);
    deal.refuse("too long".into());
    deal.take(Bytes::new(), NOW);
    deal.seat(id(1), 2, 2);
    let dealt = all(&mut deal, NOW);
    assert_eq!(dealt.iter().map(|dealt| dealt.line).collect::<Vec<_>>(), [0, 2]);
    dealt.iter().for_each(|dealt| drop(answered(&mut deal, dealt, NOW)));
    assert_eq!(handed_over(&mut deal), [0, 1, 2]);
}

#[test]
fn what_is_held_is_bounded() {
    let mut lines = deal(true, 0);
    (0..SPREAD_LINES).for_each(|_| lines.take(Bytes::new(), NOW));
    assert!(!lines.has_room());

    let mut deal = deal(true, 40);
    deal.seat(id(1), 1, 1);
    deal.seat(id(2), 1, 1);
    let (oldest, mut other) = (deal.next(NOW).unwrap(), deal.next(NOW).unwrap());
    let large = Bytes::from(vec![0; 1 << 20]);
    for answers in 1.. {
        deal.ended(other.line, other.peer, Ending::Answered(Ok(large.clone())), NOW);
        assert!(answers <= 32);
        match deal.next(NOW) {
            Some(dealt) => other = dealt,
            None => break,
        }
    }
    assert!(!deal.has_room() && deal.hand_over().is_none());
    answered(&mut deal, &oldest, NOW);
    while deal.hand_over().is_some() {}
    assert!(deal.has_room() && deal.next(NOW).is_some());
}

#[test]
fn what_is_being_asked_counts_as_an_answer() {
    let peers: Vec<_> = (1..=4).map(id).collect();
    let mut deal = deal(false, 4000);
    let seat = |deal: &mut Deal| peers.iter().for_each(|peer| deal.seat(*peer, u64::MAX, u64::MAX));
    seat(&mut deal);
    // However small the answers are, and however much the peers say they have room for.
    let mut most = 0;
    let mut asked = all(&mut deal, NOW);
    for _ in 0..3000 {
        most = most.max(asked.len());
        let dealt = asked.remove(0);
        answered(&mut deal, &dealt, NOW);
        handed_over(&mut deal);
        asked.extend(all(&mut deal, NOW));
    }
    assert_eq!((most, deal.sizes.len()), (SPREAD_HELD / SPREAD_LEAST_ANSWER, SPREAD_REMEMBERED));
    // And once one was large, fewer.
    let dealt = asked.remove(0);
    let large = Bytes::from(vec![0; 1 << 20]);
    deal.ended(dealt.line, dealt.peer, Ending::Answered(Ok(large)), NOW);
    handed_over(&mut deal);
    for _ in 1..SPREAD_REMEMBERED {
        assert!(deal.next(NOW).is_none());
        let dealt = asked.remove(0);
        answered(&mut deal, &dealt, NOW);
        handed_over(&mut deal);
    }
    // That is forgotten when the last ones were small.
    let dealt = asked.remove(0);
    answered(&mut deal, &dealt, NOW);
    asked.extend(all(&mut deal, NOW));
    assert_eq!(asked.len(), most);
}

#[test]
fn who_goes_and_comes_back_rests_on() {
    let mut deal = rested();
    deal.seat(id(1), 0, 0);
    deal.seat(id(1), 1, 1);
    (0..2).for_each(|_| deal.take(Bytes::new(), seconds(11)));
    assert_eq!(pairs(&all(&mut deal, seconds(11))), [(1, id(2))]);
    // Not for ever, when there are very many.
    let other = |number: usize| {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        compeer::Identity::from_seed(&seed).peer_id()
    };
    for number in 1..=2 * SPREAD_SEATS {
        let peer = other(number);
        deal.seat(peer, 1, 1);
        deal.seats.get_mut(&peer).unwrap().overtaken(seconds(10), seconds(11));
        deal.seat(peer, 0, 0);
    }
    assert_eq!(deal.seats.len(), SPREAD_SEATS);
}

/// Lines of one peer that are held for longer than it takes to begin, and then given back.
fn refuse(deal: &mut Deal, dealt: &[Dealt], now: Duration) -> Option<PeerId> {
    for dealt in dealt {
        assert!(deal.ended(dealt.line, dealt.peer, Ending::NotBegun, now).is_empty());
    }
    deal.left_out()
}

#[test]
fn who_holds_lines_and_gives_them_back_is_left_out_and_the_spread_has_an_end() {
    let mut deal = with(true, 3, Pace::new(Some(LONG), seconds(30)));
    let mut now = 0;
    let mut held = 0;
    // As it would go on for ever.
    while !deal.is_in_vain(seconds(now)) {
        deal.seat(id(1), 1, 1);
        let dealt = all(&mut deal, seconds(now));
        held += dealt.len();
        now += 6;
        let told = refuse(&mut deal, &dealt, seconds(now));
        let last = held == SPREAD_REFUSALS as usize && !dealt.is_empty();
        assert_eq!(told, last.then(|| id(1)), "it is told once");
    }
    assert_eq!((held, now), (SPREAD_REFUSALS as usize, 6 * u64::from(SPREAD_REFUSALS) + 30));
    assert!(!deal.somebody_answers());
    deal.give_up(seconds(now), |_| "in vain".into());
    let answers: Vec<_> = std::iter::from_fn(|| deal.hand_over()).collect();
    assert!(answers.len() == 3 && answers.iter().all(|(_, answer)| answer.reply == Err("in vain".into())));
    // Also when it goes and comes back; others are given its lines.
    deal.seat(id(1), 0, 0);
    deal.seat(id(1), 1, 1);
    deal.take(Bytes::new(), seconds(now));
    assert!(deal.next(seconds(now)).is_none());
    deal.seat(id(2), 1, 1);
    assert_eq!(deal.next(seconds(now)).unwrap().peer, id(2));
}

#[test]
fn lines_that_come_back_together_count_once_and_an_answer_makes_up_for_them() {
    let mut deal = with(false, 100, Pace::new(Some(LONG), seconds(30)));
    deal.seat(id(1), 9, 9);
    for _ in 0..7 {
        let dealt = deal.next(NOW).unwrap();
        answered(&mut deal, &dealt, NOW);
    }
    for round in 1..3 * u64::from(SPREAD_REFUSALS) {
        deal.seat(id(1), 9, 9);
        let mut dealt = all(&mut deal, seconds(10 * round));
        assert_eq!(dealt.len(), 9);
        if round % 2 == 0 {
            answered(&mut deal, &dealt.remove(0), seconds(10 * round));
        }
        assert_eq!(refuse(&mut deal, &dealt, seconds(10 * round + 6)), None);
    }
    // Who says at once that he is busy is no worse than he says.
    let mut deal = with(true, 1, Pace::new(Some(LONG), seconds(30)));
    for _ in 0..100 {
        deal.seat(id(1), 1, 1);
        let dealt = all(&mut deal, NOW);
        assert_eq!((dealt.len(), refuse(&mut deal, &dealt, NOW)), (1, None));
    }
}

#[test]
fn no_peer_is_given_more_than_the_window() {
    let mut seat = Seat::default();
    (0..2 * SPREAD_WINDOW).for_each(|_| seat.answered());
    seat.says(u64::MAX, u64::MAX);
    assert_eq!(seat.room(), SPREAD_WINDOW);
}

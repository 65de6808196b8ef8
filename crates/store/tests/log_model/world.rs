//! A world of the model: a storage, processes that drive the real machines, and what may happen next.
//!
//! Beside the storage it keeps the truth: which record was the first under each number. The machines do not see it.

use std::collections::{BTreeMap, BTreeSet};

use super::explore::digest;

use wallaroo_store::log::entry::{Entry, Kind};
use wallaroo_store::log::protocol::{
    Answer, Appended, Appending, Ask, Base, Opened, Opening, Owner, Step,
};
use wallaroo_store::log::trimming;
use wallaroo_store::storage::Created;

/// How much may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounds {
    pub(crate) processes: usize,
    /// Openings that are begun, of all processes.
    pub(crate) openings: u32,
    /// Commits that are begun.
    pub(crate) commits: u32,
    /// Answers that get lost, with or without what was asked for being done, at once or later.
    pub(crate) unclear: u32,
    /// Trims that are begun.
    pub(crate) trims: u32,
    /// Records of the log, at which a world ends: two that open at once could fence each other for ever.
    pub(crate) records: usize,
    /// Whether openings may go back to an earlier commit.
    pub(crate) goes_back: bool,
    pub(crate) mutation: Mutation,
}

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutation {
    None,
    /// A process that lost a number takes the next one.
    PassesFences,
    /// All records have one nonce.
    SameNonce,
    /// A number that was free is taken to be the highest.
    TrustsFreeNumbers,
    /// A number is taken to be the highest when there is a record before it.
    LooksAtPredecessor,
    /// A record of unclear fate is taken to be made.
    ForgetsUnclear,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Process {
    Out,
    Opening(Opening),
    Owner(Owner),
    Committing(Owner, Entry, Appending),
    /// The commit is unclear and has to be tried again.
    Pending(Owner, Entry),
    Trimming(Owner, Vec<u64>),
}

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    left: Bounds,
    objects: BTreeMap<u64, Entry>,
    /// The first record of each number, from 1.
    truth: Vec<Entry>,
    /// Requests on their way that nobody waits for.
    flying: BTreeSet<Entry>,
    processes: Vec<Process>,
    /// Commits that a process was told have won.
    acknowledged: BTreeSet<Entry>,
    nonces: u128,
}

/// What leads from one world to another. Processes are counted anew in each world.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "printed only")]
pub(crate) enum Event {
    ArrivesLate(Entry, Created),
    Asks(usize, Ask, Fate, Answer),
    PlansToTrimUpTo(usize, u64),
    Deletes(usize, u64),
    Ends(usize),
}

/// How a request fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Answered,
    /// Done, and the answer is lost.
    DoneUnclear,
    /// Not done.
    LostUnclear,
    /// Not done yet: it arrives later.
    LateUnclear,
    /// Done, the answer is lost, and it arrives a second time.
    TwiceUnclear,
}

impl World {
    pub(crate) fn new(bounds: Bounds) -> Self {
        World {
            left: bounds,
            objects: BTreeMap::new(),
            truth: Vec::new(),
            flying: BTreeSet::new(),
            processes: vec![Process::Out; bounds.processes],
            acknowledged: BTreeSet::new(),
            nonces: 0,
        }
    }

    /// Every world that one event leads to, and what the event was.
    pub(crate) fn next(&self) -> Vec<(Event, World)> {
        let mut next = Vec::new();
        if self.truth.len() >= self.left.records {
            return next;
        }
        for entry in &self.flying {
            let mut world = self.clone();
            world.flying.remove(entry);
            let created = world.create(*entry);
            next.push((Event::ArrivesLate(*entry, created), world));
        }
        for index in 0..self.processes.len() {
            // processes in the same state are alike: the first of them stands for all
            if !self.processes[..index].contains(&self.processes[index]) {
                self.steps_of(index, &mut next);
            }
        }
        for (_, world) in &mut next {
            world.processes.sort_by_cached_key(digest);
        }
        next
    }

    fn steps_of(&self, index: usize, next: &mut Vec<(Event, World)>) {
        match &self.processes[index] {
            Process::Out if self.left.openings > 0 => self.begin(index, next),
            Process::Out => {}
            Process::Opening(_) | Process::Committing(..) => self.ask(index, next),
            Process::Pending(owner, entry) => {
                let appending = Process::Committing(*owner, *entry, Appending::new(*entry));
                self.with(index, appending).ask(index, next);
            }
            Process::Owner(owner) => self.own(index, *owner, next),
            Process::Trimming(owner, numbers) => {
                let rest = match &numbers[1..] {
                    [] => Process::Owner(*owner),
                    rest => Process::Trimming(*owner, rest.to_vec()),
                };
                let mut world = self.with(index, rest);
                world.objects.remove(&numbers[0]);
                next.push((Event::Deletes(index, numbers[0]), world));
            }
        }
    }

    fn with(&self, index: usize, process: Process) -> World {
        let mut world = self.clone();
        world.processes[index] = process;
        world
    }

    fn begin(&self, index: usize, next: &mut Vec<(Event, World)>) {
        let mut bases = vec![Base::Newest];
        if self.left.goes_back {
            let commits = self.objects.values();
            let commits = commits.filter(|entry| entry.kind == Kind::Commit);
            bases.extend(commits.map(|entry| Base::Number(entry.number)));
        }
        for base in bases {
            let mut world = self.clone();
            world.left.openings -= 1;
            let opening = Opening::new(world.nonce(), base, true);
            world.processes[index] = Process::Opening(opening);
            world.ask(index, next);
        }
    }

    fn own(&self, index: usize, owner: Owner, next: &mut Vec<(Event, World)>) {
        if self.left.commits > 0 {
            let mut world = self.clone();
            world.left.commits -= 1;
            let entry = owner.next_commit(world.nonce());
            world.processes[index] = Process::Committing(owner, entry, Appending::new(entry));
            world.ask(index, next);
        }
        // it decides by what it sees, and may sleep before each deletion
        let kept = BTreeSet::from_iter(owner.head);
        let plan = trimming::plan(self.objects.keys().copied(), owner.last, 1, &kept);
        if self.left.trims > 0
            && let Some(highest) = plan.last().copied()
        {
            let mut world = self.with(index, Process::Trimming(owner, plan));
            world.left.trims -= 1;
            next.push((Event::PlansToTrimUpTo(index, highest), world));
        }
        // a process that ends makes room for another
        if self.left.openings > 0 {
            next.push((Event::Ends(index), self.with(index, Process::Out)));
        }
    }

    fn ask(&self, index: usize, next: &mut Vec<(Event, World)>) {
        let ask = match &self.processes[index] {
            Process::Opening(opening) => opening.ask(),
            Process::Committing(_, _, appending) => appending.ask(),
            other => panic!("{other:?} asks nothing"),
        };
        let mut fates = vec![Fate::Answered];
        if self.left.unclear > 0 {
            fates.push(Fate::LostUnclear);
            if matches!(ask, Ask::Create(_)) {
                fates.extend([Fate::DoneUnclear, Fate::LateUnclear, Fate::TwiceUnclear]);
            }
        }
        for fate in fates {
            let mut world = self.clone();
            let mut answer = world.done(ask, fate);
            if fate != Fate::Answered {
                world.left.unclear -= 1;
                answer = Answer::Unclear;
            }
            world.give(index, answer);
            next.push((Event::Asks(index, ask, fate, answer), world));
        }
    }

    fn done(&mut self, ask: Ask, fate: Fate) -> Answer {
        let highest = self.objects.keys().last().copied().unwrap_or(0);
        match ask {
            Ask::Highest => Answer::Highest(highest),
            Ask::Read(number) => Answer::Found(self.objects.get(&number).copied()),
            Ask::Create(entry) => {
                if matches!(fate, Fate::LateUnclear | Fate::TwiceUnclear) {
                    self.flying.insert(entry);
                }
                if matches!(fate, Fate::LateUnclear | Fate::LostUnclear) {
                    return Answer::Unclear;
                }
                Answer::Created(self.create(entry))
            }
        }
    }

    fn create(&mut self, entry: Entry) -> Created {
        if self.objects.contains_key(&entry.number) {
            return Created::Existed;
        }
        self.objects.insert(entry.number, entry);
        if usize::try_from(entry.number).expect("small") == self.truth.len() + 1 {
            self.truth.push(entry);
        }
        Created::New
    }

    fn give(&mut self, index: usize, answer: Answer) {
        let answer = self.mutated(index, answer);
        self.processes[index] = match &self.processes[index] {
            Process::Opening(opening) => match opening.answer(answer) {
                Step::Go(opening) => Process::Opening(opening),
                Step::Done(Opened::Owner(owner)) => Process::Owner(owner),
                Step::Done(Opened::Refused { .. } | Opened::Unclear) => Process::Out,
                Step::Done(Opened::Vanished) => panic!("the storage contradicts itself"),
            },
            Process::Committing(owner, entry, appending) => {
                let (mut owner, entry) = (*owner, *entry);
                match appending.answer(answer) {
                    Step::Go(appending) => Process::Committing(owner, entry, appending),
                    Step::Done(Appended::Unclear)
                        if self.left.mutation != Mutation::ForgetsUnclear =>
                    {
                        Process::Pending(owner, entry)
                    }
                    Step::Done(Appended::Won | Appended::Unclear) => {
                        owner.has_won(&entry);
                        self.acknowledged.insert(entry);
                        Process::Owner(owner)
                    }
                    Step::Done(Appended::Lost { .. })
                        if self.left.mutation == Mutation::PassesFences =>
                    {
                        owner.last = entry.number;
                        Process::Owner(owner)
                    }
                    Step::Done(Appended::Lost { .. }) => Process::Out,
                    Step::Done(Appended::Vanished) => panic!("the storage contradicts itself"),
                }
            }
            other => panic!("{other:?} asked nothing"),
        };
    }

    fn mutated(&self, index: usize, answer: Answer) -> Answer {
        let Process::Committing(_, entry, _) = &self.processes[index] else {
            return answer;
        };
        let has_predecessor = self.objects.contains_key(&(entry.number - 1));
        let believes = match self.left.mutation {
            Mutation::TrustsFreeNumbers => true,
            Mutation::LooksAtPredecessor => has_predecessor,
            _ => false,
        };
        match answer {
            Answer::Highest(_) if believes => Answer::Highest(entry.number),
            answer => answer,
        }
    }

    fn nonce(&mut self) -> u128 {
        if self.left.mutation != Mutation::SameNonce {
            self.nonces += 1;
        }
        self.nonces
    }

    /// The invariants.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_truth()?;
        self.check_acknowledged()?;
        self.check_owners()
    }

    /// The log as it was made: dense, of ascending generations, each begun by a fence; and readers find its end.
    fn check_truth(&self) -> Result<(), String> {
        let mut generation = 0;
        for entry in &self.truth {
            match entry.kind {
                Kind::Fence if entry.generation > generation => generation = entry.generation,
                Kind::Commit if entry.generation == generation => {}
                Kind::Fence => return Err(format!("{entry:?} after the fence of {generation}")),
                Kind::Commit => return Err(format!("{entry:?} after the fence of {generation}")),
            }
        }
        let newest = self.objects.values().last();
        if newest != self.truth.last() {
            return Err(format!(
                "readers find {newest:?}, not {:?}",
                self.truth.last()
            ));
        }
        let Some(head) = newest.and_then(Entry::head) else {
            return Ok(());
        };
        if self.left.goes_back {
            return Ok(()); // which commits stay when it goes back is for retention to say
        }
        let found = self.objects.get(&head);
        if found != Some(self.true_entry(head)) {
            return Err(format!(
                "readers find {found:?} as the newest commit {head}"
            ));
        }
        Ok(())
    }

    /// No commit that was acknowledged is lost.
    fn check_acknowledged(&self) -> Result<(), String> {
        let mut path = BTreeSet::new();
        let mut at = self.truth.last().and_then(Entry::head);
        while let Some(number) = at {
            path.insert(number);
            at = self.true_entry(number).follows;
        }
        for entry in &self.acknowledged {
            if self.truth.get(index_of(entry.number)) != Some(entry) {
                return Err(format!(
                    "{entry:?} was acknowledged, and another record has its number"
                ));
            }
            if !path.contains(&entry.number) && !self.left.goes_back {
                return Err(format!(
                    "{entry:?} was acknowledged, and is not on the path"
                ));
            }
        }
        Ok(())
    }

    /// Each generation has one owner at most, and its last record is its own.
    fn check_owners(&self) -> Result<(), String> {
        let mut generations = BTreeSet::new();
        for process in &self.processes {
            let (Process::Owner(owner)
            | Process::Committing(owner, ..)
            | Process::Pending(owner, _)
            | Process::Trimming(owner, _)) = process
            else {
                continue;
            };
            if !generations.insert(owner.generation) {
                return Err(format!("two processes own generation {}", owner.generation));
            }
            let last = self.truth.get(index_of(owner.last));
            if last.map(|entry| entry.generation) != Some(owner.generation) {
                return Err(format!("{owner:?} takes {last:?} as its last record"));
            }
        }
        Ok(())
    }

    fn true_entry(&self, number: u64) -> &Entry {
        &self.truth[index_of(number)]
    }
}

fn index_of(number: u64) -> usize {
    usize::try_from(number).expect("small") - 1
}

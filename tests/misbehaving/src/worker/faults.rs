// SPDX-License-Identifier: MIT OR Apache-2.0

//! The one table of a worker's faults: what each breaks, and which checks must see it.

use std::sync::OnceLock;

use crate::faults::{Seen, faults};

faults! {
    // Lines.
    /// Pings before it initializes.
    PingsFirst "pings-first" => By(&[]);
    /// Does not say by the environment what it speaks.
    NoEnvironment "no-environment" => By(&[]);
    /// Lists versions in the environment that it does not offer.
    ListsOtherVersions "lists-other-versions" => By(&[]);
    /// Ends in the middle of a line.
    EndsWithinALine "ends-within-a-line" => By(&[]);
    /// Has an array for parameters.
    ParamsAreArrays "params-are-arrays" => By(&[]);
    /// Ends at a line that ends with a carriage return.
    DiesOfCarriageReturns "dies-of-carriage-returns" => By(&[]);
    /// Takes an empty line for the end.
    EmptyLineEnds "empty-line-ends" => By(&[]);
    /// Acts on a line that the end of stdout has cut off.
    ActsOnCutOffLine "acts-on-cut-off-line" => By(&[]);
    /// Sends frames of any length, whatever the processor takes.
    IgnoresLimit "ignores-limit" => By(&[]);
    /// Takes a byte less than 1 MiB at first.
    FirstLimitIsLess "first-limit-is-less" => By(&[]);
    /// Takes a byte less than it announces.
    LimitIsLess "limit-is-less" => By(&[]);
    /// Takes lines of any length.
    HasNoLimit "has-no-limit" => By(&[]);
    /// Ends the process at a line over the limit.
    DiesOfLongLines "dies-of-long-lines" => By(&[]);
    /// Keeps a line over the limit until it ends.
    KeepsLongLines "keeps-long-lines" => By(&[]);
    /// Does not read stderr.
    LeavesStderr "leaves-stderr" => By(&[]);
    /// Does not show what a processor said last.
    HidesLastWords "hides-last-words" => By(&[]);
    /// Reads on when what it has to say is written.
    WritesBeforeItReads "writes-before-it-reads" => By(&[]);
    /// Counts notifications as rubbish.
    CountsNotifications "counts-notifications" => By(&[]);

    // Messages.
    /// Has one id for all runs.
    ReusesIds "reuses-ids" => By(&[]);
    /// Has one name for all tasks.
    ReusesNames "reuses-names" => By(&[]);
    /// Does not answer requests.
    SilentOnRequests "silent-on-requests" => By(&[]);
    /// Answers requests with the id as a text.
    IdsBecomeTexts "ids-become-texts" => By(&[]);
    /// Answers notifications that it does not know.
    AnswersNotifications "answers-notifications" => By(&[]);
    /// Refuses a result of `initialize` with members that it does not know.
    RefusesUnknownMembers "refuses-unknown-members" => By(&[]);
    /// Takes `null` for a value.
    NullIsAValue "null-is-a-value" => By(&[]);
    /// Takes an answer with `id: null` for that to any run.
    NullAnswersAll "null-answers-all" => By(&[]);
    /// Takes an id in quotes for a number.
    IdsBecomeNumbers "ids-become-numbers" => By(&[]);
    /// Ends the process at an answer that nobody waits for.
    DiesOfStrayAnswers "dies-of-stray-answers" => By(&[]);
    /// Answers what is no message.
    AnswersRubbish "answers-rubbish" => By(&[]);
    /// Ends the process at the first line that is no message.
    DiesOfRubbish "dies-of-rubbish" => By(&[]);
    /// Takes rubbish for ever.
    TakesAnyRubbish "takes-any-rubbish" => By(&[]);
    /// Takes answers in the order of the requests.
    FirstInFirstOut "first-in-first-out" => By(&[]);
    /// Takes any result for success.
    TakesAnyResult "takes-any-result" => By(&[]);
    /// Writes integers with a fraction.
    WritesFractions "writes-fractions" => By(&[]);
    /// Sends paths that are not absolute.
    RelativePaths "relative-paths" => By(&[]);
    /// Sends pieces that do not fill the sector.
    LeavesAGap "leaves-a-gap" => By(&[]);
    /// Does not make the sector's directory.
    MakesNoDirectory "makes-no-directory" => By(&[]);

    // The first words.
    /// Speaks whatever version it is told.
    SpeaksAnything "speaks-anything" => By(&[]);
    /// Goes on with a processor that has refused `initialize`.
    IgnoresRefusals "ignores-refusals" => By(&[]);
    /// Refuses words that it does not know.
    RefusesUnknownWords "refuses-unknown-words" => By(&[]);
    /// Sends parameters of 1.0, whatever is read.
    SendsAnyMajor "sends-any-major" => By(&[]);
    /// Wants exactly 1.0.
    WantsExactly10 "wants-exactly-1.0" => By(&[]);
    /// Sends the runs together with `initialize`.
    DoesNotWait "does-not-wait" => By(&[]);
    /// Waits for the answer to `initialize` for ever.
    WaitsForEver "waits-for-ever" => By(&[]);
    /// Waits for 5 s, whatever is configured.
    FixedStableWait "fixed-stable-wait" => By(&[]);
    /// Sends its tasks to whoever is there.
    AnyStage "any-stage" => By(&[]);
    /// Refuses a processor with stages that it does not know.
    RefusesOtherStages "refuses-other-stages" => By(&[]);
    /// Does not look at what is offered.
    IgnoresOfferedConcurrency "ignores-offered-concurrency" => By(&[]);
    /// Does not look at what is configured.
    IgnoresOwnConcurrency "ignores-own-concurrency" => By(&[]);
    /// Starts again what has refused for good.
    StartsRefusedAgain "starts-refused-again" => By(&[]);

    // Placement.
    /// Grants nothing.
    GrantsNothing "grants-nothing" => By(&[]);
    /// Believes what it is told.
    Believes "believes" => By(&[]);
    /// Looks at the first thread alone.
    LooksAtOneThread "looks-at-one-thread" => By(&[]);
    /// Does not look at the memory policy.
    IgnoresMemory "ignores-memory" => By(&[]);
    /// Grants what it has pinned itself.
    GrantsAndPins "grants-and-pins" => By(&[]);
    /// Grants where nobody is to pin.
    GrantsWhereOff "grants-where-off" => By(&[]);
    /// Leaves it to others to pin where it should.
    NeverPins "never-pins" => By(&[]);

    // Tasks.
    /// Never raises the attempt.
    AttemptsStay "attempts-stay" => By(&[]);
    /// Gives a task another name with each try.
    RenamesTasks "renames-tasks" => By(&[]);
    /// Takes the last outcome.
    LastOutcomeWins "last-outcome-wins" => By(&[]);

    // Progress.
    /// Waits for what is silent.
    WaitsForTheSilent "waits-for-the-silent" => By(&[]);
    /// Takes logs for no sign of life.
    LogsAreNoSign "logs-are-no-sign" => By(&[]);
    /// Takes progress that does not advance for no sign of life.
    StandingStillIsNoSign "standing-still-is-no-sign" => By(&[]);
    /// Lets a task stand still for ever.
    LetsItStandStill "lets-it-stand-still" => By(&[]);
    /// Fails a task whose progress is odd.
    OddProgressFails "odd-progress-fails" => By(&[]);
    /// Cancels each task before it is run.
    CancelsFirst "cancels-first" => By(&[]);

    // The end.
    /// Never closes stdin.
    KeepsStdinOpen "keeps-stdin-open" => By(&[]);
    /// Closes stdin without a word.
    ClosesWithoutAWord "closes-without-a-word" => By(&[]);
    /// Kills what has done its tasks.
    KillsAtOnce "kills-at-once" => By(&[]);
    /// Sends SIGTERM to what has done its tasks.
    TermsAtOnce "terms-at-once" => By(&[]);
    /// Leaves what does not end by itself.
    KillsNobody "kills-nobody" => By(&[]);
    /// Kills the process and leaves its group.
    KillsOne "kills-one" => By(&[]);
    /// Leaves the children of what has ended.
    LeavesOrphans "leaves-orphans" => By(&[]);
    /// Starts processors in its own group.
    SharesItsGroup "shares-its-group" => By(&[]);
    /// Hands over a pipe that is none of the processor's.
    LeaksAPipe "leaks-a-pipe" => By(&[]);
    /// Hands over the other end of stdin, too.
    LeaksStdin "leaks-stdin" => By(&[]);
    /// Ends at SIGTERM, and leaves all as it is.
    DiesOfSigterm "dies-of-sigterm" => By(&[]);
    /// Waits for the answer to `shutdown` for ever.
    WaitsForShutdown "waits-for-shutdown" => By(&[]);

    // Deaths.
    /// Takes any end without a task for success.
    AnyEndIsGood "any-end-is-good" => By(&[]);
    /// Takes exit code 0 for success.
    ExitZeroIsSuccess "exit-zero-is-success" => By(&[]);
    /// Runs nothing again that a death has cost.
    DeathIsFinal "death-is-final" => By(&[]);
    /// Runs all tasks of a dead process again.
    RunsDoneTasksAgain "runs-done-tasks-again" => By(&[]);
    /// Does not notice that stdout is closed.
    IgnoresTheEnd "ignores-the-end" => By(&[]);
    /// Does not reap.
    LeavesZombies "leaves-zombies" => By(&[]);
    /// Starts what dies for ever.
    StartsForEver "starts-for-ever" => By(&[]);

    // Errors.
    /// Goes by the code.
    CodeDecides "code-decides" => By(&[]);
    /// Tries again after any error.
    EverythingIsTemporary "everything-is-temporary" => By(&[]);
    /// Tries again what is critical.
    CriticalIsTemporary "critical-is-temporary" => By(&[]);
    /// Tries again what is given up.
    AbortIsTemporary "abort-is-temporary" => By(&[]);
    /// Takes an unknown class for temporary.
    UnknownIsTemporary "unknown-is-temporary" => By(&[]);
    /// Takes an error without data for permanent.
    NoDataIsPermanent "no-data-is-permanent" => By(&[]);
    /// Takes an unknown code without data for temporary.
    UnknownCodeIsTemporary "unknown-code-is-temporary" => By(&[]);
    /// Takes data that does not fit for permanent.
    BadDataIsPermanent "bad-data-is-permanent" => By(&[]);
    /// Fails at a hint that it does not know.
    DiesOfHints "dies-of-hints" => By(&[]);
    /// Does not wait as long as asked.
    IgnoresHints "ignores-hints" => By(&[]);
    /// Tries for ever.
    TriesForEver "tries-for-ever" => By(&[]);
    /// Fails without a word.
    FailsInSilence "fails-in-silence" => By(&[]);
    /// Ends with 0, whatever happened.
    AlwaysSucceeds "always-succeeds" => By(&[]);
}

static CHOSEN: OnceLock<Option<Fault>> = OnceLock::new();

/// Chooses the fault of this process, once.
pub fn choose(fault: Option<Fault>) {
    // The first choice stays.
    let _ = CHOSEN.set(fault);
}

/// Whether this process has the fault.
pub fn has(fault: Fault) -> bool {
    CHOSEN.get().copied().flatten() == Some(fault)
}

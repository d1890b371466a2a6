// SPDX-License-Identifier: MIT OR Apache-2.0

//! The one table of a worker's faults: what each breaks, and which checks must see it.

use std::sync::OnceLock;

use crate::faults::{Seen, faults};

faults! {
    // Lines.
    /// Pings before it initializes.
    PingsFirst "pings-first" => By(&["W-001", "W-006", "W-050", "W-060", "W-063"]);
    /// Does not say by the environment what it speaks.
    NoEnvironment "no-environment" => By(&["W-002"]);
    /// Lists versions in the environment that it does not offer.
    ListsOtherVersions "lists-other-versions" => By(&["W-002"]);
    /// Ends in the middle of a line.
    EndsWithinALine "ends-within-a-line" => By(&["W-003"]);
    /// Has an array for parameters.
    ParamsAreArrays "params-are-arrays" => By(&["W-003", "W-031"]);
    /// Ends at a line that ends with a carriage return.
    DiesOfCarriageReturns "dies-of-carriage-returns" => By(&["W-004"]);
    /// Takes an empty line for the end.
    EmptyLineEnds "empty-line-ends" => By(&["W-004"]);
    /// Acts on a line that the end of stdout has cut off.
    ActsOnCutOffLine "acts-on-cut-off-line" => By(&["W-005"]);
    /// Sends frames of any length, whatever the processor takes.
    IgnoresLimit "ignores-limit" => By(&["W-006"]);
    /// Takes a byte less than 1 MiB at first.
    FirstLimitIsLess "first-limit-is-less" => By(&["W-007"]);
    /// Takes a byte less than it announces.
    LimitIsLess "limit-is-less" => By(&["W-008"]);
    /// Takes lines of any length.
    HasNoLimit "has-no-limit" => By(&["W-009", "W-010", "W-011"]);
    /// Ends the process at a line over the limit.
    DiesOfLongLines "dies-of-long-lines" => By(&["W-009", "W-010", "W-011"]);
    /// Keeps a line over the limit until it ends.
    KeepsLongLines "keeps-long-lines" => By(&["W-011"]);
    /// Does not read stderr.
    LeavesStderr "leaves-stderr" => By(&["W-012", "W-013"]);
    /// Does not show what a processor said last.
    HidesLastWords "hides-last-words" => By(&["W-013"]);
    /// Reads on when what it has to say is written.
    WritesBeforeItReads "writes-before-it-reads" => By(&["W-014", "W-084"]);
    /// Counts notifications as rubbish.
    CountsNotifications "counts-notifications" => By(&["W-014", "W-015"]);

    // Messages.
    /// Has one id for all runs.
    ReusesIds "reuses-ids" => By(&["W-020"]);
    /// Has one name for all tasks.
    ReusesNames "reuses-names" => By(&["W-020"]);
    /// Does not answer requests.
    SilentOnRequests "silent-on-requests" => By(&["W-021"]);
    /// Answers requests with the id as a text.
    IdsBecomeTexts "ids-become-texts" => By(&["W-021"]);
    /// Answers notifications that it does not know.
    AnswersNotifications "answers-notifications" => By(&["W-022"]);
    /// Refuses a result of `initialize` with members that it does not know.
    RefusesUnknownMembers "refuses-unknown-members" => By(&["W-023"]);
    /// Takes `null` for a value.
    NullIsAValue "null-is-a-value" => By(&["W-024"]);
    /// Takes an answer with `id: null` for that to any run.
    NullAnswersAll "null-answers-all" => By(&["W-025"]);
    /// Takes an id in quotes for a number.
    IdsBecomeNumbers "ids-become-numbers" => By(&["W-025"]);
    /// Ends the process at an answer that nobody waits for.
    DiesOfStrayAnswers "dies-of-stray-answers" => By(&["W-025", "W-072", "W-074"]);
    /// Answers what is no message.
    AnswersRubbish "answers-rubbish" => By(&["W-026"]);
    /// Ends the process at the first line that is no message.
    DiesOfRubbish "dies-of-rubbish" => By(&["W-026"]);
    /// Takes rubbish for ever.
    TakesAnyRubbish "takes-any-rubbish" => By(&["W-027", "W-028"]);
    /// Takes answers in the order of the requests.
    FirstInFirstOut "first-in-first-out" => By(&["W-029"]);
    /// Takes any result for success.
    TakesAnyResult "takes-any-result" => By(&["W-030"]);
    /// Writes integers with a fraction.
    WritesFractions "writes-fractions" => By(&["W-031"]);
    /// Sends paths that are not absolute.
    RelativePaths "relative-paths" => By(&["W-032"]);
    /// Sends pieces that do not fill the sector.
    LeavesAGap "leaves-a-gap" => By(&["W-032"]);
    /// Does not make the sector's directory.
    MakesNoDirectory "makes-no-directory" => By(&["W-004", "W-007", "W-008", "W-009", "W-010", "W-011", "W-012", "W-014", "W-015", "W-020", "W-021", "W-022", "W-023", "W-024", "W-025", "W-026", "W-029", "W-033", "W-042", "W-044", "W-052", "W-054", "W-055", "W-056", "W-060", "W-063", "W-064", "W-065", "W-070", "W-071", "W-072", "W-074", "W-080", "W-081", "W-082", "W-083", "W-084", "W-103", "W-104", "W-105", "W-110", "W-122", "W-123", "W-124", "W-125", "W-126", "W-127", "W-140", "W-145", "W-147", "W-148"]);

    // The first words.
    /// Speaks whatever version it is told.
    SpeaksAnything "speaks-anything" => By(&["W-040"]);
    /// Goes on with a processor that has refused `initialize`.
    IgnoresRefusals "ignores-refusals" => By(&["W-041", "W-057"]);
    /// Refuses words that it does not know.
    RefusesUnknownWords "refuses-unknown-words" => By(&["W-042"]);
    /// Sends parameters of 1.0, whatever is read.
    SendsAnyMajor "sends-any-major" => By(&["W-043"]);
    /// Wants exactly 1.0.
    WantsExactly10 "wants-exactly-1.0" => By(&["W-044"]);
    /// Sends the runs together with `initialize`.
    DoesNotWait "does-not-wait" => By(&["W-006", "W-040", "W-041", "W-043", "W-050", "W-051", "W-053", "W-057", "W-061", "W-062", "W-063", "W-121"]);
    /// Waits for the answer to `initialize` for ever.
    WaitsForEver "waits-for-ever" => By(&["W-051"]);
    /// Waits for 5 s, whatever is configured.
    FixedStableWait "fixed-stable-wait" => By(&["W-052"]);
    /// Sends its tasks to whoever is there.
    AnyStage "any-stage" => By(&["W-053"]);
    /// Refuses a processor with stages that it does not know.
    RefusesOtherStages "refuses-other-stages" => By(&["W-023", "W-054"]);
    /// Does not look at what is offered.
    IgnoresOfferedConcurrency "ignores-offered-concurrency" => By(&["W-055"]);
    /// Does not look at what is configured.
    IgnoresOwnConcurrency "ignores-own-concurrency" => By(&["W-056"]);
    /// Starts again what has refused for good.
    StartsRefusedAgain "starts-refused-again" => By(&["W-041", "W-057"]);

    // Placement.
    /// Grants nothing.
    GrantsNothing "grants-nothing" => By(&["W-060", "W-063"]);
    /// Believes what it is told.
    Believes "believes" => By(&["W-061", "W-062", "W-063"]);
    /// Looks at the first thread alone.
    LooksAtOneThread "looks-at-one-thread" => By(&["W-062"]);
    /// Does not look at the memory policy.
    IgnoresMemory "ignores-memory" => By(&["W-063"]);
    /// Grants what it has pinned itself.
    GrantsAndPins "grants-and-pins" => By(&["W-064"]);
    /// Grants where nobody is to pin.
    GrantsWhereOff "grants-where-off" => By(&["W-065"]);
    /// Leaves it to others to pin where it should.
    NeverPins "never-pins" => By(&["W-064"]);

    // Tasks.
    /// Never raises the attempt.
    AttemptsStay "attempts-stay" => By(&["W-070", "W-071", "W-080", "W-082", "W-123", "W-124", "W-126", "W-128", "W-140", "W-145", "W-147", "W-148", "W-149", "W-150"]);
    /// Gives a task another name with each try.
    RenamesTasks "renames-tasks" => By(&["W-070", "W-071", "W-080", "W-082", "W-123", "W-124", "W-126", "W-128", "W-140", "W-145", "W-147", "W-148", "W-149", "W-150"]);
    /// Takes the last outcome.
    LastOutcomeWins "last-outcome-wins" => By(&["W-072", "W-073", "W-074"]);

    // Progress.
    /// Waits for what is silent.
    WaitsForTheSilent "waits-for-the-silent" => By(&["W-080", "W-084"]);
    /// Takes logs for no sign of life.
    LogsAreNoSign "logs-are-no-sign" => By(&["W-081"]);
    /// Takes progress that does not advance for no sign of life.
    StandingStillIsNoSign "standing-still-is-no-sign" => By(&["W-081"]);
    /// Lets a task stand still for ever.
    LetsItStandStill "lets-it-stand-still" => By(&["W-082"]);
    /// Fails a task whose progress is odd.
    OddProgressFails "odd-progress-fails" => By(&["W-083"]);
    /// Cancels each task before it is run.
    CancelsFirst "cancels-first" => By(&["W-090"]);

    // The end.
    /// Never closes stdin.
    KeepsStdinOpen "keeps-stdin-open" => By(&["W-100", "W-102"]);
    /// Closes stdin without a word.
    ClosesWithoutAWord "closes-without-a-word" => By(&["W-101"]);
    /// Kills what has done its tasks.
    KillsAtOnce "kills-at-once" => By(&["W-100", "W-101", "W-102"]);
    /// Sends SIGTERM to what has done its tasks.
    TermsAtOnce "terms-at-once" => By(&["W-102"]);
    /// Leaves what does not end by itself.
    KillsNobody "kills-nobody" => By(&["W-103", "W-104", "W-105", "W-108", "W-110"]);
    /// Kills the process and leaves its group.
    KillsOne "kills-one" => By(&["W-104", "W-105", "W-108"]);
    /// Leaves the children of what has ended.
    LeavesOrphans "leaves-orphans" => By(&["W-105"]);
    /// Starts processors in its own group.
    SharesItsGroup "shares-its-group" => By(&["W-104", "W-105", "W-106", "W-108", "W-109"]);
    /// Hands over a pipe that is none of the processor's.
    LeaksAPipe "leaks-a-pipe" => By(&["W-107"]);
    /// Hands over the other end of stdin, too.
    LeaksStdin "leaks-stdin" => By(&["W-100", "W-102", "W-107", "W-109"]);
    /// Ends at SIGTERM, and leaves all as it is.
    DiesOfSigterm "dies-of-sigterm" => By(&["W-108"]);
    /// Waits for the answer to `shutdown` for ever.
    WaitsForShutdown "waits-for-shutdown" => By(&["W-110"]);

    // Deaths.
    /// Takes any end without a task for success.
    AnyEndIsGood "any-end-is-good" => By(&["W-120", "W-121"]);
    /// Takes exit code 0 for success.
    ExitZeroIsSuccess "exit-zero-is-success" => By(&["W-123"]);
    /// Runs nothing again that a death has cost.
    DeathIsFinal "death-is-final" => By(&["W-071", "W-080", "W-082", "W-084", "W-122", "W-123", "W-124", "W-126", "W-127"]);
    /// Runs all tasks of a dead process again.
    RunsDoneTasksAgain "runs-done-tasks-again" => By(&["W-125"]);
    /// Does not notice that stdout is closed.
    IgnoresTheEnd "ignores-the-end" => By(&["W-126"]);
    /// Does not reap.
    LeavesZombies "leaves-zombies" => By(&["W-127"]);
    /// Starts what dies for ever.
    StartsForEver "starts-for-ever" => By(&["W-013", "W-128"]);

    // Errors.
    /// Goes by the code.
    CodeDecides "code-decides" => By(&["W-140", "W-141", "W-142", "W-143", "W-144"]);
    /// Tries again after any error.
    EverythingIsTemporary "everything-is-temporary" => By(&["W-073", "W-141", "W-142", "W-143", "W-144", "W-145", "W-146", "W-147"]);
    /// Tries again what is critical.
    CriticalIsTemporary "critical-is-temporary" => By(&["W-142"]);
    /// Tries again what is given up.
    AbortIsTemporary "abort-is-temporary" => By(&["W-143"]);
    /// Takes an unknown class for temporary.
    UnknownIsTemporary "unknown-is-temporary" => By(&["W-144"]);
    /// Takes an error without data for permanent.
    NoDataIsPermanent "no-data-is-permanent" => By(&["W-145"]);
    /// Takes an unknown code without data for temporary.
    UnknownCodeIsTemporary "unknown-code-is-temporary" => By(&["W-146"]);
    /// Takes data that does not fit for permanent.
    BadDataIsPermanent "bad-data-is-permanent" => By(&["W-147"]);
    /// Fails at a hint that it does not know.
    DiesOfHints "dies-of-hints" => By(&["W-148"]);
    /// Does not wait as long as asked.
    IgnoresHints "ignores-hints" => By(&["W-149"]);
    /// Tries for ever.
    TriesForEver "tries-for-ever" => By(&["W-150"]);
    /// Fails without a word.
    FailsInSilence "fails-in-silence" => By(&["W-013", "W-030", "W-040", "W-041", "W-043", "W-051", "W-053", "W-057", "W-061", "W-062", "W-063", "W-073", "W-080", "W-082", "W-120", "W-121", "W-128", "W-141", "W-142", "W-143", "W-144", "W-145", "W-146", "W-147", "W-150"]);
    /// Ends with 0, whatever happened.
    AlwaysSucceeds "always-succeeds" => By(&["W-030", "W-040", "W-041", "W-043", "W-051", "W-053", "W-057", "W-061", "W-062", "W-063", "W-073", "W-120", "W-121", "W-128", "W-141", "W-142", "W-143", "W-144", "W-145", "W-146", "W-147", "W-150"]);
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

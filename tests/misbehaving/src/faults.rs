// SPDX-License-Identifier: MIT OR Apache-2.0

//! The one table of faults: what each breaks, and which checks of `echo` must see it.

use std::sync::OnceLock;

/// Which checks must fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// These and no others.
    By(&'static [&'static str]),
    /// All but these: nothing works without it.
    ByAllBut(&'static [&'static str]),
}

macro_rules! faults {
    ($($(#[doc = $about:literal])+ $variant:ident $name:literal => $seen:expr;)+) => {
        /// One broken rule.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Fault {
            $($(#[doc = $about])+ $variant,)+
        }

        impl Fault {
            /// The table, in its order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What is broken, for people.
            pub fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($about),+).trim_ascii(),)+
                }
            }

            /// Which checks must fail.
            pub fn seen(self) -> Seen {
                use Seen::{By, ByAllBut};
                let _ = ByAllBut;
                match self {
                    $(Self::$variant => $seen,)+
                }
            }
        }
    };
}

pub(crate) use faults;

faults! {
    // First words and lines.
    /// Says that it is ready before it was asked anything.
    GreetsFirst "greets-first" => By(&["P-001"]);
    /// Prints a line of text with every task.
    PrintsToStdout "prints-to-stdout" => By(&["P-002"]);
    /// Leaves descriptor 1 where every library prints to.
    KeepsDescriptor1 "keeps-descriptor-1" => By(&["P-003"]);
    /// Takes a carriage return for a part of the line.
    RefusesCarriageReturns "refuses-carriage-returns" => By(&["P-004", "P-010"]);
    /// Answers empty lines.
    AnswersEmptyLines "answers-empty-lines" => By(&["P-005"]);
    /// Acts on a line that the end of stdin has cut off.
    ActsOnCutOffLine "acts-on-cut-off-line" => By(&["P-006"]);
    /// Decodes each piece that it reads by itself, and so breaks characters in two.
    BreaksCharacters "breaks-characters" => By(&["P-007", "P-021"]);
    /// Loses what comes in one piece with `initialize`.
    LosesSecondFrame "loses-second-frame" => By(&["P-008", "P-078"]);
    /// Takes no more than 64 KiB a line.
    StopsAtThePipe "stops-at-the-pipe" => By(&["P-009", "P-012", "P-015", "P-018", "P-070"]);
    /// Takes a byte less than 1 MiB before `initialize`.
    FirstLimitIsLess "first-limit-is-less" => By(&["P-010"]);
    /// Has no limit before `initialize`.
    HasNoFirstLimit "has-no-first-limit" => By(&["P-011", "P-014"]);
    /// Takes a byte less than it announces.
    LimitIsLess "limit-is-less" => By(&["P-012"]);
    /// Takes a byte more than it announces.
    LimitIsMore "limit-is-more" => By(&["P-013"]);
    /// Skips lines over the limit without a word.
    SkipsInSilence "skips-in-silence" => By(&["P-011", "P-013"]);
    /// Keeps a line over the limit until it ends.
    KeepsLongLines "keeps-long-lines" => By(&["P-014"]);
    /// Sends frames of any length, whatever the worker takes.
    IgnoresWorkerLimit "ignores-worker-limit" => By(&["P-015"]);
    /// Reads on when what it has said is read.
    WritesBeforeItReads "writes-before-it-reads" => By(&["P-016"]);
    /// Reads on when the task has ended.
    ReadsAfterTheTask "reads-after-the-task" => By(&["P-017", "P-030", "P-036", "P-074", "P-076", "P-077", "P-084", "P-085", "P-086", "P-096", "P-101", "P-102", "P-103", "P-104", "P-105", "P-109", "P-110", "P-111", "P-112", "P-113", "P-115", "P-118", "P-120", "P-121", "P-123", "P-125", "P-126", "P-127", "P-128", "P-129", "P-132", "P-133"]);
    /// Sends what it has to say in the order in which it came up.
    NothingOvertakes "nothing-overtakes" => By(&["P-018"]);

    // What is a message and what is none.
    /// Says nothing to a line that is not JSON.
    SilentOnRubbish "silent-on-rubbish" => By(&["P-020", "P-021", "P-022", "P-026", "P-027"]);
    /// Calls what is not JSON an invalid request.
    RubbishIsARequest "rubbish-is-a-request" => By(&["P-020", "P-021"]);
    /// Repairs what is not UTF-8.
    RepairsUtf8 "repairs-utf-8" => By(&["P-021"]);
    /// Ends at a byte order mark.
    DiesOfByteOrderMark "dies-of-byte-order-mark" => By(&["P-022"]);
    /// Serves batches.
    ServesBatches "serves-batches" => By(&["P-023"]);
    /// Does not look at the version of JSON-RPC.
    AnyJsonrpc "any-jsonrpc" => By(&["P-024"]);
    /// Answers what is no request without the id that is in it.
    LosesIdOfBadRequest "loses-id-of-bad-request" => By(&["P-024", "P-031"]);
    /// Takes ids of any type.
    AnyId "any-id" => By(&["P-025"]);
    /// Ends at a line that is nested too deeply.
    DiesOfDepth "dies-of-depth" => By(&["P-026"]);
    /// Ends at a number that is too large.
    DiesOfHugeNumbers "dies-of-huge-numbers" => By(&["P-027"]);
    /// Answers responses.
    AnswersResponses "answers-responses" => By(&["P-028"]);
    /// Takes an id in quotes for a number.
    IdsBecomeNumbers "ids-become-numbers" => By(&["P-029"]);
    /// Does not answer a request with an id that is open.
    DropsDuplicateIds "drops-duplicate-ids" => By(&["P-030"]);
    /// Takes arrays for parameters.
    ParamsMayBeArrays "params-may-be-arrays" => By(&["P-031"]);
    /// Wants parameters where there is nothing to say.
    WantsParams "wants-params" => By(&["P-031"]);
    /// Refuses members that it does not know.
    RefusesUnknownMembers "refuses-unknown-members" => By(&["P-032"]);
    /// Takes `null` for a value of the wrong type.
    NullIsAValue "null-is-a-value" => By(&["P-033"]);
    /// Does not answer requests that it does not know.
    SilentOnUnknownRequests "silent-on-unknown-requests" => By(&["P-017", "P-029", "P-034", "P-036"]);
    /// Answers notifications that it does not know.
    AnswersNotifications "answers-notifications" => By(&["P-035"]);
    /// Acts on requests without an id.
    ServesNotifications "serves-notifications" => By(&["P-035"]);
    /// Answers the cancel of an unknown task twice.
    AnswersTwice "answers-twice" => By(&["P-036"]);
    /// Never answers a task whose thread has panicked.
    PanicIsSilent "panic-is-silent" => By(&["P-037", "P-132", "P-133"]);
    /// Ends when a task panics.
    DiesOfPanic "dies-of-panic" => By(&["P-037", "P-132", "P-133"]);
    /// Asks the worker something.
    SendsRequests "sends-requests" => By(&["P-038"]);

    // Versions.
    /// Answers with a version that nobody has offered.
    SpeaksAnotherVersion "speaks-another-version" => By(&["P-040", "P-041"]);
    /// Takes the first version of the list if it knows one of them.
    TakesFirstVersion "takes-first-version" => By(&["P-041"]);
    /// Takes any newer version for its own.
    TakesNewerVersions "takes-newer-versions" => By(&["P-042", "P-045"]);
    /// Takes any older version for its own.
    TakesOlderVersions "takes-older-versions" => By(&["P-043"]);
    /// Takes an empty list for its own version.
    TakesNoVersion "takes-no-version" => By(&["P-044"]);
    /// Ends with 1 where no version is common.
    VersionExitCode "version-exit-code" => By(&["P-042", "P-043", "P-044"]);
    /// Does not say which versions it speaks.
    HidesItsVersions "hides-its-versions" => By(&["P-045"]);
    /// Refuses a worker with abilities that it does not know.
    RefusesCapabilities "refuses-capabilities" => By(&["P-046"]);
    /// Reads 1.0 of a stage's parameters and no later one.
    ReadsOneMinor "reads-one-minor" => By(&["P-047"]);
    /// Reads any version of a stage's parameters as its own.
    ReadsAnyMajor "reads-any-major" => By(&["P-048"]);

    // Initialize and placement.
    /// Serves `ping` before `initialize`.
    ServesEarly "serves-early" => By(&["P-050"]);
    /// Answers notifications before `initialize`.
    AnswersEarlyNotifications "answers-early-notifications" => By(&["P-051"]);
    /// Waits for another line before it answers `initialize`.
    WaitsForAnotherLine "waits-for-another-line" => ByAllBut(&["P-001", "P-042", "P-043", "P-044", "P-045", "P-054", "P-058", "P-064", "P-065", "P-066", "P-124", "P-135"]);
    /// Serves `initialize` again.
    InitializesAgain "initializes-again" => By(&["P-053"]);
    /// Does not look at the type of `entry`.
    AnyEntry "any-entry" => By(&["P-054"]);
    /// Ends when the parameters of `initialize` do not fit.
    DiesOfWrongInitialize "dies-of-wrong-initialize" => By(&["P-055"]);
    /// Offers its stage twice.
    OffersTwice "offers-twice" => By(&["P-056"]);
    /// Does not say what computes.
    HidesDevice "hides-device" => By(&["P-057"]);
    /// Reads the worker's name and version by their position as well.
    ReadsByPosition "reads-by-position" => By(&["P-058"]);
    /// Runs its tasks on whatever cpus there are.
    UnpinsThreads "unpins-threads" => By(&["P-060"]);
    /// Observes its cpus before it is pinned.
    ObservesTooEarly "observes-too-early" => By(&["P-061"]);
    /// Pins itself to the first cpu when none is granted.
    PinsUnasked "pins-unasked" => By(&["P-062"]);
    /// Says that it observes what was granted.
    EchoesGrant "echoes-grant" => By(&["P-062", "P-063"]);
    /// Leaves out cpus that are not there.
    TakesAbsentCpus "takes-absent-cpus" => By(&["P-064", "P-135"]);
    /// Leaves out a node that is not there.
    TakesAbsentNode "takes-absent-node" => By(&["P-065"]);
    /// Leaves the memory alone under a policy that it does not know.
    TakesUnknownPolicy "takes-unknown-policy" => By(&["P-066"]);
    /// Says that it applies the memory policy, and does not.
    LiesAboutPolicy "lies-about-policy" => By(&["P-067"]);
    /// Ends with 1 when a grant cannot be taken.
    PlacementExitCode "placement-exit-code" => By(&["P-064", "P-065", "P-066"]);

    // Tasks.
    /// Rounds numbers.
    RoundsPayload "rounds-payload" => By(&["P-070"]);
    /// Takes the id of a task for the name of a file.
    TaskIdsAreNames "task-ids-are-names" => By(&["P-071", "P-092"]);
    /// Counts attempts in sixteen bits.
    ShortAttempts "short-attempts" => By(&["P-072"]);
    /// Runs old attempts.
    RunsOldAttempts "runs-old-attempts" => By(&["P-073", "P-074", "P-075"]);
    /// Runs an attempt that is open.
    RunsOpenAttempts "runs-open-attempts" => By(&["P-074"]);
    /// Remembers no more than a hundred tasks.
    ForgetsAttempts "forgets-attempts" => By(&["P-075"]);
    /// Runs one task more than it announces.
    RunsOneMore "runs-one-more" => By(&["P-076", "P-077"]);
    /// Runs one task fewer than it announces.
    RunsOneLess "runs-one-less" => By(&["P-076", "P-077", "P-102"]);
    /// Keeps the one task more until there is room.
    QueuesTasks "queues-tasks" => By(&["P-076", "P-077", "P-102"]);
    /// Calls it a defect of its own that it is busy.
    BusyIsInternal "busy-is-internal" => By(&["P-076", "P-077"]);
    /// Calls a stage that it does not serve a wrong parameter.
    StageIsAParam "stage-is-a-param" => By(&["P-079", "P-080"]);
    /// Serves stages that it does not offer.
    ServesUnoffered "serves-unoffered" => By(&["P-080"]);
    /// Takes the attempt 0.
    TakesAttempt0 "takes-attempt-0" => By(&["P-081"]);
    /// Does not look at the types of the stage's parameters.
    AnyStageParams "any-stage-params" => By(&["P-082"]);
    /// Takes any word for a way to shut down.
    AnyMode "any-mode" => By(&["P-083"]);
    /// Wants to have seen the first attempt of a task.
    WantsFirstAttempt "wants-first-attempt" => By(&["P-073", "P-075", "P-084", "P-092"]);
    /// Ends a task when a newer attempt of it comes.
    NewerEndsOlder "newer-ends-older" => By(&["P-086", "P-110"]);
    /// Answers an attempt that it has answered already from memory.
    AnswersFromMemory "answers-from-memory" => By(&["P-087"]);
    /// Reads the stage's parameters by their position as well.
    ReadsParamsByPosition "reads-params-by-position" => By(&["P-088"]);

    // Progress.
    /// Sends every tick.
    SendsEveryTick "sends-every-tick" => By(&["P-090"]);
    /// Gives no sign of life.
    SilentForAMinute "silent-for-a-minute" => By(&["P-091"]);
    /// Forgets the attempt in its progress.
    ForgetsAttempt "forgets-attempt" => By(&["P-092"]);
    /// Has more done than there is.
    PassesTotal "passes-total" => By(&["P-093"]);
    /// Counts down.
    CountsDown "counts-down" => By(&["P-094"]);
    /// Sends progress after the result.
    ProgressAfterResult "progress-after-result" => By(&["P-095"]);
    /// Sends a log line after the result.
    LogAfterResult "log-after-result" => By(&["P-095"]);
    /// Sends progress after the end of a cancelled run.
    ProgressAfterCancel "progress-after-cancel" => By(&["P-096"]);
    /// Does not say that it drains.
    DrainsInSilence "drains-in-silence" => By(&["P-097"]);

    // Ping and cancel.
    /// Loses every tenth ping.
    LosesPings "loses-pings" => By(&["P-007", "P-008", "P-016", "P-029", "P-100", "P-101"]);
    /// Does not answer ping while it has all the tasks that it takes.
    PingWaits "ping-waits" => By(&["P-101", "P-102"]);
    /// Says that no task is open.
    CountsNothing "counts-nothing" => By(&["P-102", "P-115", "P-129"]);
    /// Says of every cancelled task that it was not open.
    CancelSaysClosed "cancel-says-closed" => By(&["P-103", "P-110", "P-111", "P-129"]);
    /// Ends a cancelled task as interrupted.
    CancelIsInterrupt "cancel-is-interrupt" => By(&["P-030", "P-104", "P-109", "P-110", "P-111", "P-113", "P-129"]);
    /// Never answers a task that is cancelled.
    CancelledIsSilent "cancelled-is-silent" => By(&["P-030", "P-036", "P-077", "P-084", "P-096", "P-104", "P-105", "P-109", "P-110", "P-111", "P-112", "P-113", "P-129", "P-132", "P-133"]);
    /// Lets a cancelled task run on for a while.
    CancelIsSlow "cancel-is-slow" => By(&["P-105"]);
    /// Calls it an error to cancel what it does not know.
    CancelUnknownFails "cancel-unknown-fails" => By(&["P-032", "P-106"]);
    /// Calls it an error to cancel what has ended.
    CancelFinishedFails "cancel-finished-fails" => By(&["P-107", "P-109", "P-130"]);
    /// Remembers a cancel until the task comes.
    RemembersCancels "remembers-cancels" => By(&["P-108"]);
    /// Does not answer the second cancel of a task.
    SecondCancelIsLost "second-cancel-is-lost" => By(&["P-109"]);
    /// Cancels the oldest attempt.
    CancelsOldest "cancels-oldest" => By(&["P-110"]);
    /// Cancels all tasks.
    CancelsAll "cancels-all" => By(&["P-110", "P-112"]);
    /// Never runs again what was cancelled.
    CancelIsForGood "cancel-is-for-good" => By(&["P-113"]);

    // Shutdown and death.
    /// Does not answer `shutdown`.
    ShutdownIsSilent "shutdown-is-silent" => By(&["P-032", "P-097", "P-115", "P-119", "P-120", "P-121", "P-127", "P-130"]);
    /// Takes tasks after `shutdown`.
    RunsAfterShutdown "runs-after-shutdown" => By(&["P-116"]);
    /// Takes `drain` for `interrupt`.
    DrainInterrupts "drain-interrupts" => By(&["P-117", "P-129"]);
    /// Ends draining when the grace is over.
    GraceBoundsDrain "grace-bounds-drain" => By(&["P-117"]);
    /// Takes `interrupt` for `drain`.
    InterruptDrains "interrupt-drains" => By(&["P-118"]);
    /// Ends interrupted tasks as cancelled.
    InterruptIsCancel "interrupt-is-cancel" => By(&["P-118", "P-120"]);
    /// Ends with 1 after `shutdown`.
    ShutdownExitCode "shutdown-exit-code" => By(&["P-119", "P-120", "P-121"]);
    /// Finishes draining although stdin has ended.
    DrainsPastTheEnd "drains-past-the-end" => By(&["P-120"]);
    /// Refuses a second `shutdown`.
    ShutsDownOnce "shuts-down-once" => By(&["P-121"]);
    /// Ends with 0 when stdin ends without `shutdown`.
    EndExitCode "end-exit-code" => By(&["P-122", "P-123"]);
    /// Runs on when stdin ends.
    OutlivesStdin "outlives-stdin" => By(&["P-120", "P-123", "P-125", "P-127"]);
    /// Ends with 0 when stdin ends before `initialize`.
    EarlyEndExitCode "early-end-exit-code" => By(&["P-124"]);
    /// Dies of SIGTERM.
    DiesOfSigterm "dies-of-sigterm" => By(&["P-125"]);
    /// Has its helper in a process group of its own.
    LeavesItsGroup "leaves-its-group" => By(&["P-126"]);
    /// Leaves a helper running.
    LeavesAHelper "leaves-a-helper" => By(&["P-127", "P-128"]);
    /// Leaves a helper running when it is killed.
    HelperSurvives "helper-survives" => By(&["P-128"]);
    /// Does not answer `ping` while it drains.
    DrainIsDeaf "drain-is-deaf" => By(&["P-129"]);

    // What it sends.
    /// Does not say who it is.
    IsNobody "is-nobody" => By(&["P-130"]);
    /// Writes integers with a fraction.
    WritesFractions "writes-fractions" => By(&["P-130"]);
    /// Has no unit in its progress.
    ProgressWithoutUnit "progress-without-unit" => By(&["P-131"]);
    /// Has no data in the errors of tasks.
    ErrorsWithoutData "errors-without-data" => By(&["P-132", "P-136"]);
    /// Has a code of its own among the protocol's.
    OwnCode "own-code" => By(&["P-133"]);
    /// Leaves out `jsonrpc`.
    NoJsonrpc "no-jsonrpc" => By(&["P-134"]);
    /// Has no data in the errors of `initialize`.
    InitializeWithoutData "initialize-without-data" => By(&["P-135"]);
    /// Calls every failure permanent.
    EverythingIsPermanent "everything-is-permanent" => By(&["P-136"]);
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

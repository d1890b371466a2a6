// SPDX-License-Identifier: MIT OR Apache-2.0

//! The one table of faults of stages: what each breaks, at which stage, and which checks must see it.

macro_rules! faults {
    ($($(#[doc = $about:literal])+ $variant:ident $name:literal $stage:literal => $seen:expr;)+) => {
        /// One broken rule.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum StageFault {
            $($(#[doc = $about])+ $variant,)+
        }

        impl StageFault {
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

            /// The stage at which it is looked for.
            pub fn stage(self) -> &'static str {
                match self {
                    $(Self::$variant => $stage,)+
                }
            }

            /// Which of the stage's own checks must fail, and no others.
            pub fn seen(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &$seen,)+
                }
            }
        }
    };
}

faults! {
    // Right inputs.
    /// Flips a bit of a commitment in its answers.
    FlipsAValue "flips-a-value" "tree_d" => ["S-001", "S-002"];
    /// Has a member in its output that nobody knows.
    AddsAMember "adds-a-member" "tree_d" => ["S-001", "S-002"];
    /// Knows the golden answers, and gives one of them for every other sector.
    AnswersFromATable "answers-from-a-table" "pc2" => ["S-002"];
    /// Makes the right files for golden sectors only.
    FilesFromATable "files-from-a-table" "pc2" => ["S-004", "S-008"];
    /// Cuts the last byte of a tree.
    CutsATree "cuts-a-tree" "pc2" => ["S-003", "S-004", "S-007", "S-008", "S-009", "S-032", "S-041", "S-043", "S-044"];
    /// Changes an input that it does not need.
    EditsItsInput "edits-its-input" "pc1" => ["S-005", "S-025", "S-026", "S-027", "S-032", "S-041", "S-043", "S-044", "S-045"];
    /// Writes a line into another sector's directory.
    WritesElsewhere "writes-elsewhere" "tree_d" => ["S-005", "S-025", "S-026", "S-027", "S-030", "S-031", "S-032", "S-041", "S-043", "S-044", "S-045"];
    /// Leaves a temporary file behind.
    LeavesATemporary "leaves-a-temporary" "tree_d" => ["S-006", "S-025", "S-027", "S-045"];
    /// Writes over the file that is there.
    WritesInPlace "writes-in-place" "tree_d" => ["S-007"];
    /// Trusts files of the right size.
    TrustsSizes "trusts-sizes" "tree_d" => ["S-008"];
    /// Answers a task that it has done before from memory.
    RemembersAnswers "remembers-answers" "pc2" => ["S-009"];
    /// Gives a range that begins at the byte before, unless it is at the border of a node.
    RangeIsOff "range-is-off" "unseal" => ["S-001", "S-002", "S-003", "S-004"];

    // Wrong inputs.
    /// Calls what is absent wrong.
    AbsentIsWrong "absent-is-wrong" "tree_d" => ["S-020"];
    /// Calls what is cut short absent.
    CutIsAbsent "cut-is-absent" "tree_d" => ["S-021"];
    /// Takes inputs that contradict each other.
    TakesContradictions "takes-contradictions" "pc2" => ["S-020", "S-021", "S-022"];
    /// Takes any path.
    TakesAnyPath "takes-any-path" "tree_d" => ["S-023"];
    /// Takes any number.
    TakesAnyNumber "takes-any-number" "unseal" => ["S-024"];
    /// Begins its work before it looks at the parameters.
    BeginsTooSoon "begins-too-soon" "tree_d" => ["S-025"];
    /// Leaves half of its output when it refuses its input.
    LeavesHalf "leaves-half" "tree_d" => ["S-026"];
    /// Calls every wrong input the end of all trust.
    EverythingIsCritical "everything-is-critical" "tree_d" => ["S-028"];

    // Disks.
    /// Calls an output that cannot be written an input.
    ReadOnlyIsAnInput "read-only-is-an-input" "tree_d" => ["S-030"];
    /// Says that a read-only directory will pass.
    ReadOnlyWillPass "read-only-will-pass" "tree_d" => ["S-031"];
    /// Calls a full disk a defect of its own.
    FullIsInternal "full-is-internal" "tree_d" => ["S-032"];

    // The lock, kills and cancels.
    /// Keeps the lock when it has failed.
    KeepsTheLock "keeps-the-lock" "tree_d" => ["S-032", "S-040"];
    /// Works in a directory of its own, and takes no lock on the sector's.
    TakesNoLock "takes-no-lock" "tree_d" => ["S-041", "S-042"];
    /// Calls a lock that is taken a defect of its own.
    ConflictIsInternal "conflict-is-internal" "tree_d" => ["S-041"];
    /// Has half of its output under its name while it works.
    ShowsHalf "shows-half" "tree_d" => ["S-007", "S-025", "S-026", "S-032", "S-041", "S-043", "S-044"];
    /// Makes a wrong file when a process before it was killed.
    ResumesWrong "resumes-wrong" "tree_d" => ["S-008", "S-043"];
    /// Leaves a temporary file behind when it is cancelled.
    CancelLeavesATemporary "cancel-leaves-a-temporary" "tree_d" => ["S-045"];

    // Proofs.
    /// Says that zeros are a proof.
    ProvesWithZeros "proves-with-zeros" "c2" => ["S-050", "S-051", "S-052", "S-053", "S-054", "S-055"];
    /// Gives the golden proof for everything.
    ProvesFromATable "proves-from-a-table" "c2" => ["S-051", "S-052", "S-053", "S-054", "S-055"];
    /// Says that every proof holds.
    EveryProofHolds "every-proof-holds" "verify" => ["S-061", "S-062"];
    /// Says that no proof holds.
    NoProofHolds "no-proof-holds" "verify" => ["S-060"];
    /// Calls a proof that is malformed an error.
    MalformedIsAnError "malformed-is-an-error" "verify" => ["S-062"];
}

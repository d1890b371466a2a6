// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table of codes. Texts are Markdown of one paragraph.

use super::{About, Severity};

codes! {
    Unreadable = "SP001" Error "the file cannot be read",
        "The configuration is not there, is a directory, or may not be read by this user.",
        "Check the path and the permissions.";
    TooLong = "SP002" Error "the file is too long",
        "A configuration has at most 256 KiB; this is probably another file.",
        "Check the path of the configuration.";
    NotText = "SP003" Error "the file is not UTF-8",
        "TOML is UTF-8. The first byte that is not stands at the place shown.",
        "Save the file as UTF-8, without the encodings of other systems.";
    Syntax = "SP004" Error "not valid TOML",
        "The text breaks TOML's own rules: a missing bracket or quote, a key or a table that stands twice. Nothing behind the first such place was looked at.",
        "Mend the place shown and check again.";

    UnknownKey = "SP101" Warning "unknown key",
        "Nothing is known by this key, so that it has no effect. damocles ignores such keys without a word.",
        "Take the key that the hint names, or remove the line.";
    Skipped = "SP102" Note "section skipped",
        "Of a `worker.toml` sealpipe reads `[processors]` only. Sections of damocles that are about its worker, its stores and its manager have no meaning here.",
        "Nothing; the section may stay.";
    Misplaced = "SP103" Warning "key outside of `processors`",
        "A key of `[processors]` stands at the top of the file, or `processors` is mistyped. Nothing of it is read.",
        "Write it as the hint says: `[processors.limitation.concurrent]`, `[[processors.pc1]]`.";
    NotServed = "SP104" Note "stage not served",
        "damocles has this stage and sealpipe does not: its entries are not started and its limits have no effect.",
        "Nothing; the entries may stay.";
    OldLimit = "SP105" Warning "deprecated `limit`",
        "`processors.limit` is the older name of `processors.limitation.concurrent`. It is read, as damocles does.",
        "Call the table by its newer name.";
    OldLimitIgnored = "SP106" Warning "deprecated `limit` ignored",
        "`processors.limit` and `processors.limitation.concurrent` both stand, and only the newer is read, as in damocles. No limit of the older one counts.",
        "Move its limits to the newer table and remove it.";
    NoEffect = "SP107" Note "key without effect",
        "The key is known and has no effect here: another key rules it out, or sealpipe has no use for it.",
        "Nothing, or remove it.";

    WrongType = "SP201" Error "wrong type",
        "The value has another type than the key takes. Numbers and booleans are written without quotes, durations and environment variables with them, and entries as `[[processors.pc1]]` with two brackets.",
        "Write the value as the message says.";
    OutOfRange = "SP202" Error "number out of range",
        "The number is negative, or too large, or 0 where 0 means nothing.",
        "Write a number that the message allows.";
    UnknownWord = "SP203" Error "word not known",
        "The key takes one of a few words, and this is none of them.",
        "Write one of the words that the message names.";
    Duration = "SP204" Error "no duration",
        "A duration is one or more numbers with units: `\"90s\"`, `\"5min\"`, `\"1h 30min\"`.",
        "Write the unit beside the number, and the whole in quotes.";
    CpuList = "SP205" Error "no list of cpus",
        "A list of cpus is in Linux' format: single cpus and rising ranges, separated by commas, such as `\"0-41\"` or `\"2,5,8-11\"`. A processor with a list that nobody understands would run on all cpus.",
        "Write the list anew; `lscpu --extended` shows the cpus.";
    UnusableText = "SP206" Error "text that the system does not take",
        "A program, path, argument or environment variable is empty where it may not be, holds a zero byte, or has `=` in its name.",
        "Write it as a shell would pass it on, or leave the key out for the default.";
    NotExpanded = "SP207" Warning "path taken literally",
        "`~` and `$VARIABLES` are for shells. No shell is between: the program is looked for by exactly this name.",
        "Write the whole path.";
    ShortInterval = "SP208" Warning "interval dropped",
        "An interval of less than a second between two starts is dropped, as in damocles.",
        "Write at least `\"1s\"`, or remove the line.";
    NoSectorSize = "SP209" Error "no sector size",
        "A ready tree_d is for sectors of 2KiB, 8MiB, 512MiB, 32GiB or 64GiB, and each size stands once.",
        "Write one of the sizes, with the binary unit.";
    NoEntry = "SP210" Error "stage without an entry",
        "The stage's array is empty. damocles refuses to start with it.",
        "Write an entry, or remove the key: a stage without it is served by the implied processor.";
    LocalNode = "SP211" Note "local memory",
        "A negative node means memory of the node on which each thread runs, which is what Linux does anyway.",
        "Nothing, or remove the line.";
    NoTime = "SP212" Error "no time at all",
        "A processor that may take no time to answer, or may not be silent at all, would be killed before it does anything.",
        "Write how long it may take, or remove the line for the default.";
    DeadVariable = "SP213" Note "variables without meaning",
        "The program that serves the entry reads none of these variables: they are another program's, of an older release, or mistyped. Programs that are not sealpipe's are not known, so that of theirs only slips of the pen are mentioned.",
        "Nothing, or remove them. `docs/configuration.md` lists what sealpipe's programs read.";
    TooMany = "SP214" Error "too many of something",
        "A configuration has at most 256 entries, each of them a process, and an entry at most 64 locks. More are a slip, and would take long to compare.",
        "Let one entry run several tasks with `concurrent` instead.";
    GroupName = "SP215" Warning "name of no control group",
        "The name of a control group has letters, digits, `-`, `_` and `.`, does not begin as the kernel's own files do, and is not that of the worker's group. This one is not taken.",
        "Write a plain name, or remove the line for the default, `vc-worker`.";

    NoTopology = "SP301" Error "the machine is not known",
        "hwloc could not look at this machine, or did not understand the one that is described by `--topology` or the environment.",
        "Mend the description (`lstopo --of xml` writes one), or check the file alone with `--no-machine`.";
    NoSuchCpu = "SP302" Error "cpus that are not there",
        "The entry names cpus that the machine does not have, that are offline, or that the worker's control group forbids. The entry would not start.",
        "Name cpus of this machine: `sealpipe hwinfo` shows them.";
    NoSuchNode = "SP303" Error "a memory node that is not there",
        "The entry prefers memory of a NUMA node that the machine does not have. The entry would not start.",
        "Name a node of this machine: `sealpipe hwinfo` shows them. Some boards have one node for all sockets unless their firmware is told otherwise.";
    FarMemory = "SP304" Warning "memory and cpus on different nodes",
        "None of the entry's cpus is next to the memory that it prefers: every access crosses the machine, which makes pc1 much slower.",
        "Let `numa_preferred` name the node of the cpus.";
    PartlyFarMemory = "SP305" Note "cpus of several nodes",
        "Some of the entry's cpus are on another node than the memory that it prefers.",
        "For pc1, write one entry for each node. Other stages hardly notice.";
    UnequalGroups = "SP306" Warning "L3 groups of unequal size",
        "A multicore pc1 of filecoin-proofs divides the cores that it sees by the L3 caches that they share, and ends with a panic where that leaves a rest. Tasks whose cores share a cache with other tasks' are slower, too.",
        "Give the entry the same number of cores in each L3 group, whole groups best.";
    TooFewCores = "SP307" Warning "more tasks than cores",
        "A pc1 task takes one core, a multicore one its producers besides, and the entry has fewer cores than its tasks take. The rest runs wherever the kernel puts it and slows the others down.",
        "Lower `concurrent`, or give the entry more cores, or each task fewer producers.";
    NoSuchGpu = "SP308" Error "a GPU that is not there",
        "`CUDA_VISIBLE_DEVICES` names a GPU that the machine does not have. CUDA stops reading the list there, and the entry finds fewer GPUs than it should, or none.",
        "Name GPUs of this machine: `sealpipe hwinfo` shows them with their numbers.";
    HiddenGpu = "SP309" Error "no GPU left to compute on",
        "The entry must have a GPU (`device = \"cuda\"`), and its `CUDA_VISIBLE_DEVICES` hides all of them.",
        "Name a GPU, or let the entry compute on the cpu with `device = \"cpu\"`.";

    SharedCpus = "SP401" Note "cpus shared",
        "Entries of different stages name the same cpus, and no common lock keeps their tasks apart. That is usual where one of them leaves these cpus idle, as pc1 with one producer leaves every third core of a group of three.",
        "Nothing where that is meant; else give them a common lock, or cpus of their own.";
    SharedPc1Cpus = "SP402" Warning "cpus shared by two pc1",
        "Two pc1 processes bind their threads to cores, each as if the cores were its own, so that the tasks of both sit on the same few.",
        "Give each its own cpus, or make one entry of both.";
    SharedGpu = "SP403" Warning "GPU shared",
        "Entries name the same GPU, and no common lock keeps their tasks apart. Two tasks at once may run out of its memory, and each is slower.",
        "Give the entries a common lock, or GPUs of their own.";

    UndeclaredLock = "SP501" Warning "lock not declared",
        "An entry names a lock that `[processors.ext_locks]` does not have. It counts 1: one task at a time. damocles takes it as unlimited, so that a slip of the pen there removes the exclusion.",
        "Correct the name, or declare the lock.";
    UnusedLock = "SP502" Warning "lock not used",
        "The lock is declared and no entry names it, so that it keeps nothing apart.",
        "Name it in the `locks` of the entries that should take turns, or remove it.";
    LockOff = "SP503" Warning "lock of 0",
        "Nobody can ever hold the lock: the entries that name it are switched off. Tasks wait until that is changed.",
        "Write 1 for one task at a time, or remove the lock where it should not matter.";
    RepeatedLock = "SP504" Warning "lock named twice",
        "The entry names the lock twice, which counts once. damocles waits for itself for ever.",
        "Name it once in the entry.";
    NeverRuns = "SP505" Error "a stage that can never run",
        "Each entry of the stage needs a lock of 0. Nothing says that the stage is switched off, and every sector would stop before it.",
        "Let the lock have a unit, or switch the stage off by its limit.";

    StageOff = "SP601" Warning "stage switched off",
        "With a limit of 0 no task of the stage ever runs: sectors wait before it until that is changed.",
        "Remove the limit for no limit, or write at least 1.";
    EntryOff = "SP602" Warning "processor switched off",
        "With `concurrent = 0` the processor runs and gets no task.",
        "Remove the key for no limit, or write at least 1.";
    NoSectors = "SP603" Error "no sector may begin",
        "With `sectors_in_flight = 0` no sector ever begins, and no stage runs.",
        "Remove the key for the default, write at least 1, or write `\"unbounded\"`.";
    LimitAbove = "SP604" Note "limit above the slots",
        "The stage's limit is more than all of its entries can run at once, so that it has no effect.",
        "Nothing, or raise `concurrent` of the entries.";
    LimitBelow = "SP605" Note "limit below the slots",
        "The entries of the stage could run more tasks at once than its limit allows. Some slots always stay empty.",
        "Nothing, or raise the limit.";
    Unbounded = "SP606" Note "pc1 without a bound",
        "Nothing that is written says how many pc1 tasks may run at once: neither a limit, nor `concurrent`, nor a lock, nor a number of sectors in flight. Each takes twice a sector's size of memory.",
        "Write `concurrent` beside the entry.";

    Memory = "SP701" Warning "not enough memory",
        "The tasks that may run at once need more memory than the machine has, swap included. Counted are 64 GiB for a pc1 or pc2 of 32 GiB sectors, 128 for a c2, 47 for a tree_d, and in proportion for other sizes; a stage without any bound counts once.",
        "Lower `concurrent`, keep stages apart by a lock, or say with `--sector-size` what you seal.";
    MemoryInSwap = "SP702" Note "memory only with swap",
        "The tasks that may run at once need more than the machine's memory, and fit with its swap. pc1 that swaps is much slower.",
        "Nothing where that is meant; else lower `concurrent`.";
    NodeMemory = "SP703" Note "a node's memory is not enough",
        "The pc1 tasks that prefer a node need more memory than it has. The rest comes from other nodes, and is slower.",
        "Spread pc1 over the nodes, an entry for each.";
    Disk = "SP704" Warning "not enough disk",
        "The sectors that may be under way need more room than all disks have free. Counted are 549 GiB for a sector of 32 GiB, what the worker wants to be free before it begins one, and as many sectors as `sectors_in_flight` or the pc1 that run at once.",
        "Set `sectors_in_flight`, or lower pc1's `concurrent`.";

    NoProgram = "SP801" Error "no such program",
        "The entry's program is not there. A name with `/` is a path, another is looked up in `PATH`; without `bin` it is the program of that name beside the worker.",
        "Install the program, or correct `bin`.";
    NoFile = "SP802" Error "no such file",
        "A file that the configuration names is not there. A relative path is relative to the worker's current directory.",
        "Correct the path, or make the file.";
    NoParameters = "SP803" Warning "no Groth16 parameters",
        "c2 needs the network's parameters of the sector size, and the directory where filecoin-proofs looks lacks them. It would be found out only when a sector has come that far.",
        "Fetch them (`lotus fetch-params 32GiB`, `curio fetch-params 32GiB` or filecoin-proofs' `paramfetch`), and point `FIL_PROOFS_PARAMETER_CACHE` at their directory. `sealpipe params check` says which are there and right.";
    CpuProgram = "SP804" Error "a program without a GPU",
        "An entry of pc2 or c2 means a GPU unless it says otherwise, and the program that serves it computes on the cpu only. The entry would not start: nothing falls back to the cpu in silence.",
        "Say `device = \"cpu\"`, install the program that computes on a GPU beside the worker, or name one with `bin`.";
}

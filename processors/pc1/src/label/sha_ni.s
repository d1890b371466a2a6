# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Half a node of SDR labelling for two lanes (1 + 1) or four (2 + 2), with the SHA extensions.
#
# A node is 20 blocks of 64 rounds. The lanes of one side *begin* a node: blocks 0 to 9, while the
# schedules of all nine distinct blocks are expanded. The lanes of the other side *finish* theirs:
# blocks 10 to 19, which need no new schedule. Sides then change places. So every slot (one block of
# each lane) has at most one expansion a beginning lane, and the expansions run beside the rounds.
#
# Measured on Zen 4, cycles a slot of four lanes: 129 with rounds alone (128 sha256rnds2, one a
# cycle), 130 with one lane expanding, 141 with two, when the instructions of an expansion stand
# together after each eight sha256rnds2 and those of the two lanes alternate; 160 when they are
# spread evenly between the rounds; 295 when four lanes expand one after the other.
#
# Legacy-encoded 128-bit instructions alone: sha256* have no VEX form, and one dirty upper half
# makes each of them a hundred times slower.
#
# Offsets below are those of `Lane` in sha_ni.rs, which asserts them.

.set WK, 0              # 9 schedules of 64 words, round constants added
.set RAW, 2304          # schedule words 16 to 55 of the block that the second lane expands
.set STATE, 2560        # ABEF, CDGH at the begin of the current block
.set HALVES, 2592       # 9 pairs of pointers to 32 bytes: what blocks 1..8 and 0 are made of
.set BEGIN, 2736        # 10 offsets of schedules: blocks 0 to 9
.set FINISH, 2776       # 10 offsets of schedules: blocks 10 to 19
.set OUT, 2816          # where the label goes
.set STRIDE, 2896       # bytes from a node's label to the next one's
.set ROW, 2904          # where the parents' numbers are
.set BASES, 2912        # 6 addresses of labels: for the parents of blocks 2 to 7
.set MASKS, 2960        # 6 masks for their numbers, which keep them within the layer
.set LANE, 3008         # size of a lane
# Constants, from rdx: K at -128, then these.
.set IV, 128            # initial ABEF, CDGH
.set MASK, 160          # clears the two highest bits of a label's last byte
.set EXPANDED, 176      # 9 offsets of schedules, in the order of expansion

# Two rounds of one lane: a becomes the state after them.
.macro PC1_TWO wk, t, h, a, b
    movq xmm0, [\wk + 16*\t + 8*\h - 128]
    sha256rnds2 \a, \b
.endm

# Four rounds of each lane.
.macro PC1_ROUNDS4 t
    PC1_TWO r8,  \t, 0, xmm2, xmm1
    PC1_TWO r9,  \t, 0, xmm4, xmm3
    PC1_TWO r10, \t, 0, xmm6, xmm5
    PC1_TWO r11, \t, 0, xmm8, xmm7
    PC1_TWO r8,  \t, 1, xmm1, xmm2
    PC1_TWO r9,  \t, 1, xmm3, xmm4
    PC1_TWO r10, \t, 1, xmm5, xmm6
    PC1_TWO r11, \t, 1, xmm7, xmm8
.endm

.macro PC1_ROUNDS2 t
    PC1_TWO r8,  \t, 0, xmm2, xmm1
    PC1_TWO r10, \t, 0, xmm6, xmm5
    PC1_TWO r8,  \t, 1, xmm1, xmm2
    PC1_TWO r10, \t, 1, xmm5, xmm6
.endm

# Schedule words 4t to 4t + 3 of the first lane, which keeps its last sixteen words in registers,
# and of the second, which keeps the last four and finds the others in memory.
.macro PC1_LOAD2 t, m, a, b, offset
    movdqa \m, [\a + \offset]
    movdqa xmm13, [\b + \offset]
    movdqa xmm15, [rdx + 16*\t - 128]
    movdqa xmm14, [rdx + 16*\t - 128]
    paddd xmm15, \m
    paddd xmm14, xmm13
    movdqa [r12 + 16*\t - 128], xmm15
    movdqa [r13 + 16*\t - 128], xmm14
.endm

# w16, w12, w8: the second lane's words 16, 12 and 8 back.
.macro PC1_EXPAND2 t, m0, m1, m2, m3, w16, w12, w8
    sha256msg1 \m0, \m1
    movdqa xmm14, \w16
    movdqa xmm15, \m3
    sha256msg1 xmm14, \w12
    palignr xmm15, \m2, 4
    paddd \m0, xmm15
    movdqa xmm15, xmm13
    sha256msg2 \m0, \m3
    palignr xmm15, \w8, 4
    paddd xmm14, xmm15
    movdqa xmm15, [rdx + 16*\t - 128]
    sha256msg2 xmm14, xmm13
    paddd xmm15, \m0
    movdqa xmm13, xmm14
    movdqa [r12 + 16*\t - 128], xmm15
.if \t < 14
    movdqa [r15 + 16*\t - 64], xmm13
.endif
    paddd xmm14, [rdx + 16*\t - 128]
    movdqa [r13 + 16*\t - 128], xmm14
.endm

.macro PC1_LOAD1 t, m, a, offset
    movdqa \m, [\a + \offset]
    movdqa xmm15, [rdx + 16*\t - 128]
    paddd xmm15, \m
    movdqa [r12 + 16*\t - 128], xmm15
.endm

.macro PC1_EXPAND1 t, m0, m1, m2, m3
    sha256msg1 \m0, \m1
    movdqa xmm15, \m3
    palignr xmm15, \m2, 4
    paddd \m0, xmm15
    movdqa xmm15, [rdx + 16*\t - 128]
    sha256msg2 \m0, \m3
    paddd xmm15, \m0
    movdqa [r12 + 16*\t - 128], xmm15
.endm

# Where the label of a parent of the next block is. Done slot by slot, beside the rounds: between two
# nodes it costs twice as much. Fetching those of later nodes is not: there, page walks overlap; here,
# each holds up the rounds by itself (twice the time at 512 MiB).
.macro PC1_LOCATE which, offset
    mov rax, [rdi + \offset + ROW]
    mov eax, [rax + 8*rcx + 8 + 4*\which]
    and eax, [rdi + 4*rcx + \offset + MASKS]
    imul rax, [rdi + \offset + STRIDE]
    add rax, [rdi + 8*rcx + \offset + BASES]
.endm

# Points the next slot's expansions to what they expand. In lockstep the second lane's labels stand
# beside the first one's.
.macro PC1_POINT which, both, lockstep
    PC1_LOCATE \which, 0
    mov [rbp + HALVES + 16 + 8*\which], rax
.if \both
.if \lockstep
    add rax, 32
.else
    PC1_LOCATE \which, LANE
.endif
    mov [rbp + LANE + HALVES + 16 + 8*\which], rax
.endif
.endm

# The chaining value after a block.
.macro PC1_FEED base, offset, a, b
    paddd \a, [\base + \offset + STATE]
    paddd \b, [\base + \offset + STATE + 16]
    movdqa [\base + \offset + STATE], \a
    movdqa [\base + \offset + STATE + 16], \b
.endm

# A fresh chaining value.
.macro PC1_FRESH base, offset, a, b
    movdqa \a, [rdx + IV]
    movdqa \b, [rdx + IV + 16]
    movdqa [\base + \offset + STATE], \a
    movdqa [\base + \offset + STATE + 16], \b
.endm

# From ABEF, CDGH to the label: A to H with two bits off.
.macro PC1_LABEL offset, a, b
    mov rax, [rsi + \offset + OUT]
    pshufd xmm0, \a, 0x1b
    pshufd \b, \b, 0xb1
    movdqa \a, xmm0
    pblendw \a, \b, 0xf0
    palignr \b, xmm0, 8
    pand \b, [rdx + MASK]
    movdqa [rax], \a
    movdqa [rax + 16], \b
.endm

# Pointers to the schedules of this slot; rcx counts slots from 0.
.macro PC1_SLOT reg, reg32, base, offset, table
    mov \reg32, [\base + 4*rcx + \offset + \table]
    lea \reg, [\base + \reg + \offset + WK + 128]
.endm

.macro PC1_ENTER
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    xor ecx, ecx
    mov rbp, rdi
.endm

.macro PC1_LEAVE
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
.endm

# A slot of four lanes in which two expand; with points, the next one is prepared.
.macro PC1_SLOT4 points, lockstep
    PC1_SLOT r8, r8d, rdi, 0, BEGIN
    PC1_SLOT r9, r9d, rdi, LANE, BEGIN
    PC1_SLOT r10, r10d, rsi, 0, FINISH
    PC1_SLOT r11, r11d, rsi, LANE, FINISH
    mov r12d, [rdx + 4*rcx + EXPANDED]
    lea r13, [rdi + r12 + LANE + WK + 128]
    lea r12, [rdi + r12 + WK + 128]
    mov rax, [rbp + HALVES]
    mov r14, [rbp + LANE + HALVES]
    mov rbx, [rbp + LANE + HALVES + 8]
    PC1_ROUNDS4 0
    PC1_LOAD2 0, xmm9, rax, r14, 0
    PC1_ROUNDS4 1
    PC1_LOAD2 1, xmm10, rax, r14, 16
    mov rax, [rbp + HALVES + 8]
    PC1_ROUNDS4 2
    PC1_LOAD2 2, xmm11, rax, rbx, 0
    PC1_ROUNDS4 3
    PC1_LOAD2 3, xmm12, rax, rbx, 16
    PC1_ROUNDS4 4
    PC1_EXPAND2 4,  xmm9,  xmm10, xmm11, xmm12, [r14],      [r14 + 16],  [rbx]
.if \points
    PC1_POINT 0, 1, \lockstep
.endif
    PC1_ROUNDS4 5
    PC1_EXPAND2 5,  xmm10, xmm11, xmm12, xmm9,  [r14 + 16], [rbx],       [rbx + 16]
    PC1_ROUNDS4 6
    PC1_EXPAND2 6,  xmm11, xmm12, xmm9,  xmm10, [rbx],      [rbx + 16],  [r15]
.if \points
    PC1_POINT 1, 1, \lockstep
.endif
    PC1_ROUNDS4 7
    PC1_EXPAND2 7,  xmm12, xmm9,  xmm10, xmm11, [rbx + 16], [r15],       [r15 + 16]
    PC1_ROUNDS4 8
    PC1_EXPAND2 8,  xmm9,  xmm10, xmm11, xmm12, [r15],      [r15 + 16],  [r15 + 32]
    PC1_ROUNDS4 9
    PC1_EXPAND2 9,  xmm10, xmm11, xmm12, xmm9,  [r15 + 16], [r15 + 32],  [r15 + 48]
    PC1_ROUNDS4 10
    PC1_EXPAND2 10, xmm11, xmm12, xmm9,  xmm10, [r15 + 32], [r15 + 48],  [r15 + 64]
    PC1_ROUNDS4 11
    PC1_EXPAND2 11, xmm12, xmm9,  xmm10, xmm11, [r15 + 48], [r15 + 64],  [r15 + 80]
    PC1_ROUNDS4 12
    PC1_EXPAND2 12, xmm9,  xmm10, xmm11, xmm12, [r15 + 64], [r15 + 80],  [r15 + 96]
    PC1_ROUNDS4 13
    PC1_EXPAND2 13, xmm10, xmm11, xmm12, xmm9,  [r15 + 80], [r15 + 96],  [r15 + 112]
    PC1_ROUNDS4 14
    PC1_EXPAND2 14, xmm11, xmm12, xmm9,  xmm10, [r15 + 96], [r15 + 112], [r15 + 128]
    PC1_ROUNDS4 15
    PC1_EXPAND2 15, xmm12, xmm9,  xmm10, xmm11, [r15 + 112], [r15 + 128], [r15 + 144]
    PC1_FEED rdi, 0, xmm1, xmm2
    PC1_FEED rdi, LANE, xmm3, xmm4
    PC1_FEED rsi, 0, xmm5, xmm6
    PC1_FEED rsi, LANE, xmm7, xmm8
    add rbp, 16
    inc ecx
.endm

# The same of two lanes, of which one expands.
.macro PC1_SLOT2 points
    PC1_SLOT r8, r8d, rdi, 0, BEGIN
    PC1_SLOT r10, r10d, rsi, 0, FINISH
    mov r12d, [rdx + 4*rcx + EXPANDED]
    lea r12, [rdi + r12 + WK + 128]
    mov rax, [rbp + HALVES]
    mov r14, [rbp + HALVES + 8]
    PC1_ROUNDS2 0
    PC1_LOAD1 0, xmm9, rax, 0
    PC1_ROUNDS2 1
    PC1_LOAD1 1, xmm10, rax, 16
    PC1_ROUNDS2 2
    PC1_LOAD1 2, xmm11, r14, 0
    PC1_ROUNDS2 3
    PC1_LOAD1 3, xmm12, r14, 16
    PC1_ROUNDS2 4
    PC1_EXPAND1 4, xmm9, xmm10, xmm11, xmm12
    PC1_ROUNDS2 5
    PC1_EXPAND1 5, xmm10, xmm11, xmm12, xmm9
.if \points
    PC1_POINT 0, 0, 0
.endif
    PC1_ROUNDS2 6
    PC1_EXPAND1 6, xmm11, xmm12, xmm9, xmm10
    PC1_ROUNDS2 7
    PC1_EXPAND1 7, xmm12, xmm9, xmm10, xmm11
.if \points
    PC1_POINT 1, 0, 0
.endif
    PC1_ROUNDS2 8
    PC1_EXPAND1 8, xmm9, xmm10, xmm11, xmm12
    PC1_ROUNDS2 9
    PC1_EXPAND1 9, xmm10, xmm11, xmm12, xmm9
    PC1_ROUNDS2 10
    PC1_EXPAND1 10, xmm11, xmm12, xmm9, xmm10
    PC1_ROUNDS2 11
    PC1_EXPAND1 11, xmm12, xmm9, xmm10, xmm11
    PC1_ROUNDS2 12
    PC1_EXPAND1 12, xmm9, xmm10, xmm11, xmm12
    PC1_ROUNDS2 13
    PC1_EXPAND1 13, xmm10, xmm11, xmm12, xmm9
    PC1_ROUNDS2 14
    PC1_EXPAND1 14, xmm11, xmm12, xmm9, xmm10
    PC1_ROUNDS2 15
    PC1_EXPAND1 15, xmm12, xmm9, xmm10, xmm11
    PC1_FEED rdi, 0, xmm1, xmm2
    PC1_FEED rsi, 0, xmm5, xmm6
    add rbp, 16
    inc ecx
.endm

# void (rdi: two lanes that begin, rsi: two lanes that finish, rdx: constants); lockstep: each side's lanes are beside each other
.macro PC1_HALF_OF_FOUR name, lockstep
.globl \name
.hidden \name
.type \name, @function
.p2align 6
\name:
    PC1_ENTER
    PC1_FRESH rdi, 0, xmm1, xmm2
    PC1_FRESH rdi, LANE, xmm3, xmm4
    movdqa xmm5, [rsi + STATE]
    movdqa xmm6, [rsi + STATE + 16]
    movdqa xmm7, [rsi + LANE + STATE]
    movdqa xmm8, [rsi + LANE + STATE + 16]
    lea r15, [rdi + LANE + RAW]
.p2align 5
2:
    PC1_SLOT4 1, \lockstep
    cmp ecx, 6
    jne 2b
.p2align 5
3:
    PC1_SLOT4 0, 0
    cmp ecx, 9
    jne 3b
    PC1_SLOT r8, r8d, rdi, 0, BEGIN
    PC1_SLOT r9, r9d, rdi, LANE, BEGIN
    PC1_SLOT r10, r10d, rsi, 0, FINISH
    PC1_SLOT r11, r11d, rsi, LANE, FINISH
    PC1_ROUNDS4 0
    PC1_ROUNDS4 1
    PC1_ROUNDS4 2
    PC1_ROUNDS4 3
    PC1_ROUNDS4 4
    PC1_ROUNDS4 5
    PC1_ROUNDS4 6
    PC1_ROUNDS4 7
    PC1_ROUNDS4 8
    PC1_ROUNDS4 9
    PC1_ROUNDS4 10
    PC1_ROUNDS4 11
    PC1_ROUNDS4 12
    PC1_ROUNDS4 13
    PC1_ROUNDS4 14
    PC1_ROUNDS4 15
    PC1_FEED rdi, 0, xmm1, xmm2
    PC1_FEED rdi, LANE, xmm3, xmm4
    paddd xmm5, [rsi + STATE]
    paddd xmm6, [rsi + STATE + 16]
    paddd xmm7, [rsi + LANE + STATE]
    paddd xmm8, [rsi + LANE + STATE + 16]
    PC1_LABEL 0, xmm5, xmm6
    PC1_LABEL LANE, xmm7, xmm8
    PC1_LEAVE
.size \name, . - \name
.endm

PC1_HALF_OF_FOUR sealpipe_pc1_half_of_four, 0
PC1_HALF_OF_FOUR sealpipe_pc1_half_of_four_in_lockstep, 1

# void (rdi: one lane that begins, rsi: one lane that finishes, rdx: constants)
.globl sealpipe_pc1_half_of_two
.hidden sealpipe_pc1_half_of_two
.type sealpipe_pc1_half_of_two, @function
.p2align 6
sealpipe_pc1_half_of_two:
    PC1_ENTER
    PC1_FRESH rdi, 0, xmm1, xmm2
    movdqa xmm5, [rsi + STATE]
    movdqa xmm6, [rsi + STATE + 16]
.p2align 5
2:
    PC1_SLOT2 1
    cmp ecx, 6
    jne 2b
.p2align 5
3:
    PC1_SLOT2 0
    cmp ecx, 9
    jne 3b
    PC1_SLOT r8, r8d, rdi, 0, BEGIN
    PC1_SLOT r10, r10d, rsi, 0, FINISH
    .irp t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    PC1_ROUNDS2 \t
    .endr
    PC1_FEED rdi, 0, xmm1, xmm2
    paddd xmm5, [rsi + STATE]
    paddd xmm6, [rsi + STATE + 16]
    PC1_LABEL 0, xmm5, xmm6
    PC1_LEAVE
.size sealpipe_pc1_half_of_two, . - sealpipe_pc1_half_of_two

/* SPDX-License-Identifier: MIT OR Apache-2.0 */

/* Cpus, memory and GPUs: what is granted, and what is observed. Cpus and memory
 * policy belong to a thread and are inherited by later ones: this comes before any other thread. */

#define _GNU_SOURCE

#include "sealpipe_parts.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The list format has four digits, and a mask of the kernel is made of long words. */
#define N_CPUS 10240
#define CPU_BYTES CPU_ALLOC_SIZE(N_CPUS)
#define WORD_BITS (8 * sizeof(unsigned long))
/* More than the 1024 nodes that Linux can have. */
#define N_NODES 2048

/* include/uapi/linux/mempolicy.h; libnuma would be one more library. */
static const char *const policies[] = {"default", "preferred", "bind"};
#define POLICY_FLAGS 0xe000

typedef union {
    cpu_set_t set;
    unsigned long words[N_CPUS / WORD_BITS];
} cpu_mask;

/* Up to four digits, or -1. */
static int read_cpu(const char **at)
{
    int cpu = 0, n = 0;
    for (; n < 4 && **at >= '0' && **at <= '9'; n++)
        cpu = cpu * 10 + (*(*at)++ - '0');
    return n > 0 ? cpu : -1;
}

/* Linux' list format: 0-3,8. */
static bool read_cpus(const char *list, cpu_mask *mask)
{
    memset(mask, 0, sizeof *mask);
    for (;;) {
        int first = read_cpu(&list), last = first;
        if (*list == '-') {
            list++;
            last = read_cpu(&list);
        }
        if (first < 0 || last < first)
            return false;
        for (int cpu = first; cpu <= last; cpu++)
            CPU_SET_S((size_t)cpu, CPU_BYTES, &mask->set);
        if (*list == '\0')
            return true;
        if (*list++ != ',')
            return false;
    }
}

static bool pin(const char *list, cpu_mask *mask, sp_error *error)
{
    cpu_mask seen = {.words = {0}};
    if (sched_setaffinity(0, CPU_BYTES, &mask->set) < 0)
        return sp_fail(error, SP_PLACEMENT_MISMATCH, "cpus %s: %s", list, strerror(errno));
    /* The kernel drops cpus that do not exist without a word, as long as one is left. */
    if (sched_getaffinity(0, CPU_BYTES, &seen.set) < 0 ||
        !CPU_EQUAL_S(CPU_BYTES, &mask->set, &seen.set))
        return sp_fail(error, SP_PLACEMENT_MISMATCH, "not all of cpus %s are allowed", list);
    return true;
}

static bool prefer(const char *policy, const uint64_t *node, sp_error *error)
{
    unsigned long mask[N_NODES / WORD_BITS] = {0};
    long mode = 0;
    while (mode < 3 && strcmp(policies[mode], policy) != 0)
        mode++;
    if (mode == 3)
        return sp_fail(error, SP_PLACEMENT_MISMATCH, "memory policy %s is unknown", policy);
    if (node && *node >= N_NODES)
        return sp_fail(error, SP_PLACEMENT_MISMATCH, "there is no such memory node");
    if (node && mode > 0)
        mask[*node / WORD_BITS] |= 1ul << *node % WORD_BITS;
    if (syscall(SYS_set_mempolicy, mode, mask, (unsigned long)N_NODES) == 0)
        return true;
    return sp_fail(error, SP_PLACEMENT_MISMATCH, "memory policy %s: %s", policy, strerror(errno));
}

/* The member as a string: NULL when it is absent or null, and a fault when it is something else. */
static char *optional(sp_json granted, const char *name, bool *is_wrong)
{
    sp_json value = sp_json_member(granted, name);
    bool absent = !value.text || sp_json_kind(value) == 'n';
    char *text = absent ? NULL : sp_json_to_string(value, NULL);
    *is_wrong = *is_wrong || (!absent && !text);
    return text;
}

/* As CUDA_VISIBLE_DEVICES wants them; NULL as above. */
static char *read_gpus(sp_json granted, bool *is_wrong)
{
    sp_json gpus = sp_json_member(granted, "gpus"), item;
    if (!gpus.text || sp_json_kind(gpus) == 'n')
        return NULL;
    *is_wrong = *is_wrong || sp_json_kind(gpus) != '[';
    sp_buffer list = {0};
    for (size_t position = 0; sp_json_next(gpus, &position, &item);) {
        char *gpu = sp_json_to_string(item, NULL);
        *is_wrong = *is_wrong || !gpu;
        if (gpu)
            sp_printf(&list, "%s%s", list.n_bytes > 0 ? "," : "", gpu);
        free(gpu);
    }
    sp_put(&list, "", 1);
    return list.text;
}

bool sp_place(sp_json granted, bool only_check, sp_error *error)
{
    cpu_mask mask;
    uint64_t number = 0, *node = NULL;
    bool is_wrong = granted.text && sp_json_kind(granted) != '{';
    char *cpus = optional(granted, "cpus", &is_wrong);
    char *policy = optional(granted, "memoryPolicy", &is_wrong);
    char *gpus = read_gpus(granted, &is_wrong);
    sp_json node_json = sp_json_member(granted, "memoryNode");
    if (node_json.text && sp_json_kind(node_json) != 'n') {
        node = &number;
        is_wrong = is_wrong || !sp_json_to_integer(node_json, 0, SP_MAX_INTEGER, node);
    }
    is_wrong = is_wrong || (cpus && !read_cpus(cpus, &mask));
    bool good = !is_wrong;
    if (is_wrong)
        sp_fail(error, SP_INVALID_PARAMS, "`placement` does not fit its schema");
    if (good && !only_check) {
        const char *kind = policy ? policy : node ? "preferred" : NULL;
        good = (!cpus || pin(cpus, &mask, error)) && (!kind || prefer(kind, node, error));
        /* Whatever library takes GPUs takes these. */
        if (good && gpus)
            setenv("CUDA_VISIBLE_DEVICES", gpus, 1);
    }
    free(cpus);
    free(policy);
    free(gpus);
    return good;
}

static void put_cpus(sp_buffer *buffer)
{
    cpu_mask mask = {.words = {0}};
    const char *separator = "";
    if (sched_getaffinity(0, CPU_BYTES, &mask.set) < 0)
        return;
    sp_printf(buffer, ",\"cpus\":\"");
    for (size_t cpu = 0; cpu < N_CPUS; cpu++) {
        size_t first = cpu;
        while (cpu < N_CPUS && CPU_ISSET_S(cpu, CPU_BYTES, &mask.set))
            cpu++;
        if (cpu > first + 1)
            sp_printf(buffer, "%s%zu-%zu", separator, first, cpu - 1);
        else if (cpu > first)
            sp_printf(buffer, "%s%zu", separator, first);
        separator = cpu > first ? "," : separator;
    }
    sp_printf(buffer, "\"");
}

void sp_put_placement(sp_buffer *buffer)
{
    unsigned long mask[N_NODES / WORD_BITS] = {0};
    int mode = 0;
    size_t begin = buffer->n_bytes;
    put_cpus(buffer);
    if (syscall(SYS_get_mempolicy, &mode, mask, (unsigned long)N_NODES, NULL, 0ul) == 0) {
        mode &= ~POLICY_FLAGS;
        sp_printf(buffer, ",\"memoryPolicy\":\"%s\"", mode < 3 ? policies[mode] : "other");
        size_t node = 0;
        while (node < N_NODES && !(mask[node / WORD_BITS] >> node % WORD_BITS & 1))
            node++;
        if (node < N_NODES)
            sp_printf(buffer, ",\"memoryNode\":%zu", node);
    }
    const char *gpus = getenv("CUDA_VISIBLE_DEVICES");
    if (gpus) {
        sp_printf(buffer, ",\"gpus\":[");
        for (const char *separator = ""; *gpus; gpus += *gpus == ',') {
            size_t n = strcspn(gpus, ",");
            char *gpu = sp_alloc(n + 1);
            snprintf(gpu, n + 1, "%s", gpus);
            sp_printf(buffer, "%s", separator);
            sp_put_string(buffer, gpu);
            free(gpu);
            gpus += n;
            separator = ",";
        }
        sp_printf(buffer, "]");
    }
    /* The first comma, or an empty object. */
    if (buffer->n_bytes == begin)
        sp_put(buffer, "{", 1);
    else
        buffer->text[begin] = '{';
    sp_put(buffer, "}", 1);
}

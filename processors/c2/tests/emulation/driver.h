// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A libcuda.so that runs kernels on the host, so that a machine without a GPU tests kernels and launches alike.
//
// Included by a file that has the kernels' sources between `device.h` and this. Device memory is memory; streams
// do at once what they are given. A block's threads are fibers that change places at barriers, blocks follow
// one another: so races are not found, nor anything that depends on warps.
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

using Launch = std::function<void(void **)>;

static std::map<std::string, Launch> &kernels() {
    static std::map<std::string, Launch> all;
    return all;
}

template <class... A, size_t... I>
static void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
    kernel(*(A *)arguments[I]...);
}

// Makes a kernel known by its name.
template <class... A> static bool add_kernel(const char *name, void (*kernel)(A...)) {
    static_assert(((sizeof(A) == 8) && ...), "parameters are 64 bits wide");
    kernels()[name] = [kernel](void **arguments) { call(kernel, arguments, std::index_sequence_for<A...>()); };
    return true;
}
#define KERNEL(name) static bool is_known_##name = add_kernel(#name, name);

// Saves the caller's registers and stack, and goes on with another's.
extern "C" void change_fibers(void **save, void *to);
asm(".text\n.globl change_fibers\nchange_fibers:\n"
    "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");

struct Fiber {
    static constexpr size_t STACK = 1 << 16;
    void *at = nullptr;
    std::vector<char> stack = std::vector<char>(STACK);
    uint32_t thread = 0;
    State state = DONE;
};
static void *main_fiber;
static Fiber *running;
static const Launch *launched;
static void **launched_arguments;

static void wait(State at) {
    Fiber *own = running;
    own->state = at;
    change_fibers(&own->at, main_fiber);
    threadIdx.x = own->thread;
}

static void run_thread() {
    threadIdx.x = running->thread;
    (*launched)(launched_arguments);
    running->state = DONE;
    change_fibers(&running->at, main_fiber);
    std::abort();
}

static void run_block(std::vector<Fiber> &fibers, uint32_t n_threads) {
    if (fibers.size() < n_threads) fibers.resize(n_threads);
    for (uint32_t t = 0; t < n_threads; t++) {
        Fiber &fiber = fibers[t];
        fiber.thread = t, fiber.state = RUNNING;
        // Aligned as after a call; where to begin, under six registers.
        auto top = (void **)((uintptr_t)(fiber.stack.data() + Fiber::STACK) & ~(uintptr_t)63);
        *--top = nullptr;
        *--top = (void *)run_thread;
        fiber.at = top - 6;
    }
    auto release = [&](State from) {
        bool any = false;
        for (uint32_t t = 0; t < n_threads; t++)
            if (fibers[t].state == from) fibers[t].state = RUNNING, any = true;
        return any;
    };
    // Warps first: a block's barrier opens when all are there.
    do {
        for (uint32_t t = 0; t < n_threads; t++) {
            if (fibers[t].state != RUNNING) continue;
            running = &fibers[t];
            change_fibers(&main_fiber, running->at);
        }
    } while (release(AT_WARP_BARRIER) || release(AT_BARRIER));
}

extern "C" {
int cuInit(unsigned) { return 0; }
int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cuDeviceGetCount(int *n) { return *n = 1, 0; }
int cuDeviceGet(int *device, int) { return *device = 0, 0; }
int cuDeviceGetName(char *name, int size, int) { return std::strncpy(name, "host", size), 0; }
int cuDeviceGetAttribute(int *value, int attribute, int) {
    constexpr int PROCESSORS = 16, MAJOR = 75;
    return *value = attribute == MAJOR ? 9 : attribute == PROCESSORS ? 2 : 0, 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = 1 << 30, 0; }
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = (void *)1, 0; }
int cuCtxSetCurrent(void *) { return 0; }
int cuModuleLoadData(void **module, const void *) { return *module = (void *)1, 0; }
int cuModuleUnload(void *) { return 0; }
int cuModuleGetFunction(void **function, void *, const char *name) {
    constexpr int NOT_FOUND = 500;
    auto found = kernels().find(name);
    if (found == kernels().end()) return NOT_FOUND;
    return *function = &found->second, 0;
}
int cuFuncSetAttribute(void *, int, int) { return 0; }
// Filled with what nobody expects.
int cuMemAlloc_v2(uint64_t *at, size_t bytes) {
    size_t rounded = (bytes + 255) / 256 * 256;
    return *at = (uint64_t)std::memset(std::aligned_alloc(256, rounded), 0xa5, rounded), 0;
}
int cuMemFree_v2(uint64_t at) { return std::free((void *)at), 0; }
int cuMemHostRegister_v2(void *, size_t, unsigned) { return 0; }
int cuMemHostUnregister(void *) { return 0; }
int cuStreamCreate(void **stream, unsigned) { return *stream = (void *)1, 0; }
int cuStreamDestroy_v2(void *) { return 0; }
int cuStreamSynchronize(void *) { return 0; }
int cuStreamWaitEvent(void *, void *, unsigned) { return 0; }
int cuEventCreate(void **event, unsigned) { return *event = (void *)1, 0; }
int cuEventDestroy_v2(void *) { return 0; }
int cuEventRecord(void *, void *) { return 0; }
int cuEventQuery(void *) { return 0; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t n, void *) { return std::memcpy((void *)to, from, n), 0; }
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t n, void *) { return std::memcpy(to, (void *)from, n), 0; }
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t n, void *) {
    return std::memcpy((void *)to, (void *)from, n), 0;
}
int cuMemsetD8Async(uint64_t to, unsigned char byte, size_t n, void *) { return std::memset((void *)to, byte, n), 0; }
int cuGetErrorName(int, const char **name) { return *name = "an error of the emulation", 0; }
int cuLaunchKernel(void *function, unsigned blocks, unsigned, unsigned, unsigned threads, unsigned, unsigned,
                   unsigned, void *, void **arguments, void **) {
    // Threads of the host launch one at a time.
    static std::mutex turn;
    std::lock_guard<std::mutex> lock(turn);
    static std::vector<Fiber> fibers;
    launched = (const Launch *)function, launched_arguments = arguments;
    blockDim.x = threads, gridDim.x = blocks;
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) run_block(fibers, threads);
    return 0;
}
}

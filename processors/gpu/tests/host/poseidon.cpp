// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The device's arithmetic, compiled for the host: reads lines `function words…` and answers with the result's
// words. Words are hexadecimal, least significant first.
#include "../../cuda/fr_fixed.cuh"
#include "../../cuda/poseidon.cuh"

#include <cstdio>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

template <int T> static void hash(uint32_t *out, const std::vector<uint32_t> &in) {
    uint32_t state[T][8], memory[96];
    for (int i = 0; i < 8 * (T - 1); i++) state[1 + i / 8][i % 8] = in.at(i);
    poseidon::hash<T>(out, state, poseidon::Scratch{memory, 1});
}

int main() {
    std::string line, name;
    while (std::getline(std::cin, line)) {
        std::istringstream text(line);
        text >> name;
        std::vector<uint32_t> in;
        for (uint32_t word; text >> std::hex >> word;) in.push_back(word);
        uint32_t out[8] = {};
        const uint32_t *a = in.data(), *b = in.data() + 8;
        if (name == "mul") fr::mul(out, a, b);
        else if (name == "square") fr::square(out, a);
        else if (name == "fifth_power") fr::fifth_power(out, a);
        else if (name == "mul_fixed" || name == "mul_fixed_wide") {
            fr::Fixed factor;
            std::memcpy(&factor, b, sizeof factor);
            std::memcpy(out, a, sizeof out);
            if (name == "mul_fixed") fr::mul_fixed(out, factor);
            else fr::mul_fixed_wide(out, factor);
        } else if (name == "add_mod") fr::add_mod(out, a, b);
        else if (name == "sub_mod") fr::sub_mod(out, a, b);
        else if (name == "add_wide") fr::add_wide(out, a, b);
        else if (name == "sub_wide") fr::sub_wide(out, a, b);
        else if (name == "reduce10") fr::reduce10(out, a);
        else if (name == "reduce16") fr::reduce16(out, a);
        else if (name == "subtract_r") fr::subtract_r(out, a);
        else if (name == "hash2") hash<3>(out, in);
        else if (name == "hash8") hash<9>(out, in);
        else if (name == "hash11") hash<12>(out, in);
        else return 1;
        for (uint32_t word : out) std::printf("%08x ", word);
        std::printf("\n");
    }
}

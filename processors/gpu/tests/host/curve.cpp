// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The base field, its extension and the curves, compiled for the host: reads lines `field.function words…` and
// answers with the words of the result.
#include "../../cuda/curve.cuh"

#include <cstdio>
#include <cstring>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using Words = std::vector<uint32_t>;

template <class T> static T read(const Words &in, size_t at) {
    T value;
    if (in.size() < at + sizeof(T) / 4) throw std::out_of_range("too few words");
    std::memcpy(&value, in.data() + at, sizeof(T));
    return value;
}

template <class T> static void print(const T &value) {
    uint32_t words[sizeof(T) / 4];
    std::memcpy(words, &value, sizeof(T));
    for (uint32_t word : words) std::printf("%08x ", word);
}

template <class Field> static bool answer(const std::string &name, const Words &in) {
    using namespace curve;
    constexpr size_t N = sizeof(Field) / 4;
    Field a = read<Field>(in, 0);
    if (name == "square") print(square(a));
    else if (name == "canonical") print(canonical(a));
    else if (name == "negative") print(negative(a));
    else if (name == "twice") print(twice(a));
    else if (name == "inverse") print(inverse(a));
    else if (name == "mul") print(mul(a, read<Field>(in, N)));
    else if (name == "add") print(add(a, read<Field>(in, N)));
    else if (name == "sub") print(sub(a, read<Field>(in, N)));
    else if (name == "sum") {
        auto p = read<Affine<Field>>(in, 0), q = read<Affine<Field>>(in, 2 * N);
        Way way = way_of(p, q);
        print(sum_of(way, p, q, inverse(denominator(way, p, q))));
    } else if (name == "extended") {
        // a p + b q with small a and b: additions and doublings, then Jacobian coordinates.
        auto p = extended(read<Affine<Field>>(in, 0)), q = extended(read<Affine<Field>>(in, 2 * N));
        auto sum = extended_infinity<Field>();
        for (uint32_t i = 0; i < read<uint32_t>(in, 4 * N); i++) add_extended(&sum, &p);
        auto other = extended_infinity<Field>();
        for (uint32_t i = 0; i < read<uint32_t>(in, 4 * N + 1); i++) add_extended(&other, &q);
        add_extended(&sum, &other);
        print(jacobian(sum));
    } else return false;
    return true;
}

int main() {
    std::string line, name;
    while (std::getline(std::cin, line)) {
        std::istringstream text(line);
        text >> name;
        Words in;
        for (uint32_t word; text >> std::hex >> word;) in.push_back(word);
        std::string function = name.substr(name.find('.') + 1);
        bool known = name.rfind("fp2.", 0) == 0 ? answer<fp::Fp2>(function, in) : answer<fp::Fp>(function, in);
        if (!known) return 1;
        std::printf("\n");
    }
}

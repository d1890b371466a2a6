// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Transforms over the scalar field.
#pragma once
#include "fr.cuh"

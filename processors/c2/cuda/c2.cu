// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The kernels of c2, one module. Number forms and layouts stand at the head of each part.
#include "fixed_base.cuh"
#include "msm_add.cuh"
#include "msm_digits.cuh"
#include "ntt.cuh"
#include "rows.cuh"

// SPDX-License-Identifier: MIT OR Apache-2.0
//
// A libcuda.so that has the kernels of multi-scalar multiplication.
#include "device.h"

#include "../../cuda/msm_add.cuh"
#include "../../cuda/msm_digits.cuh"

#include "driver.h"

KERNEL(msm_digits)
KERNEL(msm_scatter)
KERNEL(msm_place)
KERNEL(msm_pair)
KERNEL(msm_regroup)
KERNEL(msm_select)
KERNEL(msm_cut)
KERNEL(msm_add_g1)
KERNEL(msm_add_g2)
KERNEL(msm_sum_g1)
KERNEL(msm_sum_g2)

// Four sums at once with MVE.
#ifndef NN_MVE_H
#define NN_MVE_H

#include <arm_mve.h>

#include "nn.h"
#include "nn_fixed_point.h"

// sum * multiplier / 2^31, rounded, and moved so that vrshlq_s32 rounds ties away from zero; exact for sums of any size.
NN_INLINE int32x4_t nn_high_four(int32x4_t sums, int32x4_t multiplier) {
  const int32x4_t product = vqrdmulhq_s32(sums, multiplier);
  return vaddq_s32(product, vshrq_n_s32(product, 31));
}

// nn_scale in every lane.
NN_INLINE int32x4_t nn_scale_four(int32x4_t sums, int32x4_t multiplier, int32x4_t shift) {
  const int32x4_t zero = vdupq_n_s32(0), right = vminq_s32(shift, zero);
  const int32x4_t product = vqrdmulhq_s32(vshlq_s32(sums, vmaxq_s32(shift, zero)), multiplier);
  return vrshlq_s32(vaddq_s32(product, vshrq_n_s32(vandq_s32(product, right), 31)), right);
}

// nn_scale with the same factor in every lane, of numbers that are shifted to the left before.
NN_INLINE int32x4_t nn_scale_all(int32x4_t x, int32_t left, int32_t multiplier, int32_t shift) {
  const int32_t right = nn_smaller(shift, 0);
  const int32x4_t product = vqrdmulhq_n_s32(vshlq_r_s32(x, left + nn_larger(shift, 0)), multiplier);
  return vrshlq_n_s32(vaddq_s32(product, vshrq_n_s32(vandq_s32(product, vdupq_n_s32(right)), 31)), right);
}

// Four values of an operand that is dense (stride 1) or repeats one value (stride 0).
NN_INLINE int32x4_t nn_operand(const int8_t* values, int32_t stride, mve_pred16_t lanes, int32_t offset) {
  return vaddq_n_s32(stride ? vldrbq_z_s32(values, lanes) : vdupq_n_s32(*values), offset);
}

// Four outputs from what the output offset is added to.
NN_INLINE void nn_store_clamped(int8_t* output, int32x4_t scaled, int32_t offset, int32_t minimum, int32_t maximum,
                                mve_pred16_t lanes) {
  const int32x4_t raised = vmaxq_s32(vaddq_n_s32(scaled, offset), vdupq_n_s32(minimum));
  vstrbq_p_s32(output, vminq_s32(raised, vdupq_n_s32(maximum)), lanes);
}

#endif

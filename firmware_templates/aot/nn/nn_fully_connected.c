#include "nn.h"
#include "nn_fixed_point.h"

#if defined(__ARM_FEATURE_MVE)

#include <arm_mve.h>

// Sixteen products at once.
static int32_t products(const int8_t* values, const int8_t* weights, int32_t filter_offset, int32_t depth) {
  int32_t sum = 0, value_sum = 0;
  for (; depth > 0; depth -= 16, values += 16, weights += 16) {
    const mve_pred16_t lanes = vctp8q((uint32_t)depth);
    const int8x16_t value = vldrbq_z_s8(values, lanes);
    sum = vmladavaq_p_s8(sum, value, vldrbq_z_s8(weights, lanes), lanes);
    value_sum = vaddvaq_p_s8(value_sum, value, lanes);
  }
  return sum + filter_offset * value_sum;
}

#else

#ifdef __ARM_FEATURE_DSP
#include "nn_four.h"
#endif

static int32_t products(const int8_t* values, const int8_t* weights, int32_t filter_offset, int32_t depth) {
  int32_t sum = 0;
#ifdef __ARM_FEATURE_DSP
  const int32_t offsets = (int32_t)((uint32_t)(uint16_t)filter_offset * UINT32_C(0x10001));
  for (; depth >= 4; depth -= 4) {
    const uint32_t x = nn_load_next(&values), w = nn_load_next(&weights);
    sum = nn_both(nn_even(x), nn_even_plus(offsets, w), sum);
    sum = nn_both(nn_odd(x), nn_odd_plus(offsets, w), sum);
  }
#endif
  for (; depth > 0; --depth) {
    sum += *values++ * (*weights++ + filter_offset);
  }
  return sum;
}

#endif

// |sum| has at most 32 bits and the multiplier at most 31; one rounding, ties away from zero.
static int32_t scale(int32_t sum, int64_t multiplier, int32_t shift) {
  const int64_t magnitude = sum < 0 ? -(int64_t)sum : sum;
  const int32_t scaled = (int32_t)((magnitude * multiplier + (INT64_C(1) << (shift - 1))) >> shift);
  return sum < 0 ? -scaled : scaled;
}

void nn_fully_connected(const nn_fully_connected_t* op, const int8_t* input, int8_t* output) {
  for (int32_t row = 0; row < op->rows; ++row, input += op->depth) {
    const int8_t* weights = op->filter;
    for (int32_t i = 0; i < op->outputs; ++i, weights += op->depth) {
      const int32_t sum = op->bias[i] + products(input, weights, op->filter_offset, op->depth);
      const int32_t at = op->per_output ? i : 0;
      *output++ = nn_clamp(scale(sum, op->multiplier[at], op->shift[at]) + op->output_offset, op->minimum, op->maximum);
    }
  }
}

#include "nn.h"
#include "nn_fixed_point.h"

// |sum| has at most 32 bits and the multiplier at most 31; one rounding, ties away from zero.
static int32_t scale(int32_t sum, int64_t multiplier, int32_t shift) {
  const int64_t magnitude = sum < 0 ? -(int64_t)sum : sum;
  const int32_t scaled = (int32_t)((magnitude * multiplier + (INT64_C(1) << (shift - 1))) >> shift);
  return sum < 0 ? -scaled : scaled;
}

#if defined(__ARM_FEATURE_MVE)

#include <arm_mve.h>

typedef struct {
  int32_t of[4];
} sums_t;

// The products of four outputs, sixteen at once; of an output that is not there, those of the last one.
static sums_t four_outputs(const nn_fully_connected_t* op, int32_t first, const int8_t* values) {
  const int8_t* weights[4];
  for (int32_t i = 0; i < 4; ++i) {
    weights[i] = op->filter + nn_smaller(first + i, op->outputs - 1) * op->depth;
  }
  int32_t a = 0, b = 0, c = 0, d = 0;
  __asm__ volatile(
      "wlstp.8 lr, %[depth], 2f\n\t"
      "1: vldrb.8 q0, [%[values]], #16\n\t"
      "vldrb.8 q1, [%[one]], #16\n\tvldrb.8 q2, [%[two]], #16\n\tvmladava.s8 %[a], q0, q1\n\tvmladava.s8 %[b], q0, q2\n\t"
      "vldrb.8 q1, [%[three]], #16\n\tvldrb.8 q2, [%[four]], #16\n\tvmladava.s8 %[c], q0, q1\n\tvmladava.s8 %[d], q0, q2\n\t"
      "letp lr, 1b\n\t"
      "2:"
      : [a] "+Te"(a), [b] "+Te"(b), [c] "+Te"(c), [d] "+Te"(d), [values] "+r"(values), [one] "+r"(weights[0]),
        [two] "+r"(weights[1]), [three] "+r"(weights[2]), [four] "+r"(weights[3])
      : [depth] "r"(op->depth)
      : "q0", "q1", "q2", "lr", "memory", "cc");
  return (sums_t){{a, b, c, d}};
}

static int32_t sum_of(const int8_t* values, int32_t depth) {
  int32_t sum = 0;
  for (; depth > 0; depth -= 16, values += 16) {
    const mve_pred16_t lanes = vctp8q((uint32_t)depth);
    sum = vaddvaq_p_s8(sum, vldrbq_z_s8(values, lanes), lanes);
  }
  return sum;
}

void nn_fully_connected(const nn_fully_connected_t* op, const int8_t* input, int8_t* output) {
  for (int32_t row = 0; row < op->rows; ++row, input += op->depth) {
    const int32_t shared = op->filter_offset != 0 ? op->filter_offset * sum_of(input, op->depth) : 0;
    for (int32_t first = 0; first < op->outputs; first += 4) {
      const sums_t sums = four_outputs(op, first, input);
      for (int32_t i = first; i < nn_smaller(first + 4, op->outputs); ++i) {
        const int32_t sum = op->bias[i] + sums.of[i - first] + shared;
        const int32_t at = op->per_output ? i : 0;
        *output++ = nn_clamp(scale(sum, op->multiplier[at], op->shift[at]) + op->output_offset, op->minimum, op->maximum);
      }
    }
  }
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

#endif

// Fixed-point arithmetic that rounds as LiteRT's reference kernels do: twice.
#ifndef NN_FIXED_POINT_H
#define NN_FIXED_POINT_H

#include <stdint.h>

// Inlined even where the compiler minimises size: these are the innermost steps.
#ifdef __GNUC__
#define NN_INLINE static inline __attribute__((always_inline))
#else
#define NN_INLINE static inline
#endif

// a * b / 2^31, rounded; ties go up. Not for a = b = INT32_MIN.
NN_INLINE int32_t nn_high_multiply(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

// x / 2^exponent, rounded; ties go away from zero. Exponents are 1 to 31.
NN_INLINE int32_t nn_divide_by_power(int32_t x, int32_t exponent) {
  const int32_t towards_ties = x + (x >> 31);
  return ((towards_ties >> (exponent - 1)) + 1) >> 1;
}

// x * multiplier / 2^31 * 2^shift.
NN_INLINE int32_t nn_scale(int32_t x, int32_t multiplier, int32_t shift) {
  if (shift >= 0) {
    return nn_high_multiply((int32_t)((uint32_t)x << shift), multiplier);
  }
  return nn_divide_by_power(nn_high_multiply(x, multiplier), -shift);
}

NN_INLINE int8_t nn_clamp(int32_t x, int32_t minimum, int32_t maximum) {
  const int32_t raised = x < minimum ? minimum : x;
  return (int8_t)(raised > maximum ? maximum : raised);
}

NN_INLINE int32_t nn_smaller(int32_t a, int32_t b) { return a < b ? a : b; }
NN_INLINE int32_t nn_larger(int32_t a, int32_t b) { return a > b ? a : b; }

#endif

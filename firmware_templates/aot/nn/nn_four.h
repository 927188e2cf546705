// Four channels at once: with the DSP extension in one register, else one by one.
#ifndef NN_FOUR_H
#define NN_FOUR_H

#include <stdint.h>
#include <string.h>

#include "nn.h"
#include "nn_fixed_point.h"

// Functions that must not become part of others, which would grow or run out of registers.
#ifdef __GNUC__
#define NN_APART __attribute__((noinline))
#else
#define NN_APART
#endif

// The sums of four channels.
typedef struct {
  int32_t a, b, c, d;
} nn_sums_t;

// The lowest and the highest output, in each byte.
typedef struct {
  uint32_t minimum, maximum;
} nn_range_t;

NN_INLINE nn_range_t nn_range(const nn_convolution_t* op) {
  const uint32_t every_byte = UINT32_C(0x01010101);
  return (nn_range_t){(uint8_t)op->minimum * every_byte, (uint8_t)op->maximum * every_byte};
}

// Shifts from NN_WIDE / 2 on are NN_WIDE more than they say: of channels whose sums may reach 2^30.
enum { NN_WIDE = 64 };

NN_INLINE int32_t nn_scale_wide(int32_t sum, int32_t multiplier, int32_t shift) {
  return nn_scale(sum, multiplier, shift < NN_WIDE / 2 ? shift : shift - NN_WIDE);
}

#ifdef __ARM_FEATURE_DSP

#include <arm_acle.h>

// Four int8 numbers; moves the pointer by so many bytes, or behind what was loaded.
NN_INLINE uint32_t nn_load_then(const int8_t** from, int32_t step) {
  uint32_t bytes;
  __asm__ volatile("ldr %0, [%1]" : "=r"(bytes) : "r"(*from) : "memory");
  *from += step;
  return bytes;
}
NN_INLINE uint32_t nn_load_next(const int8_t** from) {
  uint32_t bytes;
  __asm__ volatile("ldr %0, [%1], #4" : "=r"(bytes), "+r"(*from) : : "memory");
  return bytes;
}

// Bytes 0 and 2, or 1 and 3, as int16; each plus its half of `addend`.
NN_INLINE int32_t nn_even(uint32_t bytes) { return (int32_t)__sxtb16((int8x4_t)bytes); }
NN_INLINE int32_t nn_odd(uint32_t bytes) {
  int32_t halves;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(bytes));
  return halves;
}
NN_INLINE int32_t nn_even_plus(int32_t addend, uint32_t bytes) {
  return (int32_t)__sxtab16((int16x2_t)addend, (int8x4_t)bytes);
}
NN_INLINE int32_t nn_odd_plus(int32_t addend, uint32_t bytes) {
  int32_t halves;
  __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(halves) : "r"(addend), "r"(bytes));
  return halves;
}

// Sums of products of int16 halves: both, the lower, the upper ones.
NN_INLINE int32_t nn_both(int32_t a, int32_t b, int32_t sum) {
  __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}
NN_INLINE int32_t nn_lower(int32_t a, int32_t b, int32_t sum) {
  __asm__("smlabb %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}
NN_INLINE int32_t nn_upper(int32_t a, int32_t b, int32_t sum) {
  __asm__("smlatt %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

// Adds the products of four values with the four weights of each of four outputs.
NN_INLINE nn_sums_t nn_four_outputs(nn_sums_t sums, const int8_t** values, const int8_t** weights) {
  const uint32_t x = nn_load_next(values);
  const int32_t even = nn_even(x), odd = nn_odd(x);
  const uint32_t a = nn_load_next(weights);
  sums.a = nn_both(odd, nn_odd(a), nn_both(even, nn_even(a), sums.a));
  const uint32_t b = nn_load_next(weights);
  sums.b = nn_both(odd, nn_odd(b), nn_both(even, nn_even(b), sums.b));
  const uint32_t c = nn_load_next(weights);
  sums.c = nn_both(odd, nn_odd(c), nn_both(even, nn_even(c), sums.c));
  const uint32_t d = nn_load_next(weights);
  sums.d = nn_both(odd, nn_odd(d), nn_both(even, nn_even(d), sums.d));
  return sums;
}

// Adds the products of one value and one weight of each of four channels, and moves on to the next ones.
NN_INLINE nn_sums_t nn_four_channels(nn_sums_t sums, const int8_t** values, int32_t offset, const int8_t** weights,
                                     int32_t channels) {
  const int32_t offsets = (int32_t)((uint32_t)(uint16_t)offset * UINT32_C(0x10001));
  const uint32_t x = nn_load_then(values, channels), w = nn_load_then(weights, channels);
  const int32_t x_even = nn_even_plus(offsets, x), w_even = nn_even(w);
  sums.a = nn_lower(x_even, w_even, sums.a);
  sums.c = nn_upper(x_even, w_even, sums.c);
  const int32_t x_odd = nn_odd_plus(offsets, x), w_odd = nn_odd(w);
  sums.b = nn_lower(x_odd, w_odd, sums.b);
  sums.d = nn_upper(x_odd, w_odd, sums.d);
  return sums;
}

// Scales by a shift to the left, or a sum of any size: rare.
int32_t nn_scale_rare(int32_t sum, int32_t multiplier, int32_t shift);

// The int8 that a sum becomes, in the lowest byte of a register; the others are undefined.
NN_INLINE uint32_t nn_output(int32_t sum, int32_t multiplier, int32_t shift, int32_t offset) {
  int32_t scaled;
  if (shift < 0) {
    __asm__("smmulr %0, %1, %2" : "=r"(scaled) : "r"(2 * sum), "r"(multiplier));  // as nn_high_multiply
    scaled = nn_divide_by_power(scaled, -shift);
  } else {
    scaled = nn_scale_rare(sum, multiplier, shift);
  }
  return (uint32_t)__ssat(scaled + offset, 8);
}

// Four outputs, none below the minimum and none above the maximum.
NN_INLINE void nn_store_four(uint32_t a, uint32_t b, uint32_t c, uint32_t d, nn_range_t range, int8_t* output) {
  __asm__("bfi %0, %1, #8, #8" : "+r"(a) : "r"(b));
  __asm__("bfi %0, %1, #8, #8" : "+r"(c) : "r"(d));
  __asm__("pkhbt %0, %0, %1, lsl #16" : "+r"(a) : "r"(c));
  __asm__("ssub8 %1, %0, %2\n\tsel %0, %0, %2" : "+r"(a), "=&r"(b) : "r"(range.minimum));
  __asm__("ssub8 %1, %2, %0\n\tsel %0, %0, %2" : "+r"(a), "=&r"(b) : "r"(range.maximum));
  memcpy(output, &a, sizeof a);
}

#else

NN_INLINE int32_t nn_four_products(const int8_t* x, const int8_t* w) {
  return x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
}

NN_INLINE nn_sums_t nn_four_outputs(nn_sums_t sums, const int8_t** values, const int8_t** weights) {
  const int8_t* x = *values;
  const int8_t* w = *weights;
  sums.a += nn_four_products(x, w);
  sums.b += nn_four_products(x, w + 4);
  sums.c += nn_four_products(x, w + 8);
  sums.d += nn_four_products(x, w + 12);
  *values += 4;
  *weights += 16;
  return sums;
}

NN_INLINE nn_sums_t nn_four_channels(nn_sums_t sums, const int8_t** values, int32_t offset, const int8_t** weights,
                                     int32_t channels) {
  const int8_t* x = *values;
  const int8_t* w = *weights;
  sums.a += (x[0] + offset) * w[0];
  sums.b += (x[1] + offset) * w[1];
  sums.c += (x[2] + offset) * w[2];
  sums.d += (x[3] + offset) * w[3];
  *values += channels;
  *weights += channels;
  return sums;
}

NN_INLINE uint32_t nn_output(int32_t sum, int32_t multiplier, int32_t shift, int32_t offset) {
  return (uint8_t)nn_clamp(nn_scale_wide(sum, multiplier, shift) + offset, INT8_MIN, INT8_MAX);
}

NN_INLINE void nn_store_four(uint32_t a, uint32_t b, uint32_t c, uint32_t d, nn_range_t range, int8_t* output) {
  const uint32_t outputs[4] = {a, b, c, d};
  for (int32_t i = 0; i < 4; ++i) {
    output[i] = nn_clamp((int8_t)outputs[i], (int8_t)range.minimum, (int8_t)range.maximum);
  }
}

#endif

// Scales the sums of four channels by their multipliers and shifts, and stores the outputs.
void nn_store_sums(const nn_convolution_t* op, const nn_sums_t* sums, const int32_t* multiplier, const int32_t* shift,
                   int8_t* output);

NN_INLINE void nn_store_one(uint32_t a, nn_range_t range, int8_t* output) {
  *output = nn_clamp((int8_t)a, (int8_t)range.minimum, (int8_t)range.maximum);
}

// Copies or repeats values.
#ifdef __ARM_FEATURE_MVE
NN_INLINE void nn_copy_values(int8_t* to, const int8_t* from, int32_t count) {
  __asm__ volatile(
      "wlstp.8 lr, %[count], 2f\n\t"
      "1: vldrb.8 q0, [%[from]], #16\n\tvstrb.8 q0, [%[to]], #16\n\tletp lr, 1b\n\t"
      "2:"
      : [to] "+r"(to), [from] "+r"(from)
      : [count] "r"(count)
      : "q0", "lr", "memory", "cc");
}
NN_INLINE void nn_repeat_value(int8_t* to, int32_t value, int32_t count) {
  __asm__ volatile(
      "vdup.8 q0, %[value]\n\twlstp.8 lr, %[count], 2f\n\t"
      "1: vstrb.8 q0, [%[to]], #16\n\tletp lr, 1b\n\t"
      "2:"
      : [to] "+r"(to)
      : [value] "r"(value), [count] "r"(count)
      : "q0", "lr", "memory", "cc");
}
#else
NN_INLINE void nn_copy_values(int8_t* to, const int8_t* from, int32_t count) { memcpy(to, from, (size_t)count); }
NN_INLINE void nn_repeat_value(int8_t* to, int32_t value, int32_t count) { memset(to, value, (size_t)count); }
#endif

// All outputs of one pixel of a convolution, from the `depth` values of its window, one after another.
//
// The filter is a stream, so that it takes one pointer: for every four outputs, their biases; for
// every four values, the four weights of each of those outputs; for each value left over, one weight
// of each; the multipliers; the shifts. Outputs left over follow one by one, padded to words. The
// biases hold what the input offset adds.
//
// With MVE the weights take another order: for every block of 16 values, the 16 weights of each of the four
// outputs. The last block holds what remains, 1 to 16 of each.
void nn_pixel(const nn_convolution_t* op, int32_t depth, const int8_t* values, int8_t* output);

#ifdef __ARM_FEATURE_MVE
// Two pixels at once, whose values lie `step` apart; the outputs lie one after another.
void nn_two_pixels(const nn_convolution_t* op, int32_t depth, const int8_t* values, int32_t step, int8_t* output);
#endif

#endif

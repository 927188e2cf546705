#include "nn_four.h"

#ifdef __ARM_FEATURE_DSP
NN_APART int32_t nn_scale_rare(int32_t sum, int32_t multiplier, int32_t shift) {
  return nn_scale_wide(sum, multiplier, shift);
}
#endif

void nn_store_sums(const nn_convolution_t* op, const nn_sums_t* sums, const int32_t* multiplier, const int32_t* shift,
                   int8_t* output) {
  const int32_t offset = op->output_offset;
  nn_store_four(nn_output(sums->a, multiplier[0], shift[0], offset), nn_output(sums->b, multiplier[1], shift[1], offset),
                nn_output(sums->c, multiplier[2], shift[2], offset), nn_output(sums->d, multiplier[3], shift[3], offset),
                nn_range(op), output);
}

#ifdef __ARM_FEATURE_MVE

#include "nn_mve.h"

enum { BLOCK = 16 };

// What becomes of the sums of four outputs or, with all lanes alike, of one.
typedef struct {
  int32x4_t multiplier, shift, offset, minimum, maximum;
} scales_t;

NN_INLINE scales_t scales_of(const nn_convolution_t* op, int32x4_t multiplier, int32x4_t shift) {
  return (scales_t){multiplier, shift, vdupq_n_s32(op->output_offset), vdupq_n_s32(op->minimum),
                    vdupq_n_s32(op->maximum)};
}

NN_INLINE scales_t four_scales(const nn_convolution_t* op, const int8_t** stream) {
  const int32_t* from = (const int32_t*)(const void*)*stream;
  *stream += 8 * sizeof *from;
  return scales_of(op, vldrwq_s32(from), vldrwq_s32(from + 4));
}

NN_INLINE int32x4_t outputs_of(int32x4_t sums, scales_t scales) {
  const int32x4_t scaled = vaddq_s32(nn_scale_four(sums, scales.multiplier, scales.shift), scales.offset);
  return vminq_s32(vmaxq_s32(scaled, scales.minimum), scales.maximum);
}

NN_INLINE int32x4_t four_sums(int32_t a, int32_t b, int32_t c, int32_t d) {
  int32x4_t sums;
  __asm__("vmov %q0[2], %q0[0], %1, %3\n\tvmov %q0[3], %q0[1], %2, %4"
          : "=&w"(sums)
          : "r"(a), "r"(b), "r"(c), "r"(d));
  return sums;
}

// Outputs left over, one by one.
static void last_outputs(const nn_convolution_t* op, int32_t outputs, int32_t depth, const int8_t* stream,
                         const int8_t* values, int8_t* output) {
  for (; outputs > 0; --outputs, ++output) {
    int32_t sum = *(const int32_t*)(const void*)stream;
    stream += sizeof sum;
    for (int32_t at = 0; at < depth; at += BLOCK) {
      const mve_pred16_t lanes = vctp8q((uint32_t)(depth - at));
      sum = vmladavaq_s8(sum, vldrbq_z_s8(values + at, lanes), vldrbq_z_s8(stream + at, lanes));
    }
    const int32_t* from = (const int32_t*)(const void*)(stream + (depth + 3) / 4 * 4);
    stream = (const int8_t*)(from + 2);
    const scales_t scales = scales_of(op, vdupq_n_s32(from[0]), vdupq_n_s32(from[1]));
    *output = (int8_t)vgetq_lane_s32(outputs_of(vdupq_n_s32(sum), scales), 0);
  }
}

// Loads the weights of one output: those of a whole block, or of the last one, which holds `left` of each output.
#define WHOLE(weights) "vldrb.8 " weights ", [%[from]], #16\n\t"
#define LAST(weights) "vldrb.8 " weights ", [%[from]]\n\tadd %[from], %[left]\n\t"

// Adds a block's products; missing values are 0, so that it does not matter which weights meet them.
#define ONE_PIXEL(load)                                              \
  load("q1") load("q2")                                              \
  "vmladava.s8 %[a], q0, q1\n\t" load("q1")                          \
  "vmladava.s8 %[b], q0, q2\n\t" load("q2")                          \
  "vmladava.s8 %[c], q0, q1\n\tvmladava.s8 %[d], q0, q2\n\t"

#define TWO_PIXELS(load)                                                        \
  load("q2") load("q3")                                                         \
  "vmladava.s8 %[a], q0, q2\n\tvmladava.s8 %[e], q1, q2\n\t" load("q2")         \
  "vmladava.s8 %[b], q0, q3\n\tvmladava.s8 %[f], q1, q3\n\t" load("q3")         \
  "vmladava.s8 %[c], q0, q2\n\tvmladava.s8 %[g], q1, q2\n\t"                    \
  "vmladava.s8 %[d], q0, q3\n\tvmladava.s8 %[h], q1, q3\n\t"

void nn_pixel(const nn_convolution_t* op, int32_t depth, const int8_t* values, int8_t* output) {
  const int8_t* stream = op->filter;
  const int32_t blocks = (depth - 1) / BLOCK;
  int32_t outputs = op->output_channels;
  for (; outputs >= 4; outputs -= 4, output += 4) {
    int32_t a, b, c, d;
    const int8_t* one = values;
    __asm__ volatile(
        "ldrd %[a], %[b], [%[from]], #8\n\tldrd %[c], %[d], [%[from]], #8\n\t"
        "wls lr, %[blocks], 2f\n\t"
        "1: vldrb.8 q0, [%[one]], #16\n\t" ONE_PIXEL(WHOLE)
        "le lr, 1b\n\t"
        "2: vctp.8 %[left]\n\tvpst\n\tvldrbt.8 q0, [%[one]]\n\t" ONE_PIXEL(LAST)
        : [a] "=&Te"(a), [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d), [one] "+r"(one), [from] "+r"(stream)
        : [blocks] "r"(blocks), [left] "r"(depth - blocks * BLOCK)
        : "q0", "q1", "q2", "lr", "memory", "cc", "p0");
    const scales_t scales = four_scales(op, &stream);
    vstrbq_s32(output, outputs_of(four_sums(a, b, c, d), scales));
  }
  last_outputs(op, outputs, depth, stream, values, output);
}

void nn_two_pixels(const nn_convolution_t* op, int32_t depth, const int8_t* values, int32_t step, int8_t* output) {
  const int8_t* stream = op->filter;
  int32_t outputs = op->output_channels;
  for (; outputs >= 4; outputs -= 4, output += 4) {
    // The sums take all the even registers, lr among them, so that no loop instruction can be used. The others
    // are named, as not every compiler and option finds a way to allocate them; a frame pointer would be r7.
    int32_t a, b, c, d, e, f, g, h;
    register int32_t left __asm__("r1") = depth;
    register const int8_t* one __asm__("r3") = values;
    register const int8_t* two __asm__("r5") = values + step;
    register const int8_t* from __asm__("r9") = stream;
    __asm__ volatile(
        "ldrd %[a], %[b], [%[from]], #8\n\tldrd %[c], %[d], [%[from]], #8\n\t"
        "mov %[e], %[a]\n\tmov %[f], %[b]\n\tmov %[g], %[c]\n\tmov %[h], %[d]\n\t"
        "subs %[left], #16\n\tble 2f\n\t"
        "1: vldrb.8 q0, [%[one]], #16\n\tvldrb.8 q1, [%[two]], #16\n\t" TWO_PIXELS(WHOLE)
        "subs %[left], #16\n\tbgt 1b\n\t"
        "2: add %[left], #16\n\tvctp.8 %[left]\n\t"
        "vpstt\n\tvldrbt.8 q0, [%[one]]\n\tvldrbt.8 q1, [%[two]]\n\t" TWO_PIXELS(LAST)
        : [a] "=&Te"(a), [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d), [e] "=&Te"(e), [f] "=&Te"(f), [g] "=&Te"(g),
          [h] "=&Te"(h), [one] "+r"(one), [two] "+r"(two), [from] "+r"(from), [left] "+r"(left)
        :
        : "q0", "q1", "q2", "q3", "memory", "cc", "p0");
    stream = from;
    const scales_t scales = four_scales(op, &stream);
    vstrbq_s32(output, outputs_of(four_sums(a, b, c, d), scales));
    vstrbq_s32(output + op->output_channels, outputs_of(four_sums(e, f, g, h), scales));
  }
  last_outputs(op, outputs, depth, stream, values, output);
  last_outputs(op, outputs, depth, stream, values + step, output + op->output_channels);
}

#else

NN_INLINE int32_t next_word(const int8_t** stream) {
  const int32_t word = *(const int32_t*)(const void*)*stream;
  *stream += sizeof word;
  return word;
}

void nn_pixel(const nn_convolution_t* op, int32_t depth, const int8_t* values, int8_t* restrict output) {
  const int8_t* stream = op->filter;
  const nn_range_t range = nn_range(op);
  const int32_t offset = op->output_offset;
  int32_t outputs = op->output_channels;
  for (; outputs >= 4; outputs -= 4, output += 4) {
    nn_sums_t sums;
    sums.a = next_word(&stream);
    sums.b = next_word(&stream);
    sums.c = next_word(&stream);
    sums.d = next_word(&stream);
    const int8_t* value = values;
    int32_t fours = depth >> 2;
    if (fours > 0) {
      do {
        sums = nn_four_outputs(sums, &value, &stream);
      } while (--fours > 0);
    }
    for (int32_t left = depth & 3; left > 0; --left) {
      const int32_t x = *value++;
      sums.a += x * *stream++;
      sums.b += x * *stream++;
      sums.c += x * *stream++;
      sums.d += x * *stream++;
    }
    const int32_t* scales = (const int32_t*)(const void*)stream;
    stream += 8 * sizeof *scales;
    nn_store_four(nn_output(sums.a, scales[0], scales[4], offset), nn_output(sums.b, scales[1], scales[5], offset),
                  nn_output(sums.c, scales[2], scales[6], offset), nn_output(sums.d, scales[3], scales[7], offset),
                  range, output);
  }
  for (; outputs > 0; --outputs, ++output) {
    int32_t sum = next_word(&stream);
    for (int32_t i = 0; i < depth; ++i) {
      sum += values[i] * stream[i];
    }
    const int32_t* scales = (const int32_t*)(const void*)(stream + (depth + 3) / 4 * 4);
    stream = (const int8_t*)(scales + 2);
    nn_store_one(nn_output(sum, scales[0], scales[1], offset), range, output);
  }
}

#endif

#include "nn_four.h"

#ifdef __ARM_FEATURE_DSP
int32_t nn_scale_rare(int32_t sum, int32_t multiplier, int32_t shift) { return nn_scale_wide(sum, multiplier, shift); }
#endif

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

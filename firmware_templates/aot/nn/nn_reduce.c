#include "nn.h"
#include "nn_fixed_point.h"

static int32_t sum_of(const nn_reduce_t* op, const int8_t* input) {
  int32_t sum = 0;
  for (int32_t i = 0; i < op->reduced[0]; ++i) {
    for (int32_t j = 0; j < op->reduced[1]; ++j) {
      const int8_t* value = input + i * op->reduced_stride[0] + j * op->reduced_stride[1];
      for (int32_t k = 0; k < op->reduced[2]; ++k, value += op->reduced_stride[2]) {
        sum += *value;
      }
    }
  }
  return sum;
}

void nn_reduce(const nn_reduce_t* op, const int8_t* input, int8_t* output) {
  for (int32_t i = 0; i < op->kept[0]; ++i) {
    for (int32_t j = 0; j < op->kept[1]; ++j) {
      for (int32_t k = 0; k < op->kept[2]; ++k) {
        const int32_t first = i * op->kept_stride[0] + j * op->kept_stride[1] + k * op->kept_stride[2];
        const int32_t sum = sum_of(op, input + first) + op->sum_offset;
        *output++ = nn_clamp(nn_scale(sum, op->multiplier, op->shift) + op->output_offset, INT8_MIN, INT8_MAX);
      }
    }
  }
}

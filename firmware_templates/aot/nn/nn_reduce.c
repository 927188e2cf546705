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

NN_INLINE int8_t output_of(const nn_reduce_t* op, int32_t sum) {
  const int32_t scaled = nn_scale(sum + op->sum_offset, op->multiplier, op->shift);
  return nn_clamp(scaled + op->output_offset, INT8_MIN, INT8_MAX);
}

void nn_reduce(const nn_reduce_t* op, const int8_t* input, int8_t* output) {
  for (int32_t i = 0; i < op->kept[0]; ++i) {
    for (int32_t j = 0; j < op->kept[1]; ++j) {
      for (int32_t k = 0; k < op->kept[2]; ++k) {
        const int32_t first = i * op->kept_stride[0] + j * op->kept_stride[1] + k * op->kept_stride[2];
        *output++ = output_of(op, sum_of(op, input + first));
      }
    }
  }
}

void nn_reduce_add(const nn_reduce_t* op, const int8_t* input_row, int32_t* sums) {
  for (int32_t i = 0; i < op->kept[0]; ++i) {
    for (int32_t j = 0; j < op->kept[1]; ++j) {
      for (int32_t k = 0; k < op->kept[2]; ++k) {
        const int32_t first = i * op->kept_stride[0] + j * op->kept_stride[1] + k * op->kept_stride[2];
        *sums++ += sum_of(op, input_row + first);
      }
    }
  }
}

void nn_reduce_finish(const nn_reduce_t* op, const int32_t* sums, int8_t* output) {
  for (int32_t left = op->kept[0] * op->kept[1] * op->kept[2]; left > 0; --left) {
    *output++ = output_of(op, *sums++);
  }
}

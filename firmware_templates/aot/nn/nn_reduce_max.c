#include "nn.h"

// The largest value, at least `largest`.
static int8_t max_of(const nn_reduce_max_t* op, const int8_t* input, int8_t largest) {
  for (int32_t i = 0; i < op->reduced[0]; ++i) {
    for (int32_t j = 0; j < op->reduced[1]; ++j) {
      const int8_t* value = input + i * op->reduced_stride[0] + j * op->reduced_stride[1];
      for (int32_t k = 0; k < op->reduced[2]; ++k, value += op->reduced_stride[2]) {
        if (*value > largest) {
          largest = *value;
        }
      }
    }
  }
  return largest;
}

void nn_reduce_max(const nn_reduce_max_t* op, const int8_t* input, int8_t* output) {
  for (int32_t i = 0; i < op->kept[0]; ++i) {
    for (int32_t j = 0; j < op->kept[1]; ++j) {
      for (int32_t k = 0; k < op->kept[2]; ++k) {
        const int32_t first = i * op->kept_stride[0] + j * op->kept_stride[1] + k * op->kept_stride[2];
        *output++ = max_of(op, input + first, INT8_MIN);
      }
    }
  }
}

void nn_reduce_max_add(const nn_reduce_max_t* op, const int8_t* input_row, int8_t* output) {
  for (int32_t i = 0; i < op->kept[0]; ++i) {
    for (int32_t j = 0; j < op->kept[1]; ++j) {
      for (int32_t k = 0; k < op->kept[2]; ++k, ++output) {
        const int32_t first = i * op->kept_stride[0] + j * op->kept_stride[1] + k * op->kept_stride[2];
        *output = max_of(op, input_row + first, *output);
      }
    }
  }
}

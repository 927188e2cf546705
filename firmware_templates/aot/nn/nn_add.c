#include "nn.h"
#include "nn_fixed_point.h"

enum { LEFT_SHIFT = 20 };

void nn_add(const nn_add_t* op, const int8_t* input_1, const int8_t* input_2, int8_t* output) {
  const nn_broadcast_t* shape = &op->shape;
  for (int32_t h = 0; h < shape->size[0]; ++h) {
    for (int32_t i = 0; i < shape->size[1]; ++i) {
      for (int32_t j = 0; j < shape->size[2]; ++j) {
        const int8_t* one = input_1 + h * shape->stride_1[0] + i * shape->stride_1[1] + j * shape->stride_1[2];
        const int8_t* two = input_2 + h * shape->stride_2[0] + i * shape->stride_2[1] + j * shape->stride_2[2];
        for (int32_t k = 0; k < shape->size[3]; ++k, one += shape->stride_1[3], two += shape->stride_2[3]) {
          const int32_t scaled_1 =
              nn_scale((*one + op->offset_1) * (1 << LEFT_SHIFT), op->multiplier_1, op->shift_1);
          const int32_t scaled_2 =
              nn_scale((*two + op->offset_2) * (1 << LEFT_SHIFT), op->multiplier_2, op->shift_2);
          const int32_t sum = scaled_1 + op->sign_2 * scaled_2;
          const int32_t scaled = nn_scale(sum, op->multiplier, op->shift);
          *output++ = nn_clamp(scaled + op->output_offset, op->minimum, op->maximum);
        }
      }
    }
  }
}

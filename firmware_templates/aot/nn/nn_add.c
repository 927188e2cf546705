#include "nn.h"
#include "nn_fixed_point.h"

enum { LEFT_SHIFT = 20 };

// The innermost dimension; returns where the next outputs go.
#ifdef __ARM_FEATURE_MVE

#include "nn_mve.h"

NN_INLINE int8_t* add(const nn_add_t* op, const int8_t* one, const int8_t* two, int8_t* output) {
  const int32_t stride_1 = op->shape.stride_1[3], stride_2 = op->shape.stride_2[3];
  int8_t* const end = output + op->shape.size[3];
  for (int32_t left = op->shape.size[3]; left > 0; left -= 4, one += 4 * stride_1, two += 4 * stride_2, output += 4) {
    const mve_pred16_t lanes = vctp32q((uint32_t)left);
    const int32x4_t scaled_1 =
        nn_scale_all(nn_operand(one, stride_1, lanes, op->offset_1), LEFT_SHIFT, op->multiplier_1, op->shift_1);
    const int32x4_t scaled_2 =
        nn_scale_all(nn_operand(two, stride_2, lanes, op->offset_2), LEFT_SHIFT, op->multiplier_2, op->shift_2);
    const int32x4_t sum = vaddq_s32(scaled_1, vmulq_n_s32(scaled_2, op->sign_2));
    const int32x4_t scaled = nn_scale_all(sum, 0, op->multiplier, op->shift);
    nn_store_clamped(output, scaled, op->output_offset, op->minimum, op->maximum, lanes);
  }
  return end;
}

#else

NN_INLINE int8_t* add(const nn_add_t* op, const int8_t* one, const int8_t* two, int8_t* output) {
  const nn_broadcast_t* shape = &op->shape;
  for (int32_t k = 0; k < shape->size[3]; ++k, one += shape->stride_1[3], two += shape->stride_2[3]) {
    const int32_t scaled_1 =
        nn_scale((*one + op->offset_1) * (1 << LEFT_SHIFT), op->multiplier_1, op->shift_1);
    const int32_t scaled_2 =
        nn_scale((*two + op->offset_2) * (1 << LEFT_SHIFT), op->multiplier_2, op->shift_2);
    const int32_t sum = scaled_1 + op->sign_2 * scaled_2;
    const int32_t scaled = nn_scale(sum, op->multiplier, op->shift);
    *output++ = nn_clamp(scaled + op->output_offset, op->minimum, op->maximum);
  }
  return output;
}

#endif

void nn_add(const nn_add_t* op, const int8_t* input_1, const int8_t* input_2, int8_t* output) {
  const nn_broadcast_t* shape = &op->shape;
  for (int32_t h = 0; h < shape->size[0]; ++h) {
    for (int32_t i = 0; i < shape->size[1]; ++i) {
      for (int32_t j = 0; j < shape->size[2]; ++j) {
        const int8_t* one = input_1 + h * shape->stride_1[0] + i * shape->stride_1[1] + j * shape->stride_1[2];
        const int8_t* two = input_2 + h * shape->stride_2[0] + i * shape->stride_2[1] + j * shape->stride_2[2];
        output = add(op, one, two, output);
      }
    }
  }
}

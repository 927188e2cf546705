#include "nn.h"
#include "nn_fixed_point.h"

static int32_t rounded(float value) {  // ties go away from zero
  const float limited = value < -1e6f ? -1e6f : value > 1e6f ? 1e6f : value;
  const int32_t whole = (int32_t)limited;
  const float rest = limited - (float)whole;
  return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

void nn_quantize(const nn_quantize_t* op, const float* input, int8_t* output) {
  for (int32_t i = 0; i < op->items; ++i) {
    output[i] = nn_clamp(rounded(input[i] / op->scale) + op->zero_point, INT8_MIN, INT8_MAX);
  }
}

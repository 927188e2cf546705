#include "nn.h"

// The product of a float and a 9-bit number, rounded once, whether it is formed in float or in double.
void nn_dequantize(const nn_quantize_t* op, const int8_t* input, float* output) {
  for (int32_t i = 0; i < op->items; ++i) {
    output[i] = op->scale * (float)(input[i] - op->zero_point);
  }
}

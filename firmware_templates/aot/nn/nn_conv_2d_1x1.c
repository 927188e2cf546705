#include "nn_four.h"

void nn_conv_2d_1x1(const nn_convolution_t* op, const int8_t* input, int8_t* output) {
  const int32_t step = op->stride_width * op->input_channels;
  for (int32_t row = 0; row < op->batches * op->output_height; ++row) {
    const int32_t input_row = row / op->output_height * op->input_height + row % op->output_height * op->stride_height;
    const int8_t* pixel = input + input_row * op->input_width * op->input_channels;
    int32_t columns = op->output_width;
#ifdef __ARM_FEATURE_MVE
    for (; columns >= 2; columns -= 2) {
      nn_two_pixels(op, op->input_channels, pixel, step, output);
      pixel += 2 * step;
      output += 2 * op->output_channels;
    }
#endif
    for (; columns > 0; --columns) {
      nn_pixel(op, op->input_channels, pixel, output);
      pixel += step;
      output += op->output_channels;
    }
  }
}

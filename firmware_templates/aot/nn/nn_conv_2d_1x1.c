#include "nn_four.h"

void nn_conv_2d_1x1(const nn_convolution_t* op, const int8_t* input, int8_t* output) {
  for (int32_t row = 0; row < op->batches * op->output_height; ++row) {
    const int32_t input_row = row / op->output_height * op->input_height + row % op->output_height * op->stride_height;
    const int8_t* pixel = input + input_row * op->input_width * op->input_channels;
    int32_t column = op->output_width;
#ifdef __ARM_FEATURE_MVE
    const int32_t step = op->stride_width * op->input_channels;
    for (; column >= 2; column -= 2) {
      nn_two_pixels(op, op->input_channels, pixel, step, output);
      pixel += 2 * step;
      output += 2 * op->output_channels;
    }
#endif
    for (; column > 0; --column) {
      nn_pixel(op, op->input_channels, pixel, output);
      pixel += op->stride_width * op->input_channels;
      output += op->output_channels;
    }
  }
}
